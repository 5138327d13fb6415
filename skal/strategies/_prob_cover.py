"""ProbCover: the balls of one radius that cover most of the pool (Yehuda et al., NeurIPS 2022)."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..base import Interval, QueryStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..utils._arrays import as_dtype, blocks, l2_normalize, on_host, squared_norms, squares_dtype
from ._parts._clustering import fit_kmeans, random_argmax
from ._parts._pairs import Pairs, closeness, half_of_all
from ._parts._places import place_of_both

__all__ = ["ProbCover", "prob_cover_sampling"]

_BLOCK = 1_048_576  # pairs of samples worked on at once
_FIRST = 256  # samples from which the purity's radius is bounded first
_PAIRS = 8_388_608  # pairs of samples in each other's ball that are held, in some 200 MB
_ROWS = 1024  # lists that are joined at once
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

    All pairs are met once, for the purity and for the balls together, as products of blocks of 1,024 samples in the
    embeddings' own dtype (float32 or float64; in float32 a pair whose distance differs from delta by some 1e-7 of the
    squared distances from the mean may fall on either side). Pairs that are close enough for each other's ball are
    held, and a newly covered sample is subtracted from those that cover it. Where they are more than 8 million (200
    MB), nothing is held: how many uncovered samples each sample covers is counted once, in blocks, and products are
    made again for each pick. O(n^2 d / 2) time, twice that and O(n d) for each newly covered sample in that case.
    Memory: O(n), the pairs, and a copy of the embeddings; never an (n, n) array.

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
        z, labeled = place_of_both(pool)
        if self.normalize:
            z, labeled = l2_normalize(z), l2_normalize(labeled)
        # Distances are the same around the mean, where products of float32 lose less of them.
        xp = array_namespace(z)
        center = xp.astype(xp.mean(z, axis=0, dtype=xp.float64), z.dtype)
        z, labeled = z - center, labeled - center
        dtype = squares_dtype(z, labeled) if len(labeled) else squares_dtype(z)
        z, labeled = as_dtype(z, dtype), as_dtype(labeled, dtype)
        pairs = Pairs(len(z), _PAIRS)
        if self.delta == "auto":
            n_classes = n_instances if pool.is_cold else len(pool.classes)
            n_clusters = max(2, n_classes) if self.n_clusters is None else self.n_clusters
            labels, _ = fit_kmeans(on_host(z), min(n_clusters, len(z)), rng)
            delta = purity_radius(z, labels, self.purity, rng, pairs)
        else:
            # Of which the square is a number: no distance is larger.
            delta = min(float(self.delta), float(np.sqrt(np.finfo(dtype).max) / 2))
            for rows, columns, found in half_of_all(z, np.arange(len(z)), _BLOCK):
                if not pairs.add(rows, columns, found, -(delta**2) / 2):
                    break
        uncovered = np.ones(len(z), dtype=bool)
        if len(labeled):
            half, of_labeled = squared_norms(z) / 2, squared_norms(labeled) / 2
            for part in blocks(len(z), _BLOCK // len(labeled)):
                to_labeled = closeness(z[part], half[part], labeled, of_labeled)
                uncovered[part] = on_host(~(to_labeled > -(delta**2) / 2).any(1))
        if pairs.are_all:
            return cover_lists(*pairs.within(delta), uncovered, n_instances, rng)
        return cover_greedy(on_host(z), uncovered, delta, n_instances, rng)


def purity_radius(
    z: Any, labels: NDArray, purity: float, rng: np.random.Generator, pairs: Pairs | None = None
) -> float:
    """The largest radius of which a share `purity` of the open balls holds one label only; may be infinite.

    `pairs` gets all that are closer to each other, on the way.
    """
    n = len(z)
    of = np.arange(n) if n <= _PURITY_SAMPLES else rng.choice(n, size=_PURITY_SAMPLES, replace=False)
    # As many balls as this may be impure.
    n_impure = min(int((1 - purity) * len(of) + 1e-9), len(of) - 1)
    closest = np.full(n, -np.inf)  # to a sample of another label, as minus half the squared distance
    order = np.argsort(labels, kind="stable")  # so that few blocks hold two samples of one label

    def compare(rows: NDArray, columns: NDArray, found: Any) -> None:
        xp = array_namespace(found)
        if labels[rows[-1]] >= labels[columns[0]]:
            same = xp.asarray(labels[rows, None] == labels[columns], device=device(found))
            found = xp.where(same, -xp.inf, found)
        closest[rows] = np.maximum(closest[rows], on_host(xp.max(found, axis=1)))
        closest[columns] = np.maximum(closest[columns], on_host(xp.max(found, axis=0)))

    def bound() -> float:
        # Rounding leads above 0.
        return min(0.0, -float(np.partition(-closest[of], n_impure)[n_impure]))

    # With a few samples first: the bound only grows, so that what is not closer need not be held.
    few, half = order[:: -(-n // _FIRST)], squared_norms(z) / 2
    for part in blocks(n, _BLOCK // len(few)):
        rows = order[part]
        compare(few, rows, closeness(z[few], half[few], z[rows], half[rows]))
    for rows, columns, found in half_of_all(z, order, _BLOCK):
        compare(rows, columns, found)
        if pairs is not None:
            pairs.add(rows, columns, found, bound())
    radius = math.sqrt(-2 * bound())
    while -(radius**2) / 2 < bound():
        radius = math.nextafter(radius, 0)  # the ball is open: the pair that sets it is not within
    return radius


def cover_lists(
    later: csr_array, earlier: csr_array, uncovered: NDArray[np.bool_], n_picks: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """As `cover_greedy`, with lists of who lies in whose ball."""
    n = len(uncovered)
    uncovered = uncovered.copy()

    def ball(i: int) -> list[NDArray]:
        return [m.indices[m.indptr[i] : m.indptr[i + 1]] for m in (later, earlier)] + [np.array([i])]

    gains = sum((m.astype(np.int64) @ uncovered for m in (later, earlier)), uncovered.astype(np.int64))
    picks, scores = np.empty(n_picks, dtype=np.int64), np.empty(n_picks)
    for step in range(n_picks):
        pick = random_argmax(gains, rng)
        picks[step], scores[step] = pick, gains[pick]
        if gains[pick] > 0:
            held = np.concatenate(ball(pick))
            new = held[uncovered[held]]
            uncovered[new] = False
            for part in blocks(len(new), _ROWS):
                gains -= np.bincount(np.concatenate([of for i in new[part].tolist() for of in ball(i)]), minlength=n)
        gains[pick] = -n  # below every other, so that no sample is picked twice
    return picks, scores


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
