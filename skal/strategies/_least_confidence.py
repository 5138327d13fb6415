"""Least confidence: the oldest uncertainty of all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import make_query_function
from ..pool import PoolView
from ._parts._uncertainty import UncertaintySampling

__all__ = ["LeastConfidence", "least_confidence_sampling"]


class LeastConfidence(UncertaintySampling):
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


least_confidence_sampling = make_query_function(LeastConfidence, "least_confidence_sampling")
