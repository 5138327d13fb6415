"""Uniformly random sampling, the baseline that every comparison needs."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import QueryStrategy, make_query_function
from ..pool import PoolView

__all__ = ["RandomSampling", "random_sampling"]


class RandomSampling(QueryStrategy):
    """Uniformly random samples, without replacement.

    The baseline of every comparison: a method that does not beat it saves no labels. It asks nothing of the
    classifier, which need not even be fitted.

    Parameters
    ----------
    random_state : int, RandomState or None, default=None
        An integer gives the same run every time; successive rounds differ.

    Notes
    -----
    Every score is 0. O(n) time and memory.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.strategies import RandomSampling
    >>> query_idx, scores = RandomSampling(random_state=0).select(None, np.zeros((10, 2)), n_instances=3)
    >>> len(set(query_idx))
    3
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"random_state": ["random_state"]}
    rowwise = True

    def __init__(self, *, random_state: int | np.random.RandomState | None = None) -> None:
        self.random_state = random_state

    def _check_pool(self, pool: PoolView) -> None:
        """Nothing is asked of the model."""

    def _cold_start(
        self, pool: PoolView, n_instances: int, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._query(pool, n_instances, rng)

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        return rng.choice(len(pool), size=n_instances, replace=False), np.zeros(n_instances)


random_sampling = make_query_function(RandomSampling, "random_sampling")
