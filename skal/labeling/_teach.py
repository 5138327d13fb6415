"""What a file of answers changes in a journal."""

from __future__ import annotations

import difflib
from typing import Any, NamedTuple

from ._answers import Id, same_value
from ._found import SKIPPED, Found
from ._journal import LabelJournal
from ._read_labels import agreed, found_in, tells_who
from ._sources import Source

__all__ = ["Answers", "Changes", "answers_in", "changes_of"]


class Answers(NamedTuple):
    """The answer to each id in a file, all that it holds, and what is to be told of it."""

    labels: dict[Id, Any]
    found: Found
    notes: list[str]


def answers_in(path: str, by: str | None, classes: list[Any]) -> Answers:
    """The classes of whole samples in a file: the answers of `by`, where the file tells who has answered."""
    found = found_in(path, classify=True, classes=classes)
    labels, notes = agreed(found, path, by if tells_who(found) else None)
    return Answers(labels, found, notes)


class Changes(NamedTuple):
    """Answers that differ from the journal, by what they are there, and how many do not.

    `renamed` are the samples that the file names otherwise, with the names that it has for them.
    """

    labels: dict[Id, Any]
    corrections: dict[Id, tuple[Any, Any]]
    skips: list[Id]
    renamed: dict[Id, Id]
    n_same: int
    n_without: int

    def write(self, journal: LabelJournal, by: str | None) -> None:
        """Journal them. What an interruption leaves out differs still when the same file is given again."""
        journal.label(list(self.labels), list(self.labels.values()), by=by)
        journal.relabel(list(self.corrections), [new for _, new in self.corrections.values()], by=by)
        journal.skip(self.skips, by=by)

    def __str__(self) -> str:
        counts = {"new": len(self.labels), "corrected": len(self.corrections), "skipped": len(self.skips)}
        without = [("without an answer", self.n_without)] if self.n_without else []
        return ", ".join(f"{n} {name}" for name, n in [*counts.items(), ("as before", self.n_same), *without])


def changes_of(answers: Answers, journal: LabelJournal, source: Source, classes: list[Any], name: str) -> Changes:
    """Compare answers with a journal.

    Raises
    ------
    ValueError
        An id that the data does not have, or that stands for several samples, two answers for one sample, or a label
        that is none of the classes; nothing is written.
    """
    labels: dict[Id, Any] = {}
    corrections: dict[Id, tuple[Any, Any]] = {}
    skips: list[Id] = []
    names: dict[Id, Id] = {}
    n_same = 0
    for given, answer in answers.labels.items():
        one = _sample_of(given, source, given in answers.found.files, name)
        if one in names:
            raise ValueError(f"'{name}' has two answers for {one!r}: as {names[one]!r} and as {given!r}.")
        names[one] = given
        state, before = journal.state_of(one)
        if answer is SKIPPED:
            if state == "skip":
                n_same += 1
            else:
                skips.append(one)
            continue
        label = _class_of(answer, classes, one, name)
        if state != "label":
            labels[one] = label
        elif same_value(before, label):
            n_same += 1
        else:
            corrections[one] = (before, label)
    renamed = {one: given for one, given in names.items() if given in answers.found.files and given != one}
    return Changes(labels, corrections, skips, renamed, n_same, len(answers.found.without))


def _sample_of(given: Id, source: Source, is_file: bool, name: str) -> Id:
    """The sample that a file of answers means."""
    one = source.named(given)
    if source.position(one) is not None:
        return one
    alike = source.like_file(given) if is_file and isinstance(given, str) else []
    if len(alike) > 1:
        raise ValueError(
            f"'{name}' has an answer for {given!r}, which may be {alike[0]!r} or {alike[1]!r}: it must have the path "
            f"of each image. Nothing was taken over."
        )
    if not alike:
        raise ValueError(f"'{name}' has an answer for {given!r}, which is no sample of this project.")
    return alike[0]


def _class_of(answer: Any, classes: list[Any], one: Id, name: str) -> Any:
    """An answer, which must be one of the classes."""
    if not any(same_value(answer, each) for each in classes):
        texts = [str(each) for each in classes]
        near = difflib.get_close_matches(str(answer), texts, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(
            f"'{name}' must have labels of the classes {', '.join(texts)}. Got {answer!r} for {one!r}{hint} "
            f"Nothing was taken over; a new class is to be added in skal.toml."
        )
    return answer
