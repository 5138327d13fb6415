"""Batches from geometry: k-means++ and k-centre on inner products, and the samples nearest to k-means' centres."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from ...utils._arrays import blocks, on_host, squared_norms, squares_dtype
from ...utils._random import sklearn_seed
from ...utils._torch import shared_tensor

__all__ = [
    "fit_kmeans",
    "k_center_greedy",
    "kmeans_plus_plus",
    "nearest_of_clusters",
    "nearest_squared_distances",
    "nearest_to_centers",
    "random_argmax",
    "squared_distances",
]

_ROWS = 4096  # samples worked on at once
_COMPARED = 1 << 16  # numbers of float64 held of a block that is compared with given centres
_FARTHEST = 64  # vectors brought up to date at once, at first
_TIE = 1 - 1e-12  # squared distances that differ by less are the same
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


def nearest_squared_distances(X: Any, centers: Any) -> NDArray[np.float64]:
    """Squared distance `(n,)` of each row of `X` from the nearest of `centers`, which lie where `X` does.

    In float64, a block of rows at a time.
    """
    xp = array_namespace(X, centers)
    centers = xp.astype(centers, xp.float64)
    found = np.empty(X.shape[0])
    for rows in blocks(X.shape[0], _COMPARED // max(centers.shape)):
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
    centers: Any = None
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
    distances = squared_distances(z @ centers.T, squared_norms(z)[:, None], squared_norms(centers))
    return on_host(xp.min(distances, axis=1))


def fit_kmeans(
    X: NDArray,
    n_clusters: int,
    rng: np.random.Generator,
    *,
    n_init: int | Literal["auto"] = "auto",
    batch_size: int | None = None,
    sample_weight: NDArray | None = None,
) -> tuple[NDArray[np.int64], NDArray]:
    """Seeded k-means; with `batch_size` its mini-batch form, else with `sample_weight` `(n,)` that of weighted rows.

    Returns
    -------
    labels : ndarray of shape (n,), int64
        Cluster of each row. Where there are fewer distinct rows than clusters, some clusters stay empty.
    centers : ndarray of shape (n_clusters, d)
    """
    seed = sklearn_seed(rng)
    settings = {
        "init": partial(_seeds, weights=sample_weight),
        "n_init": 1 if n_init == "auto" else n_init,
        "random_state": seed,
    }
    if batch_size is None:
        model = KMeans(n_clusters, **settings)
    else:
        model = MiniBatchKMeans(n_clusters, batch_size=batch_size, **settings)
    with warnings.catch_warnings():
        # Fewer distinct rows than clusters is no mistake of the caller's.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, sample_weight=sample_weight)
    return model.labels_.astype(np.int64), model.cluster_centers_


def _seeds(X: NDArray, n_clusters: int, random_state: np.random.RandomState, *, weights: NDArray | None) -> NDArray:
    """First centres by scikit-learn's greedy k-means++, from the same draws; of mini-batches `X` is a part of the rows.

    scikit-learn's own casts all of a float32 `X` to float64 for each centre, and takes most of a fit's time.
    """
    z, sq_norms = shared_tensor(X), squared_norms(X)
    weights = np.ones(len(X)) if weights is None else weights

    def distances(rows: NDArray[np.int64]) -> NDArray:
        return squared_distances((z[rows] @ z.T).numpy(), sq_norms, sq_norms[rows, None])

    n_trials = 2 + int(np.log(n_clusters))
    chosen = np.empty(n_clusters, dtype=np.int64)
    chosen[0] = random_state.choice(len(X), p=weights / weights.sum())
    closest = distances(chosen[:1])[0]
    for step in range(1, n_clusters):
        cumulated = np.cumsum(closest * weights)
        drawn = np.searchsorted(cumulated, random_state.uniform(size=n_trials) * cumulated[-1])
        candidates = np.minimum(drawn, len(X) - 1)
        nearest = np.minimum(closest, distances(candidates))
        best = (nearest @ weights).argmin()
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


def nearest_to_centers(
    X: NDArray, n_picks: int, rng: np.random.Generator, *, n_init: int | Literal["auto"] = "auto"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The row nearest to the centre of each of `n_picks` clusters, and its distance, nearest first.

    Rows of fewer distinct values than clusters are filled up at random.
    """
    z = X.astype(squares_dtype(X), copy=False)
    labels, centers = fit_kmeans(z, n_picks, rng, n_init=n_init)
    chosen, distances = nearest_of_clusters(z, labels, centers)
    chosen = chosen[np.argsort(distances[chosen], kind="stable")]
    rest = np.setdiff1d(np.arange(len(z)), chosen)
    chosen = np.concatenate([chosen, rng.choice(rest, size=n_picks - len(chosen), replace=False)])
    return chosen, distances[chosen]
