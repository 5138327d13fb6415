"""pandas DataFrames and Series: columns keep their dtypes, rows their index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..utils._validation import kind_of
from ._columns import stack_columns
from ._generics import (
    as_index,
    column_names,
    in_memory,
    is_finite,
    like,
    n_rows,
    numbers_of,
    row_keys,
    stack_rows,
    take_rows,
)
from ._keys import content, table_keys

__all__ = ["label_rows"]


@take_rows.register(pd.DataFrame)
@take_rows.register(pd.Series)
def _(X: Any, idx: Any) -> Any:
    return X.iloc[as_index(idx, n_rows(X))]


@stack_rows.register(pd.DataFrame)
def _(first: pd.DataFrame, second: Any) -> pd.DataFrame:
    second = in_memory(second)
    names = column_names(second)
    if names is not None and names != list(first.columns):
        raise ValueError(
            "New samples must have the columns of the labelled ones, in the same order. "
            f"Got {names} instead of {list(first.columns)}."
        )
    if isinstance(second, pd.DataFrame) and list(first.dtypes) == list(second.dtypes):
        return pd.concat([first, second])
    columns = _columns_of(second, first.shape[1])
    values = {i: stack_columns(first.iloc[:, i], columns[i], first.columns[i]) for i in range(first.shape[1])}
    stacked = pd.DataFrame(values, index=_joint_index(first, second), copy=False)
    stacked.columns = first.columns
    stacked.attrs = dict(first.attrs)
    return stacked if type(first) is pd.DataFrame else type(first)(stacked)


def _columns_of(rows: Any, width: int) -> list[Any]:
    """The columns of new rows: of a table with their dtypes, else of one two-dimensional array."""
    if isinstance(rows, pd.DataFrame):
        return [rows.iloc[:, i] for i in range(width)]
    names = column_names(rows)
    if names is not None:
        return [pd.Series(np.asarray(rows[name])) for name in names]
    numbers = numbers_of(rows)
    array = np.asarray(rows, dtype=object) if numbers is None else numbers
    if array.ndim != 2 or array.shape[1] != width:
        raise ValueError(
            f"New samples must be rows of {width} columns, as the labelled DataFrame has. "
            f"Got {kind_of(rows)} of shape {array.shape}."
        )
    return [array[:, i] for i in range(width)]


def _joint_index(first: Any, second: Any) -> pd.Index:
    if hasattr(second, "iloc"):
        return first.index.append(second.index)
    n = len(first)
    # Rows without names go on counting where the first were counted.
    start = n if first.index.equals(pd.RangeIndex(n)) else 0
    return first.index.append(pd.RangeIndex(start, start + n_rows(second)))


@stack_rows.register(pd.Series)
def _(first: pd.Series, second: Any) -> pd.Series:
    second = in_memory(second)
    if not isinstance(second, pd.Series):
        array = np.asarray(second)
        if array.ndim != 1:
            raise ValueError(f"New rows must be one-dimensional, as the labelled Series is. Got shape {array.shape}.")
    name = "y" if first.name is None else first.name
    values: Any = second
    if not isinstance(second, pd.Series):
        # A list of values has types of its own, which a column of numbers does not read out of texts.
        values = pd.Series(array.tolist()) if len(array) else pd.Series(array, dtype=first.dtype)
    return pd.Series(stack_columns(first, values, name), index=_joint_index(first, second), name=first.name)


@column_names.register(pd.DataFrame)
def _(X: pd.DataFrame) -> list[Any]:
    return list(X.columns)


@is_finite.register(pd.DataFrame)
def _(X: pd.DataFrame) -> bool:
    return all(is_finite(X.iloc[:, i]) for i in range(X.shape[1]))


@is_finite.register(pd.Series)
def _(X: pd.Series) -> bool:
    if isinstance(X.dtype, np.dtype):
        return is_finite(X.to_numpy())
    if X.isna().any():
        return False
    return not pd.api.types.is_float_dtype(X.dtype) or is_finite(X.to_numpy(dtype=np.float64))


@is_finite.register(type(pd.NA))
@is_finite.register(type(pd.NaT))
def _(X: Any) -> bool:
    return False


@content.register(type(pd.NA))
@content.register(type(pd.NaT))
def _(sample: Any) -> bytes:
    return content(None)


@content.register(pd.Series)
def _(sample: pd.Series) -> bytes:
    return content(sample.tolist())


def _is_number(dtype: Any) -> bool:
    return bool(pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype))


def _column_array(column: pd.Series) -> NDArray:
    """One column of numbers as NumPy holds it, of others as an object array."""
    if isinstance(column.dtype, pd.CategoricalDtype) or not _is_number(column.dtype):
        return column.to_numpy(dtype=object)
    if isinstance(column.dtype, np.dtype):
        return column.to_numpy()
    return column.to_numpy(dtype=np.float64, na_value=np.nan) if column.isna().any() else np.asarray(column.to_numpy())


@row_keys.register(pd.DataFrame)
def _(X: pd.DataFrame) -> list[bytes]:
    return (
        table_keys([_column_array(X.iloc[:, i]) for i in range(X.shape[1])]) if X.shape[1] else row_keys(X.to_numpy())
    )


@row_keys.register(pd.Series)
def _(X: pd.Series) -> list[bytes]:
    return row_keys(_column_array(X))


@numbers_of.register(pd.DataFrame)
@numbers_of.register(pd.Series)
def _(X: Any) -> NDArray | None:
    dtypes = X.dtypes if isinstance(X, pd.DataFrame) else [X.dtype]
    if not all(_is_number(dtype) for dtype in dtypes):
        # A column of objects may hold numbers all the same.
        plain = all(pd.api.types.is_object_dtype(dtype) or _is_number(dtype) for dtype in dtypes)
        return numbers_of(X.to_numpy(dtype=object)) if plain else None
    is_plain = all(isinstance(dtype, np.dtype) for dtype in dtypes)
    if not is_plain and X.isna().to_numpy().any():
        return X.to_numpy(dtype=np.float64, na_value=np.nan)
    array = X.to_numpy()
    # Bools beside numbers make an array of objects.
    return numbers_of(array.astype(np.float64) if array.dtype == object else array)


@like.register(pd.DataFrame)
def _(X: pd.DataFrame, array: NDArray) -> pd.DataFrame:
    return pd.DataFrame(array, columns=X.columns)


def label_rows(first: Any, second: Any, X_new: Any) -> Any:
    """Labels `second` of the new samples `X_new` below the labels `first`, in the container that `first` is.

    Parameters
    ----------
    first : list, array (n,) or (n, k), Series or DataFrame of labels
    second : labels of m samples, in any of these containers
    X_new : the m samples
        Where labels have an index and the new ones bring none of their own, they take the index of these samples, so
        that samples and labels can be joined by index.

    Returns
    -------
    labels of n + m samples
        (m, 1) labels and one-column frames stand below (n,) labels, and the other way round.

    Raises
    ------
    ValueError
        Text beside numbers, or another number of columns.
    """
    width = _label_width(first)
    values = second
    if isinstance(first, pd.DataFrame) and isinstance(second, pd.DataFrame) and width == second.shape[1] == 1:
        # One column needs no name to be told from others.
        values = second.set_axis(first.columns, axis=1)
    elif width != _label_width(second):
        array = np.asarray(second)
        if array.ndim == 2 and array.shape[1] == 1 and width == 0:
            values = array[:, 0]
        elif array.ndim == 1 and width == 1:
            values = array[:, None]
    if isinstance(first, (pd.Series, pd.DataFrame)):
        values = _with_index(first, values, second, X_new)
    elif isinstance(first, np.ndarray) and isinstance(values, (pd.Series, pd.DataFrame)):
        values = values.to_numpy()
    return stack_rows(first, values)


def _label_width(y: Any) -> int:
    """Columns of labels; 0 of what has one axis."""
    shape = getattr(y, "shape", None)
    if shape is None:
        row = y[0] if isinstance(y, (list, tuple)) and len(y) else None
        return len(row) if isinstance(row, (list, tuple, np.ndarray)) else 0
    return int(shape[1]) if len(shape) > 1 else 0


def _with_index(first: Any, values: Any, second: Any, X_new: Any) -> Any:
    index: Any = getattr(second, "index", None)
    named = isinstance(index, pd.Index)
    rows = getattr(X_new, "index", None)
    if isinstance(rows, pd.Index) and (not named or index.equals(pd.RangeIndex(len(index)))):
        # A fresh count is no name: such labels were typed, in the order of the samples.
        index, named = rows, True
    if not named:
        return values
    if isinstance(first, pd.DataFrame):
        stacked = stack_rows(first.iloc[:0], values)
        return stacked.set_axis(index)
    return pd.Series(np.asarray(values).tolist() if not isinstance(values, pd.Series) else values.array, index=index)
