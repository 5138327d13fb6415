"""UFFM and its baseline: ranking, descriptors that are found again, wrapping, errors."""

import copy
import functools
import pickle
from typing import ClassVar

import modAL.uncertainty
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

from skal.base import QueryStrategy
from skal.exceptions import PoolCapabilityError, SkalError
from skal.learners import ActiveLearner
from skal.meta import ActiveLearningClassifier
from skal.nets import DeepClassifier
from skal.rows import FeatureStore, row_keys
from skal.strategies import (
    DECERN,
    UFFM,
    EntropySampling,
    LeastConfidence,
    MarginSampling,
    PatraBruzzone,
    RandomSampling,
    decern_sampling,
    margin_sampling,
    remove_similar,
    uffm_sampling,
)
from skal.strategies._parts._descriptors import Descriptor
from skal.strategies._patra_bruzzone import first_of_each
from skal.testing import FakePool

WRAPPERS = pytest.mark.parametrize("cls", [UFFM, PatraBruzzone])


class Given:
    """Probabilities as given for each sample, which is its own position."""

    def __init__(self, proba):
        self.proba_ = np.asarray(proba, dtype=float)
        self.classes_ = np.arange(self.proba_.shape[1])

    def predict_proba(self, X):
        return self.proba_[np.asarray(X)[:, 0].astype(int)]


class Counting(TransformerMixin, BaseEstimator):
    """The sample itself, and a record of what was asked."""

    log: list = []  # noqa: RUF012

    def __init__(self, power=1, random_state=None):
        self.power = power
        self.random_state = random_state

    def fit(self, X, y=None):
        self.fitted_ = True
        self.log.append(("fit", len(X), self.random_state))
        return self

    def transform(self, X):
        self.log.append(("transform", len(X)))
        return np.asarray(X, dtype=float).reshape(len(X), -1) ** self.power


@pytest.fixture
def log():
    Counting.log.clear()
    yield Counting.log
    Counting.log.clear()


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:500] / 16, y[:500]


def learner(strategy, digits, n=60):
    X, y = digits
    return ActiveLearner(LogisticRegression(max_iter=300), strategy, X[:n], y[:n])


# -- the paper's numbers ------------------------------------------------------------------------------------------


def test_uncertainties_in_the_papers_signs():
    """PAPERS 3.5: LC as it is, MS and ES with the other sign, where larger is more uncertain."""
    clf, X = Given([[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]]), np.arange(2)[:, None]
    np.testing.assert_allclose(LeastConfidence().score_samples(clf, X), [0.5, 0.1], atol=1e-12)
    np.testing.assert_allclose(-MarginSampling().score_samples(clf, X), [0.2, 0.85], atol=1e-12)
    np.testing.assert_allclose(-EntropySampling().score_samples(clf, X), [-1.029653014065, -0.394397691447], atol=1e-12)
    # The image with both as boxes: sums over the boxes.
    assert LeastConfidence().score_samples(clf, X).sum() == pytest.approx(0.6)
    assert -MarginSampling().score_samples(clf, X).sum() == pytest.approx(1.05)
    assert -EntropySampling().score_samples(clf, X).sum() == pytest.approx(-1.424050705512)


@pytest.mark.parametrize(("resampling", "expected"), [("removal", [0, 2, 3, 5]), ("printed", [0, 2, 3, 4])])
def test_the_six_descriptors(resampling, expected):
    """Six samples, most uncertain first, at the angles of PAPERS 3.5; shuffled in the pool."""
    angles = np.deg2rad([0, 5, 90, 8, 95, 45])
    p = np.array([0.5, 0.55, 0.6, 0.65, 0.7, 0.75])
    order = np.random.default_rng(0).permutation(6)
    X = np.column_stack([np.arange(6), np.cos(angles), np.sin(angles)])[order]
    strategy = UFFM(
        descriptor=FunctionTransformer(lambda X: X[:, 1:]), sampling_ratio=1.5, resampling=resampling, random_state=0
    )
    idx, scores = strategy.select(Given(np.column_stack([p, 1 - p])), X, 4)
    assert X[idx, 0].astype(int).tolist() == expected
    np.testing.assert_allclose(scores, [-(p[i] * np.log(p[i]) + (1 - p[i]) * np.log(1 - p[i])) for i in expected])


