"""The models of the demonstration: a small CNN for images, logistic regression for tables."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from ..nets import DeepClassifier

__all__ = ["SmallCNN", "demo_estimator"]


class SmallCNN(nn.Module):
    """Two convolutions, a hidden layer and a linear head: quick on a CPU, for images of any size from 4 x 4.

    Parameters
    ----------
    n_classes : int, default=10
        Number of outputs.
    in_channels : int, default=1
        Channels of the images.
    width : int, default=16
        Channels of the first convolution; the second has twice as many.
    n_hidden : int, default=64
        Size of the hidden layer, whose activations are the embeddings.

    Notes
    -----
    `forward` takes float images (n, in_channels, h, w) and gives logits (n, n_classes).
    """

    def __init__(self, n_classes: int = 10, in_channels: int = 1, width: int = 16, n_hidden: int = 64):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(4),
            nn.Flatten(),
        )
        self.hidden = nn.Sequential(nn.Linear(2 * width * 16, n_hidden), nn.ReLU())
        self.head = nn.Linear(n_hidden, n_classes)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(self.features(X)))


def demo_estimator(X: NDArray, y: NDArray) -> BaseEstimator:
    """What `skal compare` trains: a :class:`SmallCNN` on images (n, c, h, w), else logistic regression."""
    if X.ndim == 2:
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    settings: dict[str, Any] = {"module__in_channels": X.shape[1]}
    return DeepClassifier(
        SmallCNN,
        classes=np.unique(y).tolist(),
        optimizer=torch.optim.Adam,
        lr=2e-3,
        batch_size=32,
        max_epochs=50,
        **settings,
    )
