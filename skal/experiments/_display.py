"""The table and the picture of a comparison."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ._sentences import censored_sentence, statistics_sentence
from ._statistics import LEVEL, mean_interval, score_columns

__all__ = [
    "COLORS",
    "DifferencesDisplay",
    "Displays",
    "LearningCurvesDisplay",
    "fitted",
    "format_table",
    "plot_comparison",
    "plot_ranks",
]

# Okabe and Ito's palette, which colour-blind readers can tell apart; black is random's, yellow is too pale.
# Markers and dashes repeat what the colours say; the n-th strategy has the n-th of each.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
DASHES: list[Any] = ["-", (0, (5, 1.5)), (0, (3, 1, 1, 1))]
# Longer names, in heights of the font, would take the room of what is drawn.
_LONGEST_NAME = 16


def fitted(name: str, widest: float) -> str:
    """A name, cut where it is wider than so many heights of the font (by generous widths of its signs)."""
    ends = np.cumsum([_width(sign) for sign in name])
    if not name or ends[-1] <= widest:
        return name
    n_kept = int(np.searchsorted(ends, widest - 1, side="right"))
    return f"{name[: max(1, n_kept)]}\u2026"


def _width(sign: str) -> float:
    if unicodedata.east_asian_width(sign) in "WF" or sign in "MWmw%@":
        return 1.0
    return 0.75 if sign.isupper() else 0.64


def _in_picture(name: str) -> str:
    """A name as matplotlib shows it: it takes `$` for mathematics, and leaves out of legends what begins with `_`."""
    return f"{' ' * name.startswith('_')}{fitted(name, _LONGEST_NAME)}".replace("$", r"\$")


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
    said = [statistics_sentence(summary, correction), *censored_sentence(summary, reference)]
    return "\n".join([*text, "", *said])


def _cell(row: pd.Series, column: str, measure: str, form: str) -> str:
    if row[f"{measure}_verdict"] == "reference":
        return "reference"
    mean, low, high = (f"{row[key]:{form}}" for key in (column, f"{measure}_low", f"{measure}_high"))
    interval = f"{mean} [{low}, {high}]" if np.isfinite(row[f"{measure}_low"]) else f"{mean} [one run]"
    return f"{interval} {row[f'{measure}_verdict']}"


class LearningCurvesDisplay:
    """Mean learning curves with 95 % bands, after the manner of scikit-learn's displays.

    Parameters
    ----------
    results : DataFrame
        As of a `Comparison`.
    reference : str
        The strategy in black.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Of the last `plot`.
    """

    def __init__(self, results: pd.DataFrame, reference: str) -> None:
        self.results = results
        self.reference = reference

    def plot(self, *, ax: Any = None) -> LearningCurvesDisplay:
        """Draw into `ax`, or into a new figure of pyplot's. Needs matplotlib."""
        self.ax_ = _axes() if ax is None else ax
        self.figure_ = self.ax_.figure
        names = list(self.results["strategy"].unique())
        _draw_curves(self.ax_, self.results, names, _styles(names, self.reference))
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self


class DifferencesDisplay:
    """Paired differences of the area with their intervals and verdicts, after the manner of scikit-learn's displays.

    Parameters
    ----------
    summary : DataFrame
        As of a `Comparison`.
    reference : str
        The strategy that the others are compared with.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Of the last `plot`.
    """

    def __init__(self, summary: pd.DataFrame, reference: str) -> None:
        self.summary = summary
        self.reference = reference

    def plot(self, *, ax: Any = None) -> DifferencesDisplay:
        """Draw into `ax`, or into a new figure of pyplot's. Needs matplotlib."""
        self.ax_ = _axes() if ax is None else ax
        self.figure_ = self.ax_.figure
        names = list(self.summary.index)
        others = [name for name in names if name != self.reference]
        _draw_differences(self.ax_, self.summary, others, self.reference, _styles(names, self.reference))
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self


class Displays(NamedTuple):
    """The pictures of a comparison."""

    curves: LearningCurvesDisplay
    differences: DifferencesDisplay


