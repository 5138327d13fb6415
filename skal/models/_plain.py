"""Whatever has `predict_proba` or takes numbers: its input stands for its embeddings, and it has no head."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from ..rows import feature_shape, flat_numeric, n_rows
from ..utils._arrays import blocks
from ._base import Model, Outputs, register_model
from ._checks import checked_boxes, checked_proba
from ._clones import watch_iterations

__all__ = ["PlainModel"]

_ROWS = 65_536  # samples whose probabilities are asked for at once


class PlainModel(Model):
    """Probabilities from `predict_proba`, embeddings from the (transformed) input."""

    offers = frozenset({"proba", "embeddings", "snapshots", "boxes"})
    embeds_input = True

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        has_proba = hasattr(estimator, "predict_proba")
        absent = {
            "proba": not has_proba,
            "snapshots": not (has_proba and hasattr(estimator, "max_iter")),
            # A classifier of samples has no boxes; of others only the answer tells.
            "boxes": not has_proba or (hasattr(estimator, "get_params") and is_classifier(estimator)),
        }
        self.offers = type(self).offers - {member for member, is_absent in absent.items() if is_absent}

    def outputs(self, X: Any, want: Collection[str]) -> Outputs:
        return Outputs(
            proba=self.proba(X) if "proba" in want else None,
            embeddings=self.embeddings(X) if "embeddings" in want else None,
        )

    def proba(self, X: Any) -> NDArray:
        """`predict_proba`; of large arrays in blocks, since a cast of the whole to another dtype may not fit."""
        if "proba" not in self.offers:
            raise self.lacks("proba")
        large = isinstance(X, np.ndarray) and len(X) > _ROWS
        parts = (X[rows] for rows in blocks(len(X), _ROWS)) if large else (X,)
        found = [checked_proba(self.estimator.predict_proba(part), n_rows(part), self.name) for part in parts]
        return np.concatenate(found) if large else found[0]

    def embeddings(self, X: Any) -> NDArray:
        """The input as an array `(n, d)`."""
        found = flat_numeric(X)
        if found is None:
            raise self.lacks("embeddings")
        shape, expected = feature_shape(X), getattr(self.estimator, "n_features_in_", None)
        # Of images, say, an estimator may count what it likes.
        if expected not in (None, found.shape[1]) and (shape is None or len(shape) < 2):
            raise ValueError(f"X must have the {expected} features of {self.name}. Got {found.shape[1]} instead.")
        return found

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
        if "snapshots" not in self.offers or not hasattr(self.estimator, "n_iter_"):
            raise self.lacks("snapshots")
        watch_iterations(self, X, X_labeled, y, classes, n, rng, see)

    def boxes(self, X: Any, n: int) -> Iterator[NDArray]:
        found: Any = self.estimator.predict_proba(X) if "boxes" in self.offers else None
        ragged = isinstance(found, (list, tuple)) or (isinstance(found, np.ndarray) and found.dtype == object)
        if not ragged:
            raise self.lacks("boxes")
        if len(found) != n:
            raise ValueError(f"predict_proba of {self.name} must return one array per image, {n}. Got {len(found)}.")
        return (checked_boxes(proba, self.name) for proba in found)


register_model(lambda estimator: True, PlainModel)
