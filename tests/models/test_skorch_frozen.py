"""Several opinions behind a frozen backbone: it runs once, whatever the cache; the answers are a slow loop's."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skal.models import model_for
from skal.nets import DeepClassifier
from skal.nets._features import STORE
from skal.pool import view_pool
from skal.strategies import BALD, BALQUE, BayesianEntropy, NoiseStability
from skal.utils._random import make_generator, sklearn_seed

RUN: list[int] = []  # rows that backbones were given


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten())

    def forward(self, X):
        RUN.append(len(X))
        return self.layers(X)


class Net(nn.Module):
    def __init__(self, n_classes=3):
        super().__init__()
        self.body = Body()
        self.head = nn.Sequential(
            nn.Dropout(0.4), nn.Linear(64, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, n_classes)
        )

    def forward(self, X):
        return self.head(self.body(X))


RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(18, 1, 6, 6)).astype(np.float32), np.arange(18) % 3
POOL = RNG.normal(size=(56, 1, 6, 6)).astype(np.float32)


@pytest.fixture(autouse=True)
def empty_store():
    STORE.clear()
    yield
    STORE.clear()


def make(cache):
    settings = {"freeze": "backbone", "embedding_layer": "head", "feature_cache": cache, "random_state": 0}
    return DeepClassifier(Net, max_epochs=4, lr=0.05, batch_size=16, device="cpu", **settings)


@pytest.fixture(params=[None, "1MB", 4000], ids=["no cache", "cache", "part"])
def net(request):
    return make(request.param).fit(X, Y)


def slow_opinions(net, n, seed):
    """All of the network, n times, batch by batch, with dropout in the head alone."""
    module, rng, out = copy.deepcopy(net.module_).eval(), make_generator(seed), []
    for part in module.head:
        part.train()
    for _ in range(n):
        with torch.random.fork_rng(), torch.no_grad():
            torch.default_generator.manual_seed(sklearn_seed(rng))
            parts = [module(batch).softmax(dim=1) for batch in torch.tensor(POOL).split(16)]
        out.append(torch.cat(parts).numpy())
    return np.stack(out)


def test_opinions_equal_a_slow_loop(net):
    expected = slow_opinions(net, 5, seed=3)
    RUN.clear()
    samples = view_pool(net, POOL).proba_samples(5, random_state=3)
    assert sum(RUN) == len(POOL)
    np.testing.assert_allclose(samples, expected, atol=1e-6)
    assert np.abs(samples[0] - samples[1]).max() > 0.01


@pytest.mark.parametrize("strategy", [BALD, BayesianEntropy])
def test_a_query_runs_the_backbone_once(net, strategy):
    RUN.clear()
    idx, _ = strategy(n_samples=20, random_state=0).select(net, POOL, 5, X_training=X, y_training=Y)
    assert sum(RUN) == len(POOL) and len(set(idx.tolist())) == 5


def test_a_second_round_runs_none():
    strategy, net = BALD(random_state=0), make("1MB").fit(X, Y)
    strategy.select(net, POOL, 5, X_training=X, y_training=Y)
    again = clone(net).fit(np.concatenate([X, POOL[:5]]), np.arange(23) % 3)
    RUN.clear()
    strategy.select(again, POOL[5:], 5)
    assert RUN == []


def test_noise_equals_a_slow_loop(net):
    """Noise of the head's weights: the same as that of the whole network, whose other weights get none."""
    RUN.clear()
    found = list(model_for(net).perturbed(POOL, 3, 0.3, np.random.default_rng(4)))
    assert sum(RUN) == len(POOL)
    rng = np.random.default_rng(4)
    for proba in found:
        module = copy.deepcopy(net.module_).eval()
        with torch.no_grad():
            for part in (module.head[1], module.head[4]):
                clean = part.weight.double().numpy()
                noise = rng.standard_normal(clean.shape)
                part.weight += torch.tensor(noise * 0.3 * np.linalg.norm(clean) / np.linalg.norm(noise)).float()
            expected = module(torch.tensor(POOL)).softmax(dim=1).numpy()
        np.testing.assert_allclose(proba, expected, atol=1e-5)


def test_noise_stability_runs_it_once_more_for_the_predictions(net):
    RUN.clear()
    NoiseStability(random_state=0).select(net, POOL, 5)
    assert sum(RUN) <= 2 * len(POOL)


def test_watching_a_training_runs_it_once(net):
    """BALQUE's opinions are those of nets trained for so many epochs."""
    seen = []
    view = view_pool(net, POOL, X_training=X, y_training=Y)
    STORE.clear()
    RUN.clear()
    view.watch_training(4, np.random.default_rng(0), seen.append)
    # The labelled in blocks of 8, and the pool.
    assert sum(RUN) == 24 + len(POOL)
    for epochs, proba in enumerate(seen, start=1):
        shorter = clone(net).set_params(max_epochs=epochs).fit(X, Y)
        np.testing.assert_allclose(proba, shorter.predict_proba(POOL), atol=1e-6)
    BALQUE(random_state=0).select(net, POOL, 5, X_training=X, y_training=Y)


def test_columns_in_another_order_are_an_error():
    frame = pd.DataFrame(RNG.normal(size=(12, 3)), columns=list("abc"))
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 3))
    net = DeepClassifier(module, freeze="backbone", max_epochs=1, random_state=0).fit(frame, Y[:12])
    with pytest.raises(ValueError, match="feature names should match"):
        list(model_for(net).perturbed(frame[list("cba")], 2, 0.1, np.random.default_rng(0)))


def test_what_is_wrong_with_the_pool_is_said_as_elsewhere(net):
    with pytest.raises(ValueError, match=r"X must hold samples of shape \(1, 6, 6\), as in fit"):
        list(model_for(net).opinions(POOL[:, 0], 2, np.random.default_rng(0)))
    broken = POOL.copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match="X contains NaN or infinity"):
        list(model_for(net).opinions(broken, 2, np.random.default_rng(0)))
