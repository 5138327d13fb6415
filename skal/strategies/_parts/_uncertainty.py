"""What the strategies share that rank by class probabilities alone."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...base import ScoringStrategy
from ...utils._arrays import blocks

__all__ = ["ROWS", "UncertaintySampling", "margins"]

ROWS = 65_536  # samples worked on at once, so that a pool of a million needs no second copy of its probabilities


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
    for rows in blocks(len(proba), ROWS):
        top_two = np.partition(proba[rows], -2, axis=1)[:, -2:].astype(np.float64)
        found[rows] = top_two[:, 1] - top_two[:, 0]
    return found
