"""The dtype in which old and new rows stand together without a value being rounded or wrapped."""

from __future__ import annotations

import numbers

import numpy as np
from numpy.typing import NDArray

from ..utils._validation import shown

__all__ = ["holds", "is_lost", "joint_dtype"]

_NUMBERS, _TEXTS = "biufc", "US"


def joint_dtype(first: NDArray, second: NDArray) -> np.dtype:
    """The dtype of `second` below `first`: NumPy's promotion, but that floats of `first` stay as narrow as they are.

    Raises `ValueError` for numbers beside text, and for integers beyond 2**53 beside fractions.
    """
    kinds = first.dtype.kind, second.dtype.kind
    if "O" in kinds or kinds[0] == kinds[1] == "V":
        return _joint_object(first, second)
    if (kinds[0] in _NUMBERS) != (kinds[1] in _NUMBERS):
        words = {True: "numbers", False: "text or dates"}
        raise ValueError(
            f"New rows must hold {words[kinds[0] in _NUMBERS]}, as the labelled ones do. "
            f"Got dtype {second.dtype} instead of {first.dtype}."
        )
    if kinds[0] == "f" and kinds[1] in "biuf" and holds(first.dtype, second):
        # A float64 batch would otherwise promote the whole labelled set, which a float32 network refuses.
        return first.dtype
    dtype = np.result_type(first.dtype, second.dtype)
    for rows in (first, second):
        if rows.dtype.kind in "iu" and dtype.kind == "f" and not holds(dtype, rows):
            raise ValueError(
                f"New rows of dtype {second.dtype} cannot stand beside {first.dtype}: an integer beyond 2**53 would "
                "be rounded."
            )
    return dtype


def _joint_object(first: NDArray, second: NDArray) -> np.dtype:
    if first.dtype.kind in _TEXTS and all(isinstance(value, str) for value in second.flat):
        return np.result_type(first.dtype, second.astype(np.str_).dtype) if second.size else first.dtype
    if first.dtype.kind in _NUMBERS + _TEXTS and second.size:
        what, kind = ("numbers", numbers.Number) if first.dtype.kind in _NUMBERS else ("text", str)
        odd = next((value for value in second.flat if not isinstance(value, kind)), second.flat[0])
        raise ValueError(f"New rows must hold {what}, as the labelled ones do. Got {type(odd).__name__} {shown(odd)}.")
    return np.dtype(object) if "O" in (first.dtype.kind, second.dtype.kind) else np.result_type(first, second)


def holds(dtype: np.dtype, values: NDArray) -> bool:
    """Whether `dtype` holds numbers exactly, but for the rounding of floats to floats, which is within its range."""
    with np.errstate(all="ignore"):
        cast = values.astype(dtype)
        if values.dtype.kind == "f" and dtype.kind == "f":
            return not bool(np.any(np.isinf(cast) & np.isfinite(values)))
        return bool(np.all(cast.astype(values.dtype) == values))


def is_lost(values: NDArray, cast: NDArray) -> NDArray[np.bool_]:
    """Which numbers a cast has changed: to infinity among floats, where rounding is none, and at all among others."""
    with np.errstate(all="ignore"):
        if cast.dtype.kind == "f":
            return np.isinf(cast) & np.isfinite(values)
        # The sign tells what went round beyond the largest of as many bits; a float there may saturate instead.
        lost = (cast.astype(values.dtype) != values) | ((cast < 0) != (values < 0))
        if cast.dtype.kind in "iu" and values.dtype.kind == "f":
            lost |= values >= float(np.iinfo(cast.dtype).max) + 1
    return lost
