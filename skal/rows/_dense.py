"""Raw samples as one numeric array and back, for methods that compute with the inputs themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ._rows import stack_rows

__all__ = ["as_dense", "like", "stack_copies", "working_dtype"]


def as_dense(X: Any, by: str) -> NDArray:
    """`X` as an array (n, ...) of numbers, of whatever dtype it has; what is an array or a tensor is not copied.

    Raises `TypeError`, in the name of `by`, where `X` is sparse, a dict of inputs, a Dataset, or holds anything but
    numbers of one shape.
    """
    kind = type(X).__name__
    if sp.issparse(X) or (isinstance(X, torch.Tensor) and X.layout != torch.strided):
        raise TypeError(f"{by} computes with raw samples, which must be dense. Got a sparse {kind}: use X.toarray().")
    array: Any = None
    if not isinstance(X, (Mapping, Dataset)):
        try:
            if isinstance(X, torch.Tensor):
                X = X.detach().cpu()
                array = (X.float() if X.dtype == torch.bfloat16 else X).numpy()
            elif isinstance(X, pd.DataFrame):
                array = X.to_numpy() if all(pd.api.types.is_numeric_dtype(dtype) for dtype in X.dtypes) else None
            elif isinstance(X, (list, tuple)) and len(X) and isinstance(X[0], torch.Tensor):
                array = np.stack([row.detach().cpu().numpy() for row in X])
            else:
                array = np.asarray(X)
            if array is not None and array.dtype == object:
                array = array.astype(np.float64)
        except (TypeError, ValueError):
            array = None
    if array is None or array.dtype.kind not in "fiub" or array.ndim < 2:
        raise TypeError(
            f"{by} computes with raw samples, which must be an array, tensor or DataFrame of numbers (n, ...). "
            f"Got {kind}."
        )
    return array


def working_dtype(array: NDArray) -> type[np.floating]:
    """float32 where that holds every value of the array's dtype (bytes of pixels among them), else float64."""
    return np.float32 if np.can_cast(array.dtype, np.float32) else np.float64


def stack_copies(X: Any, copies: Any) -> Any:
    """Copies below the samples that they were made of; integers become the floats that the copies are."""
    return stack_rows(X.to(copies.dtype) if isinstance(X, torch.Tensor) else X, copies)


def like(X: Any, array: NDArray) -> Any:
    """`array` in the kind of container that `X` is: a DataFrame with its columns, a tensor on its device, an array."""
    if isinstance(X, pd.DataFrame):
        return pd.DataFrame(array, columns=X.columns)
    if isinstance(X, torch.Tensor):
        return torch.from_numpy(np.ascontiguousarray(array)).to(X.device)
    return array
