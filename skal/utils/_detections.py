"""Boxes, labels and scores of images: targets as users write them, and how well detections match them."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ._rows import n_rows

__all__ = [
    "Targets",
    "is_detector",
    "load_pycocotools",
    "mean_average_precision",
    "parse_targets",
    "unique_labels",
]


def is_detector(estimator: Any) -> bool:
    """Whether `estimator` finds boxes in images, by what it can do."""
    return not isinstance(estimator, type) and callable(getattr(estimator, "detect", None))


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


def mean_average_precision(y_true: Any, y_pred: Any, *, iou_threshold: float = 0.5) -> float:
    """Mean average precision (mAP) of detections at one overlap, over the classes that occur in `y_true`.

    Parameters
    ----------
    y_true : list of n dicts
        For each image its objects: "boxes" (n_i, 4), as x1, y1, x2, y2 in pixels, and "labels" (n_i,), numbers or
        strings. All objects count; boxes without area are left out with a warning.
    y_pred : list of n dicts
        For each image its detections: "boxes", "labels" and "scores" (m_i,), as `skal.nets.DeepDetector.predict`
        returns them. All of them count, however many.
    iou_threshold : float in (0, 1], default=0.5
        Area of the intersection over that of the union from which on a detection matches an object.

    Returns
    -------
    float in [0, 1]
        0 for a class that occurs and is never detected; classes that only `y_pred` holds are not in the mean.

    Raises
    ------
    ImportError
        Without the extra `detection`, ``pip install "skal[detection]"``.
    ValueError, TypeError
        Lengths that differ, targets or detections of another form, no object in `y_true`, scores that are not finite.

    Notes
    -----
    Computed by pycocotools, the reference implementation of COCO's metric: precision, made monotone, is averaged over
    101 recalls. PASCAL VOC's own all-point rule differs from it by a few thousandths. Time grows with the pairs of
    detections and objects of one class in one image; memory with the number of boxes.

    References
    ----------
    T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014.

    Examples
    --------
    >>> from skal.metrics import mean_average_precision
    >>> truth = [{"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": ["cat", "dog"]}]
    >>> found = [{"boxes": [[0, 0, 10, 9]], "labels": ["cat"], "scores": [0.8]}]
    >>> round(mean_average_precision(truth, found), 3)
    0.5
    """
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in (0, 1]. Got {iou_threshold!r} instead.")
    n = len(y_true) if hasattr(y_true, "__len__") else 0
    truth = parse_targets(y_true, n, name="y_true")
    found, scores = _parse_detections(y_pred, n)
    classes = unique_labels(truth.labels, "y_true")
    if classes is None:
        raise ValueError("y_true must hold at least one object. Got none.")
    COCO, COCOeval = load_pycocotools()

    def records(targets: Targets) -> list[dict[str, Any]]:
        """pycocotools' boxes are x, y, width, height; its numbers begin at 1."""
        known = {label: k for k, label in enumerate(classes.tolist())}
        made = []
        for i, (boxes, labels) in enumerate(zip(targets.boxes, targets.labels)):
            sizes = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
            for j, label in enumerate(labels.tolist()):
                if label in known:
                    width, height = sizes[j].tolist()
                    box = [*boxes[j, :2].tolist(), width, height]
                    made.append({"image_id": i, "category_id": known[label], "bbox": box, "area": width * height})
                    made[-1] |= {"id": len(made), "iscrowd": 0, "from": (i, j)}
        return made

    objects, detections = records(truth), records(found)
    for record in detections:
        i, j = record["from"]
        record["score"] = float(scores[i][j])
    if not detections:
        return 0.0
    # It reports its progress on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        coco, results = COCO(), COCO()
        for index, annotations in ((coco, objects), (results, detections)):
            index.dataset = {
                "images": [{"id": i} for i in range(n)],
                "categories": [{"id": k} for k in range(len(classes))],
                "annotations": annotations,
            }
            index.createIndex()
        evaluation = COCOeval(coco, results, "bbox")
        evaluation.params.iouThrs = np.array([iou_threshold])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [max(map(len, scores))]
        evaluation.evaluate()
        evaluation.accumulate()
    # precision is (overlaps, recalls, classes, areas, numbers of detections)
    return float(evaluation.eval["precision"][0, :, :, 0, -1].mean())


def load_pycocotools() -> tuple[Any, Any]:
    """Its classes COCO and COCOeval; an error that says what to install."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise ImportError('The mean average precision needs pycocotools: pip install "skal[detection]".') from None
    return COCO, COCOeval


def _parse_detections(y_pred: Any, n_images: int) -> tuple[Targets, list[NDArray]]:
    # A detector may well answer with a box of no area.
    checked = parse_targets(y_pred, n_images, invalid_boxes="ignore", name="y_pred", beside="y_true")
    scores = []
    for i, target in enumerate(y_pred):
        given = _array(target["scores"]) if "scores" in target else np.empty(0)
        boxes = _array(target["boxes"]).reshape(-1, 4).astype(np.float32)
        if given.shape != (len(boxes),) or not np.isfinite(given.astype(np.float64)).all():
            raise ValueError(f"y_pred[{i}] must have one finite score per box, {len(boxes)}. Got shape {given.shape}.")
        scores.append(given[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)])
    return checked, scores
