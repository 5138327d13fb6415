"""What the strategies share that rank by class probabilities alone."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ...base import ScoringStrategy

__all__ = ["ROWS", "UncertaintySampling"]

ROWS = 65_536  # samples worked on at once, so that a pool of a million needs no second copy of its probabilities


class UncertaintySampling(ScoringStrategy):
    """Scores from class probabilities alone."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"random_state": ["random_state"]}
    requires = ("proba",)
    order_free = True
    rowwise = True

    def __init__(self, *, random_state: int | np.random.RandomState | None = None) -> None:
        self.random_state = random_state
