"""Tasks for people, in files that their tools read: spreadsheets, Label Studio, CVAT and others that take COCO."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rows import check_classes
from ..utils._files import write_atomically
from ..utils._validation import shown
from ._answers import Id, as_ids, as_value
from ._cells import cell_of, id_cell

__all__ = ["write_tasks"]

# How Label Studio calls files of the machine that it runs on.
_LOCAL_FILES = "/data/local-files/?d="
_PARTS = re.compile("[?&=#]")
_IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".svg")


class _Task:
    """One sample that somebody shall label."""

    def __init__(self, one: Id, rank: int, score: float | None, guess: tuple[Any, float] | None, file: str) -> None:
        self.id, self.rank, self.score, self.guess, self.file = one, rank, score, guess, file

    @property
    def is_image(self) -> bool:
        """Whether it is the name or the address of an image file, which may stand in the address's query."""
        name = self.file.lower()
        if name.startswith("data:image/"):
            return True
        if any(map(str.isspace, name)):
            # A sentence, unless it ends as a file does and asks nothing.
            return name.endswith(_IMAGES) and ("?" not in name or name.startswith(_LOCAL_FILES)) and "\n" not in name
        return any(unquote(part).endswith(_IMAGES) for part in _PARTS.split(name))


def write_tasks(
    path: str | os.PathLike[str],
    ids: Any,
    *,
    scores: ArrayLike | None = None,
    proba: ArrayLike | None = None,
    classes: Sequence[Any] | None = None,
    files: Sequence[Any] | Mapping[Id, Any] | None = None,
    format: str = "csv",
) -> None:
    """Write tasks for people, which `read_labels` reads once they are answered.

    Parameters
    ----------
    path : str or path
        The file, which is replaced as a whole.
    ids : sequence of n different str or int
        Which samples, the most informative first, as `LabelingSession.query` gives them.
    scores : array-like of shape (n,) or None, default=None
        How informative each is, the larger the more; the tasks are then in this order.
    proba : array-like of shape (n, n_classes) or None, default=None
        What the model thinks, for a suggestion beside each task. Needs `classes`.
    classes : sequence of n_classes labels or None, default=None
        All labels that there are.
    files : sequence of n str or paths, mapping of id to these, or None, default=None
        What the tool shows: a file's name, an address, or a text. None: the id. For Label Studio a task is an image
        where this names a file of one, by its ending, at the end of an address (``s3://bucket/a.png``), before its
        query, or in it (``/data/local-files/?d=a.png``); else it is a text, as is every sentence with a question mark.
    format : {"csv", "label-studio", "coco"}, default="csv"
        For a spreadsheet: the columns `skal_id`, `label` and `skip` to be filled in, then rank, file, score,
        suggestion and its probability. For Label Studio: a list of tasks to be imported, each with a prediction whose
        score is lowest for the most informative; order the tasks by prediction score, ascending. For CVAT and others:
        COCO with the images and categories, without boxes.

    Raises
    ------
    ValueError
        `scores`, `proba`, `classes` or `files` do not fit to the ids, or an unknown format. No file is written.
    TypeError
        An id that is neither str nor int.
    OSError
        The file cannot be written; what was there before stays.

    See Also
    --------
    read_labels : Read the answers.

    Notes
    -----
    No cell of the CSV is live in a spreadsheet: texts that begin as a formula does, and ids that would be taken for
    numbers or dates, stand behind an apostrophe. The file is UTF-8 with a mark that spreadsheets know.

    In Label Studio the control is to be named ``label`` and what it labels ``image``, for files of images, or ``text``:
    ``<View><Image name="image" value="$image"/><Choices name="label" toName="image">...</Choices></View>``.

    Examples
    --------
    >>> import os, tempfile
    >>> from skal.labeling import read_labels, write_tasks
    >>> path = os.path.join(tempfile.mkdtemp(), "tasks.csv")
    >>> write_tasks(path, ["a.jpg", 7], proba=[[0.6, 0.4], [0.1, 0.9]], classes=["cat", "dog"])
    >>> print(open(path, encoding="utf-8-sig").read())
    skal_id,label,skip,rank,file,score,suggestion,probability
    a.jpg,,,1,a.jpg,,cat,0.6
    7,,,2,7,,dog,0.9
    <BLANKLINE>
    >>> read_labels(path)
    {}
    """
    if format not in _FORMATS:
        raise ValueError(f"format must be one of {', '.join(map(repr, _FORMATS))}. Got {shown(format)} instead.")
    found = as_ids(ids)
    names = None if classes is None else [as_value(each) for each in check_classes(classes, "write_tasks")]
    guesses = _guesses(proba, names, len(found))
    shown_files = _files(files, found)
    ranked = _order(scores, len(found))
    numbers = [None] * len(found) if scores is None else np.asarray(scores, dtype=np.float64).tolist()
    tasks = [_Task(found[i], rank, numbers[i], guesses[i], shown_files[i]) for rank, i in enumerate(ranked, start=1)]
    write_atomically(path, _FORMATS[format](tasks, names))


