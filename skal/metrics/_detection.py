"""How well detections match the objects of images."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._targets import Targets, _array, parse_targets, unique_labels

__all__ = ["load_pycocotools", "mean_average_precision"]


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
