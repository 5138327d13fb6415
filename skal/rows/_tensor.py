"""torch tensors, on any device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ._generics import (
    as_index,
    comes_in_batches,
    is_finite,
    like,
    n_rows,
    numbers_of,
    row_keys,
    sendable,
    stack_rows,
    take_rows,
    unread_by_numpy,
)
from ._keys import content, numeric_keys, raw_batch
from ._promote import joint_dtype

__all__: list[str] = []

# NumPy has no bfloat16; it stands for as wide a range as float32 does.
_BFLOAT16 = torch.bfloat16
# Any number of rows need not be a whole number of blocks.
_WITHOUT_BLOCKS = {torch.sparse_bsr: torch.sparse_csr, torch.sparse_bsc: torch.sparse_csc}


@take_rows.register(torch.Tensor)
def _(X: torch.Tensor, idx: Any) -> torch.Tensor:
    idx = as_index(idx, n_rows(X))
    if isinstance(idx, int):
        return X[idx]
    is_dense = X.layout == torch.strided
    if isinstance(idx, slice) and is_dense and (idx.step or 1) > 0:
        return X[idx]
    places = torch.as_tensor(np.arange(n_rows(X))[idx].copy(), device=X.device)
    return X[places] if is_dense else _in_layout(X.to_sparse_coo().index_select(0, places), X.layout)


def _in_layout(X: torch.Tensor, layout: torch.layout) -> torch.Tensor:
    layout = _WITHOUT_BLOCKS.get(layout, layout)
    return X if X.layout == layout else X.to_dense() if layout == torch.strided else X.to_sparse(layout=layout)


def _values(X: torch.Tensor) -> torch.Tensor:
    """The numbers that a tensor stores; a sparse one has no others but zeros."""
    return X if X.layout == torch.strided else (X.coalesce() if X.layout == torch.sparse_coo else X).values()


@comes_in_batches.register(torch.Tensor)
def _(X: torch.Tensor) -> bool:
    return X.layout == torch.strided and X.dtype == torch.float32


@sendable.register(torch.Tensor)
def _(X: torch.Tensor) -> torch.Tensor:
    # A view is pickled with all that it is a view of.
    return X.detach().cpu().clone()


@stack_rows.register(torch.Tensor)
def _(first: torch.Tensor, second: Any) -> torch.Tensor:
    new = second.detach() if isinstance(second, torch.Tensor) else _from_numbers(second)
    if first.shape[1:] != new.shape[1:] or first.ndim != new.ndim:
        raise ValueError(
            "New samples must have the shape of the labelled ones. "
            f"Got {tuple(new.shape[1:])} per sample instead of {tuple(first.shape[1:])}."
        )
    dtype = _joint_dtype(first, new) if len(new) else first.dtype
    # Of the sparse layouts one can be appended to.
    layout = torch.strided if first.layout == torch.strided else torch.sparse_coo
    parts = [_in_layout(part.to(device=first.device, dtype=dtype), layout) for part in (first, new)]
    return _in_layout(torch.cat(parts), first.layout)


def _from_numbers(rows: Any) -> torch.Tensor:
    array = numbers_of(rows)
    if array is None:
        raise ValueError(f"New rows must hold numbers, as the tensor of the labelled ones does. Got {_named(rows)}.")
    return torch.as_tensor(np.array(array))


def _named(rows: Any) -> str:
    return f"{type(rows).__name__} of dtype {rows.dtype}" if hasattr(rows, "dtype") else type(rows).__name__


def _joint_dtype(first: torch.Tensor, second: torch.Tensor) -> torch.dtype:
    if first.dtype == second.dtype or first.is_complex() or second.is_complex():
        return torch.promote_types(first.dtype, second.dtype)
    second = _values(second)
    if first.dtype == _BFLOAT16 and not second.is_floating_point():
        exact = torch.equal(second.to(_BFLOAT16).to(second.dtype), second)
        return _BFLOAT16 if exact else torch.float32 if second.dtype.itemsize <= 2 else torch.float64
    if first.dtype == _BFLOAT16:
        overflows = second.to(_BFLOAT16).isinf() & second.isfinite()
        return torch.promote_types(first.dtype, second.dtype) if bool(overflows.any()) else _BFLOAT16
    # Only integers of 64 bits have values that promotion may round.
    known = _values(first) if first.dtype == torch.int64 else torch.empty(0, dtype=first.dtype)
    joint = joint_dtype(_plain(known), _plain(second))
    return torch.as_tensor(np.empty(0, dtype=joint)).dtype


def _plain(X: torch.Tensor) -> NDArray:
    """The numbers in NumPy's memory; gradients, device and layout left aside."""
    X = (X if X.layout == torch.strided else X.to_dense()).detach().cpu()
    return (X.float() if X.dtype == _BFLOAT16 else X.resolve_conj().resolve_neg()).numpy()


@is_finite.register(torch.Tensor)
def _(X: torch.Tensor) -> bool:
    if not (X.is_floating_point() or X.is_complex()):
        return True
    values = _values(X.detach())
    return bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())


@numbers_of.register(torch.Tensor)
def _(X: torch.Tensor) -> NDArray | None:
    return None if X.is_complex() else _plain(X)


@row_keys.register(torch.Tensor)
def _(X: torch.Tensor) -> list[bytes]:
    return numeric_keys(_plain(X))


@content.register(torch.Tensor)
def _(sample: torch.Tensor) -> bytes:
    return content(_plain(sample))


@raw_batch.register(torch.Tensor)
def _(part: torch.Tensor) -> tuple[NDArray, str]:
    # Two bytes of bfloat16 are an integer to NumPy.
    raw = part.detach().cpu()
    kind = str(raw.dtype) if raw.dtype == _BFLOAT16 else raw.numpy().dtype.str
    return (raw.view(torch.int16) if raw.dtype == _BFLOAT16 else raw).numpy(), kind


@like.register(torch.Tensor)
def _(X: torch.Tensor, array: NDArray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(X.device)


@unread_by_numpy.register(torch.Tensor)
def _(X: torch.Tensor) -> tuple[str, str, str] | None:
    try:
        np.asarray(take_rows(X, slice(0, 0)))
    except (TypeError, RuntimeError) as error:
        reasons = {
            "a sparse tensor": (X.layout != torch.strided, "X.to_dense()"),
            "a tensor that requires gradients": (X.requires_grad, "X.detach()"),
            f"a tensor on {X.device}": (X.device.type != "cpu", "X.cpu()"),
        }
        words, call = next(
            ((words, call) for words, (is_so, call) in reasons.items() if is_so),
            (f"a tensor of {X.dtype}", "X.float()"),
        )
        return str(error), words, call
    return None
