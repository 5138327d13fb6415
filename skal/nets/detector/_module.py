"""torchvision's detectors: built by name with as many classes as asked for, and made to tell whole distributions."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...utils._validation import shown
from .._backbone import fresh_module, load_weights, named_weights, weights_file

__all__ = [
    "OWNER",
    "build_detector",
    "can_have_proba",
    "distributions",
    "has_proposals",
    "n_outputs_of",
    "set_thresholds",
    "thresholds_of",
]


OWNER = "DeepDetector"


# The submodules whose width follows the number of classes, in the Faster R-CNN and in the one-stage families.
_HEADS = ("roi_heads.box_predictor", "head.classification_head", "head")


# Parameter of DeepDetector: attribute of torchvision's detectors.
_THRESHOLDS = {
    "score_threshold": "score_thresh",
    "nms_threshold": "nms_thresh",
    "detections_per_image": "detections_per_img",
}


def build_detector(
    module: Any, *, weights: Any, weights_backbone: Any, n_outputs: int | None, kwargs: dict[str, Any]
) -> nn.Module:
    """A fresh detector of `n_outputs` classes, background included (its own number where None)."""
    if isinstance(module, str):
        return _torchvision_detector(module, weights, weights_backbone, n_outputs, dict(kwargs))
    built = fresh_module(module, n_outputs, kwargs, OWNER)
    path = weights_file(weights)
    if path is not None:
        load_weights(built, path, None if n_outputs is None else _head(built), OWNER)
    return built


def _torchvision_detector(
    name: str, weights: Any, weights_backbone: Any, n_outputs: int | None, kwargs: dict[str, Any]
) -> nn.Module:
    # Here, since it takes seconds that users of classifiers need not wait for.
    from torchvision import models

    known = models.list_models(module=models.detection)
    # Those need masks and keypoints to train on.
    names = [known_name for known_name in known if not known_name.startswith(("mask", "keypoint"))]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names
        raise ValueError(
            f"The 'module' parameter of {OWNER} must be an nn.Module or the name of a torchvision detector, such as "
            f"{', '.join(map(repr, close))}. Got {shown(name)} instead."
        )
    n_outputs = kwargs.pop("num_classes", n_outputs)
    path = weights_file(weights)
    own = None if path else named_weights(name, weights, OWNER)
    if own is None:
        classes = {} if n_outputs is None else {"num_classes": n_outputs}
        try:
            module = models.get_model(name, weights=None, weights_backbone=weights_backbone, **classes, **kwargs)
        except KeyError as error:
            if weights_backbone is None:
                raise
            raise ValueError(
                f"The 'weights_backbone' parameter of {OWNER} must be None, 'DEFAULT' or the name of weights of the "
                f"backbone of {name}. Got {shown(weights_backbone)} instead."
            ) from error
        if path:
            # Where nobody asks for a width, the file's must be the model's.
            load_weights(module, path, None if n_outputs is None else _head(module), OWNER)
        return module
    module = models.get_model(name, weights=own, **kwargs)
    if n_outputs not in (None, n_outputs_of(module)):
        # The trained parts do not depend on the number of classes; the head is that of an untrained twin.
        twin = models.get_model(name, weights=None, weights_backbone=None, num_classes=n_outputs, **kwargs)
        head = str(_head(module))
        parent, _, key = head.rpartition(".")
        setattr(module.get_submodule(parent), key, twin.get_submodule(head))
    return module


def _head(module: nn.Module) -> str | None:
    names = {name for name, _ in module.named_modules()}
    return next((name for name in _HEADS if name in names), None)


def n_outputs_of(module: nn.Module) -> int | None:
    """Classes of a detector, background included; None where it does not tell."""
    scores = getattr(getattr(getattr(module, "roi_heads", None), "box_predictor", None), "cls_score", None)
    if isinstance(scores, nn.Linear):
        return scores.out_features
    head = getattr(getattr(module, "head", None), "classification_head", None)
    width = getattr(head, "num_columns", getattr(head, "num_classes", None))
    return width if isinstance(width, int) else None


def _post_processor(module: nn.Module) -> Any:
    """The part of a torchvision detector that turns raw outputs into detections, which has the thresholds."""
    for part in (getattr(module, "roi_heads", None), module):
        if callable(getattr(part, "postprocess_detections", None)):
            return part
    return None


def thresholds_of(module: nn.Module) -> dict[str, Any]:
    """The thresholds of a detector's post-processing, by the names of `DeepDetector`'s parameters."""
    part = _post_processor(module)
    return {name: getattr(part, key) for name, key in _THRESHOLDS.items() if hasattr(part, key)}


def set_thresholds(module: nn.Module, values: dict[str, Any], own: dict[str, Any]) -> None:
    """Give the post-processing these thresholds; a value of None means the module's own, which are in `own`."""
    for name, value in values.items():
        if name in own:
            setattr(_post_processor(module), _THRESHOLDS[name], own[name] if value is None else value)
        elif value is not None:
            raise ValueError(
                f"The {name!r} parameter of {OWNER} must be None for {type(module).__name__}, which has no such "
                f"threshold. Got {shown(value)} instead."
            )


