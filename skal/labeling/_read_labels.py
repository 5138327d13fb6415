"""Answers of people, from the files that their tools write."""

from __future__ import annotations

import csv
import enum
import io
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..utils._validation import shown
from ._answers import Id, as_value
from ._cells import id_of, value_of

__all__ = ["SKIPPED", "read_labels"]


class _Skipped(enum.Enum):
    SKIPPED = "skipped"

    def __repr__(self) -> str:
        return "SKIPPED"


#: In the place of a label: somebody looked at the sample and gave none.
SKIPPED = _Skipped.SKIPPED

# One answer of one person: the id, and a label or SKIPPED.
_Answer = tuple[Id, Any]


def read_labels(path: str | os.PathLike[str], *, format: str = "auto") -> dict[Id, Any]:
    """Read what people have answered.

    Parameters
    ----------
    path : str or path
        A CSV of `write_tasks` that was filled in; an export of Label Studio (JSON or JSON-MIN) of tasks with
        `skal_id` in their data; or COCO, whose images have `skal_id`, or else their file names for ids, as CVAT
        exports them.
    format : {"auto", "csv", "label-studio", "coco"}, default="auto"
        "auto" tells by the content.

    Returns
    -------
    dict of id to label
        In the order of the file, without what nobody has answered. A task that was skipped or cancelled has `SKIPPED`.
        What is written as a number is one; behind an apostrophe in a CSV it is a text. For a detector a label is a
        dict of pixel `boxes` (x1, y1, x2, y2) and their `labels`.

    Raises
    ------
    ValueError
        The file is of no such format, lacks the ids, or holds an answer that cannot be understood, such as several
        choices for one sample.
    OSError
        The file cannot be read.

    Warns
    -----
    UserWarning
        Several people answered differently: the answer of most counts, and where there is none, the sample is left
        out. Images without boxes in COCO are left out as well, since it does not tell whether somebody looked, and so
        are its masks of groups.

    See Also
    --------
    write_tasks : Write the tasks.

    Examples
    --------
    >>> import os, tempfile
    >>> from skal.labeling import SKIPPED, read_labels
    >>> path = os.path.join(tempfile.mkdtemp(), "tasks.csv")
    >>> with open(path, "w") as file:
    ...     _ = file.write("skal_id,label,skip\\na.jpg,cat,\\n7,,x\\nb.jpg,,\\n")
    >>> read_labels(path)
    {'a.jpg': 'cat', 7: SKIPPED}
    """
    if format != "auto" and format not in _FORMATS:
        known = ", ".join(map(repr, ["auto", *_FORMATS]))
        raise ValueError(f"format must be one of {known}. Got {shown(format)} instead.")
    name = os.fspath(path)
    text = _text_of(Path(path).read_bytes())
    content = _json_of(text)
    kind = _kind_of(content, name) if format == "auto" else format
    if (kind == "csv") != (content is None):
        raise ValueError(f"'{name}' cannot be read as {kind}: it is {'no JSON' if content is None else 'JSON'}.")
    try:
        return _agreed(_FORMATS[kind](text if content is None else content, name), name)
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


def _kind_of(content: Any, name: str) -> str:
    if content is None:
        return "csv"
    if isinstance(content, list):
        return "label-studio"
    if "images" in content:
        return "coco"
    raise ValueError(f"'{name}' is neither an export of Label Studio (a list of tasks) nor COCO (with images).")


def _agreed(answers: Iterator[_Answer], name: str) -> dict[Id, Any]:
    """One answer for each id: the one that most have given."""
    votes: dict[Id, list[Any]] = {}
    for one, value in answers:
        votes.setdefault(one, []).append(value)
    found, split, undecided = {}, [], []
    for one, values in votes.items():
        keys = [value if value is SKIPPED else json.dumps(value) for value in values]
        counts = Counter(keys).most_common()
        if len(counts) > 1:
            split.append(one)
            if counts[0][1] == counts[1][1]:
                undecided.append(one)
                continue
        found[one] = values[keys.index(counts[0][0])]
    if split:
        left = f" {len(undecided)} without a majority are left out: {_some(undecided)}." if undecided else ""
        warnings.warn(
            f"'{name}' holds different answers to {len(split)} of {len(votes)} samples: {_some(split)}. "
            f"The answer of most counts.{left}",
            UserWarning,
            stacklevel=3,
        )
    return found


