"""Overall uncertainty: the model is sure of nearly all that is left."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...base import Interval, StrOptions
from ...pool import PoolView
from ...utils._arrays import blocks, entropy
from ._base import StoppingCriterion, StoppingReport

__all__ = ["OverallUncertainty"]

_ROWS = 65_536  # samples worked on at once


class OverallUncertainty(StoppingCriterion):
    """Stop when the mean uncertainty of the pool is below a threshold.

    Parameters
    ----------
    threshold : float in [0, 1], default=0.05
        Stop below it.
    measure : {"entropy", "least_confidence", "margin"}, default="entropy"
        The uncertainty of a sample; see Notes.

    Notes
    -----
    The value is the mean over the pool of the uncertainty u(x), each measure divided by its largest value for K
    classes, so that one threshold serves any number of them:

    - entropy: -sum_c p_c log p_c / log K;
    - least confidence: (1 - p_(1)) K / (K - 1);
    - margin: 1 - (p_(1) - p_(2)).

    Zhu et al. take the entropy, not divided, and the threshold from experience with a task; so should you, since it is
    about the model's own confidence: one that is sure and wrong stops too early, and one that is never sure does not
    stop at all. One pass of the model over the pool; O(n * n_classes) time, no memory beyond the probabilities.

    References
    ----------
    J. Zhu, H. Wang and E. Hovy, "Multi-criteria-based strategy to stop active learning for data annotation", COLING
    2008.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.labeling import OverallUncertainty
    >>> X, y = load_iris(return_X_y=True)
    >>> report = OverallUncertainty(threshold=0.5).update(LogisticRegression(max_iter=500).fit(X, y), X)
    >>> report.stop, round(report.value, 1), report.reason.partition(",")[2]
    (True, 0.2, ' below 0.5.')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "threshold": [Interval(Real, 0, 1, closed="both")],
        "measure": [StrOptions({"entropy", "least_confidence", "margin"})],
    }
    requires = ("proba",)

    def __init__(self, *, threshold: float = 0.05, measure: str = "entropy") -> None:
        self.threshold = threshold
        self.measure = measure

    def _judge(self, pool: PoolView, X_eval: Any, y_eval: Any) -> StoppingReport:
        proba = pool.proba
        if proba.shape[1] == 1:
            return StoppingReport(False, np.nan, f"{pool.model_name} has seen one class only.")
        total = sum(
            _uncertainty(proba[rows].astype(np.float64), self.measure).sum() for rows in blocks(len(pool), _ROWS)
        )
        value = float(total / len(pool))
        stop = value < self.threshold
        words = "below" if stop else "not below"
        return StoppingReport(
            stop, value, f"The mean uncertainty of the pool is {value:.4g}, {words} {self.threshold:g}."
        )


def _uncertainty(proba: NDArray[np.float64], measure: str) -> NDArray[np.float64]:
    n_classes = proba.shape[1]
    if measure == "entropy":
        return entropy(proba) / np.log(n_classes)
    if measure == "least_confidence":
        return (1 - proba.max(axis=1)) * n_classes / (n_classes - 1)
    top_two = np.partition(proba, -2, axis=1)[:, -2:]
    return 1 - (top_two[:, 1] - top_two[:, 0])
