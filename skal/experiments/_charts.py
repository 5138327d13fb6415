"""Charts of a report as SVG within the page: no script, values shown under the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd

from ._display import COLORS, fitted
from ._statistics import LEVEL, mean_interval, score_columns

__all__ = ["balance_chart", "curves_chart", "forest_chart", "swatch"]

_DASHES = ["", "9 3", "2 3"]
# Of a curve, under the pointer; classes whose names find room.
_N_POINTS = 60
_N_NAMES = 20
# Height of the font in pixels, as the style of the page says.
_FONT = 13


class _Axis:
    """A scale from values to pixels, with round ticks."""

    def __init__(self, low: float, high: float, start: float, stop: float) -> None:
        if not high - low > 1e-9 * max(abs(low), abs(high)):  # the same but for rounding
            low, high = low - 0.5, high + 0.5
        self._low, self._scale, self._start = low, (stop - start) / (high - low), start
        size = 10 ** np.floor(np.log10((high - low) / 4))
        step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if (high - low) / (factor * size) <= 6)
        self.ticks = [float(tick) for tick in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step]
        self.digits = max(0, int(np.ceil(-np.log10(step) - 1e-9)) + (step / size == 2.5))

    def __call__(self, value: float) -> float:
        return round(self._start + (value - self._low) * self._scale, 1)

    def text(self, tick: float) -> str:
        return f"{tick + 0.0:.{self.digits}f}"


def _style(position: int | None) -> str:
    """Colour and dashes of the n-th strategy; None is the reference."""
    if position is None:
        return 'stroke="currentColor"'
    dash = _DASHES[position % len(_DASHES)]
    return f'stroke="{COLORS[position % len(COLORS)]}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _fill(position: int | None) -> str:
    return "currentColor" if position is None else COLORS[position % len(COLORS)]


def swatch(position: int | None) -> str:
    """A piece of a strategy's line, for legends and tables."""
    line = f'<line x1="0" y1="6" x2="30" y2="6" stroke-width="3" {_style(position)}/>'
    return f'<svg class="swatch" width="30" height="12" aria-hidden="true">{line}</svg>'


