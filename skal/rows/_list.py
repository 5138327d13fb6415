"""Lists, tuples and ranges: of texts, of arrays or tensors of any size, of detection targets, of rows of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._generics import as_index, is_finite, numbers_of, samples_of, stack_rows, take_rows

__all__: list[str] = []


@take_rows.register(list)
@take_rows.register(tuple)
@take_rows.register(range)
def _(X: Any, idx: Any) -> Any:
    idx = as_index(idx, len(X))
    if isinstance(idx, slice):
        return list(X[idx])
    return X[idx] if isinstance(idx, int) else [X[i] for i in idx.tolist()]


@stack_rows.register(list)
@stack_rows.register(tuple)
@stack_rows.register(range)
def _(first: Any, second: Any) -> list[Any]:
    if isinstance(second, (list, tuple, range)):
        return [*first, *second]
    if getattr(second, "ndim", 0) == 1 and hasattr(second, "tolist"):
        # Python's own values, as those before them are.
        return [*first, *second.tolist()]
    return [*first, *samples_of(second)]


@is_finite.register(list)
@is_finite.register(tuple)
def _(X: Any) -> bool:
    kinds = set(map(type, X))
    if kinds <= {float, int, str, bool, bytes}:
        return float not in kinds or all(math.isfinite(value) for value in X if type(value) is float)
    return all(is_finite(row) for row in X)


@is_finite.register(range)
def _(X: range) -> bool:
    return True


@numbers_of.register(list)
@numbers_of.register(tuple)
@numbers_of.register(range)
def _(X: Any) -> NDArray | None:
    kinds = set(map(type, X))
    if any(issubclass(kind, (str, bytes)) for kind in kinds):
        return None
    if not kinds or kinds <= {float, int, bool}:
        array = np.asarray(X)
        return array if array.dtype != object else None
    rows = [numbers_of(row) if hasattr(row, "__len__") or hasattr(row, "shape") else row for row in X]
    if any(row is None for row in rows):
        return None
    try:
        array = np.asarray(rows)
    except (TypeError, ValueError):
        return None
    return numbers_of(array) if array.dtype != object else None
