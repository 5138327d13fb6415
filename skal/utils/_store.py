"""Rows of numbers by key, within a limit of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["FeatureStore"]


# What a stored row costs beside its numbers: its key, its array header, its place in the dict.
_ROW_OVERHEAD = 300


class FeatureStore:
    """Rows by key, the least recently used dropped first. Safe to use from several threads."""

    def __init__(self) -> None:
        self._rows: OrderedDict[bytes, NDArray] = OrderedDict()
        self._lock = threading.Lock()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, NDArray]:
        """The rows that are there."""
        with self._lock:
            found = {key: self._rows[key] for key in keys if key in self._rows}
            for key in found:
                self._rows.move_to_end(key)
            return found

    def put(self, rows: Mapping[bytes, NDArray], limit: int) -> None:
        """Add rows, then drop old ones until the whole store needs at most `limit` bytes."""
        with self._lock:
            for key, row in rows.items():
                if key not in self._rows:
                    # A copy: a view would keep its whole batch alive.
                    self._rows[key] = np.array(row)
                    self.nbytes += row.nbytes + _ROW_OVERHEAD
            while self._rows and self.nbytes > limit:
                _, row = self._rows.popitem(last=False)
                self.nbytes -= row.nbytes + _ROW_OVERHEAD

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._rows.clear()
            self.nbytes = 0
