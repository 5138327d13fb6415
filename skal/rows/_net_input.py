"""Samples as a torch module accepts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import nn
from torch.utils.data import Dataset

__all__ = ["as_net_input"]


def as_net_input(X: Any, module: nn.Module | None = None) -> Any:
    """`X` as a module accepts it; what fits already is returned uncopied.

    Parameters
    ----------
    X : array, DataFrame, sparse matrix, tensor, list, dict of these, or torch Dataset
        The first axis is the samples. Numbers of any dtype are cast to the module's float dtype, without
        scaling (uint8 images keep the range 0..255). DataFrames and sparse matrices become dense 2-D arrays,
        a list is read as a list of samples of one shape, tensors and dicts keep their kind. A Dataset passes
        as is.
    module : nn.Module or None
        Its first floating parameter gives the dtype; float32 without one. Where it holds an `nn.Embedding`,
        integers are token ids and become int64 instead.

    Raises
    ------
    TypeError
        `X` holds no numbers, or a list of samples of different shape.
    """
    dtype, has_tokens = torch.float32, False
    if module is not None:
        dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), dtype)
        has_tokens = any(isinstance(part, (nn.Embedding, nn.EmbeddingBag)) for part in module.modules())
    return _cast(X, dtype, has_tokens)


def _cast(X: Any, dtype: torch.dtype, has_tokens: bool) -> Any:
    if isinstance(X, Dataset):
        return X
    if isinstance(X, dict):
        return type(X)({key: _cast(value, dtype, has_tokens) for key, value in X.items()})
    if isinstance(X, torch.Tensor):
        is_integer = not X.is_floating_point() and X.dtype != torch.bool
        X = X if X.layout == torch.strided else X.to_dense()
        return X.to(torch.int64 if has_tokens and is_integer else dtype)
    if isinstance(X, pd.DataFrame) and any(not pd.api.types.is_numeric_dtype(kind) for kind in X.dtypes):
        raise TypeError("X must hold numbers for a network. Got a DataFrame with other columns.")
    if sp.issparse(X):
        X = X.toarray()  # type: ignore[attr-defined]
    elif isinstance(X, (pd.DataFrame, pd.Series)):
        X = X.to_numpy(na_value=np.nan) if X.isna().to_numpy().any() else X.to_numpy()
    elif isinstance(X, (list, tuple)) and len(X) and isinstance(X[0], torch.Tensor):
        X = [row.detach().cpu().numpy() for row in X]
    try:
        array = np.asarray(X)
        if array.dtype == object:
            array = np.asarray(array.tolist())
    except (TypeError, ValueError):
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"X must be a rectangular array of numbers for a network. Got {_describe(X)}.")
    if has_tokens and array.dtype.kind in "iu":
        return np.ascontiguousarray(array, dtype=np.int64)
    # NumPy has no bfloat16; torch casts such inputs batch by batch.
    target = {torch.float64: np.float64, torch.float16: np.float16}.get(dtype, np.float32)
    return np.ascontiguousarray(array, dtype=target)


def _describe(X: Any) -> str:
    kind = getattr(X, "dtype", None)
    if kind is not None:
        return f"{type(X).__name__} of dtype {kind}"
    name = type(X).__name__
    return f"{name} of {type(X[0]).__name__}" if isinstance(X, (list, tuple)) and X else name
