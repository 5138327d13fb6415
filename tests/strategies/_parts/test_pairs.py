"""Pairs of samples: each met once, and those closer than a bound held while they are few."""

import numpy as np
import pytest

from skal.strategies._parts._pairs import Pairs, half_of_all


def collected(z, bound, limit=10**6, block=30):
    pairs = Pairs(len(z), limit)
    for rows, columns, found in half_of_all(z, np.random.default_rng(3).permutation(len(z)), block):
        pairs.add(rows, columns, found, bound(found) if callable(bound) else bound)
    return pairs


def dense(graphs):
    return sum(graph.toarray().astype(int) for graph in graphs)


@pytest.mark.parametrize("n", [1, 2, 5, 23])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_pair_once(n, dtype):
    z = np.random.default_rng(n).standard_normal((n, 3)).astype(dtype)
    seen = np.zeros((n, n), dtype=int)
    for rows, columns, found in half_of_all(z, np.arange(n), 30):
        seen[np.ix_(rows, columns)] += 1
        distances = np.linalg.norm(z[rows, None] - z[columns], axis=2)
        np.testing.assert_allclose(found, -(distances**2) / 2, atol=1e-5)
    assert (np.triu(seen, 1) + np.tril(seen, -1).T)[np.triu_indices(n, 1)].min(initial=1) >= 1
    pairs = collected(z, -np.inf)
    np.testing.assert_array_equal(dense(pairs.within(np.inf)), 1 - np.eye(n, dtype=int))


@pytest.mark.parametrize("limit", [40, 10**6])
def test_within_a_radius(limit):
    """Also where pairs that a later bound leaves out had to make room."""
    z = np.random.default_rng(0).standard_normal((30, 2))
    bounds = iter(np.linspace(-20, -0.03, 200))
    pairs = collected(z, lambda found: next(bounds), limit)
    expected = np.linalg.norm(z[:, None] - z, axis=2) < 0.2
    np.fill_diagonal(expected, False)
    assert pairs.are_all == (limit > 40)
    if pairs.are_all:
        np.testing.assert_array_equal(dense(pairs.within(0.2)), expected)


def test_the_ball_is_open():
    z = np.arange(6.0)[:, None]
    pairs = collected(z, -2.0)
    np.testing.assert_array_equal(dense(pairs.within(2.0)).sum(axis=1), [1, 2, 2, 2, 2, 1])


def test_too_many_are_not_held():
    z = np.zeros((20, 2))
    pairs = collected(z, -1.0, limit=189)
    assert not pairs.are_all
    assert collected(z, -1.0, limit=190).are_all
    assert not pairs.add(np.array([0]), np.array([1]), np.zeros((1, 1)), -1.0)
