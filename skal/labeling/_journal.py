"""Labels on disk before the call returns: an append-only journal that a kill, a full disk or an editor cannot empty."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from .._version import __version__
from ..exceptions import JournalError, JournalLockedError
from ..utils._files import FileLock, LockHeldError, sync_folder, write_atomically
from ..utils._validation import shown
from ._answers import Id, as_ids, pairs_of, same_value
from ._events import COLUMNS, VERSION, exploded, line_of, read_lines

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LabelJournal"]

_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)


class _Answer(NamedTuple):
    """A label, a correction of one, or a skip, which no later event takes back."""

    seq: int
    kind: str
    id: Id
    value: Any


class LabelJournal:
    """An append-only file of what was asked and answered; every label is on disk before the call returns.

    One event is one line of JSON with a sequence number, a time (UTC) and a checksum. What the journal holds is what
    its whole lines say, read in their order; all else is a cache. Opening a journal whose lines are damaged (a power
    cut, a full disk, an editor) keeps every whole line, sets the others aside in `<path>.damaged` and warns.

    Parameters
    ----------
    path : str or path
        The file; made where there is none, in a folder that exists.
    durable : bool, default=True
        Whether each call waits until the disk has the event (`fsync`). Without, a crash of the process loses nothing,
        a power cut may lose the last seconds.

    Attributes
    ----------
    path : pathlib.Path
    settings : dict
        What the `open` event says: `classes`, and whatever else the session noted. Empty for a new journal.
    batches : list of list of ids
        What each query asked for, in order.

    Raises
    ------
    JournalLockedError
        Another process, or another object of this one, writes to the journal.
    JournalError
        The file is no journal, is of a newer version of skal, or cannot be read or written.

    Warns
    -----
    UserWarning
        Lines were damaged; it says how many, and where they are kept.

    Notes
    -----
    A lock of the operating system on `<path>.lock` keeps a second writer out. It ends with `close`, with the object
    and with the process, however that dies; host and process in the file only tell who has it. A forked process has no
    part in it: there the journal is closed. Ids are str or int and come back as they went in; values are any JSON
    scalar (for a detector: a dict of pixel `boxes` and `labels`).

    Cost: a call appends its lines with one write each and, with `durable`, one `fsync` for all of them; `undo` goes
    through all answers; opening reads the file once, about 10 microseconds an event. Labels and answers are in memory.

    Examples
    --------
    >>> import tempfile, os
    >>> from skal.labeling import LabelJournal
    >>> path = os.path.join(tempfile.mkdtemp(), "labels.jsonl")
    >>> with LabelJournal(path) as journal:
    ...     journal.label(["a.jpg", "b.jpg"], ["cat", "dog"], by="ann")
    ...     journal.relabel("b.jpg", "cat")
    ...     journal.skip("c.jpg")
    ['a.jpg', 'b.jpg']
    ['b.jpg']
    ['c.jpg']
    >>> with LabelJournal(path) as journal:
    ...     journal.labels(), journal.skipped(), journal.undo(2), journal.labels()
    ({'a.jpg': 'cat', 'b.jpg': 'cat'}, {'c.jpg'}, ['c.jpg', 'b.jpg'], {'a.jpg': 'cat', 'b.jpg': 'dog'})
    """

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = True) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"The 'path' parameter of LabelJournal must be a str or a path. Got {shown(path)} instead.")
        if not isinstance(durable, bool):
            raise TypeError(f"The 'durable' parameter of LabelJournal must be a bool. Got {shown(durable)} instead.")
        self.path = Path(path)
        self.durable = durable
        # Behind links, so that there is one lock for one file, and a repair leaves the links.
        self._place = self.path.resolve()
        if not os.path.isdir(self._place.parent):
            raise JournalError(f"The folder of the journal '{self.path}' does not exist, or cannot be read.")
        if os.path.isdir(self._place):
            raise JournalError(f"The journal '{self.path}' must be a file. Got a folder.")
        self.settings: dict[str, Any] = {}
        self.batches: list[list[Id]] = []
        self._seq = 0
        self._calls = threading.RLock()
        self._owner = os.getpid()
        lock = self._locked()
        try:
            is_new = not self._place.exists()
            self._file = os.open(self._place, _FLAGS | os.O_CREAT, 0o666)
        except OSError as error:
            lock.close()
            raise JournalError(f"The journal '{self.path}' cannot be opened: {error.strerror}.") from error
        self._finalizer = weakref.finalize(self, _release, self._file, lock)
        try:
            if is_new and durable:
                sync_folder(self._place.parent)
            self._read(repair=True)
        except BaseException:
            self.close()
            raise

    def _locked(self) -> FileLock:
        try:
            return FileLock(self._place.with_name(f"{self._place.name}.lock"))
        except LockHeldError as error:
            raise JournalLockedError(
                f"The journal '{self.path}' is in use: it is {error}. Close it there first."
            ) from error
        except OSError as error:
            raise JournalError(f"The journal '{self.path}' cannot be locked: {error.strerror}.") from error

    # -- what it holds -------------------------------------------------------------------------------------------

    def labels(self) -> dict[Id, Any]:
        """The label of each id that has one, in the order of labelling; a corrected one keeps its place."""
        with self._calls:
            return dict(self._labels)

    def skipped(self) -> set[Id]:
        """The ids that were skipped and have no label."""
        with self._calls:
            return set(self._skipped)

    def state_of(self, one: Id) -> tuple[str, Any]:
        """("label", value), ("skip", None) or ("", None) of an id."""
        if one in self._labels:
            return "label", self._labels[one]
        return ("skip" if one in self._skipped else ""), None

    def a_label(self, otherwise: Any = None) -> Any:
        """The first of the labels, or `otherwise` where there are none."""
        return next(iter(self._labels.values()), otherwise)

    @property
    def n_answers(self) -> int:
        """How many answers `undo` could take back."""
        return len(self._answers)

    def events(self) -> pd.DataFrame:
        """Everything that happened, one row for each id of each event, undone ones included.

        Returns
        -------
        DataFrame
            Columns `seq` (int64), `event`, `id`, `value`, `by`, `strategy`, `model`, `undone` (of an undo: the
            sequence numbers that it takes back), all objects, and `time` (UTC).
        """
        import pandas as pd

        with self._calls:
            found = read_lines(self._content(), str(self.path))
        frame = pd.DataFrame(list(exploded(found.events)), columns=COLUMNS, dtype=object)
        time = pd.to_datetime(frame["time"], utc=True, format="ISO8601")
        return frame.assign(seq=frame["seq"].astype("int64"), time=time)

    def __len__(self) -> int:
        """The number of labels."""
        return len(self._labels)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"LabelJournal('{self.path}', {state}, {len(self._labels)} labels, {len(self._skipped)} skipped)"

    # -- what happens --------------------------------------------------------------------------------------------

    def open(self, **settings: Any) -> None:
        """Note what the journal is about, such as `classes`, before all else."""
        with self._calls:
            self._append([{**_opening(), **settings}])

    def query(self, ids: Any, **about: Any) -> list[Id]:
        """Note that labels of `ids` are asked for, with whatever tells how they were chosen (`strategy`, `model`)."""
        found = as_ids(ids)
        with self._calls:
            self._append([{"event": "query", "ids": found, **about}])
        return found

    def label(self, ids: Any, values: Any, *, by: str | None = None) -> list[Id]:
        """Labels of ids that have none.

        Parameters
        ----------
        ids : id or sequence of n different ids
        values : label or sequence of n labels
            For one id that is no sequence: its label.
        by : str or None, default=None
            Who says so.

        Returns
        -------
        list of ids
            Those that were written: an id that has this very label already is left out.

        Raises
        ------
        ValueError
            An id has another label (`relabel` corrects it), or the numbers of ids and values differ. Nothing is
            written.
        JournalError
            The disk did not take it; then none of the ids has a new label.
        """
        pairs = pairs_of(ids, values, "label")
        with self._calls:
            new = []
            for one, value in pairs:
                if one in self._labels and not same_value(self._labels[one], value):
                    raise ValueError(
                        f"{one!r} is labelled {self._labels[one]!r} already. Got {value!r}; use relabel to correct it."
                    )
                if one not in self._labels:
                    new.append((one, value))
            self._append([{"event": "label", "id": one, "value": value, "by": by} for one, value in new])
        return [one for one, _ in new]

    def relabel(self, ids: Any, values: Any, *, by: str | None = None) -> list[Id]:
        """Other labels of ids that have one; parameters and errors as `label` has them."""
        pairs = pairs_of(ids, values, "relabel")
        with self._calls:
            for one, value in pairs:
                if one not in self._labels:
                    raise ValueError(f"{one!r} has no label yet that {value!r} could correct. Use label.")
            self._append([{"event": "relabel", "id": one, "value": value, "by": by} for one, value in pairs])
        return [one for one, _ in pairs]

    def skip(self, ids: Any, *, by: str | None = None) -> list[Id]:
        """Ids that shall not be asked for again; a label that one has ends."""
        found = as_ids(ids)
        with self._calls:
            self._append([{"event": "skip", "id": one, "by": by} for one in found])
        return found

    def undo(self, n: int = 1, *, by: str | None = None) -> list[Id]:
        """Take back the last `n` answers (labels, corrections, skips), one of each id; gives their ids, latest first.

        Raises
        ------
        ValueError
            There are fewer answers. Nothing is written.
        """
        if isinstance(n, bool) or not hasattr(n, "__index__") or n < 1:
            raise ValueError(f"The 'n' parameter of undo must be an int in the range [1, inf). Got {shown(n)} instead.")
        with self._calls:
            if n > len(self._answers):
                raise ValueError(f"There are {len(self._answers)} answers to take back. Got n={n}.")
            last = self._answers[: -index(n) - 1 : -1]
            self._append([{"event": "undo", "undone": [answer.seq for answer in last], "by": by}])
        return [answer.id for answer in last]

    # -- the file ------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether it takes no more events."""
        return not self._finalizer.alive or os.getpid() != self._owner

    def close(self) -> None:
        """Release the lock; what is held can still be asked for."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def _append(self, events: Sequence[dict[str, Any]]) -> None:
        """Write events, all or none, and take them in."""
        if self.closed:
            raise JournalError(f"The journal '{self.path}' is closed.")
        if not events:
            return
        before = self._checked_size()
        if self._seq == 0 and events[0]["event"] != "open":
            events = [_opening(), *events]
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        numbered = [{"seq": self._seq + i, **event, "time": time} for i, event in enumerate(events, start=1)]
        try:
            lines = [line_of(event) for event in numbered]
        except (TypeError, ValueError) as error:
            raise JournalError(f"What is noted in a journal must be plain JSON: {error}.") from error
        try:
            for line in lines:
                _write(self._file, line)
            if self.durable:
                os.fsync(self._file)
            self._take(numbered)
            self._size = before + sum(map(len, lines))
        except BaseException as error:
            # A part of it may stand there: it goes, and the file says what holds.
            with suppress(OSError):
                os.ftruncate(self._file, before)
                os.fsync(self._file)
            self._read(repair=False)
            if isinstance(error, OSError):
                raise JournalError(
                    f"The journal '{self.path}' could not be written: {error.strerror}. "
                    f"What it held before is safe; of this call nothing was kept."
                ) from error
            raise

    def _checked_size(self) -> int:
        """Bytes of the file, which stands where it was, and of which this object knows all."""
        try:
            is_there = os.path.samestat(os.stat(self._place), os.fstat(self._file))
        except OSError:
            is_there = False
        if not is_there:
            raise JournalError(
                f"The journal '{self.path}' was removed or replaced while it was in use. Nothing was written; open it "
                f"anew."
            )
        if os.fstat(self._file).st_size != self._size:
            # Of a call that was interrupted twice, or of an editor.
            self._read(repair=True)
        return self._size

    def _content(self) -> bytes:
        try:
            return self._place.read_bytes()
        except OSError as error:
            raise JournalError(f"The journal '{self.path}' cannot be read: {error.strerror}.") from error

    def _read(self, *, repair: bool) -> None:
        """What the file says, in place of all that was known; `repair` sets damaged lines aside."""
        # Until all is read, nothing is known of the file.
        self._size = -1
        content = self._content()
        found = read_lines(content, str(self.path))
        if repair and not found.is_tidy:
            self._set_aside(found.damaged, found.lines)
        self._seq, self.settings, self.batches = 0, {}, []
        self._forget_answers()
        self._take(found.events)
        if repair or found.is_tidy:
            self._size = sum(map(len, found.lines))

    def _set_aside(self, damaged: list[bytes], lines: list[bytes]) -> None:
        """Damaged lines go to a file of their own, first; then the whole ones replace the journal in one step."""
        aside = self._place.with_name(f"{self._place.name}.damaged")
        try:
            if damaged:
                with open(aside, "ab") as file:
                    file.write(b"".join(line + b"\n" for line in damaged))
                    file.flush()
                    os.fsync(file.fileno())
                sync_folder(aside.parent)
            write_atomically(self._place, b"".join(lines))
            replaced = os.open(self._place, _FLAGS)
        except OSError as error:
            raise JournalError(
                f"The journal '{self.path}' has damaged lines, which cannot be set aside: {error.strerror}."
            ) from error
        # The same number for the new file, so that what closes it stays right.
        os.dup2(replaced, self._file, inheritable=False)
        os.close(replaced)
        if damaged:
            lost = "1 damaged line" if len(damaged) == 1 else f"{len(damaged)} damaged lines"
            warnings.warn(
                f"The journal '{self.path}' had {lost}, set aside in '{aside.name}'; {len(lines)} whole ones are kept.",
                UserWarning,
                stacklevel=4,
            )

    # -- the state, which is what the events say -------------------------------------------------------------------

    def _forget_answers(self) -> None:
        self._answers: list[_Answer] = []
        self._labels: dict[Id, Any] = {}
        self._skipped: set[Id] = set()

    def _take(self, events: Iterable[dict[str, Any]]) -> None:
        undone: set[int] = set()
        for event in events:
            self._seq = max(self._seq, event["seq"])
            kind = event["event"]
            if kind == "open":
                about = {key: event[key] for key in event if key not in ("seq", "event", "time", "crc")}
                self.settings = {**self.settings, **about}
            elif kind == "query":
                self.batches.append(event["ids"])
            elif kind == "undo":
                undone.update(event["undone"])
            else:
                answer = _Answer(event["seq"], kind, event["id"], event.get("value"))
                self._answers.append(answer)
                self._hold(answer)
        if undone:
            left = [answer for answer in self._answers if answer.seq not in undone]
            self._forget_answers()
            self._answers = left
            for answer in left:
                self._hold(answer)

    def _hold(self, answer: _Answer) -> None:
        if answer.kind == "skip":
            self._labels.pop(answer.id, None)
            self._skipped.add(answer.id)
        else:
            self._labels[answer.id] = answer.value
            self._skipped.discard(answer.id)


def _opening() -> dict[str, Any]:
    return {"event": "open", "version": VERSION, "skal": __version__}


def _write(file: int, line: bytes) -> None:
    # One write, unless the disk took a part of it: then the next one says why.
    while line:
        line = line[os.write(file, line) :]


def _release(file: int, lock: FileLock) -> None:
    with suppress(OSError):
        os.close(file)
    lock.close()
