"""`QueryStrategy` and `ScoringStrategy`: what every strategy is, and the query functions made from them."""

from __future__ import annotations

import copy
import difflib
import functools
import inspect
import warnings
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone

from .exceptions import ColdStartWarning, ModelNotFittedError, PoolCapabilityError, SkalError
from .pool import PoolView, view_pool
from .rows import gather
from .utils._arrays import top_k
from .utils._compat import (
    STRATEGIES_RETURN_PAIRS,
    HasMethods,
    Interval,
    StrOptions,
    param_names,
    validate_parameter_constraints,
)
from .utils._random import make_generator
from .utils._validation import check_n_instances, shown

__all__ = [
    "HasMethods",
    "Interval",
    "QueryStrategy",
    "ScoringStrategy",
    "StrOptions",
    "make_query_function",
    "requirement",
]

# Keywords of a query that are no parameters of a strategy.
_CALL = ("n_instances", "X_training", "y_training")


class requirement:
    """`requires` of a strategy whose parameters decide what it needs: of the class by default, of an object exactly.

    Parameters
    ----------
    default : tuple of str
        What the class needs with its default parameters.
    of : callable
        Gets a strategy and returns what it needs.
    """

    def __init__(self, default: tuple[str, ...], of: Callable[[Any], tuple[str, ...]]) -> None:
        self.default = default
        self.of = of

    def __get__(self, strategy: Any, owner: type | None = None) -> tuple[str, ...]:
        return self.default if strategy is None else self.of(strategy)


