"""Answers of people, from the files that their tools write."""

from __future__ import annotations

import csv
import io
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..utils._validation import kind_of, shown
from ._answers import Id, as_value
from ._cells import Read, id_of, reader_of
from ._found import SKIPPED, Answer, Found, some
from ._read_coco import from_coco
from ._read_cvat import from_cvat
from ._read_label_studio import from_label_studio

__all__ = ["SKIPPED", "agreed", "found_in", "read_labels", "tells_who"]


def read_labels(
    path: str | os.PathLike[str],
    *,
    format: str = "auto",
    by: str | int | None = None,
    classes: Sequence[Any] | None = None,
) -> dict[Id, Any]:
    """Read what people have answered.

    Parameters
    ----------
    path : str or path
        A CSV of `write_tasks` that was filled in; an export of Label Studio (JSON or JSON-MIN) of tasks with
        `skal_id` in their data; COCO, whose images have `skal_id`, or else their file names for ids, as CVAT exports
        them; or CVAT's own XML ("CVAT for images 1.1"), with file names for ids.
    format : {"auto", "csv", "label-studio", "coco", "cvat"}, default="auto"
        "auto" tells by the content.
    by : str, int or None, default=None
        Whose answers: of an annotator of Label Studio, by number, e-mail address or name. None: those of all; where
        they differ, that of most.
    classes : sequence of labels or None, default=None
        All labels that there are, such as `LabelingSession.classes`. Files hold texts, so that "9" may be a number or
        a text; with the classes an answer that stands for one of them is that one, as it is listed: by its text, as
        `write_tasks` shows it, or where no text fits, by the same number or truth value, as spreadsheets change them
        ("7.0" for 7 or "007", "TRUE" for "true"). What stands for none, or for several, is read as without.

    Returns
    -------
    dict of id to label
        In the order of the file, without what nobody has answered. A task that was skipped or cancelled has `SKIPPED`.
        Without `classes`, what is written as a number is one, and "True" is a bool, whatever the format; behind an
        apostrophe it is a text. For a detector a label is a dict of pixel `boxes` (x1, y1, x2, y2) and their `labels`;
        a tag of CVAT is the label of the whole image.

    Raises
    ------
    ValueError
        The file is of no such format, lacks the ids, or holds an answer that cannot be understood, such as several
        choices or tags for one sample, rotated boxes, or shapes that are no boxes. XML with a DOCTYPE, which could
        declare entities that grow without end, is not read. There is no answer by `by`, or the file does not tell who
        has answered: only Label Studio does. `classes` that list one twice, or none.
    TypeError
        `by` is neither a str nor an int.
    OSError
        The file cannot be read.

    Warns
    -----
    UserWarning
        Several people answered differently: the answer of most counts, and where there is none, the sample is left
        out. Images without boxes in COCO, or without tags and boxes in CVAT, are left out as well, since they do not
        tell whether somebody looked, and so are COCO's masks of groups.

    See Also
    --------
    write_tasks : Write the tasks.

    Notes
    -----
    Where one annotator has answered a sample several times, the newest answer counts: by `updated_at`, else
    `created_at`, else the place in the file. The file is read into memory as a whole, up to 15 times its size, about
    6 MB a second.

    Examples
    --------
    >>> import os, tempfile
    >>> from skal.labeling import SKIPPED, read_labels
    >>> path = os.path.join(tempfile.mkdtemp(), "tasks.csv")
    >>> with open(path, "w") as file:
    ...     _ = file.write("skal_id,label,skip\\na.jpg,cat,\\n7,,x\\nb.jpg,,\\n")
    >>> read_labels(path)
    {'a.jpg': 'cat', 7: SKIPPED}
    >>> with open(path, "w") as file:
    ...     _ = file.write("skal_id,label\\na.jpg,9\\n")
    >>> read_labels(path), read_labels(path, classes=["8", "9"])
    ({'a.jpg': 9}, {'a.jpg': '9'})
    """
    if format != "auto" and format not in _FORMATS:
        known = ", ".join(map(repr, ["auto", *_FORMATS]))
        raise ValueError(f"format must be one of {known}. Got {shown(format)} instead.")
    if by is not None and (isinstance(by, bool) or not isinstance(by, (str, int))):
        raise TypeError(f"The 'by' parameter of read_labels must be a str, an int or None. Got {kind_of(by)} instead.")
    found = found_in(path, format, classes=None if classes is None else _listed(classes))
    name = os.fspath(path)
    if by is not None and not tells_who(found):
        raise ValueError(f"'{name}' does not tell who has answered, as Label Studio's exports do. Leave 'by' out.")
    labels, notes = agreed(found, name, by)
    for note in [*found.notes, *notes]:
        warnings.warn(note, UserWarning, stacklevel=2)
    return labels


def _listed(classes: Any) -> list[Any]:
    from ..rows import check_classes  # what the commands do without

    return [as_value(each) for each in check_classes(classes, "read_labels")]


