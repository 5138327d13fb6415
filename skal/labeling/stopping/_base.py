"""`StoppingCriterion`: asked once a round whether more labels are worth it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from ...pool import PoolView, view_pool
from ...rows import n_rows, plain_labels
from ...utils._compat import validate_parameter_constraints

__all__ = ["StoppingCriterion", "StoppingReport"]


class StoppingReport(NamedTuple):
    """What a `StoppingCriterion` says after a round; true where it says stop.

    Attributes
    ----------
    stop : bool
        Whether to stop.
    value : float
        What the criterion has measured; NaN where it could not.
    reason : str
        Why, in one sentence.
    """

    stop: bool
    value: float
    reason: str

    def __bool__(self) -> bool:
        return self.stop


class StoppingCriterion(BaseEstimator, ABC):
    """Base class of the criteria: parameters, and what `update` has seen of earlier rounds.

    A subclass implements `_judge`. What it remembers are attributes with a trailing underscore, set anew and never
    changed in place, and only after all that can fail: `clone` drops them, `pickle` keeps them, and a failed `update`
    leaves them as they were.

    Attributes
    ----------
    requires : tuple of str
        Members of `skal.pool.PoolView` that the criterion reads.
    compares_rounds : bool
        Whether successive models are compared. An `update` without a label more than at the last one then gives the
        last report again, since a model that was not taught agrees with itself.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}
    requires: ClassVar[tuple[str, ...]] = ()
    compares_rounds: ClassVar[bool] = False
    n_labeled_: int
    report_: StoppingReport

    def update(self, learner: Any, X_pool: Any, *, X_eval: Any = None, y_eval: Any = None) -> StoppingReport:
        """Look at the learner after a round.

        Parameters
        ----------
        learner : object
            A learner, a committee, or a fitted classifier, search or pipeline. It is left as it is.
        X_pool : array-like of n samples
            What is not labelled yet, in any container that a learner takes.
        X_eval, y_eval : array-like, optional
            Labelled samples that the learner was not taught, for criteria that measure scores.

        Returns
        -------
        StoppingReport
            ``stop=False`` while the learner is not trained or knows a single class, and ``stop=True`` once the pool is
            empty; such rounds are not remembered.

        Raises
        ------
        ValueError, TypeError
            A parameter out of range; a pool of another shape than the labelled data, or with NaN or infinity; `X_eval`
            without `y_eval`, or of another length.
        PoolCapabilityError
            A classifier that does not supply what the criterion needs.
        """
        name = type(self).__name__
        self._check_params()
        if (X_eval is None) != (y_eval is None):
            raise ValueError(f"X_eval and y_eval of {name} must be given together or not at all. Got one of them.")
        if X_eval is not None and (n_rows(X_eval) != n_rows(y_eval) or n_rows(X_eval) == 0):
            raise ValueError(
                f"X_eval and y_eval of {name} must hold the same number of samples, at least one. "
                f"Got {n_rows(X_eval)} and {n_rows(y_eval)}."
            )
        pool = view_pool(learner, X_pool)
        if len(pool) == 0:
            return StoppingReport(True, np.nan, "The pool is empty: there is nothing left to label.")
        if not pool.is_fitted:
            return StoppingReport(False, np.nan, f"{pool.model_name} has not been trained yet.")
        if _knows_one_class(pool):
            return StoppingReport(False, np.nan, f"{pool.model_name} has seen one class only.")
        pool.require(*self.requires, by=name)
        pool.check()
        if self.compares_rounds and 0 < pool.n_labeled == getattr(self, "n_labeled_", 0):
            return self.report_
        report = self._judge(pool, X_eval, y_eval)
        if self.compares_rounds:
            self.n_labeled_, self.report_ = pool.n_labeled, report
        return report

    def _check_params(self) -> None:
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(deep=False), caller_name=type(self).__name__
        )

    @abstractmethod
    def _judge(self, pool: PoolView, X_eval: Any, y_eval: Any) -> StoppingReport:
        """The report on a trained learner and a pool that is not empty."""


def _knows_one_class(pool: PoolView) -> bool:
    """Such a model is sure of everything, and never changes its mind."""
    known = getattr(pool.model.estimator, "classes_", None) if pool.labeled is None else pool.labeled.y
    if known is None:
        return False
    labels = np.asarray(plain_labels(known), dtype=object)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    # Several labels for each sample, and targets of a detector, are no classes.
    if labels.ndim != 1 or len(labels) == 0 or isinstance(labels[0], (dict, list, np.ndarray)):
        return False
    return all(label == labels[0] for label in labels.tolist())
