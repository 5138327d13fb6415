"""What is measured on the test set: any of scikit-learn's scores, or callables, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils.metaestimators import available_if

from ..utils._validation import kind_of, shown
from ._statistics import NO_SCORES

__all__ = ["Scorer", "check_scoring", "score_with", "settings_of"]

Scorer = Callable[..., Any]

# Of the summary; a score of such a name would hide them.
_MEASURES = ("final", "area", "labels_saved")
_TAKEN = {
    *NO_SCORES, *_MEASURES, "n_seeds", "labels_saved_censored", "labels_needed", "labels_needed_reference"
}  # fmt: skip
# What the summary appends to the names of measures, scores among them.
_ENDS = ("difference", "low", "high", "p", "exact_p", "verdict")


def check_scoring(scoring: Any, option: str = "'scoring' of compare") -> dict[str, str | Scorer]:
    """Scores by the names of their columns, as they were given: names of scikit-learn's, or callables."""
    if isinstance(scoring, Mapping):
        named = dict(scoring)
    elif isinstance(scoring, str) or callable(scoring):
        named = {scoring if isinstance(scoring, str) else "score": scoring}
    elif isinstance(scoring, Iterable):
        listed = list(scoring)
        if any(not isinstance(one, str) for one in listed):
            raise TypeError(
                f"A list as {option} must hold names of scores; callables get theirs in a dict. "
                f"Got {shown(next(one for one in listed if not isinstance(one, str)))} in it."
            )
        named = dict.fromkeys(listed)
        named = {name: name for name in named}
    else:
        named = {"score": scoring}
    if not named:
        raise ValueError(f"{option} must hold at least one score. Got none.")
    made = {f"{measure}_{end}" for measure in (*_MEASURES, *named) for end in _ENDS}
    for name, score in named.items():
        if not (callable(score) or (isinstance(score, str) and score in get_scorer_names())):
            near = difflib.get_close_matches(str(score), get_scorer_names(), n=1)
            raise ValueError(
                f"{option} must be the name of a score of scikit-learn's, or a callable, or several of them. "
                f"Got {shown(score)}{f'; did you mean {near[0]}?' if near else '.'}"
            )
        if not (isinstance(name, str) and name.isprintable() and name.strip()) or name in _TAKEN | made or "," in name:
            raise ValueError(
                f"Names in {option} must be printable texts without commas, and none of {', '.join(sorted(_TAKEN))}, "
                f"nor one of these or another score with {', '.join(f'_{end}' for end in _ENDS)}. Got {shown(name)}."
            )
    return named


def settings_of(scoring: Mapping[str, str | Scorer], identity: Callable[[Any], str]) -> dict[str, str]:
    """What the scores compute, for a results folder."""
    return {name: score if isinstance(score, str) else identity(score) for name, score in scoring.items()}


def score_with(
    scoring: Mapping[str, str | Scorer], learner: Any, X: Any, y: NDArray, classes: NDArray
) -> dict[str, float]:
    """The scores of a learner, finite numbers; `classes` are all that there are, those without a label among them."""
    view, found = _AllClasses(learner, classes), {}
    for name, score in scoring.items():
        value = get_scorer(score)(view, X, y) if isinstance(score, str) else score(learner, X, y)
        if np.ndim(value) != 0 or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
            kind = shown(value) if np.ndim(value) == 0 else kind_of(value)
            raise ValueError(f"the score '{name}' must be a finite number. Got {kind}.")
        found[name] = float(value)
    return found


def _has(name: str, unless: str | None = None) -> Callable[[Any], bool]:
    def check(view: Any) -> bool:
        estimator = view.learner.estimator
        return hasattr(estimator, name) and not (unless is not None and hasattr(estimator, unless))

    return check


class _AllClasses(ClassifierMixin, BaseEstimator):
    """A learner as scikit-learn's scores see it: it knows all classes, and is asked once.

    Scores of probabilities must not fail because a class has no label yet: its probability is 0.
    """

    def __init__(self, learner: Any, classes: NDArray) -> None:
        self.learner = learner
        self.classes_ = classes
        self._known: dict[str, tuple[Any, Any]] = {}

    def predict(self, X: Any) -> Any:
        return self._once("predict", X)

    @available_if(_has("predict_proba"))
    def predict_proba(self, X: Any) -> NDArray:
        found = np.asarray(self._once("predict_proba", X))
        if found.shape[1] == len(self.classes_):
            return found
        own = np.asarray(self.learner.classes_)
        proba = np.zeros((len(found), len(self.classes_)), dtype=found.dtype)
        proba[:, np.searchsorted(self.classes_, own)] = found
        return proba

    @available_if(_has("decision_function", unless="predict_proba"))
    def decision_function(self, X: Any) -> Any:
        return self._once("decision_function", X)

    def _once(self, name: str, X: Any) -> Any:
        if name not in self._known or self._known[name][0] is not X:
            ask = self.learner if hasattr(self.learner, name) else self.learner.estimator
            self._known[name] = X, getattr(ask, name)(X)
        return self._known[name][1]
