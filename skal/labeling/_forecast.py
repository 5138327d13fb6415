"""What a learning curve promises of the next labels: families of curves, fitted and weighed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import t as student

__all__ = ["Forecast", "forecast_gain"]

# Exponents of the power law; rates of the exponential in units of the labels spanned so far.
_EXPONENTS = np.geomspace(0.05, 4, 32)
_RATES = np.geomspace(0.05, 20, 32)
_SMALLEST = 1e-12  # what counts as no error at all, in a sum of squares and in a gain


class Forecast(NamedTuple):
    """The gain in score that the next labels bring: expected, with its interval, and by family."""

    gain: float
    low: float
    high: float
    families: dict[str, float]


def forecast_gain(n_labels: NDArray[np.float64], scores: NDArray[np.float64], step: int, confidence: float) -> Forecast:
    """Forecast the gain of `step` more labels from a curve of at least three points, labels ascending."""
    n_points = len(n_labels)
    gains, sds, weights, families = [], [], [], {}
    for name, shapes in _families(np.append(n_labels, n_labels[-1] + step)).items():
        x, ahead = shapes[:, :-1], shapes[:, -1] - shapes[:, -2]
        x = x - x.mean(axis=1, keepdims=True)
        spread = (x**2).sum(axis=1)
        slope = x @ scores / spread
        errors = ((scores - scores.mean() - slope[:, None] * x) ** 2).sum(axis=1)
        log_weight = -0.5 * n_points * np.log(errors + _SMALLEST)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        gains.append(slope * ahead)
        sds.append(np.sqrt(errors / (n_points - 2) / spread) * ahead)
        weights.append(weight)
        families[name] = float(weight @ gains[-1])
    gain, sd, weight = np.concatenate(gains), np.concatenate(sds), np.concatenate(weights) / len(families)
    low, high = (_quantile(q, gain, sd, weight, n_points - 2) for q in (0.5 - confidence / 2, 0.5 + confidence / 2))
    return Forecast(float(weight @ gain), low, high, families)


def _families(n: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Rising shapes x(n) of the curves a + b x(n), one a row, by family; the last n is that of the forecast."""
    first, last = n[0], n[-2]
    return {
        "power law": -((n / first) ** -_EXPONENTS[:, None]),
        "exponential": -np.exp(-_RATES[:, None] * (n - first) / (last - first)),
    }


def _quantile(
    q: float, gain: NDArray[np.float64], sd: NDArray[np.float64], weight: NDArray[np.float64], freedom: int
) -> float:
    """Of the mixture of Student's t distributions; it lies between the quantiles of its parts."""
    sd = np.maximum(sd, _SMALLEST)
    each = gain + sd * student.ppf(q, freedom)
    lowest, highest = each.min() - _SMALLEST, each.max() + _SMALLEST
    return float(brentq(lambda at: weight @ student.cdf((at - gain) / sd, freedom) - q, lowest, highest))
