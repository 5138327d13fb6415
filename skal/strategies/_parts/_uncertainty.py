"""What the strategies share that rank by class probabilities alone."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...base import ScoringStrategy
from ...utils._arrays import blocks

__all__ = ["UncertaintySampling", "margins"]

_VALUES = 1 << 16  # probabilities worked on at once: they stay in the processor's cache


class UncertaintySampling(ScoringStrategy):
    """Scores from class probabilities alone."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"random_state": ["random_state"]}
    requires = ("proba",)
    order_free = True
    rowwise = True

    def __init__(self, *, random_state: int | np.random.RandomState | None = None) -> None:
        self.random_state = random_state


def margins(proba: NDArray) -> NDArray[np.float64]:
    """Difference of the two largest probabilities of each row, `(n,)`; with one class known, its probability."""
    if proba.shape[1] == 1:
        return proba[:, 0].astype(np.float64)
    found = np.empty(len(proba))
    for rows in blocks(len(proba), _VALUES // proba.shape[1]):
        rest = proba[rows].copy()
        # Twice the maximum takes less than a partition.
        largest = (np.arange(len(rest)), rest.argmax(axis=1))
        top = rest[largest].astype(np.float64)
        rest[largest] = -np.inf
        found[rows] = top - rest.max(axis=1)
    return found
