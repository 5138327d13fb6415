"""How well detections match the objects of images."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rows import numbers_of
from ..utils._validation import shown
from ._arguments import check_real
from ._box_form import are_fractions
from ._targets import Targets, as_array, label_kind, parse_targets, unique_labels

__all__ = ["load_pycocotools", "mean_average_precision"]


def mean_average_precision(y_true: Any, y_pred: Any, *, iou_threshold: float = 0.5) -> float:
    """Mean average precision (mAP) of detections at one overlap, over the classes that occur in `y_true`.

    Parameters
    ----------
    y_true : list of n dicts
        For each image its objects: "boxes" (n_i, 4), as x1, y1, x2, y2 in pixels, and "labels" (n_i,), numbers or
        strings; boxes without area are left out with a warning. Objects flagged in "difficult" (n_i,), as PASCAL VOC
        has them, or in "iscrowd" (n_i,), as COCO has them, bools or 0 and 1, need not be found, see Notes.
    y_pred : list of n dicts
        For each image its detections: "boxes", "labels" and "scores" (m_i,), as `skal.nets.DeepDetector.predict`
        returns them. All of them count, however many.
    iou_threshold : float in (0, 1], default=0.5
        Area of the intersection over that of the union from which on a detection matches an object.

    Returns
    -------
    float in [0, 1]
        0 for a class that occurs and is never detected; classes that only `y_pred` holds, or of which all objects are
        flagged, are not in the mean.

    Raises
    ------
    ImportError
        Without the extra `detection`, ``pip install "skal[detection]"``.
    ValueError, TypeError
        Lengths that differ, targets or detections of another form, no object that counts in `y_true`, scores that are
        not finite, flags that are none, labels of one side that are text where those of the other are numbers, boxes of
        one side that are fractions where those of the other are pixels.

    Notes
    -----
    Computed by pycocotools, the reference implementation of COCO's metric: precision, made monotone, is averaged over
    101 recalls. PASCAL VOC's own all-point rule differs from it by a few thousandths.

    A detection takes the free object of its class that it overlaps most, among those that count if it overlaps one of
    these enough. Otherwise, if it overlaps a flagged one enough, it counts neither as right nor as wrong, however many
    detections do. Of a crowd, the overlap is the share of the detection's own area that lies in it.

    Time grows with the pairs of detections and objects of one class in one image, flagged ones as often as there are
    detections; memory with the number of boxes.

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
    if not 0 < check_real(iou_threshold, "iou_threshold", "in (0, 1]") <= 1:
        raise ValueError(f"iou_threshold must be in (0, 1]. Got {shown(iou_threshold)} instead.")
    truth = parse_targets(y_true, None, form="corners", name="y_true")
    n = len(truth.boxes)
    difficult, crowd = (_flags(y_true, truth, key) for key in ("difficult", "iscrowd"))
    # A detector may well answer with a box of no area.
    found = parse_targets(y_pred, n, invalid_boxes="ignore", form="any", name="y_pred", beside="y_true")
    scores = _scores(y_pred, found)
    _check_alike(truth, found)
    counting = [~(one | other) for one, other in zip(difficult, crowd)]
    classes = unique_labels([labels[mask] for labels, mask in zip(truth.labels, counting)], "y_true")
    if classes is None:
        flagged = " that is neither difficult nor a crowd" if any(map(len, truth.labels)) else ""
        raise ValueError(f"y_true must hold at least one object{flagged}. Got none.")
    COCO, COCOeval = load_pycocotools()
    codes = {label: k for k, label in enumerate(classes.tolist())}
    objects, detections = _records(truth, codes), _records(found, codes)
    if not detections:
        return 0.0
    for record in detections:
        i, j = record.pop("from")
        record["score"] = float(scores[i][j])
    objects = _flagged(objects, difficult, crowd, Counter((one["image_id"], one["category_id"]) for one in detections))
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
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, np.inf]], ["all"]
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


