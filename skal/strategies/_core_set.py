"""Core-set: k-centre greedy from the labelled set (Sener and Savarese, ICLR 2018)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from ..base import QueryStrategy, make_query_function
from ..pool import PoolView
from ._parts._clustering import k_center_greedy, nearest_squared_distances
from ._parts._places import place_of_both

__all__ = ["CoreSet", "core_set_sampling"]


class CoreSet(QueryStrategy):
    """The samples farthest from everything labelled or picked so far.

    Pure diversity: the batch covers the embedding space evenly, with the labelled samples as its first centres. It
    reaches for the edges of the pool, so outliers come first.

    Parameters
    ----------
    random_state : int, RandomState or None, default=None
        Breaks ties; an integer gives the same run every time.

    Notes
    -----
    With embeddings z of the pool (`PoolView.embeddings`, shape (n, d)) and the centres S, at first the labelled
    samples' embeddings (`PoolView.labeled`), each pick is

    .. math:: u = \\arg\\max_i \\min_{j \\in S} \\lVert z_i - z_j \\rVert, \\qquad S \\leftarrow S \\cup \\{u\\}

    (the paper's algorithm 1), and its score is that distance, which never increases. The minimum runs along: a pick is
    at most one matrix-vector product, and less where few samples can still be the farthest. O(n (n_labeled +
    n_instances) d) time. Memory: O(n) and blocks of 4,096 samples, which are compared in float64 whatever the
    embeddings' dtype; distances of which the squares differ by less than 1e-12 of themselves are ties.

    Without any label the mean of the pool stands for them.

    Differences from the paper: its robust version, a mixed-integer program that leaves out a share of outliers, is
    not part of this; ties are broken at random.

    References
    ----------
    O. Sener and S. Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import CoreSet
    >>> X, y = np.array([[0.0], [1.0]]), [0, 1]
    >>> clf = LogisticRegression().fit(X, y)
    >>> pool = np.array([[0.5], [2.0], [9.0], [8.0], [5.0]])
    >>> query_idx, scores = CoreSet().select(clf, pool, n_instances=2, X_training=X, y_training=y)
    >>> query_idx.tolist(), scores.tolist()
    ([2, 4], [8.0, 4.0])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"random_state": ["random_state"]}
    requires = ("embeddings", "labeled")
    order_free = True

    def __init__(self, *, random_state: int | np.random.RandomState | None = None) -> None:
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        z, centers = place_of_both(pool)
        if len(centers) == 0:
            xp = array_namespace(z)
            centers = xp.mean(z, axis=0, keepdims=True, dtype=xp.float64)
        chosen, radii = k_center_greedy(z, nearest_squared_distances(z, centers), n_instances, rng)
        return chosen, np.sqrt(radii)


core_set_sampling = make_query_function(CoreSet, "core_set_sampling")
