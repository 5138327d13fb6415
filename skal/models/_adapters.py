"""What each kind of fitted classifier can tell about samples: embeddings, logits and probabilities in one pass.

Classifiers are recognised by what they offer, not by their type, so that user-made ones take part.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from torch import nn

from ..exceptions import PoolCapabilityError
from ._nets import is_detector, is_skorch, net_head, net_outputs

__all__ = ["Head", "Outputs", "box_distributions", "model_for"]


# How far softmax(head(embeddings)) may be from predict_proba before the head is not taken for the model's own.
_TOLERANCE = 1e-5


class Outputs(NamedTuple):
    """One pass over samples; a member is None where the model does not supply it."""

    embeddings: NDArray | None
    logits: NDArray | None
    proba: NDArray


class Head:
    """The part of a classifier from embeddings to logits, differentiable.

    Parameters
    ----------
    module : callable
        Maps a float64 tensor `(n, d)` to logits `(n, n_classes)` under torch autograd.
    weight : ndarray of shape (n_classes, d) or None
        Weight of a linear head.
    bias : ndarray of shape (n_classes,) or None
        Bias of a linear head.

    Attributes
    ----------
    is_linear : bool
        Whether `weight` and `bias` describe the head completely.
    """

    def __init__(
        self,
        module: Callable[[torch.Tensor], torch.Tensor] | None = None,
        *,
        weight: NDArray | None = None,
        bias: NDArray | None = None,
    ) -> None:
        self.weight = None if weight is None else np.array(weight, dtype=np.float64)
        self.bias = None if bias is None else np.array(bias, dtype=np.float64)
        self._module = module

    @property
    def is_linear(self) -> bool:
        return self.weight is not None

    def __call__(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Logits `(n, n_classes)` of `embeddings (n, d)`."""
        if self.weight is not None and self.bias is not None:
            weight = torch.from_numpy(self.weight).to(embeddings)
            return embeddings @ weight.T + torch.from_numpy(self.bias).to(embeddings)
        if self._module is None:
            raise TypeError("A head needs a module, or a weight and a bias.")
        return self._module(embeddings)


class _Model:
    """Probabilities from `predict_proba`, embeddings from the (transformed) input; no head."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def outputs(self, X: Any) -> Outputs:
        return Outputs(self.embeddings(X), None, self.proba(X))

    def embeddings(self, X: Any) -> NDArray | None:
        return _flat_numeric(X)

    def proba(self, X: Any) -> NDArray:
        if not hasattr(self.estimator, "predict_proba"):
            raise PoolCapabilityError(
                f"The strategy needs class probabilities, but {type(self.estimator).__name__} has no predict_proba."
            )
        return np.asarray(self.estimator.predict_proba(X))

    def head(self) -> Head | None:
        return None

    def classes(self, n_columns: int) -> NDArray:
        """The label of each column of `proba`."""
        classes = getattr(self.estimator, "classes_", None)
        if classes is None:
            return np.arange(n_columns)
        classes = np.asarray(classes)
        if len(classes) == n_columns:
            return classes
        if np.issubdtype(classes.dtype, np.integer) and classes.min() >= 0 and classes.max() < n_columns:
            # A network's columns follow its module, not the labels seen so far.
            return np.arange(n_columns)
        raise ValueError(
            f"predict_proba of {type(self.estimator).__name__} has {n_columns} columns, which its {len(classes)} "
            "classes_ do not explain."
        )


class _NetModel(_Model):
    """A skorch network: one forward pass gives all three."""

    def outputs(self, X: Any) -> Outputs:
        return Outputs(*net_outputs(self.estimator, X))

    def embeddings(self, X: Any) -> NDArray | None:
        return self.outputs(X).embeddings

    def proba(self, X: Any) -> NDArray:
        return self.outputs(X).proba

    def head(self) -> Head | None:
        module = net_head(self.estimator)
        if isinstance(module, nn.Linear):
            weight = module.weight.detach().cpu().numpy()
            bias = np.zeros(len(weight)) if module.bias is None else module.bias.detach().cpu().numpy()
            return Head(weight=weight, bias=bias)
        if module is None:
            return None
        return Head(_float64_copy(module))


class _DetectorModel(_Model):
    """A detector, which knows nothing of an image as a whole."""

    def embeddings(self, X: Any) -> NDArray | None:
        return None

    def proba(self, X: Any) -> NDArray:
        raise PoolCapabilityError(
            f"{type(self.estimator).__name__} is a detector: it has class probabilities of boxes, and neither "
            "probabilities nor embeddings of whole samples."
        )


class _EmbeddingModel(_Model):
    """A user-made classifier with `embed(X) -> (n, d)` and `head(tensor) -> logits`."""

    def outputs(self, X: Any) -> Outputs:
        embeddings = np.asarray(self.estimator.embed(X))
        with torch.no_grad():
            logits = self.estimator.head(torch.as_tensor(embeddings, dtype=torch.float64)).numpy()
        return Outputs(embeddings, logits, softmax(logits, axis=1))

    def embeddings(self, X: Any) -> NDArray | None:
        return np.asarray(self.estimator.embed(X))

    def proba(self, X: Any) -> NDArray:
        return self.outputs(X).proba

    def head(self) -> Head | None:
        return Head(self.estimator.head)


class _LinearModel(_Model):
    """scikit-learn's linear classifiers whose probabilities are the softmax of a linear map of the input."""

    def _weight_bias(self) -> tuple[NDArray, NDArray]:
        weight = np.asarray(self.estimator.coef_, dtype=np.float64)
        bias = np.broadcast_to(np.asarray(self.estimator.intercept_, dtype=np.float64), (len(weight),))
        if len(weight) == 1:
            # sigmoid(s) = softmax(-s/2, s/2)
            weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        return weight, bias

    def outputs(self, X: Any) -> Outputs:
        embeddings, proba = self.embeddings(X), self.proba(X)
        if embeddings is None:
            return Outputs(None, None, proba)
        weight, bias = self._weight_bias()
        logits = embeddings @ weight.T + bias
        if logits.shape != proba.shape or not np.allclose(softmax(logits, axis=1), proba, atol=_TOLERANCE):
            # One-versus-rest, say: probabilities are normalised sigmoids, so this is not the model's head.
            return Outputs(embeddings, None, proba)
        return Outputs(embeddings, logits, proba)

    def head(self) -> Head | None:
        weight, bias = self._weight_bias()
        return Head(weight=weight, bias=bias)


