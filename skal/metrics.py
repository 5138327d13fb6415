"""Figures that judge a run of active learning: area under the curve, labels saved, balance, coverage, retrieval."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .utils._arrays import blocks, l2_normalize
from .utils._detections import mean_average_precision
from .utils._neighbors import combined_distances
from .utils._robustness import corruption_report, fgsm_accuracy

__all__ = [
    "area_under_learning_curve",
    "combined_distances",
    "corruption_report",
    "coverage_rate",
    "fgsm_accuracy",
    "label_savings",
    "labeled_imbalance",
    "mean_average_precision",
    "retrieval_map",
]

_BLOCK = 1_000_000  # similarities at a time


def area_under_learning_curve(n_labels: ArrayLike, scores: ArrayLike, *, normalize: bool = True) -> float:
    r"""Area under a learning curve: one figure for a whole run instead of its last point.

    A method that is ahead early and equal at the end has the larger area. Compare areas of runs over the same
    label counts only.

    Parameters
    ----------
    n_labels : array-like of shape (n_points,)
        Number of labels at each point of the curve, strictly increasing, at least two points.
    scores : array-like of shape (n_points,)
        Score at each point (accuracy, for example), finite; larger is better.
    normalize : bool, default=True
        Divide by the range of `n_labels`, which gives the mean score over the labels spent, in the unit of
        the score. Otherwise the unit is score times labels.

    Returns
    -------
    float
        The area.

    Raises
    ------
    ValueError
        If the two do not match, hold NaN or infinity, or `n_labels` does not increase.

    Notes
    -----
    With :math:`n_i` labels and score :math:`s_i` at point :math:`i`, by the trapezoidal rule,

    .. math:: A = \sum_{i=1}^{m-1} \tfrac12 (s_i + s_{i+1})(n_{i+1} - n_i), \qquad
              \text{normalised: } A / (n_m - n_1).

    Difference from the reference: its label axis is logarithmic and its area is rescaled between that of a
    random and that of an ideal learner; here the axis is linear in labels and nothing is rescaled. Time and
    memory O(m).

    References
    ----------
    I. Guyon, G. Cawley, G. Dror, V. Lemaire. Results of the Active Learning Challenge. JMLR Workshop and
    Conference Proceedings 16 (2011), 19-45.

    Examples
    --------
    >>> from skal.metrics import area_under_learning_curve
    >>> area_under_learning_curve([10, 20, 40], [0.5, 0.7, 0.9])
    0.733...
    >>> area_under_learning_curve([10, 20, 40], [0.5, 0.7, 0.9], normalize=False)
    22.0
    """
    labels, values = _check_curve(n_labels, scores, "n_labels", "scores")
    if labels.size < 2:
        raise ValueError("'n_labels' of a learning curve must hold at least two points. Got 1 instead.")
    area = float(np.sum((values[1:] + values[:-1]) / 2.0 * np.diff(labels)))
    return area / float(labels[-1] - labels[0]) if normalize else area


def label_savings(
    n_labels: ArrayLike,
    scores: ArrayLike,
    ref_n_labels: ArrayLike,
    ref_scores: ArrayLike,
    *,
    target: float | None = None,
) -> float:
    r"""Labels that a reference needs for the same score, less those that the method needs: the labels saved.

    It answers in the user's own currency: positive, the method reaches the score with so many labels fewer
    than the reference (random sampling, as a rule); negative, it needs so many more.

    Parameters
    ----------
    n_labels, scores : array-like of shape (n_points,)
        The method's learning curve: label counts (strictly increasing) and scores (finite, larger is better).
    ref_n_labels, ref_scores : array-like of shape (n_ref_points,)
        The reference's learning curve. Its label counts may differ from the method's.
    target : float, default=None
        The score to reach. `None` takes the highest score that both curves reach, so that the answer is
        always finite, and swapping the two curves only turns its sign.

    Returns
    -------
    float
        Labels saved. When a given `target` is out of reach within a curve: ``inf`` if only the reference
        misses it, ``-inf`` if only the method misses it, ``nan`` if both do.

    Raises
    ------
    ValueError
        If a curve's two arrays do not match, hold NaN or infinity, or label counts do not increase, or
        `target` is not finite.

    Notes
    -----
    A learning curve is noisy and may dip, so it is first replaced by its running maximum
    :math:`\bar s(n_i) = \max_{k \le i} s_k`, linearly interpolated between points. With
    :math:`N(t) = \min\{n : \bar s(n) \ge t\}` (the first label count of the curve if it starts at or above
    :math:`t`),

    .. math:: \text{savings} = N_{\text{ref}}(t) - N_{\text{method}}(t), \qquad
              t = \min(\max s_{\text{ref}}, \max s_{\text{method}}) \text{ by default.}

    Differences from the reference: a difference of label counts, not their ratio; the target is the best
    score that both reach, not the baseline's mean over its last points. Time and memory O(n_points).

    References
    ----------
    P. Melville, R. J. Mooney. Diverse ensembles for active learning. ICML 2004 (data utilization ratio).

    Examples
    --------
    >>> from skal.metrics import label_savings
    >>> label_savings([10, 20, 30], [0.5, 0.8, 0.9], [10, 20, 30], [0.5, 0.6, 0.8])
    10.0
    >>> label_savings([10, 20, 30], [0.5, 0.8, 0.9], [10, 20, 30], [0.5, 0.6, 0.8], target=0.7)
    8.333...
    >>> label_savings([10, 20, 30], [0.5, 0.8, 0.9], [10, 20, 30], [0.5, 0.6, 0.8], target=0.85)
    inf
    """
    labels, values = _check_curve(n_labels, scores, "n_labels", "scores")
    ref_labels, ref_values = _check_curve(ref_n_labels, ref_scores, "ref_n_labels", "ref_scores")
    if target is None:
        target = min(float(values.max()), float(ref_values.max()))
    elif not np.isfinite(target):
        raise ValueError(f"The 'target' score of label_savings must be finite. Got {target!r} instead.")
    needed, ref_needed = (
        _labels_to_reach(labels, values, target),
        _labels_to_reach(ref_labels, ref_values, target),
    )
    return float("nan") if np.isinf(needed) and np.isinf(ref_needed) else ref_needed - needed


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
    ValueError
        If `y` is empty or not one-dimensional, or `n_classes` is below 2 or below the number of classes in
        `y`.

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
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(
            f"'y' of labeled_imbalance must be a one-dimensional, non-empty array. Got shape {labels.shape}."
        )
    counts = np.unique(labels, return_counts=True)[1]
    n_present = int(counts.size)
    if n_classes is None:
        n_classes = n_present
    if n_classes < max(2, n_present):
        raise ValueError(
            f"'n_classes' of labeled_imbalance must be at least 2 and at least the number of classes in y "
            f"({n_present}). Got {n_classes} instead."
        )
    if n_present == 1:
        return 1.0
    shares = counts / counts.sum()
    # Rounding may leave the quotient a hair above 1 for equal shares.
    return max(0.0, 1.0 + float(np.sum(shares * np.log2(shares))) / float(np.log2(n_classes)))


def _check_curve(
    n_labels: ArrayLike, scores: ArrayLike, labels_name: str, scores_name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    labels, values = np.asarray(n_labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != values.shape or labels.size == 0:
        raise ValueError(
            f"'{labels_name}' and '{scores_name}' of a learning curve must be one-dimensional, not empty, of "
            f"the same length. Got shapes {labels.shape} and {values.shape} instead."
        )
    for name, array in ((labels_name, labels), (scores_name, values)):
        if not np.isfinite(array).all():
            raise ValueError(f"'{name}' of a learning curve must be finite. Got NaN or infinity.")
    if np.any(np.diff(labels) <= 0):
        raise ValueError(f"'{labels_name}' of a learning curve must be strictly increasing. Got {labels.tolist()}.")
    return labels, values


def _labels_to_reach(labels: NDArray[np.float64], values: NDArray[np.float64], target: float) -> float:
    """Smallest label count at which the interpolated running maximum reaches `target`; inf if never."""
    best = np.maximum.accumulate(values)
    position = int(np.searchsorted(best, target, side="left"))
    if position == best.size:
        return float("inf")
    if position == 0:
        return float(labels[0])
    share = (target - best[position - 1]) / (best[position] - best[position - 1])
    return float(labels[position - 1] + share * (labels[position] - labels[position - 1]))


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
    ValueError
        If `descriptors` are not a finite, two-dimensional array, or `selected` are not distinct positions in it.

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
    unit = _unit_rows(descriptors, "coverage_rate")
    chosen = np.asarray(selected)
    n = len(unit)
    if (
        chosen.ndim != 1
        or (chosen.size and chosen.dtype.kind not in "iu")
        or (chosen.size and (chosen.min() < 0 or chosen.max() >= n))
        or len(np.unique(chosen)) != len(chosen)
    ):
        raise ValueError(f"'selected' of coverage_rate must be distinct positions below {n}. Got {selected!r}.")
    if not -1 < threshold <= 1:
        raise ValueError(f"The 'threshold' of coverage_rate must be in (-1, 1]. Got {threshold!r} instead.")
    staying = np.empty((len(chosen), unit.shape[1]), dtype=unit.dtype)
    n_staying = 0
    for row in chosen.astype(np.intp):
        if n_staying == 0 or (staying[:n_staying] @ unit[row]).max() < threshold:
            staying[n_staying] = unit[row]
            n_staying += 1
    return n_staying / n


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
    ValueError
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
    unit = _unit_rows(descriptors, "retrieval_map")
    labels = np.unique(np.asarray(y), return_inverse=True)[1].ravel()
    n = len(unit)
    if np.ndim(y) != 1 or len(labels) != n:
        raise ValueError(f"'y' of retrieval_map must hold one label for each of {n} samples. Got shape {np.shape(y)}.")
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


def _unit_rows(descriptors: ArrayLike, owner: str) -> NDArray:
    rows = np.asarray(descriptors)
    if rows.dtype != np.float32:
        rows = rows.astype(np.float64)
    if rows.ndim != 2 or rows.size == 0 or not np.isfinite(rows).all():
        raise ValueError(
            f"'descriptors' of {owner} must be a finite array of shape (n, d), not empty. Got shape {rows.shape}"
            f"{' with NaN or infinity' if rows.size and not np.isfinite(rows).all() else ''}."
        )
    return l2_normalize(rows)
