"""Lines of a journal: what stands in them, and how a damaged one is told from a whole one."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..exceptions import JournalError

__all__ = ["KINDS", "VERSION", "Found", "Id", "as_id", "as_ids", "as_value", "exploded", "line_of", "read_lines", "same_value"]

VERSION = 1
KINDS = ("open", "query", "label", "skip", "relabel", "undo")
# What every journal begins with; the sum over all before it stands at the end of each line.
_BEGIN, _SUM = b'{"seq": ', b', "crc": '

Id = str | int


class Found(NamedTuple):
    """What stands in the bytes of a journal: the whole lines with their events, and what is damaged."""

    events: list[dict[str, Any]]
    lines: list[bytes]
    damaged: list[bytes]
    is_tidy: bool


def line_of(event: dict[str, Any]) -> bytes:
    """The line of an event, as `json.dumps` writes it, with the sum of its bytes."""
    body = json.dumps(event, allow_nan=False).encode()
    return body[:-1] + _SUM + str(zlib.crc32(body)).encode() + b"}\n"


def read_lines(content: bytes, name: str) -> Found:
    """Events of a journal's bytes, in order; lines that are torn, changed or come twice are damaged.

    Raises
    ------
    JournalError
        Where nothing in `content` looks like a journal's line, or a line is of a newer version.
    """
    events, lines, damaged = [], [], []
    seen: set[int] = set()
    # What an editor leaves: a mark at the beginning, other ends of lines, bytes that a power cut never wrote.
    pieces = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for piece in pieces:
        line = piece.strip(b" \t\r\0")
        if not line:
            continue
        event = _event_of(line)
        if event is None or event["seq"] in seen:
            damaged.append(line)
            continue
        if event["event"] not in KINDS or event.get("version", VERSION) > VERSION:
            raise JournalError(
                f"'{name}' holds an event {event['event']!r} of a newer version of skal than this one, which reads "
                f"journals up to version {VERSION}. Install a newer skal; the journal is unchanged."
            )
        seen.add(event["seq"])
        events.append(event)
        lines.append(line + b"\n")
    if damaged and not events and not _may_have_begun(damaged[0]):
        raise JournalError(f"'{name}' is not a journal: none of its lines is one of a journal. It is unchanged.")
    return Found(events, lines, damaged, is_tidy=b"".join(lines) == content)


def _event_of(line: bytes) -> dict[str, Any] | None:
    head, found, sum_ = line.rpartition(_SUM)
    if not (found and sum_.endswith(b"}") and sum_[:-1].isdigit()):
        return None
    body = head + b"}"
    if zlib.crc32(body) != int(sum_[:-1]):
        return None
    try:
        event = json.loads(body)
    except ValueError:
        return None
    fits = isinstance(event, dict) and type(event.get("seq")) is int and isinstance(event.get("event"), str)
    return event if fits else None


def _may_have_begun(line: bytes) -> bool:
    """Whether this is the torn or changed first line of a journal, and not some other file."""
    return line[: len(_BEGIN)] == _BEGIN[: len(line)] or _SUM in line


def as_ids(ids: Any) -> list[Id]:
    """`ids` as they are kept: one or several different texts or integers."""
    one = isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable) or getattr(ids, "shape", None) == ()
    found = [as_id(each) for each in ([ids] if one else ids)]
    if len(set(found)) < len(found):
        twice = next(each for i, each in enumerate(found) if each in found[:i])
        raise ValueError(f"ids must be different. Got {twice!r} twice.")
    return found


def as_id(one: Any) -> Id:
    """One id: text or an integer, NumPy's as Python's."""
    plain = _plain(one)
    if isinstance(plain, bool) or not isinstance(plain, (str, int)):
        raise TypeError(f"An id must be a str or an int. Got {one!r} instead.")
    return plain


def as_value(value: Any) -> Any:
    """One label as JSON has it: NumPy's scalars as Python's, boxes and their labels as lists."""
    plain = _plain(value)
    if isinstance(plain, float) and not math.isfinite(plain):
        raise ValueError(f"A label must be a finite number, a text or a bool. Got {value!r} instead.")
    if plain is None or isinstance(plain, (str, bool, int, float)):
        return plain
    if isinstance(plain, dict):
        return {str(key): as_value(part) for key, part in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [as_value(part) for part in plain]
    raise TypeError(f"A label must be a text, a number, a bool or a dict of boxes and labels. Got {value!r} instead.")


def same_value(first: Any, second: Any) -> bool:
    """Whether two labels are the same, of the same kind: 1, 1.0, True and "1" are four."""
    return json.dumps(first) == json.dumps(second)


def _plain(value: Any) -> Any:
    """NumPy's and torch's scalars and arrays as Python's."""
    return value.tolist() if hasattr(value, "tolist") else value


def exploded(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row for each id of each event, with the same columns for all."""
    for event in events:
        ids = event.get("ids", [event.get("id")])
        for one in ids:
            yield {
                "seq": event["seq"],
                "event": event["event"],
                "id": one,
                "value": event.get("value"),
                "by": event.get("by"),
                "strategy": event.get("strategy"),
                "model": event.get("model"),
                "undone": event.get("undone"),
                "time": event.get("time"),
            }
