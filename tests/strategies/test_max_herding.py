"""MaxHerding: plain greedy with dense kernels, the covered sample's coverage, the limits, cold starts."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skal.exceptions import PoolCapabilityError
from skal.learners import ActiveLearner
from skal.meta import ActiveLearningClassifier
from skal.strategies import MaxHerding, Prefilter
from skal.testing import FakePool, check_strategy


def unit(z):
    norms = np.linalg.norm(z, axis=1, keepdims=True)
    return z / np.where(norms > 0, norms, 1)


def kernels(a, b, bandwidth=1.0):
    return np.array([[np.exp(-(np.linalg.norm(x - y) ** 2) / bandwidth**2) for y in b] for x in a]).reshape(len(a), -1)


def slow_gains(similar, covered, weights):
    """What each row would add to the weighted mean coverage of all: in float64, one by one."""
    return [np.mean([u * max(k - c, 0) for k, c, u in zip(row, covered, weights, strict=True)]) for row in similar]


def follows_greedy(picks, gains, z, labeled, bandwidth=1.0, weights=None, candidates=None):
    """Each pick has the largest gain of those that are left, and that gain; returns how many were tied for it."""
    z, labeled = unit(np.asarray(z, float)), unit(np.asarray(labeled, float))
    weights = np.ones(len(z)) if weights is None else weights
    candidates = range(len(z)) if candidates is None else candidates
    similar = kernels(z, z, bandwidth)
    covered = kernels(z, labeled, bandwidth).max(axis=1, initial=0)
    left, tied = set(candidates), []
    for pick, gain in zip(picks.tolist(), gains.tolist(), strict=True):
        slow = slow_gains(similar, covered, weights)
        best = max(slow[i] for i in left)
        assert pick in left
        assert slow[pick] == pytest.approx(best, abs=1e-11)
        assert gain == pytest.approx(best, abs=1e-11)
        tied.append(sum(slow[i] > best - 1e-11 for i in left))
        left.remove(pick)
        covered = np.maximum(covered, similar[pick])
    return tied


def fake(z, labeled):
    labels = FakePool(embeddings=labeled, y=np.arange(len(labeled)) % 2, classes=[0, 1])
    return FakePool(embeddings=z, labeled=labels, classes=[0, 1])


@pytest.mark.parametrize(
    ("n", "d", "n_labeled", "k"), [(1, 1, 1, 1), (12, 2, 1, 12), (40, 3, 4, 15), (60, 16, 10, 20), (50, 300, 3, 9)]
)
@pytest.mark.parametrize("bandwidth", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_slow_loop(n, d, n_labeled, k, bandwidth, dtype):
    rng = np.random.default_rng([n, d])
    z, labeled = (rng.standard_normal((m, d)).astype(dtype) for m in (n, n_labeled))
    pool = fake(z, labeled)
    picks, gains = MaxHerding(bandwidth=bandwidth, random_state=0).select(pool, pool.X, k)
    tied = follows_greedy(picks, gains, z, labeled, bandwidth)
    if d > 2 and bandwidth > 0.1:
        # So that most picks are the reference's, one by one; two samples that cover nothing but each other are tied.
        assert tied[0] == 1 and 2 * tied.count(1) > k


@pytest.mark.parametrize("k", [3, 10, 20])
def test_duplicates_and_fewer_distinct_points_than_picks(k):
    rng = np.random.default_rng(0)
    z = np.repeat(rng.standard_normal((4, 5)), 5, axis=0)
    pool = fake(z, rng.standard_normal((2, 5)))
    picks, gains = MaxHerding(random_state=0).select(pool, pool.X, k)
    follows_greedy(picks, gains, z, pool.labeled.embeddings)
    assert len(set((picks[:4] // 5).tolist())) == min(k, 4)
    assert (gains[4:] == 0).all()


def test_ties_are_broken_at_random_with_the_seed():
    pool = fake(np.repeat([[1.0, 0.0], [-1.0, 0.0]], 10, axis=0), np.array([[0.0, 1.0]]))
    batches = {tuple(MaxHerding(random_state=seed).select(pool, pool.X, 2)[0].tolist()) for seed in range(20)}
    assert len(batches) > 15
    assert all({i // 10, j // 10} == {0, 1} for i, j in batches)


def five_blobs():
    """Five blobs on a circle, of different sizes, in one of which there is a label."""
    rng = np.random.default_rng(0)
    angles = np.concatenate([a + 0.1 * rng.standard_normal(n) for a, n in zip([0, 1, 2.2, 3.6, 5], [30, 12, 6, 20, 9])])
    return np.column_stack([np.cos(angles), np.sin(angles)]), np.array([[1.0, 0.0]])


def wrong_axis(similar, covered, k):
    """The candidate's coverage, instead of that of the sample that it would cover."""
    picks = []
    for _ in range(k):
        gains = np.maximum(similar - covered[:, None], 0).mean(axis=1)
        gains[picks] = -1
        picks.append(int(gains.argmax()))
        covered = np.maximum(covered, similar[picks[-1]])
    return picks


