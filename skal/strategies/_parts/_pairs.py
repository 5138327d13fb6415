"""Pairs of samples by their distance: each met once, and those that are close held where they are few."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ...utils._arrays import blocks, on_host, squared_norms

__all__ = ["Pairs", "closeness", "half_of_all"]


def half_of_all(z: Any, order: NDArray[np.int64], block: int) -> Iterator[tuple[NDArray, NDArray, Any]]:
    """Two sets of rows and how close they are to each other, so that every pair is met once.

    A row meets itself, and those of its own set twice, where both sets are the same one; `block` pairs at once.
    """
    half = squared_norms(z) / 2
    parts = [order[part] for part in blocks(len(order), math.isqrt(block))]
    for k, rows in enumerate(parts):
        some = z[rows], half[rows]
        for columns in parts[k:]:
            yield rows, columns, closeness(*some, z[columns], half[columns])


def closeness(a: Any, half_a: Any, b: Any, half_b: Any) -> Any:
    """Minus half the squared distance of each row of `a` from each of `b`, of which the halves of norms are known."""
    inner = a @ b.T
    inner -= half_a[:, None]
    inner -= half_b
    return inner


class Pairs:
    """The pairs of `n` samples that are closer than a bound, as long as there are few enough to hold them."""

    def __init__(self, n: int, limit: int) -> None:
        self.n, self.limit = n, limit
        self.are_all = True
        self._found: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray]] = []
        self._n_found = 0

    def add(self, rows: NDArray, columns: NDArray, found: Any, bound: float) -> bool:
        """The pairs of a block that are closer than `bound`, which only grows; False where there are too many."""
        if not self.are_all:
            return False
        xp = array_namespace(found)
        found = xp.reshape(found, (-1,))
        flat = xp.nonzero(found > bound)[0]
        values, flat = on_host(found[flat]), on_host(flat)
        i, j = rows[flat // len(columns)].astype(np.int32), columns[flat % len(columns)].astype(np.int32)
        if rows[0] == columns[0]:
            # A block of the diagonal holds each pair twice, and each sample with itself.
            once = flat // len(columns) < flat % len(columns)
            i, j, values = i[once], j[once], values[once]
        self._found.append((i, j, values))
        self._n_found += len(i)
        if self._n_found > self.limit:
            self._found = [_closer(*part, bound) for part in self._found]
            self._n_found = sum(len(i) for i, _, _ in self._found)
            if self._n_found > self.limit:
                self.are_all, self._found = False, []
        return self.are_all

    def within(self, delta: float) -> tuple[csr_array, csr_array]:
        """Of each sample the other samples in its open ball: those that come later in a pair, and earlier."""
        parts = [_closer(*part, -(delta**2) / 2) for part in self._found]
        self._found = []
        i, j = (np.concatenate([part[k] for part in parts]) for k in range(2))
        ones = np.ones(len(i), dtype=np.int8)
        return (
            csr_array((ones, (i, j)), shape=(self.n, self.n)),
            csr_array((ones, (j, i)), shape=(self.n, self.n)),
        )


def _closer(i: NDArray, j: NDArray, values: NDArray, bound: float) -> tuple[NDArray, NDArray, NDArray]:
    keep = values > bound
    return i[keep], j[keep], values[keep]
