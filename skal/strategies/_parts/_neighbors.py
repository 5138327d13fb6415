"""Nearest neighbours in a pool, in blocks: Euclidean, Manhattan, and DM2's combination of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ...utils._arrays import blocks

__all__ = ["Found", "Metric", "Neighbors", "Search", "nearest_neighbors"]


Metric = Literal["combined", "euclidean", "manhattan"]


Search = Literal["blocks", "approximate"]


_BLOCK = 64 * 2**20  # bytes of a work array ...


_GATHER = 16 * 2**20  # ... and of gathered candidates, which are faster in smaller blocks


class Neighbors(NamedTuple):
    """Positions `(n, k)` int64 and distances `(n, k)`, nearest first."""

    idx: NDArray[np.int64]
    distances: NDArray


def nearest_neighbors(
    X: NDArray,
    k: int,
    *,
    metric: Metric = "euclidean",
    n_candidates: int | None = 256,
    search: Search = "blocks",
) -> Neighbors:
    """The `k` nearest other rows of each row of `X`, self excluded.

    Parameters
    ----------
    X : ndarray of shape (n, d), finite
        float32 is worked on as it is, all else as float64.
    k : int in [1, n - 1]
    metric : {"euclidean", "manhattan", "combined"}, default="euclidean"
        "combined" is the mean of the other two, divided by d (DM2, eqs. 4-6).
    n_candidates : int >= 1 or None, default=256
        Rows nearest by Euclidean distance (at least `k` of them) that are re-ranked by `metric`. None ranks all
        rows, which is exact and slow. A pool of at most `n_candidates` others is always ranked in full. Of no
        effect for "euclidean", where `k + 8` are enough to sort out rounding.
    search : {"blocks", "approximate"}, default="blocks"
        How the candidates are found: by matrix products with every row, O(n^2 d), or by a graph of neighbours (HNSW),
        near-linear in n, which needs the extra ``skal[neighbors]`` (faiss). A row that stands in `X` some fifty times
        or more takes up the links around it, and neighbours of it are missed.

    Returns
    -------
    Neighbors
        `idx (n, k)` and `distances (n, k)` by `metric`, nearest first; of equally near candidates the first row.

    Notes
    -----
    Candidates come from float32 products of the centred rows; distances are then taken from the differences
    themselves, in the dtype of `X`, so that near-duplicates lose nothing to cancellation. Time O(n^2 d) in matrix
    products plus O(n n_candidates d); ``n_candidates=None`` O(n^2 d) without them. Work arrays of 64 MB; never
    an (n, n) array.
    """
    X = np.ascontiguousarray(X, dtype=np.float32 if X.dtype == np.float32 else np.float64)
    n = len(X)
    if metric == "euclidean" and n_candidates is not None:
        n_candidates = k + 8
    m = n - 1 if n_candidates is None else min(max(n_candidates, k), n - 1)
    idx, distances = np.empty((n, k), dtype=np.int64), np.empty((n, k), dtype=X.dtype)
    if m == n - 1:
        found = _all_pairs(torch.from_numpy(X), k, metric)
    else:
        propose = _by_graph if search == "approximate" else _by_products
        found = _re_ranked(torch.from_numpy(X), k, metric, propose(X, m))
    for rows, near, far in found:
        idx[rows], distances[rows] = near, far
    return Neighbors(idx, distances)


Found = Iterator[tuple[slice, Any, Any]]


def _all_pairs(X: torch.Tensor, k: int, metric: Metric) -> Found:
    n = len(X)
    for rows in blocks(n, _BLOCK // (n * X.element_size() * 3)):
        distances = _distances(X[rows], X, metric)
        distances[torch.arange(rows.stop - rows.start), torch.arange(rows.start, rows.stop)] = torch.inf
        near = torch.sort(distances, dim=1, stable=True)
        yield rows, near.indices[:, :k].numpy(), near.values[:, :k].numpy()


def _re_ranked(X: torch.Tensor, k: int, metric: Metric, proposals: Iterator[tuple[slice, torch.Tensor]]) -> Found:
    """The `k` nearest of each row's proposed candidates."""
    for rows, candidates in proposals:
        # Ascending positions, so that a stable sort settles ties by position.
        candidates = candidates.sort(dim=1).values
        m, own = candidates.shape[1], X[rows]
        for part in blocks(len(own), _GATHER // (m * X.shape[1] * X.element_size())):
            distances = _distances(own[part, None], X[candidates[part]], metric)[:, 0]
            near = torch.sort(distances, dim=1, stable=True)
            taken = candidates[part].gather(1, near.indices[:, :k])
            start = rows.start + part.start
            yield slice(start, start + len(taken)), taken.numpy(), near.values[:, :k].numpy()


def _by_products(X: NDArray, m: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """For each block of rows the `m` others nearest by Euclidean distance: the largest x.y - |y|^2 / 2."""
    mean, unit, offset = X.mean(axis=0), torch.empty(X.shape, dtype=torch.float32), torch.empty(len(X))
    # In blocks, so that nothing of the size of X is held but `unit`.
    for rows in blocks(len(X), _GATHER // max(1, X[:1].nbytes)):
        unit[rows] = torch.from_numpy((X[rows] - mean).astype(np.float32))
        offset[rows] = -(unit[rows] ** 2).sum(dim=1) / 2
    for rows in blocks(len(X), _BLOCK // (4 * len(X))):
        closeness = torch.addmm(offset, unit[rows], unit.T)
        closeness[torch.arange(len(closeness)), torch.arange(rows.start, rows.stop)] = -torch.inf
        yield rows, closeness.topk(m, dim=1, sorted=False).indices


def _by_graph(X: NDArray, m: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """About the same, from an HNSW graph of the rows."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "An approximate neighbour search needs faiss, which is not installed. "
            'Install it with: pip install "skal[neighbors]"'
        ) from error
    rows32 = X.astype(np.float32, copy=False)
    index = faiss.IndexHNSWFlat(X.shape[1], 32)
    index.hnsw.efConstruction = 80
    index.hnsw.efSearch = max(64, 2 * m)
    threads = faiss.omp_get_max_threads()
    try:
        # Rows that enter the graph side by side would make it another graph each time.
        faiss.omp_set_num_threads(1)
        index.add(rows32)
    finally:
        faiss.omp_set_num_threads(threads)
    for rows in blocks(len(X), 4096):
        found = torch.from_numpy(index.search(rows32[rows], m + 1)[1])
        own = torch.arange(rows.start, rows.stop)[:, None]
        # Self out; a row whose search came back short (-1), or without itself, loses its last find instead.
        keep = (found != own) & (found >= 0)
        order = torch.sort(keep.to(torch.int8), dim=1, descending=True, stable=True).indices[:, :m]
        proposed = found.gather(1, order)
        valid = keep.gather(1, order)
        yield rows, _filled(proposed, valid, own, len(X))


def _filled(proposed: torch.Tensor, valid: torch.Tensor, own: torch.Tensor, n: int) -> torch.Tensor:
    """`proposed` with the places that are not valid taken by rows not proposed yet, so that candidates are distinct."""
    for i in torch.nonzero(~valid.all(dim=1))[:, 0].tolist():
        known = {*proposed[i][valid[i]].tolist(), int(own[i])}
        others = (row for row in range(n) if row not in known)
        proposed[i][~valid[i]] = torch.tensor([next(others) for _ in range(int((~valid[i]).sum()))])
    return proposed


def _distances(X: torch.Tensor, Y: torch.Tensor, metric: Metric) -> torch.Tensor:
    def by(p: float) -> torch.Tensor:
        return torch.cdist(X, Y, p=p, compute_mode="donot_use_mm_for_euclid_dist")

    if metric == "combined":
        return by(2.0).add_(by(1.0)).div_(2 * X.shape[-1])
    return by(2.0 if metric == "euclidean" else 1.0)
