"""TypiClust: the most typical sample of each cluster without a label (Hacohen et al., ICML 2022)."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, QueryStrategy, make_query_function
from ..pool import PoolView
from ..utils._arrays import l2_normalize, squares_dtype
from ._parts._clustering import fit_kmeans, random_argmax
from ._parts._neighbors import nearest_neighbors

__all__ = ["TypiClust", "typiclust_sampling"]

_MANY_CLUSTERS = 50  # above this, mini-batches of ...
_BATCH = 5000  # ... so many samples
_EPS = 1e-5  # so that duplicates have a finite typicality


class TypiClust(QueryStrategy):
    """The most typical sample of each of the largest clusters in which nothing is labelled yet.

    Made for the smallest budgets, where uncertainty is noise: typical samples from dense regions, spread by
    clustering. The embeddings should mean something without many labels, such as those of a pretrained network.

    Parameters
    ----------
    n_neighbors : int >= 1, default=20
        Neighbours over which typicality is measured; in a small cluster half of its samples.
    max_clusters : int >= 1, default=500
        Upper bound of the number of clusters.
    min_cluster_size : int >= 0, default=5
        Clusters of so many samples or fewer are left out while there are others.
    normalize : bool, default=True
        Whether embeddings are scaled to length 1 first, as in the authors' code.
    random_state : int, RandomState or None, default=None
        Seeds k-means and breaks ties; an integer gives the same run every time.

    Notes
    -----
    The embeddings of the pool (`PoolView.embeddings`, shape (n, d)) and of the labelled samples (`PoolView.labeled`)
    are clustered together into min(n_labeled + n_instances, `max_clusters`) clusters, by k-means up to 50 clusters
    and by mini-batch k-means above. Again and again the cluster with the fewest labelled or picked samples, of these
    the largest, gives its sample of highest typicality, which is the score:

    .. math:: \\mathrm{Typicality}(z) = \\Big(\\frac1K \\sum_{z' \\in NN_K(z)} \\lVert z - z' \\rVert\\Big)^{-1}

    with the K nearest of the cluster's samples that are neither labelled nor picked. The order is that of picking;
    scores of different clusters need not decrease. A cluster's only sample has typicality 0. Neighbours are searched
    in blocks: O(sum over the clusters looked at of size^2 d) time after k-means, which takes most of it, and two copies
    of the embeddings. float32 embeddings are worked on as they are.

    From the authors' code: normalisation, 1e-5 added to the mean distance, K at most half of the cluster. Theirs
    averages squared distances; this is the paper's formula. Ours: clusters are ranked again after each pick, and
    small ones are used when nothing else is left.

    References
    ----------
    G. Hacohen, A. Dekel and D. Weinshall, "Active learning on a budget: opposite strategies suit high and low
    budgets", ICML 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import TypiClust
    >>> rng = np.random.default_rng(0)
    >>> blobs = [rng.normal(center, 0.1, size=(20, 2)) for center in ([0, 1], [1, 0], [-1, 0])]
    >>> pool = np.vstack(blobs)
    >>> X, y = np.array([[0.0, 1.0], [1.0, 0.0]]), [0, 1]
    >>> clf = LogisticRegression().fit(X, y)
    >>> query_idx, _ = TypiClust(random_state=0).select(clf, pool, X_training=X, y_training=y)
    >>> bool(query_idx[0] >= 40)  # the blob without a label
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "max_clusters": [Interval(Integral, 1, None, closed="left")],
        "min_cluster_size": [Interval(Integral, 0, None, closed="left")],
        "normalize": ["boolean"],
        "random_state": ["random_state"],
    }
    requires = ("embeddings", "labeled")

    def __init__(
        self,
        *,
        n_neighbors: int = 20,
        max_clusters: int = 500,
        min_cluster_size: int = 5,
        normalize: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.max_clusters = max_clusters
        self.min_cluster_size = min_cluster_size
        self.normalize = normalize
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        labeled = pool.labeled.embeddings  # type: ignore[union-attr]
        z = np.concatenate([labeled, pool.embeddings])
        z = z.astype(squares_dtype(z), copy=False)
        if self.normalize:
            l2_normalize(z, out=z)
        n_clusters = min(len(labeled) + n_instances, self.max_clusters)
        labels, _ = fit_kmeans(z, n_clusters, rng, batch_size=_BATCH if n_clusters > _MANY_CLUSTERS else None)
        return self._pick(z[len(labeled) :], labels[len(labeled) :], labels[: len(labeled)], n_instances, rng)

    def _pick(
        self, z: NDArray, labels: NDArray, of_labeled: NDArray, n_instances: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Positions in `z` and their typicality, given the clusters of the pool and of the labelled samples."""
        n_clusters = max(labels.max(initial=0), of_labeled.max(initial=0)) + 1
        left = np.bincount(labels, minlength=n_clusters)
        covered = np.bincount(of_labeled, minlength=n_clusters)
        sizes = left + covered
        is_small = sizes <= self.min_cluster_size
        labels = labels.copy()
        chosen, scores = np.empty(n_instances, dtype=np.int64), np.empty(n_instances)
        for step in range(n_instances):
            # By the last key first; a cluster with nothing left comes after all others.
            cluster = np.lexsort((-sizes, covered, is_small, left == 0))[0]
            members = np.flatnonzero(labels == cluster)
            values = typicality(z[members], self.n_neighbors)
            best = random_argmax(values, rng)
            chosen[step], scores[step] = members[best], values[best]
            labels[members[best]] = -1
            left[cluster] -= 1
            covered[cluster] += 1
        return chosen, scores


def typicality(z: NDArray, n_neighbors: int) -> NDArray[np.float64]:
    """Inverse mean distance from the nearest neighbours, at most half of the rows, `(len(z),)`; 0 of a single row."""
    if len(z) == 1:
        return np.zeros(1)
    k = max(1, min(n_neighbors, len(z) // 2))
    return 1 / (nearest_neighbors(z, k).distances.mean(axis=1, dtype=np.float64) + _EPS)


typiclust_sampling = make_query_function(TypiClust, "typiclust_sampling")
