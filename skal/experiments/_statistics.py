"""Paired statistics over seeds: each difference to the reference with its interval, tests, and a plain verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ..metrics import area_under_learning_curve, label_savings
from ..utils._validation import shown

__all__ = [
    "LEVEL",
    "NO_SCORES",
    "POWER",
    "Interval",
    "adjust",
    "check_correction",
    "exact_p",
    "mean_interval",
    "paired_p",
    "per_run",
    "runs_needed",
    "score_columns",
    "summarize",
    "verdict",
]

LEVEL = 0.95
POWER = 0.8
# Columns of results that are no scores.
NO_SCORES = (
    "strategy", "seed", "round", "n_labels", "imbalance", "n_classes", "near_duplicates", "peak_memory", "fit_seconds",
    "query_seconds", "queried",
)  # fmt: skip
# Up to so many differences all choices of their signs are counted.
_ALL_SIGNS = 16
# Differences below this share of what is compared are rounding.
_ROUNDING = 1e-12


class Interval(NamedTuple):
    """A mean with the two ends of its confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Mean of independent values and its two-sided Student t interval; with one value the ends are NaN.

    With the five or ten seeds that one affords, the t interval is honest about the unknown spread, where a
    bootstrap over so few values is too narrow.
    """
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if array.size < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf(0.5 + level / 2, array.size - 1) * array.std(ddof=1) / np.sqrt(array.size))
    return Interval(mean, mean - half, mean + half)


def verdict(interval: Interval) -> str:
    """`better` or `worse` when the interval excludes 0, else `undecided` (always so with a single seed)."""
    if interval.low > 0:
        return "better"
    if interval.high < 0:
        return "worse"
    return "undecided"


def paired_p(differences: ArrayLike) -> float:
    """Two-sided p-value of the paired t test, below 0.05 where the 95 % interval excludes 0; NaN for one difference."""
    array = np.asarray(differences, dtype=np.float64)
    if array.size < 2:
        return float("nan")
    error = array.std(ddof=1) / np.sqrt(array.size)
    if error == 0:
        return 0.0 if array.mean() else 1.0
    return float(2 * stats.t.sf(abs(array.mean()) / error, array.size - 1))


def exact_p(differences: ArrayLike) -> float:
    """Two-sided p-value of a test that assumes no normal differences.

    Up to 16 differences: the exact permutation test, the share of all choices of signs whose sum is at least as far
    from 0; its least value is ``2 ** (1 - n)``. Beyond: Wilcoxon's signed-rank test, exact without ties up to 50.
    """
    array = np.asarray(differences, dtype=np.float64)
    if not array.any():
        return 1.0
    if array.size > _ALL_SIGNS:
        return float(stats.wilcoxon(array).pvalue)
    sums = np.zeros(1)
    for value in array:
        sums = np.concatenate([sums + value, sums - value])
    # Sums that are equal but for rounding count.
    return float(np.mean(np.abs(sums) >= abs(array.sum()) - 1e-9 * np.abs(array).sum()))


def adjust(p_values: ArrayLike, correction: str | None) -> NDArray[np.float64]:
    """p-values of one family by Holm's step-down procedure ("holm"), or as they are (None); NaN belong to no family."""
    p = np.array(p_values, dtype=np.float64)
    if correction is None:
        return p
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    p[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return p


def check_correction(correction: Any) -> None:
    """A correction that is known."""
    if correction is not None and not (isinstance(correction, str) and correction == "holm"):
        raise ValueError(f"The 'correction' of compare must be 'holm' or None. Got {shown(correction)} instead.")


def runs_needed(deviation: float, difference: float) -> float:
    """Paired runs with which a t test at level 0.05 finds a true difference with power 0.8, >= 2.

    Parameters
    ----------
    deviation : float
        Standard deviation of the paired differences; NaN gives NaN.
    difference : float > 0
        The difference to be found.
    """
    if not (isinstance(difference, Real) and not isinstance(difference, bool) and 0 < difference < np.inf):
        raise ValueError(f"The 'difference' of runs_needed must be a number above 0. Got {shown(difference)} instead.")
    if np.isnan(deviation):
        return float("nan")
    if deviation == 0:
        return 2.0
    ratio = difference / deviation
    # Beyond these, two runs do, and no count that a float holds; SciPy's distributions know neither.
    if ratio > 100:
        return 2.0
    if ratio < 1e-150:
        return float("inf")

    def found(n: int) -> bool:
        edge = stats.t.ppf(0.5 + LEVEL / 2, float(n - 1))
        shift = ratio * math.sqrt(n)
        # Of many runs the t distribution is normal, and SciPy's noncentral one slow.
        if n > 1000:
            return bool(stats.norm.sf(edge - shift) >= POWER)
        return bool(stats.nct.sf(edge, n - 1, shift) + stats.nct.cdf(-edge, n - 1, shift) >= POWER)

    below, above = 1, 2
    while not found(above):
        below, above = above, 2 * above
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if found(middle) else (middle, above)
    return float(above)


def score_columns(results: pd.DataFrame) -> list[str]:
    """Names of the scores in results, in their order."""
    return [str(name) for name in results.columns if name not in NO_SCORES]


def summarize(results: pd.DataFrame, reference: str, correction: str | None = "holm") -> pd.DataFrame:
    """One row per strategy, in order of appearance: means over seeds and paired differences to `reference`.

    Parameters
    ----------
    results : DataFrame with one row per strategy, seed and round
        Columns `strategy`, `seed`, `round`, `n_labels`, one for each score, `imbalance`, `query_seconds`. Every
        strategy has the same seeds and rounds. `final` and `area` are of the first score.
    reference : str
        Name of the strategy that the others are compared with.
    correction : {"holm", None}, default="holm"
        How p-values, and with them verdicts, are adjusted for the number of strategies.

    Returns
    -------
    DataFrame indexed by strategy
        As `Comparison.summary` says.
    """
    scores = score_columns(results)
    per_seed = {str(name): per_run(runs, scores[0]) for name, runs in results.groupby("strategy", sort=False)}
    last = results[results["round"] == results["round"].max()].sort_values("seed")
    finals = {name: runs[scores].to_numpy(float) for name, runs in last.groupby("strategy", sort=False)}
    rows: list[dict[str, Any]] = []
    by_name = {}
    for name, runs in per_seed.items():
        own = results[results["strategy"] == name]
        needed = _labels_needed(runs["curves"], per_seed[reference]["curves"])
        row = {
            "strategy": name,
            "n_seeds": len(runs["area"]),
            "final": float(runs["final"].mean()),
            "area": float(runs["area"].mean()),
            **dict(zip(scores, finals[name].mean(axis=0).tolist(), strict=True)),
            "imbalance": float(own[own["round"] == own["round"].max()]["imbalance"].mean()),
            "query_seconds": float(own["query_seconds"].mean()),
            "labels_needed": float(needed[:, 0].mean()),
            "labels_needed_reference": float(needed[:, 1].mean()),
            "labels_saved_censored": int(needed[:, 2].sum()),
        }
        by_name[name] = {
            "final": _apart(runs["final"], per_seed[reference]["final"]),
            "area": _apart(runs["area"], per_seed[reference]["area"]),
            "labels_saved": needed[:, 1] - needed[:, 0],
            **{score: _apart(finals[name][:, i], finals[reference][:, i]) for i, score in enumerate(scores) if i > 0},
        }
        rows.append(row)
    return _with_tests(rows, by_name, reference, correction)


def _apart(own: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences, 0 where two are equal but for rounding: as after the same samples, taught in another order."""
    scale = max(np.abs(own).max(), np.abs(base).max())
    return np.where(np.abs(own - base) <= _ROUNDING * scale, 0.0, own - base)


def _with_tests(
    rows: list[dict[str, Any]], by_name: Mapping[str, Mapping[str, Any]], reference: str, correction: str | None
) -> pd.DataFrame:
    """The rows with intervals, p-values and verdicts of the differences by seed: of each measure, by strategy."""
    others = [name for name in by_name if name != reference]
    for measure in by_name[reference]:
        values = [by_name[name][measure] for name in others]
        adjusted = adjust([paired_p(each) for each in values], correction)
        exact = adjust([exact_p(each) for each in values], correction)
        found = {name: _tested(*each) for name, *each in zip(others, values, adjusted, exact, strict=True)}
        nothing = Interval(*[float("nan")] * 3), float("nan"), float("nan"), "reference"
        column = measure if measure == "labels_saved" else f"{measure}_difference"
        for row in rows:
            interval, p, exact_, word = found.get(row["strategy"], nothing)
            ends = {f"{measure}_low": interval.low, f"{measure}_high": interval.high}
            tests = {f"{measure}_p": p, f"{measure}_exact_p": exact_, f"{measure}_verdict": word}
            row |= {column: interval.mean, **ends, **tests}
    return pd.DataFrame(rows).set_index("strategy")


def _tested(differences: NDArray[np.float64], p: float, exact: float) -> tuple[Interval, float, float, str]:
    interval = mean_interval(differences)
    word = "undecided"
    if p < 1 - LEVEL:
        word = "better" if interval.mean > 0 else "worse"
    return interval, p, exact, word


def per_run(runs: pd.DataFrame, score: str) -> dict[str, Any]:
    """Curves and single figures of one strategy's runs, ordered by seed so that they pair with another's."""
    curves = [
        (run["n_labels"].to_numpy(dtype=float), run[score].to_numpy(dtype=float))
        for _, run in runs.sort_values("round").groupby("seed", sort=True)
    ]
    return {
        "curves": curves,
        "final": np.array([scores[-1] for _, scores in curves]),
        "area": np.array([area_under_learning_curve(labels, scores) for labels, scores in curves]),
    }


def _labels_needed(curves: Sequence[Any], ref_curves: Sequence[Any]) -> NDArray[np.float64]:
    """Per seed: labels for the best score that both reach, the reference's, whether the reference's best is missed."""
    rows = []
    for (labels, scores), (ref_labels, ref_scores) in zip(curves, ref_curves, strict=True):
        target = min(scores.max(), ref_scores.max())
        # Against a curve that is there with no label, savings are the labels needed.
        needed = label_savings([0.0], [target], labels, scores, target=target)
        saved = label_savings(labels, scores, ref_labels, ref_scores, target=target)
        missed = _apart(scores.max(keepdims=True), ref_scores.max(keepdims=True))[0] < 0
        rows.append((needed, needed + saved, missed))
    return np.array(rows, dtype=np.float64)
