"""A batch on one page, to be looked at: one HTML file that needs nothing beside it, in light and dark."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from ._answers import Id

__all__ = ["Card", "contact_sheet"]

_THUMBNAIL = 240
_LONGEST = 400


class Card(NamedTuple):
    """A sample: its id, what people see of it (a path of an image, a text, or a dict of cells), the model's guess."""

    id: Id
    shown: Any
    guess: str


def contact_sheet(title: str, note: str, cards: Sequence[Card]) -> str:
    """The page.

    Parameters
    ----------
    title : str
    note : str
        A line below it.
    cards : sequence of Card
        All of one kind, the most informative first.
    """
    is_table = bool(cards) and isinstance(cards[0].shown, dict)
    body = _table(cards) if is_table else f'<ol class="cards">{"".join(map(_card, cards))}</ol>'
    return _PAGE.format(title=escape(title), note=escape(note), style=_STYLE, body=body)


def _card(card: Card) -> str:
    is_image = isinstance(card.shown, Path)
    seen = _image(card.shown, str(card.id)) if is_image else f"<p>{escape(_short(card.shown))}</p>"
    guess = f'<span class="guess">{escape(card.guess)}</span>' if card.guess else ""
    return f'<li class="{"image" if is_image else "text"}">{seen}<small>{escape(str(card.id))}</small>{guess}</li>\n'


def _image(path: Path, name: str) -> str:
    """A thumbnail, within the page; one that cannot be read says so in its place."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * _THUMBNAIL, 2 * _THUMBNAIL))
            small = ImageOps.exif_transpose(image).convert("RGB")
            small.thumbnail((_THUMBNAIL, _THUMBNAIL))
            content = io.BytesIO()
            small.save(content, "JPEG", quality=80)
    except Exception as error:  # whatever a damaged file leads to in a decoder
        return f"<p>This image cannot be shown: {escape(type(error).__name__)}.</p>"
    data = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="{escape(name)}" src="data:image/jpeg;base64,{data}">'


def _table(cards: Sequence[Card]) -> str:
    names = list(cards[0].shown)
    has_guess = any(card.guess for card in cards)
    head = ["row", *(["suggestion"] if has_guess else []), *names]
    rows = [[str(card.id), *([card.guess] if has_guess else []), *card.shown.values()] for card in cards]
    return (
        '<div class="wide"><table><thead><tr>'
        + "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
        + "</tr></thead><tbody>\n"
        + "".join(f"<tr>{''.join(f'<td>{escape(_short(cell))}</td>' for cell in row)}</tr>\n" for row in rows)
        + "</tbody></table></div>"
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --soft: #5c5c62; --paper: #fafafa; --card: #fff; --line: #d9d9de; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --soft: #a2a2aa; --paper: #18181b; --card: #232327; --line: #3c3c42; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem; background: var(--paper); color: var(--ink); font: 15px/1.4 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.3rem; }
header p { margin: .2rem 0 1.2rem; color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: .8rem; margin: 0; padding: 0;
  list-style: none; }
.cards:has(.text) { grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); }
.cards li { display: flex; flex-direction: column; gap: .3rem; padding: .6rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; overflow-wrap: anywhere; }
.cards img { width: 100%; height: 180px; object-fit: contain; }
.cards p { margin: 0; white-space: pre-wrap; }
small { color: var(--soft); margin-top: auto; }
.guess { font-weight: 600; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; background: var(--card); font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><p>{note}</p></header>
{body}
</body>
</html>
"""
