"""modAL's BayesianOptimizer, on today's stack."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from modAL.acquisition import max_EI
from modAL.models import BayesianOptimizer as ModALBayesianOptimizer

from ..base import QueryStrategy
from ..rows import plain_labels, take_rows
from ._active_learner import ActiveLearner
from ._arguments import NOT_GIVEN, first_strategy
from ._labels import LabeledSet

__all__ = ["BayesianOptimizer"]


class BayesianOptimizer(ActiveLearner, ModALBayesianOptimizer):
    """modAL's `BayesianOptimizer`: looks for the sample of the largest value, asking for as few values as it can.

    Existing modAL scripts run unchanged; what `ActiveLearner` mends and adds is here as well.

    Parameters
    ----------
    estimator : estimator
        A regressor whose `predict` takes ``return_std=True``, such as scikit-learn's `GaussianProcessRegressor`.
    query_strategy : callable, default=modAL.acquisition.max_EI
        `max_EI`, `max_PI` or `max_UCB` of `modAL.acquisition`, a `functools.partial` of one, or a callable of your own
        with modAL's signature. Strategies of skal are for classifiers.
    X_training, y_training : array-like of n samples, and of n values, optional
        What is known already; values of shape (n,) or (n, 1).
    bootstrap_init, on_transformed, force_all_finite, random_state, cold_start
        As in `ActiveLearner`. Without any value modAL's acquisition functions are the same everywhere, so that the
        first samples are chosen by `cold_start`, at random by default.
    **fit_kwargs
        Passed to the estimator's `fit` when it is fitted at construction.

    Attributes
    ----------
    X_max : sample or None
        That of the largest value known; None while there is none.
    y_max : float or ndarray of shape (1,)
        The largest value known, as it came in; minus infinity while there is none.
    X_training, y_training, round, n_rounds, verbose, memory_limit
        As in `ActiveLearner`.

    Raises
    ------
    ValueError
        Several values for each sample.

    Notes
    -----
    Differences from modAL: `X_max` and `y_max` are those of the data held, so that `fit`, `undo` and `relabel` change
    them, too; modAL's keep what `fit` has made it forget. Time of either: O(n).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from skal.learners import BayesianOptimizer
    >>> X = np.linspace(0, 20, 201)[:, None]
    >>> y = np.sin(X) / 2 - (10 - X) ** 2 / 50 + 2
    >>> optimizer = BayesianOptimizer(GaussianProcessRegressor(), X_training=X[:1], y_training=y[:1])
    >>> for _ in range(10):
    ...     query_idx, X_query = optimizer.query(X)
    ...     optimizer.teach(X_query, y[query_idx])
    >>> bool(optimizer.y_max > 2)
    True
    """

    _told: tuple[Any, Any]

    def __init__(
        self,
        estimator: Any,
        query_strategy: Callable[..., Any] = max_EI,
        X_training: Any = None,
        y_training: Any = None,
        bootstrap_init: bool = False,
        on_transformed: bool = False,
        force_all_finite: bool = True,
        random_state: int | np.random.RandomState | None = None,
        *,
        cold_start: Any = NOT_GIVEN,
        **fit_kwargs: Any,
    ) -> None:
        super().__init__(
            estimator,
            query_strategy,
            X_training,
            y_training,
            bootstrap_init=bootstrap_init,
            on_transformed=on_transformed,
            force_all_finite=force_all_finite,
            random_state=random_state,
            cold_start=cold_start,
            **fit_kwargs,
        )

    @property
    def X_max(self) -> Any:
        return self.get_max()[0]

    @property
    def y_max(self) -> Any:
        return self.get_max()[1]

    def get_max(self) -> tuple[Any, Any]:
        """The sample of the largest value known, and the value: `X_max` and `y_max`."""
        if self.y_training is not None:
            values = np.asarray(plain_labels(self.y_training))
            at = int(values.argmax())
            if values[at] >= self._told[1]:
                return take_rows(self.X_training, at), values[at]
        return self._told

    def _set_max(self, X: Any, y: Any) -> None:
        """Values that are known, and not to be learned from; modAL's own, for those who call it."""
        values = np.asarray(plain_labels(y))
        at = int(values.argmax())
        if values[at] > self.y_max:
            self._told = take_rows(X, at), values[at]

    def _begin_with(self, labels: LabeledSet) -> None:
        super()._begin_with(labels)
        self._told = (None, -np.inf)

    def _checked(self, X: Any, y: Any) -> LabeledSet:
        found = super()._checked(X, y)
        shape = np.shape(plain_labels(found.y))
        if len(shape) > 1 and shape[1:] != (1,):
            raise ValueError(
                f"y must hold one value for each sample of BayesianOptimizer. Got values of shape {shape}."
            )
        return found

    def _first_strategy(self) -> QueryStrategy | None:
        first = super()._first_strategy()
        if first is None and not self.__sklearn_is_fitted__():
            strategy: Any = self.query_strategy
            named = strategy.func if isinstance(strategy, functools.partial) else strategy
            if getattr(named, "__module__", None) == "modAL.acquisition":
                return first_strategy("random", self.random_state)
        return first
