"""One column below another, in the dtype of the first where that holds the values of both."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..utils._validation import shown
from ._array import stack_arrays
from ._generics import numbers_of
from ._promote import holds

__all__ = ["merged_levels", "stack_columns"]


def stack_columns(first: pd.Series, second: Any, name: Any) -> Any:
    """Values of the column `first` with those of `second`, a Series or untyped values, below them.

    Untyped values (of an array that has one dtype for all columns) are read as what the column holds.

    Raises `ValueError` that names the column where it cannot hold a value.
    """
    dtype = first.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _stack_categories(first, second, name)
    if isinstance(second, pd.Series) and second.dtype == dtype:
        return _concat(first, second)
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return _stack_numbers(first, second, name)
    if pd.api.types.is_object_dtype(dtype):
        return np.concatenate([first.to_numpy(), np.asarray(second, dtype=object)])
    if pd.api.types.is_string_dtype(dtype):
        return _concat(first, _texts(second, dtype, name))
    if isinstance(second, pd.Series):
        both = _concat(first, second)
        if isinstance(dtype, (pd.Float32Dtype, pd.Float64Dtype)) and _narrows(second, dtype):
            return _concat(first, second.astype(dtype))
        # An array of objects has a dtype of pandas' own, which is not `object`.
        if not pd.api.types.is_object_dtype(both.dtype):
            return both
    return _concat(first, _typed(second, dtype, name))


def _narrows(values: pd.Series, dtype: Any) -> bool:
    """Whether numbers lie within the range of a nullable float dtype, which then stays as narrow as it is."""
    if not pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_complex_dtype(values.dtype):
        return False
    return holds(dtype.numpy_dtype, np.asarray(values.dropna().tolist()))


def _concat(first: Any, second: Any) -> Any:
    return pd.concat([pd.Series(first), pd.Series(second)], ignore_index=True).array


def _refusal(name: Any, what: str, values: Any) -> ValueError:
    got = str(values.dtype) if isinstance(values, pd.Series) else shown(next(iter(values), None))
    return ValueError(f"New rows must hold {what} in the column {name!r}, as the labelled ones do. Got {got}.")


def _typed(values: Any, dtype: Any, name: Any) -> Any:
    """`values` in an extension dtype, or in its wider sibling where they are fractions beside integers."""
    is_number = pd.api.types.is_numeric_dtype(dtype)
    if not is_number and any(isinstance(value, Number) and value == value for value in values):
        # pandas would count nanoseconds.
        raise _refusal(name, f"values of dtype {dtype}", values)
    wider = [pd.Float64Dtype()] if is_number else []
    for kind in (dtype, *wider):
        try:
            return pd.Series(np.asarray(values, dtype=object)).astype(kind)
        except (TypeError, ValueError):
            continue
    raise _refusal(name, f"values of dtype {dtype}", values)


def _texts(values: Any, dtype: Any, name: Any) -> Any:
    values = pd.Series(np.asarray(values, dtype=object), dtype=object)
    odd = [value for value in values[values.notna()] if not isinstance(value, str)]
    if odd:
        raise _refusal(name, "text", odd)
    return values.astype(dtype)


def _stack_numbers(first: pd.Series, second: Any, name: Any) -> Any:
    old = first.to_numpy()
    if isinstance(second, pd.Series):
        if isinstance(second.dtype, np.dtype) and second.dtype.kind in "biuf":
            return stack_arrays(old, second.to_numpy())
        if pd.api.types.is_numeric_dtype(second.dtype):
            # Nullable integers beside plain ones stay integers.
            return _concat(first, second)
        new = numbers_of(np.asarray(second, dtype=object))
    else:
        new = _read_numbers(second)
    if new is None or new.dtype.kind not in "biuf":
        raise _refusal(name, f"numbers ({first.dtype})", second)
    if not isinstance(second, pd.Series) and old.dtype.kind in "biu" and _in_range(old.dtype, new):
        new = new.astype(old.dtype)
    return stack_arrays(old, new)


def _in_range(dtype: np.dtype, values: NDArray) -> bool:
    """Whether whole numbers of an untyped array are what a column of integers or bools holds."""
    return holds(dtype, values) and (dtype.kind != "b" or bool(np.isin(values, (0, 1)).all()))


def _read_numbers(values: Any) -> NDArray | None:
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        return array
    try:
        # Such an array may hold all its numbers as text.
        return np.asarray(pd.to_numeric(array.astype(object)))
    except (TypeError, ValueError):
        return None


def _stack_categories(first: pd.Series, second: Any, name: Any) -> Any:
    values = second if isinstance(second, pd.Series) else pd.Series(np.asarray(second, dtype=object))
    levels = list(first.cat.categories)
    is_category = isinstance(values.dtype, pd.CategoricalDtype)
    try:
        found = list(values.cat.categories if is_category else pd.unique(values.dropna()))
    except TypeError:  # of dicts and lists
        raise _refusal(name, "categories", values.tolist()) from None
    texts = [isinstance(level, str) for level in levels]
    if levels and found and all(texts) != all(isinstance(level, str) for level in found):
        raise _refusal(name, "text" if all(texts) else "numbers", found)
    ordered = bool(first.cat.ordered)
    merged = merged_levels(levels, found, strict=ordered and is_category and bool(values.cat.ordered), name=name)
    dtype = pd.CategoricalDtype(merged, ordered=ordered)
    return _concat(first.astype(dtype), pd.Series(pd.Categorical(values.astype(object), dtype=dtype)))


def merged_levels(first: list[Any], second: list[Any], *, strict: bool, name: Any) -> list[Any]:
    """The levels of both in one order: those of `first`, each new one behind the level that precedes it in `second`.

    With `strict`, raises `ValueError` where the two orders contradict each other; else new levels go to the end.
    """
    known = set(first)
    if not strict:
        return first + [level for level in second if level not in known]
    both = set(second) & known
    if [level for level in first if level in both] != [level for level in second if level in known]:
        raise ValueError(
            f"New rows must have the levels of the column {name!r} in the order of the labelled ones. "
            f"Got {second} instead of {first}."
        )
    merged, at = list(first), 0
    for level in second:
        at = merged.index(level) if level in known else at
        if level not in known:
            merged.insert(at, level)
        at += 1
    return merged
