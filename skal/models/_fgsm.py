"""The fast gradient sign method, for whatever supplies the gradient of its loss by its input."""

from __future__ import annotations

import numbers
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rows import as_dense, like, working_dtype
from ..utils._validation import shown

__all__ = ["Clip", "check_epsilon", "check_in_range", "check_weight_of_loss", "fgsm", "gradient_model", "parse_clip"]


Clip = tuple[float, float] | None


def check_epsilon(epsilon: Any, by: str) -> float:
    """`epsilon` as a float >= 0."""
    if not _is_real(epsilon) or not 0 <= epsilon <= sys.float_info.max:
        raise ValueError(
            f"The 'epsilon' parameter of {by} must be a finite number of 0 or more. Got {shown(epsilon)} instead."
        )
    return float(epsilon)


def check_weight_of_loss(weight: Any, by: str) -> float:
    """`adversarial_weight` as a float in [0, 1]."""
    if not _is_real(weight) or not 0 <= weight <= 1:
        raise ValueError(
            f"The 'adversarial_weight' parameter of {by} must be a float in the range [0.0, 1.0]. "
            f"Got {shown(weight)} instead."
        )
    return float(weight)


def parse_clip(clip: Any, by: str) -> Clip:
    """`clip` as two finite floats, the lower first, or None."""
    if clip is None:
        return None
    try:
        low, high = clip
    except (TypeError, ValueError):
        low = high = None
    if not (_is_real(low) and _is_real(high) and -np.inf < low < high < np.inf):
        raise ValueError(
            f"The 'clip' parameter of {by} must be None or a pair (low, high) of numbers with low < high. "
            f"Got {shown(clip)} instead."
        )
    return float(low), float(high)


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def check_in_range(X: NDArray, clip: Clip, by: str) -> None:
    """Raise where samples lie outside `clip`, which would move them far more than epsilon."""
    if clip is None or X.size == 0:
        return
    low, high = X.min(), X.max()
    # float32 pixels may exceed bounds given in float64 by rounding.
    slack = 1e-6 * (clip[1] - clip[0])
    if not (low >= clip[0] - slack and high <= clip[1] + slack):
        raise ValueError(
            f"Samples must lie in clip={clip} of {by}. Got values from {float(low):g} to {float(high):g}: scale the "
            "samples, or give their range as clip=, or None (and epsilon in their unit)."
        )


def gradient_model(estimator: Any, by: str) -> Any:
    """What has `input_gradient` in a learner, a search or a loop around it; `TypeError` where nothing has."""
    model = estimator
    while model is not None and not callable(getattr(model, "input_gradient", None)):
        inner = [name for name in ("best_estimator_", "estimator_", "estimator") if hasattr(model, name)]
        model = getattr(model, inner[0]) if inner else None
    if model is None:
        raise TypeError(
            f"{by} needs an estimator with `input_gradient(X, y)`, such as skal.nets.DeepClassifier. "
            f"{type(estimator).__name__} has none; put the preprocessing of a Pipeline into the module or before it."
        )
    return model


def fgsm(model: Any, X: Any, y: Any, epsilon: float, clip: Clip, by: str) -> Any:
    """Eqs. 12-13: `X` moved by `epsilon` up the sign of the gradient of each sample's loss, then clipped.

    In the container of `X`, of float32 or float64.
    """
    array = as_dense(X, by)
    check_in_range(array, clip, by)
    copies = epsilon * np.sign(np.asarray(model.input_gradient(X, y))).astype(working_dtype(array))
    copies += array
    if clip is not None:
        np.clip(copies, *clip, out=copies)
    return like(X, copies)
