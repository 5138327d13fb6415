"""Some rows of a memory map, not read before they are looked at: the pool that is left of one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..utils._arrays import blocks
from ._array import map_of
from ._generics import (
    as_index,
    generic,
    give_back,
    in_memory,
    opener,
    read_rows,
    row_blocks,
    row_bytes,
    row_keys,
    take_rows,
)

__all__ = ["MapPart", "lazy_rows"]

_LARGE = 64 << 20  # bytes from which rows of a map are better not read at once


class MapPart:
    """Rows `places` of the memory map `X`; NumPy reads all of them where it is given one.

    Parameters
    ----------
    X : ndarray
        A memory map, or a part of one.
    places : ndarray of shape (n,), int
        Positions in `X`.
    """

    def __init__(self, X: NDArray, places: NDArray[np.intp]) -> None:
        self.X, self.places = X, places
        self.shape, self.dtype, self.ndim = (len(places), *X.shape[1:]), X.dtype, X.ndim

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, idx: Any) -> NDArray:
        return self.X[self.places[idx]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("The rows of a part of a memory map are not in memory, and must be copied.")
        read = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for rows, block in row_blocks(self, max(1, _LARGE // max(1, row_bytes(self.X)))):
            read[rows] = block
        return read


@generic
def lazy_rows(X: Any, idx: ArrayLike) -> Any:
    """`take_rows`, but that many rows of a memory map are not read: they are a `MapPart`."""
    return take_rows(X, idx)


@lazy_rows.register(np.ndarray)
def _(X: NDArray, idx: ArrayLike) -> Any:
    places = np.asarray(as_index(idx, len(X)))
    if map_of(X) is None or len(places) * row_bytes(X) <= _LARGE:
        return take_rows(X, idx)
    return MapPart(X, places)


@take_rows.register(MapPart)
def _(X: MapPart, idx: Any) -> Any:
    idx = as_index(idx, len(X))
    return X[idx] if isinstance(idx, int) else lazy_rows(X.X, X.places[idx])


@read_rows.register(MapPart)
def _(X: MapPart, idx: Any) -> NDArray:
    return X[as_index(idx, len(X))]


@in_memory.register(MapPart)
def _(X: MapPart) -> NDArray:
    return np.asarray(X)


@row_blocks.register(MapPart)
def _(X: MapPart, size: int) -> Iterator[tuple[slice, NDArray]]:
    for rows in blocks(len(X), size):
        block = X[rows]
        give_back(X, rows)
        yield rows, block


@give_back.register(MapPart)
def _(X: MapPart, rows: slice) -> None:
    places = X.places[rows]
    give_back(X.X, slice(places.min(), places.max() + 1) if len(places) else rows)


@row_keys.register(MapPart)
def _(X: MapPart) -> list[bytes]:
    size = max(1, _LARGE // max(1, row_bytes(X.X)))
    return [key for _, block in row_blocks(X, size) for key in row_keys(block)]


@opener.register(MapPart)
def _(X: MapPart) -> Callable[[], Any] | None:
    open_map = opener(X.X)
    return None if open_map is None else functools.partial(_open_part, open_map, X.places)


def _open_part(open_map: Callable[[], NDArray], places: NDArray[np.intp]) -> MapPart:
    return MapPart(open_map(), places)
