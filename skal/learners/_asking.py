"""The query of a learner or a committee: one call of the strategy, whatever it returns, and nothing changed where it
fails."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ..base import QueryStrategy
from ..pool import Memory
from ..rows import flat_numeric, take_rows
from ..utils._compat import STRATEGIES_RETURN_PAIRS
from ..utils._validation import kind_of
from ._transaction import LARGEST_IN_QUERY, unchanged_on_error

__all__ = ["Asking", "side_by_side", "without_data"]


class Asking:
    """What learners and committees have in common: the query, its memory, and the count of answered queries."""

    n_rounds: int | None = None
    verbose: bool = False
    memory_limit: int = 4 << 30
    query_strategy: Any
    on_transformed: bool

    def query(self, X_pool: Any, *query_args: Any, return_metrics: bool = False, **query_kwargs: Any) -> Any:
        """Ask the strategy which samples of the pool to label next.

        Parameters
        ----------
        X_pool : array-like of n samples
            The pool.
        *query_args, **query_kwargs
            Passed to the strategy: `n_instances`, and parameters for this call only.
        return_metrics : bool, default=False
            Whether to return the scores, too.

        Returns
        -------
        query_idx : ndarray of shape (n_instances,)
            Positions in `X_pool` (whatever a foreign strategy returns).
        instances : array-like
            ``X_pool[query_idx]``, by position, in the container of `X_pool`.
        scores : ndarray of shape (n_instances,)
            Only with ``return_metrics=True``; None, with a warning, where a foreign strategy gives none.
        """
        with unchanged_on_error(self, largest=LARGEST_IN_QUERY, leave=self._data()):
            result = self._ask(X_pool, query_args, query_kwargs)
            if len(result) == 3:
                query_idx, instances, scores = result
            else:
                query_idx, scores = result
                instances = take_rows(X_pool, query_idx)
            self._has_query = True
        if not return_metrics:
            return query_idx, instances
        if scores is None:
            warnings.warn("The selected query strategy doesn't support return_metrics", stacklevel=2)
        return query_idx, instances, scores

    def _ask(self, X_pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The strategy's answer, (indices, scores) or (indices, instances, scores); one call, whatever comes back."""
        strategy: Any = self.query_strategy
        if isinstance(strategy, functools.partial) and not strategy.args and hasattr(strategy.func, "select"):
            strategy, kwargs = strategy.func, {**strategy.keywords, **kwargs}
        first = self._first_strategy()
        if first is not None:
            given = {**getattr(strategy, "keywords", {}), **kwargs}
            n_instances = args[0] if args else given.pop("n_instances", 1)
            if hasattr(strategy, "with_params"):
                strategy.with_params(given)  # whose errors are the same with labels and without
            return first.select(self, X_pool, n_instances)
        if hasattr(strategy, "select"):
            return strategy.select(self, X_pool, *args, **kwargs)
        learner, X_pool = self._for_modal(strategy, X_pool)
        answer = strategy(learner, X_pool, *args, **kwargs)
        if not isinstance(answer, tuple) or len(answer) != 2:
            return answer, None
        if STRATEGIES_RETURN_PAIRS:
            return answer
        warnings.warn(
            "Query strategies should no longer return the selected instances, this is now handled by the query "
            "method. Please return only the indices of the selected instances.",
            DeprecationWarning,
            stacklevel=3,
        )
        return (*answer, None)

    def _first_strategy(self) -> QueryStrategy | None:
        """Who chooses in place of the strategy, while there are no labels."""
        return None

    def _for_modal(self, strategy: Any, X_pool: Any) -> tuple[Any, Any]:
        """What a strategy that is not skal's is called with: the learner and the pool, as modAL's strategies need them.

        modAL's ranked batch measures distances on whatever the samples are, and reshapes and indexes it as an array:
        of other containers it is given the numbers to measure on, while the estimator gets the samples as they are. A
        learner that keeps no data has none labelled.
        """
        named = strategy.func if isinstance(strategy, functools.partial) else strategy
        keeps_data = hasattr(self, "X_training")
        if getattr(named, "__module__", None) != "modAL.batch" or (_is_matrix(X_pool) and keeps_data):
            return self, X_pool
        on_transformed, transform = self.on_transformed, self.transform_without_estimating

        def numbers_of(X: Any) -> Any:
            return _numbers_of(transform(X) if on_transformed else X)

        labeled = getattr(self, "X_training", None)
        twin: Any = copy.copy(self)
        twin.on_transformed = True
        twin.X_training = known = None if labeled is None else numbers_of(labeled)
        vars(twin)["transform_without_estimating"] = lambda X: known if X is known else numbers_of(X)
        return twin, X_pool

    def transform_without_estimating(self, X: Any) -> Any:
        raise NotImplementedError

    def _start_anew(self) -> None:
        """Forget rounds and what strategies keep."""
        self.memory = Memory()
        self.round = 0
        self._has_query = False

    def _answered(self) -> None:
        """What was taught answers the query that was open."""
        self.round += self._has_query
        self._has_query = False

    def _data(self) -> Iterable[Any]:
        """The labelled data, which are the user's, and never written to."""
        return ()

    def _unchanged_on_error(self) -> AbstractContextManager[None]:
        """All or nothing, in what may train."""
        return unchanged_on_error(self, leave=self._data())


def without_data(learner: Any) -> Any:
    """A shallow twin to be shown, since the labelled data would fill the screen."""
    twin = copy.copy(learner)
    if hasattr(twin, "X_training"):
        twin.X_training = twin.y_training = None
    return twin


def side_by_side(blocks: list[Any]) -> Any:
    """Transformed samples of several pipelines in one matrix, which modAL's batch strategies index and reshape."""
    if any(sp.issparse(block) for block in blocks):
        return sp.hstack(blocks, format="csr")
    # A frame is neither indexed by position nor reshaped.
    return np.hstack([block.to_numpy() if isinstance(block, pd.DataFrame) else block for block in blocks])


def _is_matrix(X: Any) -> bool:
    return isinstance(X, np.ndarray) or sp.issparse(X)


def _numbers_of(X: Any) -> Any:
    """Samples as a matrix, to measure distances on."""
    numbers = X if _is_matrix(X) else flat_numeric(X)
    if numbers is None:
        raise TypeError(
            "modAL's ranked batch sampling measures distances between numbers, and the samples hold others "
            f"({kind_of(X)}): pass on_transformed=True with a Pipeline whose transformers make numbers of them."
        )
    return numbers
