"""Prefilter: two stages that equal a slow reference, what is run on candidates alone, and what is kept of the pool."""

import functools
from typing import ClassVar

import numpy as np
import pytest
from modAL.uncertainty import margin_sampling as modal_margin_sampling
from scipy.special import softmax
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn
from torch.utils.data import Dataset

from skal.base import QueryStrategy, requirement
from skal.exceptions import ColdStartWarning, PoolCapabilityError
from skal.learners import ActiveLearner
from skal.meta import ActiveLearningClassifier
from skal.models import Model
from skal.nets import DeepClassifier
from skal.rows import row_keys
from skal.strategies import (
    BADGE,
    BAL,
    BALD,
    DECERN,
    PT4AL,
    UFFM,
    CoreSet,
    DetectionEntropy,
    DetectionMargin,
    EntropySampling,
    KMeansSampling,
    MarginSampling,
    PatraBruzzone,
    Prefilter,
    ProbCover,
    RandomSampling,
    TypiClust,
    margin_sampling,
    prefilter_sampling,
    sub_pool_bounds,
    usable_with,
)
from skal.testing import FakePool, check_strategy, strategy_checks


@pytest.fixture(scope="module")
def data():
    X, y = make_blobs(120, centers=3, n_features=4, cluster_std=4.0, random_state=1)
    return X[:20], y[:20], X[20:], y[20:]


@pytest.fixture
def learner(data):
    return ActiveLearner(LogisticRegression(max_iter=500), MarginSampling(), *data[:2])


class Seen(QueryStrategy):
    """Takes the first samples, and leaves what it has seen in a list of the test's."""

    def __init__(self, *, log=None):
        self.log = log

    _parameter_constraints: ClassVar = {"log": [list]}

    def __sklearn_clone__(self):
        return self

    def _query(self, pool, n_instances, rng):
        self.log.append((pool, pool.X.copy()))
        return np.arange(n_instances), np.arange(n_instances)[::-1].astype(float)


def test_by_hand():
    """Margins choose rows 1, 2, 4; of 0, 10 and 14 the farthest from 1 is 14, and then from 1 and 14 it is 10."""
    fake = FakePool(
        proba=[[0.9, 0.1], [0.5, 0.5], [0.6, 0.4], [0.8, 0.2], [0.7, 0.3]],
        embeddings=[[50.0], [0.0], [14.0], [-70.0], [10.0]],
        labeled=FakePool(embeddings=[[1.0]], proba=[[1.0, 0.0]], y=[0]),
    )
    idx, scores = Prefilter(CoreSet(), first=MarginSampling(), n_candidates=3).select(fake, fake.X, 3)
    assert idx.tolist() == [2, 4, 1]
    np.testing.assert_allclose(scores, [13, 4, 1])
    assert CoreSet().select(fake, fake.X, 3)[0].tolist() == [3, 0, 2]


def slow(strategy, first, n_candidates, learner, X, n_instances):
    """`strategy` asked about a pool that was cut down beforehand, row by row."""
    candidates = sorted(first.select(learner, X, min(n_candidates, len(X)))[0].tolist())
    rows = np.array([X[i] for i in candidates])
    idx, scores = strategy.select(learner, rows, n_instances)
    return [candidates[i] for i in idx], scores


