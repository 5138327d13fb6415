"""Temperature scaling: probabilities that are as right as they are sure, by labelled samples held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ...models import one_class_proba
from ...rows import one_column

__all__ = ["best_temperature", "calibration_error", "held_out_proba", "proba_of_held", "tempered"]

_TEMPERATURES = np.geomspace(0.1, 10, 201)  # 1 stands in the middle


def tempered(proba: NDArray, temperature: float) -> NDArray[np.float64]:
    """Probabilities `(n, n_classes)` in proportion to ``proba ** (1 / temperature)``: their logits divided by it."""
    with np.errstate(divide="ignore"):
        return softmax(np.log(proba.astype(np.float64)) / temperature, axis=1)


def calibration_error(proba: NDArray, y: NDArray, n_bins: int = 15) -> float:
    """Expected calibration error: the mean difference of accuracy and confidence over equal bins of confidence.

    Parameters
    ----------
    proba : ndarray of shape (n, n_classes)
    y : ndarray of shape (n,), int
        The right column of each row.
    n_bins : int >= 1, default=15
    """
    confidence = proba.max(axis=1)
    gap = (proba.argmax(axis=1) == y) - confidence
    bins = np.minimum((confidence * n_bins).astype(np.int64), n_bins - 1)
    return float(np.abs(np.bincount(bins, weights=gap, minlength=n_bins)).sum() / len(y))


def best_temperature(proba: NDArray, y: NDArray) -> float:
    """The temperature in [0.1, 10] of least calibration error; of equals the one nearest to 1, by its logarithm."""
    errors = np.array([calibration_error(tempered(proba, t), y) for t in _TEMPERATURES])
    equals = _TEMPERATURES[errors <= errors.min() + 1e-12]
    return float(equals[np.argmin(np.abs(np.log(equals)))])


def held_out_proba(
    pool: Any, share: float, rng: np.random.Generator, by: str
) -> tuple[NDArray, NDArray[np.int64]] | None:
    """Probabilities of a random share of the labelled samples, by a clone trained on the rest, and their columns.

    None where the rest has one class only.
    """
    labeled = pool.labeled
    columns = labeled.y_encoded
    order = rng.permutation(len(columns))
    n_held = max(1, round(share * len(columns)))
    held, rest = np.sort(order[:n_held]), order[n_held:]
    if len(np.unique(columns[rest])) < 2:
        return None
    return proba_of_held(labeled, held, rng, by), columns[held]


def proba_of_held(labeled: Any, held: NDArray[np.int64], rng: np.random.Generator, by: str) -> NDArray:
    """Probabilities of the labelled samples `held` (positions) by a clone trained on the rest of them.

    Where the rest has one class only, the clone is sure of that; where there is no rest, of nothing.
    """
    y, rest = one_column(labeled.y), np.setdiff1d(np.arange(len(labeled)), held)
    if len(rest) == 0:
        return np.full((len(held), len(labeled.classes)), 1 / len(labeled.classes))
    if len(np.unique(labeled.y_encoded[rest])) < 2:
        return one_class_proba(len(held), y[rest].tolist()[0], labeled.classes)
    view, view_of_rest = labeled.part(held), labeled.part(rest)
    view_of_rest.y = y[rest]
    view.labeled = view_of_rest
    (proba,) = view.iter_clone_samples(1, rng, bootstrap=False, by=by)
    return proba
