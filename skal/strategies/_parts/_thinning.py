"""Strategies that take the most uncertain samples of another one and thin them out: UFFM and its baseline."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...base import HasMethods, Interval, QueryStrategy, requirement
from ...pool import PoolView
from ...utils._arrays import entropy, top_k
from ...utils._random import sklearn_seed
from ...utils._validation import shown
from ._descriptors import descriptors_of

__all__ = ["ThinningStrategy", "most_uncertain", "seeded_strategy", "strategy_of"]


def strategy_of(base_strategy: Any) -> Any:
    """A strategy as an object, also where it is given as its function twin; None for other functions."""
    base, keywords = _unwrapped(base_strategy)
    params = {name: value for name, value in keywords.items() if name != "n_instances"}
    if hasattr(base, "strategy_class"):
        return base.strategy_class(**params)
    if not isinstance(base, QueryStrategy):
        return None
    return base.with_params(params) if params else base


def _needs(strategy: Any) -> tuple[str, ...]:
    """What the base strategy needs, and embeddings where these are matched."""
    base = strategy_of(strategy.base_strategy)
    needed = ("proba",) if strategy.base_strategy is None else () if base is None else base.requires
    return needed if strategy.descriptor is not None else tuple(dict.fromkeys((*needed, "embeddings")))


class ThinningStrategy(QueryStrategy):
    """Candidates ranked by another strategy; a subclass says which of them stay (`_thin`)."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "base_strategy": [HasMethods("select"), callable, None],
        "descriptor": [HasMethods(["fit", "transform"]), None],
        "sampling_ratio": [Interval(Real, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = requirement(("proba", "embeddings"), _needs)

    base_strategy: QueryStrategy | Callable[..., Any] | None
    descriptor: Any
    sampling_ratio: float

    @abstractmethod
    def _thin(self, descriptors: NDArray, n_instances: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Positions of `n_instances` of the candidates, ascending, given their descriptors, best ranked first."""

    def _require(self, pool: PoolView) -> None:
        base = strategy_of(self.base_strategy)
        if base is not None:
            # In its own name.
            base._require(pool)
        super()._require(pool)

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        seed = sklearn_seed(rng)
        n = math.ceil(min(len(pool), self.sampling_ratio * n_instances))
        ranked, scores = most_uncertain(
            self.base_strategy, pool, n, rng, self.__name__, random_state=getattr(self, "random_state", None)
        )
        if n == n_instances:
            # Nothing is to be removed, so nothing need be known.
            return ranked, scores
        if self.descriptor is None:
            descriptors = pool.embeddings[ranked]
        else:
            descriptors = descriptors_of(pool, ranked, self.descriptor, seed, self.__name__)
        kept = self._thin(descriptors, n_instances, rng)
        return ranked[kept], scores[kept]


def most_uncertain(
    base_strategy: Any,
    pool: Any,
    n: int,
    rng: np.random.Generator,
    by: str,
    *,
    parameter: str = "base_strategy",
    random_state: Any = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Positions and scores of the `n` samples that `base_strategy` would query, most uncertain first.

    Parameters
    ----------
    base_strategy : QueryStrategy, query function or None
        None is the entropy of the class probabilities. A strategy is asked through its `select` (a twin function
        through its strategy's) and shares the view, so that the model runs once. Where its `random_state` is None it
        is seeded from `rng`, once in a run. A plain function is called with modAL's signature.
    pool : PoolView
    n : int in [1, len(pool)]
    rng : Generator
    by : str
        Who asks, for messages, and to find the seed again.
    parameter : str, default="base_strategy"
        What the strategy is called there.
    random_state : int, RandomState or None, default=None
        What `rng` was made from; with another one the strategy gets another seed.

    Notes
    -----
    A plain function's order need not be that of uncertainty: modAL's own takes an unsorted partition. modAL's three
    uncertainties are put in order by the class probabilities; any other function that returns scores, by these, larger
    first; otherwise the function's order stands, and the scores are its ranks, n - 1 to 0.
    """
    if base_strategy is None:
        scores = entropy(pool.proba)
        idx = top_k(scores, n, rng)
        return idx, scores[idx]
    if isinstance(base_strategy, type):
        raise TypeError(
            f"The {parameter!r} parameter of {by} must be a strategy or a query function. "
            f"Got the class {base_strategy.__name__} instead: call it."
        )
    base = strategy_of(base_strategy)
    if base is not None:
        seeded = seeded_strategy(base, pool, rng, by, parameter=parameter, random_state=random_state)
        return seeded.select(pool, pool.X, n)
    function, keywords = _unwrapped(base_strategy)
    if not callable(function):
        raise TypeError(
            f"The {parameter!r} parameter of {by} must be a strategy or a query function. "
            f"Got {shown(function)} instead."
        )
    if hasattr(function, "select"):
        return function.select(pool, pool.X, n, **keywords)
    return _ask(base_strategy, function, pool, n, f"{parameter.replace('_', ' ')} of {by}")


def seeded_strategy(
    strategy: Any, pool: Any, rng: np.random.Generator, by: str, *, parameter: str, random_state: Any
) -> Any:
    """`strategy`, or where it has no seed its twin with one from `rng`, the same in every round of a run."""
    # What a strategy remembers by its seed, such as an order, stays.
    drawn = sklearn_seed(rng)
    settings = {"base": type(strategy).__name__, "random_state": random_state}
    seed = pool.memory.recall(f"seed of {by}'s {parameter}", settings, lambda: drawn)
    if strategy.get_params(deep=False).get("random_state", 0) is None:
        return strategy.with_params({"random_state": seed})
    return strategy


def _unwrapped(strategy: Any) -> tuple[Any, dict[str, Any]]:
    """What `functools.partial` is wrapped around, and its keywords."""
    keywords: dict[str, Any] = {}
    while isinstance(strategy, functools.partial) and not strategy.args:
        keywords = {**strategy.keywords, **keywords}
        strategy = strategy.func
    return strategy, keywords


def _ask(query: Any, function: Any, pool: Any, n: int, which: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    answer = query(pool.classifier, pool.X, n_instances=n)
    # modAL 0.4.2 returns pairs (positions, scores), 0.4.1 positions.
    pair = isinstance(answer, tuple) and len(answer) == 2
    idx = np.asarray(answer[0] if pair else answer)
    valid = idx.ndim == 1 and idx.dtype.kind in "iu" and (len(idx) == 0 or (idx.min() >= 0 and idx.max() < len(pool)))
    if not valid or len(idx) != n or len(np.unique(idx)) != n:
        got = f"{len(np.unique(idx))} of them" if valid else f"{idx.dtype} of shape {idx.shape}"
        name = getattr(function, "__name__", type(function).__name__)
        raise ValueError(
            f"The {which} must return {n} unique positions in a pool of {len(pool)}. {name} returned {got}."
        )
    scores = _modal_uncertainty(function, pool, idx)
    if scores is None and pair:
        scores = _numeric(answer[1], n)
    if scores is None:
        return idx.astype(np.int64), np.arange(n, dtype=np.float64)[::-1]
    order = np.argsort(-scores, kind="stable")
    return idx[order].astype(np.int64), scores[order]


def _modal_uncertainty(function: Any, pool: Any, idx: NDArray) -> NDArray[np.float64] | None:
    """Scores of modAL's own uncertainties, which it does not return or (the margin) signs the other way."""
    if getattr(function, "__module__", None) != "modAL.uncertainty":
        return None
    p = np.sort(pool.proba[idx].astype(np.float64), axis=1)
    name = function.__name__
    if name == "uncertainty_sampling":
        return 1 - p[:, -1]
    if name == "margin_sampling":
        return p[:, -2] - p[:, -1] if p.shape[1] > 1 else np.zeros(len(p))
    return entropy(p) if name == "entropy_sampling" else None


def _numeric(scores: Any, n: int) -> NDArray[np.float64] | None:
    try:
        scores = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return scores if scores.shape == (n,) and np.isfinite(scores).all() else None
