"""Clustering the most uncertain samples, after Patra and Bruzzone: the UFFM paper's baseline for its resampling."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from ..base import Interval, QueryStrategy, make_query_function
from ..utils._arrays import l2_normalize
from ..utils._random import sklearn_seed
from ._parts._thinning import ThinningStrategy

__all__ = ["PatraBruzzone", "patra_bruzzone_sampling"]


class PatraBruzzone(ThinningStrategy):
    """The most uncertain sample of each cluster of the samples another strategy ranks highest.

    The same candidates and descriptors as `UFFM`, thinned out by k-means++ instead of feature matching: made to be
    compared with it.

    Parameters
    ----------
    base_strategy : QueryStrategy, query function or None, default=None
        What ranks the pool, as in `UFFM`; None is the entropy of the class probabilities.
    descriptor : transformer or None, default=None
        What is clustered, as in `UFFM`; None is the classifier's own embeddings.
    sampling_ratio : float >= 1, default=1.2
        Candidates ranked for each sample wanted; 1 is the base strategy alone.
    n_init : int >= 1, default=10
        Runs of k-means, of which the best counts.
    random_state : int, RandomState or None, default=None
        Seeds k-means, and what `UFFM` seeds. An integer gives the same run every time.

    Notes
    -----
    With T' = `n_instances`, the unit descriptors of the base strategy's T'' = min(ceil(SR T'), n) most informative
    samples are clustered into T' clusters by k-means with k-means++ starts; the best ranked of each cluster is
    queried. Where clusters come out empty (repeated descriptors), the best ranked of the rest fill up. The answer is
    in the base strategy's order, with its scores. Time O(T'' T' d) for each iteration, memory O(T'' d).

    Differences: the reference clusters in a kernel space; the UFFM paper replaces this by k-means++ "multiple times",
    and does not say which member of a cluster is taken. Here it is the most uncertain one.

    References
    ----------
    S. Patra, L. Bruzzone, "A cluster-assumption based batch mode active learning technique", Pattern Recognition
    Letters 33, 2012. As a baseline: W. Huang et al., "Unsupervised fusion feature matching for data bias in
    uncertainty active learning", IEEE Transactions on Neural Networks and Learning Systems, 2024, section IV-C.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import PatraBruzzone
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X[:50], y[:50])
    >>> query_idx, scores = PatraBruzzone(sampling_ratio=2, random_state=0).select(clf, X[50:], n_instances=10)
    >>> len(query_idx), bool((scores[:-1] >= scores[1:]).all())
    (10, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ThinningStrategy._parameter_constraints,
        "n_init": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        base_strategy: QueryStrategy | Callable[..., Any] | None = None,
        *,
        descriptor: Any = None,
        sampling_ratio: float = 1.2,
        n_init: int = 10,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.base_strategy = base_strategy
        self.descriptor = descriptor
        self.sampling_ratio = sampling_ratio
        self.n_init = n_init
        self.random_state = random_state

    def _thin(self, descriptors: NDArray, n_instances: int, rng: np.random.Generator) -> NDArray[np.int64]:
        kmeans = KMeans(n_instances, init="k-means++", n_init=self.n_init, random_state=sklearn_seed(rng))
        with warnings.catch_warnings():
            # Fewer distinct descriptors than clusters: the empty clusters are filled below.
            warnings.simplefilter("ignore", ConvergenceWarning)
            labels = kmeans.fit_predict(l2_normalize(descriptors))
        return first_of_each(labels, n_instances)


def first_of_each(labels: NDArray, n: int) -> NDArray[np.int64]:
    """Positions of the first member of each cluster, filled up to `n` with the first of the rest, ascending."""
    first = np.unique(labels, return_index=True)[1]
    rest = np.setdiff1d(np.arange(len(labels)), first)
    return np.sort(np.concatenate([first, rest[: n - len(first)]])).astype(np.int64)


patra_bruzzone_sampling = make_query_function(PatraBruzzone, "patra_bruzzone_sampling")