def _some(ids: list[Id]) -> str:
    return ", ".join(map(repr, ids[:5])) + (", ..." if len(ids) > 5 else "")


# -- CSV -----------------------------------------------------------------------------------------------------------


def _from_csv(text: str, name: str) -> Iterator[_Answer]:
    first = text.split("\n", 1)[0]
    # Spreadsheets of other countries separate otherwise.
    delimiter = max(",;\t", key=first.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [str(column).strip() for column in rows.fieldnames or ()]
    lacking = [column for column in ("skal_id", "label") if column not in columns]
    if lacking:
        raise ValueError(f"'{name}' must have the columns skal_id and label. It lacks {lacking[0]}.")
    rows.fieldnames = columns
    for row in rows:
        one, label = row["skal_id"] or "", (row["label"] or "").strip()
        skips = (row.get("skip") or "").strip().casefold() not in ("", "0", "no", "false")
        if None in row:
            raise ValueError(f"Line {rows.line_num} of '{name}' has more cells than there are columns.")
        if not one and (label or skips):
            raise ValueError(f"Line {rows.line_num} of '{name}' has an answer, but no skal_id.")
        if label.casefold() == "skip" or (skips and not label):
            yield id_of(one), SKIPPED
        elif skips:
            raise ValueError(f"Line {rows.line_num} of '{name}' has both a label, {label!r}, and a skip.")
        elif label:
            yield id_of(one), value_of(label)


# -- Label Studio ----------------------------------------------------------------------------------------------------


def _from_label_studio(content: Any, name: str) -> Iterator[_Answer]:
    if not isinstance(content, list) or not all(isinstance(task, dict) for task in content):
        raise ValueError(f"'{name}' is no export of Label Studio, which is a list of tasks.")
    has_boxes = '"rectanglelabels"' in json.dumps([_annotations_of(task) for task in content])
    for number, task in enumerate(content, start=1):
        data = task.get("data", task)
        if not isinstance(data, dict) or "skal_id" not in data:
            raise ValueError(f"Task {task.get('id', number)!r} of '{name}' has no skal_id in its data.")
        one = data["skal_id"]
        if "data" not in task:
            yield one, _of_short_task(task, one, name)
        for annotation in _annotations_of(task):
            if annotation.get("was_cancelled"):
                yield one, SKIPPED
                continue
            result = annotation.get("result") or []
            value = _boxes_of(result, one, name) if has_boxes else _choice_of(result, one, name)
            if value is not None:
                yield one, value


def _annotations_of(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Before version 1.0 they had another name."""
    return task.get("annotations") or task.get("completions") or []


def _of_short_task(task: dict[str, Any], one: Id, name: str) -> Any:
    """The answer in a task of JSON-MIN, where it stands under the name of the control."""
    chosen = next((task[control] for control in ("label", "choice") if control in task), None)
    if not chosen:
        raise ValueError(f"The answer to {one!r} in '{name}' must stand under label or choice. Export as JSON instead.")
    chosen = chosen.get("choices", chosen) if isinstance(chosen, dict) else chosen
    chosen = chosen if isinstance(chosen, list) else [chosen]
    if any(isinstance(each, dict) for each in chosen):
        return _boxes_of([{**each, "type": "rectanglelabels", "value": each} for each in chosen], one, name)
    return _one_of(chosen, one, name)


def _choice_of(result: list[dict[str, Any]], one: Id, name: str) -> Any:
    chosen = [choice for part in result if part.get("type") == "choices" for choice in part["value"]["choices"]]
    if not chosen and result:
        kinds = ", ".join(sorted({str(part.get("type")) for part in result}))
        raise ValueError(f"The answer to {one!r} in '{name}' holds neither choices nor boxes, but {kinds}.")
    return _one_of(chosen, one, name) if chosen else None


def _one_of(chosen: list[Any], one: Id, name: str) -> Any:
    if len(chosen) > 1:
        raise ValueError(f"The answer to {one!r} in '{name}' must be one choice. Got {shown(chosen)} instead.")
    return value_of(chosen[0]) if isinstance(chosen[0], str) else as_value(chosen[0])


def _boxes_of(result: list[dict[str, Any]], one: Id, name: str) -> dict[str, list[Any]]:
    """Boxes in percent of the image as boxes in pixels."""
    boxes, labels = [], []
    for part in result:
        kind = str(part.get("type"))
        if kind != "rectanglelabels":
            if kind.endswith("labels"):
                raise ValueError(f"The answer to {one!r} in '{name}' must hold boxes alone. Got {kind} beside them.")
            continue  # what is said of a box, such as a choice or a text
        value, width, height = part["value"], part.get("original_width"), part.get("original_height")
        if not width or not height:
            raise ValueError(f"A box of {one!r} in '{name}' lacks original_width and original_height of its image.")
        if value.get("rotation"):
            raise ValueError(f"A box of {one!r} in '{name}' is rotated, which a detector's boxes are not.")
        x, y = value["x"] * width / 100, value["y"] * height / 100
        boxes.append([x, y, x + value["width"] * width / 100, y + value["height"] * height / 100])
        labels.append(_one_of(value["rectanglelabels"], one, name))
    return _checked_boxes(boxes, labels, one, name)


def _checked_boxes(boxes: list[list[float]], labels: list[Any], one: Id, name: str) -> dict[str, list[Any]]:
    try:
        target: dict[str, list[Any]] = as_value({"boxes": boxes, "labels": labels})
    except ValueError as error:
        raise ValueError(f"The boxes of {one!r} in '{name}' cannot be used. {error}") from None
    return target


# -- COCO ----------------------------------------------------------------------------------------------------------


def _from_coco(content: Any, name: str) -> Iterator[_Answer]:
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise ValueError(f"'{name}' is no COCO, which has images, annotations and categories.")
    names = {category["id"]: category["name"] for category in content.get("categories", ())}
    of_image: dict[Any, list[dict[str, Any]]] = {}
    n_crowds = 0
    for annotation in content.get("annotations", ()):
        if annotation.get("iscrowd"):
            n_crowds += 1
        else:
            of_image.setdefault(annotation["image_id"], []).append(annotation)
    without = []
    for image in content["images"]:
        one = image.get("skal_id", image.get("file_name"))
        if one is None:
            raise ValueError(f"Image {image.get('id')!r} of '{name}' has neither skal_id nor file_name.")
        annotations = of_image.get(image["id"], [])
        if not annotations:
            without.append(one)
            continue
        boxes, labels = [], []
        for annotation in annotations:
            if annotation.get("category_id") not in names:
                unknown = annotation.get("category_id")
                raise ValueError(f"A box of {one!r} in '{name}' is of the category {unknown!r}, which is not listed.")
            if (annotation.get("attributes") or {}).get("rotation"):
                raise ValueError(f"A box of {one!r} in '{name}' is rotated, which a detector's boxes are not.")
            x, y, width, height = annotation["bbox"]
            boxes.append([x, y, x + width, y + height])
            labels.append(value_of(str(names[annotation["category_id"]])))
        yield one, _checked_boxes(boxes, labels, one, name)
    if n_crowds:
        warnings.warn(
            f"{n_crowds} annotations of '{name}' are masks of groups (iscrowd), which are no boxes, and are left out.",
            UserWarning,
            stacklevel=4,
        )
    if without:
        warnings.warn(
            f"{len(without)} of {len(content['images'])} images of '{name}' have no boxes and are left out: "
            f"{_some(without)}. COCO does not tell whether somebody looked; label those without objects by hand.",
            UserWarning,
            stacklevel=4,
        )


_FORMATS: dict[str, Callable[[Any, str], Iterator[_Answer]]] = {
    "csv": _from_csv,
    "label-studio": _from_label_studio,
    "coco": _from_coco,
}
