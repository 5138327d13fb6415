"""Features by key, in blocks of rows, within a limit of memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils._locks import short_lock

__all__ = ["BlockStore"]

# Bytes of a block's numbers.
_BLOCK_BYTES = 2**18
# What a row costs beside its numbers: its key, where that is found, when it was last asked for.
_KEY_BYTES = 160
# A place is the number of a block and, in so many bits, that of a row in it.
_BITS = 20
# A row is out of use where so many times the store, or the scan, was looked up since somebody asked for it.
_PATIENCE = 4
# One for all stores, so that what a fork must wait for does not grow with their number.
_LOCK = short_lock()


@dataclass(slots=True)
class _Block:
    values: NDArray  # (m, ...); the first len(keys) rows are in use
    used: NDArray[np.int64]  # (m,), by the store's clock
    keys: list[bytes] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return len(self.values) * row_bytes(self.values)

    def unused_since(self, time: int) -> NDArray[np.int64]:
        """Rows that nobody has asked for after `time`."""
        return np.flatnonzero(self.used[: len(self.keys)] <= time)


def row_bytes(values: NDArray) -> int:
    """Bytes of a row in a store, to within a tenth: its numbers alone where these are nearly all of it."""
    numbers = values.itemsize * math.prod(values.shape[1:])
    return max(numbers, round((numbers + _KEY_BYTES) / 1.1))


class BlockStore:
    """Rows by key, up to a limit of memory. Safe to use from several threads.

    Rows come in scans of a pool, again and again in one order. A store that holds a part of the pool and dropped what
    was used longest ago would lose each row just before it is wanted. So a full store keeps what it has. Only at the
    end of a scan do new rows take the place of others, drawn at random among those that the scan did not ask for: of
    all of these where it found nothing, which shows other data, else of those that are out of use.

    Attributes
    ----------
    clock : int
        Rows looked up so far.
    nbytes : int
        Bytes of the blocks, at most the limit; by `row_bytes`, which is true to within a tenth.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._places: dict[bytes, int] = {}
        # The block of each kind of row that may have free rows.
        self._open: dict[Any, int] = {}
        self._n_made = 0
        self._rng = np.random.default_rng(0)
        self.clock = 0
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._places)

    def get(self, keys: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray | None]:
        """Which of `keys` (m,) are there, (k,), and a copy of their rows, (k, ...); None for no row."""
        with _LOCK:
            self.clock += len(keys)
            where = np.array([i for i, key in enumerate(keys) if key in self._places], dtype=np.int64)
            places = np.array([self._places[keys[i]] for i in where.tolist()], dtype=np.int64)
            numbers, rows = places >> _BITS, places & (2**_BITS - 1)
            out: NDArray | None = None
            for number in np.unique(numbers).tolist():
                block, mine = self._blocks[number], numbers == number
                if out is None:
                    out = np.empty((len(where), *block.values.shape[1:]), dtype=block.values.dtype)
                out[mine] = block.values[rows[mine]]
                block.used[rows[mine]] = self.clock
            return where, out

    def put(self, keys: Sequence[bytes], values: NDArray, limit: int) -> NDArray[np.int64]:
        """Add rows `values` (m, ...) as far as there is free place within `limit` bytes; which have found none."""
        with _LOCK:
            # The limit may have shrunk.
            while self.nbytes > limit:
                self._drop(min(self._blocks, key=lambda number: int(self._blocks[number].used.max())))
            # Of equal keys one.
            new = {key: i for i, key in enumerate(keys) if key not in self._places}
            left = np.array(list(new.values()), dtype=np.int64)
            while len(left) and (number := self._with_place(values, len(left), limit)) is not None:
                block = self._blocks[number]
                now, left = np.split(left, [len(block.values) - len(block.keys)])
                first = len(block.keys)
                block.keys += [keys[i] for i in now.tolist()]
                self._fill(number, np.arange(first, len(block.keys)), values[now])
            return left

    def replace(self, keys: Sequence[bytes], values: NDArray, limit: int, *, since: int, found: bool) -> None:
        """Add rows at the end of a scan that began at the time `since`, in the place of others where these may go.

        `found` is whether the scan has found any row.
        """
        with _LOCK:
            left = self.put(keys, values, limit)
            if row_bytes(values) > limit:
                return
            idle = self.clock - _PATIENCE * max(self.clock - since, len(self))
            time = min(since, idle) if found else since
            kind = _kind(values)
            alike = [
                (number << _BITS) + block.unused_since(time)
                for number, block in self._blocks.items()
                if _kind(block.values) == kind
            ]
            places = np.concatenate(alike) if alike else np.empty(0, dtype=np.int64)
            places = np.sort(self._rng.permutation(places)[: len(left)])
            now, left = np.split(left, [len(places)])
            for i, place in zip(now.tolist(), places.tolist()):
                number, row = place >> _BITS, place & (2**_BITS - 1)
                old, self._blocks[number].keys[row] = self._blocks[number].keys[row], keys[i]
                del self._places[old]
                self._fill(number, np.array([row]), values[i : i + 1])
            # Rows of another shape give way by blocks.
            needed = len(left) * row_bytes(values)
            for number, block in list(self._blocks.items()):
                if self.nbytes + needed <= limit:
                    break
                if _kind(block.values) != kind and len(block.unused_since(time)) == len(block.keys):
                    self._drop(number)
            self.put([keys[i] for i in left.tolist()], values[left], limit)

    def clear(self) -> None:
        """Forget everything."""
        with _LOCK:
            self._blocks.clear()
            self._places.clear()
            self._open.clear()
            self.nbytes = 0

    def _with_place(self, values: NDArray, n_wanted: int, limit: int) -> int | None:
        """Number of a block with free rows for rows such as `values`; None where the limit allows none."""
        kind = _kind(values)
        number = self._open.get(kind)
        if number is not None and len(self._blocks[number].keys) < len(self._blocks[number].values):
            return number
        # Small at first: a store of a few rows needs no whole block.
        n = min(
            max(n_wanted, len(self) // 16),
            max(1, _BLOCK_BYTES // max(1, values.itemsize * math.prod(values.shape[1:]))),
        )
        n = min(n, (limit - self.nbytes) // row_bytes(values))
        if n < 1:
            return None
        number, self._n_made = self._n_made, self._n_made + 1
        block = _Block(np.empty((n, *values.shape[1:]), dtype=values.dtype), np.zeros(n, dtype=np.int64))
        self._blocks[number], self._open[kind] = block, number
        self.nbytes += block.nbytes
        return number

    def _fill(self, number: int, rows: NDArray[np.int64], values: NDArray) -> None:
        """Write `values` into rows of a block, whose keys stand there already."""
        block = self._blocks[number]
        block.values[rows], block.used[rows] = values, self.clock
        self._places.update((block.keys[row], (number << _BITS) + row) for row in rows.tolist())

    def _drop(self, number: int) -> None:
        block = self._blocks.pop(number)
        self.nbytes -= block.nbytes
        for key in block.keys:
            del self._places[key]
        self._open = {kind: opened for kind, opened in self._open.items() if opened != number}


def _kind(values: NDArray) -> tuple[Any, ...]:
    return values.shape[1:], values.dtype
