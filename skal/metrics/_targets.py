"""Boxes and labels of images as users write them, checked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..rows import n_rows, take_rows
from ..utils._validation import kind_of
from ._box_form import check_box_form

__all__ = ["Targets", "as_array", "label_kind", "parse_targets", "unique_labels"]


class Targets(NamedTuple):
    """Boxes (n_i, 4) float32 and labels (n_i,) of each image, and which of the boxes given these are, a mask."""

    boxes: list[NDArray[np.float32]]
    labels: list[NDArray]
    kept: list[NDArray[np.bool_]]


def parse_targets(
    y: Any,
    n_images: int | None,
    *,
    invalid_boxes: Literal["skip", "ignore", "error"] = "skip",
    form: Literal["pixels", "corners", "any"] = "pixels",
    name: str = "y",
    beside: str = "X",
    sizes: list[tuple[int, int]] | None = None,
) -> Targets:
    """Targets as arrays, checked.

    Parameters
    ----------
    y : sequence of n_images dicts with "boxes" (n_i, 4), x1, y1, x2, y2 in pixels, and "labels" (n_i,)
        Arrays, tensors or lists; other keys are not read. An image without objects has no boxes.
    n_images : int or None
        None takes as many as there are targets.
    invalid_boxes : {"skip", "ignore", "error"}
        What becomes of boxes without area (inside the image, where `sizes` are given): left out with a warning that
        counts them, left out without a word, or an error.
    form : {"pixels", "corners", "any"}
        What boxes as a whole must look like, which is told before any is left out: corners in pixels; corners in any
        unit (no centres or sizes); or anything, as the boxes that a detector finds may.
    name, beside : str
        Of `y` and of what it belongs to, for messages.
    sizes : list of (height, width)
        Of the images.

    Raises
    ------
    ValueError, TypeError
        Where `y` is anything else.
    """
    if y is None or isinstance(y, (Mapping, str, bytes)) or not hasattr(y, "__getitem__"):
        raise TypeError(f"{name} must be a list of dicts with 'boxes' and 'labels'. Got {kind_of(y)} instead.")
    if n_images not in (None, n_rows(y)):
        raise ValueError(f"{beside} and {name} must have the same length. Got {n_images} and {n_rows(y)}.")
    parsed = [_target(target, f"{name}[{i}]") for i, target in enumerate(_one_by_one(y))]
    if form != "any":
        check_box_form([boxes for boxes, _ in parsed], name, sizes, in_pixels=form == "pixels")
    targets = Targets([], [], [])
    n_invalid, first = 0, ""
    for i, (found, names) in enumerate(parsed):
        valid = _has_area(found)
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
        targets.boxes.append(found[valid])
        targets.labels.append(names[valid])
        targets.kept.append(valid)
    if n_invalid and invalid_boxes == "skip":
        total = n_invalid + sum(map(len, targets.boxes))
        warnings.warn(
            f"{n_invalid} of {total} boxes have no area in the image and are left out; {first}. Boxes are "
            "(x1, y1, x2, y2) with x1 < x2 and y1 < y2, in pixels.",
            UserWarning,
            stacklevel=4,
        )
    return targets


def _one_by_one(y: Any) -> list[Any]:
    return [take_rows(y, i) for i in range(n_rows(y))]


def _has_area(boxes: NDArray) -> NDArray[np.bool_]:
    return np.all(boxes[:, 2:] > boxes[:, :2], axis=1)


def unique_labels(labels: list[NDArray], name: str = "y") -> NDArray | None:
    """The distinct labels of all images, sorted; None where there is no box at all."""
    used = [part for part in labels if len(part)]
    if not used:
        return None
    values = np.concatenate([part.astype(object) for part in used]).tolist()
    kinds = set(map(label_kind, values))
    if len(kinds) > 1 or any(value is None or value != value for value in values):
        got = "missing ones" if len(kinds) == 1 else "text and numbers"
        raise ValueError(f"Labels of {name} must be of one type, and none may be missing. Got {got}.")
    return np.unique(values)


def label_kind(label: Any) -> str:
    """What labels must share to be compared, in a word for messages."""
    return "text" if isinstance(label, (str, bytes)) else "numbers"


def _target(target: Any, name: str) -> tuple[NDArray[np.float32], NDArray]:
    if not isinstance(target, Mapping) or "boxes" not in target or "labels" not in target:
        got = f"the keys {sorted(map(str, target))}" if isinstance(target, Mapping) else kind_of(target)
        raise TypeError(f"{name} must be a dict with 'boxes' and 'labels'. Got {got} instead.")
    box_format = getattr(getattr(target["boxes"], "format", None), "value", "XYXY")
    if box_format != "XYXY":
        raise ValueError(f"The boxes of {name} must be (x1, y1, x2, y2), in torch's words XYXY. Got {box_format}.")
    labels = as_array(target["labels"])
    numbers = as_array(target["boxes"])
    if numbers is not None and numbers.size == 0:
        numbers = np.empty((0, 4))
    try:
        with np.errstate(over="ignore"):
            boxes = None if numbers is None or numbers.dtype.kind in "USc" else numbers.astype(np.float32)
    except (TypeError, ValueError):
        boxes = None
    if boxes is None:
        raise ValueError(f"The boxes of {name} must be numbers of shape (n, 4).")
    if labels is None:
        raise ValueError(f"{name} must have one label per box, {len(boxes)}. Got labels of several shapes.")
    if labels.size == 0:
        labels = labels.reshape(0)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        advice = ": put the box into a list" if boxes.shape == (4,) else ""
        raise ValueError(f"The boxes of {name} must have shape (n, 4). Got {boxes.shape} instead{advice}.")
    if labels.shape != (len(boxes),):
        raise ValueError(f"{name} must have one label per box, {len(boxes)}. Got labels of shape {labels.shape}.")
    if not np.isfinite(boxes).all():
        raise ValueError(f"The boxes of {name} contain NaN or infinity.")
    return boxes, labels


def as_array(values: Any) -> NDArray | None:
    """Values as an array; None where they are of several shapes."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    if not isinstance(values, np.ndarray) and any(isinstance(row, torch.Tensor) for row in _iterable(values)):
        values = [as_array(row) if isinstance(row, torch.Tensor) else row for row in values]
    try:
        return np.asarray(values)
    except ValueError:
        return None


def _iterable(values: Any) -> Any:
    return values if isinstance(values, (list, tuple)) else ()
