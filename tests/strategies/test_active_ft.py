"""ActiveFT: the loss as a double loop, its gradient by differences, the selection, the limits, the errors."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skal.strategies import ActiveFT
from skal.strategies._active_ft import contrastive_loss, printed_loss


class Plain:
    """A classifier without a head: embeddings are its input."""

    classes_ = np.arange(2)

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def slow_contrastive(F, theta, tau, diversity, fixed=None):
    """Each sample against its centroid's repulsion; `fixed` are the centroids that no gradient flows through."""
    theta, fixed = unit(theta), unit(theta if fixed is None else fixed)
    total = 0.0
    for f in F:
        c = max(range(len(theta)), key=lambda k: f @ theta[k])
        positive = np.exp(f @ theta[c] / tau)
        total -= np.log(positive / (positive + diversity * sum(np.exp(theta[c] @ other / tau) for other in fixed)))
    return total / len(F)


def slow_loss(F, theta, tau, diversity, fixed=None):
    theta = unit(theta)
    attraction = np.mean([max(f @ t for t in theta) / tau for f in F])
    repulsion = 0.0
    if len(theta) > 1:
        repulsion = np.mean(
            [
                np.log(sum(np.exp(theta[j] @ theta[k] / tau) for k in range(len(theta)) if k != j))
                for j in range(len(theta))
            ]
        )
    return -attraction + diversity * repulsion


@pytest.mark.parametrize(("fast", "slow"), [(printed_loss, slow_loss), (contrastive_loss, slow_contrastive)])
@pytest.mark.parametrize(("n", "d", "k"), [(1, 2, 1), (20, 3, 5), (30, 17, 12)])
@pytest.mark.parametrize(("tau", "diversity"), [(0.07, 1.0), (0.5, 0.0), (1.0, 2.5)])
def test_loss_and_gradient_equal_the_slow_loop(n, d, k, tau, diversity, fast, slow, monkeypatch):
    monkeypatch.setattr("skal.strategies._active_ft._ROWS", 7)
    rng = np.random.default_rng([n, d])
    F, theta = unit(rng.standard_normal((n, d))), rng.standard_normal((k, d))
    t = torch.tensor(theta, requires_grad=True)
    loss = fast(F, t, tau, diversity)
    assert loss.item() == pytest.approx(slow(F, theta, tau, diversity), rel=1e-10)
    loss.backward()
    for index in [(0, 0), (k - 1, d - 1)]:
        step = np.zeros((k, d))
        step[index] = 1e-6
        difference = slow(F, theta + step, tau, diversity, theta) - slow(F, theta - step, tau, diversity, theta)
        assert t.grad[index].item() == pytest.approx(difference / 2e-6, rel=1e-4, abs=1e-6)


def test_selection_equals_the_slow_loop():
    """Adam written out from the same start; each centroid in turn takes the most similar sample that is left."""
    X = np.random.default_rng(0).standard_normal((40, 4))
    strategy = ActiveFT(max_iter=25, learning_rate=0.05, init="random", random_state=np.random.RandomState(5))
    query_idx, scores = strategy.select(Plain(), X, 12)
    F = unit(X)
    words = np.random.RandomState(5).randint(2**31 - 1, size=4)
    theta = F[np.random.default_rng([int(word) for word in words]).choice(40, size=12, replace=False)]
    m = v = np.zeros_like(theta)
    for step in range(1, 26):
        t = torch.tensor(theta, requires_grad=True)
        contrastive_loss(F, t, 0.07, 1.0).backward()
        g = t.grad.numpy()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        theta = theta - 0.05 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    left, expected = set(range(40)), {}
    for centroid in unit(theta):
        best = max(left, key=lambda i: F[i] @ centroid)
        expected[best] = F[best] @ centroid
        left.remove(best)
    assert set(query_idx.tolist()) == set(expected)
    np.testing.assert_allclose(scores, [expected[i] for i in query_idx], atol=1e-9)
    assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize(("loss", "slow"), [("printed", slow_loss), ("contrastive", slow_contrastive)])
def test_the_loss_goes_down(loss, slow):
    F = unit(np.random.default_rng(0).standard_normal((60, 5)))
    strategy = ActiveFT(loss=loss, learning_rate=0.01, max_iter=100)
    before, after = F[:8], strategy._optimise(F, F[:8])
    assert slow(F, after, 0.07, 1.0) < slow(F, before, 0.07, 1.0) - 0.1


def test_the_contrastive_loss_covers_better_than_the_start_and_the_printed_one():
    """Mean similarity of every sample to the nearest of the batch, on real images."""
    X = load_digits().data[:600]
    F = unit(X)
    strategies = [
        ActiveFT(random_state=0),
        ActiveFT(loss="printed", random_state=0),
        ActiveFT(max_iter=0, init="random", random_state=0),
    ]
    coverage = [(F @ F[s.select(Plain(), X, 20)[0]].T).max(axis=1).mean() for s in strategies]
    assert coverage[0] > max(coverage[1:]) + 0.01


def test_without_steps_it_is_a_random_batch():
    X = np.random.default_rng(0).standard_normal((30, 3))
    strategies = [ActiveFT(max_iter=0, init="random", random_state=s) for s in range(6)]
    assert len({tuple(sorted(strategy.select(Plain(), X, 6)[0].tolist())) for strategy in strategies}) == 6
    assert strategies[0].select(Plain(), X, 6)[1] == pytest.approx(np.ones(6))


def test_fewer_distinct_samples_than_picks():
    X = np.repeat([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], 5, axis=0)
    query_idx, scores = ActiveFT(max_iter=5, random_state=0).select(Plain(), X, 15)
    assert sorted(query_idx.tolist()) == list(range(15))
    assert np.isfinite(scores).all()


def test_works_where_gradients_are_off():
    X = np.random.default_rng(0).standard_normal((20, 3))
    expected = ActiveFT(max_iter=5, random_state=0).select(Plain(), X, 4)[0]
    with torch.no_grad():
        np.testing.assert_array_equal(ActiveFT(max_iter=5, random_state=0).select(Plain(), X, 4)[0], expected)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"temperature": 0}, "The 'temperature' parameter of ActiveFT must be a float in the range"),
        ({"diversity": -1}, "'diversity' parameter of ActiveFT must be a float in the range"),
        ({"loss": "infonce"}, "The 'loss' parameter of ActiveFT must be a str among"),
        ({"learning_rate": 0}, "'learning_rate' parameter of ActiveFT must be a float in the range"),
        ({"max_iter": -1}, "'max_iter' parameter of ActiveFT must be an int in the range"),
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        ActiveFT(**params).select(Plain(), np.ones((3, 2)))


def test_a_spread_start_finds_groups_that_a_random_one_misses():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(12), 25)
    X = rng.normal(size=(12, 8))[group] * 8 + 0.1 * rng.normal(size=(300, 8))

    def hits(init, seed):
        return len({*group[ActiveFT(init=init, random_state=seed).select(Plain(), X, 12)[0]].tolist()})

    assert {hits("k-means++", seed) for seed in range(3)} == {12}
    assert max(hits("random", seed) for seed in range(3)) < 12