def test_equals_its_parts(digits):
    X, _ = digits
    fitted = learner(UFFM(), digits)
    for n, ratio in [(1, 1.2), (7, 1.2), (40, 1.2), (40, 2.5), (400, 1.2)]:
        n_candidates = min(440, int(np.ceil(ratio * n)))
        ranked, scores = MarginSampling(random_state=0).select(fitted, X[60:], n_candidates)
        kept = remove_similar(X[60:][ranked], n, 0.2)
        strategy = UFFM(MarginSampling(random_state=0), sampling_ratio=ratio, similar_fraction=0.2)
        idx, chosen = strategy.select(fitted, X[60:], n)
        np.testing.assert_array_equal(idx, ranked[kept])
        np.testing.assert_array_equal(chosen, scores[kept])


@WRAPPERS
def test_ratio_one_is_the_base_strategy(cls, digits):
    fitted = learner(cls(), digits)
    expected = MarginSampling(random_state=0).select(fitted, digits[0][60:], 20)
    for strategy in (cls(MarginSampling(random_state=0), sampling_ratio=1), cls(MarginSampling(random_state=0))):
        n = 20 if strategy.sampling_ratio == 1 else 440
        idx, scores = strategy.select(fitted, digits[0][60:], n)
        if n == 20:
            np.testing.assert_array_equal(idx, expected[0])
            np.testing.assert_array_equal(scores, expected[1])
        assert (np.diff(scores) <= 0).all()


@WRAPPERS
def test_default_base_is_entropy(cls, digits):
    fitted = learner(cls(), digits)
    idx = cls(random_state=0).select(fitted, digits[0][60:], 30)[0]
    again = cls(EntropySampling(), random_state=0).select(fitted, digits[0][60:], 30)[0]
    np.testing.assert_array_equal(idx, again)