def can_have_proba(module: nn.Module) -> bool:
    """False for torchvision's other detectors; a module of one's own may return distributions by itself."""
    return _kind(module) is not None or _post_processor(module) is None


def _kind(module: nn.Module) -> str | None:
    from torchvision.models.detection.roi_heads import RoIHeads
    from torchvision.models.detection.ssd import SSD

    if isinstance(getattr(module, "roi_heads", None), RoIHeads):
        return "two-stage"
    # RetinaNet and FCOS decide each class by itself, so that their scores are no distribution.
    return "ssd" if isinstance(module, SSD) else None


def has_proposals(module: nn.Module) -> bool:
    """Whether boxes come from proposals, as those of torchvision's Faster R-CNN family do."""
    return _kind(module) == "two-stage"


@contextmanager
def distributions(module: nn.Module) -> Iterator[list[tuple[torch.Tensor, torch.Tensor | None]] | None]:
    """Collect, for each image that the detector answers inside, the class distributions of its boxes, and where these
    come from.

    torchvision's own post-processing runs as it is and decides which boxes are kept; each is then found again among
    the head's outputs, by its class, its score and its box before it is scaled to the image, all three exactly. Yields
    a list to which each image adds, in the order of its boxes, a tensor (n_boxes, n_outputs), softmax of the head's
    logits, and the proposals (n_boxes, 4) as fractions of the image, None of a detector that has none; None for a
    module that is of neither of torchvision's families.
    """
    kind, part = _kind(module), _post_processor(module)
    if kind is None:
        yield None
        return
    own: Callable[..., Any] = part.postprocess_detections
    taken: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def two_stage(class_logits: Any, box_regression: Any, proposals: Any, image_shapes: Any) -> Any:
        kept = own(class_logits, box_regression, proposals, image_shapes)
        sizes = [len(boxes) for boxes in proposals]
        decoded = part.box_coder.decode(box_regression, proposals).split(sizes)
        proba = F.softmax(class_logits, -1).split(sizes)
        for *one, p, candidates, proposed, shape in zip(*kept, proba, decoded, proposals, image_shapes):
            boxes, scores, labels = one
            rows = _rows_of(p, _clipped(candidates, shape), boxes, scores, labels)
            taken.append((p[rows], proposed[rows] / proposed.new_tensor(shape).flip(0).repeat(2)))
        return kept

    def ssd(head_outputs: Any, image_anchors: Any, image_shapes: Any) -> Any:
        kept = own(head_outputs, image_anchors, image_shapes)
        proba = F.softmax(head_outputs["cls_logits"], dim=-1)
        regressions = head_outputs["bbox_regression"]
        for one, p, regression, anchors, shape in zip(kept, proba, regressions, image_anchors, image_shapes):
            decoded = part.box_coder.decode_single(regression, anchors)
            boxes = _clipped(decoded, shape)[:, None]
            taken.append((p[_rows_of(p, boxes, one["boxes"], one["scores"], one["labels"])], None))
        return kept

    part.postprocess_detections = two_stage if kind == "two-stage" else ssd
    try:
        yield taken
    finally:
        del part.postprocess_detections


def _clipped(boxes: torch.Tensor, shape: Any) -> torch.Tensor:
    from torchvision.ops import clip_boxes_to_image

    return clip_boxes_to_image(boxes, shape)


def _rows_of(
    proba: torch.Tensor, candidates: torch.Tensor, boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """The rows of `proba` (N, C) that the kept boxes come from, (n_boxes,); `candidates` are (N, C, 4), or (N, 1, 4)
    for all C."""
    rows = torch.empty(len(boxes), dtype=torch.int64, device=proba.device)
    for label in labels.unique().tolist():
        mine = torch.where(labels == label)[0]
        own = candidates[:, label if candidates.shape[1] > 1 else 0]
        same = (proba[:, label, None] == scores[mine]) & (own[:, None] == boxes[mine]).all(dim=2)
        if not bool(same.any(dim=0).all()):
            raise RuntimeError("A detector's post-processing returned a box that its head did not give.")
        rows[mine] = same.int().argmax(dim=0)
    return rows
