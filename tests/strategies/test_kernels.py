"""Kernels of selection: a tensor, on whatever device, gives what an array gives."""

import numpy as np
import pytest
import torch

from skal.strategies._active_ft import ActiveFT, in_turn
from skal.strategies._alfa_mix import exact_caps
from skal.strategies._badge import spread_gradients
from skal.strategies._parts._clustering import kmeans_plus_plus, squared_distances
from skal.strategies._parts._gradients import pseudo_label_errors
from skal.strategies._parts._neighbors import nearest_neighbors
from skal.utils._arrays import on_host, squared_norms

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")),
]
pytestmark = [pytest.mark.parametrize("device", DEVICES), pytest.mark.parametrize("dtype", [np.float32, np.float64])]
N, D, C = 300, 40, 7


def embeddings(dtype):
    """After a ReLU, with two copies of a sample."""
    z = np.maximum(np.random.default_rng(0).standard_normal((N, D)), 0).astype(dtype)
    z[5] = z[9]
    return z


def logits(dtype):
    return (3 * np.random.default_rng(1).standard_normal((N, C))).astype(dtype)


def test_squared_norms_and_distances(dtype, device):
    z = embeddings(dtype)
    t = torch.tensor(z, device=device)
    norms = squared_norms(t)
    assert on_host(norms).dtype == dtype
    np.testing.assert_allclose(on_host(norms), squared_norms(z), rtol=1e-5)
    distances = on_host(squared_distances(t @ t[9], norms, norms[9]))
    assert distances[5] == distances[9] == 0
    np.testing.assert_allclose(distances, ((z - z[9]) ** 2).sum(axis=1), rtol=1e-4)


def test_kmeans_plus_plus(dtype, device):
    z = embeddings(dtype)
    t = torch.tensor(z, device=device)
    expected, values = kmeans_plus_plus(squared_norms(z), lambda i: z @ z[i], 60, np.random.default_rng(2))
    picks, found = kmeans_plus_plus(squared_norms(t), lambda i: t @ t[i], 60, np.random.default_rng(2))
    assert picks.tolist() == expected.tolist()
    np.testing.assert_allclose(found, values, rtol=1e-4)
    # All there are: the last distance is 0.
    picks, found = kmeans_plus_plus(squared_norms(t), lambda i: t @ t[i], N, np.random.default_rng(2))
    assert sorted(picks.tolist()) == list(range(N))
    assert found[-1] == 0


@pytest.mark.parametrize("relative", [False, True])
def test_errors_of_pseudo_labels(dtype, device, relative):
    errors, predicted = pseudo_label_errors(torch.tensor(logits(dtype), device=device), relative=relative)
    expected = pseudo_label_errors(logits(dtype), relative=relative)
    np.testing.assert_allclose(on_host(errors), expected[0], rtol=1e-12)
    assert on_host(predicted).tolist() == expected[1].tolist()


def test_badge(dtype, device):
    z, errors = embeddings(dtype), pseudo_label_errors(logits(dtype))[0].astype(dtype)
    factors = [torch.tensor(factor, device=device) for factor in (errors, z)]
    picks = [
        spread_gradients(e, f, squared_norms(e) * squared_norms(f), 60, np.random.default_rng(3))[0].tolist()
        for e, f in ((errors, z), factors)
    ]
    assert picks[0] == picks[1]


def test_alfa_mix(dtype, device):
    z, rng = embeddings(dtype), np.random.default_rng(4)
    weight, anchors = rng.standard_normal((C, D)), np.maximum(rng.standard_normal((C, D)), 0)
    anchors[0] = z[0]  # equal features that are not 0
    expected = exact_caps(z, logits(dtype), weight, anchors)
    caps = exact_caps(*(torch.tensor(x, device=device) for x in (z, logits(dtype))), weight, anchors)
    np.testing.assert_allclose(caps, expected, rtol=2e-3 if dtype == np.float32 else 1e-9)
    assert set(np.argsort(caps)[:50].tolist()) == set(np.argsort(expected)[:50].tolist())


@pytest.mark.parametrize("loss", ["contrastive", "printed"])
def test_active_ft(dtype, device, loss):
    z = embeddings(dtype)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    t = torch.tensor(z, device=device)
    strategy = ActiveFT(max_iter=30, learning_rate=0.01, loss=loss)
    expected, found = strategy._optimise(z, z[:12]), strategy._optimise(t, t[:12])
    np.testing.assert_allclose(found, expected, atol=1e-4 if dtype == np.float32 else 1e-9)
    chosen, scores = in_turn(t, found)
    left, slow = set(range(N)), []
    for centroid in found:
        slow.append(max(left, key=lambda i: z[i] @ centroid))
        left.remove(slow[-1])
    assert chosen.tolist() == slow
    np.testing.assert_allclose(scores, (z[slow] * found).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "combined"])
@pytest.mark.parametrize("n_candidates", [50, None])
def test_neighbors(dtype, device, metric, n_candidates):
    z = embeddings(dtype)
    expected = nearest_neighbors(z, 6, metric=metric, n_candidates=n_candidates)
    found = nearest_neighbors(torch.tensor(z, device=device), 6, metric=metric, n_candidates=n_candidates)
    assert found.idx.tolist() == expected.idx.tolist()
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-5)
