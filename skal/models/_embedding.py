"""A user-made classifier with `embed(X) -> (n, d)`, and perhaps `head(tensor) -> logits`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.exceptions import NotFittedError

from ..rows import n_rows, take_rows
from ._base import Head, Model, Outputs, model_for, register_model
from ._checks import checked_matrix

__all__ = ["EmbeddingModel"]

_TOLERANCE = 1e-3  # between softmax(head(embed(X))) and predict_proba ...
_FIRST = 64  # ... on the first rows, where no more are asked for


class EmbeddingModel(Model):
    """Embeddings by `embed`; with a `head`, logits follow from them, and what no `predict_proba` gives: probabilities.

    All else is the family's. A `predict_proba` beside a head must be the head's softmax.
    """

    offers = frozenset({"embeddings", "logits", "head", "proba"})

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self._family = model_for(estimator, besides=EmbeddingModel)
        self._has_head = callable(getattr(estimator, "head", None))
        own = {"embeddings", "logits", "head", "proba"} if self._has_head else {"embeddings"}
        # A head that the family knows maps the family's embeddings, not these.
        self.offers = (self._family.offers - {"logits", "head", "linear_head"}) | own

    def advice(self, member: str) -> str:
        if self._has_head and member in ("logits", "head"):
            return "The softmax of head(embed(X)) must be its predict_proba, and is not."
        return super().advice(member)

    def outputs(self, X: Any, want: Collection[str]) -> Outputs:
        knows_proba = self._family.supplies("proba")
        from_head = "logits" in want or ("proba" in want and not knows_proba)
        n = n_rows(X)
        embeddings = logits = proba = None
        if "embeddings" in want or from_head:
            embeddings = checked_matrix(self.estimator.embed(X), n, self.name, "embeddings")
        if "proba" in want and knows_proba:
            proba = self._family.outputs(X, {"proba"}).proba
        if from_head and embeddings is not None:
            with torch.no_grad():
                found = self.head()(torch.as_tensor(embeddings, dtype=torch.float64))
            logits = checked_matrix(found, n, self.name, "logits")
            if knows_proba:
                self._check_head(X, logits, proba)
            else:
                proba = softmax(logits, axis=1)
        return Outputs(proba=proba, logits=logits, embeddings=embeddings).only(want)

    def cold_embeddings(self, X: Any) -> NDArray | None:
        try:
            return checked_matrix(self.estimator.embed(X), n_rows(X), self.name, "embeddings")
        except (NotFittedError, AttributeError):
            return self._family.cold_embeddings(X)

    def _check_head(self, X: Any, logits: NDArray, proba: Any) -> None:
        if proba is None:
            first = np.arange(min(_FIRST, len(logits)))
            proba, logits = self._family.outputs(take_rows(X, first), {"proba"}).proba, logits[first]
        expected = softmax(logits, axis=1)
        if np.shape(proba) != expected.shape or not np.allclose(expected, proba, atol=_TOLERANCE):
            raise self.lacks("logits")

    def head(self) -> Head:
        if not self._has_head:
            raise self.lacks("head")
        return Head(self._logits)

    def _logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        """The head's, also where its weights are in single precision."""
        try:
            return self.estimator.head(embeddings)
        except RuntimeError:
            return self.estimator.head(embeddings.float()).to(embeddings.dtype)

    def classes(self, n_columns: int) -> NDArray:
        return self._family.classes(n_columns)

    def opinions(self, X: Any, n: int, rng: np.random.Generator) -> Iterator[NDArray]:
        return self._family.opinions(X, n, rng)

    def perturbed(self, X: Any, n: int, scale: float, rng: np.random.Generator) -> Iterator[NDArray]:
        return self._family.perturbed(X, n, scale, rng)

    def snapshots(
        self,
        X: Any,
        X_labeled: Any,
        y: NDArray,
        classes: NDArray,
        n: int,
        rng: np.random.Generator,
        see: Callable[[NDArray], None],
    ) -> None:
        self._family.snapshots(X, X_labeled, y, classes, n, rng, see)

    def boxes(self, X: Any, n: int) -> Iterator[NDArray]:
        return self._family.boxes(X, n)


register_model(lambda estimator: callable(getattr(estimator, "embed", None)), EmbeddingModel)
