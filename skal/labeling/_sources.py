"""The data of a project: images in a folder or a list, rows of a table, texts; named without anything of torch."""

from __future__ import annotations

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..utils._csv import read_csv
from ._answers import Id
from ._project import Project

__all__ = ["Images", "Source", "Table", "Texts", "kind_of_data", "load_source"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".gif", ".tif", ".tiff", ".webp")
_TABLES = (".csv", ".tsv", ".parquet")
# So many rows, evenly spread, tell whether a table is the one that labelling began with.
_WITNESSES = 16


class Source(ABC):
    """Samples with ids, before anything is computed of them."""

    #: Names of the samples; None: their positions.
    ids: list[str] | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def show(self, i: int) -> Any:
        """What people see of a sample: a path, a text, or a dict of cells."""

    def position(self, one: Id) -> int | None:
        """Where a sample is; None for an id that there is not."""
        return int(one) if isinstance(one, int) and 0 <= one < len(self) else None

    def named(self, one: Id) -> Id:
        """An id as the project has it, of one that a spreadsheet may have taken for a number or a text."""
        if self.position(one) is not None:
            return one
        other = str(one) if isinstance(one, int) else int(one) if one.isdecimal() and one.isascii() else one
        return one if self.position(other) is None else other

    def like_file(self, name: str) -> list[Id]:
        """The samples that a tool may mean by a file's name, which it has shortened or put behind a folder."""
        return []

    def witnesses(self) -> list[list[Any]]:
        """Position and digest of some rows; images are named by their files and need none."""
        return []

    def changed(self, witnesses: Sequence[Sequence[Any]]) -> list[int]:
        """The positions of those that are other ones now."""
        return []


class Images(Source):
    """Image files; the id is the path relative to the folder, or as the list has it."""

    def __init__(self, paths: dict[str, Path]) -> None:
        self.ids = list(paths)
        self.paths = list(paths.values())
        self._positions = {one: i for i, one in enumerate(self.ids)}
        self._by_name: dict[str, list[str]] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def show(self, i: int) -> Path:
        return self.paths[i]

    def position(self, one: Id) -> int | None:
        return self._positions.get(one) if isinstance(one, str) else None

    def like_file(self, name: str) -> list[Id]:
        """Those of the same base name, and among them those with most folders above it in common."""
        parts = _reversed_parts(name)
        alike = {one: _n_equal(parts, _reversed_parts(one)) for one in self._of_base_name().get(parts[0], ())}
        most = max(alike.values(), default=0)
        return [one for one, n in alike.items() if n == most]

    def _of_base_name(self) -> dict[str, list[str]]:
        if self._by_name is None:
            self._by_name = {}
            for one in self.ids or ():
                self._by_name.setdefault(_reversed_parts(one)[0], []).append(one)
        return self._by_name


def _reversed_parts(name: str) -> list[str]:
    """A path's names from the file upwards."""
    return name.replace("\\", "/").split("/")[::-1]


def _n_equal(first: list[str], second: list[str]) -> int:
    """How many equal ones they begin with."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second)))


class _Rows(Source):
    def show(self, i: int) -> Any:
        raise NotImplementedError

    def witnesses(self) -> list[list[Any]]:
        places = np.unique(np.linspace(0, len(self) - 1, _WITNESSES).astype(int)).tolist()
        return [[i, self._digest(i)] for i in places]

    def changed(self, witnesses: Sequence[Sequence[Any]]) -> list[int]:
        return [i for i, digest in witnesses if i >= len(self) or self._digest(i) != digest]

    def _digest(self, i: int) -> str:
        return hashlib.sha1(repr(self.show(i)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Table(_Rows):
    """Rows of a table."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def __len__(self) -> int:
        return len(self.frame)

    def show(self, i: int) -> dict[str, str]:
        row = self.frame.iloc[i]
        return {str(name): "" if pd.isna(value) else str(value) for name, value in row.items()}


class Texts(_Rows):
    """Texts of one column."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def show(self, i: int) -> str:
        return self.texts[i]


def kind_of_data(path: Path, column: str) -> str:
    """What kind of data lies at `path`, by its name."""
    if path.is_dir():
        return "images"
    if path.suffix.lower() in _TABLES:
        return "text" if column else "table"
    if path.suffix.lower() in (".txt", ".lst"):
        return "images"
    raise ValueError(
        f"The data must be a folder of images, a list of images (.txt, one path a line) or a table "
        f"({', '.join(_TABLES)}). Got '{path}'."
    )


def load_source(project: Project) -> Source:
    """The data that a project is about.

    Raises
    ------
    ValueError
        It is not there, empty, or not what `skal.toml` says.
    """
    settings, path = project.settings, project.data
    if not path.exists():
        raise ValueError(f"There is no data at '{path}'.")
    if settings.kind == "images":
        return Images(_images_in(path) if path.is_dir() else _images_of_list(path))
    frame = _read_table(path)
    if settings.kind == "text":
        column = _known_columns([settings.column], frame, path)[0]
        return Texts(["" if pd.isna(text) else str(text) for text in frame[column]])
    kept = frame.drop(columns=_known_columns(settings.drop, frame, path))
    if kept.shape[1] == 0:
        raise ValueError(f"No column of '{path}' is left: 'drop' names all of them.")
    return Table(kept)


def _known_columns(names: list[str], frame: pd.DataFrame, path: Path) -> list[str]:
    for name in names:
        if name not in frame.columns:
            raise ValueError(f"'{path}' has no column {name!r}. It has {', '.join(map(str, frame.columns))}.")
    return names


def _images_in(folder: Path) -> dict[str, Path]:
    found = {path.relative_to(folder).as_posix(): path for path in _image_paths(folder)}
    if not found:
        raise ValueError(f"'{folder}' holds no image; images are {', '.join(_SUFFIXES)}.")
    return found


def _image_paths(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Files named as images, in any depth, without hidden ones; links are followed, but for those that lead back."""
    above |= {folder.resolve()}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if entry.is_dir():
            if entry.resolve() not in above:
                yield from _image_paths(entry, above)
        elif entry.suffix.lower() in _SUFFIXES:
            yield entry


def _images_of_list(path: Path) -> dict[str, Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}' is no list of images: it is not UTF-8 text.") from error
    found: dict[str, Path] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if name in found:
            raise ValueError(f"Line {number} of '{path}' names {name!r} a second time.")
        if name:
            found[name] = path.parent / name
            if not found[name].is_file():
                raise ValueError(f"Line {number} of '{path}' names an image that there is not: {name!r}.")
    if not found:
        raise ValueError(f"'{path}' lists no image.")
    return found


def _read_table(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    try:
        frame = _read_parquet(path) if suffix == ".parquet" else read_csv(path, "\t" if suffix == ".tsv" else ",")
    except (ValueError, pd.errors.ParserError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(f"'{path}' cannot be read as a table: {why}.") from error
    if len(frame) == 0:
        raise ValueError(f"'{path}' holds no row.")
    names = list(map(str, frame.columns))
    if all(_is_number(name) for name in names):
        raise ValueError(f"The first line of '{path}' must name the columns. Got {', '.join(names[:5])}.")
    return frame.set_axis(names, axis=1)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import polars
    except ImportError as error:
        raise ValueError('Parquet needs the extra: pip install "skal[parquet]"') from error
    try:
        frame = polars.read_parquet(path)
    except polars.exceptions.PolarsError as error:
        raise ValueError(str(error)) from error
    return pd.DataFrame(frame.to_dict(as_series=False))


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