@pytest.mark.parametrize(
    "strategy",
    [
        MarginSampling(random_state=1),
        BADGE(random_state=1),
        CoreSet(random_state=1),
        DECERN(random_state=1, gamma=0.0),
        KMeansSampling(random_state=1),
        TypiClust(random_state=1, min_cluster_size=0),
        ProbCover(random_state=1, delta=3.0),
        PatraBruzzone(MarginSampling(random_state=2), sampling_ratio=2, random_state=1),
        UFFM(sampling_ratio=1.5, random_state=1),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
@pytest.mark.parametrize("first", [EntropySampling(random_state=3), CoreSet(random_state=3)], ids=["entropy", "core"])
@pytest.mark.parametrize("n_candidates", [7, 30, 99, 100, 101])
def test_equals_the_slow_reference(strategy, first, n_candidates, learner, data):
    for n_instances in (1, 7):
        found = Prefilter(strategy, first=first, n_candidates=n_candidates).select(learner, data[2], n_instances)
        expected = slow(strategy, first, n_candidates, learner, data[2], n_instances)
        assert found[0].tolist() == expected[0]
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)


def test_of_the_whole_pool_it_is_the_strategy_itself(learner, data):
    expected = BADGE(random_state=4).select(learner, data[2], 9)
    for first in ("random", MarginSampling()):
        found = Prefilter(BADGE(random_state=4), first=first, n_candidates=100).select(learner, data[2], 9)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("first", ["random", MarginSampling()], ids=["random", "margin"])
def test_candidates_come_in_the_order_of_the_pool(first, learner, data):
    log = []
    idx, _ = Prefilter(Seen(log=log), first=first, n_candidates=30, random_state=0).select(learner, data[2], 5)
    (pool, rows), position = log[0], {row.tobytes(): i for i, row in enumerate(data[2])}
    places = [position[row.tobytes()] for row in rows]
    assert places == sorted(set(places))
    assert len(places) == len(pool) == 30
    assert idx.tolist() == places[:5]
    assert pool.round == 0
    assert pool.n_labeled == 20
    assert len(pool.whole) == 100


def test_random_candidates_are_new_in_each_round_and_uniform(learner, data):
    counts = np.zeros(100)
    draws = []
    for learner.round in range(200):
        draws.append(
            Prefilter(RandomSampling(), n_candidates=20, random_state=3).select(learner, data[2], 20)[0].tolist()
        )
        counts[draws[-1]] += 1
        if learner.round == 0:
            again = Prefilter(RandomSampling(), n_candidates=20, random_state=3).select(learner, data[2], 20)
            assert sorted(again[0].tolist()) == sorted(draws[0])
    assert len({frozenset(draw) for draw in draws}) == 200
    # 40 each, with a deviation of 5.7.
    assert counts.min() > 15
    assert counts.max() < 65


class Counting(BaseEstimator):
    """Says how many rows each of its answers is about."""

    classes_ = np.arange(2)

    def __init__(self, log):
        self.log = log

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict_proba(self, X):
        self.log.append(("proba", len(X)))
        return softmax(np.column_stack([X[:, 0], X[:, 1]]), axis=1)

    def embed(self, X):
        self.log.append(("embeddings", len(X)))
        return X


def rows_of(log, member):
    return sum(n for name, n in log if name == member)


def test_only_candidates_are_run_through_what_the_strategy_reads(data):
    X, y, pool, _ = data
    log = []
    model = Counting(log)
    kwargs = {"X_training": X, "y_training": y % 2}
    Prefilter(CoreSet(), first=MarginSampling(), n_candidates=10).select(model, pool, 3, **kwargs)
    assert rows_of(log, "proba") == 100
    assert rows_of(log, "embeddings") == 10 + 20
    log.clear()
    Prefilter(CoreSet(), n_candidates=10).select(model, pool, 3, **kwargs)
    assert rows_of(log, "proba") == 0
    assert rows_of(log, "embeddings") == 10 + 20
    log.clear()
    Prefilter(CoreSet(), first=CoreSet(), n_candidates=10).select(model, pool, 3, **kwargs)
    assert rows_of(log, "embeddings") == 100 + 20, "what is known of the whole pool is not asked for again"
    log.clear()
    Prefilter(EntropySampling(), first=MarginSampling(), n_candidates=10).select(model, pool, 3, **kwargs)
    assert log == [("proba", 100)]


def test_opinions_are_of_the_candidates_alone(data, monkeypatch):
    seen = []

    class Several(Model):
        offers = frozenset({"proba", "opinions"})

        def is_fitted(self):
            return True

        def outputs(self, X, want):
            raise AssertionError("nobody wants this")

        def opinions(self, X, n, rng):
            seen.append(len(X))
            return iter([softmax(X[:, :2] * k, axis=1) for k in range(1, n + 1)])

    monkeypatch.setattr("skal.models._base._REGISTERED", [(lambda estimator: True, Several)])
    Prefilter(BALD(n_samples=3), n_candidates=12).select(object(), data[2], 4)
    assert seen == [12]


def test_rows_that_are_not_drawn_are_not_read(learner, data):
    pool = data[2].copy()
    drawn = Prefilter(RandomSampling(), n_candidates=15, random_state=0).select(learner, pool, 15)[0]
    pool[np.setdiff1d(np.arange(100), drawn)] = np.nan
    idx, _ = Prefilter(MarginSampling(), n_candidates=15, random_state=0).select(learner, pool, 15)
    assert set(idx.tolist()) == set(drawn.tolist())
    pool[drawn[0]] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        Prefilter(MarginSampling(), n_candidates=15, random_state=0).select(learner, pool, 15)
    with pytest.raises(ValueError, match="NaN"):
        Prefilter(MarginSampling(), first=EntropySampling(), n_candidates=15).select(learner, pool, 15)


# -- what is kept between queries ------------------------------------------------------------------------------------


class Recorded(TransformerMixin, BaseEstimator):
    """Says what it is fitted on."""

    log: ClassVar[list] = []

    def fit(self, X, y=None):
        self.log.append(len(X))
        self.mean_ = X.mean(axis=0)
        return self

    def transform(self, X):
        return X - self.mean_


def test_the_order_of_bal_is_that_of_the_whole_pool(data):
    """Three rounds equal a reference that orders all 120 samples and looks for candidates in the round's stretch."""
    X, y, pool, y_pool = data
    Recorded.log = []
    bal = BAL(pretext=Recorded(), n_rounds=4, n_clusters=3, beta=1.2, random_state=0)
    strategy = Prefilter(bal, n_candidates=40, random_state=5)
    learner = ActiveLearner(LogisticRegression(max_iter=500), strategy, X, y)
    plain = ActiveLearner(LogisticRegression(max_iter=500), bal, X, y)
    plain.query(pool, n_instances=1)
    (run,) = [value for _, value in plain.memory._entries["BAL"]]
    rest = np.arange(100)
    for cycle in (1, 2, 3):
        drawn = Prefilter(RandomSampling(), n_candidates=40, random_state=5).select(learner, pool[rest], 40)[0]
        idx, _ = learner.query(pool[rest], n_instances=4)
        assert set(idx.tolist()) <= set(drawn.tolist())
        start, stop = sub_pool_bounds(cycle, 120, 4, 1.2)
        doubt = 1 - learner.predict_proba(pool[rest]).max(axis=1)
        place = np.array([run.places[key] for key in row_keys(pool[rest])])
        inside = [i for i in drawn.tolist() if start <= place[i] < stop]
        assert len(inside) >= 4
        assert idx.tolist() == sorted(inside, key=lambda i: -doubt[i])[:4]
        learner.teach(pool[rest[idx]], y_pool[rest[idx]])
        rest = np.delete(rest, idx)
    # Once by the strategy and once by the reference, on the pool with the labelled data below it.
    assert Recorded.log == [120, 120]


def test_pt4al_counts_the_rounds_of_a_bare_classifier_by_the_whole_pool(data):
    X, y, pool, _ = data
    strategy = Prefilter(PT4AL(pretext=PCA(2), n_rounds=3), n_candidates=50, random_state=0)
    model = LogisticRegression(max_iter=500).fit(X, y)
    with pytest.warns(UserWarning, match="bare classifier has nowhere to keep it"):
        idx, _ = strategy.select(model, pool, 5, X_training=X, y_training=y)
    assert len(set(idx.tolist())) == 5


def test_the_descriptor_of_uffm_is_fitted_once_on_the_whole_pool(data):
    X, y, pool, y_pool = data
    Recorded.log = []
    strategy = Prefilter(UFFM(descriptor=Recorded(), sampling_ratio=2), n_candidates=25, random_state=0)
    learner = ActiveLearner(LogisticRegression(max_iter=500), strategy, X, y)
    for _ in range(3):
        idx, rows = learner.query(pool, n_instances=5)
        learner.teach(rows, y_pool[idx])
        pool, y_pool = np.delete(pool, idx, axis=0), np.delete(y_pool, idx)
    assert Recorded.log == [100]


# -- parameters, errors, other places ----------------------------------------------------------------------------------


def test_more_instances_than_candidates(learner, data):
    strategy = Prefilter(MarginSampling(), n_candidates=5)
    strategy.select(learner, data[2], 5)
    message = "n_instances must be at most the n_candidates of Prefilter, 5. Got 6 instead."
    with pytest.raises(ValueError, match=message):
        strategy.select(learner, data[2], 6)
    with pytest.raises(ValueError, match=message):
        strategy.select(ActiveLearner(LogisticRegression()), data[2], 6)
    with pytest.raises(ValueError, match="at most the size of the pool, 4. Got 5"):
        strategy.select(learner, data[2][:4], 5)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (
            {"n_candidates": 0},
            ValueError,
            "'n_candidates' parameter of Prefilter must be an int in the range \\[1, inf",
        ),
        ({"first": "randm"}, ValueError, "'first' parameter of Prefilter must be a str among {'random'}"),
        ({"strategy": "decern"}, ValueError, "'strategy' parameter of Prefilter must be an object implementing"),
        ({"strategy": None}, ValueError, "'strategy' parameter of Prefilter"),
        (
            {"strategy": DECERN},
            TypeError,
            "'strategy' parameter of Prefilter must be a strategy or .*DECERN.*: call it",
        ),
        ({"first": CoreSet}, TypeError, "'first' parameter of Prefilter must be a strategy or .*CoreSet.*: call it"),
        (
            {"first": lambda learner, X, n_instances: np.zeros(n_instances, dtype=int)},
            ValueError,
            "The first of Prefilter must return 20 unique positions in a pool of 100. <lambda> returned 1 of them.",
        ),
        (
            {"strategy": lambda learner, X, n_instances: np.arange(50, 50 + n_instances)},
            ValueError,
            "The strategy of Prefilter must return 2 unique positions in a pool of 20. <lambda> returned int64 of",
        ),
    ],
)
def test_errors(params, error, message, learner, data):
    given = {"strategy": MarginSampling(), "n_candidates": 20, **params}
    with pytest.raises(error, match=message):
        Prefilter(**given).select(learner, data[2], 2)


