"""UFFM's uncertainties for object detection: what is made of all the boxes of an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ...base import ScoringStrategy, StrOptions
from ...pool import PoolView

__all__ = ["DetectionUncertainty", "overlaps", "placed"]

_AGGREGATE: dict[str, Callable[[NDArray], Any]] = {"sum": np.sum, "mean": np.mean, "max": np.max}


class DetectionUncertainty(ScoringStrategy):
    """Scores of images from the class distributions of their boxes alone."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "aggregation": [StrOptions({"sum", "mean", "max"})],
        "empty": [StrOptions({"last", "first"})],
        "random_state": ["random_state"],
    }
    requires = ("boxes",)
    order_free = True

    def __init__(
        self,
        *,
        aggregation: Literal["sum", "mean", "max"] = "sum",
        empty: Literal["last", "first"] = "last",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.aggregation = aggregation
        self.empty = empty
        self.random_state = random_state

    def _uncertainty(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of each box, `(n_boxes,)`; larger is more uncertain."""
        raise NotImplementedError

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[Any]:
        aggregate = _AGGREGATE[self.aggregation]
        scores = np.full(len(pool), np.nan)
        for i, proba in enumerate(pool.iter_box_proba(by=self.__name__)):
            if len(proba):
                scores[i] = aggregate(self._uncertainty(proba.astype(np.float64)))
        return placed(scores, self.empty)


def placed(scores: NDArray[np.float64], empty: str) -> NDArray[np.float64]:
    """`scores` of images, with those of images without boxes, which are NaN, 1 below ("last") or above all others."""
    is_empty = np.isnan(scores)
    if is_empty.all():
        return np.zeros(len(scores))
    found = scores[~is_empty]
    return np.where(is_empty, found.min() - 1 if empty == "last" else found.max() + 1, scores)


def overlaps(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes `(..., 4)`, broadcast; 0 where neither has an area."""
    size = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = size.clip(0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clip(0).prod(axis=-1) for boxes in (first, second)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