# -- formats -------------------------------------------------------------------------------------------------------


def _as_csv(tasks: list[_Task], classes: list[Any] | None) -> bytes:
    if any(str(label).strip().casefold() == "skip" for label in classes or ()):
        raise ValueError("The 'classes' of a CSV of tasks must not hold 'skip', which stands for no answer.")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(["skal_id", "label", "skip", "rank", "file", "score", "suggestion", "probability"])
    for task in tasks:
        guess, probability = ("", "") if task.guess is None else (str(task.guess[0]), f"{task.guess[1]:.4g}")
        score = "" if task.score is None else f"{task.score:.6g}"
        about = [str(task.rank), task.file, score, guess, probability]
        rows.writerow([id_cell(task.id), "", "", *map(cell_of, about)])
    # Names of files may hold bytes that are no text.
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "surrogateescape")


def _as_label_studio(tasks: list[_Task], classes: list[Any] | None) -> bytes:
    return _json([_label_studio_task(task, (task.rank - 0.5) / len(tasks)) for task in tasks])


def _label_studio_task(task: _Task, score: float) -> dict[str, Any]:
    shows = "image" if task.is_image else "text"
    result = []
    if task.guess is not None:
        label, probability = task.guess
        value = {"choices": [str(label)]}
        about = {"from_name": "label", "to_name": shows, "type": "choices"}
        result = [{**about, "value": value, "score": probability}]
    return {
        "data": {"skal_id": task.id, shows: task.file},
        "predictions": [{"model_version": "skal", "score": score, "result": result}],
    }


def _as_coco(tasks: list[_Task], classes: list[Any] | None) -> bytes:
    images = [{"id": task.rank, "file_name": task.file, "skal_id": task.id, **_size_of(task.file)} for task in tasks]
    categories = [{"id": i, "name": str(label)} for i, label in enumerate(classes or (), start=1)]
    return _json({"images": images, "annotations": [], "categories": categories})


def _size_of(file: str) -> dict[str, int]:
    """Width and height of an image that lies here; nothing else is known of others."""
    if not os.path.isfile(file):
        return {}
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            # As it is shown, which is what boxes are drawn on.
            is_lying = image.getexif().get(0x0112, 1) >= 5
            width, height = image.size[::-1] if is_lying else image.size
    except (OSError, UnidentifiedImageError):
        return {}
    return {"width": width, "height": height}


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1).encode()


_FORMATS: dict[str, Callable[[list[_Task], list[Any] | None], bytes]] = {
    "csv": _as_csv,
    "label-studio": _as_label_studio,
    "coco": _as_coco,
}


# -- what is given -------------------------------------------------------------------------------------------------


def _order(scores: ArrayLike | None, n: int) -> list[int]:
    """Positions of the tasks, the most informative first."""
    if scores is None:
        return list(range(n))
    values = _numbers(scores, "scores")
    if values.shape != (n,) or not np.isfinite(values).all():
        raise ValueError(f"scores must be one finite number for each of {n} ids. Got {_shape(values)} instead.")
    order: list[int] = np.argsort(-values, kind="stable").tolist()
    return order


def _guesses(proba: ArrayLike | None, classes: list[Any] | None, n: int) -> list[tuple[Any, float] | None]:
    """The most probable class of each, with its probability."""
    if proba is None:
        return [None] * n
    if classes is None:
        raise ValueError("proba needs classes, which name its columns.")
    values = _numbers(proba, "proba")
    if values.shape != (n, len(classes)) or not np.isfinite(values).all():
        raise ValueError(f"proba must have shape {(n, len(classes))} and be finite. Got {_shape(values)} instead.")
    best = values.argmax(axis=1).tolist()
    return [(classes[j], float(values[i, j])) for i, j in enumerate(best)]


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers. Got {shown(values)} instead.") from None


def _shape(values: NDArray[np.float64]) -> str:
    return f"shape {values.shape}" if np.isfinite(values).all() else "NaN or infinity"


def _files(files: Any, ids: list[Id]) -> list[str]:
    """What is shown for each id."""
    if files is None:
        return [str(one) for one in ids]
    if isinstance(files, Mapping):
        lacking = [one for one in ids if one not in files]
        if lacking:
            raise ValueError(f"files must hold each of the ids. {lacking[0]!r} is missing.")
        files = [files[one] for one in ids]
    if isinstance(files, (str, bytes)) or len(files) != len(ids):
        raise ValueError(f"files must be one for each of {len(ids)} ids. Got {shown(files)} instead.")
    return [str(file) for file in files]
