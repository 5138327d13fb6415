"""LabelJournal: every label whose call returned is there after whatever happens, and none is invented."""

import enum
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from skal.exceptions import JournalError, JournalLockedError, SkalError
from skal.labeling import LabelJournal
from skal.labeling._events import line_of
from skal.utils._files import write_atomically


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.jsonl"


def reopened(path):
    with LabelJournal(path) as journal:
        return journal.labels(), journal.skipped(), journal.batches


def fill(path):
    with LabelJournal(path) as journal:
        journal.query(["a", "b", 3], strategy="MarginSampling()", model="0f")
        journal.label(["a", "b"], ["cat", "dog"], by="ann")
        journal.skip(3)
        journal.relabel("b", "cat")
        journal.undo()
    return path.read_bytes()


# -- what it holds -------------------------------------------------------------------------------------------------


def test_what_was_written_comes_back(path):
    with LabelJournal(path) as journal:
        journal.open(classes=["cat", "dog"])
        assert journal.query(["a", 1], strategy="s") == ["a", 1]
        assert journal.label(["a", "b"], ["cat", "dog"], by="ann") == ["a", "b"]
        assert journal.skip([1, "c"], by="bob") == [1, "c"]
        assert journal.relabel("b", "cat") == ["b"]
        assert (len(journal), journal.state_of("a"), journal.state_of(1)) == (2, ("label", "cat"), ("skip", None))
        assert journal.state_of("z") == ("", None)
        assert repr(journal) == f"LabelJournal('{path}', open, 2 labels, 2 skipped)"
    assert repr(journal) == f"LabelJournal('{path}', closed, 2 labels, 2 skipped)"
    assert reopened(path) == ({"a": "cat", "b": "cat"}, {1, "c"}, [["a", 1]])
    with LabelJournal(path) as journal:
        assert journal.settings["classes"] == ["cat", "dog"]


def test_one_event_is_one_line_of_json(path):
    fill(path)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["event"] for event in events] == ["open", "query", "label", "label", "skip", "relabel", "undo"]
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert all(event["time"].endswith("+00:00") and "crc" in event for event in events)
    assert (events[2]["id"], events[2]["value"], events[2]["by"]) == ("a", "cat", "ann")
    assert events[-1]["undone"] == [6]


def test_the_table_of_events(path):
    fill(path)
    with LabelJournal(path) as journal:
        events = journal.events()
    assert list(events) == ["seq", "event", "id", "value", "by", "strategy", "model", "undone", "time"]
    assert events["seq"].tolist() == [1, 2, 2, 2, 3, 4, 5, 6, 7]
    assert events["id"].tolist() == [None, "a", "b", 3, "a", "b", 3, "b", None]
    assert events["strategy"].tolist()[:4] == [None] + ["MarginSampling()"] * 3
    assert events["seq"].dtype == np.int64
    assert str(events["time"].dt.tz) == "UTC"
    assert journal.events().equals(events)  # of a closed one, too


def test_the_table_of_an_empty_journal(path):
    with LabelJournal(path) as journal:
        assert len(journal.events()) == 0
        assert (journal.labels(), journal.skipped(), journal.settings, journal.batches) == ({}, set(), {}, [])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("ä\n\u2028", "ä\n\u2028"),
        (np.str_("a"), "a"),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.True_, True),
        (torch.tensor(2), 2),
        (2**70, 2**70),
        (None, None),
        (
            {"boxes": np.array([[0, 1, 2.5, 3]]), "labels": torch.tensor([4])},
            {"boxes": [[0.0, 1.0, 2.5, 3.0]], "labels": [4]},
        ),
        ({"boxes": [], "labels": []}, {"boxes": [], "labels": []}),
    ],
)
def test_values(value, kept, path):
    with LabelJournal(path) as journal:
        journal.label("a", value)
        assert journal.labels() == {"a": kept}
    again = reopened(path)[0]["a"]
    assert again == kept
    assert type(again) is type(kept)


