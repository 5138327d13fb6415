"""PT4AL: a slow loop over whole schedules, the first selection, the errors."""

import functools

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import BaseEstimator
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skal.learners import ActiveLearner
from skal.strategies import PT4AL, pt4al_sampling


class Counting(BaseEstimator):
    """The log-likelihood of a sample is its first feature; fits are counted over all clones."""

    fits = 0

    def fit(self, X, y=None):
        Counting.fits += 1
        self.fitted_ = True
        return self

    def score_samples(self, X):
        return np.asarray(X, dtype=float)[:, 0]


@pytest.fixture
def fits():
    Counting.fits = 0
    return lambda: Counting.fits


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(120, centers=4, n_features=5, cluster_std=3.0, random_state=1)


def logistic():
    return LogisticRegression(max_iter=500)


def test_another_seed_is_another_order(blobs, fits):
    X, y = blobs
    learner = ActiveLearner(logistic(), PT4AL(pretext=Counting(), n_rounds=4, random_state=0), X[:10], y[:10])
    for seed, n_fits in ((0, 1), (1, 2), (0, 2)):
        learner.query(X[10:], n_instances=5, random_state=seed)
        assert fits() == n_fits


def slow_pick(places, left, confidence, start, stop, k):
    """Least confident of the sub-pool; where it runs short, then the nearest outside it."""
    inside = [i for i in left if start <= places[i] < stop]
    inside.sort(key=lambda i: confidence[i])
    picked = inside[:k]
    outside = [i for i in left if i not in inside]
    outside.sort(key=lambda i: (start - places[i] if places[i] < start else places[i] - stop + 1, confidence[i]))
    picked += outside[: k - len(picked)]
    return sorted(picked, key=lambda i: confidence[i])


def run(learner, X, y, k=6, n=3):
    items = np.arange(len(X))
    for _ in range(n):
        query_idx = learner.query(X[items], n_instances=k)[0]
        learner.teach(X[items[query_idx]], y[items[query_idx]])
        items = np.delete(items, query_idx)


def slow_pt4al_places(values):
    """Ascending log-likelihood: descending loss."""
    return {i: place for place, i in enumerate(sorted(range(len(values)), key=lambda i: values[i]))}


@pytest.mark.parametrize("k", [1, 5, 24, 30])
def test_pt4al_begins_at_even_intervals_of_the_first_part(k, blobs):
    X, _ = blobs
    strategy = PT4AL(pretext=Counting(), n_rounds=5)
    query_idx, scores = strategy.select(ActiveLearner(logistic()), X, k)
    hardest_first = np.argsort(X[:, 0], kind="stable")
    n_candidates = max(24, k)
    expected = [hardest_first[j * n_candidates // k] for j in range(k)]
    assert query_idx.tolist() == expected
    np.testing.assert_allclose(scores, -X[expected, 0])


@pytest.mark.parametrize("normalize_logits", [True, False])
@pytest.mark.parametrize("cold", [True, False])
def test_pt4al_equals_the_slow_loop(cold, normalize_logits, blobs):
    """The pool shrinks and is shuffled between queries; two rounds run past the schedule."""
    X, y = blobs
    strategy = PT4AL(pretext=Counting(), n_rounds=4, normalize_logits=normalize_logits)
    start = [] if cold else list(range(100, 112))
    learner = ActiveLearner(logistic(), strategy, *(() if cold else (X[start], y[start])))
    items = np.setdiff1d(np.arange(120), start)
    places, rng = slow_pt4al_places(X[:, 0]), np.random.default_rng(0)
    for cycle in range(0 if cold else 1, 6):
        query_idx = learner.query(X[items], n_instances=15)[0]
        picked = items[query_idx].tolist()
        if cycle:
            logits = learner.estimator.decision_function(X[items])
            if normalize_logits:
                logits = logits / np.sqrt((logits**2).sum(axis=1, keepdims=True))
            confidence = dict(zip(items.tolist(), softmax(logits, axis=1).max(axis=1)))
            bounds = (30 * cycle, 30 * cycle + 30) if cycle < 4 else (0, 120)
            assert picked == slow_pick(places, items.tolist(), confidence, *bounds, 15), cycle
        if cycle == 0:
            # Others besides, so that each class is among them.
            picked = np.union1d(picked, np.arange(20)).tolist()
        learner.teach(X[picked], y[picked])
        items = np.setdiff1d(items, picked)
        rng.shuffle(items)


def test_pt4al_fits_its_pretext_once(blobs, fits):
    X, y = blobs
    pretext = Counting()
    for strategy in (
        PT4AL(pretext=pretext, n_rounds=4),
        functools.partial(pt4al_sampling, pretext=pretext, n_rounds=4),
    ):
        Counting.fits = 0
        run(ActiveLearner(logistic(), strategy, X[:10], y[:10]), X[10:], y[10:])
        assert fits() == 1
    assert not hasattr(pretext, "fitted_")


def test_pt4al_errors(blobs):
    X, y = blobs
    with pytest.raises(TypeError, match="pretext"):
        PT4AL()
    learner = ActiveLearner(logistic(), PT4AL(pretext=StandardScaler(), n_rounds=3), X[:10], y[:10])
    with pytest.raises(ValueError, match="'pretext' parameter of PT4AL must be an object implementing"):
        learner.query(X[10:])

    class Bad(Counting):
        def score_samples(self, X):
            return np.full(len(X), np.nan)

    learner.query_strategy = PT4AL(pretext=Bad(), n_rounds=3)
    with pytest.raises(ValueError, match="score_samples of PT4AL's pretext must return finite numbers"):
        learner.query(X[10:])