def test_what_is_missing_is_told_before_anything_is_run(data):
    log = []
    for strategy, asker in (
        (Prefilter(BADGE(), first=MarginSampling(), n_candidates=5), "BADGE"),
        (Prefilter(MarginSampling(), first=BADGE(), n_candidates=5), "BADGE"),
        (Prefilter(UFFM(BADGE()), first=MarginSampling(), n_candidates=5), "UFFM"),
    ):
        with pytest.raises(PoolCapabilityError, match=f"{asker} needs"):
            strategy.select(Counting(log), data[2], 2, X_training=data[0], y_training=data[1] % 2)
    assert log == []


def test_requires_is_what_both_require():
    assert Prefilter(BADGE(), first=MarginSampling(), n_candidates=5).requires == ("proba", *BADGE.requires)
    assert Prefilter(margin_sampling, n_candidates=5).requires == ("proba",)
    assert Prefilter(functools.partial(margin_sampling), n_candidates=5).requires == ("proba",)
    assert Prefilter(modal_margin_sampling, first=CoreSet(), n_candidates=5).requires == CoreSet.requires
    assert Prefilter.requires == ()
    assert "Prefilter" in usable_with(SVC())


def test_parameters_of_both_stages_are_searched_and_overridden(learner, data):
    strategy = Prefilter(DECERN(xi=0.8), first=UFFM(MarginSampling()), n_candidates=20)
    loop = ActiveLearningClassifier(LogisticRegression(), strategy)
    loop.set_params(query_strategy__strategy__xi=0.3, query_strategy__first__sampling_ratio=2.0)
    assert loop.query_strategy.strategy.xi == 0.3
    twin = clone(loop).query_strategy
    assert (twin.strategy.xi, twin.first.sampling_ratio) == (0.3, 2.0)
    found = strategy.select(learner, data[2], 4, strategy__gamma=5.0, random_state=1, n_candidates=9)
    first = UFFM(MarginSampling(), sampling_ratio=2.0)
    expected = Prefilter(DECERN(xi=0.3, gamma=5.0), first=first, n_candidates=9, random_state=1)
    np.testing.assert_array_equal(found, expected.select(learner, data[2], 4))
    assert strategy.strategy.gamma == 0.5
    assert strategy.n_candidates == 20


