"""Labels as scikit-learn reads them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..utils._validation import shown
from ._generics import generic, numbers_of

__all__ = ["check_classes", "check_labels", "one_column", "only_label", "plain_labels"]


@generic
def plain_labels(y: Any) -> Any:
    """`y` in a dtype that scikit-learn takes for labels; what has one already is returned as it is.

    Numbers and bools in a container of objects become an array of numbers, NumPy's texts of any length a plain array
    of texts.
    """
    return y


@plain_labels.register(np.ndarray)
def _(y: NDArray) -> NDArray:
    if y.dtype.kind == "T":
        return np.array(y.tolist(), dtype=np.str_)
    return _numbers_or_objects(y) if y.dtype == object else y


@plain_labels.register(pd.Series)
def _(y: pd.Series) -> Any:
    return _numbers_or_objects(y) if y.dtype == object else y


@plain_labels.register(pd.DataFrame)
def _(y: pd.DataFrame) -> Any:
    return _numbers_or_objects(y) if object in y.dtypes.tolist() else y


def _numbers_or_objects(y: Any) -> Any:
    numbers = numbers_of(y)
    return y if numbers is None else numbers


def check_classes(classes: Any, owner: str) -> list[Any]:
    """The labels that `classes` lists, as plain Python values.

    Raises
    ------
    ValueError
        It lists none, a missing one, or one twice.
    """
    is_list = hasattr(classes, "__len__") and not isinstance(classes, (str, bytes, Mapping))
    labels = list(_each(classes)) if is_list else []
    if not labels or any(map(_is_missing, labels)) or len({(_kind(label), label) for label in labels}) < len(labels):
        raise ValueError(
            f"The 'classes' parameter of {owner} must be None or list different labels, none of them missing or empty. "
            f"Got {shown(classes)} instead."
        )
    return labels


def check_labels(y: Any, classes: Any, owner: str = "y") -> None:
    """Whether every label is one of `classes`, of the same kind.

    Parameters
    ----------
    y : container of labels, or of targets of images with "labels"
    classes : list of labels
        As `check_classes` gives them.
    owner : str
        What holds the labels, for the message.

    Raises
    ------
    ValueError
        A label is missing, empty or none of the classes; the message names the nearest one.
    """
    known = {(_kind(label), label) for label in classes}
    for label in _each(y):
        if _is_missing(label):
            raise ValueError(f"{owner} must hold one of {_listed(classes)} for each sample. Got {label!r}.")
        try:
            if (_kind(label), label) in known:
                continue
        except TypeError:  # a list, say, which is no label
            pass
        raise ValueError(
            f"{owner} must hold labels among {_listed(classes)}. Got {shown(label)}; did you mean "
            f"{_nearest(label, classes)!r}?"
        )


def _each(y: Any) -> Iterator[Any]:
    """All labels in `y` as plain Python values."""
    if isinstance(y, Mapping) and "labels" in y:
        yield from _each(y["labels"])
        return
    values = y.to_numpy() if hasattr(y, "to_numpy") else y.detach().cpu().numpy() if hasattr(y, "detach") else y
    for value in values.ravel() if isinstance(values, np.ndarray) else values:
        if isinstance(value, Mapping):
            yield from _each(value)
        else:
            yield value.item() if isinstance(value, np.generic) else value


def _is_missing(label: Any) -> bool:
    return label is None or label is pd.NA or (isinstance(label, str) and not label.strip()) or label != label


def _kind(label: Any) -> str:
    is_number = isinstance(label, (int, float)) and not isinstance(label, bool)
    return "number" if is_number else type(label).__name__


def _listed(classes: Any) -> str:
    first = ", ".join(map(repr, list(classes)[:8]))
    return f"the {len(classes)} classes {first}, ..." if len(classes) > 8 else f"the classes {first}"


def _nearest(label: Any, classes: Any) -> Any:
    """The class that was meant most likely: the same text or value, the nearest number, the most similar text."""
    text = str(label).strip().casefold()
    same = [each for each in classes if str(each).strip().casefold() == text]
    same = same or [each for each in classes if isinstance(label, (int, float)) and each == label]
    if same:
        return same[0]
    if _kind(label) == "number" and all(_kind(each) == "number" for each in classes):
        return min(classes, key=lambda each: abs(each - label))
    return max(classes, key=lambda each: difflib.SequenceMatcher(None, text, str(each).casefold()).ratio())


def one_column(y: Any) -> NDArray:
    """Labels `(n,)`, also of a column of them or a frame of one column."""
    try:
        labels = np.asarray(plain_labels(y))
    except ValueError:  # of a ragged list
        labels = np.empty((len(y), 0))
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or any(isinstance(label, (Mapping, list, tuple, set)) for label in labels[:1].tolist()):
        raise ValueError(
            "The labelled data must have one label for each sample, in one dimension. "
            f"Got {shown(np.asarray(labels[0]).tolist()) if labels.size else 'several or none'} for the first."
        )
    return labels


def only_label(y: Any) -> Any:
    """The label that all have in common, or None."""
    labels = one_column(y)
    try:
        return labels.flat[0] if labels.size and np.all(labels == labels.flat[0]) else None
    except TypeError:  # of pandas.NA, which is refused where labels are encoded
        return None
