"""scikit-learn's `MLPClassifier`: embeddings are the last hidden layer's activations."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.neural_network import MLPClassifier

from ._base import Head, Outputs, register_model
from ._linear import with_noise
from ._plain import PlainModel

__all__ = ["MLPModel"]


class MLPModel(PlainModel):
    """The last layer is the head. With one class there is one column, of ones, whatever the network has."""

    offers = PlainModel.offers | {"logits", "head", "linear_head", "perturbed"}
    embeds_input = False
    _ACTIVATIONS: ClassVar[dict[str, Callable[[NDArray], NDArray]]] = {
        "identity": lambda Z: Z,
        "logistic": expit,
        "tanh": np.tanh,
        "relu": lambda Z: np.maximum(Z, 0),
    }

    def outputs(self, X: Any, want: Collection[str]) -> Outputs:
        embeddings = self.embeddings(X) if "embeddings" in want or "logits" in want else None
        logits = None
        if "logits" in want and embeddings is not None:
            head = self.head()
            logits = embeddings @ np.asarray(head.weight).T + np.asarray(head.bias)
        return Outputs(
            proba=self.proba(X) if "proba" in want else None,
            logits=logits,
            embeddings=embeddings if "embeddings" in want else None,
        )

    @property
    def _has_one_class(self) -> bool:
        return len(self.estimator.classes_) == 1

    def proba(self, X: Any) -> NDArray:
        return np.ones_like(super().proba(X)[:, :1]) if self._has_one_class else super().proba(X)

    def embeddings(self, X: Any) -> NDArray:
        activation = self._ACTIVATIONS[self.estimator.activation]
        hidden: Any = X if sp.issparse(X) else super().embeddings(X)
        with np.errstate(all="ignore"):  # what is not finite is refused by who reads it
            for weight, bias in zip(self.estimator.coefs_[:-1], self.estimator.intercepts_[:-1], strict=True):
                hidden = activation(hidden @ weight + bias)
        return hidden.toarray() if sp.issparse(hidden) else hidden

    def head(self) -> Head:
        weight, bias = self.estimator.coefs_[-1].T, self.estimator.intercepts_[-1]
        if self._has_one_class:
            return Head(weight=weight[:1], bias=bias[:1])
        if self.estimator.out_activation_ == "softmax":
            return Head(weight=weight, bias=bias)
        if self.estimator.out_activation_ == "logistic" and len(weight) == 1:
            return Head(weight=np.vstack([-weight, weight]) / 2, bias=np.concatenate([-bias, bias]) / 2)
        raise self.lacks("head")

    def perturbed(self, X: Any, n: int, scale: float, rng: np.random.Generator) -> Iterator[NDArray]:
        for _ in range(n):
            twin = copy.copy(self.estimator)
            twin.coefs_ = [with_noise(weight, scale, rng) for weight in self.estimator.coefs_]
            yield MLPModel(twin).proba(X)


register_model(
    lambda estimator: (
        isinstance(estimator, MLPClassifier)
        or all(hasattr(estimator, name) for name in ("coefs_", "out_activation_", "predict_proba"))
    ),
    MLPModel,
)
