"""Rows of numbers by key, within a limit of memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..utils._locks import short_lock

__all__ = ["FeatureStore"]


# What a stored row costs beside its numbers: its key, its array header, its place among the others.
_ROW_OVERHEAD = 300
# A row that was not asked for while so many times the whole store's rows were is out of use.
_PATIENCE = 2
# One for all stores, so that what a fork must wait for does not grow with their number.
_LOCK = short_lock()


@dataclass(slots=True)
class _Row:
    values: NDArray
    place: int
    used: int


class FeatureStore:
    """Rows by key, up to a limit of memory. Safe to use from several threads.

    The rows come in scans of a pool, again and again in one order. A store that holds a part of the pool and dropped
    what was used longest ago would lose each row just before it is wanted. So a full one keeps what it has, and a new
    row takes the place of a random one only where the last lookup found nothing at all, which shows new data, or where
    that random row is out of use.
    """

    def __init__(self) -> None:
        self._rows: dict[bytes, _Row] = {}
        # The keys by place, to pick one at random.
        self._keys: list[bytes] = []
        self._rng = np.random.default_rng(0)
        # Rows asked for so far, and whether the last lookup found some.
        self._clock = 0
        self._found = False
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, keys: Collection[bytes]) -> dict[bytes, NDArray]:
        """The rows that are there."""
        with _LOCK:
            self._clock += len(keys)
            found = {key: self._rows[key] for key in keys if key in self._rows}
            for row in found.values():
                row.used = self._clock
            self._found = bool(found)
            return {key: row.values for key, row in found.items()}

    def put(self, rows: Mapping[bytes, NDArray], limit: int) -> None:
        """Add rows as far as there is place for them; the whole store then needs at most `limit` bytes."""
        with _LOCK:
            # The limit may have shrunk.
            while self._rows and self.nbytes > limit:
                self._drop(self._any_key())
            for key, values in rows.items():
                if key not in self._rows and self._make_place(values.nbytes + _ROW_OVERHEAD, limit):
                    # A copy: a view would keep its whole batch alive.
                    self._rows[key] = _Row(np.array(values), len(self._keys), self._clock)
                    self._keys.append(key)
                    self.nbytes += values.nbytes + _ROW_OVERHEAD

    def clear(self) -> None:
        """Forget everything."""
        with _LOCK:
            self._rows.clear()
            self._keys.clear()
            self.nbytes = 0

    def _make_place(self, nbytes: int, limit: int) -> bool:
        """Whether there is place for a row of `nbytes`, others being dropped for it where they may be."""
        if nbytes > limit:
            return False
        while self.nbytes + nbytes > limit:
            key = self._any_key()
            is_idle = self._clock - self._rows[key].used > _PATIENCE * len(self._rows)
            if self._found and not is_idle:
                return False
            self._drop(key)
        return True

    def _any_key(self) -> bytes:
        return self._keys[int(self._rng.integers(len(self._keys)))]

    def _drop(self, key: bytes) -> None:
        """Forget a row; the last one takes its place."""
        row, last = self._rows.pop(key), self._keys.pop()
        self.nbytes -= row.values.nbytes + _ROW_OVERHEAD
        if last != key:
            self._keys[row.place] = last
            self._rows[last].place = row.place
