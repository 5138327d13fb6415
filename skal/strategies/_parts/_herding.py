"""Greedy coverage of a pool by kernels around what is labelled or picked: MaxHerding and UncertaintyHerding."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray

from ...base import QueryStrategy
from ...pool import PoolView
from ...utils._arrays import blocks, l2_normalize
from ...utils._clustering import squared_distances

__all__ = ["Coverage", "HerdingStrategy", "herd"]

_BLOCK = 32 * 2**20  # bytes of a work array
_SIDE = 1024  # rows and columns of a block of the first pass
_UNIT = 2.0**-24  # rounding of float32
_LOOSE = 0.01  # the first pass is of no use where its kernels are less exact than this
_ROUNDING = 1e-12  # gains below this share of the largest gain, and differences between gains, are rounding
_FIRST = 8  # candidates brought up to date at once, at first
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
        z = l2_normalize(np.asarray(pool.embeddings, dtype=np.float64))
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
        self.z = z
        self.bandwidth = bandwidth
        self.sq_norms = np.einsum("ij,ij->i", z, z)

    def kernel(self, rows: NDArray, sq_norms: NDArray) -> NDArray[np.float64]:
        """Of each of `rows` with every row of `z`, `(len(rows), n)`."""
        found = squared_distances(rows @ self.z.T, sq_norms[:, None], self.sq_norms)
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
            np.maximum(covered, self.kernel(part, np.einsum("ij,ij->i", part, part)).max(axis=0), out=covered)
        return covered

    def added(self, i: NDArray, covered: NDArray) -> NDArray[np.float64]:
        """Coverage that each of the rows `i` would add to every row, `(len(i), n)`."""
        found = self.kernel(self.z[i], self.sq_norms[i])
        found -= covered
        return np.maximum(found, 0, out=found)

    def upper_bounds(self, covered: NDArray, weights: NDArray) -> NDArray[np.float64] | None:
        """Of the gains of all rows, in float32 and by symmetry; None where they would say too little."""
        # Rounding of a kernel, whose exponent is a sum of d + 2 terms of at most 2 / bandwidth^2: taken off the
        # coverage, so that only what a row might cover counts for more than it is.
        rounding = _UNIT * (8 + 4 * (self.z.shape[1] + 8) / self.bandwidth / self.bandwidth)
        if not rounding < _LOOSE:
            return None
        scaled = torch.from_numpy((self.z * (np.sqrt(2) / self.bandwidth)).astype(np.float32))
        half = torch.from_numpy((self.sq_norms / self.bandwidth / self.bandwidth).astype(np.float32))
        covered32, weights32 = (torch.from_numpy(values.astype(np.float32)) for values in (covered - rounding, weights))
        out = np.zeros(len(self.z))
        parts = list(blocks(len(self.z), _SIDE))
        for k, rows in enumerate(parts):
            for columns in parts[k:]:
                found = torch.addmm(-half[columns], scaled[rows], scaled[columns].T)
                found.sub_(half[rows, None]).exp_()
                out[rows] += ((found - covered32[columns]).relu_() @ weights32[columns]).numpy()
                if columns != rows:
                    out[columns] += (weights32[rows] @ found.sub_(covered32[rows, None]).relu_()).numpy()
        return out * (1 + 4 * _SIDE * _UNIT)  # of the sums


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
