"""BAIT: the trace form with two rows for each sample, inverted anew for each pick, and the limits."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skal.exceptions import PoolCapabilityError
from skal.strategies import BAIT
from skal.strategies._bait import backward, forward
from skal.testing import FakePool, check_strategy


def fake(z, proba, labeled, labeled_proba):
    y = np.zeros(len(labeled), dtype=int)
    return FakePool(embeddings=z, proba=proba, labeled=FakePool(embeddings=labeled, proba=labeled_proba, y=y))


def random_pool(n, d, m, n_classes, seed=0):
    rng = np.random.default_rng([n, d, m, seed])
    return fake(
        rng.standard_normal((n, d)),
        rng.dirichlet(np.ones(n_classes), n),
        rng.standard_normal((m, d)),
        rng.dirichlet(np.ones(n_classes), m + 1)[:m],
    )


def two_rows(view):
    """Gradients of the two outcomes "the predicted class is right" and "is wrong", by the root of their probability."""
    p = view.proba.max(axis=1)
    return [
        np.stack([np.sqrt(q) * (1 - q) * z, np.sqrt(1 - q) * -q * z])
        for q, z in zip(p, view.embeddings.astype(float), strict=True)
    ]


def slow(pool, batch, regularization=1.0, oversampling=2):
    """The trace of inverse times Fisher information, of every candidate in every step."""
    rows, labeled = two_rows(pool), two_rows(pool.labeled) if pool.n_labeled else []
    n, m, d = len(rows), len(labeled), pool.embeddings.shape[1]
    fisher = sum(r.T @ r for r in rows + labeled) / (n + m)
    rows = [r * np.sqrt(batch / (m + batch)) for r in rows]
    information = regularization * np.eye(d) + sum((r.T @ r for r in labeled), np.zeros((d, d))) / (m + batch)
    picks, scores = [], []

    def trace(information):
        return np.trace(np.linalg.inv(information) @ fisher)

    for _ in range(min(n, int(np.ceil(oversampling * batch)))):
        now = trace(information)
        gains = [now - trace(information + r.T @ r) if i not in picks else -np.inf for i, r in enumerate(rows)]
        picks.append(int(np.argmax(gains)))
        scores.append(max(gains))
        information = information + rows[picks[-1]].T @ rows[picks[-1]]
    kept = list(range(len(picks)))
    while len(kept) > batch:
        losses = [trace(information - rows[picks[i]].T @ rows[picks[i]]) for i in kept]
        dropped = kept.pop(int(np.argmin(losses)))
        information = information - rows[picks[dropped]].T @ rows[picks[dropped]]
    return [picks[i] for i in kept], [scores[i] for i in kept]


@pytest.mark.parametrize(
    ("n", "d", "m", "n_classes", "k"),
    [(1, 1, 1, 2, 1), (12, 3, 2, 2, 12), (30, 5, 4, 3, 6), (40, 20, 3, 10, 10), (25, 60, 5, 4, 8), (20, 4, 0, 3, 5)],
)
@pytest.mark.parametrize(("regularization", "oversampling"), [(1.0, 2), (0.01, 1), (0.1, 3.3)])
def test_equals_the_two_row_trace_form(n, d, m, n_classes, k, regularization, oversampling):
    pool = random_pool(n, d, m, n_classes)
    strategy = BAIT(regularization=regularization, oversampling=oversampling, random_state=0)
    picks, scores = strategy.select(pool, pool.X, k)
    expected, expected_scores = slow(pool, k, regularization, oversampling)
    if n_classes == 2 and k == n:
        assert set(picks.tolist()) == set(expected)
    else:
        assert picks.tolist() == expected
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-7, atol=1e-12)


def test_many_updates_stay_exact():
    rng = np.random.default_rng(0)
    v = rng.standard_normal((300, 20))
    fisher = v.T @ v / 300
    inverse = np.linalg.inv(0.1 * np.eye(20))
    picks, scores = forward(v, inverse, fisher, 200, rng)
    before = np.trace(inverse @ fisher)
    after = np.trace(np.linalg.inv(0.1 * np.eye(20) + v[picks].T @ v[picks]) @ fisher)
    assert scores.sum() == pytest.approx(before - after, rel=1e-9)
    kept = backward(v[picks], np.linalg.inv(0.1 * np.eye(20) + v[picks].T @ v[picks]), fisher, 200, rng)
    assert kept.tolist() == list(range(200))


def test_by_hand():
    """One feature: v^2 = p (1 - p) h^2, so that what is picked has the largest |h| among equals in p."""
    pool = fake(np.array([[1.0], [3.0], [2.0]]), np.full((3, 2), 0.5), np.array([[2.0]]), np.array([[0.5, 0.5]]))
    picks, scores = BAIT(oversampling=1).select(pool, pool.X, 1)
    fisher, known, new = (1 + 9 + 4 + 4) / 4 / 4, 1 + 1 / 2, 9 / 4 / 2
    assert picks.tolist() == [1]
    np.testing.assert_allclose(scores, [fisher / known - fisher / (known + new)])


def test_a_sure_sample_tells_nothing_and_a_direction_is_asked_once():
    z = np.array([[5.0, 0.0], [1.0, 0.0], [0.9, 0.0], [0.0, 0.8]])
    pool = fake(z, np.array([[1, 0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]), np.zeros((1, 2)), np.array([[0.5, 0.5]]))
    picks, _ = BAIT(regularization=0.01, random_state=0).select(pool, pool.X, 2)
    assert set(picks.tolist()) == {1, 3}
    assert BAIT(regularization=0.01, random_state=0).select(pool, pool.X, 4)[0].tolist()[-1] == 0


def test_dropping_mends_what_greedy_has_picked():
    differs = 0
    for seed in range(30):
        pool = random_pool(15, 3, 1, 3, seed)
        plain = BAIT(regularization=0.01, oversampling=1, random_state=0).select(pool, pool.X, 3)[0]
        more = BAIT(regularization=0.01, random_state=0).select(pool, pool.X, 3)[0]
        differs += set(plain.tolist()) != set(more.tolist())
    assert differs > 3


def test_duplicates_and_ties():
    rng = np.random.default_rng(0)
    z = np.repeat(rng.standard_normal((3, 4)), 6, axis=0)
    pool = fake(z, np.full((18, 2), 0.5), rng.standard_normal((2, 4)), np.full((2, 2), 0.5))
    assert len(set(BAIT().select(pool, pool.X, 18)[0].tolist())) == 18
    zeros = fake(np.zeros((8, 3)), np.full((8, 2), 0.5), np.zeros((1, 3)), np.full((1, 2), 0.5))
    batches = {tuple(BAIT(random_state=seed).select(zeros, zeros.X, 2)[0].tolist()) for seed in range(20)}
    assert len(batches) > 10


@pytest.mark.parametrize("regularization", [1e-308, 1e-20, 1e308])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_a_prior_beyond_reason_gives_finite_scores(regularization, scale):
    pool = random_pool(20, 30, 3, 3)
    pool = fake(pool.embeddings * scale, pool.proba, pool.labeled.embeddings * scale, pool.labeled.proba)
    picks, scores = BAIT(regularization=regularization).select(pool, pool.X, 6)
    assert len(set(picks.tolist())) == 6 and np.isfinite(scores).all()


def test_errors():
    pool = random_pool(5, 2, 1, 2)
    with pytest.raises(ValueError, match="'regularization' parameter of BAIT must be a float in the range"):
        BAIT(regularization=0).select(pool, pool.X)
    with pytest.raises(ValueError, match="'oversampling' parameter of BAIT"):
        BAIT(oversampling=0.5).select(pool, pool.X)
    huge = fake(np.full((3, 2), 1e80), np.full((3, 2), 0.5), np.ones((1, 2)), np.full((1, 2), 0.5))
    with pytest.raises(ValueError, match=r"BAIT takes embeddings to the power of 4.*1e75.*StandardScaler"):
        BAIT().select(huge, huge.X)
    clf = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(PoolCapabilityError, match=r"BAIT needs the labelled data.*X_training="):
        BAIT().select(clf, [[0.0], [1.0]])


def test_rules_with_other_parameters():
    check_strategy(BAIT(regularization=0.1, oversampling=1))
