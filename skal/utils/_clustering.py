"""Batches from geometry: k-means++ and k-centre on inner products, and the samples nearest to k-means' centres."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from ._arrays import blocks, on_host, squared_norms
from ._random import sklearn_seed
from ._torch import shared_tensor

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
# Squared distances below this share of the squared norms are rounding, in float32 and in float64: samples are alike.
_ROUNDING = {4: 4e-6, 8: 1e-13}


def random_argmax(values: NDArray, rng: np.random.Generator) -> int:
    """Position of the largest value; of equals one at random."""
    return int(rng.choice(np.flatnonzero(values == values.max())))


def squared_distances(inner: Any, sq_norms: Any, other: Any) -> Any:
    """``sq_norms + other - 2 * inner``, where what is only rounding counts as 0. Works in `inner`'s memory.

    For arrays and tensors, in the dtype of `inner`.
    """
    scale = sq_norms + other
    inner *= -2
    inner += scale
    scale *= _ROUNDING[inner.dtype.itemsize]
    inner[inner <= scale] = 0
    return inner


def kmeans_plus_plus(
    sq_norms: Any, inner: Callable[[int], Any], n_picks: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """k-means++ seeding of vectors that are known by their inner products only, in NumPy or on a tensor's device.

    Parameters
    ----------
    sq_norms : array or tensor of shape (n,), float32 or float64
        Squared norm of each vector.
    inner : callable
        ``inner(i)`` is a fresh array or tensor `(n,)` of this dtype, the inner products of all vectors with vector i.
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
    xp = array_namespace(sq_norms)
    picks = np.empty(n_picks, dtype=np.int64)
    pick = random_argmax(on_host(sq_norms), rng)
    picks[0], values = pick, [sq_norms[pick] + 0]
    closest = xp.full_like(sq_norms, xp.inf)
    for step in range(1, n_picks):
        closest = xp.minimum(closest, squared_distances(inner(pick), sq_norms, sq_norms[pick]))
        closest[pick] = 0
        cumulated = xp.cumulative_sum(closest, dtype=xp.float64)
        total = cumulated[-1:]
        # Only rounding can lead past the last vector with a probability. The smaller is 0 where nothing has one.
        drawn = xp.searchsorted(cumulated, rng.random() * total, side="right")
        drawn = xp.minimum(drawn, xp.searchsorted(cumulated, total))
        # Both at once: what is read here waits for the device.
        pick, is_any = (int(value) for value in on_host(xp.concat([drawn, xp.astype(total > 0, drawn.dtype)])))
        if not is_any:
            pick = int(rng.choice(np.setdiff1d(np.arange(len(sq_norms)), picks[:step])))
        picks[step] = pick
        values.append(closest[pick] + 0)
    return picks, on_host(xp.stack(values)).astype(np.float64)


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
    settings = {"init": _seeds, "n_init": 1 if n_init == "auto" else n_init, "random_state": seed}
    if batch_size is None:
        model = KMeans(n_clusters, **settings)
    else:
        model = MiniBatchKMeans(n_clusters, batch_size=batch_size, **settings)
    with warnings.catch_warnings():
        # Fewer distinct rows than clusters is no mistake of the caller's.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    return model.labels_.astype(np.int64), model.cluster_centers_


def _seeds(X: NDArray, n_clusters: int, random_state: np.random.RandomState) -> NDArray:
    """First centres by scikit-learn's greedy k-means++, from the same draws.

    scikit-learn's own casts all of a float32 `X` to float64 for each centre, and takes most of a fit's time.
    """
    z, sq_norms = shared_tensor(X), squared_norms(X)

    def distances(rows: NDArray[np.int64]) -> NDArray:
        return squared_distances((z[rows] @ z.T).numpy(), sq_norms, sq_norms[rows, None])

    n_trials = 2 + int(np.log(n_clusters))
    chosen = np.empty(n_clusters, dtype=np.int64)
    chosen[0] = random_state.choice(len(X), p=np.full(len(X), 1 / len(X)))
    closest = distances(chosen[:1])[0]
    for step in range(1, n_clusters):
        cumulated = np.cumsum(closest, dtype=np.float64)
        drawn = np.searchsorted(cumulated, random_state.uniform(size=n_trials) * cumulated[-1])
        candidates = np.minimum(drawn, len(X) - 1)
        nearest = np.minimum(closest, distances(candidates))
        best = nearest.sum(axis=1, dtype=np.float64).argmin()
        chosen[step], closest = candidates[best], nearest[best]
    return X[chosen]


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
        distances[rows] = np.sqrt(squared_norms(X[rows] - centers[labels[rows]]))
    order = np.lexsort((distances, labels))
    first = np.concatenate([[True], np.diff(labels[order]) > 0])
    return order[first].astype(np.int64), distances
