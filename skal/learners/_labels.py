"""What is labelled: samples, labels and copies of samples, in the order of labelling."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rows import drop_rows, label_rows, n_rows, stack_rows, take_rows
from ..utils._validation import shown

__all__ = ["LabeledSet", "is_one_label"]


@dataclass(frozen=True)
class _Lesson:
    """What came in one piece: the initial data, or what one `teach` brought.

    `copies` are copies of the rows `copied` (positions in the lesson), where there are any. `before` is whatever the
    learner wants back when the lesson is undone; None marks data that cannot be undone. `source` names who keeps the
    labels, such as a labelling session, and brings them anew; None is the learner itself.
    """

    X: Any
    y: Any
    copies: Any = None
    copied: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    before: Any = None
    source: str | None = None

    def __len__(self) -> int:
        return 0 if self.X is None else n_rows(self.X)


class LabeledSet:
    """Labelled samples and their labels, lesson by lesson.

    A set never changes: each verb gives another one, which shares the lessons with this one. So a learner that keeps
    the old set until all has gone well is as before when something fails, at no cost.

    Parameters
    ----------
    X, y : array-like of n rows or None
        The initial data, which cannot be undone.

    Attributes
    ----------
    X, y : array-like or None
        All samples and labels in one container, that of the first lesson; stacked when they are first read.
    copies : array-like or None
        All copies, in the order of labelling.
    copied : ndarray, int64
        The row of `X` that each of the copies belongs to.
    """

    def __init__(self, X: Any = None, y: Any = None) -> None:
        self._lessons: tuple[_Lesson, ...] = () if X is None and y is None else (_Lesson(X, y),)
        # By name of the column, for how many of the lessons it is stacked, and the stack.
        self._stacked: dict[str, tuple[int, Any]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lessons))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_stacked": {}}

    @property
    def X(self) -> Any:
        return self._column("X")

    @property
    def y(self) -> Any:
        return self._column("y")

    @property
    def copies(self) -> Any:
        return self._column("copies")

    @property
    def copied(self) -> NDArray[np.int64]:
        rows = [start + lesson.copied for start, lesson in zip(self._starts(), self._lessons)]
        return np.concatenate([np.empty(0, dtype=np.int64), *rows])

    # -- other sets made of this one ---------------------------------------------------------------------------

    def with_lesson(
        self, X: Any, y: Any, *, copies: Any = None, before: Any = None, source: str | None = None
    ) -> LabeledSet:
        """This set and new rows, with one copy of each row or none.

        `before` comes back from `without_last`; None for rows that cannot be undone. `without` leaves out a `source`.
        """
        if self._lessons:
            first = self._lessons[0]
            # Below one row, so that what does not fit is an error now, at the cost of the new rows alone.
            if first.X is not None:
                stack_rows(take_rows(first.X, slice(0, 1)), X)
            if first.y is not None:
                head = take_rows(first.y, slice(0, 1))
                y = drop_rows(label_rows(head, y, X), np.arange(n_rows(head)))
        copied = np.arange(0 if copies is None else n_rows(copies))
        return self._with((*self._lessons, _Lesson(X, y, copies, copied, before, source)), self._stacked)

    def without_last(self) -> tuple[LabeledSet, Any]:
        """This set without its last lesson, and what that lesson was given as `before`."""
        if not self._lessons or self._lessons[-1].before is None:
            raise ValueError("There is nothing to undo: no lesson has been taught since the initial data.")
        kept = self._lessons[:-1]
        stacked = {name: stack for name, stack in self._stacked.items() if stack[0] <= len(kept)}
        return self._with(kept, stacked), self._lessons[-1].before

    def without(self, source: str) -> LabeledSet:
        """This set without what `source` brought."""
        kept = tuple(lesson for lesson in self._lessons if lesson.source != source)
        return self if len(kept) == len(self._lessons) else self._with(kept, {})

    def relabeled(self, position: Any, y: Any) -> LabeledSet:
        """This set with other labels `y` at one or several positions."""
        rows = self._rows(position)
        if np.ndim(position) == 0 and is_one_label(y):
            y = y.reshape(1) if hasattr(y, "reshape") else [y]
        if n_rows(y) != len(rows):
            raise ValueError(f"relabel needs one label for each of {len(rows)} positions. Got {n_rows(y)} instead.")
        lessons = list(self._lessons)
        for i, start in enumerate(self._starts()):
            lesson = lessons[i]
            here = np.flatnonzero((rows >= start) & (rows < start + len(lesson)))
            if len(here) == 0:
                continue
            places, order = rows[here] - start, np.arange(len(lesson))
            # The new labels go below the old ones, in their container, and are then taken in their place.
            order[places] = len(lesson) + np.arange(len(here))
            below = label_rows(lesson.y, take_rows(y, here), take_rows(lesson.y, places))
            lessons[i] = replace(lesson, y=take_rows(below, order))
        return self._with(tuple(lessons), {name: stack for name, stack in self._stacked.items() if name != "y"})

    def with_columns(self, **columns: Any) -> LabeledSet:
        """Another `X` or `y` in place of this set's, as initial data; copies stay if the number of rows does."""
        found = LabeledSet(**{"X": self.X, "y": self.y, **columns})
        if found._lessons and self.copies is not None and len(found) == len(self):
            lesson = replace(found._lessons[0], copies=self.copies, copied=self.copied)
            found._lessons = (lesson,)
        return found

    def _with(self, lessons: tuple[_Lesson, ...], stacked: dict[str, tuple[int, Any]]) -> LabeledSet:
        twin = LabeledSet()
        twin._lessons, twin._stacked = lessons, dict(stacked)
        return twin

    # -- parts -------------------------------------------------------------------------------------------------

    def _starts(self) -> NDArray[np.int64]:
        """The position of the first row of each lesson."""
        return np.cumsum([0, *map(len, self._lessons)], dtype=np.int64)[:-1]

    def _column(self, name: str) -> Any:
        done, whole = self._stacked.get(name, (0, None))
        if done < len(self._lessons):
            new = [part for lesson in self._lessons[done:] if (part := getattr(lesson, name)) is not None]
            whole = _stack([*([] if whole is None else [whole]), *new])
            self._stacked[name] = (len(self._lessons), whole)
        return whole

    def _rows(self, position: Any) -> NDArray[np.int64]:
        """`position` as an array of positions in this set."""
        rows = np.atleast_1d(np.asarray(position))
        valid = rows.ndim == 1 and len(rows) > 0 and np.issubdtype(rows.dtype, np.integer)
        if not valid or rows.min() < 0 or rows.max() >= len(self) or len(np.unique(rows)) < len(rows):
            raise ValueError(
                f"relabel needs one or several different positions among the {len(self)} labelled samples, counted "
                f"from 0. Got {shown(position)} instead."
            )
        return rows.astype(np.int64)


def is_one_label(y: Any) -> bool:
    """Whether `y` is a label, or the target of one image, and no container of them."""
    is_target = isinstance(y, Mapping) and "boxes" in y
    return is_target or isinstance(y, (str, bytes, Number, np.generic)) or getattr(y, "shape", None) == ()


def _stack(parts: list[Any]) -> Any:
    """All parts in one container; many new ones are joined pair by pair first, so that nothing is copied often."""
    first, *rest = parts or [None]
    kinds = {(type(part), str(getattr(part, "dtype", None))) for part in parts}
    if len(kinds) > 1:
        # What becomes of mixed kinds may depend on their order.
        return functools.reduce(stack_rows, rest, first)
    while len(rest) > 1:
        rest = [functools.reduce(stack_rows, rest[i : i + 2]) for i in range(0, len(rest), 2)]
    return stack_rows(first, rest[0]) if rest else first