@pytest.mark.parametrize("inner", [margin_sampling, functools.partial(margin_sampling, random_state=0)])
def test_twins_inside(inner, learner, data):
    expected = MarginSampling().select(learner, data[2], 4)
    for found in (
        Prefilter(inner, first=inner, n_candidates=20).select(learner, data[2], 4),
        prefilter_sampling.select(learner, data[2], 4, strategy=inner, first=margin_sampling, n_candidates=20),
    ):
        np.testing.assert_array_equal(found, expected)


def test_functions_of_modal_inside(learner, data):
    expected = MarginSampling().select(learner, data[2], 4)
    found = Prefilter(modal_margin_sampling, first=modal_margin_sampling, n_candidates=20).select(learner, data[2], 4)
    np.testing.assert_array_equal(found[0], expected[0])


def test_before_there_are_labels_samples_are_random(data):
    strategy = Prefilter(MarginSampling(), n_candidates=5, random_state=0)
    with pytest.warns(ColdStartWarning, match="Prefilter chooses uniformly at random"):
        idx, _ = ActiveLearner(LogisticRegression(), strategy).query(data[2], n_instances=5)
    assert len(set(idx.tolist())) == 5


def test_detectors():
    rng = np.random.default_rng(0)
    boxes = [softmax(rng.standard_normal((1 + i % 3, 4)), axis=1) for i in range(30)]
    fake = FakePool(boxes=boxes)
    strategy = Prefilter(DetectionEntropy(), first=DetectionMargin(aggregation="max"), n_candidates=8)
    idx, scores = strategy.select(fake, fake.X, 3)

    def margin(box):
        return max(-(row[-1] - row[-2]) for row in np.sort(box, axis=1))

    def entropy(box):
        return -(box * np.log(box)).sum()

    candidates = sorted(range(30), key=lambda i: -margin(boxes[i]))[:8]
    assert idx.tolist() == sorted(candidates, key=lambda i: -entropy(boxes[i]))[:3]
    np.testing.assert_allclose(scores, [entropy(boxes[i]) for i in idx])
    assert strategy.requires == ("boxes",)


