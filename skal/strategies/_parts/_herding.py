"""Greedy coverage of a pool by kernels around what is labelled or picked: MaxHerding and UncertaintyHerding."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray

from ...base import QueryStrategy
from ...pool import PoolView
from ...utils._arrays import as_dtype, blocks, l2_normalize, on_host, squared_norms
from ...utils._torch import shared_tensor
from ._clustering import squared_distances

__all__ = ["Coverage", "HerdingStrategy", "herd"]

_BLOCK = 32 * 2**20  # bytes of a work array
_HELD = 32 * 2**20  # bytes of kernels that are held
_SIDE = 1024  # rows and columns of a block of the first pass
_UNIT = 2.0**-24  # rounding of float32
_LOOSE = 0.01  # the first pass is of no use where its kernels are less exact than this
_ROUNDING = 1e-12  # gains below this share of the largest gain, and differences between gains, are rounding
_FIRST = 16  # candidates brought up to date at once, at first
_MANY = 16  # more than this part of the candidates are better brought up to date by the first pass once more


class HerdingStrategy(QueryStrategy):
    """Greedy coverage of the unit-length embeddings; a subclass says how wide a kernel is, and what each row counts."""

    n_candidates: int | None

    @abstractmethod
    def _width(self, labeled: NDArray[np.float64]) -> float:
        """Bandwidth of the kernel, given the labelled samples' unit-length embeddings."""

    @abstractmethod
    def _weights(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        """What the coverage of each sample counts, `(n,)`."""

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        z = l2_normalize(as_dtype(pool.on_device("embeddings"), np.float64))
        labeled = l2_normalize(np.asarray(pool.labeled.embeddings, dtype=np.float64))  # type: ignore[union-attr]
        weights, candidates = self._weights(pool, rng), None
        if self.n_candidates is not None and self.n_candidates < len(z):
            candidates = np.sort(rng.choice(len(z), size=max(self.n_candidates, n_instances), replace=False))
        coverage = Coverage(z, self._width(labeled))
        return herd(coverage, coverage.by(labeled), weights, n_instances, rng, candidates)


class Coverage:
    """How well each row of `z` is covered: its largest kernel ``exp(-||a - b||^2 / bandwidth^2)`` to given rows.

    Parameters
    ----------
    z : ndarray of shape (n, d), float64
    bandwidth : float > 0
    """

    def __init__(self, z: NDArray[np.float64], bandwidth: float) -> None:
        self.z = shared_tensor(z)
        self.bandwidth = bandwidth
        self.sq_norms = on_host(squared_norms(z))
        self._most = min(len(z), _HELD // (8 * len(z)))
        self._place, self._n_held = np.full(len(z), -1), 0  # where each row's kernels are held
        self._held: NDArray[np.float64] | None = None

    def kernel(self, rows: NDArray | torch.Tensor, sq_norms: NDArray) -> NDArray[np.float64]:
        """Of each of `rows` with every row of `z`, `(len(rows), n)`."""
        found = squared_distances(
            on_host(shared_tensor(rows).to(self.z.device) @ self.z.T), sq_norms[:, None], self.sq_norms
        )
        with np.errstate(over="ignore", under="ignore"):
            # Not by its square, which may be 0 or infinite.
            found /= -self.bandwidth
            found /= self.bandwidth
            return np.exp(found, out=found)

    def by(self, others: NDArray[np.float64]) -> NDArray[np.float64]:
        """The coverage `(n,)` by the rows `others`; 0 by none."""
        covered = np.zeros(len(self.z))
        for rows in blocks(len(others), _BLOCK // (8 * len(self.z))):
            part = others[rows]
            np.maximum(covered, self.kernel(part, on_host(squared_norms(part))).max(axis=0), out=covered)
        return covered

    def added(self, i: NDArray, covered: NDArray) -> NDArray[np.float64]:
        """Coverage that each of the rows `i` would add to every row, `(len(i), n)`."""
        found = self._kernels(i)
        found -= covered
        return np.maximum(found, 0, out=found)

    def _kernels(self, i: NDArray) -> NDArray[np.float64]:
        """Those of the rows `i`, a fresh array; the latest are held, since the same rows are looked at again."""
        new = i[self._place[i] < 0]
        if self._n_held + len(new) > self._most:
            self._place[:], self._n_held, new = -1, 0, i
        if len(new) > self._most:
            return self.kernel(self.z[new], self.sq_norms[new])
        if len(new) > 0:
            if self._held is None:
                self._held = np.empty((self._most, len(self.z)))
            at = self._n_held + np.arange(len(new))
            self._held[at] = self.kernel(self.z[new], self.sq_norms[new])
            self._place[new] = at
            self._n_held += len(new)
        return self._held[self._place[i]]  # type: ignore[index]

    def upper_bounds(self, covered: NDArray, weights: NDArray) -> NDArray[np.float64] | None:
        """Of the gains of all rows, in float32 and by symmetry; None where they would say too little."""
        # Rounding of a kernel, whose exponent is a sum of d + 2 terms of at most 2 / bandwidth^2: taken off the
        # coverage, so that only what a row might cover counts for more than it is.
        rounding = _UNIT * (8 + 4 * (self.z.shape[1] + 8) / self.bandwidth / self.bandwidth)
        if not rounding < _LOOSE:
            return None
        scaled = (self.z * (math.sqrt(2) / self.bandwidth)).float()

        def on_device(values: NDArray) -> torch.Tensor:
            return torch.from_numpy(values.astype(np.float32)).to(scaled.device)

        half = on_device(self.sq_norms / self.bandwidth / self.bandwidth)
        covered32, weights32 = on_device(covered - rounding), on_device(weights)
        out = torch.zeros(len(self.z), dtype=torch.float64, device=scaled.device)
        work, found = (torch.empty(2, _SIDE * _SIDE, device=scaled.device)).unbind()
        parts = list(blocks(len(self.z), _SIDE))
        for k, rows in enumerate(parts):
            for columns in parts[k:]:
                shape = (rows.stop - rows.start, columns.stop - columns.start)
                kernel, added = (of[: shape[0] * shape[1]].view(shape) for of in (found, work))
                torch.addmm(-half[columns], scaled[rows], scaled[columns].T, out=kernel)
                kernel.sub_(half[rows, None]).exp_()
                out[rows] += torch.sub(kernel, covered32[columns], out=added).relu_() @ weights32[columns]
                if columns != rows:
                    out[columns] += weights32[rows] @ kernel.sub_(covered32[rows, None]).relu_()
        return on_host(out) * (1 + 4 * _SIDE * _UNIT)  # of the sums


def herd(
    coverage: Coverage,
    covered: NDArray[np.float64],
    weights: NDArray[np.float64],
    n_picks: int,
    rng: np.random.Generator,
    candidates: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Greedy picks: each is the candidate that adds most to the weighted mean coverage of all rows.

    What a candidate adds only shrinks, so that one that is not up to date is an upper bound, and only candidates that
    might be the best are compared with the latest coverage.

    Parameters
    ----------
    coverage : Coverage
    covered : ndarray of shape (n,)
        How well each row is covered beforehand. Left as it is.
    weights : ndarray of shape (n,), >= 0
        What the coverage of each row counts.
    n_picks : int in [1, len(candidates)]
    rng : Generator
        Breaks ties: differences that are rounding.
    candidates : ndarray of int, optional
        Rows that may be picked; all by default.

    Returns
    -------
    picks : ndarray of shape (n_picks,), int64
        Unique positions in the order of picking.
    gains : ndarray of shape (n_picks,), float64
        What each adds to the mean; never increases.
    """
    n = len(covered)
    covered, weights = covered.copy(), weights / n
    rounding = _ROUNDING * weights.sum()
    bounds = coverage.upper_bounds(covered, weights) if candidates is None else None
    candidates = np.arange(n) if candidates is None else candidates
    bounds = np.full(len(candidates), np.inf) if bounds is None else bounds
    seen = np.full(len(candidates), -1)  # the step that each bound is of, as an exact gain
    picks, gains = np.empty(n_picks, dtype=np.int64), np.empty(n_picks)
    for step in range(n_picks):
        size, is_tight = _FIRST, len(candidates) < n or step == 0
        while True:
            best = bounds[seen == step].max(initial=rounding)
            stale = np.flatnonzero((seen < step) & (bounds >= best - rounding) & (bounds > rounding))
            if len(stale) == 0:
                break
            if size > _FIRST and not is_tight and len(stale) > n // _MANY:
                # Much has changed, as by the first picks: the cheap bounds again.
                tighter, is_tight = coverage.upper_bounds(covered, weights), True
                if tighter is not None:
                    bounds[seen < step] = np.minimum(bounds, tighter)[seen < step]
                    continue
            if len(stale) > size:
                stale = stale[np.argpartition(bounds[stale], -size)[-size:]]
            for part in blocks(len(stale), _BLOCK // (8 * n)):
                latest = stale[part]
                added = coverage.added(candidates[latest], covered)
                found = added @ weights
                bounds[latest] = np.where(found > rounding, found, 0.0)
            seen[stale] = step
            size *= 2
        pick = rng.choice(np.flatnonzero(bounds >= bounds.max() - rounding))
        picks[step], gains[step] = candidates[pick], bounds[pick]
        bounds[pick] = -np.inf  # below every other, so that no row is picked twice
        if gains[step] > 0:
            at = np.flatnonzero(latest == pick)
            covered += added[at[0]] if len(at) else coverage.added(candidates[[pick]], covered)[0]
    # Only rounding, in ties, leads upwards.
    return picks, np.minimum.accumulate(gains)
