"""Classification change: no prediction of the pool changes between rounds."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...base import Interval
from ...pool import PoolView
from ...rows import row_keys
from ._base import StoppingCriterion, StoppingReport
from ._predictions import predicted_labels

__all__ = ["ClassificationChange"]


class ClassificationChange(StoppingCriterion):
    """Stop when no prediction of the pool has changed since the last round.

    Parameters
    ----------
    tolerance : float in [0, 1), default=0.0
        Share of changed predictions up to which the pool counts as unchanged.
    patience : int >= 1, default=1
        Successive rounds without a change that it takes.

    Attributes
    ----------
    keys_ : ndarray of shape (n,), uint64
        The samples of the last pool, by content.
    predictions_ : ndarray of shape (n,)
        What the last model predicted for them.
    n_unchanged_ : int
        Rounds without a change, up to the last one.

    Notes
    -----
    The value is the share of samples, among those in the pools of both rounds, whose predicted label differs between
    the models of the two rounds. Samples are told by content (`skal.rows.row_keys`), since positions shift as a pool
    shrinks; duplicates count once. Zhu et al. ask for no change at all and for one round: ``tolerance=0`` and
    ``patience=1``. In a large pool some sample nearly always changes, and in a small step none may: raise `tolerance`
    for the one, `patience` for the other.

    One prediction and one hash of the pool a round, and 16 bytes for each of its samples in between; a Dataset is read
    for the hashes.

    References
    ----------
    J. Zhu, H. Wang and E. Hovy, "Multi-criteria-based strategy to stop active learning for data annotation", COLING
    2008.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.labeling import ClassificationChange
    >>> X, y = load_iris(return_X_y=True)
    >>> criterion = ClassificationChange()
    >>> criterion.update(LogisticRegression(max_iter=500).fit(X[::15], y[::15]), X).reason
    'This is the first round: there is nothing to compare with.'
    >>> 0 < criterion.update(LogisticRegression(max_iter=500).fit(X[::10], y[::10]), X).value < 0.1
    True
    >>> criterion.update(LogisticRegression(max_iter=500).fit(X[::10], y[::10]), X).reason
    'No prediction has changed since the last round.'
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "tolerance": [Interval(Real, 0, 1, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
    }
    compares_rounds = True
    keys_: NDArray[np.uint64]
    predictions_: NDArray[Any]
    n_unchanged_: int

    def __init__(self, *, tolerance: float = 0.0, patience: int = 1) -> None:
        self.tolerance = tolerance
        self.patience = patience

    def _judge(self, pool: PoolView, X_eval: Any, y_eval: Any) -> StoppingReport:
        predictions = predicted_labels(pool, type(self).__name__)
        keys = np.frombuffer(b"".join(key[:8] for key in row_keys(pool.X)), dtype=np.uint64)
        n_unchanged, report = self._compare(keys, predictions)
        self.keys_, self.predictions_, self.n_unchanged_ = keys, predictions, n_unchanged
        return report

    def _compare(self, keys: NDArray[np.uint64], predictions: NDArray[Any]) -> tuple[int, StoppingReport]:
        if not hasattr(self, "keys_"):
            return 0, StoppingReport(False, np.nan, "This is the first round: there is nothing to compare with.")
        shared, before, now = np.intersect1d(self.keys_, keys, return_indices=True)
        if len(shared) == 0:
            return 0, StoppingReport(False, np.nan, "The pool shares no sample with that of the last round.")
        n_changed = int(np.sum(self.predictions_[before] != predictions[now]))
        value = n_changed / len(shared)
        n_unchanged = self.n_unchanged_ + 1 if value <= self.tolerance else 0
        verb = "has" if n_changed == 1 else "have"
        reason = f"{n_changed} of {len(shared)} predictions {verb} changed since the last round"
        if n_changed == 0:
            reason = "No prediction has changed since the last round"
        if self.patience > 1:
            reason += f", {n_unchanged} of {self.patience} rounds without a change"
        return n_unchanged, StoppingReport(n_unchanged >= self.patience, value, f"{reason}.")
