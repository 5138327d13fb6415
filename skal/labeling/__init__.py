"""People at work: a journal of labels, sessions, task files, stopping advice and the commands."""

from __future__ import annotations

from typing import Any

__all__ = [
    "SKIPPED",
    "AllOf",
    "AnyOf",
    "ClassificationChange",
    "ColourEdges",
    "ExpectedGain",
    "JournalError",
    "JournalLockedError",
    "LabelJournal",
    "LabelingSession",
    "OverallUncertainty",
    "StabilizedPredictions",
    "StoppingCriterion",
    "StoppingReport",
    "read_labels",
    "write_tasks",
]

# Each is imported when it is asked for: reading a journal needs neither scikit-learn nor torch.
_HOMES = {
    "AllOf": ".stopping",
    "AnyOf": ".stopping",
    "ClassificationChange": ".stopping",
    "ExpectedGain": ".stopping",
    "ColourEdges": "._colour_edges",
    "JournalError": "..exceptions",
    "JournalLockedError": "..exceptions",
    "LabelJournal": "._journal",
    "LabelingSession": "._session",
    "OverallUncertainty": ".stopping",
    "StabilizedPredictions": ".stopping",
    "StoppingCriterion": ".stopping",
    "StoppingReport": ".stopping",
    "SKIPPED": "._found",
    "read_labels": "._read_labels",
    "write_tasks": "._write_tasks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