class _MLPModel(_Model):
    """scikit-learn's `MLPClassifier`: embeddings are the last hidden layer's activations."""

    _ACTIVATIONS: dict[str, Callable[[NDArray], NDArray]] = {  # noqa: RUF012
        "identity": lambda Z: Z,
        "logistic": expit,
        "tanh": np.tanh,
        "relu": lambda Z: np.maximum(Z, 0),
    }

    def embeddings(self, X: Any) -> NDArray | None:
        activation = self._ACTIVATIONS[self.estimator.activation]
        hidden: Any = X if sp.issparse(X) else np.asarray(X)
        for weight, bias in zip(self.estimator.coefs_[:-1], self.estimator.intercepts_[:-1]):
            hidden = activation(hidden @ weight + bias)
        return hidden.toarray() if sp.issparse(hidden) else hidden

    def outputs(self, X: Any) -> Outputs:
        embeddings, proba, head = self.embeddings(X), self.proba(X), self.head()
        if head is None or head.weight is None or head.bias is None or embeddings is None:
            return Outputs(embeddings, None, proba)
        return Outputs(embeddings, embeddings @ head.weight.T + head.bias, proba)

    def head(self) -> Head | None:
        weight, bias = self.estimator.coefs_[-1].T, self.estimator.intercepts_[-1]
        if self.estimator.out_activation_ == "softmax":
            return Head(weight=weight, bias=bias)
        if self.estimator.out_activation_ == "logistic" and len(weight) == 1:
            return Head(weight=np.vstack([-weight, weight]) / 2, bias=np.concatenate([-bias, bias]) / 2)
        return None


def model_for(estimator: Any) -> _Model:
    """The adapter that knows most about `estimator`."""
    if is_detector(estimator):
        return _DetectorModel(estimator)
    if is_skorch(estimator):
        return _NetModel(estimator)
    if hasattr(estimator, "embed") and hasattr(estimator, "head"):
        return _EmbeddingModel(estimator)
    if hasattr(estimator, "coefs_") and hasattr(estimator, "out_activation_") and hasattr(estimator, "predict_proba"):
        return _MLPModel(estimator)
    if hasattr(estimator, "coef_") and hasattr(estimator, "intercept_") and hasattr(estimator, "predict_proba"):
        return _LinearModel(estimator)
    return _Model(estimator)


def box_distributions(estimator: Any, X: Any, n: int) -> Iterator[NDArray] | None:
    """For each of n images the class distributions `(n_boxes, n_columns)` of its boxes, or None where there are none.

    A detector's `iter_detect` gives them one by one; any other's `predict_proba` must return n two-dimensional arrays.
    """
    if callable(getattr(estimator, "iter_detect", None)):
        return (_distribution(found["proba"], estimator) for found in estimator.iter_detect(X))
    found: Any = estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else None
    ragged = isinstance(found, (list, tuple)) or (isinstance(found, np.ndarray) and found.dtype == object)
    if not ragged:
        return None
    if len(found) != n:
        raise ValueError(
            f"predict_proba of {type(estimator).__name__} must return one array per image, {n}. Got {len(found)}."
        )
    return (_distribution(proba, estimator) for proba in found)


def _distribution(proba: Any, estimator: Any) -> NDArray:
    proba = np.asarray(proba)
    if proba.size == 0:
        return np.empty((0, proba.shape[1] if proba.ndim == 2 else 0))
    is_matrix = proba.ndim == 2 and proba.dtype.kind in "fiub"
    # Rounding may leave a little more than 1; NaN is in no range.
    if not is_matrix or not (proba.min() >= 0 and proba.max() <= 1.001):
        raise ValueError(
            f"predict_proba of {type(estimator).__name__} must return class probabilities (n_boxes, n_classes) of each "
            f"image. Got an array of shape {proba.shape} of dtype {proba.dtype}."
        )
    return proba


def _flat_numeric(X: Any) -> NDArray | None:
    """Numeric `X` as a dense `(n, d)` array, or None where it is not numeric."""
    if sp.issparse(X):
        return X.toarray()
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu().numpy()
    try:
        X = np.asarray(X)
    except ValueError:
        return None
    if X.dtype == object:
        try:
            X = X.astype(np.float64)
        except (TypeError, ValueError):
            return None
    if X.dtype.kind not in "fiub" or X.ndim == 0:
        return None
    return X.reshape(len(X), -1)


def _float64_copy(module: nn.Module) -> nn.Module:
    twin = copy.deepcopy(module).cpu().double().eval()
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
    return twin
