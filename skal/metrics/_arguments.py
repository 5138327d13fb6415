"""Arguments of metrics as arrays, or one sentence that names the argument."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rows import is_finite, numbers_of
from ..utils._validation import shown
from ._targets import as_array, label_kind

__all__ = ["as_labels", "as_matrix", "check_int", "check_real", "real_array"]


def real_array(values: Any, argument: str) -> NDArray:
    """`values` as an array of real numbers, in the dtype they have."""
    array = numbers_of(values)
    if array is None:
        raise TypeError(f"{argument} must be an array of numbers, of one shape. Got {_described(values)}.")
    return array


def as_matrix(values: Any, argument: str, *, may_be_empty: bool = False) -> NDArray:
    """`values` as a finite array (n, d) of float32, where they are that, or of float64."""
    array = real_array(values, argument)
    array = array if array.dtype == np.float32 else array.astype(np.float64)
    has_width = array.ndim == 2 and array.shape[1] > 0
    is_clean = bool(np.isfinite(array).all())
    if not has_width or not is_clean or (len(array) == 0 and not may_be_empty):
        raise ValueError(
            f"{argument} must be a finite array of shape (n, d), not empty. Got shape {array.shape}"
            f"{'' if is_clean else ' with NaN or infinity'}."
        )
    return array


def as_labels(y: Any, argument: str, n: int | None = None) -> NDArray:
    """`y` as an array of labels (n,), at least one, of one type, none missing."""
    labels = as_array(y)
    if labels is None or labels.ndim != 1 or len(labels) == 0 or n not in (None, len(labels)):
        each = "at least one sample" if n is None else f"each of {n} samples"
        got = "several shapes" if labels is None else _described(y) if labels.ndim == 0 else f"shape {labels.shape}"
        got += "" if n is None else f" for {n} samples"
        raise ValueError(
            f"{argument} must hold one label for {each} and must be a one-dimensional, non-empty array. Got {got}."
        )
    if not is_finite(labels) or (isinstance(y, (list, tuple)) and any(label is None for label in y)):
        raise ValueError(f"{argument} must hold one label for each sample. Got missing ones (None, NaN or infinity).")
    # NumPy makes text of numbers that stand beside text.
    values = y if isinstance(y, (list, tuple)) else labels.tolist() if labels.dtype == object else ()
    try:
        is_mixed = len(set(map(label_kind, values))) > 1
        np.unique(labels)
    except TypeError:
        is_mixed = True
    if is_mixed:
        raise ValueError(f"{argument} must hold labels of one type, text or numbers. Got several.")
    return labels


def check_real(value: Any, argument: str, words: str) -> float:
    """`value` as a float that is finite; `words` say what it must be."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise ValueError(f"{argument} must be {words}. Got {shown(value)} instead.")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise ValueError(f"{argument} must be {words}. Got {shown(value)} instead.")
    return number


def check_int(value: Any, argument: str, words: str) -> int:
    """`value` as an int; `words` say what it must be."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"{argument} must be {words}. Got {shown(value)} instead.")
    return int(value)


def _described(values: Any) -> str:
    if values is None:
        return "None"
    if isinstance(values, str):
        return f"the text {values[:40]!r}"
    name = type(values).__name__
    if isinstance(values, (list, tuple)):
        return f"{name} of several shapes, or of something else"
    return f"{name} of dtype {values.dtype}" if hasattr(values, "dtype") else name
