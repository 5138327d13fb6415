"""Batches from geometry: k-means++ and k-centre on inner products, and the samples nearest to k-means' centres."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from ._arrays import blocks, on_host
from ._random import sklearn_seed

__all__ = [
    "fit_kmeans",
    "k_center_greedy",
    "kmeans_plus_plus",
    "nearest_of_clusters",
    "nearest_squared_distances",
    "random_argmax",
    "squared_distances",
]

_ROWS = 4096  # samples worked on at once
_FARTHEST = 64  # vectors brought up to date at once, at first
_ROUNDING = 1e-13  # squared distances below this share of the squared norms are rounding: the samples are alike
_TIE = 1 - 1e-12  # squared distances that differ by less are the same


def random_argmax(values: NDArray, rng: np.random.Generator) -> int:
    """Position of the largest value; of equals one at random."""
    return int(rng.choice(np.flatnonzero(values == values.max())))


def squared_distances(inner: NDArray, sq_norms: NDArray, other: NDArray | np.floating | float) -> NDArray[np.float64]:
    """``sq_norms + other - 2 * inner``, where what is only rounding counts as 0. Works in `inner`'s memory."""
    scale = sq_norms + other
    inner *= -2
    inner += scale
    scale *= _ROUNDING
    inner[inner <= scale] = 0
    return inner


