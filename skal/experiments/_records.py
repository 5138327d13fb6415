"""What is written down of a run beside its scores: near-duplicates, memory, and the samples that were queried."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_chunked

from ..rows import flat_numeric, take_rows

__all__ = ["NearDuplicates", "peak_memory", "queried_positions", "reset_peak_memory", "shared_queries"]

# Two samples are near-duplicates below this share of the median distance of two samples.
_NEAR = 0.1
_N_REFERENCE = 256
# Of wider samples every so many-th number is looked at.
_WIDEST = 1024


class NearDuplicates:
    """Says which samples nearly repeat one that was labelled before them.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        All samples. Of what holds no numbers of one shape, or numbers that are missing, nothing is known.
    pool : ndarray of int
        Positions of the pool. Its evenly spaced samples, at most 256, say how far two samples lie apart.

    Notes
    -----
    Euclidean distances of raw values, each divided by its standard deviation; near is at most a tenth of the median
    distance of two samples of the pool.
    """

    def __init__(self, X: Any, pool: NDArray[np.int64]) -> None:
        self._X = X
        chosen = pool[np.linspace(0, len(pool) - 1, min(_N_REFERENCE, len(pool))).astype(int)]
        reference = self._values(chosen)
        self._near = None
        if reference is not None:
            deviation = reference.std(axis=0)
            self._scale = np.where(deviation > 0, deviation, 1.0)
            apart = np.concatenate(list(pairwise_distances_chunked(reference / self._scale)))
            self._near = _NEAR * float(np.median(apart[np.triu_indices(len(apart), 1)])) if len(apart) > 1 else 0.0

    def among(self, labeled: NDArray[np.int64], n_new: int) -> NDArray[np.bool_] | None:
        """Of the last `n_new` of the labelled positions, which nearly repeat one before them; None if not known."""
        values = None if self._near is None else self._values(labeled)
        if values is None:
            return None
        values /= self._scale
        first = len(labeled) - n_new

        def repeats(distances: NDArray, start: int) -> NDArray[np.bool_]:
            later = np.arange(len(labeled)) >= (first + start + np.arange(len(distances)))[:, np.newaxis]
            return np.where(later, np.inf, distances).min(axis=1) <= self._near

        return np.concatenate(list(pairwise_distances_chunked(values[first:], values, reduce_func=repeats)))

    def _values(self, positions: NDArray[np.int64]) -> NDArray | None:
        flat = flat_numeric(take_rows(self._X, positions))
        if flat is None or flat.shape[1] == 0:
            return None
        values = np.array(flat[:, :: -(-flat.shape[1] // _WIDEST)], dtype=np.float64)
        return values if np.isfinite(values).all() else None


def reset_peak_memory() -> None:
    """Let the peak begin anew, where the system can (Linux)."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_memory() -> float:
    """The most memory that was resident in this process since the peak began, in MiB; NaN where nobody knows."""
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def queried_positions(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each position that was queried, from the texts in results."""
    parts = rows["queried"].str.split(" ")
    long = rows[["strategy", "seed", "round"]].assign(position=parts).explode("position", ignore_index=True)
    return long.astype({"seed": np.int64, "round": np.int64, "position": np.int64})


def shared_queries(queried: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """For each two strategies: the share of queried samples (without the initial set) that both chose, by seed."""
    names = list(names)
    own = queried[queried["round"] > 0]
    chosen = {key: set(part["position"]) for key, part in own.groupby(["strategy", "seed"])}
    seeds = sorted(own["seed"].unique())
    table = [
        [np.mean([len(chosen[a, s] & chosen[b, s]) / len(chosen[a, s]) for s in seeds]) for b in names] for a in names
    ]
    return pd.DataFrame(table, index=names, columns=names)
