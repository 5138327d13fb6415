"""How good the classifier is so far, by cross-validation on what is labelled."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ._forecast import Forecast

__all__ = ["Estimate", "accuracy_of", "interval", "lacks", "learning_curve", "next_gain"]

_FOLDS, _FEWEST, _POINTS, _FEWEST_POINTS = 5, 10, 6, 4


class Estimate(NamedTuple):
    """Accuracy with so many labels, and its 95 % interval."""

    n_labels: int
    accuracy: float
    low: float
    high: float


def lacks(labels: Sequence[Any]) -> str:
    """Why there can be no estimate; an empty text where there can."""
    n_second = _second(labels)
    if len(labels) >= _FEWEST and n_second >= 2:
        return ""
    return (
        f"accuracy cannot be estimated yet: it takes {_FEWEST} labels, of two classes or more with two each; "
        f"there are {len(labels)}, of {len(set(labels))} {'class' if len(set(labels)) == 1 else 'classes'}"
    )


def learning_curve(model: Any, X: Any, labels: Sequence[Any], seed: int) -> list[Estimate]:
    """Accuracy with the first labels, more and more of them up to all.

    The folds are the same for all points, and each is tested on all labels: of the labels outside a fold, the first so
    many train the classifier, in the order in which they were given.
    """
    sizes = np.unique(np.geomspace(_FEWEST, len(labels), _POINTS).round().astype(int)).tolist()
    return _estimates(model, X, labels, seed, sizes)


def accuracy_of(model: Any, X: Any, labels: Sequence[Any], seed: int) -> Estimate:
    """The last point of the curve: accuracy with all labels."""
    return _estimates(model, X, labels, seed, [len(labels)])[0]


def next_gain(curve: Sequence[Estimate], n_next: int) -> Forecast | None:
    """What so many more labels are expected to bring, by families of curves; None where there are too few points."""
    if n_next < 1 or len(curve) < _FEWEST_POINTS:
        return None
    from ._forecast import forecast_gain

    n_labels, scores = np.array([(point.n_labels, point.accuracy) for point in curve]).T
    return forecast_gain(n_labels, scores, n_next, confidence=0.95)


def interval(n_right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z = 1.959964
    share, scale = n_right / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _second(labels: Sequence[Any]) -> int:
    """How many labels the second largest class has: in so many folds, each training set has two classes."""
    counts = Counter(labels).most_common(2)
    return counts[1][1] if len(counts) == 2 else 0


def _estimates(model: Any, X: Any, labels: Sequence[Any], seed: int, sizes: Sequence[int]) -> list[Estimate]:
    from sklearn.model_selection import StratifiedKFold

    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    splits = StratifiedKFold(min(_FOLDS, _second(labels)), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = list(splits.split(np.zeros(len(codes)), codes))
    return [_estimate(model, X, codes, folds, size) for size in sizes]


def _estimate(model: Any, X: Any, codes: NDArray, folds: list[Any], size: int) -> Estimate:
    n_right = 0
    for train, test in folds:
        known = train[train < size]
        n_right += int((_predicted(model, X, codes, known, test) == codes[test]).sum())
    return Estimate(size, n_right / len(codes), *interval(n_right, len(codes)))


def _predicted(model: Any, X: Any, codes: NDArray, known: NDArray, test: NDArray) -> NDArray:
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning

    if len(set(codes[known].tolist())) < 2:  # the only class that is known then
        return np.full(len(test), codes[known[0]] if len(known) else -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted: NDArray = np.asarray(clone(model).fit(X[known], codes[known]).predict(X[test]))
    return predicted
