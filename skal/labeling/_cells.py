"""Ids and labels as texts that a spreadsheet leaves alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from ._answers import Id, as_value

__all__ = ["Read", "cell_of", "id_cell", "id_of", "reader_of", "value_of"]

#: What makes a label of that which stands in a file: a text, or a scalar of JSON.
Read = Callable[[Any], Any]

# Texts that no spreadsheet takes for a formula, a number, a date, a truth value or an error: what begins with a letter,
# or has an ending, as files have; unless it is a month with a number (SEPT2, 12.Jan) or one of a few others.
_WORD = re.compile(r"[^\W\d][^\x00-\x1f]*")
_FILE = re.compile(r"\w[^\x00-\x1f]*\.[A-Za-z]\w*")
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_SPECIAL = re.compile(
    rf"true|false|nan|inf|infinity|null|none|na|n/a|{_MONTH}[-. /]*\d{{1,4}}|\d{{1,4}}[-. /]*{_MONTH}", re.IGNORECASE
)
# Beyond, spreadsheets forget digits.
_LARGEST = 10**15
# Numbers of more digits are texts like any other, and so are exponents beyond.
_LONGEST = 400
_INTEGER = re.compile(r"-?(0|[1-9]\d*)")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,4})?", re.ASCII)


def id_cell(one: Id) -> str:
    """An id, such that `id_of` gives it back: text behind an apostrophe where it must not be read as anything else."""
    if isinstance(one, str):
        return one if _is_plain(one) else f"'{one}"
    return str(one) if 0 <= one < _LARGEST else f"#{one}"


def id_of(cell: str) -> Id:
    """The id in a cell of `id_cell`, or in one that a person has typed."""
    if cell.startswith("'"):
        return cell[1:]
    number = cell.removeprefix("#")
    if number.endswith(".0"):  # of a program that takes the column for floats
        number = number[:-2]
    return int(number) if _INTEGER.fullmatch(number) else cell


def cell_of(text: str) -> str:
    """A text to be looked at, which is not live."""
    return text if not text or text[0] not in "=+-@\t\r\n'" else f"'{text}"


def value_of(cell: Any) -> Any:
    """A label that a person has typed, or chosen from a list of texts: a number, a truth value, or a text.

    What is written as Python writes it is a number or a bool; behind an apostrophe everything is a text.
    """
    if not isinstance(cell, str):
        return as_value(cell)
    text = cell.strip()
    if text.startswith("'"):
        return text[1:]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return {"True": True, "TRUE": True, "False": False, "FALSE": False}.get(text, text)


def reader_of(classes: Sequence[Any] | None) -> Read:
    """`value_of`, but that what stands for one class alone is that class.

    A class is meant by its text, as tasks and tools show it; else by that text behind an apostrophe, by a truth value
    in other letters, or by the same number, as spreadsheets write them.
    """
    if classes is None:
        return value_of
    by_form: dict[tuple[str, Any], list[Any]] = {}
    for each in classes:
        for form in _forms(str(each)):
            by_form.setdefault(form, []).append(each)

    def read(cell: Any) -> Any:
        value = value_of(cell)  # what is no label at all is an error
        for form in _forms(cell if isinstance(cell, str) else str(value)):
            meant = by_form.get(form, ())
            if meant:
                # The nearest form decides, also that it cannot be decided.
                return meant[0] if len(meant) == 1 else value
        return value

    return read


def _forms(text: str) -> Iterator[tuple[str, Any]]:
    """What a text may be taken for, the nearest first."""
    yield "as it is", text
    text = text.strip()
    yield "stripped", text
    if text.startswith("'"):
        text = text[1:]
    yield "text", text
    if text.casefold() in ("true", "false"):
        yield "truth", text.casefold()
    if _NUMBER.fullmatch(text) and len(text) <= _LONGEST:
        # Not as a float, to which large neighbours are one.
        yield "number", Decimal(text)


def _is_plain(text: str) -> bool:
    is_word = _WORD.fullmatch(text) or _FILE.fullmatch(text)
    return bool(is_word) and text == text.strip() and not _SPECIAL.fullmatch(text)
