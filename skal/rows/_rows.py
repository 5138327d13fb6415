"""Rows of whatever a pool may be: arrays, frames, sparse matrices, lists, tensors, dicts of these, torch datasets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset

__all__ = ["drop_rows", "n_rows", "stack_rows", "take_rows"]


def n_rows(X: Any) -> int:
    """Number of samples in `X`."""
    if isinstance(X, dict):
        sizes = {key: n_rows(value) for key, value in X.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"All values of a dict of inputs must have the same number of rows. Got {sizes}.")
        return next(iter(sizes.values()))
    if hasattr(X, "shape"):
        if len(X.shape) == 0:
            raise TypeError(f"Expected a collection of samples. Got a scalar {type(X).__name__} instead.")
        return int(X.shape[0])
    try:
        return len(X)
    except TypeError:
        raise TypeError(f"Expected a collection of samples. Got {type(X).__name__} instead.") from None


def take_rows(X: Any, idx: Any) -> Any:
    """Rows `idx` of `X` by position, in the container that `X` is; one integer gives one sample, as modAL does."""
    if isinstance(idx, (list, tuple)):
        idx = np.asarray(idx)
    if isinstance(idx, np.ndarray) and idx.size == 0:
        idx = idx.astype(np.intp)
    if isinstance(X, dict):
        return {key: take_rows(value, idx) for key, value in X.items()}
    if sp.issparse(X):
        # coo, dia and bsr cannot be indexed; csr can, and quickly.
        if X.format in ("csr", "csc", "lil"):
            return X[idx]
        return X.tocsr()[idx].asformat(X.format)
    if isinstance(X, (pd.DataFrame, pd.Series)):
        return X.iloc[idx]
    if isinstance(X, torch.Tensor):
        return X[torch.as_tensor(idx, device=X.device)]
    if isinstance(X, (list, tuple)):
        if np.ndim(idx) == 0:
            return X[int(idx)]
        if np.asarray(idx).dtype == bool:
            idx = np.flatnonzero(idx)
        return [X[int(i)] for i in idx]
    if isinstance(X, Dataset):
        if np.ndim(idx) == 0:
            return X[int(idx)]
        return Subset(X, [int(i) for i in idx])
    if hasattr(X, "shape"):
        return X[idx]
    raise TypeError(f"Rows cannot be taken from {type(X).__name__}.")


def drop_rows(X: Any, idx: Any) -> Any:
    """`X` without the rows `idx` (positions), order kept."""
    keep = np.ones(n_rows(X), dtype=bool)
    keep[np.asarray(idx)] = False
    return take_rows(X, np.flatnonzero(keep))


def stack_rows(first: Any, second: Any) -> Any:
    """`second` appended below `first`, in the container (and, for floats, the dtype) that `first` is."""
    if isinstance(first, dict):
        if not isinstance(second, dict) or set(first) != set(second):
            raise ValueError(f"New samples must be a dict with the keys {sorted(first)}, as the labelled ones are.")
        return {key: stack_rows(value, second[key]) for key, value in first.items()}
    if sp.issparse(first) or sp.issparse(second):
        stacked = sp.vstack([first, second])
        # scipy answers in coo, which cannot be indexed later on.
        return stacked.asformat(first.format if sp.issparse(first) else "csr")
    if isinstance(first, pd.DataFrame):
        if not isinstance(second, pd.DataFrame):
            second = pd.DataFrame(np.asarray(second), columns=first.columns)
        elif list(first.columns) != list(second.columns):
            raise ValueError(
                "New samples must have the columns of the labelled ones, in the same order. "
                f"Got {list(second.columns)} instead of {list(first.columns)}."
            )
        return pd.concat([first, second])
    if isinstance(first, pd.Series):
        if not isinstance(second, pd.Series):
            second = pd.Series(np.asarray(second), name=first.name)
        return pd.concat([first, second])
    if isinstance(first, torch.Tensor):
        return torch.cat([first, torch.as_tensor(second).to(first)])
    if isinstance(first, (list, tuple)):
        return [*first, *second]
    if isinstance(first, Dataset):
        return ConcatDataset([first, second])
    if isinstance(second, torch.Tensor):
        second = second.detach().cpu().numpy()
    try:
        first, second = np.asarray(first), np.asarray(second)
    except ValueError:
        raise ValueError(
            f"New samples must have the shape of the labelled ones, {np.shape(first)[1:]}. Got several shapes: for "
            "images of any size begin with a list of them instead of an array."
        ) from None
    if first.ndim != second.ndim or first.shape[1:] != second.shape[1:]:
        raise ValueError(
            "New samples must have the shape of the labelled ones. "
            f"Got {second.shape[1:]} per sample instead of {first.shape[1:]}."
        )
    if first.dtype.kind == second.dtype.kind == "f":
        # A float64 batch would otherwise promote the whole labelled set, which a float32 network refuses.
        second = second.astype(first.dtype, copy=False)
    return np.concatenate([first, second])
