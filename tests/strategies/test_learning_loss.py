"""LearningLoss: the estimator and the losses it is fitted on, what it must prefer, cross-fitting, the joint form."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torch.utils.data import Dataset

from skal.exceptions import PoolCapabilityError
from skal.learners import ActiveLearner
from skal.nets import DeepClassifier, LearningLossCallback, LossPredictor
from skal.pool import view_pool
from skal.strategies import LearningLoss
from skal.testing import FakePool
from skal.utils._random import make_generator, sklearn_seed


def noisy_half(n, seed):
    """Two classes: clear on the left, coin tosses on the right, where every prediction has a large loss."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, np.where(X[:, 0] > 0, rng.integers(0, 2, n), (X[:, 1] > 0).astype(int))


def test_it_is_the_predictor_fitted_on_the_losses_of_the_labelled():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), size=20)
    embeddings, y = rng.normal(size=(20, 5)), np.arange(20) % 3
    labeled = FakePool(proba=proba, embeddings=embeddings, y=y)
    fake = FakePool(embeddings=rng.normal(size=(30, 5)), proba=rng.dirichlet(np.ones(3), size=30), labeled=labeled)
    losses = [-np.log(p[label]) for p, label in zip(proba, y)]
    seed = sklearn_seed(make_generator(7, 0, 20))
    predictor = LossPredictor(hidden=16, margin=0.5, max_epochs=30, device="cpu", random_state=seed)
    expected = predictor.fit(embeddings, losses).predict(fake.embeddings)
    strategy = LearningLoss(hidden=16, margin=0.5, max_epochs=30, random_state=7)
    np.testing.assert_allclose(strategy.score_samples(fake, fake.X), expected, atol=1e-12)


def test_predicted_losses_follow_the_true_ones_on_held_out_rows():
    X, y = noisy_half(500, 0)
    clf = LogisticRegression().fit(X[:200], y[:200])
    scores = LearningLoss(random_state=0).score_samples(clf, X[200:], X_training=X[:200], y_training=y[:200])
    true = -np.log(clf.predict_proba(X[200:])[np.arange(300), y[200:]])
    assert spearmanr(scores, true)[0] > 0.25
    query_idx, _ = LearningLoss(random_state=0).select(clf, X[200:], 40, X_training=X[:200], y_training=y[:200])
    assert (X[200:][query_idx, 0] > 0).mean() > 0.8


def test_losses_of_clones_where_everything_was_learned_by_heart():
    X, y = noisy_half(500, 1)
    clf = KNeighborsClassifier(1).fit(X[:200], y[:200])
    given = {"X_training": X[:200], "y_training": y[:200]}
    wrong = clf.predict(X[200:]) != y[200:]
    scores = LearningLoss(cv=5, random_state=0).score_samples(clf, X[200:], **given)
    assert spearmanr(scores, wrong)[0] > 0.2


@pytest.mark.parametrize("cv", [2, 3, 100])
def test_cross_fitted_losses_are_those_of_a_slow_loop(cv):
    X, y = noisy_half(31, 2)
    clf = LogisticRegression().fit(X, y)
    pool = view_pool(clf, X, X_training=X, y_training=y)
    found = LearningLoss(cv=cv)._losses(pool.labeled, np.random.default_rng(3))
    order, expected = np.random.default_rng(3).permutation(31), np.empty(31)
    for held in np.array_split(order, min(cv, 31)):
        rest = [i for i in range(31) if i not in held]
        own = clone(clf).fit(X[rest], y[rest])
        for i in held:
            expected[i] = -np.log(own.predict_proba(X[[i]])[0, y[i]])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_cross_fitting_with_one_class_in_the_rest_and_with_no_pair():
    X, y = noisy_half(40, 3)
    clf = LogisticRegression().fit(X, y)
    two = {"X_training": X[:2], "y_training": np.array([0, 1])}
    assert len(LearningLoss(cv=2, random_state=0).select(clf, X, 3, **two)[0]) == 3
    one = {"X_training": X[:1], "y_training": y[:1]}
    query_idx, scores = LearningLoss(random_state=0).select(clf, X, 5, **one)
    assert scores.tolist() == [0] * 5 and len(set(query_idx.tolist())) == 5


class Net(nn.Module):
    def __init__(self, n_classes=2):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        self.head = nn.Linear(16, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


class Rows(Dataset):
    def __init__(self, X):
        self.X = X.astype(np.float32)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i]


def test_several_layers_of_a_network_and_a_dataset_as_pool():
    X, y = noisy_half(400, 4)
    net = DeepClassifier(Net, max_epochs=30, lr=0.1, batch_size=32, random_state=0).fit(X[:200], y[:200])
    given = {"X_training": X[:200], "y_training": y[:200]}
    strategy = LearningLoss(layers=["body.1", "body.3"], random_state=0)
    assert strategy.requires == ("layers", "proba", "labeled")
    scores = strategy.score_samples(net, X[200:], **given)
    true = -np.log(net.predict_proba(X[200:])[np.arange(200), y[200:]])
    assert spearmanr(scores, true)[0] > 0.3
    np.testing.assert_allclose(strategy.score_samples(net, Rows(X[200:]), **given), scores, atol=1e-5)


def test_the_module_of_the_callback_is_used_as_it_is():
    X, y = noisy_half(300, 5)
    net = DeepClassifier(
        Net, max_epochs=20, lr=0.1, batch_size=32, callbacks=[LearningLossCallback(layers=["body.3"])], random_state=0
    )
    learner = ActiveLearner(net, LearningLoss(random_state=0), X[:200], y[:200])
    scores = LearningLoss(random_state=0).score_samples(learner, X[200:])
    np.testing.assert_array_equal(scores, view_pool(learner, X[200:]).model.predicted_losses(X[200:]))
    idx, _ = learner.query(X[200:], n_instances=3)
    np.testing.assert_array_equal(np.sort(scores)[::-1][:3], scores[idx])


def test_what_it_needs():
    X, y = noisy_half(30, 6)
    clf = LogisticRegression().fit(X, y)
    with pytest.raises(PoolCapabilityError, match="LearningLoss needs the outputs of its layers, .*or layers=None"):
        LearningLoss(layers=["a"]).select(clf, X, 1, X_training=X, y_training=y)
    assert LearningLoss(cv=3).requires == ("embeddings", "proba", "labeled", "clones")
    with pytest.raises(ValueError, match="'cv' parameter of LearningLoss must be .*Got 1 instead"):
        LearningLoss(cv=1).select(clf, X, 1, X_training=X, y_training=y)
