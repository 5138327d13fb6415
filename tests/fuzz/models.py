"""Models of every family, fitted on three classes; and such as fail, or answer with odd numbers."""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch
from modAL.models import Committee
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from skal.learners import ActiveLearner
from skal.nets import DeepClassifier

N_TRAINING = 12


class Net(nn.Module):
    """A hidden layer, dropout and a linear head."""

    def __init__(self, n_classes, d=2):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(d, 4), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(4, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


class Embedder(LogisticRegression):
    """A classifier of the user's own with embeddings."""

    def embed(self, X):
        return np.tanh(np.asarray(X, dtype=float))


MODELS = {
    "logistic": lambda d: LogisticRegression(max_iter=50),
    "bayes": lambda d: GaussianNB(),
    "tree": lambda d: DecisionTreeClassifier(max_depth=3, random_state=0),
    "forest": lambda d: RandomForestClassifier(3, random_state=0),
    "bagging": lambda d: BaggingClassifier(GaussianNB(), 3, random_state=0),
    "neighbours": lambda d: KNeighborsClassifier(2),
    "svc": lambda d: SVC(random_state=0),
    "ridge": lambda d: RidgeClassifier(),
    "regressor": lambda d: Ridge(),
    "pipeline": lambda d: make_pipeline(StandardScaler(), LogisticRegression(max_iter=50)),
    "mlp": lambda d: MLPClassifier((3,), max_iter=3, random_state=0),
    "embedder": lambda d: Embedder(max_iter=50),
    "deep": lambda d: DeepClassifier(Net, module__d=d, max_epochs=1, random_state=0),
    "deep behind a scaler": lambda d: make_pipeline(
        StandardScaler(), DeepClassifier(Net, module__d=d, max_epochs=1, random_state=0)
    ),
}
PROBABILISTIC = sorted({*MODELS} - {"svc", "ridge", "regressor"})


def training_data(d, seed=0):
    rng = np.random.default_rng([7, d, seed])
    y = np.arange(N_TRAINING) % 3
    return np.round(rng.normal(size=(N_TRAINING, d)) + y[:, None], 2), y


@functools.cache
def _fitted(name, d):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "committee":
            return Committee([_learner(d, GaussianNB()), _learner(d, LogisticRegression(max_iter=50))])
        return MODELS[name](d).fit(*training_data(d))


def _learner(d, estimator):
    return ActiveLearner(estimator, X_training=training_data(d)[0], y_training=training_data(d)[1])


def fitted(name, d):
    """A fitted model of `d` features, of the caller's own."""
    return copy.deepcopy(_fitted(name, d))


class Odd(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities, embeddings and errors are given; a `Fault` may stop any of its methods."""

    def __init__(self, proba=None, embeddings=None, fault=None, method="predict_proba"):
        self.proba, self.embeddings = proba, embeddings
        self.fault, self.method = fault, method

    def _tick(self, method):
        if self.fault is not None and self.method == method:
            self.fault.tick()

    def fit(self, X, y):
        self._tick("fit")
        self.classes_ = np.arange(3)
        self.n_fits_ = getattr(self, "n_fits_", 0) + 1
        return self

    def predict(self, X):
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def predict_proba(self, X):
        self._tick("predict_proba")
        return (self.proba or proper)(len(X))

    def embed(self, X):
        self._tick("embed")
        return (self.embeddings or plain_embeddings)(len(X))


def proper(n):
    weights = np.random.default_rng(n).uniform(0.05, 1, size=(n, 3))
    return weights / weights.sum(axis=1, keepdims=True)


def plain_embeddings(n):
    return np.random.default_rng(n).normal(size=(n, 2))


# What `embed` may answer with: refused where a strategy reads it ...
WRONG_EMBEDDINGS = {
    "NaN": lambda n: np.full((n, 2), np.nan),
    "infinity": lambda n: np.full((n, 2), np.inf),
    "too few": lambda n: plain_embeddings(n + 1)[:-2],
    "1-D": lambda n: np.arange(n, dtype=float),
    "ragged": lambda n: [[0.0] * (1 + i % 2) for i in range(n)],
    "strings": lambda n: np.full((n, 2), "a"),
    "None": lambda n: None,
    "number": lambda n: 3.0,
    "dict": lambda n: {"embeddings": plain_embeddings(n)},
}
# ... and fine.
FINE_EMBEDDINGS = {
    "float64": plain_embeddings,
    "float16": lambda n: plain_embeddings(n).astype(np.float16),
    "integers": lambda n: (9 * plain_embeddings(n)).astype(int),
    "tensor": lambda n: torch.tensor(plain_embeddings(n)),
    "images": lambda n: plain_embeddings(n)[:, :, None, None],
    "list": lambda n: plain_embeddings(n).tolist(),
    "constant": lambda n: np.ones((n, 2)),
    "zeros": lambda n: np.zeros((n, 2)),
    "huge": lambda n: 1e30 * plain_embeddings(n),
}