@pytest.mark.parametrize(
    "one", ["a", "", 0, -1, 2**70, "1", "ü/ö.jpg", os.fsdecode(b"\xff.jpg"), np.int32(4), np.str_("b")]
)
def test_ids_come_back_as_they_went_in(one, path):
    with LabelJournal(path) as journal:
        journal.label(one, 1)
        journal.skip(["x", 7])
    labels, skipped, _ = reopened(path)
    assert list(labels) == [one]
    assert type(next(iter(labels))) is (str if isinstance(one, str) else int)
    assert skipped == {"x", 7}


class Kind(enum.IntEnum):
    CAT = 3


class Name(enum.StrEnum):
    DOG = "dog"


def test_members_of_enumerations_are_what_they_stand_for(path):
    with LabelJournal(path) as journal:
        journal.label([Kind.CAT, Name.DOG], [Name.DOG, Kind.CAT])
        now = journal.labels()
    for labels in (now, reopened(path)[0]):
        assert labels == {3: "dog", "dog": 3}
        assert [type(one) for one in labels] == [int, str]
        assert [type(value) for value in labels.values()] == [str, int]


@pytest.mark.parametrize(
    "values",
    [
        ["x", "y"],
        ("x", "y"),
        np.array(["x", "y"]),
        np.array([["x"], ["y"]]),
        pd.Series(["x", "y"], index=[8, 9]),
        pd.DataFrame({"label": ["x", "y"]}),
        {"a": "x", "b": "y"}.values(),
    ],
)
def test_labels_in_any_container(values, path):
    with LabelJournal(path) as journal:
        journal.label(pd.Series(["a", "b"], index=[4, 5]), values)
        assert journal.labels() == {"a": "x", "b": "y"}


# -- what answers do -----------------------------------------------------------------------------------------------


def test_the_same_label_again_writes_nothing(path):
    with LabelJournal(path) as journal:
        journal.label("a", 1)
        before = path.read_bytes()
        assert journal.label("a", 1) == []
        assert journal.label(["a", "b"], [1, 2]) == ["b"]
    assert len(path.read_bytes().splitlines()) == len(before.splitlines()) + 1


def test_a_label_ends_a_skip_and_a_skip_ends_a_label(path):
    with LabelJournal(path) as journal:
        journal.skip("a")
        journal.label("a", 1)
        assert (journal.labels(), journal.skipped()) == ({"a": 1}, set())
        journal.skip("a")
        assert (journal.labels(), journal.skipped()) == ({}, {"a"})
        journal.undo()
        assert (journal.labels(), journal.skipped()) == ({"a": 1}, set())
    assert reopened(path)[:2] == ({"a": 1}, set())


def test_undo_takes_back_the_last_answers_latest_first(path):
    with LabelJournal(path) as journal:
        journal.label(["a", "b", "c"], [1, 2, 3])
        journal.relabel(["b", "a"], [8, 9])
        assert journal.undo() == ["a"]
        assert journal.labels() == {"a": 1, "b": 8, "c": 3}
        assert journal.undo(np.int64(2)) == ["b", "c"]
        assert journal.labels() == {"a": 1, "b": 2}
        journal.label("c", 5)
        assert journal.undo(3) == ["c", "b", "a"]
        assert journal.labels() == {}
        with pytest.raises(ValueError, match="There are 0 answers to take back. Got n=1"):
            journal.undo()
    assert reopened(path)[0] == {}


def test_a_corrected_label_keeps_its_place_and_one_given_anew_goes_behind(path):
    with LabelJournal(path) as journal:
        journal.label(["a", "b", "c"], [1, 2, 3])
        journal.relabel("a", 9)
        assert list(journal.labels()) == ["a", "b", "c"]
        journal.skip("a")
        journal.label("a", 1)
        assert list(journal.labels()) == ["b", "c", "a"]
    assert list(reopened(path)[0]) == ["b", "c", "a"]


