"""DropQuery: candidates by a loop, the threshold that is lowered, the fill, the limits."""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.svm import SVC

from skal.exceptions import PoolCapabilityError
from skal.strategies import DropQuery, drop_query_sampling
from skal.strategies import _drop_query as module
from skal.testing import FakePool

# Two classes, by the sign of the sum of the features.
HEAD = (np.array([[1.0] * 4, [-1.0] * 4]), np.zeros(2))


def changes(z, n_passes, dropout=0.75, seed=0, head=HEAD):
    fake = FakePool(embeddings=z, head=head)
    return DropQuery(n_passes=n_passes, dropout=dropout)._changes(fake, np.random.default_rng(seed))


@pytest.mark.parametrize("rows", [7, 4096])
@pytest.mark.parametrize("dropout", [0.0, 0.5, 0.75])
def test_counts_equal_the_slow_loop(rows, dropout, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", rows)
    rng = np.random.default_rng(1)
    z, weight, bias = rng.standard_normal((20, 5)), rng.standard_normal((3, 5)), rng.standard_normal(3)
    found = changes(z, 4, dropout, head=(weight, bias))
    rng, slow = np.random.default_rng(0), np.zeros(20, dtype=int)
    for start in range(0, 20, rows):
        part = range(start, min(20, start + rows))
        for _ in range(4):
            kept = rng.random((len(part), 5), dtype=np.float32) >= dropout
            for i, keep in zip(part, kept, strict=True):
                dropped = weight @ (z[i] * keep / (1 - dropout)) + bias
                slow[i] += np.argmax(dropped) != np.argmax(weight @ z[i] + bias)
    assert found.tolist() == slow.tolist()
    assert (found.sum() > 0) == (dropout > 0)


def test_each_feature_is_dropped_with_that_probability():
    # The prediction changes if and only if the one large feature is dropped and another is kept.
    z = np.tile([9.0, -1.0, -1.0, -1.0], (4000, 1))
    counts = changes(z, 5)
    assert counts.mean() / 5 == pytest.approx(0.75 * (1 - 0.75**3), abs=0.02)
    # Anew for each sample and pass.
    expected = 4000 * binom.pmf(range(6), 5, 0.75 * (1 - 0.75**3))
    np.testing.assert_allclose(np.bincount(counts, minlength=6), expected, atol=150)


def stated(counts, z=None, **params):
    """A strategy that counts what is given, its pool, and the counts."""
    counts = np.asarray(counts)
    z = np.random.default_rng(0).standard_normal((len(counts), 4)) if z is None else z

    class Stated(DropQuery):
        def _changes(self, pool, rng):
            return counts

    fake = FakePool(embeddings=z, head=HEAD)
    return Stated(random_state=0, **params), fake


def test_the_threshold_is_lowered_until_there_are_enough():
    counts = np.repeat([3, 2, 1, 0], [2, 4, 6, 8])
    for factor, k, least in ((1, 2, 2), (3, 2, 2), (3.5, 2, 1), (6, 2, 1), (25, 2, 1)):
        strategy, fake = stated(counts, candidate_factor=factor)
        seen = set()
        for seed in range(30):
            seen |= set(strategy.with_params({"random_state": seed}).select(fake, fake.X, k)[0].tolist())
        assert counts[list(seen)].min() == least
    # An even number of passes: more than half of them first.
    strategy, fake = stated(counts, n_passes=4, candidate_factor=1)
    assert set(strategy.select(fake, fake.X, 2)[0].tolist()) == {0, 1}


def test_one_near_each_centre():
    rng = np.random.default_rng(0)
    centers = 5 * np.eye(4)
    z = np.repeat(centers, 10, axis=0) + 0.3 * rng.standard_normal((40, 4))
    z *= rng.uniform(0.5, 2, size=(40, 1))  # the length does not matter
    strategy, fake = stated(np.full(40, 2), z)
    picks, scores = strategy.select(fake, fake.X, 4)
    assert set((picks // 10).tolist()) == {0, 1, 2, 3}
    assert scores.tolist() == [2 / 3] * 4
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    for pick in picks.tolist():
        group = np.arange(10) + pick // 10 * 10
        distances = np.linalg.norm(unit[group] - unit[group].mean(axis=0), axis=1)
        assert group[distances.argmin()] == pick


def test_too_few_candidates_are_filled_at_random():
    strategy, fake = stated([0] * 10 + [3, 1])
    batches = [strategy.with_params({"random_state": seed}).select(fake, fake.X, 5) for seed in range(10)]
    for picks, scores in batches:
        assert picks[:2].tolist() == [10, 11]
        np.testing.assert_allclose(scores, [1, 1 / 3, 0, 0, 0])
    assert len({frozenset(picks.tolist()) for picks, _ in batches}) > 5
    strategy, fake = stated([0] * 6)
    assert len(set(strategy.select(fake, fake.X, 6)[0].tolist())) == 6


def test_candidates_that_are_alike_are_filled_by_other_candidates():
    strategy, fake = stated([3] * 8 + [0] * 20, np.ones((28, 4)))
    assert set(strategy.select(fake, fake.X, 8)[0].tolist()) == set(range(8))
    assert set(strategy.select(fake, fake.X, 5)[0].tolist()) < set(range(8))


def test_many_clusters_in_mini_batches():
    rng = np.random.default_rng(0)
    strategy, fake = stated(np.full(300, 3), rng.standard_normal((300, 4)))
    assert len(set(strategy.select(fake, fake.X, 60)[0].tolist())) == 60


def test_one_class_has_no_other():
    fake = FakePool(embeddings=np.ones((6, 3)), head=(np.ones((1, 3)), np.zeros(1)))
    picks, scores = DropQuery().select(fake, fake.X, 3)
    assert len(set(picks.tolist())) == 3 and (scores == 0).all()


def test_errors():
    fake = FakePool(embeddings=np.ones((3, 4)), head=HEAD)
    for name, value in (("n_passes", 0), ("dropout", 1.0), ("dropout", -0.1), ("candidate_factor", 0.9)):
        with pytest.raises(ValueError, match=f"'{name}' parameter of DropQuery must be"):
            drop_query_sampling.select(fake, fake.X, **{name: value})
    X = np.random.default_rng(0).standard_normal((20, 2))
    with pytest.raises(PoolCapabilityError, match="DropQuery needs a differentiable `head`"):
        DropQuery().select(SVC().fit(X, np.arange(20) % 2), X)
