"""Samples as a torch module accepts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from ..utils._validation import kind_of
from ._dict import rebuilt
from ._generics import generic, is_finite, n_rows, numbers_of, take_rows
from ._images import path_in, wrap_advice
from ._sparse import register_sparse

__all__ = ["net_input"]

# NumPy has no bfloat16: samples for such a module are tensors.
_ARRAYS = {torch.float64: np.float64, torch.float32: np.float32, torch.float16: np.float16}


def net_input(X: Any, module: nn.Module | None = None) -> Any:
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

    Returns
    -------
    array, tensor, dict of these, or the Dataset
        A tensor, too, for a module in bfloat16, which NumPy does not have.

    Raises
    ------
    TypeError
        `X` holds no numbers, or a list of samples of different shape, or paths of files.
    ValueError
        A value beyond the range of the module's dtype, which would become infinite.
    """
    dtype, has_tokens = torch.float32, False
    if module is not None:
        dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), dtype)
        has_tokens = any(isinstance(part, (nn.Embedding, nn.EmbeddingBag)) for part in module.modules())
    return _cast(X, dtype, has_tokens)


@generic
def _cast(X: Any, dtype: torch.dtype, has_tokens: bool) -> Any:
    array = numbers_of(X)
    if array is None:
        raise TypeError(_refusal(X))
    if has_tokens and array.dtype.kind in "iu":
        return np.ascontiguousarray(array, dtype=np.int64)
    if dtype not in _ARRAYS:
        return _cast(torch.from_numpy(np.array(array)), dtype, has_tokens)
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(array, dtype=_ARRAYS[dtype])
    if _may_overflow(array, cast) and not is_finite(cast) and bool(np.any(np.isinf(cast) & np.isfinite(array))):
        raise ValueError(_too_large(array[np.isinf(cast) & np.isfinite(array)][0], dtype))
    return cast


register_sparse(_cast)(_cast.dispatch(object))


@_cast.register(Dataset)
def _(X: Any, dtype: torch.dtype, has_tokens: bool) -> Any:
    return X


@_cast.register(Mapping)
def _(X: Any, dtype: torch.dtype, has_tokens: bool) -> Any:
    return rebuilt(X, {key: _cast(X[key], dtype, has_tokens) for key in X})


@_cast.register(torch.Tensor)
def _(X: torch.Tensor, dtype: torch.dtype, has_tokens: bool) -> torch.Tensor:
    if X.is_complex():
        raise TypeError(_refusal(X))
    is_integer = not X.is_floating_point() and X.dtype != torch.bool
    X = X if X.layout == torch.strided else X.to_dense()
    cast = X.to(torch.int64 if has_tokens and is_integer else dtype)
    if _may_overflow(X, cast) and not is_finite(cast):
        lost = cast.isinf() & X.isfinite()
        if bool(lost.any()):
            raise ValueError(_too_large(X[lost][0].item(), dtype))
    return cast


@_cast.register(list)
@_cast.register(tuple)
def _(X: Any, dtype: torch.dtype, has_tokens: bool) -> Any:
    if len(X) and all(isinstance(row, Mapping) for row in X):
        # Samples of a module with several inputs, one by one.
        return {key: _cast([row[key] for row in X], dtype, has_tokens) for key in X[0]}
    return _cast.dispatch(object)(X, dtype, has_tokens)


def _may_overflow(X: Any, cast: Any) -> bool:
    """Whether a cast can have made infinity of a number: to fewer bytes, or of more than one byte to half precision."""
    if X.dtype == cast.dtype or X.dtype.itemsize == 1:
        return False
    return X.dtype.itemsize > cast.dtype.itemsize or cast.dtype.itemsize == 2


def _too_large(value: Any, dtype: torch.dtype) -> str:
    name = str(dtype).removeprefix("torch.")
    return (
        f"X must hold numbers within the range of the network's {name}. Got {float(value):g}, which is finite but too "
        "large: scale the samples."
    )


def _refusal(X: Any) -> str:
    path = path_in(X)
    if path is not None:
        return f"X must hold numbers for a network. Got {kind_of(X)} of paths, such as {wrap_advice(path)}."
    first = take_rows(X, 0) if hasattr(X, "__len__") and n_rows(X) else None
    return f"X must be a rectangular array of numbers for a network. Got {_described(X, first)}."


def _described(X: Any, first: Any) -> str:
    name, kind = kind_of(X), getattr(X, "dtype", None)
    if hasattr(X, "columns"):
        return f"{name} with other columns"
    if kind is not None:
        return f"{name} of dtype {kind}"
    return name if first is None else f"{name} of {type(first).__name__}"
