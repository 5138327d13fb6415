"""What files of answers hold, before it is decided whose answer counts."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..utils._validation import shown
from ._answers import Id, as_value
from ._cells import Read

__all__ = ["SKIPPED", "Answer", "Box", "Found", "one_of", "some", "value_of_boxes"]


class _Skipped(enum.Enum):
    SKIPPED = "skipped"

    def __repr__(self) -> str:
        return "SKIPPED"


#: In the place of a label: somebody looked at the sample and gave none.
SKIPPED = _Skipped.SKIPPED


class Answer(NamedTuple):
    """One answer of one person: a label or `SKIPPED`; all names that the file has for the person; and when it was."""

    id: Id
    value: Any
    by: tuple[str, ...] = ()
    time: str = ""


@dataclass
class Found:
    """The answers in a file, in its order.

    `files` are the ids that are names of files, `without` the images that nobody has annotated, and `notes` what is
    to be told beside them.
    """

    answers: list[Answer] = field(default_factory=list)
    files: set[Id] = field(default_factory=set)
    without: list[Id] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Box(NamedTuple):
    """A box in pixels: x1, y1, x2, y2."""

    edges: list[float]
    label: Any
    is_rotated: bool = False


def value_of_boxes(boxes: Sequence[Box], one: Id, name: str, classify: bool) -> Any:
    """What boxes say of an image: a detector's target, or the one class of all of them, None where there is none."""
    if classify:
        labels = list(dict.fromkeys(box.label for box in boxes))
        if len(labels) > 1:
            raise ValueError(
                f"The tags or boxes of {one!r} in '{name}' must be of one class, as the project sorts whole images. "
                f"Got {', '.join(map(repr, labels))}. Nothing was taken over."
            )
        return labels[0] if labels else None
    if any(box.is_rotated for box in boxes):
        raise ValueError(f"A box of {one!r} in '{name}' is rotated, which a detector's boxes are not.")
    try:
        return as_value({"boxes": [box.edges for box in boxes], "labels": [box.label for box in boxes]})
    except ValueError as error:
        raise ValueError(f"The boxes of {one!r} in '{name}' cannot be used. {error}") from None


def one_of(chosen: Sequence[Any], one: Id, name: str, read: Read) -> Any:
    """The only choice."""
    if len(chosen) > 1:
        raise ValueError(f"The answer to {one!r} in '{name}' must be one choice. Got {shown(list(chosen))} instead.")
    return read(chosen[0])


def some(ids: Sequence[Id]) -> str:
    """The first of them, for a message."""
    return ", ".join(map(repr, ids[:5])) + (", ..." if len(ids) > 5 else "")
