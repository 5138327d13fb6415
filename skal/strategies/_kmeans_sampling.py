"""K-means sampling: one sample near each cluster's centre."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, QueryStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ._parts._clustering import nearest_to_centers

__all__ = ["KMeansSampling", "kmeans_sampling"]


class KMeansSampling(QueryStrategy):
    """The sample nearest to the centre of each of as many clusters as are asked for.

    Pure diversity: the batch stands for the pool's dense regions and asks nothing of the classifier's predictions.

    Parameters
    ----------
    n_init : int >= 1 or "auto", default="auto"
        Restarts of k-means; "auto" is scikit-learn's own choice, one.
    random_state : int, RandomState or None, default=None
        Seeds k-means and the random fill of empty clusters; an integer gives the same run every time.

    Notes
    -----
    k-means with k = `n_instances` runs on the embeddings z (`PoolView.embeddings`, shape (n, d)); from each cluster
    comes ``argmin_i ||z_i - c_k||``. The score is minus the distance from the own cluster's centre, largest first.
    Where there are fewer distinct samples than clusters, the rest of the batch is drawn at random.

    O(n k d) time for each iteration of k-means, O(n k d log k) for its first centres, and one copy of the embeddings,
    in float32 where they are and it holds their squares.

    No paper of its own: the "K-Means" baseline of batch active learning, as in the reference. The labelled samples
    are not looked at.

    References
    ----------
    F. Zhdanov, "Diverse mini-batch active learning", arXiv 1901.05954, 2019 (without its weights).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import KMeansSampling
    >>> X = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    >>> clf = LogisticRegression().fit(X, [0, 0, 0, 1, 1, 1])
    >>> query_idx, scores = KMeansSampling(random_state=0).select(clf, X, n_instances=2)
    >>> sorted(query_idx.tolist())
    [1, 4]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = ("embeddings",)

    def __init__(
        self,
        *,
        n_init: int | Literal["auto"] = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_init = n_init
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        chosen, distances = nearest_to_centers(pool.embeddings, n_instances, rng, n_init=self.n_init)
        return chosen, -distances


kmeans_sampling = make_query_function(KMeansSampling, "kmeans_sampling")
