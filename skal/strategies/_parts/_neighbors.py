"""Nearest neighbours in a pool, in blocks: Euclidean, Manhattan, and DM2's combination of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ...utils._arrays import blocks, on_host, squared_norms, squares_dtype
from ...utils._torch import shared_tensor

__all__ = ["Metric", "Neighbors", "Search", "nearest_neighbors"]


Metric = Literal["combined", "euclidean", "manhattan"]


Search = Literal["blocks", "approximate"]


_ROWS = 4096  # samples centred at once
_BLOCK = 64 * 2**20  # bytes of a work array ...


_GATHER = 2**20  # ... and of gathered candidates, which stay in a processor's cache


class Neighbors(NamedTuple):
    """Positions `(n, k)` int64 and distances `(n, k)`, nearest first."""

    idx: NDArray[np.int64]
    distances: NDArray


def nearest_neighbors(
    X: NDArray | torch.Tensor,
    k: int,
    *,
    metric: Metric = "euclidean",
    n_candidates: int | None = 256,
    search: Search = "blocks",
) -> Neighbors:
    """The `k` nearest other rows of each row of `X`, self excluded.

    Parameters
    ----------
    X : ndarray or tensor of shape (n, d), finite
        float32 whose squares it holds is worked on as it is, other arrays as float64; on the tensor's device, but for
        the graph.
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
    if isinstance(X, np.ndarray):
        X = X.astype(squares_dtype(X), copy=False)
    z, n = shared_tensor(X), len(X)
    if metric == "euclidean" and n_candidates is not None:
        n_candidates = k + 8
    m = n - 1 if n_candidates is None else min(max(n_candidates, k), n - 1)
    propose = _by_graph if search == "approximate" else _by_products
    proposals = _all_others(z) if m == n - 1 else propose(z, m)
    # Blocks of rows, in their order.
    idx, distances = zip(*((on_host(near), on_host(far)) for near, far in _re_ranked(z, k, metric, proposals)))
    return Neighbors(np.concatenate(idx), np.concatenate(distances))


# For each block of rows, positions of other rows `(s, m)`.
Proposals = Iterator[tuple[slice, torch.Tensor]]


def _all_others(X: torch.Tensor) -> Proposals:
    others = torch.arange(len(X) - 1, device=X.device)
    for rows in blocks(len(X), _BLOCK // (8 * len(X))):
        own = torch.arange(rows.start, rows.stop, device=X.device)[:, None]
        yield rows, others + (others >= own)


def _own(values: torch.Tensor, rows: slice) -> torch.Tensor:
    """In values of `rows` and all rows, those of each row and itself, as a view."""
    return values.diagonal(rows.start)


def _re_ranked(
    X: torch.Tensor, k: int, metric: Metric, proposals: Proposals
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The `k` nearest of each row's proposed candidates, and their distances."""
    d = X.shape[1]
    for rows, candidates in proposals:
        # Ascending positions, so that a stable sort settles ties by position.
        candidates = candidates.sort(dim=1).values
        distances = X.new_empty(candidates.shape)
        width = min(candidates.shape[1], max(1, _GATHER // (d * X.element_size())))
        size = max(1, _GATHER // (width * d * X.element_size()))
        work = X.new_empty(size * width * d)
        for part in blocks(len(candidates), size):
            for columns in blocks(candidates.shape[1], width):
                those = candidates[part, columns]
                differences = work[: those.numel() * d].view(*those.shape, d)
                torch.index_select(X, 0, those.flatten(), out=differences.view(-1, d))
                differences -= X[rows][part, None]
                distances[part, columns] = _lengths(differences, metric)
        near = torch.sort(distances, dim=1, stable=True)
        yield candidates.gather(1, near.indices[:, :k]), near.values[:, :k]


def _by_products(X: torch.Tensor, m: int) -> Proposals:
    """For each block of rows the `m` others nearest by Euclidean distance: the largest x.y - |y|^2 / 2."""
    mean, unit = X.mean(dim=0), torch.empty_like(X, dtype=torch.float32)
    # In blocks, so that nothing of the size of X is held but `unit`.
    parts = list(blocks(len(X), _ROWS))
    # Scaled, since float32 holds the squares neither of very long rows nor of very short ones.
    scale = torch.stack([(X[rows] - mean).abs().max() for rows in parts]).max().clamp_(min=torch.finfo(X.dtype).tiny)
    for rows in parts:
        unit[rows] = (X[rows] - mean) / scale
    offset = squared_norms(unit) / -2
    for rows in blocks(len(X), _BLOCK // (4 * len(X))):
        closeness = torch.addmm(offset, unit[rows], unit.T)
        _own(closeness, rows).fill_(-torch.inf)
        yield rows, closeness.topk(m, dim=1, sorted=False).indices


def _by_graph(X: torch.Tensor, m: int) -> Proposals:
    """About the same, from an HNSW graph of the rows."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "An approximate neighbour search needs faiss, which is not installed. "
            'Install it with: pip install "skal[neighbors]"'
        ) from error
    rows32 = on_host(X).astype(np.float32, copy=False)
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
        yield rows, _filled(proposed, valid, own, len(X)).to(X.device)


def _filled(proposed: torch.Tensor, valid: torch.Tensor, own: torch.Tensor, n: int) -> torch.Tensor:
    """`proposed` with the places that are not valid taken by rows not proposed yet, so that candidates are distinct."""
    for i in torch.nonzero(~valid.all(dim=1))[:, 0].tolist():
        known = {*proposed[i][valid[i]].tolist(), int(own[i])}
        others = (row for row in range(n) if row not in known)
        proposed[i][~valid[i]] = torch.tensor([next(others) for _ in range(int((~valid[i]).sum()))])
    return proposed


def _lengths(differences: torch.Tensor, metric: Metric) -> torch.Tensor:
    """Length of each difference `(s, m, d)`, `(s, m)`; works in their memory.

    For one row and its candidates faster than `torch.cdist`.
    """
    if metric == "manhattan":
        return differences.abs_().sum(dim=2)
    euclidean = torch.linalg.vector_norm(differences, dim=2)
    if metric == "euclidean":
        return euclidean
    return euclidean.add_(differences.abs_().sum(dim=2)).div_(2 * differences.shape[2])
