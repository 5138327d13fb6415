"""The classic uncertainties: hand-worked values, slow loops, ties."""

import numpy as np
import pytest
from scipy.special import softmax

from skal.strategies import EntropySampling, LeastConfidence, MarginSampling, RandomSampling


class Proba:
    """A classifier with known probabilities; its input is their row numbers."""

    def __init__(self, proba):
        self.proba = np.asarray(proba, dtype=float)
        self.classes_ = np.arange(self.proba.shape[1])

    def predict_proba(self, X):
        return self.proba[np.asarray(X)[:, 0].astype(int)]


def score(strategy, proba):
    return strategy.score_samples(Proba(proba), np.arange(len(proba)).reshape(-1, 1))


@pytest.mark.parametrize(
    ("strategy", "first", "second"),
    [
        # The paper's LC, -MS and -ES of p = (0.5, 0.3, 0.2) and r = (0.9, 0.05, 0.05).
        (LeastConfidence(), 0.5, 0.1),
        (MarginSampling(), -0.2, -0.85),
        (EntropySampling(), 1.029653014065, 0.394397691447),
    ],
)
def test_hand_worked(strategy, first, second):
    np.testing.assert_allclose(score(strategy, [[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]]), [first, second], atol=1e-12)


@pytest.mark.parametrize("n_classes", [1, 2, 3, 17])
@pytest.mark.parametrize("n", [1, 5, 23])
def test_equals_the_slow_loop(n, n_classes, monkeypatch):
    monkeypatch.setattr("skal.utils._arrays._CACHED", 7 * n_classes)
    monkeypatch.setattr("skal.strategies._parts._uncertainty._VALUES", 7 * n_classes)
    proba = softmax(5 * np.random.default_rng([n, n_classes]).standard_normal((n, n_classes)), axis=1)
    if n_classes > 2:
        proba[0] = np.eye(n_classes)[1]
    ranked = [[*sorted(row.tolist(), reverse=True), 0.0] for row in proba]
    np.testing.assert_allclose(score(LeastConfidence(), proba), [1 - r[0] for r in ranked], atol=1e-12)
    np.testing.assert_allclose(score(MarginSampling(), proba), [r[1] - r[0] for r in ranked], atol=1e-12)
    entropy = [-sum(p * np.log(p) for p in row if p > 0) for row in proba]
    np.testing.assert_allclose(score(EntropySampling(), proba), entropy, atol=1e-12)


def test_two_classes_rank_alike():
    p = np.random.default_rng(0).random(40)
    proba = np.column_stack([p, 1 - p])
    orders = [
        cls().select(Proba(proba), np.arange(40).reshape(-1, 1), 40)[0].tolist()
        for cls in (LeastConfidence, MarginSampling, EntropySampling)
    ]
    assert orders[0] == orders[1] == orders[2]


def test_ties_are_broken_at_random_with_the_seed():
    proba = np.full((50, 2), 0.5)
    X = np.arange(50).reshape(-1, 1)
    picks = {tuple(LeastConfidence(random_state=seed).select(Proba(proba), X, 5)[0].tolist()) for seed in range(8)}
    assert len(picks) == 8
    assert picks == {
        tuple(LeastConfidence(random_state=seed).select(Proba(proba), X, 5)[0].tolist()) for seed in range(8)
    }


def test_random_sampling_is_uniform():
    X = np.zeros((10, 1))
    counts = np.zeros(10)
    for seed in range(600):
        counts[RandomSampling(random_state=seed).select(None, X, 3)[0]] += 1
    # 180 expected of each, standard deviation 11
    assert np.abs(counts - 180).max() < 56


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
@pytest.mark.parametrize("strategy", [EntropySampling(), LeastConfidence(), MarginSampling()])
def test_probabilities_that_are_integers(strategy, dtype):
    """A classifier that is always sure may say so in integers."""
    model = Proba([[1, 0], [0, 1]])
    model.proba = model.proba.astype(dtype)
    expected = -1.0 if isinstance(strategy, MarginSampling) else 0.0
    assert strategy.score_samples(model, np.array([[1], [0]])).tolist() == [expected, expected]