@WRAPPERS
def test_near_duplicates_are_thinned_out(cls):
    """Ten copies of each of ten samples: entropy alone takes ten copies of one."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((10, 20)) * 3
    X = np.repeat(centers, 10, axis=0) + 1e-3 * rng.standard_normal((100, 20))
    p = np.repeat(np.linspace(0.5, 0.9, 10), 10)
    clf = Given(np.column_stack([p, 1 - p]))
    pool = np.column_stack([np.arange(100), X])
    descriptor = FunctionTransformer(lambda X: X[:, 1:])
    strategy = cls(descriptor=descriptor, sampling_ratio=10, random_state=0)
    groups = strategy.select(clf, pool, 10)[0] // 10
    alone = EntropySampling(random_state=0).select(clf, pool, 10)[0] // 10
    assert len(set(alone)) == 1
    assert len(set(groups)) >= 6


# -- the base strategy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["uncertainty_sampling", "margin_sampling", "entropy_sampling"])
def test_modals_functions_are_put_in_order(name, digits):
    """Its argpartition leaves them in any order; the scores come from the probabilities."""
    own = {"uncertainty": LeastConfidence, "margin": MarginSampling, "entropy": EntropySampling}[name.split("_")[0]]
    fitted = learner(UFFM(), digits)
    function = getattr(modAL.uncertainty, name)
    expected = UFFM(own()).select(fitted, digits[0][60:], 50)
    for base in (function, functools.partial(function)):
        idx, scores = UFFM(base).select(fitted, digits[0][60:], 50)
        np.testing.assert_array_equal(idx, expected[0])
        np.testing.assert_allclose(scores, expected[1], atol=1e-12)


def test_other_functions_keep_their_order_or_their_scores(digits):
    X = digits[0][60:]
    fitted = learner(UFFM(), digits)
    chosen = np.arange(100, 110)

    def ordered(classifier, X, n_instances=1):
        assert classifier is fitted
        return chosen[:n_instances]

    idx, scores = UFFM(ordered, sampling_ratio=1).select(fitted, X, 5)
    assert idx.tolist() == chosen[:5].tolist()
    assert scores.tolist() == [4, 3, 2, 1, 0]

    def scored(classifier, X, n_instances=1):
        return chosen[:n_instances], np.arange(n_instances)

    idx, scores = UFFM(scored, sampling_ratio=1).select(fitted, X, 5)
    assert idx.tolist() == chosen[:5][::-1].tolist()
    assert scores.tolist() == [4, 3, 2, 1, 0]

    def with_instances(classifier, X, n_instances=1):
        return chosen[:n_instances], X[chosen[:n_instances]]

    assert UFFM(with_instances, sampling_ratio=1).select(fitted, X, 5)[0].tolist() == chosen[:5].tolist()


def test_twins_and_partials_as_base(digits):
    X = digits[0][60:]
    fitted = learner(UFFM(), digits)
    expected = UFFM(MarginSampling(random_state=0)).select(fitted, X, 20)
    partial = functools.partial(margin_sampling, random_state=0)
    for base in (partial, functools.partial(partial), functools.partial(MarginSampling(), random_state=0)):
        idx, scores = UFFM(base).select(fitted, X, 20)
        np.testing.assert_array_equal(idx, expected[0])
        np.testing.assert_array_equal(scores, expected[1])
    with_xi = functools.partial(decern_sampling, xi=0.5, random_state=0)
    np.testing.assert_array_equal(
        UFFM(with_xi).select(fitted, X, 10)[0], UFFM(DECERN(xi=0.5, random_state=0)).select(fitted, X, 10)[0]
    )


def test_around_decern_and_itself(digits):
    X = digits[0][60:]
    fitted = learner(UFFM(DECERN()), digits)
    ranked, scores = DECERN(random_state=3).select(fitted, X, 24)
    idx, chosen = UFFM(DECERN(random_state=3)).select(fitted, X, 20)
    kept = remove_similar(X[ranked], 20)
    np.testing.assert_array_equal(idx, ranked[kept])
    np.testing.assert_array_equal(chosen, scores[kept])
    twice = UFFM(UFFM(DECERN()), random_state=0)
    np.testing.assert_array_equal(twice.select(fitted, X, 9)[0], clone(twice).select(fitted, X, 9)[0])
    forest = ActiveLearner(RandomForestClassifier(5, random_state=0), UFFM(DECERN()), digits[0][:60], digits[1][:60])
    with pytest.raises(PoolCapabilityError, match="DECERN needs a differentiable `head`, which RandomForestClassifier"):
        forest.query(X, n_instances=5)
    assert len(UFFM(RandomSampling()).select(forest, X, 5)[0]) == 5


def test_seed_reaches_the_base_strategy_where_it_has_none(digits):
    X = digits[0][60:]
    fitted = learner(UFFM(), digits)

    def picks(base, seed):
        return UFFM(base, random_state=seed).select(fitted, X, 10)[0].tolist()

    base = RandomSampling()
    assert picks(base, 0) == picks(base, 0) != picks(base, 1)
    assert base.random_state is None
    fixed = RandomSampling(random_state=5)
    assert picks(fixed, 0) == picks(fixed, 1)


@pytest.mark.parametrize("base", [None, MarginSampling(), DECERN()])
def test_the_model_runs_once(base, digits):
    X, y = digits
    rows = []

    class Net(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.head = nn.Linear(64, n_classes)

        def forward(self, X):
            rows.append(len(X))
            return self.head(X)

    strategy = UFFM(base, random_state=0)
    fitted = ActiveLearner(DeepClassifier(Net, max_epochs=1, random_state=0), strategy, X[:60], y[:60])
    rows.clear()
    fitted.query(X[60:], n_instances=5)
    assert sum(rows) <= len(X)


# -- descriptors --------------------------------------------------------------------------------------------------


@WRAPPERS
def test_descriptors_are_computed_once_while_the_pool_shrinks(cls, digits, log):
    X, y = digits
    descriptor = Counting()
    fitted = learner(cls(descriptor=descriptor, random_state=0), digits)
    pool, labels = X[60:], y[60:]
    for _ in range(5):
        idx, instances = fitted.query(pool, n_instances=20)
        fitted.teach(instances, labels[idx])
        pool, labels = np.delete(pool, idx, axis=0), np.delete(labels, idx)
        shuffled = np.random.default_rng(0).permutation(len(pool))
        pool, labels = pool[shuffled], labels[shuffled]
    fits = [entry for entry in log if entry[0] == "fit"]
    assert [entry[1] for entry in fits] == [440]
    assert isinstance(fits[0][2], int)  # its random_state was None
    # Each query has 24 candidates, of which those seen before cost nothing.
    rows = [entry[1] for entry in log if entry[0] == "transform"]
    assert rows[0] == 24
    assert sum(rows) <= 20 * 5 + 4 * 5
    assert not hasattr(descriptor, "fitted_")
    assert descriptor.random_state is None


def test_the_same_query_twice_transforms_nothing_anew(digits, log):
    strategy = UFFM(descriptor=Counting(), random_state=0)
    fitted = learner(strategy, digits)
    first = strategy.select(fitted, digits[0][60:], 20)[0]
    n = len(log)
    np.testing.assert_array_equal(strategy.select(fitted, digits[0][60:], 20)[0], first)
    assert len(log) == n
    # Positions are not what it goes by.
    flipped = strategy.select(fitted, digits[0][60:][::-1], 20)[0]
    np.testing.assert_array_equal(439 - flipped, first)
    assert len(log) == n


def test_a_run_equals_one_that_remembers_nothing(digits):
    """What is remembered changes no answer: the descriptor fitted beforehand gives the same run."""
    X, y = digits
    pca = PCA(5, random_state=0).fit(X[60:])

    def run(strategy):
        fitted, pool, labels, picks = learner(strategy, digits), X[60:], y[60:], []
        for _ in range(3):
            idx, instances = fitted.query(pool, n_instances=15)
            picks.append(instances)
            fitted.teach(instances, labels[idx])
            pool, labels = np.delete(pool, idx, axis=0), np.delete(labels, idx)
        return np.concatenate(picks)

    frozen = FunctionTransformer(pca.transform)
    np.testing.assert_array_equal(
        run(UFFM(descriptor=PCA(5), random_state=0)), run(UFFM(descriptor=frozen, random_state=0))
    )


def test_fitted_anew_for_another_pool_or_other_parameters(digits, log):
    X = digits[0]
    strategy = UFFM(descriptor=Counting(), random_state=0)
    fitted = learner(strategy, digits)

    def n_fits():
        return sum(entry[0] == "fit" for entry in log)

    strategy.select(fitted, X[60:200], 10)
    assert n_fits() == 1
    # A pool that grows by less than a half of the candidates is still the same.
    strategy.select(fitted, X[60:220], 10)
    assert n_fits() == 1
    strategy.select(fitted, X[300:], 10)
    assert n_fits() == 2
    strategy.set_params(descriptor__power=2)
    strategy.select(fitted, X[300:], 10)
    assert n_fits() == 3
    strategy.select(fitted, X[300:], 10)
    assert n_fits() == 3
    # Overrides for one call share what is remembered and leave the parameters.
    strategy.select(fitted, X[300:], 10, sampling_ratio=1.5)
    assert n_fits() == 3
    strategy.select(fitted, X[300:], 10, descriptor__power=3)
    assert n_fits() == 4
    assert strategy.descriptor.power == 2


def test_clone_forgets_and_pickle_keeps_the_fit_alone(digits, log):
    X = digits[0]
    strategy = UFFM(descriptor=Counting(), random_state=0)
    fitted = learner(strategy, digits)
    first = strategy.select(fitted, X[60:], 30)[0]
    shorter = np.delete(X[60:], first[:5], axis=0)
    expected = strategy.select(fitted, shorter, 30)[0]
    log.clear()
    resumed = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(resumed.query(shorter, n_instances=30)[0], expected)
    assert [entry[0] for entry in log] == ["transform"]
    copied = copy.deepcopy(fitted)
    np.testing.assert_array_equal(copied.query(shorter, n_instances=30)[0], expected)
    log.clear()
    clone(strategy).select(fitted, shorter, 30)
    assert log == []
    fresh = clone(fitted).fit(X[:60], digits[1][:60])
    fresh.query(shorter, n_instances=30)
    assert [entry[:2] for entry in log] == [("fit", 435), ("transform", 36)]


def test_a_fit_that_fails_leaves_things_as_they_were(digits):
    X = digits[0]
    strategy = UFFM(descriptor=PCA(300), random_state=0)
    fitted = learner(strategy, digits)
    with pytest.raises(ValueError, match="n_components=300 must be between"):
        strategy.select(fitted, X[60:], 20)
    strategy.set_params(descriptor__n_components=4)
    expected = UFFM(descriptor=PCA(4), random_state=0).select(fitted, X[60:], 20)[0]
    np.testing.assert_array_equal(strategy.select(fitted, X[60:], 20)[0], expected)


def test_what_is_kept_is_bounded(digits, monkeypatch):
    monkeypatch.setattr("skal.strategies._parts._descriptors._LIMIT", 5000)
    puts = []
    put = FeatureStore.put
    monkeypatch.setattr(
        FeatureStore, "put", lambda self, rows, limit: (put(self, rows, limit), puts.append(self.nbytes))
    )
    strategy = UFFM(descriptor=FunctionTransformer(), sampling_ratio=2, random_state=0)
    fitted = learner(strategy, digits)
    first = strategy.select(fitted, digits[0][60:], 50)[0]
    assert puts and all(0 < nbytes <= 5000 for nbytes in puts)
    np.testing.assert_array_equal(strategy.select(fitted, digits[0][60:], 50)[0], first)


@pytest.mark.parametrize("kind", ["frame", "mixed frame", "sparse", "tensor", "list", "dict"])
def test_pools_of_any_kind(kind, digits):
    X, y = digits

    def convert(X):
        if kind == "mixed frame":
            return pd.DataFrame(X).add_prefix("x").assign(word="a")
        kinds = {"frame": pd.DataFrame, "sparse": sp.csr_matrix, "tensor": torch.as_tensor, "list": list}
        return {"x": X} if kind == "dict" else kinds[kind](X)

    def numbers(X):
        if isinstance(X, dict):
            return X["x"]
        if isinstance(X, pd.DataFrame):
            return X.drop(columns="word", errors="ignore").to_numpy()
        return X.toarray() if sp.issparse(X) else np.asarray(X)

    model = make_pipeline(FunctionTransformer(numbers), LogisticRegression(max_iter=300))
    descriptor = make_pipeline(FunctionTransformer(numbers), PCA(4, random_state=0))
    strategy = UFFM(descriptor=descriptor, random_state=0)
    if kind == "dict":
        # scikit-learn's pipelines take no dicts; the strategy does.
        fitted, model = LogisticRegression(max_iter=300).fit(X[:60], y[:60]), None

        class OfDict(TransformerMixin, BaseEstimator):
            def fit(self, X, y=None):
                self.fitted_ = len(X["x"])
                return self

            def transform(self, X):
                return X["x"]

        class Classifier:
            classes_ = fitted.classes_

            def predict_proba(self, X):
                return fitted.predict_proba(X["x"])

        strategy = UFFM(descriptor=OfDict(), random_state=0)
        idx = strategy.select(Classifier(), convert(X[60:]), 20)[0]
        expected = UFFM(descriptor=FunctionTransformer(), random_state=0).select(fitted, X[60:], 20)[0]
    else:
        fitted = ActiveLearner(model, strategy, convert(X[:60]), y[:60])
        idx = fitted.query(convert(X[60:]), n_instances=20)[0]
        plain = learner(UFFM(), digits)
        expected = UFFM(descriptor=PCA(4, random_state=0), random_state=0).select(plain, X[60:], 20)[0]
    np.testing.assert_array_equal(idx, expected)


def test_texts(digits):
    rng = np.random.default_rng(0)
    words = np.array(["ant", "bee", "cat", "dog", "eel", "fox"])
    texts = [" ".join(rng.choice(words, 6)) for _ in range(80)]
    y = np.array([text.count("ant") > 1 for text in texts])
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    descriptor = make_pipeline(TfidfVectorizer(), TruncatedSVD(3))
    fitted = ActiveLearner(model, UFFM(descriptor=descriptor, random_state=0), texts[:30], y[:30])
    first = fitted.query(texts[30:], n_instances=8)[0]
    assert len(set(first)) == 8
    np.testing.assert_array_equal(fitted.query(texts[30:], n_instances=8)[0], first)


def test_sparse_descriptors_and_maps_are_flattened(digits):
    X = digits[0]
    fitted = learner(UFFM(), digits)
    expected = UFFM(descriptor=FunctionTransformer(), random_state=0).select(fitted, X[60:], 20)[0]
    for function in (sp.csr_matrix, lambda X: X.reshape(len(X), 8, 8)):
        strategy = UFFM(descriptor=FunctionTransformer(function), random_state=0)
        np.testing.assert_array_equal(strategy.select(fitted, X[60:], 20)[0], expected)


# -- in the house -------------------------------------------------------------------------------------------------


def test_search_over_nested_parameters(digits):
    X, y = digits[0][:120], digits[1][:120]
    strategy = UFFM(DECERN(), descriptor=make_pipeline(StandardScaler(), PCA(4)))
    al = ActiveLearningClassifier(
        LogisticRegression(max_iter=50), strategy, n_initial=30, n_instances=5, n_queries=1, random_state=0
    )
    grid = {
        "query_strategy__base_strategy__xi": [0.4],
        "query_strategy__descriptor__pca__n_components": [2, 4],
    }
    search = GridSearchCV(al, grid, cv=2).fit(X, y)
    best = search.best_estimator_.learner_.query_strategy
    assert search.best_estimator_.n_labels_ == 35
    assert best.base_strategy.xi == 0.4
    assert best.descriptor[-1].n_components in (2, 4)
    assert strategy.base_strategy.xi == 0.8


def test_in_compare(digits):
    from skal.experiments import compare

    X, y = digits[0][:200], digits[1][:200]
    result = compare(
        {"UFFM": UFFM(MarginSampling()), "PatraBruzzone": PatraBruzzone(n_init=1)},
        LogisticRegression(max_iter=50),
        X,
        y,
        n_initial=20,
        n_instances=5,
        n_queries=1,
        seeds=2,
    )
    assert {"UFFM", "PatraBruzzone", "RandomSampling"} <= set(result.summary().index)


def test_cold_start_is_random(digits):
    cold = ActiveLearner(LogisticRegression(), UFFM(DECERN(), descriptor=PCA(3), random_state=0))
    with pytest.warns(UserWarning, match="UFFM chooses uniformly at random"):
        idx = cold.query(digits[0], n_instances=9)[0]
    assert len(set(idx)) == 9


def test_first_of_each():
    assert first_of_each(np.array([2, 2, 0, 1, 0]), 3).tolist() == [0, 2, 3]
    assert first_of_each(np.array([1, 1, 1, 1]), 3).tolist() == [0, 1, 2]


def test_patra_bruzzone_takes_the_best_ranked_of_each_cluster():
    """Three clear clusters among the five most uncertain: one of each, the most uncertain."""
    descriptors = np.array([[1, 0, 0], [0.99, 0.01, 0], [0, 1, 0], [0, 0.99, 0.02], [0, 0, 1], [1, 1, 1]])
    p = np.array([0.5, 0.52, 0.54, 0.56, 0.58, 0.99])
    X = np.column_stack([np.arange(6), descriptors])
    strategy = PatraBruzzone(descriptor=FunctionTransformer(lambda X: X[:, 1:]), sampling_ratio=1.6, random_state=0)
    assert strategy.select(Given(np.column_stack([p, 1 - p])), X, 3)[0].tolist() == [0, 2, 4]


# -- errors -------------------------------------------------------------------------------------------------------


class TooFew(QueryStrategy):
    def _query(self, pool, n_instances, rng):
        return np.arange(n_instances - 1), np.zeros(n_instances - 1)


@WRAPPERS
@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"sampling_ratio": 0.9}, ValueError, r"'sampling_ratio' parameter of {} must be a float in .*\[1.0, inf\)"),
        ({"base_strategy": 3}, ValueError, r"'base_strategy' parameter of {} must be an object implementing 'select'"),
        ({"base_strategy": EntropySampling}, TypeError, r"of {} must be a strategy .* class EntropySampling instead"),
        ({"descriptor": 3}, ValueError, r"'descriptor' parameter of {} must be an object implementing 'fit' and 'tra"),
        ({"base_strategy": TooFew()}, SkalError, r"TooFew must return 12 unique positions"),
        (
            {"base_strategy": lambda clf, X, n_instances: np.arange(n_instances - 3)},
            ValueError,
            r"base strategy of {} must return 12 unique positions in a pool of 440. <lambda> returned 9 of them.",
        ),
        (
            {"base_strategy": lambda clf, X, n_instances: np.zeros(n_instances, dtype=int)},
            ValueError,
            r"returned 1 of them",
        ),
        (
            {"base_strategy": lambda clf, X, n_instances: np.arange(n_instances) + 435},
            ValueError,
            r"returned int64 of shape \(12,\)",
        ),
        (
            {"descriptor": FunctionTransformer(lambda X: X[:3])},
            ValueError,
            r"'descriptor' of {} must turn 12 samples into 12 rows of finite numbers. FunctionTransformer returned sh",
        ),
        ({"descriptor": FunctionTransformer(lambda X: X * np.nan)}, ValueError, r"rows of finite numbers"),
    ],
)
def test_bad_input(cls, params, error, message, digits):
    fitted = learner(cls(), digits)
    before = fitted.X_training.copy(), fitted.round
    with pytest.raises(error, match=message.format(cls.__name__)):
        fitted.query_strategy = cls(**params)
        fitted.query(digits[0][60:], n_instances=10)
    np.testing.assert_array_equal(fitted.X_training, before[0])
    assert fitted.round == before[1]


@pytest.mark.parametrize("params", [{"similar_fraction": 0}, {"similar_fraction": 1.1}, {"resampling": "nms"}])
def test_bad_parameters_of_uffm(params, digits):
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter of UFFM must be"):
        UFFM(**params).select(learner(UFFM(), digits), digits[0][60:], 5)
    with pytest.raises(TypeError, match=r"uffm_sampling has no parameter 'ratio'"):
        uffm_sampling(learner(UFFM(), digits), digits[0][60:], 5, ratio=2)


def test_clusters_are_of_directions_whatever_their_length():
    """Of two directions one sample each, though the longest descriptor is far from all others."""
    fake = FakePool(
        proba=[[0.5, 0.5], [0.51, 0.49], [0.52, 0.48], [0.53, 0.47], [1.0, 0.0]],
        embeddings=[[1.0, 0.0], [100.0, 0.0], [0.0, 1.0], [0.0, 1.1], [1.0, 1.0]],
    )
    assert PatraBruzzone(sampling_ratio=2, random_state=0).select(fake, fake.X, 2)[0].tolist() == [0, 2]


def test_a_descriptor_knows_a_pool_of_which_it_saw_half():
    X = np.arange(12.0).reshape(6, 2)
    descriptor = Descriptor(PCA(1), X[:4], 0, "A test")
    assert descriptor.knows(row_keys(X[2:6]))
    assert not descriptor.knows(row_keys(X[3:6]))
    assert descriptor.knows(row_keys(X[:4]))


class Seeds(QueryStrategy):
    """Leaves the seed that it is given in a list of the class."""

    seeds: ClassVar[list] = []
    _parameter_constraints: ClassVar = {"random_state": ["random_state"]}

    def __init__(self, *, random_state=None):
        self.random_state = random_state

    def _query(self, pool, n_instances, rng):
        self.seeds.append(self.random_state)
        return np.arange(n_instances), np.zeros(n_instances)


def test_a_base_strategy_has_one_seed_in_a_run():
    """What it keeps under its seed, such as an order, is found again in each round."""
    X, y = load_digits(return_X_y=True)
    Seeds.seeds.clear()
    learner = ActiveLearner(LogisticRegression(max_iter=50), UFFM(Seeds(), random_state=3), X[:40], y[:40])
    for _ in range(3):
        idx, rows = learner.query(X[40:100], n_instances=4)
        learner.teach(rows, y[40:100][idx])
    assert len(set(Seeds.seeds)) == 1
    learner.query(X[40:100], n_instances=4, random_state=4)
    assert len(set(Seeds.seeds)) == 2
    assert None not in Seeds.seeds