class QueryStrategy(BaseEstimator, ABC):
    """Base class of every strategy: hyperparameters only; the model and the pool are seen at call time.

    A subclass implements `_query` and states in `requires` all that it asks of the pool.

    Attributes
    ----------
    requires : tuple of str
        Members of `PoolView` that the strategy reads: "proba", "logits", "embeddings", "head", "linear_head",
        "labeled", "opinions", "members", "clones", "perturbed", "snapshots", "boxes"; "a|b" is either. The model is
        asked for them before anything is run; `proba`, `logits` and `embeddings` then come from one pass.
    order_free : bool
        Whether a permuted pool gives the same samples, but for ties.
    rowwise : bool
        Whether a sample's score depends on that sample alone, given the model. Such a `ScoringStrategy` sees a large
        pool block by block (see `PoolView.map_blocks`): bounded memory, on joblib's workers where the context has
        some, and the same answer as in one piece.
    one_pass : bool
        Whether the model is asked about the pool once; what `requires` several opinions of it need not say no.

    Notes
    -----
    A strategy is clonable and searchable like any scikit-learn estimator, and callable with modAL's signature. The
    template of a query is fixed: validate parameters, view the pool, check `n_instances`, check what the classifier
    supplies, seed, `_query`, check the result. An integer `random_state` is combined with the round of the loop and
    the number of labelled samples, so that successive queries differ and the whole run repeats; global generators are
    never touched.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}
    requires: ClassVar[tuple[str, ...] | requirement] = ()
    order_free: ClassVar[bool] = False
    rowwise: ClassVar[bool] = False
    one_pass: ClassVar[bool] = True

    @property
    def __name__(self) -> str:
        """Name of the class; modAL and its users read it of a query function."""
        return self.__class__.__name__  # type: ignore[return-value]

    # -- what users call ---------------------------------------------------------------------------------------

    def select(
        self,
        classifier: Any,
        X: Any,
        n_instances: int = 1,
        *,
        X_training: Any = None,
        y_training: ArrayLike | None = None,
        **overrides: Any,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Choose the samples to label next.

        Parameters
        ----------
        classifier : object
            A learner, a committee, or a fitted classifier, search or pipeline.
        X : array-like of n samples
            The pool.
        n_instances : int in [1, n], default=1
            How many samples to choose.
        X_training, y_training : array-like, optional
            The labelled data, for a bare fitted classifier (a learner brings its own).
        **overrides
            Parameters of the strategy for this call only.

        Returns
        -------
        query_idx : ndarray of shape (n_instances,), int64
            Unique positions in `X`, most informative first.
        scores : ndarray of shape (n_instances,), float64
            Their scores; larger is more informative.

        Raises
        ------
        ValueError, TypeError
            A parameter out of range, `n_instances` outside [1, n], an empty pool, NaN or infinity, a wrong number of
            features, labels that the classifier does not know.
        NotFittedError
            A bare classifier that is not fitted.
        PoolCapabilityError
            A classifier that does not supply what the strategy needs.
        """
        strategy = self.with_params(overrides) if overrides else self
        pool, rng = strategy._view(classifier, X, X_training, y_training)
        n_instances = strategy._check_n_instances(n_instances, len(pool))
        with pool.memory.unchanged_on_error():
            if pool.is_cold and not (strategy.begins and strategy._settle_cold(pool)):
                query_idx, scores = strategy._cold_start(pool, n_instances, rng)
            else:
                if not pool.is_cold:
                    strategy._check_pool(pool)
                query_idx, scores = strategy._query(pool, n_instances, rng)
            return strategy._check_result(query_idx, scores, n_instances, len(pool))

    def __call__(
        self,
        classifier: Any,
        X: Any,
        n_instances: int = 1,
        *,
        X_training: Any = None,
        y_training: ArrayLike | None = None,
        **overrides: Any,
    ) -> Any:
        """modAL's signature. Returns what the installed modAL's `query` expects of a strategy.

        Parameters
        ----------
        classifier, X, n_instances, X_training, y_training
            As in `select`.
        **overrides
            Parameters of the strategy for this call only.

        Returns
        -------
        ndarray of shape (n_instances,), or the pair (query_idx, scores) where modAL is 0.4.2 or newer
        """
        answer = self.select(classifier, X, n_instances, X_training=X_training, y_training=y_training, **overrides)
        return answer if STRATEGIES_RETURN_PAIRS else answer[0]

    def check_params(self) -> None:
        """Raise for a parameter that is none of those allowed, of a strategy within this one, too.

        Every query does so; here it is before any work.

        Raises
        ------
        ValueError
            scikit-learn's InvalidParameterError, which is a TypeError, too: it names the parameter and what it may be.

        Examples
        --------
        >>> from skal.strategies import DECERN
        >>> try:
        ...     DECERN(xi=7).check_params()
        ... except ValueError as error:
        ...     print(error)
        The 'xi' parameter of DECERN must be a float in the range [0.0, 1.0]. Got 7 instead.
        """
        params = self.get_params(deep=False)
        validate_parameter_constraints(self._parameter_constraints, params, caller_name=str(type(self).__name__))
        for value in params.values():
            if isinstance(value, QueryStrategy):
                value.check_params()

    # -- what a method implements ------------------------------------------------------------------------------

    @abstractmethod
    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        """Positions and scores of the chosen samples, most informative first."""

    @property
    def begins(self) -> bool:
        """Whether it can choose the first labels itself: it has a start of its own, or needs embeddings alone."""
        has_own = type(self)._cold_start is not QueryStrategy._cold_start
        return has_own or {*self.requires} <= {"embeddings", "labeled"}

    def _settle_cold(self, pool: PoolView) -> bool:
        """Whether there are embeddings without any label, for a strategy that has no start of its own."""
        if type(self)._cold_start is not QueryStrategy._cold_start or "embeddings" not in self.requires:
            return False
        return len(pool) > 0 and pool.settle_cold()

    def _cold_start(
        self, pool: PoolView, n_instances: int, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """What to ask of a learner that nothing has been taught yet: uniformly random samples."""
        pool.memory.recall("cold start", {}, lambda: _warn_of_cold_start(str(self.__name__)))
        return rng.choice(len(pool), size=n_instances, replace=False), np.zeros(n_instances)

    # -- the fixed template's parts ----------------------------------------------------------------------------

    def _view(self, classifier: Any, X: Any, X_training: Any, y_training: Any) -> tuple[PoolView, np.random.Generator]:
        self.check_params()
        pool = view_pool(classifier, X, X_training=X_training, y_training=y_training)
        rng = make_generator(getattr(self, "random_state", None), pool.round, pool.n_labeled)
        return pool, rng

    def _check_n_instances(self, n_instances: Any, n_pool: int) -> int:
        return check_n_instances(n_instances, n_pool)

    def _check_pool(self, pool: PoolView) -> None:
        if len(pool) == 0:
            raise ValueError("The pool must hold at least one sample. Got an empty pool.")
        try:
            pool.check_fitted()
            # Before the transformers of a pipeline are run.
            self._require(pool)
        except (ModelNotFittedError, PoolCapabilityError) as error:
            wants_labels = pool.classifier is None or getattr(error, "member", "labeled") == "labeled"
            if self.begins and pool.n_labeled == 0 and wants_labels:
                start = f"ActiveLearner(..., cold_start={self.__name__}(...))"
                error.args = (f"{error} Before there are labels, {start} chooses by it.",)
            raise
        self._check_rows(pool)

    def _check_rows(self, pool: PoolView) -> None:
        """Check shape and values of the pool."""
        pool.check()

    def _require(self, pool: PoolView) -> None:
        """Say what is wanted of the pool, before anything is run."""
        pool.require(*self.requires, by=str(self.__name__))

    def _check_result(
        self, query_idx: Any, scores: Any, n_instances: int, n_pool: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        query_idx = np.asarray(query_idx)
        if query_idx.dtype.kind not in "iu":
            raise SkalError(f"{type(self).__name__} must return positions as integers. Got {query_idx.dtype}.")
        query_idx = query_idx.astype(np.int64, copy=False)
        scores = np.asarray(scores, dtype=np.float64)
        if (
            query_idx.shape != (n_instances,)
            or scores.shape != (n_instances,)
            or len(np.unique(query_idx)) != n_instances
            or query_idx.min() < 0
            or query_idx.max() >= n_pool
            or not np.isfinite(scores).all()
        ):
            raise SkalError(
                f"{type(self).__name__} must return {n_instances} unique positions below {n_pool} with finite scores. "
                f"Got {query_idx.shape} positions and {scores.shape} scores."
            )
        return query_idx, scores

    def with_params(self, params: dict[str, Any]) -> Any:
        """A shallow twin with other parameters (nested ones by ``name__inner``); `self` and what it holds stay."""
        twin = copy.copy(self)
        valid = param_names(self)
        nested: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        for key, value in params.items():
            name, is_nested, rest = key.partition("__")
            if name not in valid:
                raise TypeError(unknown_keyword(self.__name__, key, valid, _CALL))
            if is_nested:
                nested[name][rest] = value
            else:
                setattr(twin, name, value)
        for name, rest_params in nested.items():
            inner = getattr(twin, name)
            if isinstance(inner, QueryStrategy):
                setattr(twin, name, inner.with_params(rest_params))
            elif not hasattr(inner, "get_params"):
                key = f"{name}__{next(iter(rest_params))}"
                raise TypeError(
                    f"{key!r} needs a {name!r} of {self.__name__} with parameters. Got {shown(inner)} instead."
                )
            else:
                setattr(twin, name, clone(inner).set_params(**rest_params))
        return twin


class ScoringStrategy(QueryStrategy):
    """A strategy that scores every sample of the pool; it takes the highest scores unless the method says otherwise.

    Ties are broken at random with the seeded generator.
    """

    def score_samples(
        self,
        classifier: Any,
        X: Any,
        *,
        X_training: Any = None,
        y_training: ArrayLike | None = None,
        **overrides: Any,
    ) -> NDArray[np.float64]:
        """Score every sample of the pool; larger is more informative.

        Parameters
        ----------
        classifier, X, X_training, y_training, **overrides
            As in `select`.

        Returns
        -------
        ndarray of shape (n,), float64

        Raises
        ------
        ValueError, TypeError, NotFittedError, PoolCapabilityError
            As in `select`; a learner that nothing has been taught yet is not fitted.
        """
        strategy = self.with_params(overrides) if overrides else self
        pool, rng = strategy._view(classifier, X, X_training, y_training)
        strategy._check_pool(pool)
        return strategy._checked_scores(pool, rng)

    @abstractmethod
    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[Any]:
        """Scores `(n,)` of the whole pool."""

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        scores = self._checked_scores(pool, rng)
        query_idx = top_k(scores, n_instances, rng)
        return query_idx, scores[query_idx]

    def _checked_scores(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        if self.rowwise and pool.streams(*self.requires):
            found = pool.map_blocks(functools.partial(_block_scores, self))
            return gather(((rows, {"scores": scores}) for rows, scores in found), len(pool), np.inf)["scores"]
        scores = np.asarray(self._score(pool, rng), dtype=np.float64)
        if scores.shape != (len(pool),) or not np.isfinite(scores).all():
            raise SkalError(f"{type(self).__name__} must score every sample of the pool with a finite number.")
        return scores


def _block_scores(strategy: ScoringStrategy, block: PoolView) -> NDArray[np.float64]:
    # What draws random numbers is not row-wise; these would be others for other blocks.
    return strategy._checked_scores(block, np.random.default_rng(0))


def _warn_of_cold_start(name: str) -> bool:
    warnings.warn(
        f"The learner has no labelled data yet, so {name} chooses uniformly at random.",
        ColdStartWarning,
        stacklevel=8,
    )
    return True


# What other libraries call the number of samples to choose.
_MEANT_AS_NUMBER = {
    "batch", "batch_size", "k", "n", "n_instance", "n_query", "n_queries", "n_sample", "n_samples", "num_instances",
    "query_size", "size",
}  # fmt: skip


def unknown_keyword(owner: str, key: str, valid: list[str], also: tuple[str, ...] = ()) -> str:
    """What to say of an unknown keyword, with the likely one of `valid`, or of `also`, which the call has besides."""
    close = difflib.get_close_matches(key, [name for name in (*valid, *also) if name != key], n=1)
    if key in _MEANT_AS_NUMBER and "n_instances" in also:
        close = ["n_instances"]
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{owner} has no parameter {shown(key)}.{hint} Valid parameters are {sorted(valid)}."


def make_query_function(strategy_class: type[QueryStrategy], name: str) -> Callable[..., Any]:
    """The function twin of a strategy, in modAL's style: `name(classifier, X, n_instances=1, **params)`.

    Parameters
    ----------
    strategy_class : type
        A `QueryStrategy`.
    name : str
        Name of the function, for example "decern_sampling".

    Returns
    -------
    callable
        Returns what the installed modAL expects of a query strategy. Its attribute `strategy_class` is the class, and
        its `select` answers as the class's does, with the parameters as keywords.
    """
    valid = param_names(strategy_class)

    def make(params: dict[str, Any]) -> QueryStrategy:
        unknown = [key for key in params if key.partition("__")[0] not in valid]
        if unknown:
            raise TypeError(unknown_keyword(name, unknown[0], valid, _CALL))
        nested = {key: value for key, value in params.items() if "__" in key}
        strategy = strategy_class(**{key: value for key, value in params.items() if key not in nested})
        return strategy.with_params(nested) if nested else strategy

    def query_function(
        classifier: Any,
        X: Any,
        n_instances: int = 1,
        *,
        X_training: Any = None,
        y_training: ArrayLike | None = None,
        **params: Any,
    ) -> Any:
        return make(params)(classifier, X, n_instances, X_training=X_training, y_training=y_training)

    def select(
        classifier: Any,
        X: Any,
        n_instances: int = 1,
        *,
        X_training: Any = None,
        y_training: ArrayLike | None = None,
        **params: Any,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Positions and scores, as `QueryStrategy.select`, whatever modAL is installed."""
        return make(params).select(classifier, X, n_instances, X_training=X_training, y_training=y_training)

    summary = (inspect.getdoc(strategy_class) or "").split("\n")[0]
    query_function.__name__ = query_function.__qualname__ = name
    query_function.__module__ = strategy_class.__module__
    query_function.__doc__ = f"""{summary}

    The function twin of `{strategy_class.__name__}`, in modAL's style.

    Parameters
    ----------
    classifier : object
        A learner, a committee, or a fitted classifier, search or pipeline.
    X : array-like of n samples
        The pool.
    n_instances : int in [1, n], default=1
        How many samples to choose.
    X_training, y_training : array-like, optional
        The labelled data, for a bare fitted classifier.
    **params
        Parameters of `{strategy_class.__name__}`.

    Returns
    -------
    ndarray of shape (n_instances,), int64, or the pair (query_idx, scores) where modAL is 0.4.2 or newer
    """
    query_function.select = select  # type: ignore[attr-defined]
    query_function.strategy_class = strategy_class  # type: ignore[attr-defined]
    return query_function
