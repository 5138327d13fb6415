"""Stabilized predictions: successive models agree on a fixed set of unlabelled samples."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...base import Interval
from ...pool import PoolView, view_pool
from ...utils._random import make_generator
from ._base import StoppingCriterion, StoppingReport
from ._predictions import predicted_labels

__all__ = ["StabilizedPredictions"]


class StabilizedPredictions(StoppingCriterion):
    """Stop when successive models agree: Cohen's kappa on a stop set, averaged over the last rounds.

    Parameters
    ----------
    threshold : float in (0, 1], default=0.99
        Stop when the mean kappa reaches it.
    window : int >= 1, default=3
        Kappas averaged; with fewer there is no stop.
    n_stop : int >= 1, default=2000
        Samples in the stop set; all of the first pool where it has fewer.
    random_state : int, RandomState or None, default=None
        Draws the stop set.

    Attributes
    ----------
    stop_set_ : container of rows
        The stop set.
    predictions_ : ndarray of shape (n_stop,)
        What the last model predicted for it.
    kappas_ : list of float
        The agreement of each two successive models so far.

    Notes
    -----
    With a and b the predictions of successive models for the stop set,

        kappa = (A_o - A_e) / (1 - A_e),    A_o = mean(a == b),    A_e = sum_c mean(a == c) mean(b == c),

    and the value is the mean of the last `window` kappas. Where both models predict one and the same class throughout,
    kappa is 0 / 0; here it is 0, since the agreement is that of chance.

    The stop set is drawn from the pool of the first `update` on a trained learner, uniformly, and a copy of its rows is
    kept (of a Dataset, a reference to it), because positions shift as the pool shrinks. Its samples may be queried and
    labelled later; they stay in it, as in the paper. The paper's values are the defaults.

    One prediction for `n_stop` samples a round; `n_stop` rows are kept, and pickled with the criterion.

    References
    ----------
    M. Bloodgood and K. Vijay-Shanker, "A method for stopping active learning based on stabilizing predictions and the
    need for user-adjustable stopping", CoNLL 2009.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.labeling import StabilizedPredictions
    >>> X, y = load_iris(return_X_y=True)
    >>> criterion = StabilizedPredictions(window=2, random_state=0)
    >>> for step in (15, 10, 9, 8):
    ...     report = criterion.update(LogisticRegression(max_iter=500).fit(X[::step], y[::step]), X)
    >>> report.stop, len(criterion.kappas_)
    (False, 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "threshold": [Interval(Real, 0, 1, closed="right")],
        "window": [Interval(Integral, 1, None, closed="left")],
        "n_stop": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    compares_rounds = True
    stop_set_: Any
    predictions_: NDArray[Any]
    kappas_: list[float]

    def __init__(
        self,
        *,
        threshold: float = 0.99,
        window: int = 3,
        n_stop: int = 2000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.threshold = threshold
        self.window = window
        self.n_stop = n_stop
        self.random_state = random_state

    def _judge(self, pool: PoolView, X_eval: Any, y_eval: Any) -> StoppingReport:
        name = type(self).__name__
        if not hasattr(self, "stop_set_"):
            rng = make_generator(self.random_state)
            drawn = np.sort(rng.choice(len(pool), size=min(self.n_stop, len(pool)), replace=False))
            part = pool.part(drawn)
            self.predictions_, self.stop_set_, self.kappas_ = predicted_labels(part, name), part.X, []
        else:
            labels = predicted_labels(view_pool(pool.classifier, self.stop_set_), name)
            self.kappas_ = [*self.kappas_, _kappa(self.predictions_, labels)]
            self.predictions_ = labels
        n_kappas = len(self.kappas_)
        if n_kappas < self.window:
            reason = f"{n_kappas} of the {self.window} agreements between successive models that it takes are there."
            return StoppingReport(False, np.nan, reason)
        value = float(np.mean(self.kappas_[-self.window :]))
        stop = value >= self.threshold
        words = "which reaches" if stop else "below"
        return StoppingReport(
            stop, value, f"The mean kappa of the last {self.window} rounds is {value:.4g}, {words} {self.threshold:g}."
        )


def _kappa(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Cohen's kappa of two labellings; 0 where it is 0 / 0."""
    _, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    a, b = codes.reshape(2, -1)
    n, n_classes = len(a), codes.max() + 1
    observed = np.mean(a == b)
    expected = np.bincount(a, minlength=n_classes) @ np.bincount(b, minlength=n_classes) / n**2
    return 0.0 if expected == 1 else float((observed - expected) / (1 - expected))
