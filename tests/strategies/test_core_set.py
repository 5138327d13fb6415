"""CoreSet: the greedy k-centre with dense distances, the limits, the errors."""

import numpy as np
import pytest

from skal.exceptions import PoolCapabilityError
from skal.strategies import CoreSet


class Plain:
    """A classifier without a head: embeddings are its input."""

    classes_ = np.arange(2)

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def slow(X, labeled, k):
    centers, picks, radii = list(labeled), [], []
    for _ in range(k):
        nearest = [min(np.linalg.norm(x - c) for c in centers) for x in X]
        picks.append(int(np.argmax(nearest)))
        radii.append(max(nearest))
        centers.append(X[picks[-1]])
    return picks, radii


@pytest.mark.parametrize(
    ("n", "d", "n_labeled", "k"), [(1, 1, 1, 1), (30, 2, 4, 30), (50, 16, 10, 20), (40, 300, 3, 9)]
)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_equals_the_slow_loop(n, d, n_labeled, k, offset):
    rng = np.random.default_rng([n, d])
    X, labeled = rng.standard_normal((n, d)) + offset, rng.standard_normal((n_labeled, d)) + offset
    query_idx, scores = CoreSet().select(Plain(), X, k, X_training=labeled, y_training=np.zeros(n_labeled, int))
    picks, radii = slow(X, labeled, k)
    assert query_idx.tolist() == picks
    np.testing.assert_allclose(scores, radii, atol=1e-6)


def test_float32_embeddings_are_compared_in_float64():
    rng = np.random.default_rng(0)
    X, labeled = (100 + rng.standard_normal((2, 60, 8))).astype(np.float32)
    query_idx, _ = CoreSet().select(Plain(), X, 60, X_training=labeled, y_training=np.zeros(60, int))
    assert query_idx.tolist() == slow(X.astype(float), labeled.astype(float), 60)[0]


def test_what_is_labelled_already_comes_last():
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    query_idx, scores = CoreSet().select(Plain(), X, 4, X_training=X[[0, 3]], y_training=[0, 1])
    assert set(query_idx[2:].tolist()) == {0, 3}
    assert scores.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_ties_are_broken_at_random_with_the_seed():
    X = np.repeat([[1.0, 0.0], [-1.0, 0.0]], 20, axis=0)
    labeled = {"X_training": np.zeros((1, 2)), "y_training": [0]}
    picks = {tuple(CoreSet(random_state=seed).select(Plain(), X, 3, **labeled)[0].tolist()) for seed in range(8)}
    assert len(picks) == 8
    for first, second, third in picks:
        assert {first // 20, second // 20} == {0, 1}
        assert third not in (first, second)


def test_no_labelled_data_is_a_clear_error():
    with pytest.raises(PoolCapabilityError, match=r"CoreSet needs the labelled data.*X_training="):
        CoreSet().select(Plain(), np.zeros((3, 2)))
