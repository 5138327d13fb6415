"""How good a selection of samples is: its balance over the classes, and how much of the data it covers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..utils._arrays import l2_normalize
from ..utils._validation import shown
from ._arguments import as_labels, as_matrix, check_int, check_real
from ._targets import as_array

__all__ = ["coverage_rate", "labeled_imbalance"]


def labeled_imbalance(y: ArrayLike, n_classes: int | None = None) -> float:
    r"""How unevenly the labels are spread over the classes: 0 if all equal, 1 if all in one class.

    Unlike the ratio of the largest to the smallest class it stays defined while some class has no label yet.

    Parameters
    ----------
    y : array-like of shape (n_labeled,)
        Labels of the labelled set, of any kind.
    n_classes : int, default=None
        Number of classes of the task, >= 2; classes without a label count. `None` counts the classes in `y`,
        which hides those that have no label yet.

    Returns
    -------
    float
        The imbalance, in [0, 1].

    Raises
    ------
    ValueError, TypeError
        If `y` is empty, not one-dimensional, or not of one type, or `n_classes` is no integer, below 2 or below the
        number of classes in `y`.

    Notes
    -----
    DECERN, eq. 12, with :math:`pc_j` the share of class :math:`j` among the labels and
    :math:`0 \log_2 0 = 0`,

    .. math:: \text{Imbalance} = 1 - \frac{-\sum_j pc_j \log_2 pc_j}{\log_2 N_c}.

    Time O(n log n), memory O(n).

    References
    ----------
    Y. Jin, X. Yang. Combining Discrepancy-Confusion Uncertainty and Calibration Diversity for Active
    Fine-Grained Image Classification. arXiv 2509.24181, appendix B.

    Examples
    --------
    >>> from skal.metrics import labeled_imbalance
    >>> labeled_imbalance(["cat", "dog", "cat", "dog"])
    0.0
    >>> labeled_imbalance([0, 0, 1, 1], n_classes=4)
    0.5
    >>> labeled_imbalance([3, 3, 3], n_classes=4)
    1.0
    """
    labels = as_labels(y, "'y' of labeled_imbalance")
    counts = np.unique(labels, return_counts=True)[1]
    n_present = int(counts.size)
    if n_classes is None:
        n_classes = n_present
    n_classes = check_int(n_classes, "'n_classes' of labeled_imbalance", "an integer of at least 2, or None")
    if n_classes < max(2, n_present):
        raise ValueError(
            f"'n_classes' of labeled_imbalance must be at least 2 and at least the number of classes in y "
            f"({n_present}). Got {shown(n_classes)} instead."
        )
    if n_present == 1:
        return 1.0
    shares = counts / counts.sum()
    # Rounding may leave the quotient a hair above 1 for equal shares.
    return max(0.0, 1.0 + float(np.sum(shares * np.log2(shares))) / math.log2(n_classes))


def coverage_rate(descriptors: ArrayLike, selected: ArrayLike, *, threshold: float = 0.9) -> float:
    r"""Share of the data that a selection covers once samples that look alike count only once.

    The UFFM paper's measure of data bias: of two selections of one size, the one with fewer near-duplicates has the
    higher rate. Compare rates for the same data, descriptors and number of samples only.

    Parameters
    ----------
    descriptors : array-like of shape (n, d)
        Descriptors of all the data, from which samples were selected.
    selected : array-like of shape (m,)
        Positions of the selected samples, in the order of selection, without repeats.
    threshold : float in (-1, 1], default=0.9
        Cosine from which on two samples are alike.

    Returns
    -------
    float
        The rate, in [0, m / n].

    Raises
    ------
    ValueError, TypeError
        If `descriptors` are not a finite, two-dimensional array, or `selected` are not distinct positions in it, or
        `threshold` is out of range.

    Notes
    -----
    The paper: the rate is :math:`S / O`, "where O is the original data and S is the residual data after removing the
    similar parts from the sampled data". It does not say when two samples are similar (a fixed share, as in the
    method itself, would leave about as many of any selection). Here, in the order of selection, a sample stays
    unless its cosine with one that stays is `threshold` or more; S is the number that stay, O = n. Time O(m S d),
    memory O(n d).

    References
    ----------
    W. Huang et al., "Unsupervised fusion feature matching for data bias in uncertainty active learning", IEEE
    Transactions on Neural Networks and Learning Systems, 2024, section IV-E.

    Examples
    --------
    >>> from skal.metrics import coverage_rate
    >>> descriptors = [[1, 0], [1, 0.1], [0, 1], [-1, 0]]
    >>> coverage_rate(descriptors, [0, 1])  # alike: one of four
    0.25
    >>> coverage_rate(descriptors, [0, 2])
    0.5
    """
    unit = l2_normalize(as_matrix(descriptors, "'descriptors' of coverage_rate"))
    chosen = as_array(selected)
    n = len(unit)
    if (
        chosen is None
        or chosen.ndim != 1
        or (chosen.size and chosen.dtype.kind not in "iu")
        or (chosen.size and (chosen.min() < 0 or chosen.max() >= n))
        or len(np.unique(chosen)) != len(chosen)
    ):
        got = shown(selected if chosen is None else chosen.tolist())
        raise ValueError(f"'selected' of coverage_rate must be distinct positions below {n}. Got {got}.")
    argument, words = "The 'threshold' of coverage_rate", "in (-1, 1]"
    if not -1 < check_real(threshold, argument, words) <= 1:
        raise ValueError(f"{argument} must be {words}. Got {shown(threshold)} instead.")
    staying = np.empty((len(chosen), unit.shape[1]), dtype=unit.dtype)
    n_staying = 0
    for row in chosen.astype(np.intp):
        if n_staying == 0 or (staying[:n_staying] @ unit[row]).max() < threshold:
            staying[n_staying] = unit[row]
            n_staying += 1
    return n_staying / n
