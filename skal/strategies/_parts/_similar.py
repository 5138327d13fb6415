"""Removing similar items from a ranked list: the resampling step of UFFM."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...utils._arrays import l2_normalize

__all__ = ["most_similar", "remove_similar"]


def remove_similar(
    descriptors: ArrayLike,
    n_keep: int,
    fraction: float = 0.1,
    resampling: Literal["removal", "printed"] = "removal",
) -> NDArray[np.int64]:
    """Thin a ranked list out: keep `n_keep` items, and of items that look alike the better ranked.

    Parameters
    ----------
    descriptors : array-like of shape (n, d)
        Descriptors of the items, most uncertain first. Rows are compared by their cosine, which is 0 for a zero
        row.
    n_keep : int in [1, n]
        How many items to keep.
    fraction : float in (0, 1], default=0.1
        Share of the later items that count as similar to an item; at least one does.
    resampling : {"removal", "printed"}, default="removal"
        "removal": all items stand at first; in order, each item that still stands removes the most similar `fraction`
        of the later ones that still stand, until `n_keep` are left. "printed": the paper's algorithm 1 as printed, over
        a set and stopped when it holds `n_keep`: an item joins, and with it, in order, the later items outside
        its most similar `fraction`. With a list less than about 1.1 times `n_keep` long nothing but the first item's
        neighbours is ever left out.

    Returns
    -------
    ndarray of shape (n_keep,), int64
        Positions kept, ascending: the order of the list. Never a repeat.

    Raises
    ------
    ValueError
        Descriptors that are not a finite, two-dimensional array, or a parameter out of range.

    Notes
    -----
    The number of similar items among m later ones is ``max(1, ceil(fraction * m))``; of equally similar items the
    earlier counts first. Where "removal" comes to the end of the list with more than `n_keep` left (few
    items, or a small `fraction`), it begins again at the first item. O(n d) time for each item that removes: with the
    defaults two items for ``n = 1.2 * n_keep``, at most ``n - n_keep`` for the smallest `fraction`. O(n d) memory; no
    (n, n) array.

    References
    ----------
    W. Huang et al., "Unsupervised fusion feature matching for data bias in uncertainty active learning", IEEE
    Transactions on Neural Networks and Learning Systems, 2024, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.strategies import remove_similar
    >>> angles = np.deg2rad([0, 5, 90, 8, 95, 45])
    >>> descriptors = np.column_stack([np.cos(angles), np.sin(angles)])
    >>> remove_similar(descriptors, 4)  # 0 removes 5 degrees, 90 removes 95
    array([0, 2, 3, 5])
    >>> remove_similar(descriptors, 4, resampling="printed")
    array([0, 2, 3, 4])
    """
    unit = np.asarray(descriptors)
    if unit.dtype != np.float32:
        unit = unit.astype(np.float64)
    if unit.ndim != 2 or len(unit) == 0 or not np.isfinite(unit).all():
        raise ValueError(
            "The 'descriptors' of remove_similar must be a finite array of shape (n, d) with n >= 1. "
            f"Got shape {unit.shape}{'' if np.isfinite(unit).all() else ' with NaN or infinity'}."
        )
    if not 1 <= n_keep <= len(unit):
        raise ValueError(f"The 'n_keep' of remove_similar must be in [1, {len(unit)}]. Got {n_keep!r} instead.")
    if not 0 < fraction <= 1:
        raise ValueError(f"The 'fraction' of remove_similar must be in (0, 1]. Got {fraction!r} instead.")
    if resampling not in ("removal", "printed"):
        raise ValueError(
            f"The 'resampling' of remove_similar must be 'removal' or 'printed'. Got {resampling!r} instead."
        )
    unit = l2_normalize(unit)
    return _remove(unit, n_keep, fraction) if resampling == "removal" else _as_printed(unit, n_keep, fraction)


def _n_similar(n_later: int, fraction: float) -> int:
    return max(1, math.ceil(fraction * n_later))


def _remove(unit: NDArray, n_keep: int, fraction: float) -> NDArray[np.int64]:
    standing = np.arange(len(unit))
    while len(standing) > n_keep:
        m = 0
        while m < len(standing) - 1 and len(standing) > n_keep:
            later = standing[m + 1 :]
            k = min(_n_similar(len(later), fraction), len(standing) - n_keep)
            # One product with a contiguous block: taking the rows that stand would copy them all.
            similarity = (unit[later[0] :] @ unit[standing[m]])[later - later[0]]
            standing = np.delete(standing, m + 1 + most_similar(similarity, k))
            m += 1
    return standing


def _as_printed(unit: NDArray, n_keep: int, fraction: float) -> NDArray[np.int64]:
    joined = np.zeros(len(unit), dtype=bool)
    for m in range(len(unit)):
        missing = n_keep - int(joined.sum())
        if missing == 0:
            break
        candidates = ~joined
        candidates[:m] = False
        n_later = len(unit) - m - 1
        if n_later:
            similarity = unit[m + 1 :] @ unit[m]
            candidates[m + 1 + most_similar(similarity, _n_similar(n_later, fraction))] = False
        joined[np.flatnonzero(candidates)[:missing]] = True
    return np.flatnonzero(joined)


def most_similar(similarity: NDArray, k: int) -> NDArray[np.int64]:
    """Positions of the `k` largest similarities; of equal ones the first."""
    threshold = np.partition(similarity, len(similarity) - k)[len(similarity) - k]
    above = np.flatnonzero(similarity > threshold)
    equal = np.flatnonzero(similarity == threshold)
    return np.concatenate([above, equal[: k - len(above)]])
