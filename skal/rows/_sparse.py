"""scipy's sparse matrices and arrays, in all formats."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..utils._arrays import blocks
from ..utils._validation import kind_of
from ._generics import (
    as_index,
    comes_in_batches,
    feature_shape,
    is_finite,
    n_rows,
    numbers_of,
    read_rows,
    row_blocks,
    row_bytes,
    row_keys,
    samples_of,
    sendable,
    stack_rows,
    take_rows,
)
from ._keys import content, digest
from ._promote import joint_dtype

__all__ = ["register_sparse"]

_KINDS = tuple(
    getattr(sp, f"{name}_{suffix}")
    for name in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
    for suffix in ("matrix", "array")
)


def register_sparse(generic: Any) -> Any:
    """Register for all formats, dok among them, which would be taken for the dict that it is, too."""

    def register(function: Any) -> Any:
        for kind in _KINDS:
            generic.register(kind, function)
        return function

    return register


def _csr(X: Any) -> Any:
    """`X` in csr, of its own family (matrix or array)."""
    return X.tocsr()


@register_sparse(n_rows)
def _(X: Any) -> int:
    return int(X.shape[0])


@register_sparse(take_rows)
def _(X: Any, idx: Any) -> Any:
    idx = as_index(idx, n_rows(X))
    # One row of an array, by an integer, would have one axis; one of a matrix has two.
    idx = [idx] if isinstance(idx, int) else idx
    # coo, dia, bsr and dok cannot be indexed by positions; csr can, and quickly.
    return X[idx] if X.format in ("csr", "csc", "lil") else _csr(X)[idx].asformat(X.format)


register_sparse(read_rows)(take_rows.dispatch(sp.csr_matrix))
register_sparse(feature_shape)(feature_shape.dispatch(object))
register_sparse(comes_in_batches)(comes_in_batches.dispatch(object))
register_sparse(sendable)(sendable.dispatch(object))


@register_sparse(samples_of)
def _(X: Any) -> list[Any]:
    # One row of a matrix has two axes, which no other sample has.
    return list(X.toarray())


@register_sparse(row_blocks)
def _(X: Any, size: int) -> Iterator[tuple[slice, Any]]:
    rows = _csr(X)
    for block in blocks(n_rows(X), size):
        yield block, rows[block].asformat(X.format)


@register_sparse(row_bytes)
def _(X: Any) -> int:
    # A value, and its column as an int64.
    return 16 * X.nnz // max(1, n_rows(X))


@register_sparse(stack_rows)
def _(first: Any, second: Any) -> Any:
    if not sp.issparse(second):
        array = numbers_of(second)
        if array is None or array.ndim != 2:
            raise ValueError(f"New samples must be rows of numbers, as the sparse ones are. Got {kind_of(second)}.")
        # Which scipy has no sparse matrices of.
        second = sp.csr_array(array.astype(np.float32) if array.dtype == np.float16 else array)
    if second.shape[1:] != first.shape[1:]:
        raise ValueError(
            "New samples must have the shape of the labelled ones. "
            f"Got {second.shape[1:]} per sample instead of {first.shape[1:]}."
        )
    rows, new = _csr(first), _csr(second)
    dtype = joint_dtype(rows.data, new.data)
    stacked = sp.vstack([rows.astype(dtype, copy=False), new.astype(dtype, copy=False)], format="csr")
    # An array among the parts makes the whole an array.
    return type(first)(stacked.asformat(first.format))


@register_sparse(is_finite)
def _(X: Any) -> bool:
    # The rows of lil and dok are Python lists and dicts; dia holds values outside the matrix.
    return is_finite(_csr(X).data if X.format in ("lil", "dok", "dia") else X.data)


@register_sparse(numbers_of)
def _(X: Any) -> NDArray | None:
    return numbers_of(X.toarray())


def _canonical(X: Any) -> Any:
    rows = sp.csr_array(X, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    rows.sort_indices()
    return rows


def _contents(X: Any) -> list[bytes]:
    rows = _canonical(X)
    values = rows.data
    if values.dtype.kind in "fbiu":
        wide = values.astype(np.float64)
        if values.dtype.kind not in "iu" or np.array_equal(wide.astype(values.dtype), values):
            values = wide
    columns, ends = rows.indices.astype(np.int64), rows.indptr.tolist()
    return [b"c" + columns[start:end].tobytes() + b"|" + values[start:end].tobytes() for start, end in pairwise(ends)]


@register_sparse(row_keys)
def _(X: Any) -> list[bytes]:
    return [digest(row) for row in _contents(X)]


@register_sparse(content)
def _(sample: Any) -> bytes:
    return b"".join(_contents(sample))