def kmeans_plus_plus(
    sq_norms: NDArray[np.float64],
    inner: Callable[[int], NDArray[np.float64]],
    n_picks: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """k-means++ seeding of vectors that are known by their inner products only.

    Parameters
    ----------
    sq_norms : ndarray of shape (n,), float64
        Squared norm of each vector.
    inner : callable
        ``inner(i)`` is a fresh array `(n,)`, the inner products of all vectors with vector i.
    n_picks : int in [1, n]
        How many to choose.
    rng : Generator
        Draws the picks.

    Returns
    -------
    picks : ndarray of shape (n_picks,), int64
        Unique positions in the order of picking: the vector of largest norm, then each with probability in proportion
        to its squared distance from the nearest one picked; uniformly from the rest once all those are 0.
    closest : ndarray of shape (n_picks,), float64
        That squared distance at the time of picking; for the first its squared norm.
    """
    picks, values = np.empty(n_picks, dtype=np.int64), np.empty(n_picks)
    pick = random_argmax(sq_norms, rng)
    picks[0], values[0] = pick, sq_norms[pick]
    closest = np.full(len(sq_norms), np.inf)
    for step in range(1, n_picks):
        np.minimum(closest, squared_distances(inner(pick), sq_norms, sq_norms[pick]), out=closest)
        closest[pick] = 0
        cumulated = np.cumsum(closest)
        if cumulated[-1] > 0:
            pick = int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
            # Only rounding can lead past the last vector with a probability.
            pick = min(pick, int(np.searchsorted(cumulated, cumulated[-1])))
        else:
            pick = int(rng.choice(np.setdiff1d(np.arange(len(sq_norms)), picks[:step])))
        picks[step], values[step] = pick, closest[pick]
    return picks, values


def nearest_squared_distances(X: Any, centers: Any) -> NDArray[np.float64]:
    """Squared distance `(n,)` of each row of `X` from the nearest of `centers`, which lie where `X` does.

    In float64, a block of rows at a time.
    """
    xp = array_namespace(X, centers)
    centers = xp.astype(centers, xp.float64)
    found = np.empty(X.shape[0])
    for rows in blocks(X.shape[0], _ROWS):
        found[rows] = _to_nearest(xp.astype(X[rows], xp.float64), centers)
    return found


def k_center_greedy(
    X: Any, closest: NDArray[np.float64], n_picks: int, rng: np.random.Generator, n_rows: int = _ROWS
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Farthest-first picks: each is the vector farthest from its nearest centre, given or picked.

    Distances from the nearest centre only shrink, so one that is not up to date is an upper bound, and only vectors
    that might be the farthest are compared with the latest picks, in float64.

    Parameters
    ----------
    X : ndarray or tensor of shape (n, d), or callable
        ``X(rows, bounds)`` gives the vectors at some positions where not all are at hand; `bounds` `(n,)` are what is
        known of the squared distances, and -1 for what is picked.
    closest : ndarray of shape (n,), float64
        Squared distance of each vector from the nearest given centre. Left as it is.
    n_picks : int in [1, n]
    rng : Generator
        Breaks ties: differences that are rounding.
    n_rows : int >= 1
        Vectors worked on at once.

    Returns
    -------
    picks : ndarray of shape (n_picks,), int64
        Unique positions in the order of picking.
    radii : ndarray of shape (n_picks,), float64
        Squared distance from the nearest centre at the time of picking; never increases.
    """
    picks, radii = np.empty(n_picks, dtype=np.int64), np.empty(n_picks)
    closest = closest.copy()
    seen = np.zeros(len(closest), dtype=np.int64)  # how many picks each vector has been compared with
    centers = None
    for step in range(n_picks):
        size, best = _FARTHEST, -1.0
        while len(rows := np.flatnonzero((seen < step) & (closest >= best * _TIE))) > 0:
            if len(rows) > size:
                rows = rows[np.argpartition(closest[rows], -size)[-size:]]
            for part in blocks(len(rows), n_rows):
                i = rows[part]
                first = int(seen[i].min())
                closest[i] = np.minimum(closest[i], _to_nearest(_rows_of(X, i, closest), centers[first:step]))
            seen[rows] = step
            best = max(best, closest[rows].max())
            size *= 2
        best = closest.max()
        pick = int(rng.choice(np.flatnonzero(closest >= best * _TIE)))
        picks[step], radii[step] = pick, best
        closest[pick] = -1  # below every other, so that no vector is picked twice
        if step + 1 < n_picks:
            center = _rows_of(X, picks[step : step + 1], closest)[0]
            if centers is None:
                xp = array_namespace(center)
                centers = xp.empty((n_picks, len(center)), dtype=xp.float64, device=device(center))
            centers[step] = center
    return picks, radii


def _rows_of(X: Any, rows: NDArray[np.int64], bounds: NDArray[np.float64]) -> Any:
    found = X(rows, bounds) if callable(X) else X[rows]
    xp = array_namespace(found)
    return xp.astype(found, xp.float64)


def _to_nearest(z: Any, centers: Any) -> NDArray[np.float64]:
    """Squared distance of each row of `z` from the nearest of `centers`, both float64."""
    xp = array_namespace(z)
    distances = squared_distances(z @ centers.T, xp.vecdot(z, z)[:, None], xp.vecdot(centers, centers))
    return on_host(xp.min(distances, axis=1))


def fit_kmeans(
    X: NDArray,
    n_clusters: int,
    rng: np.random.Generator,
    *,
    n_init: int | Literal["auto"] = "auto",
    batch_size: int | None = None,
) -> tuple[NDArray[np.int64], NDArray]:
    """Seeded k-means; with `batch_size` its mini-batch form.

    Returns
    -------
    labels : ndarray of shape (n,), int64
        Cluster of each row. Where there are fewer distinct rows than clusters, some clusters stay empty.
    centers : ndarray of shape (n_clusters, d)
    """
    seed = sklearn_seed(rng)
    if batch_size is None:
        model = KMeans(n_clusters, n_init=n_init, random_state=seed)
    else:
        model = MiniBatchKMeans(n_clusters, n_init=n_init, batch_size=batch_size, random_state=seed)
    with warnings.catch_warnings():
        # Fewer distinct rows than clusters is no mistake of the caller's.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    return model.labels_.astype(np.int64), model.cluster_centers_


def nearest_of_clusters(X: NDArray, labels: NDArray, centers: NDArray) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The row of each cluster that is nearest to its centre.

    Returns
    -------
    nearest : ndarray of int64
        One position for each cluster that is not empty.
    distances : ndarray of shape (n,), float64
        Euclidean distance of every row from the centre of its own cluster.
    """
    distances = np.empty(len(X))
    for rows in blocks(len(X), _ROWS):
        difference = X[rows].astype(np.float64) - centers[labels[rows]]
        distances[rows] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    order = np.lexsort((distances, labels))
    first = np.concatenate([[True], np.diff(labels[order]) > 0])
    return order[first].astype(np.int64), distances
