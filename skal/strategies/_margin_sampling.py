"""Margin sampling: the two most probable classes are close."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import make_query_function
from ..pool import PoolView
from ._parts._uncertainty import UncertaintySampling, margins

__all__ = ["MarginSampling", "margin_sampling"]


class MarginSampling(UncertaintySampling):
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
        return -margins(pool.proba)


margin_sampling = make_query_function(MarginSampling, "margin_sampling")
