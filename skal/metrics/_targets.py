"""Boxes and labels of images as users write them, checked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..rows import n_rows

__all__ = ["Targets", "parse_targets", "unique_labels"]


class Targets(NamedTuple):
    """Boxes (n_i, 4) float32 and labels (n_i,) of each image."""

    boxes: list[NDArray[np.float32]]
    labels: list[NDArray]


def parse_targets(
    y: Any,
    n_images: int,
    *,
    invalid_boxes: Literal["skip", "ignore", "error"] = "skip",
    name: str = "y",
    beside: str = "X",
    sizes: list[tuple[int, int]] | None = None,
) -> Targets:
    """Targets as arrays, checked.

    Parameters
    ----------
    y : sequence of n_images dicts with "boxes" (n_i, 4), x1, y1, x2, y2 in pixels, and "labels" (n_i,)
        Arrays, tensors or lists; other keys are not read. An image without objects has no boxes.
    n_images : int
    invalid_boxes : {"skip", "ignore", "error"}
        What becomes of boxes without area (inside the image, where `sizes` are given): left out with a warning that
        counts them, left out without a word, or an error.
    name, beside : str
        Of `y` and of what it belongs to, for messages.
    sizes : list of (height, width)
        Of the images.

    Raises
    ------
    ValueError, TypeError
        Where `y` is anything else.
    """
    if y is None or isinstance(y, (Mapping, str)) or not hasattr(y, "__len__"):
        raise TypeError(f"{name} must be a list of dicts with 'boxes' and 'labels'. Got {type(y).__name__} instead.")
    if n_rows(y) != n_images:
        raise ValueError(f"{beside} and {name} must have the same length. Got {n_images} and {n_rows(y)}.")
    boxes, labels = [], []
    n_invalid, first = 0, ""
    for i, target in enumerate(y):
        found, names = _target(target, f"{name}[{i}]")
        valid = (found[:, 2:] > found[:, :2]).all(axis=1)
        if sizes is not None:
            valid &= (found[:, :2] < sizes[i][::-1]).all(axis=1) & (found[:, 2:] > 0).all(axis=1)
        if not valid.all():
            box = found[np.argmin(valid)].tolist()
            if invalid_boxes == "error":
                raise ValueError(
                    f"Boxes of {name} must be (x1, y1, x2, y2) with x1 < x2 and y1 < y2, in pixels of the image. "
                    f"Got {box} in {name}[{i}]."
                )
            first = first or f"the first is {box} in {name}[{i}]"
            n_invalid += int((~valid).sum())
        boxes.append(found[valid])
        labels.append(names[valid])
    if n_invalid and invalid_boxes == "skip":
        total = n_invalid + sum(map(len, boxes))
        warnings.warn(
            f"{n_invalid} of {total} boxes have no area in the image and are left out; {first}. Boxes are "
            "(x1, y1, x2, y2) with x1 < x2 and y1 < y2, in pixels.",
            UserWarning,
            stacklevel=4,
        )
    largest = max((float(found.max()) for found in boxes if len(found)), default=2.0)
    if sizes is not None and largest <= 1:
        raise ValueError(f"Boxes of {name} must be in pixels of the image. Got fractions of it, up to {largest:.3g}.")
    return Targets(boxes, labels)


def unique_labels(labels: list[NDArray], name: str = "y") -> NDArray | None:
    """The distinct labels of all images, sorted; None where there is no box at all."""
    used = [part for part in labels if len(part)]
    if not used:
        return None
    values = np.concatenate([part.astype(object) for part in used]).tolist()
    kinds = {"text" if isinstance(value, (str, bytes)) else "numbers" for value in values}
    if len(kinds) > 1 or any(value is None or value != value for value in values):
        got = "missing ones" if len(kinds) == 1 else "text and numbers"
        raise ValueError(f"Labels of {name} must be of one type, and none may be missing. Got {got}.")
    return np.unique(values)


def _target(target: Any, name: str) -> tuple[NDArray[np.float32], NDArray]:
    if not isinstance(target, Mapping) or "boxes" not in target or "labels" not in target:
        got = f"the keys {sorted(map(str, target))}" if isinstance(target, Mapping) else type(target).__name__
        raise TypeError(f"{name} must be a dict with 'boxes' and 'labels'. Got {got} instead.")
    box_format = getattr(getattr(target["boxes"], "format", None), "value", "XYXY")
    if box_format != "XYXY":
        raise ValueError(f"The boxes of {name} must be (x1, y1, x2, y2), in torch's words XYXY. Got {box_format}.")
    labels = _array(target["labels"])
    try:
        boxes = _array(target["boxes"]).astype(np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"The boxes of {name} must be numbers of shape (n, 4).") from None
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if labels.size == 0:
        labels = labels.reshape(0)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"The boxes of {name} must have shape (n, 4). Got {boxes.shape} instead.")
    if labels.shape != (len(boxes),):
        raise ValueError(f"{name} must have one label per box, {len(boxes)}. Got labels of shape {labels.shape}.")
    if not np.isfinite(boxes).all():
        raise ValueError(f"The boxes of {name} contain NaN or infinity.")
    return boxes, labels


def _array(values: Any) -> NDArray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
