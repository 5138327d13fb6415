"""The kernels give the same picks for arrays, tensors and, where there is one, on a CUDA device; in float32 and 64."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from skal.models import Head
from skal.strategies import DECERN, CoreSet, MaxHerding, NoiseStability, ProbCover
from skal.strategies._decern import discrepancy_confusion
from skal.strategies._parts._clustering import fit_kmeans, k_center_greedy, nearest_squared_distances
from skal.strategies._parts._herding import Coverage, herd
from skal.strategies._parts._pairs import Pairs
from skal.strategies._prob_cover import cover_lists, purity_radius
from skal.testing import FakePool
from skal.utils._arrays import l2_normalize

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

cuda = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
)
on_each_device = pytest.mark.parametrize("place", ["cpu", cuda])
in_each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(scope="module")
def digits():
    """Embeddings of a small network, its probabilities and last layer, for a pool and a labelled set."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    net = MLPClassifier((32,), max_iter=60, random_state=0).fit(X[:300], y[:300])
    z = np.maximum(X @ net.coefs_[0] + net.intercepts_[0], 0)
    return {"z": z[300:], "labeled": z[:300], "y": y[:300], "head": (net.coefs_[1].T, net.intercepts_[1]), "net": net}


def clustered(n, d, dtype, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((5, d))
    return (centers[rng.integers(5, size=n)] + rng.standard_normal((n, d)) / 2).astype(dtype)


def on(place, values):
    return torch.from_numpy(values).to(place)


@on_each_device
@in_each_dtype
def test_k_center(place, dtype):
    z, centers = clustered(400, 12, dtype), clustered(9, 12, dtype, seed=1)
    expected = k_center_greedy(z, nearest_squared_distances(z, centers), 40, np.random.default_rng(0))
    closest = nearest_squared_distances(on(place, z), on(place, centers))
    assert isinstance(closest, np.ndarray) and closest.dtype == np.float64
    found = k_center_greedy(on(place, z), closest, 40, np.random.default_rng(0))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)


@on_each_device
@in_each_dtype
def test_cover(place, dtype):
    z = l2_normalize(clustered(300, 12, dtype))
    labels, _ = fit_kmeans(z, 5, np.random.default_rng(0))
    answers = []
    for values in (z, on(place, z)):
        rng, pairs = np.random.default_rng(1), Pairs(300, 10**6)
        radius = purity_radius(values, labels, 0.8, rng, pairs)
        answers.append((radius, *cover_lists(*pairs.within(radius), np.ones(300, bool), 30, rng)))
    assert answers[0][0] == pytest.approx(answers[1][0], rel=1e-5)
    np.testing.assert_array_equal(answers[0][1:], answers[1][1:])


@on_each_device
@in_each_dtype
def test_discrepancy_confusion(place, dtype, digits):
    z, anchors = digits["z"].astype(dtype), digits["labeled"][:10]
    arguments = (anchors, np.full((10, 10), 0.1), Head(weight=digits["head"][0], bias=digits["head"][1]))
    settings = {"mask_ratio": 0.1, "n_bins": 100, "alpha_clip": 1 / 64}
    expected = discrepancy_confusion(z, *arguments, **settings)
    found = discrepancy_confusion(on(place, z), *arguments, **settings)
    assert isinstance(found, np.ndarray) and found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)


@on_each_device
def test_herding(place):
    z = l2_normalize(clustered(300, 12, np.float64))
    weights = np.random.default_rng(0).random(300)
    answers = []
    for values in (z, on(place, z)):
        coverage = Coverage(values, 0.7)
        answers.append(herd(coverage, coverage.by(z[:3]), weights, 30, np.random.default_rng(0)))
    np.testing.assert_array_equal(answers[0][0], answers[1][0])
    np.testing.assert_allclose(answers[0][1], answers[1][1], atol=1e-12)


def pools(digits):
    """The same pool in float32, and those numbers in float64."""
    for dtype in (np.float32, np.float64):
        rounded = {key: digits[key].astype(np.float32).astype(dtype) for key in ("z", "labeled")}
        labeled = FakePool(embeddings=rounded["labeled"], head=digits["head"], y=digits["y"])
        pool = FakePool(embeddings=rounded["z"], head=digits["head"], labeled=labeled)
        assert pool.embeddings.dtype == dtype
        yield pool


def test_decern_in_float32(digits):
    """The scores to 1e-5 of themselves; of the best hundred those that are no nearer to the next than that."""
    narrow, wide = (DECERN().score_samples(pool, pool.X) for pool in pools(digits))
    np.testing.assert_allclose(narrow, wide, rtol=1e-5)
    assert (narrow != wide).any()
    order = np.argsort(-wide)
    near_tie = wide[order[99]] * (1 + 2e-5)
    assert {i for i in order[:100] if wide[i] > near_tie} <= set(np.argsort(-narrow)[:100])


@pytest.mark.parametrize("strategy", [CoreSet(random_state=0), MaxHerding(random_state=0)])
def test_what_compares_in_float64_whatever_it_gets(strategy, digits):
    narrow, wide = (strategy.select(pool, pool.X, 50) for pool in pools(digits))
    np.testing.assert_array_equal(narrow[0], wide[0])
    np.testing.assert_allclose(narrow[1], wide[1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("delta", [0.2, 0.4, "auto"])
def test_prob_cover_in_float32(delta, digits):
    """No pair of digits lies within rounding of these radii, so that all counts are the same."""
    narrow, wide = (
        ProbCover(delta=delta, normalize=True, random_state=0).select(pool, pool.X, 50) for pool in pools(digits)
    )
    np.testing.assert_array_equal(narrow[0], wide[0])
    np.testing.assert_array_equal(narrow[1], wide[1])


def test_noise_stability_in_float32(digits):
    """What a thousandth of noise moves is larger by far than the 6e-8 by which probabilities are rounded: distances
    agree to a thousandth, and no two of these picks are nearer to each other than that."""
    net, X = digits["net"], load_digits().data[300:] / 16
    small = copy.copy(net)
    small.coefs_, small.intercepts_ = ([w.astype(np.float32) for w in of] for of in (net.coefs_, net.intercepts_))
    strategy = NoiseStability(n_samples=5, random_state=0)
    wide, narrow = strategy.select(net, X, 10), strategy.select(small, X.astype(np.float32), 10)
    assert small.predict_proba(X[:1].astype(np.float32)).dtype == np.float32
    assert (narrow[1] != wide[1]).any()
    np.testing.assert_allclose(narrow[1], wide[1], rtol=1e-3)
    np.testing.assert_array_equal(narrow[0], wide[0])
