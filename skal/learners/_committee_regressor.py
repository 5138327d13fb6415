"""modAL's CommitteeRegressor, on today's stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modAL.disagreement import max_std_sampling
from modAL.models import CommitteeRegressor as ModALCommitteeRegressor
from numpy.typing import NDArray
from sklearn.metrics import r2_score
from sklearn.utils import RegressorTags

from ._members import Members

__all__ = ["CommitteeRegressor"]


class CommitteeRegressor(Members, ModALCommitteeRegressor):
    """modAL's `CommitteeRegressor`: several regressors, whose spread says what to ask next.

    Parameters
    ----------
    learner_list : list of learners
        The members: `ActiveLearner` with a regressor, each with data of its own.
    query_strategy : callable, default=modAL.disagreement.max_std_sampling
        Gets the committee; the spread is ``committee.predict(X, return_std=True)[1]``.
    on_transformed, n_jobs
        As in `Committee`.

    Attributes
    ----------
    X_training, round, n_rounds, verbose, memory_limit
        As in `Committee`.

    Raises
    ------
    TypeError, ValueError
        As `Committee`.

    Notes
    -----
    Transactions, names of the members' parameters and bootstrap samples are those of `Committee`. `score`, which modAL
    lacks, is R squared, so that `cross_val_score` and `GridSearchCV` work. Strategies of skal are for classifiers.

    Memory of `vote`: (n, n_members) float64.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from skal.learners import ActiveLearner, CommitteeRegressor
    >>> X = np.linspace(-1, 1, 41)[:, None]
    >>> y = np.abs(X).ravel()
    >>> members = [ActiveLearner(GaussianProcessRegressor(), X_training=X[part], y_training=y[part])
    ...            for part in (slice(0, 20, 4), slice(21, 41, 4))]
    >>> committee = CommitteeRegressor(members)
    >>> query_idx, X_query = committee.query(X)
    >>> committee.teach(X_query, y[query_idx])
    >>> committee.predict(X, return_std=True)[1].shape
    (41,)
    """

    def __init__(
        self,
        learner_list: list[Any],
        query_strategy: Callable[..., Any] = max_std_sampling,
        on_transformed: bool = False,
        *,
        n_jobs: int | None = None,
    ) -> None:
        self._begin(learner_list, query_strategy, on_transformed, n_jobs)

    def vote(self, X: Any, **predict_kwargs: Any) -> NDArray:
        """The prediction of each member, `(n, n_members)`; keywords go to each member's `predict`."""
        return self._votes(X, predict_kwargs).astype(float, copy=False)

    def predict(self, X: Any, return_std: bool = False, **predict_kwargs: Any) -> Any:
        """The mean of the members' predictions.

        Parameters
        ----------
        X : array-like of n samples
        return_std : bool, default=False
            Whether to return the standard deviation of the predictions, too.
        **predict_kwargs
            Passed to each member's `predict`.

        Returns
        -------
        mean : ndarray of shape (n,)
        std : ndarray of shape (n,)
            Only with ``return_std=True``.
        """
        votes = self.vote(X, **predict_kwargs)
        return (votes.mean(axis=1), votes.std(axis=1)) if return_std else votes.mean(axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R squared of `predict`."""
        return r2_score(y, self.predict(X), sample_weight=sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        return tags
