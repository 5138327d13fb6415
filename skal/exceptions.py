"""Errors and warnings of skal. Every error is a `SkalError` and also the kind that a caller expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn.exceptions import NotFittedError

    class ModelNotFittedError(NotFittedError): ...  # type: ignore[misc]


__all__ = [
    "ColdStartWarning",
    "JournalError",
    "JournalLockedError",
    "ModelNotFittedError",
    "PoolCapabilityError",
    "ResultsError",
    "ResultsLockedError",
    "SkalError",
    "TrainingDivergedError",
]


class SkalError(Exception):
    """Base class of the errors that skal itself defines."""


class PoolCapabilityError(SkalError, TypeError):
    """A strategy needs something (a head, embeddings, ...) which the classifier does not supply.

    Parameters
    ----------
    message : str
    member : str, optional
        Which member of `PoolView` it is.
    """

    def __init__(self, message: str, member: str | None = None) -> None:
        super().__init__(message)
        self.member = member


class TrainingDivergedError(SkalError, ArithmeticError):
    """A network's loss became NaN or infinite in training."""


class JournalError(SkalError, OSError):
    """A journal of labels cannot be read or written, or is none."""


class JournalLockedError(JournalError):
    """Somebody else writes to the journal."""


class ResultsError(SkalError, OSError):
    """The results folder of a comparison cannot be read or written."""


class ResultsLockedError(ResultsError):
    """Another comparison is writing into the results folder; the message names its host and process."""


class ColdStartWarning(UserWarning):
    """A learner without training data answered a query with uniformly random samples."""


def __getattr__(name: str) -> Any:
    """The one error that is also scikit-learn's, whose import takes a second: a journal of labels need not wait."""
    if name != "ModelNotFittedError":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sklearn.exceptions import NotFittedError

    about = {
        "__doc__": "A strategy needs a fitted model, and the classifier has not been fitted yet.",
        "__module__": __name__,
    }
    return globals().setdefault(name, type(name, (SkalError, NotFittedError), about))
