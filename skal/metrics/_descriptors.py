"""How good descriptors are: retrieval."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..utils._arrays import blocks, l2_normalize
from ._arguments import as_labels, as_matrix

__all__ = ["retrieval_map"]


_BLOCK = 1_000_000  # similarities at a time


def retrieval_map(descriptors: ArrayLike, y: ArrayLike) -> float:
    r"""Mean average precision of retrieval: how far ahead each sample's nearest descriptors are of its own class.

    It judges descriptors without any training: 1 if the nearest to every sample are all those of its class.

    Parameters
    ----------
    descriptors : array-like of shape (n, d)
        One descriptor for each sample, compared by their cosine.
    y : array-like of shape (n,)
        Labels, of any kind.

    Returns
    -------
    float
        The mean over all samples that are not alone in their class, in (0, 1].

    Raises
    ------
    ValueError, TypeError
        If `descriptors` are not a finite, two-dimensional array, the two do not match, or no class has two samples.

    Notes
    -----
    Each sample q is a query among all others, ranked by cosine (of equal ones the first in order first). With
    :math:`R_q` others of its class, :math:`r_1 < r_2 < \dots` their ranks,

    .. math:: \mathrm{mAP} = \frac1Q \sum_q \frac1{R_q} \sum_{i=1}^{R_q} \frac{i}{r_i}.

    Difference from the Oxford and Paris protocols of the reference: every sample is a query, and there is no "junk"
    that is ignored. Time O(n^2 (d + log n)), memory O(n d) and blocks of about 30 MB.

    References
    ----------
    J. Philbin, O. Chum, M. Isard, J. Sivic, A. Zisserman, "Object retrieval with large vocabularies and fast
    spatial matching", CVPR 2007.

    Examples
    --------
    >>> from skal.metrics import retrieval_map
    >>> retrieval_map([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], ["a", "a", "b", "b"])
    1.0
    >>> retrieval_map([[1, 0], [0, 1], [1, 0.1], [0.1, 1]], ["a", "a", "b", "b"])
    0.416...
    """
    unit = l2_normalize(as_matrix(descriptors, "'descriptors' of retrieval_map"))
    n = len(unit)
    labels = np.unique(as_labels(y, "'y' of retrieval_map", n), return_inverse=True)[1].ravel()
    counts = np.bincount(labels)
    queries = np.flatnonzero(counts[labels] > 1)
    if len(queries) == 0:
        raise ValueError("'y' of retrieval_map must hold a class with two samples or more. Got none.")
    total = 0.0
    for part in blocks(len(queries), _BLOCK // n):
        rows = queries[part]
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf  # last, where it counts for nothing
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :-1]
        right = labels[order] == labels[rows, None]
        precision = np.cumsum(right, axis=1) / np.arange(1, n)
        total += float(((precision * right).sum(axis=1) / right.sum(axis=1)).sum())
    return total / len(queries)
