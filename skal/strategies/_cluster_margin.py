"""ClusterMargin: small margins from many clusters (Citovsky et al., NeurIPS 2021)."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering

from ..base import Interval, QueryStrategy, make_query_function
from ..pool import PoolView
from ..rows import row_keys
from ..utils._arrays import top_k
from ._parts._clustering import fit_kmeans
from ._parts._uncertainty import margins

__all__ = ["ClusterMargin", "cluster_margin_sampling"]

_MOST_LINKED = 4096  # samples clustered by average linkage, whose distances then take 64 MB
_BATCH = 5000  # of mini-batch k-means


class ClusterMargin(QueryStrategy):
    """The samples of smallest margin, from as many clusters as possible, the smallest clusters first.

    The pool is clustered once in a run; after that a query costs hardly more than margin sampling. Made for large
    batches, in which the smallest margins alone are often those of samples that are alike.

    Parameters
    ----------
    candidate_factor : float >= 1, default=10
        So many times `n_instances` samples of smallest margin are candidates; all of the pool, where it has fewer. 1 is
        margin sampling in another order.
    n_clusters : int >= 1 or None, default=None
        Clusters of the pool, at most as many as there are samples; None: as many as `n_instances` of the query in which
        they are made.
    random_state : int, RandomState or None, default=None
        Seeds mini-batch k-means and breaks ties; an integer gives the same run every time.

    Notes ----- Candidates are the samples with the smallest difference between their two largest probabilities
    (`PoolView.proba`, shape (n, n_classes)). The clusters that they lie in are visited in turn, again and again, from
    the one with the fewest candidates to the one with the most, and each gives, of its candidates that are left, the
    one of smallest margin. The score is the negative margin; the order is that of picking.

    The embeddings (`PoolView.embeddings`, shape (n, d)) of the whole pool are clustered by average linkage where there
    are up to 4,096 samples, and by mini-batch k-means where there are more. That is done in the first query, and kept
    in `PoolView.memory` for the run: samples are found again by their content, and clusters are made anew when one is
    not known, or `n_clusters` is another. A bare classifier keeps nothing, and its pool is clustered in each query.

    Time: once O(n^2 d) for up to 4,096 samples, above that the k-means; in each query O(n n_classes) and a hash of each
    sample. Memory: once 64 MB or two copies of the embeddings; 16 bytes for each sample are kept.

    Differences from the paper: average linkage stops at a number of clusters and not at a distance, and large pools are
    clustered by k-means. The paper takes any sample of a cluster; this takes that of smallest margin.

    References
    ----------
    G. Citovsky, G. DeSalvo, C. Gentile, L. Karydas, A. Rajagopalan, A. Rostamizadeh and S. Kumar, "Batch active
    learning at scale", NeurIPS 2021, arXiv 2107.14263.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import ClusterMargin
    >>> X, y = load_digits(return_X_y=True)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=1000), ClusterMargin(random_state=0), X[:50], y[:50])
    >>> query_idx, X_query = learner.query(X[50:], n_instances=10)
    >>> len(set(query_idx.tolist()))
    10
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "candidate_factor": [Interval(Real, 1, None, closed="left")],
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }
    requires = ("proba", "embeddings")

    def __init__(
        self,
        *,
        candidate_factor: float = 10,
        n_clusters: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.candidate_factor = candidate_factor
        self.n_clusters = n_clusters
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        n_clusters = n_instances if self.n_clusters is None else self.n_clusters
        scores = -margins(pool.proba)
        keys = _numbers(row_keys(pool.X))

        def make() -> _Clusters:
            whole = pool.whole
            return _Clusters(whole, keys if whole is pool else _numbers(row_keys(whole.X)), n_clusters, rng)

        clusters = pool.memory.recall(
            str(self.__name__), {"n_clusters": self.n_clusters}, make, serves=lambda known: known.knows(keys)
        )
        ranked = top_k(scores, math.ceil(min(len(pool), self.candidate_factor * n_instances)), rng)
        chosen = ranked[in_turn(clusters.of(keys[ranked]))[:n_instances]]
        return chosen, scores[chosen]


class _Clusters:
    """The cluster of each sample that there was, by its key."""

    def __init__(self, whole: PoolView, keys: NDArray[np.uint64], n_clusters: int, rng: np.random.Generator) -> None:
        labels = cluster(np.asarray(whole.embeddings), min(n_clusters, len(whole)), rng)
        self._keys, first = np.unique(keys, return_index=True)
        self._labels = labels[first]

    def knows(self, keys: NDArray[np.uint64]) -> bool:
        return bool(np.isin(keys, self._keys).all())

    def of(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        return self._labels[np.searchsorted(self._keys, keys)]


def cluster(z: NDArray, n_clusters: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Cluster of each row: by average linkage, or of many rows by mini-batch k-means."""
    if n_clusters == 1:
        return np.zeros(len(z), dtype=np.int64)
    if len(z) > _MOST_LINKED:
        return fit_kmeans(z, n_clusters, rng, batch_size=_BATCH)[0]
    return AgglomerativeClustering(n_clusters, linkage="average").fit_predict(z.astype(np.float64)).astype(np.int64)


def in_turn(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """All positions, cluster by cluster in turn, the smallest cluster first (of equals the one that comes first), and
    within a cluster in their order."""
    _, first, of, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(of, kind="stable")
    turn = np.empty(len(labels), dtype=np.int64)
    turn[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.lexsort((first[of], sizes[of], turn))


def _numbers(keys: list[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(key[:8] for key in keys), dtype=np.uint64)


cluster_margin_sampling = make_query_function(ClusterMargin, "cluster_margin_sampling")
