"""Ids of a session: names of samples, their positions, and whether the samples are still what they were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rows import n_rows, row_keys, take_rows
from ._answers import Id, as_ids

__all__ = ["Ids", "changed_samples", "witnesses"]

# So many samples, evenly spread, tell whether a resumed session is about the same data.
_WITNESSES = 16


class Ids:
    """Names of the samples of `X`, and their positions.

    Parameters
    ----------
    ids : iterable of n different str or int, or None
        None: the positions themselves.
    X : container of n samples
    """

    def __init__(self, ids: Any, X: Any) -> None:
        self._n = n_rows(X)
        if self._n == 0:
            raise ValueError("X must hold at least one sample. Got an empty X.")
        self._names = None if ids is None else as_ids(ids)
        if self._names is not None and len(self._names) != self._n:
            raise ValueError(f"ids must name each of the {self._n} samples of X. Got {len(self._names)} ids.")
        self._positions = None if self._names is None else {one: i for i, one in enumerate(self._names)}

    def __len__(self) -> int:
        return self._n

    @property
    def are_positions(self) -> bool:
        """Whether the samples have no names of their own."""
        return self._names is None

    def __contains__(self, one: Id) -> bool:
        if self._positions is not None:
            return one in self._positions
        return isinstance(one, int) and 0 <= one < self._n

    def names(self, positions: NDArray[np.int64]) -> list[Id]:
        """The ids at some positions."""
        found = positions.tolist()
        return found if self._names is None else [self._names[i] for i in found]

    def positions(self, ids: Iterable[Id]) -> NDArray[np.int64]:
        """The positions of some ids; an unknown one is a `ValueError`."""
        return np.array([self._position(one) for one in ids], dtype=np.int64)

    def _position(self, one: Id) -> int:
        if one not in self:
            known = (
                f"a position in [0, {self._n})" if self.are_positions else f"one of the {self._n} ids of the session"
            )
            raise ValueError(f"An id must be {known}. Got {one!r} instead.")
        return int(one) if self._positions is None else self._positions[one]


def witnesses(X: Any, ids: Ids) -> list[list[Any]]:
    """Id and content of some samples; none where reading one twice gives two contents (augmentation)."""
    positions = np.unique(np.linspace(0, len(ids) - 1, _WITNESSES).astype(np.int64))
    keys = _keys_at(X, positions)
    return [list(pair) for pair in zip(ids.names(positions), keys)] if keys == _keys_at(X, positions) else []


def changed_samples(X: Any, ids: Ids, seen: list[list[Any]]) -> list[Id]:
    """The ids of `witnesses` whose samples are other ones now."""
    known = [(one, key) for one, key in seen if one in ids]
    keys = _keys_at(X, ids.positions(one for one, _ in known)) if known else []
    return [one for (one, before), key in zip(known, keys) if key != before]


def _keys_at(X: Any, positions: NDArray[np.int64]) -> list[str]:
    return [key.hex()[:16] for key in row_keys(take_rows(X, positions))]
