"""Lines of a journal: what is whole, what is damaged, and what is no journal."""

import json
import zlib

import numpy as np
import pytest

from skal.exceptions import JournalError
from skal.labeling._events import line_of, read_lines

EVENTS = [
    {"seq": 1, "event": "open", "version": 1},
    {"seq": 2, "event": "label", "id": 'a"}\n{"seq": 9', "value": 'ä, "crc": 5}'},
    {"seq": 3, "event": "query", "ids": [1, "b"]},
    {"seq": 4, "event": "undo", "undone": [2]},
]
LINES = [line_of(event) for event in EVENTS]
CONTENT = b"".join(LINES)


def test_a_line_is_json_with_the_sum_of_what_is_before_it():
    for event, line in zip(EVENTS, LINES):
        assert line.count(b"\n") == 1
        read = json.loads(line)
        sum_ = read.pop("crc")
        assert read == event
        assert sum_ == zlib.crc32(json.dumps(event).encode())
    assert read_lines(CONTENT, "x") == (EVENTS, LINES, [], True)


def test_any_byte_flipped_costs_one_event_at_most_and_no_byte_is_dropped():
    rng = np.random.default_rng(0)
    for at in range(len(CONTENT)):
        changed = bytearray(CONTENT)
        changed[at] ^= int(rng.integers(1, 256))
        found = read_lines(bytes(changed), "x")
        assert all(event in EVENTS for event in found.events), at
        assert len(found.events) >= len(EVENTS) - 1, at
        assert not found.is_tidy
        if CONTENT[at : at + 1] != b"\n":
            assert len(found.events) == len(EVENTS) - 1, at
        kept = sum(map(len, found.lines)) + sum(map(len, found.damaged))
        # But for the ends of lines: one more where the byte became one.
        assert kept >= len(CONTENT) - 2, at


def test_any_length_of_a_torn_file_keeps_every_whole_line():
    ends = np.cumsum([len(line) for line in LINES])
    for length in range(1, len(CONTENT)):
        found = read_lines(CONTENT[:length], "x")
        # A line that lacks its end alone is whole.
        assert found.events == EVENTS[: int((ends <= length + 1).sum())], length
        whole = sum(map(len, found.lines))
        assert b"".join(found.damaged) == CONTENT[whole:length].strip(), length


def test_what_was_written_behind_a_torn_line_is_kept():
    found = read_lines(LINES[0] + LINES[1][:30] + LINES[2] + LINES[3], "x")
    assert found.events == [EVENTS[0], EVENTS[2], EVENTS[3]]
    assert b"".join(found.damaged) == LINES[1][:30]


def test_what_an_editor_leaves_is_no_damage():
    content = b"\xef\xbb\xbf" + CONTENT.replace(b"\n", b"\r\n") + b"\r\n  \n" + b"\0" * 7
    assert read_lines(content, "x") == (EVENTS, LINES, [], False)


def test_a_line_that_comes_twice_is_damaged():
    found = read_lines(CONTENT + LINES[1], "x")
    assert found.events == EVENTS
    assert found.damaged == [LINES[1].rstrip(b"\n")]


@pytest.mark.parametrize(
    "event",
    [
        {"seq": 5, "event": "label", "id": ["a"], "value": 1},
        {"seq": 5, "event": "label", "id": "a"},
        {"seq": 5, "event": "query", "ids": "a"},
        {"seq": "5", "event": "open"},
        {"event": "open"},
        {"seq": 5, "event": 1},
    ],
)
def test_a_line_without_its_fields_is_damaged(event):
    found = read_lines(CONTENT + line_of(event), "x")
    assert found.events == EVENTS
    assert len(found.damaged) == 1


@pytest.mark.parametrize(
    "event",
    [
        {"seq": 5, "event": "merge"},
        {"seq": 5, "event": "open", "version": 2},
        {"seq": 5, "event": "open", "version": "b"},
    ],
)
def test_a_newer_version(event):
    with pytest.raises(JournalError, match="'x' holds an event .* of a newer version of skal .* up to version 1"):
        read_lines(CONTENT + line_of(event), "x")


@pytest.mark.parametrize("content", [b"id,label\n1,cat\n", b"\x89PNG\r\n\x1a\n", b'{"a": 1}', b"\xff\xfe{\0"])
def test_another_file_is_no_journal(content):
    with pytest.raises(JournalError, match="'x' is not a journal"):
        read_lines(content, "x")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\0\0"])
def test_nothing_is_a_new_journal(content):
    assert read_lines(content, "x").events == []
