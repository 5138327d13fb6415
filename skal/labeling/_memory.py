"""What a session's strategies keep between two queries, beside its journal."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import joblib

from ..exceptions import JournalError
from ..utils._files import write_atomically

__all__ = ["keep_memory", "kept_memory"]


def keep_memory(journal: Path, session: str | None, memory: Any, cold_start: Any) -> None:
    """Write it, whole or not at all; `session` tells it from one that an older journal of this name has left.

    Raises
    ------
    JournalError
        The disk did not take it.

    Warns
    -----
    UserWarning
        It cannot be pickled.
    """
    content = io.BytesIO()
    try:
        joblib.dump({"session": session, "memory": memory, "cold_start": cold_start}, content)
    except Exception as error:  # whatever a foreign object raises when it is pickled
        warnings.warn(
            f"What the strategy keeps cannot be written beside '{journal}', and a resumed session makes it anew: "
            f"{type(error).__name__}: {error}",
            UserWarning,
            stacklevel=4,
        )
        return
    try:
        write_atomically(_path(journal), content.getvalue())
    except OSError as error:
        raise JournalError(f"'{_path(journal)}' could not be written: {error.strerror}.") from error


def kept_memory(journal: Path, session: str | None, *, expected: bool) -> tuple[Any, Any]:
    """The memory and the cold start of a session; None, with a warning where it is missing or damaged."""
    path = _path(journal)
    kept: dict[str, Any] = {}
    try:
        kept = joblib.load(path)
        memory, cold_start = kept["memory"], kept["cold_start"]
    except FileNotFoundError:
        fault = "is missing"
    except Exception as error:  # a pickle raises anything
        fault, expected = f"cannot be read ({type(error).__name__})", True
    else:
        if kept.get("session") == session:
            return memory, cold_start
        fault = "is of another session"
    if expected:
        warnings.warn(
            f"'{path}' {fault}: what the strategy keeps from one query to the next, and a cold start that was chosen, "
            f"are made anew. The next query may differ from the one that would have come; no label is concerned.",
            UserWarning,
            stacklevel=3,
        )
    return None, None


def _path(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.memory")
