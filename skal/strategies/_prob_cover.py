"""ProbCover: the balls of one radius that cover most of the pool (Yehuda et al., NeurIPS 2022)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..base import Interval, QueryStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..rows import working_dtype
from ..utils._arrays import blocks, l2_normalize, on_host, squared_norms
from ..utils._clustering import fit_kmeans, nearest_squared_distances, random_argmax

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
        z, labeled = pool.embeddings, pool.labeled.embeddings  # type: ignore[union-attr]
        dtype = working_dtype(z)
        z, labeled = z.astype(dtype, copy=False), labeled.astype(dtype, copy=False)
        if self.normalize:
            z, labeled = l2_normalize(z), l2_normalize(labeled)
        pairs = _Pairs(len(z))
        if self.delta == "auto":
            n_classes = n_instances if pool.is_cold else len(pool.classes)
            n_clusters = max(2, n_classes) if self.n_clusters is None else self.n_clusters
            labels, _ = fit_kmeans(z, min(n_clusters, len(z)), rng)
            delta = purity_radius(z, labels, self.purity, rng, pairs)
        else:
            delta = float(self.delta)
            for rows, columns, closeness in _half_of_all(z, np.arange(len(z))):
                if not pairs.add(rows, columns, closeness, -(delta**2) / 2):
                    break
        uncovered = np.ones(len(z), dtype=bool)
        if len(labeled):
            uncovered = nearest_squared_distances(z, labeled) >= delta**2
        if pairs.are_all:
            return cover_lists(*pairs.within(delta), uncovered, n_instances, rng)
        return cover_greedy(on_host(z), uncovered, delta, n_instances, rng)


def purity_radius(
    z: NDArray, labels: NDArray, purity: float, rng: np.random.Generator, pairs: _Pairs | None = None
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

    def compare(rows: NDArray, columns: NDArray, closeness: Any) -> None:
        xp = array_namespace(closeness)
        if labels[rows[-1]] >= labels[columns[0]]:
            same = xp.asarray(labels[rows, None] == labels[columns], device=device(closeness))
            closeness = xp.where(same, -xp.inf, closeness)
        closest[rows] = np.maximum(closest[rows], on_host(xp.max(closeness, axis=1)))
        closest[columns] = np.maximum(closest[columns], on_host(xp.max(closeness, axis=0)))

    def bound() -> float:
        return -float(np.partition(-closest[of], n_impure)[n_impure])

    # With a few samples first: only grows, so that what is not closer need not be held.
    few = order[:: -(-n // _FIRST)]
    for rows in blocks(n, _BLOCK // len(few)):
        compare(few, order[rows], next(_closeness(z, few, [order[rows]])))
    for rows, columns, closeness in _half_of_all(z, order):
        compare(rows, columns, closeness)
        if pairs is not None:
            pairs.add(rows, columns, closeness, bound())
    radius = math.sqrt(-2 * bound())
    while -(radius**2) / 2 < bound():
        radius = math.nextafter(radius, 0)  # the ball is open: the pair that sets it is not within
    return radius


def _half_of_all(z: Any, order: NDArray[np.int64]) -> Iterator[tuple[NDArray, NDArray, Any]]:
    """Two sets of rows and how close they are to each other, so that every pair is met once."""
    parts = [order[part] for part in blocks(len(order), math.isqrt(_BLOCK))]
    for k, rows in enumerate(parts):
        for columns, closeness in zip(parts[k:], _closeness(z, rows, parts[k:])):
            yield rows, columns, closeness


def _closeness(z: Any, rows: NDArray, others: list[NDArray]) -> Iterator[Any]:
    """Minus half the squared distance of each of `rows` from each of others, `(rows, columns)`, one set at a time."""
    a = z[rows]
    half = squared_norms(a)[:, None] / 2
    for columns in others:
        b = z[columns]
        inner = a @ b.T
        inner -= half
        inner -= squared_norms(b) / 2
        yield inner


class _Pairs:
    """The pairs of `n` samples that are closer than a bound, as long as there are few enough to hold them."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.are_all = True
        self._found: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray]] = []
        self._n_found = 0

    def add(self, rows: NDArray, columns: NDArray, closeness: Any, bound: float) -> bool:
        """The pairs of a block that are closer than `bound`, which only grows; False where there are too many."""
        if not self.are_all:
            return False
        xp = array_namespace(closeness)
        flat = xp.nonzero(xp.reshape(closeness, (-1,)) > bound)[0]
        values, flat = on_host(xp.reshape(closeness, (-1,))[flat]), on_host(flat)
        i, j = rows[flat // len(columns)].astype(np.int32), columns[flat % len(columns)].astype(np.int32)
        if rows[0] == columns[0]:
            # A block of the diagonal holds each pair twice, and each sample with itself.
            once = flat // len(columns) < flat % len(columns)
            i, j, values = i[once], j[once], values[once]
        self._found.append((i, j, values))
        self._n_found += len(i)
        if self._n_found > _PAIRS:
            self._found = [_closer(*part, bound) for part in self._found]
            self._n_found = sum(len(i) for i, _, _ in self._found)
            if self._n_found > _PAIRS:
                self.are_all, self._found = False, []
        return self.are_all

    def within(self, delta: float) -> tuple[csr_array, csr_array]:
        """Of each sample the other samples in its open ball: those that come later in a pair, and earlier."""
        parts = [_closer(*part, -(delta**2) / 2) for part in self._found]
        self._found = []
        i, j = (np.concatenate([part[k] for part in parts]) for k in range(2))
        ones = np.ones(len(i), dtype=np.int8)
        return (
            csr_array((ones, (i, j)), shape=(self.n, self.n)),
            csr_array((ones, (j, i)), shape=(self.n, self.n)),
        )


def _closer(i: NDArray, j: NDArray, values: NDArray, bound: float) -> tuple[NDArray, NDArray, NDArray]:
    keep = values > bound
    return i[keep], j[keep], values[keep]


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
