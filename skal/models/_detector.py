"""A detector, which knows nothing of an image as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from ._base import Model, register_model
from ._checks import checked_boxes
from ._plain import PlainModel

__all__ = ["DetectorModel", "is_detector"]


def is_detector(estimator: Any) -> bool:
    """Whether `estimator` finds boxes in images, by what it can do."""
    return not isinstance(estimator, type) and callable(getattr(estimator, "detect", None))


class DetectorModel(Model):
    """Class distributions of boxes, by `iter_detect` or a `predict_proba` with one array for each image."""

    offers = frozenset({"boxes"})

    def advice(self, member: str) -> str:
        if member == "boxes":
            return super().advice(member)
        return (
            "It is a detector, which tells of boxes: use DetectionEntropy, DetectionMargin or "
            "DetectionLeastConfidence, alone or in UFFM with a descriptor=."
        )

    def is_fitted(self) -> bool:
        initialized = getattr(self.estimator, "initialized_", None)
        return super().is_fitted() if initialized is None else bool(initialized)

    def boxes(self, X: Any, n: int) -> Iterator[NDArray]:
        if callable(getattr(self.estimator, "iter_detect", None)):
            return (checked_boxes(found["proba"], self.name) for found in self.estimator.iter_detect(X))
        return PlainModel(self.estimator).boxes(X, n)


register_model(is_detector, DetectorModel)
