"""Expected error reduction: equal to the slow loop over candidates and labels, whatever the container and the model."""

import inspect
import re

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from modAL.models import ActiveLearner as ModALActiveLearner
from scipy.stats import entropy
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skal.exceptions import ColdStartWarning
from skal.learners import ActiveLearner, Committee, DeepActiveLearner
from skal.nets import DeepClassifier
from skal.strategies import expected_error_reduction
from skal.strategies._expected_error_reduction import _expected_errors
from skal.utils._compat import STRATEGIES_RETURN_PAIRS

rng = np.random.default_rng(0)
X = rng.integers(0, 5, size=(26, 3)).astype(float)
Y = np.array(["ant", "bee", "caterpillar"])[np.arange(26) % 3]
POOL = X[12:]


def slow(estimator, X, y, pool, loss):
    """The definition, step by step."""
    proba = clone(estimator).fit(X, y).predict_proba(pool)
    errors = []
    for i in range(len(pool)):
        rest, total = np.delete(pool, i, axis=0), 0.0
        for j, label in enumerate(np.unique(y)):
            member = clone(estimator).fit(np.vstack([X, pool[i : i + 1]]), np.append(y, label))
            refitted = member.predict_proba(rest)
            uncertainty = entropy(refitted.T) if loss == "log" else 1 - refitted.max(axis=1)
            total += uncertainty.sum() * proba[i, j]
        errors.append(total)
    return np.array(errors)


def ask(learner, pool, **params):
    answer = expected_error_reduction(learner, pool, **params)
    return answer[0] if STRATEGIES_RETURN_PAIRS else answer


MODELS = [
    LogisticRegression(), GaussianNB(), KNeighborsClassifier(3), MultinomialNB(alpha=0.3), ComplementNB(),
    BernoulliNB(binarize=2, fit_prior=False), make_pipeline(StandardScaler(), LogisticRegression()),
]  # fmt: skip