def found_in(
    path: str | os.PathLike[str],
    format: str = "auto",
    *,
    classify: bool = False,
    classes: Sequence[Any] | None = None,
) -> Found:
    """All answers in a file, read as `classes` where there are some.

    With `classify`, boxes stand for the one class of all boxes of their image.
    """
    name = os.fspath(path)
    raw = Path(path).read_bytes()
    if raw.startswith(b"PK\x03\x04"):
        raise ValueError(f"'{name}' is an archive. Give the file of annotations that lies in it.")
    text = _text_of(raw)
    content = _json_of(text)
    is_xml = content is None and text.lstrip().startswith("<")
    kind = _kind_of(content, is_xml, name) if format == "auto" else format
    needs, has = _NEEDS.get(kind, "JSON"), "XML" if is_xml else "no JSON" if content is None else "JSON"
    if needs != has:
        raise ValueError(f"'{name}' cannot be read as {kind}: it is {'no XML' if needs == 'XML' else has}.")
    try:
        return _FORMATS[kind](text if content is None else content, name, classify, reader_of(classes))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"'{name}' cannot be read as {kind}: a part of it is not what it should be.") from error


def _text_of(content: bytes) -> str:
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    return content.decode("utf-8", "surrogateescape")


def _json_of(text: str) -> Any:
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _kind_of(content: Any, is_xml: bool, name: str) -> str:
    if content is None:
        return "cvat" if is_xml else "csv"
    if isinstance(content, list):
        return "label-studio"
    if "images" in content:
        return "coco"
    raise ValueError(f"'{name}' is neither an export of Label Studio (a list of tasks) nor COCO (with images).")


# -- whose answer counts ---------------------------------------------------------------------------------------------


def tells_who(found: Found) -> bool:
    """Whether it is known of any answer whose it is."""
    return any(answer.by for answer in found.answers)


def agreed(found: Found, name: str, by: str | int | None) -> tuple[dict[Id, Any], list[str]]:
    """One answer for each id, that of `by` or that which most have given, and what is to be told of it."""
    answers = _newest(found.answers)
    if by is not None:
        answers = [answer for answer in answers if str(by) in answer.by]
        if not answers:
            people = dict.fromkeys(f"{' = '.join(answer.by)}" for answer in found.answers if answer.by)
            raise ValueError(f"'{name}' has no answer by {by!r}. Those who have answered are {', '.join(people)}.")
    votes: dict[Id, list[Any]] = {}
    for answer in answers:
        votes.setdefault(answer.id, []).append(answer.value)
    labels, split, undecided = {}, [], []
    for one, values in votes.items():
        keys = [value if value is SKIPPED else json.dumps(value) for value in values]
        counts = Counter(keys).most_common()
        if len(counts) > 1:
            split.append(one)
            if counts[0][1] == counts[1][1]:
                undecided.append(one)
                continue
        labels[one] = values[keys.index(counts[0][0])]
    if not split:
        return labels, []
    left = f" {len(undecided)} without a majority are left out: {some(undecided)}." if undecided else ""
    note = (
        f"'{name}' holds different answers to {len(split)} of {len(votes)} samples: {some(split)}. "
        f"The answer of most counts.{left}"
    )
    return labels, [note]


def _newest(answers: Sequence[Answer]) -> list[Answer]:
    """Without what the same person has answered anew; whose answer is not known counts as one more person's."""
    last: dict[Any, Answer] = {}
    for number, answer in enumerate(answers):
        key = (answer.id, answer.by[0]) if answer.by else number
        if key not in last or _moment(answer.time) >= _moment(last[key].time):
            last[key] = answer
    return list(last.values())


def _moment(time: str) -> datetime:
    try:
        found = datetime.fromisoformat(time)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# -- CSV -----------------------------------------------------------------------------------------------------------


def _from_csv(text: str, name: str, classify: bool, read: Read) -> Found:
    first = text.split("\n", 1)[0]
    # Spreadsheets of other countries separate otherwise.
    delimiter = max(",;\t", key=first.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [str(column).strip() for column in rows.fieldnames or ()]
    lacking = [column for column in ("skal_id", "label") if column not in columns]
    if lacking:
        raise ValueError(f"'{name}' must have the columns skal_id and label. It lacks {lacking[0]}.")
    rows.fieldnames = columns
    found = Found()
    for row in rows:
        one, label = row["skal_id"] or "", (row["label"] or "").strip()
        skips = (row.get("skip") or "").strip().casefold() not in ("", "0", "no", "false")
        if None in row:
            raise ValueError(f"Line {rows.line_num} of '{name}' has more cells than there are columns.")
        if not one and (label or skips):
            raise ValueError(f"Line {rows.line_num} of '{name}' has an answer, but no skal_id.")
        if label.casefold() == "skip" or (skips and not label):
            found.answers.append(Answer(id_of(one), SKIPPED))
        elif skips:
            raise ValueError(f"Line {rows.line_num} of '{name}' has both a label, {label!r}, and a skip.")
        elif label:
            found.answers.append(Answer(id_of(one), read(label)))
    return found


_FORMATS: dict[str, Callable[[Any, str, bool, Read], Found]] = {
    "csv": _from_csv,
    "label-studio": from_label_studio,
    "coco": from_coco,
    "cvat": from_cvat,
}
_NEEDS = {"csv": "no JSON", "cvat": "XML"}
