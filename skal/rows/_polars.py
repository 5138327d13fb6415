"""polars DataFrames and Series, which stay polars; imported when the first of them is met."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..utils._validation import kind_of
from ._columns import merged_levels
from ._generics import (
    as_index,
    column_names,
    in_memory,
    is_finite,
    like,
    n_rows,
    numbers_of,
    row_keys,
    samples_of,
    stack_rows,
    take_rows,
)
from ._keys import content, digest, table_keys
from ._promote import joint_dtype

__all__: list[str] = []


@n_rows.register(pl.DataFrame)
@n_rows.register(pl.Series)
def _(X: Any) -> int:
    return len(X)


@take_rows.register(pl.DataFrame)
@take_rows.register(pl.Series)
def _(X: Any, idx: Any) -> Any:
    idx = as_index(idx, len(X))
    if isinstance(idx, int):
        return X.row(idx, named=True) if isinstance(X, pl.DataFrame) else X[idx]
    return X[idx] if isinstance(idx, slice) else X[idx.tolist()]


@stack_rows.register(pl.DataFrame)
def _(first: pl.DataFrame, second: Any) -> pl.DataFrame:
    second = in_memory(second)
    names = column_names(second)
    if names is not None and names != first.columns:
        raise ValueError(
            "New samples must have the columns of the labelled ones, in the same order. "
            f"Got {names} instead of {first.columns}."
        )
    columns = _columns_of(second, first.width)
    return pl.DataFrame([_below(first[name], new) for name, new in zip(first.columns, columns)])


@stack_rows.register(pl.Series)
def _(first: pl.Series, second: Any) -> pl.Series:
    return _below(first, second if isinstance(second, pl.Series) else pl.Series(first.name, list(second)))


def _columns_of(rows: Any, width: int) -> list[Any]:
    if isinstance(rows, pl.DataFrame):
        return rows.get_columns()
    names = column_names(rows)
    if names is not None:
        return [pl.Series(str(name), list(rows[name])) for name in names]
    numbers = numbers_of(rows)
    array = np.asarray(rows, dtype=object) if numbers is None else numbers
    if array.ndim != 2 or array.shape[1] != width:
        raise ValueError(
            f"New samples must be rows of {width} columns, as the labelled frame has. "
            f"Got {kind_of(rows)} of shape {array.shape}."
        )
    return [array[:, i] for i in range(width)]


def _below(first: pl.Series, second: Any) -> pl.Series:
    """One column below another, in the dtype of the first where that holds both."""
    name, dtype = first.name, first.dtype
    typed = isinstance(second, pl.Series)
    if typed and second.dtype == dtype:
        return pl.concat([first, second.alias(name)])
    new = second if typed else pl.Series(name, second.tolist(), strict=False)
    if isinstance(dtype, (pl.Enum, pl.Categorical)):
        if new.dtype.is_numeric():
            raise _refusal(first, new)
        return _levels_below(first, new)
    try:
        if dtype.is_numeric() and (new.dtype.is_numeric() or new.dtype == pl.Boolean):
            return _numbers_below(first, new, typed)
        if typed and dtype.is_numeric() != new.dtype.is_numeric():
            raise _refusal(first, new)
        if dtype == pl.String and new.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
            raise _refusal(first, new)
        return pl.concat([first, new.alias(name).cast(dtype, strict=True)])
    except pl.exceptions.PolarsError:
        raise _refusal(first, new) from None


def _refusal(first: pl.Series, new: pl.Series) -> ValueError:
    return ValueError(
        f"New rows must hold {first.dtype} in the column {first.name!r}, as the labelled ones do. Got {new.dtype}."
    )


def _numbers_below(first: pl.Series, new: pl.Series, typed: bool) -> pl.Series:
    if first.dtype.is_integer() and not typed:
        # Whole numbers of an untyped array are what a column of integers holds.
        whole = new.cast(first.dtype, strict=False)
        if whole.null_count() == new.null_count() and bool((whole == new).fill_null(True).all()):
            return pl.concat([first, whole.alias(first.name)])
    joint = joint_dtype(first.drop_nulls().to_numpy(), new.drop_nulls().to_numpy())
    kind = pl.Series(np.empty(0, dtype=joint)).dtype
    return pl.concat([first.cast(kind), new.alias(first.name).cast(kind)])


def _levels_below(first: pl.Series, new: pl.Series) -> pl.Series:
    """Categories need no common list; an Enum gets the levels of both, in one order."""
    name = first.name
    if not isinstance(first.dtype, pl.Enum):
        return pl.concat([first, new.alias(name).cast(pl.String).cast(first.dtype)])
    known = first.dtype.categories.to_list()
    is_enum, kind_of_new = isinstance(new.dtype, pl.Enum), new.dtype
    found = (
        kind_of_new.categories.to_list()
        if isinstance(kind_of_new, pl.Enum)
        else new.drop_nulls().cast(pl.String).unique(maintain_order=True)
    )
    kind = pl.Enum(merged_levels(known, list(found), strict=is_enum, name=name))
    return pl.concat([first.cast(pl.String).cast(kind), new.alias(name).cast(pl.String).cast(kind)])


@samples_of.register(pl.DataFrame)
def _(X: pl.DataFrame) -> list[Any]:
    # By name a row would be another kind of sample than rows of numbers are.
    numbers = numbers_of(X)
    return X.rows(named=True) if numbers is None else list(numbers)


@column_names.register(pl.DataFrame)
def _(X: pl.DataFrame) -> list[Any]:
    return list(X.columns)


@is_finite.register(pl.DataFrame)
def _(X: pl.DataFrame) -> bool:
    return all(is_finite(column) for column in X.get_columns())


@is_finite.register(pl.Series)
def _(X: pl.Series) -> bool:
    if X.null_count():
        return False
    return not X.dtype.is_float() or bool(X.is_finite().all())


def _column_array(column: pl.Series) -> NDArray:
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        array = column.to_numpy()
        return array if array.dtype != object else column.cast(pl.Float64).to_numpy()
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_list()
    return values


@row_keys.register(pl.DataFrame)
def _(X: pl.DataFrame) -> list[bytes]:
    return table_keys([_column_array(column) for column in X.get_columns()])


@row_keys.register(pl.Series)
def _(X: pl.Series) -> list[bytes]:
    return [digest(content(value)) for value in X.to_list()]


@numbers_of.register(pl.DataFrame)
@numbers_of.register(pl.Series)
def _(X: Any) -> NDArray | None:
    dtypes = X.dtypes if isinstance(X, pl.DataFrame) else [X.dtype]
    if not all(dtype.is_numeric() or dtype == pl.Boolean for dtype in dtypes):
        return None
    array = X.to_numpy()
    return numbers_of(array.astype(np.float64) if array.dtype == object else array)


@like.register(pl.DataFrame)
def _(X: pl.DataFrame, array: NDArray) -> pl.DataFrame:
    return pl.DataFrame(array, schema=X.columns)
