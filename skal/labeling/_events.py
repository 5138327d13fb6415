"""Lines of a journal: what stands in them, and how a damaged one is told from a whole one."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..exceptions import JournalError

__all__ = ["COLUMNS", "VERSION", "Found", "exploded", "line_of", "read_lines"]

VERSION = 1
COLUMNS = ["seq", "event", "id", "value", "by", "strategy", "model", "undone", "time"]
# Events, and the fields that each must have, with their types.
_FIELDS: dict[str, dict[str, Any]] = {
    "open": {},
    "query": {"ids": list},
    "label": {"id": (str, int), "value": object},
    "skip": {"id": (str, int)},
    "relabel": {"id": (str, int), "value": object},
    "undo": {"undone": list},
}
# How every line begins, and what stands before the sum of all that is before it.
_BEGIN, _SUM = b'{"seq": ', b', "crc": '
_PIECES = re.compile(b"(?=" + re.escape(_BEGIN) + b")")
_LINE = re.compile(rb".*, \"crc\": [0-9]+\}")


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

    Parameters
    ----------
    content : bytes
    name : str
        What to call it in messages.

    Raises
    ------
    JournalError
        Where nothing in `content` looks like a journal's line, or a line is of a newer version.
    """
    events: list[dict[str, Any]] = []
    lines: list[bytes] = []
    damaged: list[bytes] = []
    seen: set[int] = set()
    # What an editor leaves: a mark at the beginning, other ends of lines, bytes that a power cut never wrote.
    for text in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        for line, event in _events_of(text.strip(b" \t\r\0")):
            if event is None or event["seq"] in seen:
                damaged.append(line)
                continue
            version = event.get("version", VERSION)
            if event["event"] not in _FIELDS or type(version) is not int or version > VERSION:
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


def _events_of(text: bytes) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """The lines in what stands between two ends of lines, with their events; None for what is damaged.

    It is one line, unless the end of a line was damaged itself, or something was written behind a torn line.
    """
    event = _event_of(text)
    if event is not None or not text:
        if text:
            yield text, event
        return
    for piece in _PIECES.split(text):
        whole = _LINE.match(piece)
        event = _event_of(whole[0]) if whole else None
        if whole and event is not None:
            yield whole[0], event
            piece = piece[whole.end() :]
        if piece:
            yield piece, None


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
    if not isinstance(event, dict) or type(event.get("seq")) is not int or not isinstance(event.get("event"), str):
        return None
    fields = _FIELDS.get(event["event"], {})
    return event if all(key in event and isinstance(event[key], kind) for key, kind in fields.items()) else None


def _may_have_begun(line: bytes) -> bool:
    """Whether this is the torn or changed first line of a journal, and not some other file."""
    return line[: len(_BEGIN)] == _BEGIN[: len(line)] or _SUM in line


def exploded(events: Iterable[dict[str, Any]]) -> Iterator[list[Any]]:
    """The values of `COLUMNS`, one row for each id of each event."""
    for event in events:
        for one in event.get("ids", [event.get("id")]):
            yield [one if column == "id" else event.get(column) for column in COLUMNS]
