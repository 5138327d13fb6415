"""A folder of `.npy` files with equal rows, read where it lies: pools beyond memory that every worker can open."""

from __future__ import annotations

import copy
import functools
import json
import math
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..utils._arrays import blocks as slices
from ..utils._validation import shown
from ._generics import (
    as_index,
    give_back,
    in_memory,
    opener,
    read_rows,
    row_blocks,
    row_keys,
    take_rows,
)
from ._keys import numeric_keys

__all__ = ["FORMAT", "INDEX", "VERSION", "Shards", "shard_name"]

INDEX, FORMAT, VERSION = "index.json", "skal-shards", 1
_BLOCK_VALUES = 1 << 20
# Each map holds a file open, and what was read of it counts as the process's memory.
_OPEN_MAPS = 4


class Shards:
    """Rows in a folder of `.npy` files as a pool, in as little memory as their number; made by `write_shards`.

    Parameters
    ----------
    folder : str or path
        What `write_shards` has written.

    Attributes
    ----------
    folder : str
        Its absolute path.
    shape : tuple of int
        Rows, and the shape of one.
    ndim : int
    dtype : dtype

    Raises
    ------
    FileNotFoundError
        There is no such folder, or it has no index: it was not written to its end.
    ValueError
        The folder is damaged: a file is missing, cut short, or of another shape or dtype, or the index cannot be read
        or is of a newer version. The sentence names the file. Headers and sizes are checked, no row is read.

    Notes
    -----
    Square brackets read, `take_rows` does not. ``shards[7]``, ``shards[2:5]``, ``shards[[9, 0]]`` and
    ``shards[mask]`` are NumPy arrays in memory, in the order asked, read shard by shard and no other row with them.
    ``take_rows(shards, 7)`` is one row; ``take_rows`` with anything else, and ``drop_rows``, are `Shards` again, a part
    that has read nothing and knows its positions (8 bytes a row, none for a slice). ``numpy.asarray`` reads all of a
    part; skal calls it on what goes into a labelled set, and on a pool where a method computes with all of its rows at
    once. `stack_rows` therefore gives an array.

    `row_blocks` yields read-only views of the memory map, and copies where a block lies in several shards. A loop over
    `Shards` goes row by row, reading a megabyte or so at a time. At most 4 files are open at a time, and more only
    while blocks of them are alive. A pickle holds the path (and the positions of a part), so each process maps the
    files itself. Two are equal where the rows and ids that were written are equal and the positions are; nothing is
    read for that.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skal.rows import take_rows, write_shards
    >>> folder = tempfile.mkdtemp()
    >>> shards = write_shards(folder, (np.full((100, 8), i) for i in range(3)))
    >>> shards.shape, shards.dtype, shards[[250, 3]][:, 0].tolist()
    ((300, 8), dtype('float32'), [2.0, 0.0])
    >>> part = take_rows(shards, slice(90, 110))
    >>> type(part).__name__, len(part), float(np.asarray(part).mean())
    ('Shards', 20, 0.5)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = _Folder(folder)
        self._folder.check()
        self._places: range | NDArray[np.intp] = range(self._folder.n_rows)

    @property
    def folder(self) -> str:
        """Absolute path of the folder."""
        return self._folder.path

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the shape of one."""
        return (len(self._places), *self._folder.row_shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """Of all rows."""
        return self._folder.dtype

    @property
    def ids(self) -> NDArray:
        """The ids of the rows: int64, or objects where some are text; without ids the positions in the folder."""
        places = np.asarray(self._places, dtype=np.int64)
        return places if self._folder.ids is None else self._folder.ids[places]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, idx: Any) -> NDArray:
        if isinstance(idx, tuple):
            # As scikit-learn's splitters ask for rows.
            if len(idx) != 2 or idx[1] is not Ellipsis:
                raise IndexError(
                    "Shards are indexed by rows alone: shards[rows][:, columns] takes columns of some rows."
                )
            idx = idx[0]
        idx = as_index(idx, len(self))
        if isinstance(idx, int):
            return np.array(self._read(self._at([idx]))[0])
        return self._in_memory(self._at(idx))

    def __iter__(self) -> Iterator[NDArray]:
        size = max(1, _BLOCK_VALUES // max(1, math.prod(self._folder.row_shape)))
        for _, block in row_blocks(self, size):
            yield from np.array(block)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("Shards are read into memory where an array is made of them: copy=False cannot be.")
        array = self._in_memory(self._places)
        return array if dtype is None else array.astype(dtype, copy=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shards):
            return NotImplemented
        if self._folder.content != other._folder.content or len(self) != len(other):
            return False
        mine, theirs = self._places, other._places
        both_ranges = isinstance(mine, range) and isinstance(theirs, range)
        return mine == theirs if both_ranges else np.array_equal(mine, theirs)

    def __hash__(self) -> int:
        return hash((self._folder.content, len(self)))

    def __reduce__(self) -> Any:
        return _reopened, (self.folder, None if self._is_whole else self._places)

    def __repr__(self) -> str:
        part = "" if self._is_whole else f" of {self._folder.n_rows:,}"
        return f"Shards({self.folder!r}, {len(self):,}{part} rows of {self._folder.row_shape}, {self.dtype})"

    @property
    def _is_whole(self) -> bool:
        return isinstance(self._places, range) and self._places == range(self._folder.n_rows)

    def _at(self, idx: Any) -> range | NDArray[np.intp]:
        """Positions in the folder of the rows `idx` of this part."""
        if isinstance(idx, slice):
            return self._places[idx]
        idx = np.asarray(idx, dtype=np.intp)
        if isinstance(self._places, range):
            return self._places.start + self._places.step * idx
        return self._places[idx]

    def _part(self, idx: Any) -> Shards:
        part = object.__new__(Shards)
        part._folder, part._places = self._folder, self._at(idx)
        return part

    def _read(self, places: range | NDArray[np.intp]) -> NDArray:
        """The rows of the folder at `places`: a view of the map where they are consecutive rows of one shard."""
        starts = self._folder.starts
        if isinstance(places, range) and places.step == 1 and len(places):
            return self._read_slice(places.start, places.stop)
        wanted = np.asarray(places, dtype=np.intp)
        found = np.empty((len(wanted), *self._folder.row_shape), dtype=self.dtype)
        # In the order of the file, and one shard after another.
        order = np.argsort(wanted, kind="stable")
        bounds = np.searchsorted(wanted[order], starts)
        for i in np.flatnonzero(np.diff(bounds)).tolist():
            here = order[bounds[i] : bounds[i + 1]]
            found[here] = self._folder.mapped(i)[wanted[here] - starts[i]]
        return found

    def _read_slice(self, start: int, stop: int) -> NDArray:
        starts = self._folder.starts
        first, end = np.searchsorted(starts, start, side="right") - 1, np.searchsorted(starts, stop)
        if end - first == 1:
            return self._folder.mapped(int(first))[start - starts[first] : stop - starts[first]]
        found = np.empty((stop - start, *self._folder.row_shape), dtype=self.dtype)
        for i in range(first, end):
            low, high = max(start, starts[i]), min(stop, starts[i + 1])
            found[low - start : high - start] = self._folder.mapped(i)[low - starts[i] : high - starts[i]]
        return found

    def _in_memory(self, places: range | NDArray[np.intp]) -> NDArray:
        found = self._read(places)
        return found if found.flags.owndata else np.array(found)


class _Folder:
    """What the index says, and maps of its files; one for a whole and all of its parts."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(folder)
        self.dtype, self.row_shape, rows, self._ids_name, self.content = _read_index(self.path)
        self.starts = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)])
        self.n_rows = int(self.starts[-1])
        self.mapped = lru_cache(maxsize=_OPEN_MAPS)(self._map)
        self._ids: NDArray | None = None

    def check(self) -> None:
        """Raise where a file is not as the index says; its header and size are looked at, no row is read."""
        for i in range(len(self.starts) - 1):
            self._map(i)
        if self._ids_name is not None and not os.path.isfile(os.path.join(self.path, self._ids_name)):
            raise _damaged(os.path.join(self.path, self._ids_name), "there is no such file")
        if self._ids_name == "ids.npy":
            self.ids  # noqa: B018  (a map)

    def _map(self, i: int) -> NDArray:
        path = os.path.join(self.path, shard_name(i))
        shape = (int(self.starts[i + 1] - self.starts[i]), *self.row_shape)
        found = _load(path)
        if found.shape != shape or found.dtype != self.dtype:
            raise _damaged(path, f"it must hold {shape} of {self.dtype}, and holds {found.shape} of {found.dtype}")
        if os.path.getsize(path) != found.offset + found.nbytes:
            raise _damaged(path, f"it must have {found.offset + found.nbytes:,} bytes")
        return np.asarray(found)

    @property
    def ids(self) -> NDArray | None:
        """The ids, read at first use; None where none were given."""
        if self._ids is None and self._ids_name is not None:
            path = os.path.join(self.path, self._ids_name)
            found = np.asarray(_load(path)) if path.endswith(".npy") else _objects(_read_json(path))
            if found.shape != (self.n_rows,) or found.dtype not in (np.int64, object):
                raise _damaged(path, f"it does not hold {self.n_rows:,} ids")
            self._ids = found
        return self._ids


def _reopened(folder: str, places: range | NDArray[np.intp] | None) -> Shards:
    """As `Shards`, but that each file is checked when it is mapped: workers open a folder for each block."""
    opened = object.__new__(Shards)
    opened._folder = _Folder(folder)
    opened._places = range(opened._folder.n_rows) if places is None else places
    return opened


def shard_name(i: int) -> str:
    return f"{i:06d}.npy"


def _damaged(path: str, why: str) -> ValueError:
    return ValueError(f"The shards are damaged at '{path}': {why}.")


def _unreadable(path: str, error: Exception) -> ValueError:
    if isinstance(error, FileNotFoundError):
        return _damaged(path, "there is no such file")
    lines = str(error).splitlines() or [type(error).__name__]
    return _damaged(path, f"it cannot be read ({lines[0].rstrip('.')})")


def _load(path: str) -> np.memmap:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_json(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_index(folder: str) -> tuple[np.dtype, tuple[int, ...], list[int], str | None, str]:
    path = os.path.join(folder, INDEX)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"Shards must be given a folder of shards. There is no folder '{folder}'.")
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"Shards must be given a folder that write_shards has written to its end. There is no '{path}'."
        )
    index = _read_json(path)
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise _damaged(path, "it is no index of shards")
    if index.get("version") != VERSION:
        raise ValueError(
            f"This version of skal reads shards of version {VERSION}. Got version {shown(index.get('version'))} "
            f"in '{path}'."
        )
    try:
        dtype, rows = np.dtype(index["dtype"]), [int(n) for n in index["rows"]]
        shape, ids, content = tuple(int(n) for n in index["shape"]), index["ids"], str(index["content"])
        sound = dtype.kind in "biuf" and min((*rows, *shape), default=0) >= 0 and ids in (None, "ids.npy", "ids.json")
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise _damaged(path, "it does not say what the shards hold")
    return dtype, shape, rows, ids, content


def _objects(values: Any) -> NDArray:
    found: Any = np.empty(len(values) if isinstance(values, list) else 0, dtype=object)
    found[:] = values if len(found) else []
    return found


@take_rows.register(Shards)
def _(X: Shards, idx: Any) -> Any:
    idx = as_index(idx, len(X))
    return X[idx] if isinstance(idx, int) else X._part(idx)


@read_rows.register(Shards)
def _(X: Shards, idx: Any) -> NDArray:
    return X[idx]


@in_memory.register(Shards)
def _(X: Shards) -> NDArray:
    return np.asarray(X)


@opener.register(Shards)
def _(X: Shards) -> Callable[[], Shards]:
    return functools.partial(copy.copy, X)


@give_back.register(Shards)
def _(X: Shards, rows: slice) -> None:
    # A file that is closed holds no memory.
    X._folder.mapped.cache_clear()


@row_blocks.register(Shards)
def _(X: Shards, size: int) -> Iterator[tuple[slice, NDArray]]:
    for rows in slices(len(X), size):
        yield rows, X._read(X._at(rows))


@row_keys.register(Shards)
def _(X: Shards) -> list[bytes]:
    size = max(1, _BLOCK_VALUES // max(1, math.prod(X.shape[1:])))
    return [key for _, block in row_blocks(X, size) for key in numeric_keys(block)]
