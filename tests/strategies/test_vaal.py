"""VAAL: the discriminator's scores, what it prefers, containers, the limits, the errors."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import TensorDataset

from skal.exceptions import ColdStartWarning, PoolCapabilityError, TrainingDivergedError
from skal.learners import ActiveLearner
from skal.nets import AdversarialVAE, DeepClassifier
from skal.strategies import PAL, VAAL
from skal.testing import FakePool
from skal.utils._random import make_generator, sklearn_seed

SMALL = {"latent": 3, "hidden": 16, "channels": (4, 6), "n_iter": 4, "batch_size": 16}


def two_groups(seed=0, n=100, m=40):
    """A pool of two groups, and labels in the first alone."""
    rng = np.random.default_rng(seed)
    X = np.vstack([rng.normal(center, 0.1, size=(n, 2)) for center in ([0, 1], [1, 0])])
    labeled = FakePool(X=rng.normal([0, 1], 0.1, size=(m, 2)), y=np.zeros(m, dtype=int))
    return FakePool(X=X, labeled=labeled)


@pytest.mark.parametrize("params", [{}, {"beta": 0.1, "adversary_weight": 0.5, "kl_reduction": "mean", "lr": 0.01}])
def test_scores_are_those_of_the_discriminator(params):
    pool = two_groups()
    strategy = VAAL(**SMALL | params, random_state=3)
    seed = sklearn_seed(make_generator(3, pool.round, pool.n_labeled))
    net = AdversarialVAE(**SMALL | params, device="cpu", random_state=seed)
    p = net.fit(np.vstack([pool.X, pool.labeled.X]), np.arange(240) >= 200).predict_proba(pool.X)[:, 1]
    np.testing.assert_allclose(strategy.score_samples(pool, pool.X), 1 - p, rtol=1e-9)
    picks, scores = strategy.select(pool, pool.X, 9)
    assert set(picks.tolist()) == set(np.argsort(p)[:9].tolist())
    assert (scores[:-1] >= scores[1:]).all()


def test_the_group_without_labels_is_preferred():
    """With what the guide says that it takes: the mean divergence, and a weak adversary."""
    for seed in range(3):
        pool = two_groups(seed)
        strategy = VAAL(hidden=32, kl_reduction="mean", adversary_weight=0.02, n_iter=300, random_state=seed)
        picks, _ = strategy.select(pool, pool.X, 30)
        assert (picks >= 100).all()


def test_images_and_datasets():
    rng = np.random.default_rng(0)
    X = rng.random((40, 1, 8, 8)).astype(np.float32)
    y = np.arange(40) % 2
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    learner = ActiveLearner(
        DeepClassifier(module, max_epochs=1, random_state=0), VAAL(**SMALL, random_state=0), X[:12], y[:12]
    )
    idx, _, scores = learner.query(X[12:], n_instances=5, return_metrics=True)
    again = VAAL(**SMALL, random_state=0).select(learner, TensorDataset(torch.from_numpy(X[12:])), 5)
    assert idx.tolist() == again[0].tolist()
    np.testing.assert_allclose(scores, again[1], rtol=1e-6)


def test_samples_are_seen_behind_the_transformers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3)) * [1, 10, 100] + 5
    scaler = StandardScaler().fit(X[:12])
    strategy = VAAL(**SMALL, random_state=0)
    inside = ActiveLearner(make_pipeline(StandardScaler(), LogisticRegression()), strategy, X[:12], X[:12, 0] > 5)
    before = ActiveLearner(LogisticRegression(), strategy, scaler.transform(X[:12]), X[:12, 0] > 5)
    found = strategy.select(inside, X[12:], 5), strategy.select(before, scaler.transform(X[12:]), 5)
    assert found[0][0].tolist() == found[1][0].tolist()


def test_a_part_of_the_pool_trains_and_all_of_it_is_scored():
    pool = two_groups()
    scores = VAAL(**SMALL, random_state=0, n_train=10).score_samples(pool, pool.X)
    assert scores.shape == (200,)
    assert not np.allclose(scores, VAAL(**SMALL, random_state=0).score_samples(pool, pool.X))
    all_of_it = VAAL(**SMALL, random_state=0, n_train=200).score_samples(pool, pool.X)
    np.testing.assert_array_equal(all_of_it, VAAL(**SMALL, random_state=0).score_samples(pool, pool.X))


def test_nothing_labelled_is_random():
    X = np.random.default_rng(0).standard_normal((30, 2))
    with pytest.warns(ColdStartWarning, match="VAAL chooses uniformly at random"):
        assert len(ActiveLearner(LogisticRegression(), VAAL()).query(X, n_instances=3)[0]) == 3


@pytest.mark.parametrize("strategy", [VAAL(), PAL()])
def test_tokens_are_refused(strategy):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(9, 4), nn.Linear(4, 2)

        def forward(self, X):
            return self.head(self.embedding(X).mean(dim=1))

    X = np.random.default_rng(0).integers(9, size=(20, 5))
    learner = ActiveLearner(DeepClassifier(Net, max_epochs=1), strategy, X[:8], np.arange(8) % 2)
    with pytest.raises(TypeError, match=f"{type(strategy).__name__} describes .* DeepClassifier reads integers as tok"):
        learner.query(X[8:])


def test_a_training_that_diverges_leaves_the_learner():
    X = np.random.default_rng(0).standard_normal((30, 2))
    learner = ActiveLearner(LogisticRegression(), VAAL(**SMALL, lr=1e20), X[:10], X[:10, 0] > 0)
    with pytest.raises(TrainingDivergedError):
        learner.query(X[10:])
    assert learner.round == 0


def test_no_labelled_data_is_a_clear_error():
    X = np.eye(3)
    with pytest.raises(PoolCapabilityError, match="VAAL needs the labelled data"):
        VAAL().select(LogisticRegression().fit(X, [0, 1, 1]), X)


def test_progress_is_the_learners(capsys):
    X = np.random.default_rng(0).standard_normal((30, 2))
    learner = ActiveLearner(LogisticRegression(), VAAL(**SMALL), X[:10], X[:10, 0] > 0)
    learner.verbose = True
    learner.query(X[10:])
    assert "autoencoder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "params",
    [{"latent": 0}, {"beta": -1}, {"adversary_weight": -1}, {"n_iter": 0}, {"kl_reduction": "no"}, {"channels": 3},
     {"hidden": 0}, {"lr": 0}, {"batch_size": 0}, {"n_train": 0}],
)  # fmt: skip
def test_parameters(params):
    pool = two_groups()
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter of VAAL must be"):
        VAAL(**params).select(pool, pool.X)