def test_prefilters_in_prefilters(learner, data):
    inner = Prefilter(CoreSet(), first=EntropySampling(), n_candidates=10)
    found = Prefilter(inner, first=MarginSampling(), n_candidates=40).select(learner, data[2], 4)
    first = np.sort(MarginSampling().select(learner, data[2], 40)[0])
    second = np.sort(first[EntropySampling().select(learner, data[2][first], 10)[0]])
    expected = CoreSet().select(learner, data[2][second], 4)
    assert found[0].tolist() == second[expected[0]].tolist()


@pytest.mark.parametrize(
    "strategy",
    [
        Prefilter(CoreSet(), first=MarginSampling(), n_candidates=200),
        Prefilter(BADGE(), n_candidates=200),
        Prefilter(UFFM(MarginSampling()), first=RandomSampling(), n_candidates=200),
        Prefilter(DetectionEntropy(), first=DetectionMargin(), n_candidates=200),
        Prefilter(BAL(n_clusters=3, n_rounds=4), first=MarginSampling(), n_candidates=200),
    ],
    ids=str,
)
def test_keeps_the_rules(strategy):
    check_strategy(strategy)


@pytest.mark.parametrize(
    "strategy",
    [
        Prefilter(CoreSet(), first=MarginSampling(), n_candidates=14),
        Prefilter(BADGE(), n_candidates=14),
        Prefilter(DetectionEntropy(), n_candidates=14),
    ],
    ids=str,
)
@pytest.mark.parametrize("check", strategy_checks(), ids=lambda check: check.__name__)
def test_keeps_the_rules_with_few_candidates(check, strategy):
    if check.__name__ in ("check_positions_and_scores", "check_alike"):
        pytest.skip("asks for as many as the whole pool has")
    check(strategy)


