"""A comparison as one page that needs nothing beside it, and as Markdown for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ._charts import balance_chart, curves_chart, forest_chart, swatch
from ._pictures import Pick, png_url
from ._sentences import POINT, censored_sentence, counted, power_sentence, sentence, statistics_sentence

if TYPE_CHECKING:
    from ._comparison import Comparison

__all__ = ["html_report", "markdown_report"]

# Classes in the chart of balance; the rest of many would be too thin to be seen.
_N_CLASSES = 100

_HEADER = ["strategy", "final", "area", "area difference", "p", "exact p", "labels saved", "verdict"]


def html_report(found: Comparison, command: str | None, picks: Sequence[Pick]) -> str:
    """The page.

    Parameters
    ----------
    found : Comparison
    command : str or None
        What repeats it.
    picks : sequence of Pick
        What each strategy queried first.
    """
    summary, score = found.summary(), found.scores[0]
    reference = found.reference
    others = [name for name in summary.index if name != reference]
    positions: dict[str, int | None] = {reference: None, **{name: i for i, name in enumerate(others)}}
    positions = {name: positions[name] for name in summary.index}
    legend = "".join(f"<li>{swatch(position)} {escape(name)}</li>" for name, position in positions.items())
    has_checks = found.has_checks
    ceiling = float(found.ceiling().loc[score, "mean"]) if has_checks else None
    dotted = " Dotted: the model trained on all labels of the pool." if has_checks else ""
    sections = [
        _section("What came out", _list(_sentences(found, summary))),
        _section("Verdicts", _table(_HEADER, _verdict_rows(summary, positions), 1) + _notes(found, summary)),
        _section(
            "Learning curves",
            f"<p>Mean {escape(_words(score))} on the test set over the labels spent, with 95% intervals of the means."
            f'{dotted} Values stand under the pointer.</p><ul class="legend">{legend}</ul>'
            f"{curves_chart(found.results, positions, ceiling)}",
        ),
    ]
    if others:
        sections.append(
            _section("Differences", f"<p>Of the area, run by run.</p>{forest_chart(summary, positions, reference)}")
        )
    sections += [_picks(picks, list(summary.index)), _balance(found.class_counts(), positions)]
    sections.append(_overlap(found.overlap()))
    if has_checks:
        sections.append(_section("Checks", _list(_check_sentences(found))))
    sections += [_cost(found.results, list(summary.index)), _repeat(found.setup, command)]
    title = f"{counted(len(others), 'strategy', 'strategies')} against {reference}" if others else f"{reference} alone"
    return _PAGE.format(title=escape(title), style=_STYLE, body="".join(sections))


def markdown_report(found: Comparison, command: str | None) -> str:
    """The sentences, the table, the checks and how to repeat it."""
    summary = found.summary()
    rows = [[_cell(cell) for cell in row] for row in _plain_rows(summary)]
    table = [_HEADER, ["---"] * len(_HEADER), *rows]
    lines = [f"## Query strategies against {_cell(found.reference)}", ""]
    lines += [f"- {_cell(each)}" for each in _sentences(found, summary)]
    lines += ["", *(f"| {' | '.join(row)} |" for row in table)]
    for each in _stated(found, summary):
        lines += ["", _cell(each)]
    if found.has_checks:
        lines += ["", *(f"- {_cell(each)}" for each in _check_sentences(found))]
    lines += ["", *(f"- {key}: {_cell(value)}" for key, value in found.setup.items())]
    if command:
        # Longer than any within it.
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", command)), default=0))
        lines += ["", fence, command, fence]
    return "\n".join(lines) + "\n"


# -- words -------------------------------------------------------------------------------------------------------


def _sentences(found: Comparison, summary: pd.DataFrame) -> list[str]:
    needed = found.runs_needed(POINT)
    others = [name for name in summary.index if name != found.reference]
    score = found.scores[0]
    return [sentence(summary.loc[name], found.reference, score, needed[name]) for name in others] or [
        f"{found.reference} is alone; there is nothing to compare it with."
    ]


def _stated(found: Comparison, summary: pd.DataFrame) -> list[str]:
    return [
        statistics_sentence(summary, found.correction),
        *censored_sentence(summary, found.reference),
        *power_sentence(summary),
        *found.notes,
    ]


def _check_sentences(found: Comparison) -> list[str]:
    row = found.aa()
    interval = f"[{row['area_low']:+.4f}, {row['area_high']:+.4f}]" if np.isfinite(row["area_low"]) else "[one run]"
    said = f"A second random sampling against the first: area {row['area_difference']:+.4f} {interval}, "
    said += f"{row['area_verdict']}. It should be undecided, and is otherwise by chance in one of twenty comparisons."
    means = ", ".join(f"{_words(str(name))} {mean:.4f}" for name, mean in found.ceiling()["mean"].items())
    return [said, f"Trained on all labels of the pool, the model reaches {means}."]


def _plain_rows(summary: pd.DataFrame) -> list[list[str]]:
    rows = []
    for name, row in summary.iterrows():
        compared = ["", "", "", ""]
        if row["area_verdict"] != "reference":
            difference, saved = (
                f"{row[column]:{form}}"
                + (f" [{row[f'{of}_low']:{form}}, {row[f'{of}_high']:{form}}]" if np.isfinite(row[f"{of}_low"]) else "")
                for column, of, form in (("area_difference", "area", "+.4f"), ("labels_saved", "labels_saved", "+.0f"))
            )
            p = [f"{row[key]:.3f}" if np.isfinite(row[key]) else "" for key in ("area_p", "area_exact_p")]
            compared = [difference, *p, saved]
        rows.append([str(name), f"{row['final']:.4f}", f"{row['area']:.4f}", *compared, row["area_verdict"]])
    return rows


def _words(score: str) -> str:
    return score.replace("_", " ")


def _cell(text: Any) -> str:
    """Text that Markdown shows as it is."""
    plain = " ".join(str(text).split()).replace("\\", "\\\\").replace("&", "&amp;")
    plain = re.sub(r"[|*_`<>\[\]#~$]", r"\\\g<0>", plain)
    # At the beginning these make a list or a heading.
    return re.sub(r"^([-+=]|\d+[.)])(?=\s|$)", lambda found: f"{found[0][:-1]}\\{found[0][-1]}", plain)


# -- parts of the page -------------------------------------------------------------------------------------------


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>\n"


def _list(sentences: Iterable[str]) -> str:
    return f'<ul class="said">{"".join(f"<li>{escape(each)}</li>" for each in sentences)}</ul>'


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], n_texts: int) -> str:
    """A table of cells that are HTML; the first so many columns are texts."""
    head = "".join(f"<th{'' if i < n_texts else ' class=number'}>{escape(cell)}</th>" for i, cell in enumerate(header))
    body = "".join(
        "<tr>"
        + "".join(f"<td{'' if i < n_texts else ' class=number'}>{cell}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _verdict_rows(summary: pd.DataFrame, positions: dict[str, int | None]) -> list[list[str]]:
    rows = []
    for name, *cells, word in _plain_rows(summary):
        marked = f'<b class="{word}">{word}</b>'
        rows.append([f"{swatch(positions[name])} {escape(name)}", *map(escape, cells), marked])
    return rows


def _notes(found: Comparison, summary: pd.DataFrame) -> str:
    return "".join(f'<p class="note">{escape(each)}</p>' for each in _stated(found, summary))


def _picks(picks: Sequence[Pick], names: Sequence[str]) -> str:
    groups = []
    for name in names:
        cards = "".join(_card(pick) for pick in picks if pick.strategy == name)
        groups.append(f'<h3>{escape(name)}</h3><ol class="cards">{cards}</ol>')
    note = "Of the first run, in the order of the query. A frame marks what nearly repeats a sample labelled before it."
    return _section("What each picked first", f"<p>{note}</p>{''.join(groups)}")


def _card(pick: Pick) -> str:
    kind = "repeat" if pick.is_repeat else ""
    label = f"<small>{escape(pick.label)}</small>"
    name = f"sample {pick.position}, {pick.label}" + (", nearly a repetition" if pick.is_repeat else "")
    if pick.picture is not None:
        seen = f'<img src="{png_url(pick.picture)}" alt="{escape(name)}">'
    else:
        seen = f"<p>{escape(pick.text)}</p>"
    return f'<li class="{kind}" title="{escape(name)}">{seen}{label}</li>'


def _balance(counts: pd.DataFrame, positions: dict[str, int | None]) -> str:
    left_out = counts.shape[1] - _N_CLASSES
    shown = counts.iloc[:, :_N_CLASSES]
    largest = float(shown.to_numpy().max())
    rows = [
        f"<dt>{escape(str(name))}</dt><dd>{balance_chart(row, largest, positions[str(name)])}</dd>"
        for name, row in shown.iterrows()
    ]
    note = "Labels of each class at the end, means over the runs, initial set included; classes in their order."
    left = "class is" if left_out == 1 else f"{left_out} classes are"
    note += f" The last {left} not drawn." if left_out > 0 else ""
    return _section("Balance of classes", f'<p>{note}</p><dl class="balance">{"".join(rows)}</dl>')


def _overlap(overlap: pd.DataFrame) -> str:
    rows = [
        [escape(str(name)), *(f"{share:.0%}" for share in row)]
        for name, row in zip(overlap.index, overlap.to_numpy(), strict=True)
    ]
    note = "Share of the queried samples that both strategies chose, without the initial set."
    return _section("Overlap", f"<p>{note}</p>{_table(['', *map(str, overlap.columns)], rows, 1)}")


def _cost(results: pd.DataFrame, names: Sequence[str]) -> str:
    rows = []
    for name in names:
        own = results[results["strategy"] == name]
        later = own[own["round"] > 0]
        repeats, memory = later["near_duplicates"].mean(), own["peak_memory"].max()
        rows.append(
            [
                escape(name),
                f"{own['query_seconds'].mean():.3f}",
                f"{own['fit_seconds'].mean():.3f}",
                f"{memory:.0f}" if np.isfinite(memory) else "",
                f"{repeats:.1%}" if np.isfinite(repeats) else "",
            ]
        )
    header = ["strategy", "seconds per query", "seconds per fit", "peak memory, MiB", "near-duplicates"]
    return _section("Cost", _table(header, rows, 1))


def _repeat(setup: dict[str, str], command: str | None) -> str:
    rows = [[escape(key), escape(value)] for key, value in setup.items()]
    call = f"<pre>{escape(command)}</pre>" if command else ""
    return _section("How to repeat it", call + _table(["", ""], rows, 2))


_STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1c1c1c;--dim:#5c5c5c;--line:#dcdcdc;--card:#f5f5f5}
@media(prefers-color-scheme:dark){:root{--back:#16181a;--text:#e8e8e8;--dim:#a3a3a3;--line:#3a3d40;--card:#212427}}
body{background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:0 auto;
padding:24px 20px 60px;overflow-wrap:anywhere}
h1{font-size:1.6rem;margin:0 0 .5rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line);
padding-bottom:.2rem}h3{font-size:1rem;margin:1rem 0 .4rem}p{margin:.4rem 0}.note{color:var(--dim);font-size:.9rem}
.said{padding-left:1.2rem;font-size:1.05rem}.said li{margin:.35rem 0}.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.92rem}th{color:var(--dim);font-weight:600}
td,th{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top;
min-width:10rem}
td.number,th.number{min-width:0;text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
svg{width:100%;height:auto;display:block}.chart{min-width:540px}svg text{fill:var(--text);font-size:13px}
.grid{stroke:var(--line)}
.swatch{display:inline-block;width:30px;vertical-align:middle}.ceiling{stroke:var(--dim);stroke-width:2;
stroke-dasharray:2 5}.point:hover{stroke:var(--text);stroke-width:2}
.legend{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;margin:.5rem 0}
.cards{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:5px;margin:0}
.cards li{background:var(--card);border:3px solid transparent;border-radius:6px;padding:4px;text-align:center;
max-width:200px}.cards li.repeat{border-color:#D55E00}.cards img{width:60px;height:60px;object-fit:contain;
image-rendering:pixelated;display:block;margin:auto}.cards p{font-size:.75rem;text-align:left;margin:0}
.cards small{color:var(--dim);display:block}
.balance{display:grid;grid-template-columns:minmax(90px,190px) 1fr;gap:6px 14px;align-items:end;margin:0}
.balance dd{min-width:0;margin:0;border-bottom:1px solid var(--line)}
@media(max-width:640px){.balance{grid-template-columns:minmax(0,1fr)}}
pre{background:var(--card);padding:.8rem;overflow-x:auto;white-space:pre-wrap;border-radius:6px}
"""

# The page may load nothing, whatever a name in it says.
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
{body}</body></html>
"""
