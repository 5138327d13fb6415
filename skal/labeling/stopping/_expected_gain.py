"""Expected gain: what the next batch will bring, from the learning curve so far."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.model_selection import StratifiedKFold

from ...base import Interval, StrOptions
from ...learners import ActiveLearner
from ...pool import PoolView
from ...rows import plain_labels, take_rows
from ...utils._compat import BaseLearner
from ...utils._random import make_generator, seeded_clone, sklearn_seed
from ...utils._torch import torch_rng
from ...utils._validation import shown
from .._forecast import forecast_gain
from ._base import StoppingCriterion, StoppingReport

__all__ = ["ExpectedGain"]


class ExpectedGain(StoppingCriterion):
    """Stop when the next batch is forecast to raise the score by less than a threshold, with its interval.

    Parameters
    ----------
    threshold : float, default=0.002
        Stop when the upper end of the gain's interval is below it; in units of the score, for one batch.
    n_instances : int >= 1 or None, default=None
        Labels in the next batch; None is as many as in the last one.
    scoring : str or callable, default="accuracy"
        A score of scikit-learn's, or ``scoring(estimator, X, y)``; larger is better.
    cv : int >= 2, default=5
        Folds, where there is no `X_eval`; fewer where no class has so many labels.
    confidence : float in (0, 1), default=0.95
        Of the two-sided interval.
    min_rounds : int >= 3, default=5
        Rounds before the first forecast.
    n_points : int >= 3, default=8
        Rounds whose labels are cross-validated, spread evenly over all; the first and the last are among them.
    random_state : int, RandomState or None, default=None
        Draws the folds and seeds the models fitted to them, where these have no seed of their own.

    Attributes
    ----------
    n_labels_ : list of int
        Labels of each round.
    scores_ : list of float
        Score of each round; NaN for those that the last cross-validation has left out.
    interval_ : (float, float)
        Of the last forecast; (NaN, NaN) before the first.
    forecasts_ : dict of str to float
        The gain by family of curves, of the last forecast.
    held_out_ : bool
        Whether the scores are those on `X_eval`.

    Notes
    -----
    With `X_eval` the score s of a round, after n labels, is that of the learner on it. Without, the labelled data are
    cross-validated anew in every update: for each of up to `n_points` rounds, clones of the estimator are fitted to
    what was labelled by then, less the fold that they are scored on, and the folds are those of all labelled data. So
    the whole curve is measured on the same samples. (The scores of each round's own cross-validation do not make a
    curve: what a strategy queries is harder than what it has, and they may fall while the model improves.) Curves of
    two families, both of the form s(n) = a + b x(n), are fitted to the rounds by least squares:

    - power law: x = -(n / n_1)^-c, 32 exponents c from 0.05 (all but a logarithm) to 4;
    - exponential: x = -exp(-r (n - n_1) / (n_m - n_1)), 32 rates r from 0.05 (all but a line) to 20.

    For a given x the forecast gain of k labels, b (x(n_m + k) - x(n_m)), has a Student t distribution with m - 2
    degrees of freedom, m the number of rounds. The forecast is the mixture of these 64 distributions: each family has
    half the weight, however well it fits, and a curve within it the share of its likelihood, (sum of squared
    errors)^(-m / 2). The value is the mean of the mixture, and the interval holds its central `confidence`: noise in
    the scores, doubt about the shape within a family, and the spread between the families are all in it.

    The parametric families are those of the studies of learning curves; the weighing is this library's own. Scores of a
    cross-validation remain biased: the models have seen fewer labels, and the labelled samples are not the pool's.
    Where a strategy has picked hard ones, the gain is that on hard ones, which errs on the side of going on. What no
    method can foresee is a class that has not been found yet.

    At most ``cv * n_points`` fits a round; none with `X_eval`.

    References
    ----------
    T. Viering and M. Loog, "The shape of learning curves: a review", IEEE TPAMI 45, 2023, on the families.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.labeling import ExpectedGain
    >>> from skal.learners import ActiveLearner, simulate
    >>> from skal.strategies import RandomSampling
    >>> X, y = load_iris(return_X_y=True)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=500), RandomSampling(random_state=0))
    >>> criterion = ExpectedGain(random_state=0)
    >>> for step in simulate(learner, X, y, n_instances=10, n_queries=6, random_state=0):
    ...     report = criterion.update(learner, X)
    >>> criterion.n_labels_
    [10, 20, 30, 40, 50, 60, 70]
    >>> low, high = criterion.interval_
    >>> low < report.value < high
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "threshold": [Interval(Real, None, None, closed="neither")],
        "n_instances": [Interval(Integral, 1, None, closed="left"), None],
        "scoring": [StrOptions(set(get_scorer_names())), callable],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "min_rounds": [Interval(Integral, 3, None, closed="left")],
        "n_points": [Interval(Integral, 3, None, closed="left")],
        "random_state": ["random_state"],
    }
    compares_rounds = True
    n_labels_: list[int]
    scores_: list[float]
    interval_: tuple[float, float]
    forecasts_: dict[str, float]
    held_out_: bool

    def __init__(
        self,
        *,
        threshold: float = 0.002,
        n_instances: int | None = None,
        scoring: str | Callable[..., Any] = "accuracy",
        cv: int = 5,
        confidence: float = 0.95,
        min_rounds: int = 5,
        n_points: int = 8,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.threshold = threshold
        self.n_instances = n_instances
        self.scoring = scoring
        self.cv = cv
        self.confidence = confidence
        self.min_rounds = min_rounds
        self.n_points = n_points
        self.random_state = random_state

    def _judge(self, pool: PoolView, X_eval: Any, y_eval: Any) -> StoppingReport:
        if not isinstance(pool.classifier, BaseLearner) or pool.n_labeled == 0:
            raise TypeError(
                "ExpectedGain must be given a learner that holds its labelled data, such as an ActiveLearner. "
                f"Got {type(pool.classifier).__name__}."
            )
        held_out = X_eval is not None
        if held_out != getattr(self, "held_out_", held_out):
            raise ValueError("X_eval and y_eval of ExpectedGain must be given in every round or in none.")
        learner = pool.classifier
        # A learner of skal's sees to containers and dtypes; modAL's is scored by its estimator.
        estimator = learner if isinstance(learner, ActiveLearner) else learner.estimator
        n = pool.n_labeled
        # Rounds that were taken back are forgotten.
        past = [(m, s) for m, s in zip(getattr(self, "n_labels_", []), getattr(self, "scores_", [])) if m < n]
        n_labels = [*(m for m, _ in past), n]
        if held_out:
            scores = [*(s for _, s in past), self._score(estimator, X_eval, plain_labels(y_eval))]
        else:
            labels = _class_labels(pool)
            counts = np.sort(np.unique(labels, return_counts=True)[1])
            if len(counts) < 2 or counts[-2] < 2:
                reason = "Two classes must have two labels or more each for a cross-validation."
                return StoppingReport(False, np.nan, reason)
            scores = self._cross_validated(estimator, pool, labels, n_labels, min(self.cv, int(counts[-1])))
        return self._forecast(n_labels, scores, held_out)

    def _forecast(self, n_labels: list[int], scores: list[float], held_out: bool) -> StoppingReport:
        interval: tuple[float, float] = (np.nan, np.nan)
        families: dict[str, float] = {}
        known = np.isfinite(scores)
        if len(n_labels) < self.min_rounds:
            reason = f"{len(n_labels)} of the {self.min_rounds} rounds that a forecast takes are there."
            report = StoppingReport(False, np.nan, reason)
        elif known.sum() < 3:
            report = StoppingReport(False, np.nan, "Fewer than three rounds have two classes in each fold.")
        else:
            step = n_labels[-1] - n_labels[-2] if self.n_instances is None else self.n_instances
            found = forecast_gain(np.array(n_labels, float)[known], np.array(scores)[known], step, self.confidence)
            interval, families, stop = (found.low, found.high), found.families, found.high < self.threshold
            reason = (
                f"The next {step} labels are forecast to bring {found.gain:+.4f}, from {found.low:+.4f} to "
                f"{found.high:+.4f}: {'below' if stop else 'not surely below'} {self.threshold:g}."
            )
            report = StoppingReport(stop, found.gain, reason)
        self.n_labels_, self.scores_, self.held_out_ = n_labels, scores, held_out
        self.interval_, self.forecasts_ = interval, families
        return report

    def _cross_validated(
        self, estimator: Any, pool: PoolView, y: NDArray[Any], n_labels: list[int], n_folds: int
    ) -> list[float]:
        """Scores on the same folds of clones that have seen the labels of each round; NaN where they are not asked."""
        seed = sklearn_seed(make_generator(self.random_state, pool.n_labeled))
        splits = _quiet_splits(StratifiedKFold(n_folds, shuffle=True, random_state=seed), y)
        n_points = min(len(n_labels), self.n_points)
        X, scores = pool.labeled.X, [np.nan] * len(n_labels)  # type: ignore[union-attr]
        for i in np.linspace(0, len(n_labels) - 1, n_points).round().astype(int):
            # Labels stand in the order in which they came; the last round has them all.
            trains = [train[train < n_labels[i]] if i < len(n_labels) - 1 else train for train, _ in splits]
            if any(len(np.unique(y[train])) < 2 for train in trains):
                continue
            of_folds = []
            for train, (_, test) in zip(trains, splits):
                member = seeded_clone(estimator, seed)
                with torch_rng(seed):
                    member.fit(take_rows(X, train), y[train])
                    of_folds.append(self._score(member, take_rows(X, test), y[test]))
            scores[i] = float(np.mean(of_folds))
        return scores

    def _score(self, estimator: Any, X: Any, y: Any) -> float:
        scorer = get_scorer(self.scoring) if isinstance(self.scoring, str) else self.scoring
        score = scorer(estimator, X, y)
        if not isinstance(score, Real) or not np.isfinite(float(score)):
            raise ValueError(f"The 'scoring' of ExpectedGain must give a finite number. Got {shown(score)} instead.")
        return float(score)


def _class_labels(pool: PoolView) -> NDArray[Any]:
    labels = np.asarray(plain_labels(pool.labeled.y))  # type: ignore[union-attr]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or isinstance(labels[0], dict):
        raise ValueError(
            "ExpectedGain cross-validates one label for each sample. Give X_eval= and y_eval= where there are others."
        )
    return labels


def _quiet_splits(folds: StratifiedKFold, y: NDArray[Any]) -> Any:
    """The splits, without scikit-learn's warning of classes with few labels, of which there are always some."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return list(folds.split(np.zeros(len(y)), y))
