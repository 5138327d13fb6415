"""What a file of answers changes in a journal."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from ._answers import Id, same_value
from ._journal import LabelJournal
from ._read_labels import SKIPPED
from ._sources import Source

__all__ = ["Changes", "changes_of"]


class Changes(NamedTuple):
    """Answers that differ from the journal, by what they are there, and how many do not."""

    labels: dict[Id, Any]
    corrections: dict[Id, tuple[Any, Any]]
    skips: list[Id]
    n_same: int

    def write(self, journal: LabelJournal, by: str | None) -> None:
        """Journal them. What an interruption leaves out differs still when the same file is given again."""
        journal.label(list(self.labels), list(self.labels.values()), by=by)
        journal.relabel(list(self.corrections), [new for _, new in self.corrections.values()], by=by)
        journal.skip(self.skips, by=by)

    def __str__(self) -> str:
        counts = {"new": len(self.labels), "corrected": len(self.corrections), "skipped": len(self.skips)}
        return ", ".join(f"{n} {name}" for name, n in [*counts.items(), ("as before", self.n_same)])


def changes_of(
    answers: Mapping[Id, Any], journal: LabelJournal, source: Source, classes: list[Any], name: str
) -> Changes:
    """Compare answers with a journal.

    Raises
    ------
    ValueError
        An id that the data does not have, or a label that is none of the classes; nothing is written.
    """
    changes = Changes({}, {}, [], 0)
    n_same = 0
    for given, answer in answers.items():
        one = source.named(given)
        if source.position(one) is None:
            raise ValueError(f"'{name}' has an answer for {given!r}, which is no sample of this project.")
        state, before = journal.state_of(one)
        if answer is SKIPPED:
            if state == "skip":
                n_same += 1
            else:
                changes.skips.append(one)
            continue
        label = _class_of(answer, classes, one, name)
        if state != "label":
            changes.labels[one] = label
        elif same_value(before, label):
            n_same += 1
        else:
            changes.corrections[one] = (before, label)
    return changes._replace(n_same=n_same)


def _class_of(answer: Any, classes: list[Any], one: Id, name: str) -> Any:
    """The class that an answer is; what a spreadsheet took for a number or a truth value counts as its text."""
    by_text = {str(each): each for each in classes}
    text = str(answer)
    if isinstance(answer, bool):
        text = next((each for each in by_text if each.casefold() == text.casefold()), text)
    if isinstance(answer, float) and answer.is_integer() and text not in by_text:
        text = str(int(answer))
    if isinstance(answer, dict) or text not in by_text:
        near = difflib.get_close_matches(text, by_text, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        got = "boxes" if isinstance(answer, dict) else repr(answer)
        raise ValueError(
            f"'{name}' must have labels of the classes {', '.join(by_text)}. Got {got} for {one!r}{hint} "
            f"Nothing was taken over; a new class is to be added in skal.toml."
        )
    return by_text[text]
