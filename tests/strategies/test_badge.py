"""BADGE: k-means++ on gradients from autograd, the limits, the errors."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier

from skal.exceptions import PoolCapabilityError
from skal.strategies import BADGE


class LinearModel:
    """A classifier with known weights: embeddings are its input."""

    def __init__(self, weight, bias=None):
        self.coef_ = np.asarray(weight, dtype=float)
        self.intercept_ = np.zeros(len(self.coef_)) if bias is None else np.asarray(bias, dtype=float)
        self.classes_ = np.arange(len(self.coef_))

    def predict_proba(self, X):
        return softmax(np.asarray(X) @ self.coef_.T + self.intercept_, axis=1)


class NonlinearModel:
    classes_ = np.arange(2)

    def embed(self, X):
        return np.asarray(X)

    def head(self, Z):
        return torch.tanh(Z)

    def predict_proba(self, X):
        return softmax(np.tanh(X), axis=1)


def gradient_embeddings(model, X):
    """By autograd, one sample at a time: gradient of the pseudo-label's loss by the weight, `(n, C * d)`."""
    rows = []
    for x in X:
        weight = torch.tensor(model.coef_, requires_grad=True)
        logits = weight @ torch.tensor(x, dtype=torch.float64) + torch.tensor(model.intercept_)
        torch.nn.functional.cross_entropy(logits[None], logits.argmax()[None]).backward()
        rows.append(weight.grad.numpy().ravel())
    return np.array(rows)


def slow(G, k, rng):
    norms = (G**2).sum(axis=1)
    picks = [int(rng.choice(np.flatnonzero(norms == norms.max())))]
    values = [norms[picks[0]]]
    while len(picks) < k:
        nearest = np.array([min(((g - G[j]) ** 2).sum() for j in picks) for g in G])
        draw = rng.random() * nearest.sum()
        picks.append(int(np.argmax(np.cumsum(nearest) > draw)))
        values.append(nearest[picks[-1]])
    return picks, values


def generator(seed):
    """What a strategy with `RandomState(seed)` draws from."""
    return np.random.default_rng([int(word) for word in np.random.RandomState(seed).randint(2**31 - 1, size=4)])


@pytest.mark.parametrize(("n", "d", "n_classes", "k"), [(1, 1, 2, 1), (20, 3, 2, 20), (40, 7, 5, 15), (25, 60, 11, 25)])
def test_equals_the_slow_loop(n, d, n_classes, k):
    rng = np.random.default_rng([n, d])
    model = LinearModel(rng.standard_normal((n_classes, d)), rng.standard_normal(n_classes))
    X = rng.standard_normal((n, d))
    query_idx, scores = BADGE(random_state=np.random.RandomState(3)).select(model, X, k)
    picks, values = slow(gradient_embeddings(model, X), k, generator(3))
    assert query_idx.tolist() == picks
    np.testing.assert_allclose(scores, values, atol=1e-9)


def test_the_inner_product_factors():
    rng = np.random.default_rng(0)
    model, X = LinearModel(rng.standard_normal((4, 6))), rng.standard_normal((10, 6))
    p = model.predict_proba(X)
    errors = p - np.eye(4)[p.argmax(axis=1)]
    G = gradient_embeddings(model, X)
    np.testing.assert_allclose(G @ G.T, (errors @ errors.T) * (X @ X.T), atol=1e-12)


def test_first_is_the_largest_gradient():
    model = LinearModel(np.eye(2))
    # Equally unsure, so the longest; and one that is longer but sure.
    X = np.array([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0], [50.0, 0.0]])
    query_idx, scores = BADGE(random_state=0).select(model, X, 1)
    assert query_idx.tolist() == [1]
    np.testing.assert_allclose(scores, [0.5 * 18])


def test_never_a_sample_twice_though_all_others_are_duplicates():
    rng = np.random.default_rng(0)
    model = LinearModel(rng.standard_normal((3, 5)))
    X = np.repeat(100 * rng.standard_normal((2, 5)), [1, 30], axis=0)
    for seed in range(10):
        query_idx, scores = BADGE(random_state=seed).select(model, X, 31)
        assert sorted(query_idx.tolist()) == list(range(31))
        assert 0 in query_idx[:2]
        assert (scores[2:] == 0).all()


def test_probabilities_of_exactly_one_are_no_error():
    query_idx, scores = BADGE(random_state=0).select(LinearModel(1e5 * np.eye(2)), np.eye(2)[[0, 1] * 5] + 1, 6)
    assert len(set(query_idx.tolist())) == 6
    assert (scores == 0).all()


def test_one_predicted_class():
    model = LinearModel(np.zeros((2, 2)), [5.0, 0.0])
    query_idx, _ = BADGE(random_state=0).select(model, np.eye(2)[[0, 1] * 4], 5)
    assert len(set(query_idx.tolist())) == 5
    assert set((query_idx[:2] % 2).tolist()) == {0, 1}


def test_errors():
    X, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 2
    with pytest.raises(PoolCapabilityError, match="BADGE needs a linear `head`, which RandomForestClassifier"):
        BADGE().select(RandomForestClassifier(3, random_state=0).fit(X, y), X)
    with pytest.raises(PoolCapabilityError, match="BADGE needs a linear `head`, which NonlinearModel does not supply"):
        BADGE().select(NonlinearModel(), X)
    with pytest.raises(ValueError, match="The 'random_state' parameter of BADGE must be"):
        BADGE(random_state="x").select(LinearModel(np.eye(2)), X)
