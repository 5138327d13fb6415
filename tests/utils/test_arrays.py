"""Shared array helpers against the obvious."""

import numpy as np
import pytest

from skal.utils._arrays import blocks, class_means, l2_normalize, min_max, top_k


@pytest.mark.parametrize("k", [1, 3, 9, 10])
def test_top_k_is_a_sort(k):
    scores = np.random.default_rng(0).integers(0, 4, size=10).astype(float)
    assert top_k(scores, k).tolist() == np.argsort(-scores, kind="stable")[:k].tolist()
    seeded = top_k(scores, k, np.random.default_rng(1))
    assert len(set(seeded.tolist())) == k
    assert scores[seeded].tolist() == sorted(scores, reverse=True)[:k]


def test_blocks_cover():
    assert [list(range(10))[part] for part in blocks(10, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(blocks(0, 4)) == []
    assert len(list(blocks(3, 0))) == 3


def test_l2_normalize_keeps_zero_rows():
    X = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(l2_normalize(X), [[0.6, 0.8], [0, 0]])


def test_min_max():
    np.testing.assert_allclose(min_max(np.array([2.0, 4.0, 3.0])), [0, 1, 0.5], atol=1e-9)
    np.testing.assert_allclose(min_max(np.array([2.0, 2.0])), [0, 0])


def test_class_means_of_an_empty_class_is_the_mean_of_all():
    X = np.array([[1.0, 0.0], [3.0, 2.0], [5.0, 7.0]])
    np.testing.assert_allclose(class_means(X, np.array([0, 0, 2]), 3), [[2, 1], [3, 3], [5, 7]])


def test_top_k_draws_equals_uniformly():
    scores = np.array([1.0, 0.0, 1.0, 2.0, 1.0, 1.0])
    counts = np.zeros(6)
    orders = set()
    for seed in range(600):
        chosen = top_k(scores, 3, np.random.default_rng(seed))
        assert chosen[0] == 3
        counts[chosen] += 1
        orders.add(tuple(chosen.tolist()))
    assert (counts[3], counts[1]) == (600, 0)
    # 300 of each equal one, with a deviation of 12; and these in any order.
    assert np.abs(counts[[0, 2, 4, 5]] - 300).max() < 60
    assert len(orders) == 12
