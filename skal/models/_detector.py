"""A detector, which knows nothing of an image as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from ._base import Model, register_model
from ._checks import checked_boxes, checked_detections
from ._noisy_images import noisy_images
from ._plain import PlainModel

__all__ = ["DetectorModel", "is_detector"]


def is_detector(estimator: Any) -> bool:
    """Whether `estimator` finds boxes in images, by what it can do."""
    return not isinstance(estimator, type) and callable(getattr(estimator, "detect", None))


class DetectorModel(Model):
    """Class distributions of boxes, by `iter_detect` or a `predict_proba` with one array for each image; where the
    boxes lie, by `iter_detect` or `detect`, and where they come from, by `iter_proposals`."""

    offers = frozenset({"boxes", "detections", "proposals"})

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        if not callable(getattr(estimator, "iter_proposals", None)) or not getattr(estimator, "has_proposals", True):
            self.offers = type(self).offers - {"proposals"}

    def advice(self, member: str) -> str:
        if member in type(self).offers:
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

    def detections(self, X: Any, n: int, noise: float = 0.0, seed: int = 0) -> Iterator[dict[str, NDArray]]:
        found = self._detect(X) if noise == 0 else self._detect_blocks(noisy_images(X, n, noise, seed))
        return self._each_checked(found, n, "boxes", "scores")

    def proposals(self, X: Any, n: int) -> Iterator[dict[str, NDArray]]:
        if "proposals" not in self.offers:
            raise self.lacks("proposals")
        return self._each_checked(self.estimator.iter_proposals(X), n, "boxes", "scores", "proposals")

    def _detect(self, X: Any) -> Iterator[Any]:
        return iter(getattr(self.estimator, "iter_detect", self.estimator.detect)(X))

    def _detect_blocks(self, images: Iterator[Any]) -> Iterator[Any]:
        for block in images:
            yield from self._detect(block)

    def _each_checked(self, found: Iterator[Any], n: int, *names: str) -> Iterator[dict[str, NDArray]]:
        seen = 0
        for one in found:
            seen += 1
            yield checked_detections(one, names, self.name)
        if seen != n:
            raise ValueError(f"detect of {self.name} must return one dict for each of {n} images. Got {seen}.")


register_model(is_detector, DetectorModel)
