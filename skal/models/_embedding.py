"""A user-made classifier with `embed(X) -> (n, d)`, and perhaps `head(tensor) -> logits`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from ._base import Head, Model, Outputs, model_for, register_model

__all__ = ["EmbeddingModel"]


class EmbeddingModel(Model):
    """Embeddings by `embed`; with a `head`, logits and probabilities follow from them. All else is the family's.

    Where a classifier has a head, its probabilities are the head's softmax, and its `predict_proba` is not asked.
    """

    offers = frozenset({"embeddings", "logits", "head", "proba"})

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self._family = model_for(estimator, besides=EmbeddingModel)
        self._has_head = callable(getattr(estimator, "head", None))
        own = {"embeddings", "logits", "head", "proba"} if self._has_head else {"embeddings"}
        # A head that the family knows maps the family's embeddings, not these.
        self.offers = (self._family.offers - {"logits", "head", "linear_head"}) | own

    def outputs(self, X: Any, want: Collection[str]) -> Outputs:
        if "logits" in want and not self._has_head:
            raise self.lacks("logits")
        from_head = self._has_head and ("logits" in want or "proba" in want)
        embeddings = np.asarray(self.estimator.embed(X)) if "embeddings" in want or from_head else None
        logits = None
        if from_head:
            with torch.no_grad():
                logits = self.estimator.head(torch.as_tensor(embeddings, dtype=torch.float64)).numpy()
            proba = softmax(logits, axis=1)
        else:
            proba = self._family.outputs(X, {"proba"}).proba if "proba" in want else None
        return Outputs(proba=proba, logits=logits, embeddings=embeddings).only(want)

    def head(self) -> Head:
        if not self._has_head:
            raise self.lacks("head")
        return Head(self.estimator.head)

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
