"""dask's arrays and frames, read one partition at a time; imported when the first of them is met.

Rows that are taken stay lazy, one row alone is computed, and so is what goes below or above other rows. What needs the
number of rows of each partition computes the lengths once, and keeps them by the collection's token.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.bag import Bag
from dask.base import tokenize
from dask.delayed import Delayed, delayed
from numpy.typing import NDArray

from ..utils._arrays import blocks
from ..utils._validation import kind_of
from ._generics import (
    as_index,
    column_names,
    feature_shape,
    in_memory,
    is_finite,
    like,
    n_rows,
    numbers_of,
    read_rows,
    row_blocks,
    row_keys,
    samples_of,
    stack_rows,
    take_rows,
)

__all__: list[str] = []

_FRAMES: list[type] = []
with suppress(ImportError):  # of those who have dask's arrays alone
    import dask.dataframe as dd
    import pandas as pd
    from dask.dataframe.utils import make_meta

    _FRAMES = [dd.DataFrame, dd.Series]

# Lengths of the partitions by token, the oldest first.
_LENGTHS: dict[str, tuple[int, ...]] = {}
_MOST = 256


def _remember(X: Any, lengths: tuple[int, ...]) -> tuple[int, ...]:
    while len(_LENGTHS) >= _MOST:
        _LENGTHS.pop(next(iter(_LENGTHS)), None)
    return _LENGTHS.setdefault(tokenize(X), lengths)


def _lengths(X: Any) -> tuple[int, ...]:
    """Rows of each partition; where nobody knows them, by one pass that keeps nothing else."""
    if isinstance(X, da.Array) and not np.isnan(X.chunks[0]).any():
        return X.chunks[0]
    known = _LENGTHS.get(tokenize(X))
    return _remember(X, _counted(X)) if known is None else known


def _counted(X: Any) -> tuple[int, ...]:
    # Of a file of columns one is enough.
    names = column_names(X) or []
    narrow = X[names[:1]] if names and len(set(names)) == len(names) else X
    return dask.compute(*(delayed(len)(part) for part in _partitions(narrow)))


def _partitions(X: Any) -> list[Any]:
    """The partitions along the first axis, each as something to compute; of an array with all of their columns."""
    return [X.blocks[i] for i in range(X.numblocks[0])] if isinstance(X, da.Array) else X.to_delayed()


def _computed(X: Any) -> Iterator[Any]:
    """Each partition in memory, one at a time."""
    for partition in _partitions(X):
        yield dask.compute(partition)[0]


@n_rows.register(da.Array)
def _(X: Any) -> int:
    if X.ndim == 0:
        raise TypeError("Expected a collection of samples. Got a scalar dask Array instead.")
    return sum(_lengths(X))


@feature_shape.register(da.Array)
def _(X: Any) -> tuple[int, ...]:
    if np.isnan(X.shape[1:]).any():
        raise ValueError(
            "X must have a known number of features. Got a dask Array without it: call compute_chunk_sizes()."
        )
    return X.shape[1:]


@take_rows.register(da.Array)
def _(X: Any, idx: Any) -> Any:
    lengths = _lengths(X)
    idx = as_index(idx, sum(lengths))
    rows = da.Array(X.dask, X.name, (lengths, *X.chunks[1:]), dtype=X.dtype)[idx]
    return np.asarray(rows) if isinstance(idx, int) else rows


def _n_rows_of_frame(X: Any) -> int:
    return sum(_lengths(X))


def _feature_shape_of_frame(X: Any) -> tuple[int, ...]:
    return (len(X.columns),) if X.ndim == 2 else ()


def _rows_of_frame(X: Any, idx: Any) -> Any:
    lengths = _lengths(X)
    idx = as_index(idx, sum(lengths))
    places = np.atleast_1d(np.asarray(range(sum(lengths))[idx] if isinstance(idx, slice) else idx, dtype=np.intp))
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.intp)])
    order = np.argsort(places, kind="stable")
    bounds = np.searchsorted(places[order], starts)
    partitions = X.to_delayed()
    needed = np.flatnonzero(np.diff(bounds)).tolist()
    here = [order[bounds[i] : bounds[i + 1]] for i in needed]
    parts = [_located(partitions[i], places[at] - starts[i]) for i, at in zip(needed, here)]
    if isinstance(idx, int):
        return dask.compute(parts[0])[0].iloc[0]
    counts = tuple(map(len, here))
    if not needed:
        parts, counts = [_located(partitions[0], places)], (0,)
    elif (np.diff(places) < 0).any():
        # In another order than the frame's: one partition.
        parts, counts = [_gathered(parts, np.argsort(order))], (len(places),)
    taken = dd.from_delayed(parts, meta=make_meta(X))
    _remember(taken, counts)
    return taken


@delayed
def _located(partition: Any, places: NDArray) -> Any:
    return partition.iloc[places]


@delayed
def _gathered(parts: list[Any], order: NDArray) -> Any:
    return pd.concat(parts).iloc[order]


@row_blocks.register(da.Array)
def _(X: Any, size: int) -> Iterator[tuple[slice, Any]]:
    start = 0
    for part in _computed(X):
        for rows in blocks(len(part), size):
            yield slice(start + rows.start, start + rows.stop), take_rows(part, rows)
        start += len(part)


@is_finite.register(da.Array)
def _(X: Any) -> bool:
    dtypes = X.dtypes if X.ndim == 2 and hasattr(X, "dtypes") else [X.dtype]
    if all(isinstance(dtype, np.dtype) and dtype.kind in "biu" for dtype in dtypes):
        return True
    return all(is_finite(part) for part in _computed(X))


@row_keys.register(da.Array)
def _(X: Any) -> list[bytes]:
    return [key for part in _computed(X) for key in row_keys(part)]


@in_memory.register(da.Array)
def _(X: Any) -> Any:
    return dask.compute(X)[0]


@read_rows.register(da.Array)
def _(X: Any, idx: Any) -> Any:
    return in_memory(take_rows(X, idx))


@stack_rows.register(da.Array)
def _(first: Any, second: Any) -> Any:
    return stack_rows(in_memory(first), second)


@samples_of.register(da.Array)
def _(X: Any) -> list[Any]:
    return samples_of(in_memory(X))


@numbers_of.register(da.Array)
def _(X: Any) -> NDArray | None:
    return numbers_of(in_memory(X))


for kind in _FRAMES:
    n_rows.register(kind, _n_rows_of_frame)
    feature_shape.register(kind, _feature_shape_of_frame)
    take_rows.register(kind, _rows_of_frame)
    for shared in (row_blocks, is_finite, row_keys, in_memory, read_rows, stack_rows, samples_of, numbers_of):
        shared.register(kind, shared.dispatch(da.Array))

if _FRAMES:

    @column_names.register(dd.DataFrame)
    def _(X: Any) -> list[Any]:
        return list(X.columns)

    @like.register(dd.DataFrame)
    def _(X: Any, array: NDArray) -> Any:
        return pd.DataFrame(array, columns=X.columns)


def _refused(X: Any, *args: Any) -> Any:
    raise TypeError(
        f"Samples of dask must be an Array or a DataFrame. Got {kind_of(X)}: call to_dataframe() of a Bag, "
        "dask.array.from_delayed or dask.dataframe.from_delayed with a Delayed, or compute()."
    )


for generic in (n_rows, feature_shape, take_rows, stack_rows, in_memory, numbers_of):
    for kind in (Bag, Delayed):
        generic.register(kind, _refused)