def test_it_is_the_covered_samples_coverage_that_enters():
    z, labeled = five_blobs()
    pool = fake(z, labeled)
    blobs = np.repeat(range(5), [30, 12, 6, 20, 9])
    assert set(blobs[MaxHerding(random_state=0).select(pool, pool.X, 4)[0]].tolist()) == {1, 2, 3, 4}
    picks, gains = MaxHerding(bandwidth=0.15, random_state=0).select(pool, pool.X, 4)
    follows_greedy(picks, gains, z, labeled, 0.15)
    similar, covered = kernels(z, z, 0.15), kernels(z, labeled, 0.15)[:, 0]

    def coverage(picks):
        return np.maximum(covered, similar[picks].max(axis=0)).mean()

    wrong = wrong_axis(similar, covered, 4)
    assert coverage(picks) > coverage(wrong) + 0.02
    assert coverage(picks) == pytest.approx(covered.mean() + gains.sum())


def test_candidates_are_a_random_part_and_cover_all():
    rng = np.random.default_rng(0)
    z, labeled = rng.standard_normal((40, 6)), rng.standard_normal((2, 6))
    pool = fake(z, labeled)
    drawn = [MaxHerding(n_candidates=8, random_state=seed).select(pool, pool.X, 8) for seed in range(6)]
    assert len({frozenset(picks.tolist()) for picks, _ in drawn}) > 3
    for picks, gains in drawn:
        follows_greedy(picks, gains, z, labeled, candidates=picks.tolist())
    # As many as are asked for, at least; and all of them, where the pool has no more.
    assert len(MaxHerding(n_candidates=3, random_state=0).select(pool, pool.X, 30)[0]) == 30
    whole = MaxHerding(n_candidates=40, random_state=0).select(pool, pool.X, 9)[0]
    assert whole.tolist() == MaxHerding(random_state=0).select(pool, pool.X, 9)[0].tolist()


def test_one_labelled_class_and_length_do_not_matter():
    rng = np.random.default_rng(0)
    z, labeled = rng.standard_normal((30, 4)), rng.standard_normal((3, 4))
    pool = fake(z, labeled)
    expected = MaxHerding(random_state=0).select(pool, pool.X, 8)[0]
    scaled = fake(z * rng.uniform(0.1, 9, size=(30, 1)), labeled * 7)
    assert MaxHerding(random_state=0).select(scaled, scaled.X, 8)[0].tolist() == expected.tolist()
    one = FakePool(embeddings=z, labeled=FakePool(embeddings=labeled, y=np.zeros(3, int)), classes=[0, 1])
    assert MaxHerding(random_state=0).select(one, one.X, 8)[0].tolist() == expected.tolist()


def test_cold_start_covers_the_pool():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((50, 5))
    picks, gains = MaxHerding(random_state=0).select(ActiveLearner(LogisticRegression(), MaxHerding()), z, 6)
    assert follows_greedy(picks, gains, z, z[:0]) == [1] * 6
    first = ActiveLearner(LogisticRegression(), MaxHerding(), cold_start=MaxHerding(random_state=0)).query(z, 6)
    assert first[0].tolist() == picks.tolist()


def test_wrapped_and_searched():
    check_strategy(MaxHerding(bandwidth=0.5, n_candidates=10))
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 5)), np.arange(80) % 2
    loop = ActiveLearningClassifier(
        LogisticRegression(), Prefilter(MaxHerding(), n_candidates=20), n_initial=8, n_instances=4, n_queries=2,
        random_state=0,
    )  # fmt: skip
    grid = {"query_strategy__strategy__bandwidth": [0.5, 1.0], "query_strategy__n_candidates": [10, 20]}
    assert GridSearchCV(loop, grid, cv=2, error_score="raise").fit(X, y).best_estimator_.n_labels_ == 16


def test_errors():
    pool = fake(np.ones((3, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match="'bandwidth' parameter of MaxHerding must be a float in the range"):
        MaxHerding(bandwidth=0).select(pool, pool.X)
    with pytest.raises(ValueError, match="'n_candidates' parameter of MaxHerding"):
        MaxHerding(n_candidates=0).select(pool, pool.X)
    clf = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(PoolCapabilityError, match=r"MaxHerding needs the labelled data.*X_training="):
        MaxHerding().select(clf, [[0.0], [1.0]])
