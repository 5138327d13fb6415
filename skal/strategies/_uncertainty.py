"""The three classic uncertainties of a classifier's probabilities."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from ..base import ScoringStrategy, make_query_function
from ..pool import PoolView
from ..utils._arrays import blocks

__all__ = [
    "EntropySampling",
    "LeastConfidence",
    "MarginSampling",
    "entropy_sampling",
    "least_confidence_sampling",
    "margin_sampling",
]

_ROWS = 65_536  # samples worked on at once, so that a pool of a million needs no second copy of its probabilities


class _UncertaintySampling(ScoringStrategy):
    """Scores from class probabilities alone."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"random_state": ["random_state"]}
    requires = ("proba",)
    order_free = True

    def __init__(self, *, random_state: int | np.random.RandomState | None = None) -> None:
        self.random_state = random_state


class LeastConfidence(_UncertaintySampling):
    """The samples whose most probable class is least probable.

    Parameters
    ----------
    random_state : int, RandomState or None, default=None
        Breaks ties; an integer gives the same run every time.

    Notes
    -----
    The score of a sample with class probabilities p (`PoolView.proba`, shape (n, n_classes)) is 1 - max_c p_c, in
    [0, 1 - 1/n_classes]. O(n * n_classes) time beyond the forward pass.

    References
    ----------
    D. D. Lewis and W. A. Gale, "A sequential algorithm for training text classifiers", SIGIR 1994.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import LeastConfidence
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=200).fit(X, y)
    >>> query_idx, scores = LeastConfidence(random_state=0).select(clf, X, n_instances=3)
    >>> scores.round(2).tolist()
    [0.49, 0.48, 0.48]
    """

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[Any]:
        return 1 - pool.proba.max(axis=1).astype(np.float64)


class MarginSampling(_UncertaintySampling):
    """The samples whose two most probable classes are closest.

    Parameters
    ----------
    random_state : int, RandomState or None, default=None
        Breaks ties; an integer gives the same run every time.

    Notes
    -----
    The score is the negative margin -(p_(1) - p_(2)) of the two largest class probabilities (`PoolView.proba`,
    shape (n, n_classes)), in [-1, 0]; with one class known, -p_(1). The UFFM paper writes the margin itself, where
    lower is more uncertain. O(n * n_classes) time beyond the forward pass.

    References
    ----------
    T. Scheffer, C. Decomain and S. Wrobel, "Active hidden Markov models for information extraction", IDA 2001.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import MarginSampling
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=200).fit(X, y)
    >>> query_idx, scores = MarginSampling(random_state=0).select(clf, X, n_instances=3)
    >>> bool((scores <= 0).all())
    True
    """

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[Any]:
        proba = pool.proba
        if proba.shape[1] == 1:
            return -proba[:, 0]
        scores = np.empty(len(proba))
        for rows in blocks(len(proba), _ROWS):
            top_two = np.partition(proba[rows], -2, axis=1)[:, -2:].astype(np.float64)
            scores[rows] = top_two[:, 0] - top_two[:, 1]
        return scores


class EntropySampling(_UncertaintySampling):
    """The samples whose class probabilities have the highest entropy.

    Parameters
    ----------
    random_state : int, RandomState or None, default=None
        Breaks ties; an integer gives the same run every time.

    Notes
    -----
    The score is -sum_c p_c log p_c (natural logarithm, 0 log 0 = 0) of the class probabilities (`PoolView.proba`,
    shape (n, n_classes)), in [0, log n_classes]. The UFFM paper writes sum_c p_c log p_c, where lower is more
    uncertain. O(n * n_classes) time beyond the forward pass.

    References
    ----------
    C. E. Shannon, "A mathematical theory of communication", Bell System Technical Journal 27, 1948; as a query
    strategy: B. Settles, "Active learning literature survey", 2009.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import EntropySampling
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=200).fit(X, y)
    >>> query_idx, scores = EntropySampling(random_state=0).select(clf, X, n_instances=3)
    >>> bool((scores[:-1] >= scores[1:]).all())
    True
    """

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[Any]:
        proba = pool.proba
        scores = np.empty(len(proba))
        for rows in blocks(len(proba), _ROWS):
            scores[rows] = entr(proba[rows].astype(np.float64)).sum(axis=1)
        return scores


least_confidence_sampling = make_query_function(LeastConfidence, "least_confidence_sampling")
margin_sampling = make_query_function(MarginSampling, "margin_sampling")
entropy_sampling = make_query_function(EntropySampling, "entropy_sampling")