# -- which rows are read -----------------------------------------------------------------------------------------------


class Reads(Dataset):
    """Samples that count how often each is read."""

    def __init__(self, X):
        self.X, self.counts = X, np.zeros(len(X), dtype=int)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        self.counts[i] += 1
        return self.X[i]


@pytest.fixture(scope="module")
def net(data):
    X, y, pool, _ = data
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))
    net = DeepClassifier(module, max_epochs=2, random_state=0).fit(X.astype(np.float32), y)
    return net, {"X_training": X.astype(np.float32), "y_training": y}, pool.astype(np.float32)


@pytest.mark.parametrize("first", [MarginSampling(random_state=0), EntropySampling(random_state=0), "random"], ids=str)
@pytest.mark.parametrize("strategy", [CoreSet(random_state=0), BADGE(random_state=0)], ids=str)
def test_the_first_stage_reads_each_row_once_and_the_second_its_candidates_once(first, strategy, net):
    model, labeled, pool = net
    reads = Reads(pool)
    log = []
    wrapped = Prefilter(Then(strategy, log=log), first=first, n_candidates=15, random_state=0)
    idx, _ = wrapped.select(model, reads, 4, **labeled)
    candidates = np.asarray(log[0].X.indices)
    expected = np.full(100, 0 if first == "random" else 1)
    expected[candidates] += 1
    np.testing.assert_array_equal(reads.counts, expected)
    assert set(idx.tolist()) <= set(candidates.tolist())
    assert "X_transformed" not in vars(log[0].whole) or log[0].whole.X_transformed is reads


class Then(QueryStrategy):
    """Another strategy, whose view is left in a list of the test's."""

    def __init__(self, strategy, *, log=None):
        self.strategy, self.log = strategy, log

    _parameter_constraints: ClassVar = {"strategy": [QueryStrategy], "log": [list]}
    requires = requirement((), lambda own: own.strategy.requires)

    def _query(self, pool, n_instances, rng):
        self.log.append(pool)
        return self.strategy.select(pool, pool.X, n_instances)


class Scaler(StandardScaler):
    """Says of how many rows it is asked."""

    log: ClassVar[list] = []

    def transform(self, X):
        self.log.append(len(X))
        return super().transform(X)


def test_candidates_by_chance_are_all_that_is_transformed(data):
    X, y, pool, _ = data
    model = make_pipeline(Scaler(), LogisticRegression(max_iter=500)).fit(X, y)
    Scaler.log.clear()
    Prefilter(CoreSet(), n_candidates=15, random_state=0).select(model, pool, 4, X_training=X, y_training=y)
    assert sorted(Scaler.log) == [15, 20]
