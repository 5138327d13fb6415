"""The classes of a session: who lists them, and how a longer list takes the place of a shorter one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..learners import ActiveLearner
from ..rows import check_classes, check_labels
from ..utils._validation import shown
from ._answers import Id, as_value

__all__ = [
    "check_among",
    "check_given",
    "checked_classes",
    "continued_classes",
    "kind_of_label",
    "labels_outside",
    "listed_classes",
]

_WHOSE = "The 'classes' parameter of LabelingSession"


def kind_of_label(label: Any) -> str:
    """What must be the same of all labels: numbers, texts, bools, or targets of a detector."""
    if isinstance(label, dict):
        return "boxes"
    is_number = isinstance(label, (int, float)) and not isinstance(label, bool)
    return "number" if is_number else {"str": "text"}.get(type(label).__name__, type(label).__name__)


def labels_outside(labels: Mapping[Id, Any], classes: list[Any]) -> Iterator[tuple[Id, Any]]:
    """The ids, with their labels, or those of their boxes, that are none of the classes."""
    known = _keys(classes)
    for one, value in labels.items():
        for label in value["labels"] if isinstance(value, dict) else [value]:
            if (kind_of_label(label), label) not in known:
                yield one, label


def listed_classes(classes: Any) -> list[Any]:
    """A list of classes as a journal keeps it."""
    names = [as_value(each) for each in check_classes(classes, "LabelingSession")]
    if len(set(map(kind_of_label, names))) > 1:
        raise ValueError(f"{_WHOSE} must list labels of one kind. Got {shown(classes)} instead.")
    return names


def checked_classes(classes: Any, learner: ActiveLearner) -> list[Any] | None:
    """What is given, or the learner's list, which must be the same; None where there is neither."""
    names = None if classes is None else listed_classes(classes)
    if learner.classes is not None:
        known = listed_classes(learner.classes)
        if names is None:
            return known
        check_labels(names, known, f"{_WHOSE}, beside the learner's list,")
        lacking = sorted(_keys(known) - _keys(names))
        if lacking:
            raise ValueError(
                f"{_WHOSE}, beside the learner's list, must be the same. {lacking[0][1]!r} is the learner's alone."
            )
    return names


def continued_classes(
    noted: list[Any] | None, given: list[Any] | None, labels: Mapping[Id, Any], path: Any
) -> list[Any] | None:
    """The classes that a session goes on with: those noted in its journal, or a list that extends them.

    Raises
    ------
    ValueError
        The list drops a class, or lacks a label that was given.
    """
    if given is None:
        # Labels that were given under a list which nobody has noted.
        stray = [] if noted is None else list(dict.fromkeys(label for _, label in labels_outside(labels, noted)))
        return noted if noted is None or not stray else [*noted, *stray]
    known = _keys(given)
    dropped = [each for each in noted or () if (kind_of_label(each), each) not in known]
    if dropped:
        raise ValueError(
            f"The classes given, or the learner's, must hold all classes of the journal '{path}', and may hold more. "
            f"{dropped[0]!r} is missing; without any, those of the journal count."
        )
    check_given(labels, given)
    return noted if noted is not None and len(noted) == len(given) else given


def check_among(labels: list[Any], classes: list[Any]) -> None:
    """Whether labels are classes; else a `ValueError` that says what to do where they are not."""
    try:
        check_labels(labels, classes)
    except ValueError as error:
        texts = set(map(str, classes))
        is_text = any(str(label) in texts for _, label in labels_outside(dict(enumerate(labels)), classes))
        hint = (
            "read_labels(path, classes=session.classes) takes the answers in a file for classes by their text."
            if is_text
            else "To add a class: session.classes = [*session.classes, ...]."
        )
        raise ValueError(f"{error} {hint}") from None


def check_given(labels: Mapping[Id, Any], classes: list[Any]) -> None:
    """Whether a list has a class for every label that was given."""
    for one, label in labels_outside(labels, classes):
        raise ValueError(f"classes must hold all labels that were given. {label!r}, of {one!r}, is missing.")


def _keys(classes: list[Any]) -> set[tuple[str, Any]]:
    """What tells classes apart: 1 is 1.0, and neither True nor "1"."""
    return {(kind_of_label(each), each) for each in classes}