def curves_chart(results: pd.DataFrame, positions: dict[str, int | None], ceiling: float | None) -> str:
    """Mean learning curves with bands of their intervals; the ceiling is a dotted line."""
    width, height, bottom = 760, 400, 44
    score = score_columns(results)[0]
    tables = {
        name: results[results["strategy"] == name].pivot(index="n_labels", columns="seed", values=score)
        for name in positions
    }
    bands = {name: np.array([mean_interval(row) for row in table.to_numpy()]) for name, table in tables.items()}
    values = np.concatenate([band.ravel() for band in bands.values()] + ([] if ceiling is None else [[ceiling]]))
    labels = next(iter(tables.values())).index.to_numpy()
    y = _Axis(np.nanmin(values), np.nanmax(values), height - bottom, 12)
    left = max(58.0, 14 + 0.64 * _FONT * max(len(y.text(tick)) for tick in y.ticks))
    x = _Axis(labels.min(), labels.max(), left, width - 14)
    parts = [
        f'<line class="grid" x1="{left}" x2="{width - 14}" y1="{y(tick)}" y2="{y(tick)}"/>'
        f'<text x="{left - 8}" y="{y(tick) + 4}" text-anchor="end">{y.text(tick)}</text>'
        for tick in y.ticks
    ]
    parts += [f'<text x="{x(tick)}" y="{height - 24}" text-anchor="middle">{x.text(tick)}</text>' for tick in x.ticks]
    parts.append(f'<text x="{(left + width) / 2}" y="{height - 5}" text-anchor="middle">labels</text>')
    if ceiling is not None:
        parts.append(
            f'<line class="ceiling" x1="{left}" x2="{width - 14}" y1="{y(ceiling)}" y2="{y(ceiling)}">'
            f"<title>all labels of the pool: {ceiling:.4f}</title></line>"
        )
    for name, band in bands.items():
        if np.isfinite(band).all():
            edge = [*zip(labels, band[:, 1]), *zip(labels[::-1], band[::-1, 2])]
            points = " ".join(f"{x(a)},{y(b)}" for a, b in edge)
            parts.append(f'<polygon points="{points}" fill="{_fill(positions[name])}" fill-opacity="0.1"/>')
    for name, band in bands.items():
        line = " ".join(f"{x(a)},{y(b)}" for a, b in zip(labels, band[:, 0]))
        parts.append(f'<polyline points="{line}" fill="none" stroke-width="2.2" {_style(positions[name])}/>')
    for name, band in bands.items():
        for n, (mean, low, high) in list(zip(labels, band))[:: -(-len(labels) // _N_POINTS)]:
            interval = f" [{low:.4f}, {high:.4f}]" if np.isfinite(low) else ""
            tip = f"{escape(name)}, {n} labels: {mean:.4f}{interval}"
            parts.append(
                f'<circle class="point" cx="{x(n)}" cy="{y(mean)}" r="4" fill="{_fill(positions[name])}">'
                f"<title>{tip}</title></circle>"
            )
    return _svg(width, height, f"Learning curves: {score}", parts)


def forest_chart(summary: pd.DataFrame, positions: dict[str, int | None], reference: str) -> str:
    """Paired differences of the area with their intervals, one line for each strategy."""
    others = [name for name in summary.index if name != reference]
    width, row_height, left, right = 760, 34, 220, 170
    height = 46 + row_height * len(others)
    ends = summary.loc[others, ["area_difference", "area_low", "area_high"]].to_numpy(float)
    finite = np.append(ends[np.isfinite(ends)], 0.0)
    margin = 0.05 * (finite.max() - finite.min())
    x = _Axis(finite.min() - margin, finite.max() + margin, left, width - right)
    bottom = height - 40
    parts = [
        f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="4" y2="{bottom}"/>'
        f'<text x="{x(tick)}" y="{bottom + 16}" text-anchor="middle">{x.text(tick)}</text>'
        for tick in x.ticks
    ]
    parts.append(f'<line x1="{x(0)}" x2="{x(0)}" y1="4" y2="{bottom}" stroke="currentColor" stroke-width="1.6"/>')
    parts.append(
        f'<text x="{(left + width - right) / 2}" y="{height - 6}" text-anchor="middle">'
        f"difference of the area; 0 is {escape(reference)}</text>"
    )
    for i, name in enumerate(others):
        at, (mean, low, high) = 6 + row_height * (i + 0.5), ends[i]
        interval = f" [{low:+.4f}, {high:+.4f}]" if np.isfinite(low) else " [one run]"
        word = summary["area_verdict"][name]
        color = _fill(positions[name])
        line = f'<line x1="{x(low)}" x2="{x(high)}" y1="{at}" y2="{at}" stroke="{color}" stroke-width="3"/>'
        parts.append(
            f"<g><title>{escape(name)}: {mean:+.4f}{interval}, {word}</title>"
            f'<rect x="0" y="{at - row_height / 2}" width="{width}" height="{row_height}" fill="transparent"/>'
            f'<text x="{left - 12}" y="{at + 4}" text-anchor="end">{escape(fitted(name, (left - 12) / _FONT))}</text>'
            f'{line if np.isfinite(low) else ""}<circle cx="{x(mean)}" cy="{at}" r="6" fill="{color}"/>'
            f'<text x="{width - right + 12}" y="{at + 4}">{mean:+.4f} {word}</text></g>'
        )
    return _svg(width, height, f"Differences of the area, {LEVEL:.0%} intervals", parts)


def balance_chart(counts: pd.Series, largest: float, position: int | None) -> str:
    """A column for each class, as high as it was labelled."""
    width, height = 620, 60
    step, named = width / len(counts), len(counts) <= _N_NAMES
    parts = []
    for i, (label, count) in enumerate(counts.items()):
        high = round(height * count / largest, 1) if largest > 0 else 0
        parts.append(
            f"<g><title>{escape(str(label))}: {count:.1f} labels</title>"
            f'<rect x="{i * step:.1f}" y="0" width="{step:.1f}" height="{height}" fill="transparent"/>'
            f'<rect x="{i * step + 0.1 * step:.1f}" y="{height - high:.1f}" width="{0.8 * step:.1f}" height="{high}" '
            f'fill="{_fill(position)}"/></g>'
        )
        if named:
            text = escape(fitted(str(label), 0.95 * step / _FONT))
            parts.append(f'<text x="{(i + 0.5) * step:.1f}" y="{height + 13}" text-anchor="middle">{text}</text>')
    return _svg(width, height + 17 * named, "Labels of each class", parts)


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<div class="wide"><svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" '
        f'style="max-width:{width}px">{"".join(parts)}</svg></div>'
    )
