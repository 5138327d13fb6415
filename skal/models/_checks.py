"""What a model answers with is looked at once, here, before anything is computed with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rows import flat_numeric, is_finite, numbers_of

__all__ = ["checked_matrix", "checked_proba"]

_SLACK = 0.01  # what half precision and rounding may leave of the sum of a row


def checked_proba(values: Any, n: int, name: str) -> NDArray:
    """Class probabilities `(n, n_classes)` by the model called `name`; `ValueError` where they are anything else."""
    proba = values if _is_matrix(values) else numbers_of(values)
    if proba is None or proba.ndim != 2 or len(proba) != n or proba.shape[1] == 0:
        raise ValueError(
            f"predict_proba of {name} must return class probabilities as an array of shape ({n}, n_classes), one row "
            f"for each sample. Got {_described(values, proba)}."
        )
    sums = proba.sum(axis=1, dtype=np.float64)
    # NaN is in no range.
    if not (proba.min() >= -_SLACK and np.abs(sums - 1).max() <= _SLACK):
        wrong = ~(np.abs(sums - 1) <= _SLACK)
        got = f"a row that sums to {sums[wrong][0]:g}" if wrong.any() else f"{proba.min():g}"
        raise ValueError(
            f"Each row of predict_proba of {name} must be a distribution over classes that exclude each other: numbers "
            f"of 0 or more whose sum is 1. Got {got}."
        )
    return proba


def checked_matrix(values: Any, n: int, name: str, what: str) -> NDArray:
    """`what` of the model called `name`, finite numbers `(n, d)`; further axes are flattened."""
    matrix = values if _is_matrix(values) else flat_numeric(values)
    if matrix is None or len(matrix) != n or np.ndim(values) == 1:
        raise ValueError(
            f"The {what} of {name} must be an array of numbers of shape ({n}, d), one row for each sample. "
            f"Got {_described(values, numbers_of(values))}."
        )
    with np.errstate(all="ignore"):
        # A finite sum tells most of the time, and at once.
        is_clean = bool(np.isfinite(matrix.sum()))
    if not is_clean and not is_finite(matrix):
        raise ValueError(f"The {what} of {name} must be finite. Got NaN or infinity.")
    return matrix


def _is_matrix(values: Any) -> bool:
    """A plain array (n, d) of floats, which needs no conversion."""
    return type(values) is np.ndarray and values.ndim == 2 and values.dtype in (np.float32, np.float64)


def _described(values: Any, array: NDArray | None) -> str:
    if array is None or array.ndim == 0:
        return "None" if values is None else type(values).__name__
    return f"shape {array.shape}"