@pytest.mark.parametrize("loss", ["binary", "log"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_it_is_the_slow_loop(model, loss):
    expected = slow(model, X[:12], Y[:12], POOL, loss)
    learner = ActiveLearner(clone(model), expected_error_reduction, X[:12], Y[:12])
    idx = ask(learner, POOL, loss=loss, n_instances=14)
    assert sorted(idx.tolist()) == list(range(14))
    np.testing.assert_allclose(expected[idx], np.sort(expected))
    if STRATEGIES_RETURN_PAIRS:
        found = expected_error_reduction(learner, POOL, loss=loss, n_instances=14)[1]
        np.testing.assert_allclose(found, np.sort(expected))
    asked, rows = learner.query(POOL, loss=loss, n_instances=3)
    np.testing.assert_array_equal(asked, idx[:3])
    np.testing.assert_array_equal(rows, POOL[asked])


@pytest.mark.parametrize("kind", [pd.DataFrame, sp.csr_matrix, sp.csr_array, lambda A: A.tolist()])
def test_containers(kind):
    expected = ask(ActiveLearner(MultinomialNB(), X_training=X[:12], y_training=Y[:12]), POOL, n_instances=5)
    for y in (Y[:12], pd.Series(Y[:12]), Y[:12, None], Y[:12].tolist()):
        learner = ActiveLearner(MultinomialNB())
        learner.estimator.fit(X[:12], Y[:12])
        learner.X_training, learner.y_training = kind(X[:12]), y
        np.testing.assert_array_equal(ask(learner, kind(POOL), n_instances=5), expected)


def test_texts_and_networks():
    texts = ["cold rain", "warm sun", "rain and wind", "sun all day", "hail", "warm wind"]
    learner = ActiveLearner(
        make_pipeline(CountVectorizer(), LogisticRegression()), expected_error_reduction, texts[:4], ["bad", "good"] * 2
    )
    assert len(learner.query(texts[4:], n_instances=2)[0]) == 2
    net = DeepClassifier(nn.Linear(3, 3), max_epochs=1, random_state=0)
    learner = ActiveLearner(net, expected_error_reduction, X[:12], Y[:12])
    assert len(learner.query(POOL[:3], n_instances=2)[0]) == 2


def test_modals_own_learner():
    stock = ModALActiveLearner(GaussianNB(), expected_error_reduction, X[:12], Y[:12])
    expected = ask(ActiveLearner(GaussianNB(), X_training=X[:12], y_training=Y[:12]), POOL, n_instances=3)
    np.testing.assert_array_equal(stock.query(POOL, n_instances=3)[0], expected)


def learner():
    return ActiveLearner(LogisticRegression(), expected_error_reduction, X[:12], Y[:12])


def test_workers_share_the_candidates():
    expected = ask(learner(), POOL, n_instances=14)
    with joblib.parallel_config("threading", n_jobs=3):
        np.testing.assert_array_equal(ask(learner(), POOL, n_instances=14), expected)


def test_a_subsample_of_candidates():
    one = [ask(learner(), POOL, p_subsample=0.3, n_instances=2, random_state=3).tolist() for _ in range(2)]
    assert one[0] == one[1] and one[0] == ask(learner(), POOL, p_subsample=0.3, n_instances=2, random_state=3).tolist()
    none = ask(learner(), POOL, p_subsample=0.0, n_instances=4, random_state=0)
    assert len({*none.tolist()}) == 4
    expected = slow(LogisticRegression(), X[:12], Y[:12], POOL, "binary")
    np.testing.assert_allclose(expected[none], np.sort(expected[none]))


def test_an_error_that_is_estimated_on_a_sample():
    exact = slow(LogisticRegression(), X[:12], Y[:12], POOL, "binary")
    whole = ask(learner(), POOL, random_sample=14, n_instances=14)
    np.testing.assert_allclose(exact[whole], np.sort(exact))
    several = [ask(learner(), POOL, random_sample=5, n_instances=14, random_state=seed).tolist() for seed in range(4)]
    assert len({*map(tuple, several)}) > 1
    judges, candidates = np.array([1, 4, 8]), np.array([0, 4, 13])
    found = _expected_errors(learner(), POOL, candidates, judges, lambda proba: 1 - proba.max(axis=1))
    for i, error in zip(candidates, found):
        others = POOL[[j for j in judges if j != i]]
        total = 0.0
        for weight, label in zip(learner().predict_proba(POOL[i : i + 1])[0], np.unique(Y)):
            member = LogisticRegression().fit(np.vstack([X[:12], POOL[i : i + 1]]), np.append(Y[:12], label))
            total += weight * (1 - member.predict_proba(others).max(axis=1)).mean() * 13
        assert error == pytest.approx(total)


def test_ties():
    same = np.repeat(X[12:13], 6, axis=0)
    assert ask(learner(), same, n_instances=3).tolist() == [0, 1, 2]
    shuffled = {
        tuple(ask(learner(), same, n_instances=3, random_tie_break=True, random_state=seed)) for seed in range(5)
    }
    assert len(shuffled) > 2


def test_a_pool_of_one():
    assert ask(learner(), POOL[:1]).tolist() == [0]
    assert ask(learner(), POOL[:1], random_sample=1).tolist() == [0]


def test_before_there_are_labels():
    cold = ActiveLearner(LogisticRegression(), expected_error_reduction)
    with pytest.warns(ColdStartWarning, match="expected_error_reduction chooses uniformly at random"):
        assert len(cold.query(POOL, n_instances=3, random_state=0)[0]) == 3
    fitted = ActiveLearner(LogisticRegression().fit(X, Y), expected_error_reduction)
    with pytest.raises(TypeError, match="needs the labelled data. Teach the learner"):
        fitted.query(POOL)


def test_the_signature_is_modals():
    names = [*inspect.signature(expected_error_reduction).parameters]
    assert names[:6] == ["learner", "X", "loss", "p_subsample", "n_instances", "random_tie_break"]


def test_nothing_is_changed():
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    made = learner()
    before, data = made.predict_proba(X), X.copy()
    made.query(POOL, p_subsample=0.5, random_tie_break=True)
    assert np.random.random() == expected  # noqa: NPY002
    np.testing.assert_array_equal(made.predict_proba(X), before)
    np.testing.assert_array_equal(X, data)


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        (
            {"loss": "square"},
            ValueError,
            "'loss' parameter of expected_error_reduction must be 'binary' or 'log'. Got 'sq",
        ),
        ({"loss": 5}, ValueError, "Got 5"),
        ({"p_subsample": 1.5}, ValueError, r"must be a number in [0, 1]. Got 1.5"),
        ({"p_subsample": "all"}, ValueError, "Got 'all'"),
        ({"random_sample": 0}, ValueError, "must be None or an integer of at least 1. Got 0"),
        ({"random_sample": True}, ValueError, "Got True"),
        ({"n_instances": 15}, ValueError, "at most the size of the pool, 14. Got 15"),
    ],
)
def test_parameters_out_of_range(params, error, words):
    with pytest.raises(error, match=re.escape(words)):
        learner().query(POOL, **params)


def test_learners_that_cannot():
    committee = Committee([learner()], expected_error_reduction)
    net = DeepActiveLearner(DeepClassifier(nn.Linear(3, 3), max_epochs=1), expected_error_reduction)
    for made in (committee, net, LogisticRegression()):
        with pytest.raises(TypeError, match="needs a learner of one estimator that keeps its labelled data"):
            expected_error_reduction(made, POOL)
