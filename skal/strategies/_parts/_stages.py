"""What strategies share that ask other ones about parts of the pool: Prefilter and Partitioned."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...base import QueryStrategy, requirement
from ...pool import PoolView
from ._thinning import most_uncertain, strategy_of

__all__ = ["StagedStrategy"]


def _needs(strategy: Any) -> tuple[str, ...]:
    """What all stages need."""
    return tuple(dict.fromkeys(member for stage in strategy._stages() for member in stage.requires))


class StagedStrategy(QueryStrategy):
    """Other strategies, named by the parameters `_stage_params`, choose in turn; nothing else is asked of the pool."""

    requires = requirement((), _needs)
    # Each stage is asked about rows of its own.
    one_pass = False
    _stage_params: ClassVar[tuple[str, ...]]

    random_state: int | np.random.RandomState | None

    def _stages(self) -> list[QueryStrategy]:
        """The strategies of all stages; what else there is tells nothing of itself."""
        given = (getattr(self, name) for name in self._stage_params)
        return [stage for value in given if (stage := strategy_of(value)) is not None]

    def _require(self, pool: PoolView) -> None:
        # Each stage wants what it reads of its own view, and checks the rows that it is shown.
        for stage in self._stages():
            pool.check_offers(*stage.requires, by=str(stage.__name__))

    def _check_rows(self, pool: PoolView) -> None:
        """Left to the stages, each of which checks the rows that it is shown."""

    def _ask(
        self, parameter: str, pool: PoolView, n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Positions in `pool` and scores of what the stage `parameter` chooses from it."""
        stage, by = getattr(self, parameter), str(self.__name__)
        return most_uncertain(stage, pool, n, rng, by, parameter=parameter, random_state=self.random_state)