def test_what_it_gives_is_a_copy(path):
    with LabelJournal(path) as journal:
        journal.label("a", 1)
        journal.labels().clear()
        journal.skipped().add("b")
        assert (journal.labels(), journal.skipped()) == ({"a": 1}, set())


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda j: j.label("a", 2), ValueError, "'a' is labelled 1 already. Got 2; use relabel"),
        (lambda j: j.label(["b", "a"], [1, True]), ValueError, "'a' is labelled 1 already. Got True; use relabel"),
        (lambda j: j.label(["b", "c"], [1]), ValueError, "label needs one label for each of 2 ids. Got 1"),
        (lambda j: j.label(["b", "c"], "xy"), ValueError, "label needs one label for each of 2 ids. Got 1"),
        (lambda j: j.label(["b", "b"], [1, 2]), ValueError, "ids must be different. Got 'b' twice"),
        (lambda j: j.label({"b", "c"}, [1, 2]), TypeError, "ids of label must have an order"),
        (lambda j: j.label(["b", "c"], {1, 2}), TypeError, "Labels must have an order"),
        (lambda j: j.label("b", np.zeros((1, 2))), ValueError, "one label for each id. Got 2 columns"),
        (lambda j: j.label("b", float("nan")), ValueError, "must not be missing or infinite. Got nan"),
        (lambda j: j.label("b", object), TypeError, "A label must be a text, a number, a bool or a dict"),
        (lambda j: j.label("b", [[1, 2]]), TypeError, "A label must be a text, a number, a bool or a dict"),
        (lambda j: j.label("b", {"x": 1}), ValueError, "must have 'boxes' and 'labels'"),
        (lambda j: j.label("b", {"boxes": [[0, 0, 1, 1]], "labels": []}), ValueError, "as many labels as boxes"),
        (lambda j: j.label("b", {"boxes": [[2, 0, 1, 1]], "labels": [1]}), ValueError, r"A box must be .* Got \[2, 0"),
        (lambda j: j.label(1.5, 2), TypeError, "An id must be a str or an int. Got 1.5"),
        (lambda j: j.label(True, 2), TypeError, "An id must be a str or an int. Got True"),
        (lambda j: j.label(None, 2), TypeError, "An id must be a str or an int. Got None"),
        (lambda j: j.label(b"a", 2), TypeError, "An id must be a str or an int. Got b'a'"),
        (lambda j: j.relabel("b", 2), ValueError, "'b' has no label yet that 2 could correct. Use label"),
        (lambda j: j.relabel(["a", "s"], [2, 3]), ValueError, "'s' has no label yet"),
        (lambda j: j.skip(["b", "b"]), ValueError, "ids must be different"),
        (lambda j: j.undo(0), ValueError, r"'n' parameter of undo must be an int in the range \[1, inf\). Got 0"),
        (lambda j: j.undo(True), ValueError, "'n' parameter of undo"),
        (lambda j: j.undo(1.0), ValueError, "'n' parameter of undo"),
        (lambda j: j.undo(3), ValueError, "There are 2 answers to take back. Got n=3"),
        (lambda j: j.open(classes={1}), JournalError, "must be plain JSON"),
    ],
)
def test_errors_write_nothing(call, error, words, path):
    with LabelJournal(path) as journal:
        journal.label("a", 1)
        journal.skip("s")
        before = path.read_bytes()
        with pytest.raises(error, match=words):
            call(journal)
        assert path.read_bytes() == before
        assert (journal.labels(), journal.skipped()) == ({"a": 1}, {"s"})
        journal.label("n", 1)
    assert reopened(path)[:2] == ({"a": 1, "n": 1}, {"s"})


@pytest.mark.parametrize(
    ("params", "words"), [({"path": 5}, "'path' parameter of LabelJournal"), ({"durable": 1}, "'durable' parameter")]
)
def test_parameters(params, words, path):
    with pytest.raises(TypeError, match=words):
        LabelJournal(**{"path": path, **params})
    assert not path.exists()


