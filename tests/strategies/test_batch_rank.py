"""BatchRank: the product equals the dense one, the batch the slow loop's and often the best there is, the limits."""

import itertools

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skal.exceptions import PoolCapabilityError
from skal.strategies import BatchRank, EntropySampling, _batch_rank
from skal.strategies._batch_rank import Differences, power_steps
from skal.testing import FakePool


def dense(proba, balance):
    """Entry by entry, from its definition."""
    n = len(proba)
    p = np.asarray(proba, dtype=float)
    log_p = np.log(np.maximum(p, 1e-12))
    matrix = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            if i == j:
                matrix[i, i] = -sum(p[i] * log_p[i])
            else:
                matrix[i, j] = balance * (sum(p[i] * (log_p[i] - log_p[j])) + sum(p[j] * (log_p[j] - log_p[i])))
    return matrix


def slow(matrix, k, max_iter):
    """Truncated power steps with the dense matrix; the best batch on the way."""

    def largest(values):
        return sorted(np.argsort(-values, kind="stable")[:k].tolist())

    batch = largest(matrix.sum(axis=1))
    seen = [batch]
    for _ in range(max_iter):
        batch = largest(matrix[:, batch].sum(axis=1))
        if batch == seen[-1]:
            break
        seen.append(batch)
    return max(seen, key=lambda one: matrix[np.ix_(one, one)].sum())


def random_proba(n, n_classes, seed=0, sharpness=1.0):
    return np.random.default_rng([n, n_classes, seed]).dirichlet(np.full(n_classes, sharpness), n)


@pytest.mark.parametrize("balance", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("rows", [7, 16_384])
@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (30, 1), (30, 3), (50, 20)])
def test_products_equal_the_dense_ones(n, n_classes, rows, balance, monkeypatch):
    monkeypatch.setattr(_batch_rank, "_ROWS", rows)
    proba = random_proba(n, n_classes, sharpness=0.3)
    matrix, fast = dense(proba, balance), Differences(proba, balance)
    tolerance = {"rtol": 0, "atol": 1e-12 * max(1, abs(matrix).max() * n)}
    np.testing.assert_allclose(fast.row_sums(), matrix.sum(axis=1), **tolerance)
    for size in {1, n // 2 or 1, n}:
        batch = np.random.default_rng(size).choice(n, size=size, replace=False)
        np.testing.assert_allclose(fast.times(batch), matrix[:, batch].sum(axis=1), **tolerance)


@pytest.mark.parametrize("max_iter", [0, 1, 100])
@pytest.mark.parametrize("balance", [0.05, 1.0])
@pytest.mark.parametrize(("n", "n_classes", "k"), [(1, 2, 1), (12, 3, 12), (40, 4, 6), (60, 3, 20)])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_slow_loop(n, n_classes, k, balance, max_iter, seed):
    proba = random_proba(n, n_classes, seed)
    matrix = dense(proba, balance)
    expected = slow(matrix, k, max_iter)
    picks, scores = BatchRank(balance=balance, max_iter=max_iter, random_state=0).select(FakePool(proba=proba), None, k)
    assert sorted(picks.tolist()) == expected
    np.testing.assert_allclose(scores, matrix[np.ix_(picks, picks)].sum(axis=1), rtol=1e-9)
    assert (scores[:-1] >= scores[1:]).all()


def test_a_circle_ends_and_the_best_on_the_way_is_kept():
    """Seldom, but it happens: batches that take turns, of which the last need not be the best."""
    turns = 0
    for seed in range(300):
        matrix = Differences(random_proba(12, 3, seed, 0.5), 1.0)
        values = {}
        batch = np.sort(np.argsort(-matrix.row_sums(), kind="stable")[:4])
        for _ in range(60):
            product = matrix.times(batch)
            values[tuple(batch)] = product[batch].sum()
            following = np.sort(np.argsort(-product, kind="stable")[:4])
            if tuple(following) == tuple(batch):
                break
            batch = following
        else:
            turns += 1
        assert power_steps(matrix, 4, 60)[1].sum() == pytest.approx(max(values.values()))
    assert turns > 0


def test_batches_are_near_the_best():
    ratios = []
    for seed in range(20):
        proba = random_proba(12, 3, seed)
        matrix = dense(proba, 1.0)
        best = max(matrix[np.ix_(one, one)].sum() for one in itertools.combinations(range(12), 4))
        _, scores = BatchRank().select(FakePool(proba=proba), None, 4)
        assert scores.sum() <= best * (1 + 1e-9)
        ratios.append(scores.sum() / best)
    assert np.mean(ratios) > 0.95


def test_without_differences_it_is_the_entropy():
    pool = FakePool(proba=random_proba(40, 4))
    picks, scores = BatchRank(balance=0).select(pool, pool.X, 6)
    expected, entropies = EntropySampling().select(pool, pool.X, 6)
    assert picks.tolist() == expected.tolist()
    np.testing.assert_allclose(scores, entropies)


def test_two_that_differ_come_before_two_alike():
    proba = np.array([[0.9, 0.1, 0.0], [0.89, 0.11, 0.0], [0.0, 0.1, 0.9]])
    picks, _ = BatchRank().select(FakePool(proba=proba), None, 2)
    assert 2 in picks


def test_certain_predictions_are_finite():
    picks, scores = BatchRank().select(FakePool(proba=np.eye(4)[[0, 1, 2, 3, 0]]), None, 3)
    assert np.isfinite(scores).all()
    assert len({int(i) % 4 for i in picks}) == 3


def test_ties_are_broken_at_random_with_the_seed():
    pool = FakePool(proba=np.full((30, 3), 1 / 3))
    picks = {tuple(BatchRank(random_state=seed).select(pool, pool.X, 3)[0].tolist()) for seed in range(6)}
    assert len(picks) == 6
    assert BatchRank(random_state=0).select(pool, pool.X, 30)[1] == pytest.approx(np.full(30, np.log(3)))


def test_probabilities_are_needed():
    class Plain:
        classes_ = np.arange(2)

    with pytest.raises(PoolCapabilityError, match="BatchRank needs class probabilities"):
        BatchRank().select(Plain(), np.eye(2))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"balance": -1}, "The 'balance' parameter of BatchRank must be a float in the range"),
        ({"max_iter": -1}, "The 'max_iter' parameter of BatchRank must be an int in the range"),
    ],
)
def test_parameters(params, message):
    X = np.eye(2)
    with pytest.raises(ValueError, match=message):
        BatchRank(**params).select(LogisticRegression().fit(X, [0, 1]), X)
