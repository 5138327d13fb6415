"""What is wrong with samples and labels, said before any work is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from ..utils._validation import shown
from ._generics import column_names, feature_shape, generic, is_finite, n_rows, take_rows, unread_by_numpy
from ._images import path_in, wrap_advice
from ._sparse import register_sparse

__all__ = ["check_finite", "check_like", "check_training_data", "read_by"]

_ADVICE = "pass force_all_finite=False where the estimator takes missing values"

# Kinds of arrays that estimators fail with in words of their own machinery.
_NO_NUMBERS = {"M": "dates", "m": "spans of time", "V": "records", "c": "complex numbers"}


def check_finite(X: Any, name: str = "X", *, advice: str = "") -> None:
    """Raise `ValueError` where `X` holds NaN or infinity, or another missing value.

    The message says where (`X['key']`, `X[3]`, the column of a frame), and ends with `advice`. What holds no floats
    passes, and so does a Dataset, which is not read.
    """
    if not is_finite(X):
        raise ValueError(f"{_place(X, name)}{': ' + advice if advice else ''}.")


@generic
def _place(X: Any, name: str) -> str:
    for column in column_names(X) or ():
        if not is_finite(X[column]):
            return f"{name} contains NaN or infinity in the column {column!r}"
    return f"{name} contains NaN or infinity"


register_sparse(_place)(_place.dispatch(object))


@_place.register(Mapping)
def _(X: Any, name: str) -> str:
    return next(_place(X[key], f"{name}[{key!r}]") for key in X if not is_finite(X[key]))


@_place.register(list)
@_place.register(tuple)
def _(X: Any, name: str) -> str:
    i, row = next((i, row) for i, row in enumerate(X) if not is_finite(row))
    return _place(row, f"{name}[{i}]")


@_place.register(np.ndarray)
def _(X: Any, name: str) -> str:
    if X.dtype == object and X.ndim == 1:
        return _place(list(X), name)
    return _place.dispatch(object)(X, name)


def check_like(X: Any, labeled: Any, *, any_shape: bool = False) -> None:
    """Raise `ValueError` where `X` lacks a column of the labelled data, or its samples have another shape."""
    names, taught = column_names(X), column_names(labeled)
    lacking = [name for name in taught or () if name not in (names or ())] if names else []
    if lacking:
        raise ValueError(f"X lacks the column {lacking[0]!r}, which the labelled data has. It has {shown(names)}.")
    given, expected = feature_shape(X), feature_shape(labeled)
    differs = given is not None and expected is not None and len(given) > 0 and given != expected
    if differs and not any_shape:
        raise ValueError(f"X has {_shape_words(given)} per sample, but the labelled data has {_shape_words(expected)}.")


def _shape_words(shape: tuple[int, ...] | None) -> str:
    return f"{shape[0]} features" if shape is not None and len(shape) == 1 else f"shape {shape}"


def check_training_data(X: Any, y: Any, *, ensure_all_finite: bool = True) -> None:
    """Check samples and labels on their way into a labelled set; nothing is converted.

    Parameters
    ----------
    X : container of n samples
        A frame is looked at column by column, whatever dtypes stand beside each other.
    y : container of n labels, of one axis or with a column for each output; a list of dicts for detection
    ensure_all_finite : bool, default=True
        Whether NaN, infinity and other missing values in `X` are an error; in `y` they are.

    Raises
    ------
    ValueError
        No sample, lengths that differ, missing values.
    TypeError
        `X` or `y` is no collection.
    """
    if y is None:
        raise ValueError("y must hold one label per sample. Got None instead.")
    if n_rows(X) == 0:
        raise ValueError("X must hold at least one sample. Got an empty X.")
    if n_rows(X) != n_rows(y):
        check_consistent_length(np.empty(n_rows(X)), np.empty(n_rows(y)))
    if ensure_all_finite:
        check_finite(X, advice=_ADVICE)
    # Targets of detection, one dict for each image, are the detector's to check.
    if not isinstance(take_rows(y, 0), Mapping) and not is_finite(y):
        raise ValueError("y must hold one label per sample. Got missing values (None, NaN or infinity) in y.")


@contextmanager
def read_by(X: Any, name: str) -> Iterator[None]:
    """Say in one sentence where the estimator `name` fails for want of samples that NumPy can read."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError) as error:
        path = path_in(X)
        if path is not None:
            raise TypeError(f"{name} must be given samples. Got paths, such as {wrap_advice(path)}.") from error
        if isinstance(X, np.ndarray) and X.dtype.kind in _NO_NUMBERS:
            raise TypeError(
                f"{name} must be given samples that are numbers. Got {_NO_NUMBERS[X.dtype.kind]}, {X.dtype}."
            ) from error
        found = unread_by_numpy(X)
        if found is None or str(error) != found[0]:
            raise
        _, words, call = found
        raise TypeError(f"{name} reads samples by way of NumPy, which cannot read {words}: pass {call}.") from error
