"""DM2's distance between features."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from ..utils._arrays import blocks, l2_normalize
from ._arguments import as_matrix

__all__ = ["combined_distances"]

_BLOCK = 64 * 2**20  # bytes of a work array


def combined_distances(X: ArrayLike, Y: ArrayLike | None = None) -> NDArray[np.float64]:
    r"""DM2's combined distance between rows: the mean of Euclidean and Manhattan distance of normalised features.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Features, finite, d >= 1. Rows are divided by their Euclidean norm first; a zero row stays zero.
    Y : array-like of shape (m, d), optional
        Other features; None compares the rows of `X` with each other.

    Returns
    -------
    ndarray of shape (n, m), float64
        Distances in [0, (1 + sqrt(d)) / d]. Without `Y` symmetric with a zero diagonal.

    Raises
    ------
    ValueError, TypeError
        Features that are not two-dimensional, not finite, or of different width.

    Notes
    -----
    DM2, eqs. 4-6, with :math:`\hat f = f / \lVert f \rVert_2`:

    .. math:: d_C = \tfrac12 (d_E + d_M), \qquad d_E = \tfrac1d \lVert \hat f_i - \hat f_j \rVert_2, \qquad
              d_M = \tfrac1d \lVert \hat f_i - \hat f_j \rVert_1

    It is a metric on the normalised features. O(n m d) time, O(n m) memory: for the neighbours in a pool use
    :class:`skal.strategies.DM2`, which never holds such an array.

    References
    ----------
    S. Song, X. Wang, S. Dong, J. Jiang, "Robust deep active learning via distance-measured data mixing and
    adversarial training", Entropy 27, 1159, 2025.

    Examples
    --------
    >>> from skal.metrics import combined_distances
    >>> combined_distances([[3, 4]], [[1, 0]]).round(6)
    array([[0.523607]])
    """
    first = _features(X, "X")
    second = first if Y is None else _features(Y, "Y")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            "'X' and 'Y' of combined_distances must have the same number of features. "
            f"Got {first.shape[1]} and {second.shape[1]}."
        )
    first, second = l2_normalize(first), l2_normalize(second)
    distances = cdist(first, second)
    for rows in blocks(len(first), _BLOCK // (8 * max(1, len(second)))):
        distances[rows] += cdist(first[rows], second, "cityblock")
    return distances / (2 * first.shape[1])


def _features(X: ArrayLike, name: str) -> NDArray[np.float64]:
    return as_matrix(X, f"'{name}' of combined_distances", may_be_empty=True).astype(np.float64, copy=False)
