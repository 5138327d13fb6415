"""Errors and warnings of skal. Every error is a `SkalError` and also the kind that a caller expects."""

from sklearn.exceptions import NotFittedError

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


class ModelNotFittedError(SkalError, NotFittedError):
    """A strategy needs a fitted model, and the classifier has not been fitted yet."""


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