def plot_comparison(displays: Displays, path: str | os.PathLike) -> Path:
    """Left: mean score over labels with its band. Right: paired area differences, with intervals."""
    figure = _figure(figsize=(12, 5.2))
    curves, forest = figure.subplots(1, 2, width_ratios=(1.45, 1))
    displays.curves.plot(ax=curves)
    displays.differences.plot(ax=forest)
    path = Path(path)
    figure.savefig(path)
    return path


def plot_ranks(ranks: pd.Series, groups: list[list[str]], n_sets: int, path: str | os.PathLike) -> Path:
    """Mean ranks on a line, the best on the left; bars join what is not decided."""
    half = -(-len(ranks) // 2)
    figure = _figure(figsize=(9, 1.6 + 0.3 * half + 0.18 * len(groups)))
    axes = figure.subplots()
    depth = 0.18 * len(groups) + 0.3
    for i, (name, rank) in enumerate(ranks.items()):
        left = i < half
        level = depth + 0.35 * (i if left else len(ranks) - 1 - i)
        end = 1 - 0.15 if left else len(ranks) + 0.15
        axes.plot([rank, rank, end], [0, -level, -level], color="black", linewidth=1)
        side = {"ha": "right" if left else "left", "va": "center"}
        axes.annotate(f" {_in_picture(str(name))} ({rank:.2f}) ", (end, -level), fontsize=10, **side)
    for i, group in enumerate(groups):
        ends = ranks[group]
        level = -0.15 - 0.18 * i
        axes.plot([ends.min() - 0.04, ends.max() + 0.04], [level, level], color=COLORS[0], linewidth=4)
    axes.set_xlim(1 - 0.2, len(ranks) + 0.2)
    axes.set_xticks(range(1, len(ranks) + 1))
    axes.xaxis.set_ticks_position("top")
    axes.spines["top"].set_position(("data", 0))
    axes.spines[["left", "right", "bottom"]].set_visible(False)
    axes.set_yticks([])
    axes.set_title(f"Mean rank over {n_sets} data sets; bars join what is not decided", fontsize=11, pad=18)
    path = Path(path)
    figure.savefig(path)
    return path


@contextmanager
def _needs_matplotlib() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ImportError(
            'The plot needs matplotlib, which is not installed. Install it with: pip install "skal[plot]"'
        ) from error


def _figure(figsize: tuple[float, float]) -> Any:
    """A figure for a file, which pyplot does not show."""
    with _needs_matplotlib():
        from matplotlib.figure import Figure
    return Figure(figsize=figsize, dpi=150, layout="constrained")


def _axes() -> Any:
    """Axes of a new figure of pyplot's, which a notebook shows."""
    with _needs_matplotlib():
        from matplotlib import pyplot
    return pyplot.subplots(figsize=(7, 5), layout="constrained")[1]


def _styles(names: list[str], reference: str) -> dict[str, dict[str, Any]]:
    styles: dict[str, dict[str, Any]] = {reference: {"color": "black", "linestyle": "-", "marker": ""}}
    for position, name in enumerate(name for name in names if name != reference):
        styles[name] = {
            "color": COLORS[position % len(COLORS)],
            "linestyle": DASHES[position % len(DASHES)],
            "marker": MARKERS[position % len(MARKERS)],
        }
    return styles


def _draw_curves(axes: Any, results: pd.DataFrame, names: list[str], styles: dict[str, dict[str, Any]]) -> None:
    score = score_columns(results)[0]
    for name in names:
        table = results[results["strategy"] == name].pivot(index="n_labels", columns="seed", values=score)
        labels = table.index.to_numpy()
        mean, low, high = np.array([mean_interval(values) for values in table.to_numpy()]).T
        axes.fill_between(labels, low, high, color=styles[name]["color"], alpha=0.10, linewidth=0)
        axes.plot(labels, mean, label=_in_picture(name), linewidth=1.8, markersize=5, **styles[name])
    n_seeds = results["seed"].nunique()
    axes.set_xlabel("labels")
    axes.set_ylabel(f"test {_in_picture(score.replace('_', ' '))}")
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
    axes.set_yticks(range(len(others)), map(_in_picture, others))
    axes.set_ylim(len(others) - 0.4, -0.7)
    axes.margins(x=0.15)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"points of 0.01; 0 is {_in_picture(reference)}")
    axes.set_title(f"Area difference, {LEVEL:.0%} interval", loc="left", fontsize=11)
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
