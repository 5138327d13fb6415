"""Any labels to columns of a network's output and back."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ..utils._validation import shown

__all__ = [
    "as_labels",
    "check_classes",
    "check_weight",
    "encode",
    "match_classes",
    "outputs_parameter",
    "sorted_labels",
]

_OUTPUT_NAMES = ("n_classes", "num_classes", "n_outputs", "num_outputs", "out_features")


def outputs_parameter(factory: Any) -> str | None:
    """The parameter by which a module's constructor takes its number of outputs, or None."""
    try:
        names = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return None
    return next((name for name in _OUTPUT_NAMES if name in names), None)


def as_labels(y: Any) -> NDArray:
    """`y` as a 1-D array of class labels, one per sample."""
    if y is None:
        raise ValueError("y must hold one label per sample. Got None instead.")
    if isinstance(y, torch.Tensor):
        y = y.detach().cpu().numpy()
    try:
        y = np.asarray(y)
    except ValueError:  # of lists of several lengths
        raise ValueError("y must hold one label per sample. Got several for some samples.") from None
    if y.dtype.kind == "c":
        raise ValueError(f"y must hold one label per sample. Got complex numbers, {y.dtype}.")
    y = column_or_1d(y)
    if y.dtype.kind in "fO" and pd.isna(y).any():
        raise ValueError("y must hold one label per sample. Got missing values in y.")
    if len(y):
        try:
            check_classification_targets(y)
        except TypeError:  # numbers beside text, which have no order
            raise ValueError("y must hold labels of one kind, text or numbers. Got both.") from None
    return y


def check_classes(classes: Any, owner: str) -> None:
    """Raise `ValueError` where the 'classes' parameter of `owner` lists no labels."""
    if classes is None:
        return
    is_list = hasattr(classes, "__len__") and not isinstance(classes, (str, bytes, Mapping, Set))
    try:
        array = np.asarray(classes) if is_list else np.zeros(())
    except ValueError:
        array = np.zeros(())
    must = f"The 'classes' parameter of {owner} must be None or list labels"
    if array.ndim != 1:
        raise ValueError(f"{must}, a 1-D array-like of them. Got {shown(classes)} instead.")
    if not len(array):
        raise ValueError(f"{must}. Got no label.")
    listed: Any = array.tolist()
    if any(label is None or label != label for label in listed):
        raise ValueError(f"{must}. Got missing values (None or NaN).")
    if len({isinstance(label, str) for label in classes}) > 1:
        raise ValueError(f"{must} of one type. Got texts and others.")


def sorted_labels(labels: Any, name: str) -> NDArray:
    """The distinct labels, sorted."""
    try:
        return np.unique(labels)
    except TypeError:
        kinds = sorted({type(label).__name__ for label in labels})
        raise ValueError(f"{name} must hold labels of one type. Got {' and '.join(kinds)}.") from None


def match_classes(labels: NDArray, n_outputs: int, given: bool, first: int = 0) -> NDArray:
    """One label per output of the network, given the sorted `labels` known so far.

    Integers in [first, first + n_outputs) number the outputs themselves, so that classes not seen yet keep their
    column.
    """
    source = "classes" if given else "y"
    n = len(labels)
    if n == n_outputs:
        return labels
    if n > n_outputs:
        raise ValueError(f"{source} has {n} classes but the network has {n_outputs} outputs.")
    if labels.dtype.kind == "b" and n_outputs == 2:
        return np.array([False, True])
    kind = labels.dtype.kind
    is_integer = kind in "iu" or (kind == "f" and np.all(labels == np.floor(labels)))
    if is_integer and labels[0] >= first and labels[-1] < first + n_outputs:
        return np.arange(first, first + n_outputs, dtype=np.float64 if kind == "f" else np.int64)
    fix = "give the network fewer outputs" if given else f"list all {n_outputs} labels in classes="
    raise ValueError(
        f"{source} has {n} classes, {_few(labels)}, but the network has {n_outputs} outputs, "
        f"and nothing says which output is whose: {fix}."
    )


def check_weight(sample_weight: Any, n: int) -> NDArray[np.float32] | None:
    """Weights scaled to mean 1, so that the mean of weighted losses is the weighted mean of losses."""
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), as y has. Got {weight.shape} instead.")
    if not np.all(np.isfinite(weight)) or np.any(weight < 0) or not np.any(weight > 0):
        raise ValueError("sample_weight must be finite, 0 or more, and above 0 somewhere. Got other values.")
    return (weight / weight.mean()).astype(np.float32)


def encode(y: NDArray, classes: NDArray, owner: str) -> NDArray[np.int64]:
    """Column of each label of `y`, (n,) int64."""
    column = {label: i for i, label in enumerate(classes.tolist())}
    codes = np.array([column.get(label, -1) for label in y.tolist()], dtype=np.int64)
    if np.any(codes < 0):
        unknown = sorted({repr(label) for label in y[codes < 0].tolist()})
        raise ValueError(
            f"y must hold labels that {owner} knows, {_few(classes)}. Got {', '.join(unknown[:5])} instead. "
            "List every label in classes= where some appear later."
        )
    return codes


def _few(labels: NDArray) -> str:
    shown = ", ".join(repr(label) for label in labels[:8].tolist())
    return f"[{shown}, ...]" if len(labels) > 8 else f"[{shown}]"
