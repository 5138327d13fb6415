"""What a model answers with is looked at once, here, before anything is computed with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..rows import flat_numeric, is_finite, numbers_of

__all__ = ["checked_answer", "checked_boxes", "checked_detections", "checked_matrix", "checked_proba"]

_SLACK = 0.01  # what half precision and rounding may leave of the sum of a row


def checked_proba(values: Any, n: int, name: str) -> NDArray:
    """Class probabilities `(n, n_classes)` by the model called `name`; `ValueError` where they are anything else."""
    proba = values if _is_matrix(values) else numbers_of(values)
    if proba is not None and (proba.dtype.kind in "iub" or proba.dtype == np.longdouble):
        # Integers have no room for what is computed with them, and special functions know no long double.
        proba = proba.astype(np.float64)
    if proba is None or proba.ndim != 2 or len(proba) != n or proba.shape[1] == 0:
        raise ValueError(
            f"predict_proba of {name} must return class probabilities as an array of shape ({n}, n_classes), one row "
            f"for each sample. Got {_described(values, proba)}."
        )
    _check_distributions(
        proba, name, " Several labels at once are for modAL.multilabel, whose strategies learners take."
    )
    return proba


def checked_answer(values: Any, n: int, name: str, member: str) -> NDArray | torch.Tensor:
    """`member` ("proba", "logits", "embeddings") of the model called `name`, checked; a tensor is looked at, and stays,
    where it lies."""
    if not isinstance(values, torch.Tensor):
        return checked_proba(values, n, name) if member == "proba" else checked_matrix(values, n, name, member)
    if values.ndim == 2 and len(values) == n and values.numel() and values.dtype in (torch.float32, torch.float64):
        if member == "proba":
            is_sound = (values.min() >= -_SLACK) & ((values.sum(dim=1) - 1).abs().max() <= _SLACK)
        else:
            is_sound = torch.isfinite(values).all()
        if bool(is_sound):
            return values
    # The same words as of an array; or an array of further axes, or of other numbers.
    found = checked_answer(values.detach().cpu().numpy(), n, name, member)
    return torch.from_numpy(found).to(values.device)


def checked_boxes(values: Any, name: str) -> NDArray:
    """The class distributions of one image's boxes, `(n_boxes, n_columns)`; no boxes may have any shape."""
    proba = numbers_of(values)
    if proba is not None and proba.size == 0:
        return np.empty((0, proba.shape[1] if proba.ndim == 2 else 0))
    if proba is None or proba.ndim != 2:
        raise ValueError(
            f"predict_proba of {name} must return class probabilities (n_boxes, n_classes) of each image. Got "
            f"{_described(values, proba)}."
        )
    _check_distributions(proba, name)
    return proba


def checked_detections(found: Any, names: tuple[str, ...], name: str) -> dict[str, NDArray]:
    """Boxes of one image, "scores" `(n_boxes,)` and what else is in `names`, each `(n_boxes, 4)`, in float64."""
    answer = {}
    for key in names:
        values = numbers_of(found[key]) if isinstance(found, Mapping) and key in found else None
        values = np.empty((0, 4)) if values is not None and values.size == 0 else values
        shape = (-1,) if key == "scores" else (-1, 4)
        if values is None or (values.size and (values.ndim != len(shape) or values.shape[1:] not in ((), (4,)))):
            raise ValueError(
                f"detect of {name} must return for each image a dict with {', '.join(map(repr, names))}: scores "
                f"(n_boxes,), all else (n_boxes, 4). Got {_described(found, values)}."
            )
        answer[key] = values.astype(np.float64).reshape(shape)
        if not np.isfinite(answer[key]).all():
            raise ValueError(f"The {key} that {name} detects must be finite. Got NaN or infinity.")
    if len({len(values) for values in answer.values()}) > 1:
        lengths = {key: len(values) for key, values in answer.items()}
        raise ValueError(f"detect of {name} must return as many of all for each image. Got {lengths}.")
    return answer


def _check_distributions(proba: NDArray, name: str, hint: str = "") -> None:
    # A product, which is several times faster than the sum and exact enough for the slack. NaN is in no range.
    sums = proba @ np.ones(proba.shape[1], proba.dtype) if proba.dtype.kind == "f" else proba.sum(axis=1)
    if not (proba.min() >= -_SLACK and np.abs(sums - 1).max() <= _SLACK):
        wrong = ~(np.abs(sums - 1) <= _SLACK)
        got = f"a row that sums to {sums[wrong][0]:g}" if wrong.any() else f"{proba.min():g}"
        raise ValueError(
            f"Each row of class probabilities by predict_proba of {name} must be a distribution over classes that "
            f"exclude each other: numbers of 0 or more whose sum is 1. Got {got}.{hint}"
        )


def checked_matrix(values: Any, n: int, name: str, what: str) -> NDArray:
    """`what` of the model called `name`, finite numbers `(n, d)`; further axes are flattened."""
    matrix = values if _is_matrix(values) else flat_numeric(values)
    if matrix is None or len(matrix) != n or np.ndim(values) == 1:
        raise ValueError(
            f"The {what} of {name} must be an array of numbers of shape ({n}, d), one row for each sample. "
            f"Got {_described(values, numbers_of(values))}."
        )
    with np.errstate(all="ignore"):
        is_clean = is_finite(matrix)
    if not is_clean:
        raise ValueError(f"The {what} of {name} must be finite. Got NaN or infinity.")
    return matrix


def _is_matrix(values: Any) -> bool:
    """A plain array (n, d) of floats, which needs no conversion."""
    return type(values) is np.ndarray and values.ndim == 2 and values.dtype in (np.float32, np.float64)


def _described(values: Any, array: NDArray | None) -> str:
    if array is None or array.ndim == 0:
        return "None" if values is None else type(values).__name__
    return f"shape {array.shape}"
