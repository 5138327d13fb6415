"""Learning curves: the area under one, and the labels that one saves against another."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..utils._validation import shown
from ._arguments import check_real, real_array

__all__ = ["area_under_learning_curve", "label_savings"]


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
    ValueError, TypeError
        If the two do not match, are no numbers or hold NaN or infinity, or `n_labels` does not increase.

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
    if not isinstance(normalize, (bool, np.bool_)):
        raise ValueError(
            f"The 'normalize' parameter of area_under_learning_curve must be a bool. Got {shown(normalize)} instead."
        )
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
    ValueError, TypeError
        If a curve's two arrays do not match, are no numbers or hold NaN or infinity, or label counts do not increase,
        or `target` is no finite number.

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
    else:
        target = check_real(target, "The 'target' score of label_savings", "finite")
    needed, ref_needed = (
        _labels_to_reach(labels, values, target),
        _labels_to_reach(ref_labels, ref_values, target),
    )
    return float("nan") if np.isinf(needed) and np.isinf(ref_needed) else ref_needed - needed


def _check_curve(
    n_labels: ArrayLike, scores: ArrayLike, labels_name: str, scores_name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    labels, values = (
        real_array(given, f"'{name}' of a learning curve").astype(np.float64)
        for given, name in ((n_labels, labels_name), (scores, scores_name))
    )
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
