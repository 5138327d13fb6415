"""What a session's strategies keep between two queries, beside its journal."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import joblib

from ..exceptions import JournalError
from ..utils._files import write_atomically

__all__ = ["keep_memory", "kept_memory", "memory_path"]


def memory_path(journal: Path) -> Path:
    """Where the memory of a journal lies."""
    return journal.with_name(f"{journal.name}.memory")


def keep_memory(journal: Path, memory: Any, cold_start: Any) -> None:
    """Write it, whole or not at all."""
    content = io.BytesIO()
    try:
        joblib.dump({"memory": memory, "cold_start": cold_start}, content)
    except Exception as error:  # whatever a foreign object raises when it is pickled
        warnings.warn(
            f"What the strategy keeps cannot be written beside '{journal}', and a resumed session makes it anew: "
            f"{type(error).__name__}: {error}",
            UserWarning,
            stacklevel=4,
        )
        return
    try:
        write_atomically(memory_path(journal), content.getvalue())
    except OSError as error:
        raise JournalError(f"'{memory_path(journal)}' could not be written: {error.strerror}.") from error


def kept_memory(journal: Path, *, expected: bool) -> tuple[Any, Any]:
    """The memory and the cold start of a session; None, with a warning where it is missing or damaged."""
    path = memory_path(journal)
    if not path.exists():
        if expected:
            _warn(f"'{path}' is missing")
        return None, None
    try:
        kept = joblib.load(path)
        return kept["memory"], kept["cold_start"]
    except Exception as error:  # a pickle raises anything
        _warn(f"'{path}' cannot be read ({type(error).__name__})")
        return None, None


def _warn(what: str) -> None:
    warnings.warn(
        f"{what}: what the strategy keeps from one query to the next is made anew, so that the next query may differ "
        f"from the one that would have come. No label is concerned.",
        UserWarning,
        stacklevel=5,
    )
