"""Paired statistics over seeds: each difference to the reference with its interval, and a plain verdict."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ..metrics import area_under_learning_curve, label_savings

__all__ = ["LEVEL", "Interval", "mean_interval", "summarize", "verdict"]

LEVEL = 0.95


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


def summarize(results: pd.DataFrame, reference: str) -> pd.DataFrame:
    """One row per strategy, in order of appearance: means over seeds and paired differences to `reference`.

    Parameters
    ----------
    results : DataFrame with one row per strategy, seed and round
        Columns `strategy`, `seed`, `round`, `n_labels`, `accuracy`, `imbalance`, `query_seconds`. Every
        strategy has the same seeds and rounds.
    reference : str
        Name of the strategy that the others are compared with.

    Returns
    -------
    DataFrame indexed by strategy
        Columns `final_accuracy`, `area` (mean accuracy over the labels spent), `imbalance` (of the last
        labelled set) and `query_seconds` (mean of one query); for each of `final_accuracy`, `area` and
        `labels_saved` the paired difference to the reference `<name>_difference`, its `<name>_low` and
        `<name>_high`, and `<name>_verdict` (labels saved are a difference already: `labels_saved` itself).
        The reference's own are NaN, with the verdict `reference`.
    """
    per_seed = {name: _per_seed(runs) for name, runs in results.groupby("strategy", sort=False)}
    base = per_seed[reference]
    rows = []
    for name, runs in per_seed.items():
        own = results[results["strategy"] == name]
        row: dict[str, object] = {
            "strategy": name,
            "n_seeds": len(runs["area"]),
            "final_accuracy": float(runs["final_accuracy"].mean()),
            "area": float(runs["area"].mean()),
            "imbalance": float(own[own["round"] == own["round"].max()]["imbalance"].mean()),
            "query_seconds": float(own["query_seconds"].mean()),
        }
        for measure in ("final_accuracy", "area"):
            row |= _compared(measure, f"{measure}_difference", runs[measure] - base[measure], name == reference)
        saved = np.array(
            [
                label_savings(labels, scores, ref_labels, ref_scores)
                for (labels, scores), (ref_labels, ref_scores) in zip(runs["curves"], base["curves"], strict=True)
            ]
        )
        row |= _compared("labels_saved", "labels_saved", saved, name == reference)
        rows.append(row)
    return pd.DataFrame(rows).set_index("strategy")


def _per_seed(runs: pd.DataFrame) -> dict:
    """Curves and single figures of one strategy's runs, ordered by seed so that they pair with another's."""
    curves = [
        (run["n_labels"].to_numpy(dtype=float), run["accuracy"].to_numpy(dtype=float))
        for _, run in runs.sort_values("round").groupby("seed", sort=True)
    ]
    return {
        "curves": curves,
        "final_accuracy": np.array([scores[-1] for _, scores in curves]),
        "area": np.array([area_under_learning_curve(labels, scores) for labels, scores in curves]),
    }


def _compared(measure: str, column: str, differences: NDArray[np.float64], is_reference: bool) -> dict[str, object]:
    if is_reference:
        nan = float("nan")
        return {column: nan, f"{measure}_low": nan, f"{measure}_high": nan, f"{measure}_verdict": "reference"}
    interval = mean_interval(differences)
    return {
        column: interval.mean,
        f"{measure}_low": interval.low,
        f"{measure}_high": interval.high,
        f"{measure}_verdict": verdict(interval),
    }
