"""The models of the command: a small CNN for images, logistic regression for tables, or what is named."""

from __future__ import annotations

import difflib
import inspect
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from ..nets import DeepClassifier
from ..utils._validation import shown
from ._spoken import import_object, make, parse_call

__all__ = ["SmallCNN", "Training", "demo_estimator", "named_estimator"]


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


class Training(NamedTuple):
    """How networks are trained; None is the model's default."""

    device: str | None = None
    epochs: int | None = None
    batch_size: int | None = None


def demo_estimator(X: Any, y: NDArray, training: Training | None = None) -> tuple[BaseEstimator, str]:
    """What is trained by default, and its name: a `SmallCNN` on images (n, c, h, w), else logistic regression."""
    return named_estimator("logistic" if X.ndim == 2 else "cnn", X, y, None, training or Training())


def named_estimator(
    spoken: str, X: Any, y: NDArray, weights: str | None, training: Training
) -> tuple[BaseEstimator, str]:
    """What is trained by what was typed for it, and how it is called.

    Parameters
    ----------
    spoken : str
        ``logistic``, ``cnn``, a torchvision classifier, or ``module:object``: an estimator, a class of such, or a torch
        module.
    X, y : array-like
        The data.
    weights : str or None
        For torchvision's classifiers, whose backbone is then frozen, and for torch modules.
    training : Training

    Raises
    ------
    ValueError
        For what is no model, or options that it does not take.
    """
    if spoken == "logistic":
        _refuse(weights, training, "logistic regression")
        if not hasattr(X, "columns"):
            return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), "logistic regression"
        numbers = make_pipeline(SimpleImputer(), StandardScaler())
        kinds = make_column_transformer(
            (numbers, make_column_selector(dtype_include=["number", "bool"])),
            (
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                make_column_selector(dtype_exclude=["number", "bool"]),
            ),
        )
        return make_pipeline(kinds, LogisticRegression(max_iter=1000)), "logistic regression"
    if spoken == "cnn":
        if X.ndim != 4:
            raise ValueError("--model cnn is for images. Got a table; use logistic, or module:object.")
        if weights is not None:
            raise ValueError("--model cnn has no weights; name a torchvision classifier for them.")
        net = {"module__in_channels": X.shape[1]}
        return _network(SmallCNN, y, None, training, **net), "small CNN"
    if ":" not in spoken:
        _check_torchvision(spoken)
        return _network(spoken, y, weights, training, freeze=None if weights is None else "backbone"), spoken
    found = parse_call(spoken, lambda name: None, "--model") if "(" in spoken else import_object(spoken, "--model")
    if isinstance(found, nn.Module) or (inspect.isclass(found) and issubclass(found, nn.Module)):
        return _network(found, y, weights, training), spoken
    if not hasattr(found, "fit") or inspect.isclass(found):
        found = make(found, spoken, "--model") if callable(found) else found
    if not all(hasattr(found, name) for name in ("fit", "predict", "get_params")):
        raise ValueError(f"--model must name a classifier, or a torch module. Got '{spoken}', {shown(found)}.")
    _refuse(weights, training, f"'{spoken}'")
    return found, spoken


def _check_torchvision(name: str) -> None:
    # Here, since it takes seconds that nobody else need wait for.
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        near = difflib.get_close_matches(name, ["logistic", "cnn", *names], n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(
            "--model must be logistic, cnn, the name of a torchvision classifier, such as resnet18, or module:object. "
            f"Got {shown(name)}{hint}"
        )


def _network(module: Any, y: NDArray, weights: str | None, training: Training, **more: Any) -> DeepClassifier:
    return DeepClassifier(
        module,
        classes=np.unique(y).tolist(),
        optimizer=torch.optim.Adam,
        lr=2e-3,
        batch_size=training.batch_size or 32,
        max_epochs=training.epochs or 50,
        device=training.device or "auto",
        weights=weights,
        **more,
    )


def _refuse(weights: str | None, training: Training, model: str) -> None:
    """Options of networks that would be lost."""
    given = {"--weights": weights, **{f"--{key.replace('_', '-')}": value for key, value in training._asdict().items()}}
    named = [option for option, value in given.items() if value is not None]
    if named:
        raise ValueError(f"{', '.join(named)} {'are' if len(named) > 1 else 'is'} for networks. The model is {model}.")
