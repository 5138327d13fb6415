"""The trained model of a project, which is a cache: `model.joblib`, and beside it what it was trained on.

Whether it is up to date is told without loading it, and without scikit-learn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .._version import __version__
from ..utils._files import write_atomically
from ._answers import Id
from ._project import Project
from ._sources import Images, Source

__all__ = ["MODEL", "is_current", "key_of", "noted", "write_model"]

MODEL, _ABOUT = "model.joblib", "model.json"
# Settings that choose what to label; they train nothing.
_CHOOSE = ("strategy", "cold_start")


def key_of(project: Project, source: Source, labels: Mapping[Id, Any]) -> str:
    """A hash of all that a training depends on: labels in their order, settings, files, and versions."""
    settings = {name: value for name, value in asdict(project.settings).items() if name not in _CHOOSE}
    files = [_state_of(path) for path in _files(project, source)]
    about = [list(labels.items()), settings, files, __version__, version("scikit-learn")]
    return hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()


def noted(project: Project) -> dict[str, Any]:
    """What is said of the model that was trained last: `n_labels`, and `accuracy` with its interval where there is one.

    Empty where there is no model.
    """
    try:
        about = json.loads((project.folder / _ABOUT).read_bytes())
    except (OSError, ValueError):
        return {}
    is_whole = isinstance(about, dict) and isinstance(about.get("n_labels"), int)
    return about if is_whole and isinstance(about.get("accuracy", 0.0), (int, float)) else {}


def is_current(project: Project, key: str) -> bool:
    """Whether there is a model with this key, whole."""
    about = noted(project)
    return about.get("key") == key and about.get("content") == _digest_of(project.folder / MODEL)


def write_model(project: Project, key: str, content: bytes, about: Mapping[str, Any]) -> None:
    """Write it, whole or not at all.

    What it was trained on comes second: killed in between, there is a model that counts as out of date.
    """
    write_atomically(project.folder / MODEL, content)
    digest = hashlib.sha256(content).hexdigest()
    write_atomically(project.folder / _ABOUT, json.dumps({**about, "key": key, "content": digest}, indent=1) + "\n")


def _digest_of(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _files(project: Project, source: Source) -> Iterator[Path]:
    yield from source.paths if isinstance(source, Images) else [project.data]
    if project.settings.backbone:
        yield project.folder / project.settings.backbone["weights"]
    for module in _modules(project.settings.model):
        yield project.folder / f"{module.replace('.', '/')}.py"


def _modules(spec: Mapping[str, Any]) -> Iterator[str]:
    """The modules of the user's own objects."""
    name = spec.get("name")
    if isinstance(name, str) and ":" in name:
        yield name.partition(":")[0]
    for value in spec.values():
        if isinstance(value, dict):
            yield from _modules(value)


def _state_of(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