# -- what happens to files -----------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forks")
@pytest.mark.parametrize(("durable", "kills"), [("durable", 25), ("fast", 25)])
def test_writers_that_are_killed(durable, kills, path):
    script = [sys.executable, str(Path(__file__).with_name("kills.py")), str(path)]
    kills = int(os.environ.get("SKAL_KILLS", kills))
    found = subprocess.run([*script, str(kills), durable], capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    assert found.stdout.endswith(" labels\n"), found.stdout
    assert int(found.stdout.split()[0]) >= kills


def test_cut_at_every_byte_of_the_last_line(path):
    content = fill(path)
    last = content.splitlines(keepends=True)[-1]
    start = len(content) - len(last)
    for length in range(start, len(content)):
        path.write_bytes(content[:length])
        aside = path.with_name("labels.jsonl.damaged")
        aside.unlink(missing_ok=True)
        is_torn = start < length < len(content) - 1
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with LabelJournal(path) as journal:
                # The last line takes the correction of "b" back.
                assert journal.labels() == {"a": "cat", "b": "dog" if length == len(content) - 1 else "cat"}
                journal.label("new", "cat")
        assert len(said) == is_torn
        assert aside.exists() == is_torn
        if is_torn:
            assert "had 1 damaged line, set aside in 'labels.jsonl.damaged'; 6 whole ones are kept" in str(
                said[0].message
            )
            assert aside.read_bytes().rstrip(b"\n") == content[start:length].rstrip()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert reopened(path)[0]["new"] == "cat"


def test_damaged_lines_anywhere_are_set_aside_once(path):
    lines = fill(path).splitlines(keepends=True)
    lines[2] = lines[2].replace(b"cat", b"dog")
    lines[4] = lines[4][:-9] + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.warns(UserWarning, match="had 2 damaged lines, set aside in 'labels.jsonl.damaged'; 5 whole"):
        assert reopened(path)[:2] == ({"b": "dog"}, set())
    assert path.with_name("labels.jsonl.damaged").read_bytes() == lines[2] + lines[4]
    assert path.read_bytes() == b"".join(line for i, line in enumerate(lines) if i not in (2, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reopened(path)[0] == {"b": "dog"}


def test_what_is_set_aside_is_on_disk_before_the_journal_is_replaced(path, monkeypatch):
    steps = []
    real = write_atomically
    path.write_bytes(fill(path)[:-5])
    monkeypatch.setattr("skal.labeling._journal.sync_folder", lambda folder: steps.append("aside"))
    monkeypatch.setattr("skal.labeling._journal.write_atomically", lambda *args: steps.append("journal") or real(*args))
    with pytest.warns(UserWarning, match="damaged"):
        LabelJournal(path).close()
    assert steps == ["aside", "journal"]


def test_the_warning_names_the_line_that_opened_it(path):
    path.write_bytes(fill(path)[:-5])
    with pytest.warns(UserWarning, match="damaged") as said, LabelJournal(path) as journal:
        # The repaired file, too, is not for the processes that a writer begins.
        assert not os.get_inheritable(journal._file)
    assert said[0].filename == __file__


def test_a_repair_that_fails_leaves_the_journal_as_it_was(path, monkeypatch):
    torn = fill(path)[:-5]
    path.write_bytes(torn)
    monkeypatch.setattr("skal.labeling._journal.write_atomically", raising(OSError(28, "No space left on device")))
    with pytest.raises(JournalError, match="has damaged lines, which cannot be set aside: No space left on device"):
        LabelJournal(path)
    monkeypatch.undo()
    assert path.read_bytes() == torn
    with pytest.warns(UserWarning, match="damaged"):
        assert reopened(path)[0] == {"a": "cat", "b": "cat"}


def raising(error, after=0):
    calls = []

    def fail(*args, **kwargs):
        calls.append(1)
        if len(calls) > after:
            raise error

    return fail


@pytest.mark.parametrize("what", ["write", "fsync"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_keeps_nothing_of_its_call(what, error, path, monkeypatch):
    with LabelJournal(path) as journal:
        journal.label("a", 1)
        before = path.read_bytes()
        real = getattr(os, what)
        calls = []

        def fails(file, *args):
            calls.append(1)
            if what == "write" and len(calls) == 1:
                return real(file, args[0][:20])  # a part of the line, as a full disk takes it
            if len(calls) == (2 if what == "write" else 1):
                raise error
            return real(file, *args)

        monkeypatch.setattr(os, what, fails)
        with pytest.raises(type(error) if isinstance(error, KeyboardInterrupt) else JournalError) as told:
            journal.label(["b", "c"], [2, 3])
        monkeypatch.undo()
        if isinstance(told.value, JournalError):
            assert str(told.value) == (
                f"The journal '{path}' could not be written: No space left on device. What it held before is safe; of "
                f"this call nothing was kept."
            )
        assert path.read_bytes() == before
        assert journal.labels() == {"a": 1}
        assert journal.label(["b", "c"], [2, 3]) == ["b", "c"]
    assert reopened(path)[0] == {"a": 1, "b": 2, "c": 3}


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of the size of files is POSIX's")
def test_a_disk_that_is_full(path):
    resource = pytest.importorskip("resource")
    with LabelJournal(path) as journal:
        journal.label("a", 1)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        # Room for a part of the next line.
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(path.read_bytes()) + 30, limits[1]))
        try:
            with pytest.raises(JournalError, match="could not be written: File too large"):
                journal.label("b", 2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert journal.labels() == {"a": 1}
        journal.label("c", 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reopened(path)[0] == {"a": 1, "c": 3}


@pytest.mark.parametrize("tail", [b'{"seq": 3, "eve', line_of({"seq": 3, "event": "label", "id": "x", "value": 9})])
def test_what_stands_there_that_nobody_here_has_written_is_read_first(tail, path):
    """As after two interrupts in a row: numbers of events must not come twice, nor lines begin behind a torn one."""
    with LabelJournal(path) as journal:
        journal.label("a", 1)
        with path.open("ab") as file:
            file.write(tail)
        is_whole = tail.endswith(b"\n")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            journal.label("b", 2)
        assert len(said) == (not is_whole)
        expected = {"a": 1, **({"x": 9} if is_whole else {}), "b": 2}
        assert journal.labels() == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reopened(path)[0] == expected


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_journal_that_goes_away_takes_no_labels(how, path):
    with LabelJournal(path) as journal:
        journal.label("a", 1)
        content = path.read_bytes()
        path.unlink()
        if how == "replaced":
            path.write_bytes(content)
        with pytest.raises(JournalError, match="was removed or replaced while it was in use. Nothing was written"):
            journal.label("b", 2)
        assert journal.labels() == {"a": 1}


def test_durable_waits_for_the_disk_once_a_call(path, monkeypatch):
    waits = []
    for durable in (True, False):
        with LabelJournal(path, durable=durable) as journal:
            monkeypatch.setattr(os, "fsync", lambda file, durable=durable: waits.append(durable))
            journal.label([f"{durable} {i}" for i in range(5)], range(5))
            monkeypatch.undo()
    assert waits == [True]
    assert len(reopened(path)[0]) == 10


def test_the_folder_is_on_disk_when_the_file_is_made(path, monkeypatch):
    synced = []
    monkeypatch.setattr("skal.labeling._journal.sync_folder", synced.append)
    LabelJournal(path).close()
    LabelJournal(path).close()
    assert synced == [path.parent]


def test_a_line_is_one_write(path, monkeypatch):
    written = []
    real = os.write
    with LabelJournal(path) as journal:
        monkeypatch.setattr(os, "write", lambda file, data: written.append(data) or real(file, data))
        journal.label(["a", "b"], [1, 2])
    monkeypatch.undo()
    assert b"".join(written) == path.read_bytes()
    assert [line.count(b"\n") for line in written] == [1, 1, 1]


# -- who writes ----------------------------------------------------------------------------------------------------


def test_a_second_writer_here(path):
    with LabelJournal(path) as journal:
        with pytest.raises(JournalLockedError, match=f"is in use: it is held by process {os.getpid()} on"):
            LabelJournal(path)
        journal.label("a", 1)
    assert reopened(path)[0] == {"a": 1}
    assert not path.with_name("labels.jsonl.lock").exists()


def test_a_second_process_and_a_dead_one(path):
    code = (
        "import sys; from skal.labeling import LabelJournal; j = LabelJournal(sys.argv[1]); j.label('a', 1); "
        "print('ready', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(JournalLockedError, match=f"is in use: it is held by process {other.pid} on"):
            LabelJournal(path)
    finally:
        other.kill()
        other.communicate()
    assert path.with_name("labels.jsonl.lock").exists()
    assert reopened(path)[0] == {"a": 1}


def test_collection_and_errors_release_the_lock(path):
    journal = LabelJournal(path)
    journal.label("a", 1)
    del journal
    gc.collect()
    assert reopened(path)[0] == {"a": 1}
    path.write_bytes(b"no journal\n")
    for _ in range(2):
        with pytest.raises(JournalError, match="is not a journal") as told:
            LabelJournal(path)
        assert not isinstance(told.value, JournalLockedError)
    assert path.read_bytes() == b"no journal\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX's")
def test_a_fork_does_not_write(path):
    with LabelJournal(path) as journal:
        journal.label("a", 1)
        child = os.fork()
        if child == 0:
            try:
                journal.label("b", 2)
            except JournalError as error:
                os._exit(3 if "is closed" in str(error) else 4)
            os._exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        with pytest.raises(JournalLockedError):
            LabelJournal(path)
        journal.label("c", 3)
    assert reopened(path)[0] == {"a": 1, "c": 3}


def test_threads(path):
    with LabelJournal(path, durable=False) as journal:

        def work(name):
            for i in range(50):
                journal.label(f"{name}{i}", i)
                journal.skip(f"skip {name}{i}")

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = {f"{name}{i}": i for name in "abcd" for i in range(50)}
        assert journal.labels() == expected
    labels, skipped, _ = reopened(path)
    assert labels == expected
    assert len(skipped) == 200


def test_closed_twice_and_then_asked(path):
    journal = LabelJournal(path)
    journal.label("a", 1)
    journal.close()
    journal.close()
    assert journal.closed
    assert journal.labels() == {"a": 1}
    with pytest.raises(JournalError, match=f"The journal '{path}' is closed"):
        journal.label("b", 2)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="links")
def test_one_lock_for_all_links_and_links_stay(path, tmp_path):
    link = tmp_path / "other" / "link.jsonl"
    link.parent.mkdir()
    link.symlink_to(path)
    content = fill(path)
    with LabelJournal(link), pytest.raises(JournalLockedError):
        LabelJournal(path)
    path.write_bytes(content[:-5])
    with pytest.warns(UserWarning, match="damaged"):
        LabelJournal(link).close()
    assert link.is_symlink()
    assert path.read_bytes() == b"".join(content.splitlines(keepends=True)[:-1])


# -- where it cannot be --------------------------------------------------------------------------------------------


def test_a_newer_version_is_left_alone(path):
    content = fill(path) + line_of({"seq": 8, "event": "merge"})
    path.write_bytes(content[:-20] + content[-20:])
    with pytest.raises(JournalError, match="event 'merge' of a newer version of skal"):
        LabelJournal(path)
    assert path.read_bytes() == content


def test_no_folder_and_a_folder(tmp_path):
    with pytest.raises(JournalError, match="The folder of the journal .* does not exist"):
        LabelJournal(tmp_path / "none" / "labels.jsonl")
    with pytest.raises(JournalError, match="must be a file. Got a folder"):
        LabelJournal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="rights are POSIX's")
def test_a_folder_that_may_not_be_written():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.jsonl"
        content = fill(path)
        os.chmod(folder, 0o555)
        user = os.geteuid()
        try:
            if user == 0:  # whom no rights stop
                os.seteuid(65534)
            with pytest.raises(JournalError, match=f"The journal '{path}' cannot be locked: Permission denied"):
                LabelJournal(path)
        finally:
            os.seteuid(user)
            os.chmod(folder, 0o755)
        assert path.read_bytes() == content


def test_a_journal_that_cannot_be_opened_leaves_no_lock(path, monkeypatch):
    real = os.open

    def refuses(file, *args, **kwargs):
        if str(file).endswith(".jsonl"):
            raise PermissionError(13, "Permission denied")
        return real(file, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuses)
    with pytest.raises(JournalError, match="cannot be opened: Permission denied"):
        LabelJournal(path)
    monkeypatch.undo()
    LabelJournal(path).close()


def test_errors_are_of_the_house():
    assert issubclass(JournalLockedError, JournalError)
    assert issubclass(JournalError, SkalError)
    from skal import labeling

    assert labeling.JournalError is JournalError
    assert labeling.JournalLockedError is JournalLockedError
    assert {"LabelJournal", "JournalError"} <= set(dir(labeling))
    with pytest.raises(AttributeError, match="no attribute 'Label'"):
        getattr(labeling, "Label")  # noqa: B009  (which is an expression of no use otherwise)


def test_a_journal_needs_no_torch(path):
    code = (
        "import sys; from skal.labeling import LabelJournal; LabelJournal(sys.argv[1]).close(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 0
