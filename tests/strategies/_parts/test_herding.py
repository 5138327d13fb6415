"""The greedy coverage below MaxHerding and UncertaintyHerding: its cheap bounds, and that it equals plain greedy."""

import numpy as np
import pytest

from skal.strategies._parts import _herding
from skal.strategies._parts._herding import Coverage, herd


def unit(rng, n, d):
    z = rng.standard_normal((n, d))
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def kernel(a, b, bandwidth):
    return np.exp(-(np.linalg.norm(a - b) ** 2) / bandwidth**2)


def test_kernel_and_coverage_by_hand():
    z = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    coverage = Coverage(z, 2.0)
    np.testing.assert_allclose(coverage.kernel(z[:1], coverage.sq_norms[:1]), [[1, np.exp(-0.5), 1]])
    np.testing.assert_allclose(coverage.by(z[1:2]), [np.exp(-0.5), 1, np.exp(-0.5)])
    np.testing.assert_allclose(coverage.by(z), [1, 1, 1])
    assert coverage.by(z[:0]).tolist() == [0, 0, 0]
    covered = np.array([0.9, 0.5, 1.0])
    np.testing.assert_allclose(coverage.added(np.array([0, 1]), covered), [[0.1, np.exp(-0.5) - 0.5, 0], [0, 0.5, 0]])


@pytest.mark.parametrize("d", [1, 4, 64, 512])
@pytest.mark.parametrize("bandwidth", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("n_labeled", [0, 5])
def test_the_cheap_bounds_are_bounds_and_close(d, bandwidth, n_labeled, monkeypatch):
    monkeypatch.setattr(_herding, "_SIDE", 37)  # several blocks, the last one smaller
    rng = np.random.default_rng([d, n_labeled])
    z = unit(rng, 150, d)
    coverage = Coverage(z, bandwidth)
    covered, weights = coverage.by(unit(rng, n_labeled, d)), rng.random(150) / 150
    bounds = coverage.upper_bounds(covered, weights)
    exact = coverage.added(np.arange(150), covered) @ weights
    assert (bounds >= exact).all()
    np.testing.assert_allclose(bounds, exact, atol=2e-3)


def test_bounds_that_say_too_little_are_not_computed():
    z = unit(np.random.default_rng(0), 20, 512)
    assert Coverage(z, 0.05).upper_bounds(np.zeros(20), np.ones(20)) is None
    assert Coverage(z, 1e-200).upper_bounds(np.zeros(20), np.ones(20)) is None


@pytest.mark.parametrize("bandwidth", [1e-308, 1e308])
def test_bandwidths_beyond_reason(bandwidth):
    z = unit(np.random.default_rng(0), 10, 3)
    coverage = Coverage(z, bandwidth)
    picks, gains = herd(coverage, coverage.by(z[:0]), np.ones(10), 10, np.random.default_rng(0))
    assert len(set(picks.tolist())) == 10 and np.isfinite(gains).all()
    # So narrow that each covers itself alone, or so wide that the first one covers all.
    np.testing.assert_allclose(gains, np.full(10, 0.1) if bandwidth < 1 else [1.0] + [0.0] * 9)


@pytest.mark.parametrize("many", [1, 10_000])
def test_lazy_steps_look_at_few_and_choose_the_same(many, monkeypatch):
    """With and without the cheap bounds again when the first picks have changed all gains."""
    monkeypatch.setattr(_herding, "_MANY", many)
    rng = np.random.default_rng(1)
    z = unit(rng, 400, 16)
    looked = []
    added = Coverage.added
    monkeypatch.setattr(Coverage, "added", lambda self, i, covered: looked.append(len(i)) or added(self, i, covered))
    picks, _ = herd(Coverage(z, 0.5), np.zeros(400), np.ones(400), 20, np.random.default_rng(0))
    assert sum(looked) < 20 * 400 / 4
    found, covered = [], np.zeros(400)
    similar = np.exp(-((z[:, None] - z) ** 2).sum(axis=2) / 0.25)
    for _ in range(20):
        found.append(int(np.argmax([np.maximum(row - covered, 0).sum() for row in similar])))
        covered = np.maximum(covered, similar[found[-1]])
    assert picks.tolist() == found


@pytest.mark.parametrize("held", [1, 3, 7, 400])
def test_what_is_held_of_the_kernels_changes_nothing(held, monkeypatch):
    rng = np.random.default_rng(2)
    z = unit(rng, 400, 16)
    expected = herd(Coverage(z, 0.5), np.zeros(400), np.ones(400), 30, np.random.default_rng(0))
    monkeypatch.setattr(_herding, "_HELD", held * 8 * 400)
    coverage = Coverage(z, 0.5)
    made, kernel = [], Coverage.kernel
    monkeypatch.setattr(Coverage, "kernel", lambda self, rows, sq: made.append(len(rows)) or kernel(self, rows, sq))
    found = herd(coverage, np.zeros(400), np.ones(400), 30, np.random.default_rng(0))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)
    if held == 400:
        assert sum(made) <= 400  # each row once
    i = np.array([5, 2, 9])
    before = coverage.added(i, np.zeros(400))
    coverage.added(i, np.zeros(400))[:] = -1  # a fresh array: nothing that is held
    np.testing.assert_array_equal(coverage.added(i, np.zeros(400)), before)
