"""Entropy sampling: the class probabilities are spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import make_query_function
from ..pool import PoolView
from ..utils._arrays import entropy
from ._parts._uncertainty import UncertaintySampling

__all__ = ["EntropySampling", "entropy_sampling"]


class EntropySampling(UncertaintySampling):
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
        return entropy(pool.proba)


entropy_sampling = make_query_function(EntropySampling, "entropy_sampling")
