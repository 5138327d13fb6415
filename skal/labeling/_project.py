"""A folder that is a project: its settings in `skal.toml`, its journal and its batches."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
import uuid
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..utils._files import write_atomically
from ..utils._validation import shown
from ._answers import Id, same_value
from ._journal import LabelJournal

if TYPE_CHECKING:
    from ._sources import Source

__all__ = ["KINDS", "Project", "Settings", "located", "open_batches"]

KINDS = ("images", "table", "text")


@dataclass(frozen=True)
class Settings:
    """What `skal.toml` says; paths are as they stand there, relative to the folder of the project."""

    data: str
    kind: str
    classes: list[Any]
    seed: int = 0
    column: str = ""
    drop: list[str] = field(default_factory=list)
    model: dict[str, Any] = field(default_factory=lambda: {"name": "LogisticRegression", "max_iter": 1000})
    strategy: dict[str, Any] = field(default_factory=lambda: {"name": "MarginSampling"})
    cold_start: dict[str, Any] = field(default_factory=lambda: {"name": "TypiClust"})
    backbone: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """One sentence on what cannot be used."""
        for name, kind in (("data", str), ("kind", str), ("column", str), ("classes", list), ("drop", list)):
            _check_type(getattr(self, name), kind, name)
        if self.kind not in KINDS:
            raise ValueError(f"'kind' must be one of {', '.join(KINDS)}. Got {self.kind!r} instead.")
        if self.kind == "text" and not self.column:
            raise ValueError("'column' must name the column of the texts.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise ValueError(f"'seed' must be an integer in [0, 2**32). Got {shown(self.seed)} instead.")
        is_text = [isinstance(each, str) and bool(each.strip()) for each in self.classes]
        is_int = [isinstance(each, int) and not isinstance(each, bool) for each in self.classes]
        if len(self.classes) < 2 or not (all(is_text) or all(is_int)):
            raise ValueError(
                f"'classes' must be two or more texts, or two or more integers. Got {shown(self.classes)} instead."
            )
        names = [str(each).strip().casefold() for each in self.classes]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"'classes' must differ in more than upper and lower case. Got {twice!r} twice.")
        if "skip" in names:
            raise ValueError("'classes' must not hold 'skip', which stands for no answer.")
        for name in ("model", "strategy", "cold_start"):
            spec = getattr(self, name)
            _check_type(spec, dict, name)
            if not isinstance(spec.get("name"), str):
                raise ValueError(f"'[{name}]' must have a name, such as {_DEFAULTS[name]!r}, or a module:object.")
        _check_backbone(self.backbone, self.kind)

    def to_toml(self) -> str:
        """The text of `skal.toml`."""
        top = ["data", "kind", "classes", "seed"] + [name for name in ("column", "drop") if getattr(self, name)]
        lines = ["# A labelling project of skal. Everything here can be edited; paths are relative to this file.", ""]
        lines += [f"{name} = {_value(getattr(self, name))}" for name in top]
        for name, comment in _COMMENTS.items():
            spec = getattr(self, name)
            if spec:
                lines += ["", *(f"# {line}" for line in comment.split("\n")), f"[{name}]"]
                lines += [f"{key} = {_value(value)}" for key, value in spec.items()]
        return "\n".join(lines) + "\n"


_DEFAULTS = {"model": "LogisticRegression", "strategy": "MarginSampling", "cold_start": "TypiClust"}
_COMMENTS = {
    "model": 'A classifier by name, with its parameters below, or name = "module:object" of your own.',
    "strategy": 'Chooses what to label next: a strategy of skal.strategies by name, or "module:object".',
    "cold_start": "Chooses while nothing is labelled, or one class only.",
    "backbone": "A torchvision model whose features the classifier gets, frozen; weights by name or a file.",
}
_BACKBONE = {"name": str, "weights": str, "size": int}


def _check_type(value: Any, kind: type, name: str) -> None:
    if not isinstance(value, kind):
        what = {"str": "a text", "list": "a list", "dict": "a table"}[kind.__name__]
        raise ValueError(f"'{name}' must be {what}. Got {shown(value)} instead.")


def _check_backbone(spec: Any, kind: str) -> None:
    _check_type(spec, dict, "backbone")
    if not spec:
        return
    if kind != "images":
        raise ValueError(f"'[backbone]' is for images. Got it with kind = {kind!r}.")
    for key, value in spec.items():
        if key not in _BACKBONE or not isinstance(value, _BACKBONE[key]):
            raise ValueError(f"'[backbone]' must have a name, weights (texts) and a size. Got {key} = {shown(value)}.")
    for key in ("name", "weights"):
        if key not in spec:
            raise ValueError(f"'[backbone]' must have {key}: the name of a torchvision model, and its weights.")
    if not 16 <= spec.get("size", 224) <= 4096:
        raise ValueError(f"'size' of '[backbone]' must be in [16, 4096] pixels. Got {spec['size']}.")


def _value(value: Any) -> str:
    # TOML's texts, numbers, truth values and lists of them are written as JSON's.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


class Project:
    """The folder of a project.

    Parameters
    ----------
    folder : path

    Raises
    ------
    ValueError
        There is no project, or its settings cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "skal.toml"
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
            self.settings = _settings_of(content)
            self.settings.check()
        except FileNotFoundError:
            raise ValueError(f"There is no project in '{folder}'. skal start DATA --classes A,B makes one.") from None
        except ValueError as error:
            raise ValueError(f"'{path}' cannot be used: {error}") from error

    @staticmethod
    def begin(folder: Path, settings: Settings) -> Project:
        """Write the settings of a new project."""
        settings.check()
        path = folder / "skal.toml"
        if path.exists():
            raise ValueError(f"'{folder}' holds a project already: edit '{path}', or start another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, settings.to_toml())
        return Project(folder)

    @property
    def data(self) -> Path:
        """Where the data is, by the name that it has in the current folder."""
        return located(self.settings.data, self.folder)

    def batch_folder(self, number: int) -> Path:
        return self.folder / "batches" / f"{number:04d}"

    def journal(self, source: Source | None = None) -> LabelJournal:
        """The journal, opened; a new one begins with what it is about, for which it needs the data.

        Raises
        ------
        ValueError
            Nothing was asked or answered yet and `source` is None; the journal has labels that are no classes.
        """
        path = self.folder / "labels.jsonl"
        if source is None and not path.exists():
            raise ValueError(f"Nothing was asked or answered yet in '{self.folder}'. skal query begins.")
        journal = LabelJournal(path)
        try:
            self._begin_or_follow(journal, source)
        except BaseException:
            journal.close()
            raise
        return journal

    def _begin_or_follow(self, journal: LabelJournal, source: Source | None) -> None:
        classes = self.settings.classes
        for one, label in journal.labels().items():
            if not any(same_value(label, each) for each in classes):
                raise ValueError(
                    f"The classes of skal.toml must hold all labels that were given. {label!r}, of {one!r}, is missing."
                )
        if source is None:
            return
        if not journal.settings.get("session"):
            ids = "given" if self.settings.kind == "images" else "positions"
            journal.open(session=uuid.uuid4().hex, classes=classes, ids=ids, round=0, rows=source.witnesses())
        elif journal.settings.get("classes") != classes:
            journal.open(classes=classes)


def located(name: str, folder: Path) -> Path:
    """A path of the settings of a project, seen from the current folder, as people type it; in full where it is so."""
    path, parts = folder / name, Path(name)
    if parts.is_absolute() or ".." not in parts.parts:
        return path
    try:
        # Where the project's folder is a link, what is above it is above the folder that it leads to.
        short = Path(os.path.relpath(os.path.join(os.path.realpath(folder), name)))
    except ValueError:  # on another drive
        return path
    return path if path.exists() and not (short.exists() and short.samefile(path)) else short


def open_batches(journal: LabelJournal) -> dict[int, list[Id]]:
    """The batches, by number, that are not answered, with the ids that lack an answer."""
    left = {
        number: [one for one in batch if not journal.state_of(one)[0]]
        for number, batch in enumerate(journal.batches, start=1)
    }
    return {number: ids for number, ids in left.items() if ids}


def _settings_of(content: dict[str, Any]) -> Settings:
    known = [each.name for each in fields(Settings)]
    for name in content:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            raise ValueError(f"there is no setting {name!r}{f'; did you mean {near[0]}?' if near else '.'}")
    for name in ("data", "kind", "classes"):
        if name not in content:
            raise ValueError(f"'{name}' is missing.")
    return Settings(**content)
