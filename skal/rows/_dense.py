"""Raw samples as one numeric array and back, for methods that compute with the inputs themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ..utils._validation import kind_of
from ._generics import column_names, numbers_of, stack_rows

__all__ = ["as_dense", "flat_numeric", "stack_copies", "working_dtype"]


def as_dense(X: Any, by: str) -> NDArray:
    """`X` as an array (n, ...) of numbers, of whatever dtype it has; what is an array or a tensor is not copied.

    Raises `TypeError`, in the name of `by`, where `X` is sparse, a dict of inputs, a Dataset, an array of records, or
    holds anything but numbers of one shape.
    """
    kind = kind_of(X)
    if sp.issparse(X) or getattr(X, "layout", torch.strided) != torch.strided:
        call = "X.toarray()" if sp.issparse(X) else "X.to_dense()"
        raise TypeError(f"{by} computes with raw samples, which must be dense. Got a sparse {kind}: use {call}.")
    array = numbers_of(X)
    if array is None or array.ndim < 2:
        names = column_names(X) or []
        if isinstance(X, np.ndarray):
            named = f"an {kind} of records, {names}" if names else kind
        else:
            other = next((name for name in names if hasattr(X, "columns") and numbers_of(X[name]) is None), None)
            named = kind if other is None else f"a {kind} whose column {other!r} holds no numbers: encode it first"
        raise TypeError(
            f"{by} computes with raw samples, which must be an array, tensor or DataFrame of numbers (n, ...). "
            f"Got {named}."
        )
    return array


def flat_numeric(X: Any) -> NDArray | None:
    """Numeric `X` as a dense array (n, d) of floats in native byte order, or None where it is not numeric.

    float32 and float64 stay as they are and uncopied; all other numbers become float64, as in scikit-learn, so that
    computing with them neither wraps (a square of uint8) nor overflows (of float16). Sparse matrices become dense.
    Texts, dicts of inputs, Datasets and samples of different shape are None.
    """
    array = numbers_of(X)
    if array is None or array.ndim == 0:
        return None
    flat = array.reshape(len(array), math.prod(array.shape[1:]))
    return flat if flat.dtype in (np.float32, np.float64) else flat.astype(np.float64)


def working_dtype(array: NDArray) -> type[np.floating]:
    """float32 where that holds every value of the array's dtype (bytes of pixels among them), else float64."""
    return np.float32 if np.can_cast(array.dtype, np.float32) else np.float64


def stack_copies(X: Any, copies: Any) -> Any:
    """Copies below the samples that they were made of; integers become the floats that the copies are."""
    return stack_rows(X, copies)