def _records(targets: Targets, codes: dict[Any, int]) -> list[dict[str, Any]]:
    """Boxes of known classes as pycocotools has them: x, y, width, height."""
    made: list[dict[str, Any]] = []
    for i, (boxes, labels) in enumerate(zip(targets.boxes, targets.labels)):
        sizes = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
        for j, label in enumerate(labels.tolist()):
            if label in codes:
                width, height = sizes[j].tolist()
                box = [*boxes[j, :2].tolist(), width, height]
                one = {"image_id": i, "category_id": codes[label], "bbox": box, "area": width * height, "iscrowd": 0}
                made.append({**one, "id": len(made) + 1, "from": (i, j)})
    return made


def _flagged(
    objects: list[dict[str, Any]],
    difficult: list[NDArray[np.bool_]],
    crowd: list[NDArray[np.bool_]],
    n_detections: Counter[tuple[int, int]],
) -> list[dict[str, Any]]:
    """The objects with what pycocotools makes of the flags.

    It passes over a crowd by itself, and objects whose area is out of range, here -1; of these a detection takes one
    each, and so there are as many of a difficult one as there are detections.
    """
    made: list[dict[str, Any]] = []
    for one in objects:
        i, j = one.pop("from")
        if crowd[i][j]:
            made.append({**one, "iscrowd": 1})
        elif difficult[i][j]:
            made += [{**one, "area": -1.0}] * n_detections[i, one["category_id"]]
        else:
            made.append(one)
    # Its numbers begin at 1.
    return [{**one, "id": k} for k, one in enumerate(made, start=1)]


def _flags(y: Any, targets: Targets, key: str) -> list[NDArray[np.bool_]]:
    """For each image, which of the boxes kept have the flag `key`; none where it is absent."""
    flags = []
    for i, (target, kept) in enumerate(zip(y, targets.kept)):
        given = as_array(target.get(key, np.zeros(len(kept), dtype=bool)))
        if given is None or given.size != len(kept) or given.ndim > 1 or not np.isin(given, (0, 1)).all():
            raise ValueError(f"y_true[{i}]['{key}'] must hold a bool, or 0 or 1, for each of {len(kept)} boxes.")
        flags.append(given.reshape(-1).astype(bool)[kept])
    return flags


def _scores(y_pred: Any, found: Targets) -> list[NDArray]:
    scores = []
    for i, (target, kept) in enumerate(zip(y_pred, found.kept)):
        given = as_array(target.get("scores", ()))
        given = given.reshape(0) if given is not None and given.size == 0 else given
        numbers = None if given is None else numbers_of(given)
        if numbers is None or numbers.shape != (len(kept),) or not np.isfinite(numbers).all():
            got = "several shapes" if given is None else f"shape {given.shape}"
            raise ValueError(f"y_pred[{i}] must have one finite score per box, {len(kept)}. Got {got}.")
        scores.append(numbers[kept])
    return scores


def _check_alike(truth: Targets, found: Targets) -> None:
    """Labels and boxes that cannot be compared would give 0."""
    kinds = [{label_kind(label) for part in side.labels for label in part.tolist()} for side in (truth, found)]
    if len(kinds[0] | kinds[1]) > 1:
        words = [" and ".join(sorted(kind)) or "none" for kind in kinds]
        raise ValueError(
            f"Labels of y_true and y_pred must be of one type. Got {words[0]} in y_true and {words[1]} in y_pred."
        )
    first, second = (np.concatenate([*side.boxes, np.empty((0, 4), dtype=np.float32)]) for side in (truth, found))
    if are_fractions(first) and len(second) and second.max() > 2:
        raise ValueError(
            f"Boxes of y_true and y_pred must be in one unit, pixels. Got fractions in y_true, up to "
            f"{float(first.max()):.3g}, and up to {float(second.max()):.3g} in y_pred."
        )
