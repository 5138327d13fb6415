"""ProbCover: the balls of one radius that cover most of the pool (Yehuda et al., NeurIPS 2022)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin_min

from ..base import Interval, QueryStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..utils._arrays import blocks, l2_normalize
from ..utils._clustering import fit_kmeans, random_argmax, squared_distances

__all__ = ["ProbCover", "prob_cover_sampling"]

_BLOCK = 4_000_000  # pairs of samples worked on at once
_PURITY_SAMPLES = 10_000  # balls from which the purity of a radius is estimated


class ProbCover(QueryStrategy):
    """The samples whose balls of radius delta cover most samples that no labelled sample covers yet.

    Made for the smallest budgets: it takes the densest uncovered regions first, where CoreSet takes the outliers. The
    embeddings should mean something without many labels, such as those of a pretrained network.

    Parameters
    ----------
    delta : float > 0 or "auto", default="auto"
        Radius of the balls, in units of the (normalised) embeddings. "auto" takes the largest radius of which a share
        `purity` of the balls is pure.
    purity : float in (0, 1], default=0.95
        The paper's alpha; used with ``delta="auto"`` only.
    n_clusters : int >= 2 or None, default=None
        Clusters that stand for the classes in the purity; None is the number of classes (at least 2), or `n_instances`
        where nothing is labelled and classes are not known yet. Used with ``delta="auto"`` only.
    normalize : bool, default=True
        Whether embeddings are scaled to length 1 first, as in the authors' code.
    random_state : int, RandomState or None, default=None
        Seeds k-means, draws the balls of the purity, breaks ties; an integer gives the same run every time.

    Notes
    -----
    Sample i covers j where ``||z_i - z_j|| < delta`` (z: `PoolView.embeddings`, shape (n, d)). What a labelled sample
    (`PoolView.labeled`) covers is covered from the start. Each pick covers the largest number of samples not covered
    before (the paper's algorithm 1); the score is that number, which never increases. Once all is covered the rest of
    the batch is drawn uniformly.

    A ball is pure where all its samples share their cluster of k-means. With r_i the distance of sample i from the
    nearest sample of another cluster, its ball is pure exactly for delta <= r_i, so the largest radius with enough
    pure balls is a quantile of r; no grid of radii is tried. Above 10,000 samples the quantile is that of 10,000
    samples drawn at random, each still compared with the whole pool.

    No graph is kept: how many uncovered samples each sample covers is counted once, in blocks, and a newly covered
    sample is subtracted from those that cover it. O(n^2 d) time, O(n) memory beside two copies of the embeddings.

    Differences from the paper: ties, and the rest once all is covered, at random; the purity is measured on the pool
    at each query, where the paper sets delta once for a data set. Clusters and radius are not kept between queries:
    pass `delta` to hold it fixed.

    References
    ----------
    O. Yehuda, A. Dekel, G. Hacohen and D. Weinshall, "Active learning through a covering lens", NeurIPS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import ProbCover
    >>> X, y = np.array([[0.0], [9.0]]), [0, 1]
    >>> clf = LogisticRegression().fit(X, y)
    >>> pool = np.array([[0.5], [4.0], [5.0], [6.0], [20.0]])
    >>> strategy = ProbCover(delta=1.5, normalize=False)
    >>> query_idx, scores = strategy.select(clf, pool, n_instances=2, X_training=X, y_training=y)
    >>> query_idx.tolist(), scores.tolist()
    ([2, 4], [3.0, 1.0])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "delta": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "purity": [Interval(Real, 0, 1, closed="right")],
        "n_clusters": [None, Interval(Integral, 2, None, closed="left")],
        "normalize": ["boolean"],
        "random_state": ["random_state"],
    }
    requires = ("embeddings", "labeled")

    def __init__(
        self,
        *,
        delta: float | Literal["auto"] = "auto",
        purity: float = 0.95,
        n_clusters: int | None = None,
        normalize: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.delta = delta
        self.purity = purity
        self.n_clusters = n_clusters
        self.normalize = normalize
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        z = np.asarray(pool.embeddings, dtype=np.float64)
        labeled = np.asarray(pool.labeled.embeddings, dtype=np.float64)  # type: ignore[union-attr]
        if self.normalize:
            z, labeled = l2_normalize(z), l2_normalize(labeled)
        if self.delta == "auto":
            n_classes = n_instances if pool.is_cold else len(pool.classes)
            n_clusters = max(2, n_classes) if self.n_clusters is None else self.n_clusters
            labels, _ = fit_kmeans(z, min(n_clusters, len(z)), rng)
            delta = purity_radius(z, labels, self.purity, rng)
        else:
            delta = float(self.delta)
        uncovered = np.ones(len(z), dtype=bool)
        if len(labeled):
            uncovered = pairwise_distances_argmin_min(z, labeled)[1] >= delta
        return cover_greedy(z, uncovered, delta, n_instances, rng)


def purity_radius(z: NDArray, labels: NDArray, purity: float, rng: np.random.Generator) -> float:
    """The largest radius of which a share `purity` of the open balls holds one label only; may be infinite."""
    n = len(z)
    of = np.arange(n) if n <= _PURITY_SAMPLES else rng.choice(n, size=_PURITY_SAMPLES, replace=False)
    sq_norms = np.einsum("ij,ij->i", z, z)
    radii = np.empty(len(of))
    for rows in blocks(len(of), _BLOCK // n):
        i = of[rows]
        distances = squared_distances(z[i] @ z.T, sq_norms[i, None], sq_norms)
        distances[labels[i, None] == labels] = np.inf
        radii[rows] = np.sqrt(distances.min(axis=1))
    # As many balls as this may be impure.
    n_impure = min(int((1 - purity) * len(of) + 1e-9), len(of) - 1)
    return float(np.partition(radii, n_impure)[n_impure])


def cover_greedy(
    z: NDArray, uncovered: NDArray[np.bool_], delta: float, n_picks: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Positions of the picks and how many samples each newly covers."""
    uncovered = uncovered.copy()
    balls = _Balls(z, delta)
    gains = balls.count(np.arange(len(z)), np.flatnonzero(uncovered))
    picks, scores = np.empty(n_picks, dtype=np.int64), np.empty(n_picks)
    for step in range(n_picks):
        pick = random_argmax(gains, rng)
        picks[step], scores[step] = pick, gains[pick]
        if gains[pick] > 0:
            rest = np.flatnonzero(uncovered)
            new = rest[balls.holds(pick, rest)]
            uncovered[new] = False
            affected = np.flatnonzero(gains > 0)
            if 2 * len(new) <= len(rest):
                gains[affected] -= balls.count(affected, new)
            else:
                gains[affected] = balls.count(affected, np.flatnonzero(uncovered))
        gains[pick] = -1  # below every other, so that no sample is picked twice
    return picks, scores


class _Balls:
    """Which rows of `z` lie in the open balls of radius `delta` around others, in blocks."""

    def __init__(self, z: NDArray, delta: float) -> None:
        self.z = z
        self.half = np.einsum("ij,ij->i", z, z) / 2
        self.margin = delta**2 / 2

    def count(self, around: NDArray, among: NDArray) -> NDArray[np.int64]:
        """How many of the rows `among` lie in the ball around each of the rows `around`."""
        counts = np.zeros(len(around), dtype=np.int64)
        if len(among) == 0:
            return counts
        others, half = self.z[among], self.half[among]
        for rows in blocks(len(around), _BLOCK // len(among)):
            i = around[rows]
            inner = self.z[i] @ others.T
            inner -= half
            counts[rows] = np.count_nonzero(inner > (self.half[i] - self.margin)[:, None], axis=1)
        return counts

    def holds(self, i: int, among: NDArray) -> NDArray[np.bool_]:
        """Which of the rows `among` lie in the ball around row `i`."""
        return self.z[among] @ self.z[i] - self.half[among] > self.half[i] - self.margin


prob_cover_sampling = make_query_function(ProbCover, "prob_cover_sampling")
