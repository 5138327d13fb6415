"""Small data and a small network with dropout, for several strategies; a test does not write to them."""

import pytest
from sklearn.datasets import make_blobs
from torch import nn

from skal.nets import DeepClassifier


class Dropout(nn.Module):
    def __init__(self, n_classes=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, n_classes))

    def forward(self, X):
        return self.layers(X)


@pytest.fixture(scope="module")
def data():
    """30 labelled samples of 3 classes, their labels, and a pool of 60 samples."""
    X, y = make_blobs(90, centers=3, n_features=4, cluster_std=3.0, random_state=0)
    return X[:30], y[:30], X[30:]


@pytest.fixture(scope="module")
def dropout_net(data):
    """Fitted on the labelled samples."""
    return DeepClassifier(Dropout, max_epochs=5, lr=0.05, random_state=0).fit(*data[:2])
