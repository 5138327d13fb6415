"""The table and the picture of a comparison."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ._statistics import LEVEL, mean_interval, score_columns

__all__ = ["format_table", "plot_comparison"]

# Okabe and Ito's palette, which colour-blind readers can tell apart; black is random's, yellow is too pale.
# Markers and dashes repeat what the colours say; the n-th strategy has the n-th of each.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
DASHES: list[Any] = ["-", (0, (5, 1.5)), (0, (3, 1, 1, 1))]


def format_table(summary: pd.DataFrame, reference: str, score: str, correction: str | None) -> str:
    """The summary as aligned text; better, worse and undecided in the same place and size."""
    header = [
        ("", "strategy"),
        ("final", score.replace("_", " ")),
        ("area under", "curve"),
        (f"area against {reference}", f"difference [{LEVEL:.0%} interval]"),
        (f"labels saved against {reference}", f"mean [{LEVEL:.0%} interval]"),
        ("seconds", "per query"),
    ]
    rows = [
        (
            str(name),
            f"{row['final']:.4f}",
            f"{row['area']:.4f}",
            _cell(row, "area_difference", "area", "+.4f"),
            _cell(row, "labels_saved", "labels_saved", "+.0f"),
            f"{row['query_seconds']:.3f}",
        )
        for name, row in summary.iterrows()
    ]
    lines = [[top for top, _ in header], [bottom for _, bottom in header], *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text.insert(2, "  ".join("-" * width for width in widths))
    n_seeds = int(summary["n_seeds"].iloc[0])
    n_tests = len(summary) - 1
    adjusted = f", adjusted for {n_tests} strategies (Holm)" if correction and n_tests > 1 else ""
    note = (
        f"{n_seeds} paired {'run' if n_seeds == 1 else 'runs'} per strategy. Intervals: Student t over the runs, for "
        f"each strategy on its own. Undecided: the p-value of the paired t test{adjusted} is not below {1 - LEVEL:.2f}."
    )
    return "\n".join([*text, "", note, *_censored(summary, reference)])


def _censored(summary: pd.DataFrame, reference: str) -> list[str]:
    """Where labels saved are no more than a bound."""
    missed = summary["labels_saved_censored"].drop(reference)
    named = [f"{name} in {count}" for name, count in missed.items() if count > 0]
    return [
        f"The best score of {reference} was missed by {', '.join(named)} of {summary['n_seeds'].iloc[0]} runs: labels "
        "saved are then those for the strategy's own best score, and it would need more for the other."
    ] * bool(named)


def _cell(row: pd.Series, column: str, measure: str, form: str) -> str:
    if row[f"{measure}_verdict"] == "reference":
        return "reference"
    mean, low, high = (f"{row[key]:{form}}" for key in (column, f"{measure}_low", f"{measure}_high"))
    interval = f"{mean} [{low}, {high}]" if np.isfinite(row[f"{measure}_low"]) else f"{mean} [one run]"
    return f"{interval} {row[f'{measure}_verdict']}"


def plot_comparison(results: pd.DataFrame, summary: pd.DataFrame, reference: str, path: str | os.PathLike) -> Path:
    """Left: mean accuracy over labels with its band. Right: paired area differences, with intervals."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'The plot needs matplotlib, which is not installed. Install it with: pip install "skal[plot]"'
        ) from error

    names = list(summary.index)
    others = [name for name in names if name != reference]
    styles = {reference: {"color": "black", "linestyle": "-", "marker": ""}}
    for position, name in enumerate(others):
        styles[name] = {
            "color": COLORS[position % len(COLORS)],
            "linestyle": DASHES[position % len(DASHES)],
            "marker": MARKERS[position % len(MARKERS)],
        }
    figure = Figure(figsize=(12, 5.2), dpi=150, layout="constrained")
    curves, forest = figure.subplots(1, 2, width_ratios=(1.45, 1))
    _draw_curves(curves, results, names, styles)
    _draw_differences(forest, summary, others, reference, styles)
    for axes in (curves, forest):
        axes.spines[["top", "right"]].set_visible(False)
    path = Path(path)
    figure.savefig(path)
    return path


def _draw_curves(axes: Any, results: pd.DataFrame, names: list[str], styles: dict[str, dict[str, Any]]) -> None:
    score = score_columns(results)[0]
    for name in names:
        table = results[results["strategy"] == name].pivot(index="n_labels", columns="seed", values=score)
        labels = table.index.to_numpy()
        mean, low, high = np.array([mean_interval(values) for values in table.to_numpy()]).T
        axes.fill_between(labels, low, high, color=styles[name]["color"], alpha=0.10, linewidth=0)
        axes.plot(labels, mean, label=name, linewidth=1.8, markersize=5, **styles[name])
    n_seeds = results["seed"].nunique()
    axes.set_xlabel("labels")
    axes.set_ylabel(f"test {score.replace('_', ' ')}")
    axes.set_title(f"Learning curves: mean of {n_seeds} runs, band: {LEVEL:.0%} interval", loc="left", fontsize=11)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="lower right", handlelength=3.2)


def _draw_differences(
    axes: Any, summary: pd.DataFrame, others: list[str], reference: str, styles: dict[str, dict[str, Any]]
) -> None:
    axes.axvline(0, color="black", linewidth=1.8)
    for row, name in enumerate(others):
        mean, low, high = 100 * summary.loc[name, ["area_difference", "area_low", "area_high"]].to_numpy(float)
        style = styles[name]
        if np.isfinite(low):
            axes.plot([low, high], [row, row], color=style["color"], linewidth=2.2)
        axes.plot([mean], [row], marker=style["marker"], color=style["color"], markersize=8)
        axes.annotate(
            f"{mean:+.2f}  {summary['area_verdict'][name]}",
            (mean, row),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=10,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    axes.set_yticks(range(len(others)), others)
    axes.set_ylim(len(others) - 0.4, -0.7)
    axes.margins(x=0.15)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"points of 0.01; 0 is {reference}")
    axes.set_title(f"Area under the curve: difference, {LEVEL:.0%} interval", loc="left", fontsize=11)
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
