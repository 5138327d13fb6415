"""Batches from geometry: k-means++ and k-centre on inner products, and the samples nearest to k-means' centres."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from ._arrays import blocks
from ._random import sklearn_seed

__all__ = [
    "fit_kmeans",
    "k_center_greedy",
    "kmeans_plus_plus",
    "nearest_of_clusters",
    "random_argmax",
    "squared_distances",
]

_ROWS = 4096  # samples worked on at once
_FARTHEST = 64  # vectors brought up to date at once, at first
_ROUNDING = 1e-13  # squared distances below this share of the squared norms are rounding: the samples are alike


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


def k_center_greedy(
    X: NDArray[np.float64], closest: NDArray[np.float64], n_picks: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Farthest-first picks: each is the vector farthest from its nearest centre, given or picked.

    Distances from the nearest centre only shrink, so one that is not up to date is an upper bound, and only vectors
    that might be the farthest are compared with the latest picks.

    Parameters
    ----------
    X : ndarray of shape (n, d), float64
    closest : ndarray of shape (n,), float64
        Squared distance of each vector from the nearest given centre. Left as it is.
    n_picks : int in [1, n]
    rng : Generator
        Breaks ties.

    Returns
    -------
    picks : ndarray of shape (n_picks,), int64
        Unique positions in the order of picking.
    radii : ndarray of shape (n_picks,), float64
        Squared distance from the nearest centre at the time of picking; never increases.
    """
    sq_norms = np.einsum("ij,ij->i", X, X)
    picks, radii = np.empty(n_picks, dtype=np.int64), np.empty(n_picks)
    closest = closest.copy()
    seen = np.zeros(len(X), dtype=np.int64)  # how many picks each vector has been compared with
    for step in range(n_picks):
        size = _FARTHEST
        while ((closest == closest.max()) & (seen < step)).any():
            size = min(size, len(X))
            rows = np.argpartition(closest, -size)[-size:]
            rows = rows[seen[rows] < step]
            new = picks[seen[rows].min(initial=step) : step]
            for part in blocks(len(rows), _ROWS):
                i = rows[part]
                distances = squared_distances(X[i] @ X[new].T, sq_norms[i, None], sq_norms[new])
                closest[i] = np.minimum(closest[i], distances.min(axis=1))
            seen[rows] = step
            size *= 2
        pick = random_argmax(closest, rng)
        picks[step], radii[step] = pick, closest[pick]
        closest[pick], seen[pick] = -1, n_picks  # below every other, so that no vector is picked twice
    return picks, radii


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
