"""scikit-learn's linear classifiers whose probabilities are the softmax of a linear map of the input."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ..exceptions import PoolCapabilityError
from ..rows import n_rows, take_rows
from ..utils._arrays import blocks
from ..utils._compat import LinearClassifierMixin
from ._base import Head, Outputs, register_model
from ._plain import PlainModel

__all__ = ["LinearModel", "weight_noise", "with_noise"]

# How far softmax(head(embeddings)) may be from predict_proba before the head is not taken for the model's own ...
_TOLERANCE = 1e-5
_FIRST = 64  # ... on the first rows of each call
_ROWS = 65_536  # samples whose logits are computed at once


class LinearModel(PlainModel):
    """`coef_` and `intercept_` are the head, and the input is the embeddings."""

    offers = PlainModel.offers | {"logits", "head", "linear_head", "perturbed"}

    def outputs(self, X: Any, want: Collection[str]) -> Outputs:
        found = super().outputs(X, {*want, "embeddings"} if "logits" in want else want)
        if "logits" not in want or found.embeddings is None:
            return found
        logits = self._logits(found.embeddings)
        first = min(_FIRST, len(logits))
        proba = self.proba(take_rows(X, np.arange(first))) if found.proba is None else found.proba[:first]
        # One-versus-rest, say, has normalised sigmoids for probabilities: then this is not the model's head.
        same = logits.shape[1] == proba.shape[1]
        if not same or not np.allclose(softmax(logits[:first], axis=1), proba, atol=_TOLERANCE):
            raise self.lacks("logits")
        return Outputs(proba=found.proba, embeddings=found.embeddings, logits=logits).only(want)

    def _logits(self, embeddings: NDArray) -> NDArray[np.float64]:
        head = self.head()
        weight, bias = np.asarray(head.weight), np.asarray(head.bias)
        if len(embeddings) <= _ROWS:
            return embeddings @ weight.T + bias
        logits = np.empty((len(embeddings), len(weight)))
        for rows in blocks(len(embeddings), _ROWS):
            logits[rows] = embeddings[rows] @ weight.T + bias
        return logits

    def head(self) -> Head:
        weight = np.asarray(self.estimator.coef_, dtype=np.float64)
        bias = np.broadcast_to(np.asarray(self.estimator.intercept_, dtype=np.float64), (len(weight),))
        if len(weight) == 1:
            # sigmoid(s) = softmax(-s/2, s/2)
            weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        return Head(weight=weight, bias=bias)

    def perturbed(self, X: Any, n: int, scale: float, rng: np.random.Generator) -> Iterator[NDArray]:
        try:
            self.outputs(take_rows(X, np.arange(min(_FIRST, n_rows(X)))), {"logits"})
        except PoolCapabilityError:
            raise self.lacks("perturbed") from None
        return self._perturbed(X, n, scale, rng)

    def _perturbed(self, X: Any, n: int, scale: float, rng: np.random.Generator) -> Iterator[NDArray]:
        for _ in range(n):
            twin = copy.copy(self.estimator)
            twin.coef_ = with_noise(self.estimator.coef_, scale, rng)
            yield twin.predict_proba(X)


def with_noise(weight: NDArray, scale: float, rng: np.random.Generator) -> NDArray:
    """A weight array with `weight_noise`, in its own dtype: in a wider one the pool would be copied to that."""
    return (weight + weight_noise(weight, scale, rng)).astype(weight.dtype, copy=False)


def weight_noise(weight: NDArray, scale: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian noise for a weight array, of norm `scale` times the array's own."""
    noise = rng.standard_normal(weight.shape)
    with np.errstate(over="ignore"):  # what is not finite is refused where it is read
        return noise * (scale * np.linalg.norm(weight) / np.linalg.norm(noise))


register_model(
    lambda estimator: (
        hasattr(estimator, "predict_proba")
        and (
            (hasattr(estimator, "coef_") and hasattr(estimator, "intercept_"))
            or isinstance(estimator, LinearClassifierMixin)
        )
    ),
    LinearModel,
)
