"""Two stages: a cheap choice of candidates from the pool, and another strategy among them."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import HasMethods, Interval, QueryStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ._parts._pieces import piece_of
from ._parts._stages import StagedStrategy

__all__ = ["Prefilter", "prefilter_sampling"]


class Prefilter(StagedStrategy):
    """What a strategy queries among candidates that a cheaper one, or chance, has chosen from the pool.

    It makes expensive strategies possible in large pools, and repeats protocols that draw a random part of the pool
    in each cycle.

    Parameters
    ----------
    strategy : QueryStrategy or query function
        What chooses among the candidates: any strategy of skal, or a function with modAL's signature. Its pool is the
        candidates, and nothing else.
    first : "random", QueryStrategy or query function, default="random"
        What chooses the candidates: a fresh, uniformly random part of the pool in each query, or the `n_candidates`
        most informative samples of another strategy.
    n_candidates : int >= 1
        How many candidates; all of the pool where it is smaller. At least `n_instances`.
    random_state : int, RandomState or None, default=None
        Draws the random candidates, and seeds both strategies where their own `random_state` is None. An integer gives
        the same run every time; successive rounds differ.

    Raises
    ------
    ValueError
        More `n_instances` than candidates.

    Notes
    -----
    The candidates reach `strategy` in the pool's order, as `PoolView.part`: with the same model, labelled data, memory
    and round. The positions are those in the whole pool, the scores are `strategy`'s. The answer is exactly that of
    `strategy` on a pool of the candidates alone; with ``n_candidates`` of the whole pool it is that of `strategy`.

    The model is run on the whole pool for what `first` reads, and on the candidates alone for what `strategy` reads
    besides: embeddings, opinions, clones' predictions. With ``first="random"`` rows that are not drawn are not read
    at all, so that missing values in them go unnoticed. What a strategy keeps for later queries is about the whole
    pool: `BAL` and `PT4AL` order all of it once, and `UFFM` fits its descriptor on all of it. Before there are labels,
    samples are random.

    Time: that of `first` on n samples and of `strategy` on m = min(`n_candidates`, n). Memory: a copy of m rows.

    Papers that look at a random part of the pool: `DECERN`'s experiments with Food101 draw a new one in each cycle, and
    the authors' code of `NoiseStability` takes 25,000 samples.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import BADGE, MarginSampling, Prefilter
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X[:50], y[:50])
    >>> strategy = Prefilter(BADGE(), first=MarginSampling(), n_candidates=100, random_state=0)
    >>> query_idx, scores = strategy.select(clf, X[50:], n_instances=10)
    >>> margins = MarginSampling().score_samples(clf, X[50:])
    >>> bool((margins[query_idx] >= sorted(margins)[-100]).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "strategy": [HasMethods("select"), callable],
        "first": [StrOptions({"random"}), HasMethods("select"), callable],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    _stage_params = ("first", "strategy")

    def __init__(
        self,
        strategy: QueryStrategy | Callable[..., Any],
        *,
        first: Literal["random"] | QueryStrategy | Callable[..., Any] = "random",
        n_candidates: int,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.strategy = strategy
        self.first = first
        self.n_candidates = n_candidates
        self.random_state = random_state

    def _check_n_instances(self, n_instances: Any, n_pool: int) -> int:
        n_instances = super()._check_n_instances(n_instances, n_pool)
        if n_instances > self.n_candidates:
            raise ValueError(
                f"n_instances must be at most the n_candidates of Prefilter, {self.n_candidates}. "
                f"Got {n_instances} instead."
            )
        return n_instances

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        candidates = self._candidates(pool, rng)
        with piece_of(pool, candidates) as part:
            chosen, scores = self._ask("strategy", part, n_instances, rng)
        return candidates[chosen], scores

    def _candidates(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.int64]:
        """Positions of the candidates, ascending."""
        if self.n_candidates >= len(pool):
            return np.arange(len(pool))
        if isinstance(self.first, str):
            return np.sort(rng.choice(len(pool), size=self.n_candidates, replace=False))
        return np.sort(self._ask("first", pool, self.n_candidates, rng)[0])


prefilter_sampling = make_query_function(Prefilter, "prefilter_sampling")
