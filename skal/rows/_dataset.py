"""torch's map-style Datasets of samples, or of tuples that begin with one; nothing is read before it is asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from ..utils._validation import kind_of
from ._generics import (
    as_index,
    comes_in_batches,
    generic,
    is_finite,
    n_rows,
    numbers_of,
    opener,
    own_labels,
    read_rows,
    row_keys,
    sendable,
    stack_rows,
    take_rows,
)
from ._keys import content, digest

__all__ = ["dataset_labels", "part_keys"]


@n_rows.register(Dataset)
def _(X: Any) -> int:
    try:
        return len(X)
    except TypeError:
        raise TypeError(
            f"Expected a collection of samples. Got {type(X).__name__} without a length: a Dataset must be map-style, "
            "with __len__ and __getitem__."
        ) from None


@take_rows.register(Dataset)
def _(X: Any, idx: Any) -> Any:
    idx = as_index(idx, n_rows(X))
    if isinstance(idx, int):
        return X[idx]
    base, places = _flat(X, range(n_rows(X))[idx] if isinstance(idx, slice) else idx.tolist())
    return Subset(base, places)


@read_rows.register(Dataset)
def _(X: Any, idx: Any) -> Any:
    idx = as_index(idx, n_rows(X))
    if isinstance(idx, int):
        return _sample(X[idx])
    return [_sample(X[i]) for i in (range(n_rows(X))[idx] if isinstance(idx, slice) else idx.tolist())]


def _sample(item: Any) -> Any:
    return item[0] if isinstance(item, (tuple, list)) else item


@stack_rows.register(Dataset)
def _(first: Any, second: Any) -> Any:
    if not isinstance(second, (Dataset, list, tuple, np.ndarray, torch.Tensor)):
        raise ValueError(f"New samples must be a Dataset, as the labelled ones are. Got {kind_of(second)}.")
    # Flat, so that reading one item takes the same few calls after any number of additions.
    parts: list[tuple[Any, Any]] = []
    for base, places in chain(_parts(first), _parts(second)):
        if parts and parts[-1][0] is base:
            parts[-1] = base, [*parts[-1][1], *places]
        elif len(places):
            parts.append((base, places))
    pieces = [base if places == range(len(base)) else Subset(base, places) for base, places in parts]
    return pieces[0] if len(pieces) == 1 else ConcatDataset(pieces) if pieces else first


def _flat(X: Any, places: Any) -> tuple[Any, Any]:
    """What `X` is a part of in the end, and where its rows `places` are there."""
    # A subclass may do more than take a part.
    while type(X) is Subset:
        places = [int(X.indices[i]) for i in places]
        X = X.dataset
    return X, places


def _parts(X: Any) -> list[tuple[Any, Any]]:
    base, places = _flat(X, range(n_rows(X)))
    if type(base) is ConcatDataset and places == range(len(base)):
        return [part for inner in base.datasets for part in _parts(inner)]
    return [(base, places)]


@comes_in_batches.register(Dataset)
def _(X: Any) -> bool:
    return True


@opener.register(Dataset)
def _(X: Any) -> Callable[[], Any] | None:
    """The Dataset itself, once for each worker, since its items are read there; not where it is made of tensors."""
    in_memory = any(isinstance(base, TensorDataset) for base, _ in _parts(X))
    return None if in_memory else functools.partial(_itself, X)


def _itself(X: Any) -> Any:
    return X


@sendable.register(Dataset)
def _(X: Any) -> Any:
    pieces: list[Any] = []
    for base, places in _parts(X):
        if isinstance(base, TensorDataset):
            index = torch.as_tensor(places, dtype=torch.int64)
            pieces.append(TensorDataset(*(tensor[index].cpu() for tensor in base.tensors)))
        else:
            pieces.append(Subset(base, places))
    return pieces[0] if len(pieces) == 1 else ConcatDataset(pieces)


@row_keys.register(Dataset)
def _(X: Any) -> list[bytes]:
    return [key for base, places in _parts(X) for key in part_keys(base, places)]


@generic
def part_keys(base: Any, places: Any) -> list[bytes]:
    """The keys of the rows `places` of a Dataset that is not itself made of parts."""
    return [digest(content(base[i])) for i in places]


@is_finite.register(Dataset)
def _(X: Any) -> bool:
    # Reading it is what the model does: whoever reads a sample looks at it.
    return True


@numbers_of.register(Dataset)
def _(X: Any) -> None:
    return None


@own_labels.register(Dataset)
def dataset_labels(dataset: Any) -> NDArray:
    """The labels of a torch Dataset that yields pairs (sample, label): its `targets`, or one pass over it.

    Raises `ValueError` where its items are no pairs.
    """
    base, places = _flat(dataset, range(n_rows(dataset)))
    targets = getattr(base, "targets", None)
    if targets is not None and len(targets) == len(base) and getattr(base, "target_transform", None) is None:
        return np.asarray(targets)[np.asarray(places, dtype=np.intp)]
    labels = []
    for i in range(n_rows(dataset)):
        item = dataset[i]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise ValueError(
                "y must hold one label per sample, or X must be a Dataset of pairs (sample, label). "
                f"Got y=None and a {type(dataset).__name__} of {kind_of(item)}."
            )
        label = item[1]
        labels.append(label.item() if isinstance(label, (torch.Tensor, np.generic)) else label)
    return np.asarray(labels)
