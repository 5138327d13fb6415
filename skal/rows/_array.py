"""NumPy arrays, memory maps, structured arrays, and object arrays of whatever they hold."""

from __future__ import annotations

import functools
import math
import mmap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils._arrays import blocks
from ._generics import (
    as_index,
    column_names,
    comes_in_batches,
    feature_shape,
    give_back,
    is_finite,
    n_rows,
    numbers_of,
    opener,
    row_blocks,
    row_keys,
    stack_rows,
    take_rows,
)
from ._keys import content, digest, numeric_keys, table_keys
from ._promote import joint_dtype

__all__ = ["map_of", "stack_arrays"]

_BLOCK_VALUES = 1 << 20
# What stands for a missing value by kind of dtype, and the dtype that holds it; None stands for it among other values.
_MISSING: dict[str, tuple[Any, Any]] = {
    **dict.fromkeys("biu", (np.float64, np.nan)),
    **dict.fromkeys("fc", (None, np.nan)),
    # With a unit, which an array keeps as its own.
    "M": (None, np.datetime64("NaT", "s")),
    "m": (None, np.timedelta64("NaT", "s")),
}


@n_rows.register(np.ndarray)
def _(X: NDArray) -> int:
    if X.ndim == 0:
        raise TypeError(f"Expected a collection of samples. Got a scalar {type(X).__name__} instead.")
    return len(X)


@comes_in_batches.register(np.ndarray)
def _(X: NDArray) -> bool:
    return X.dtype == np.float32


@feature_shape.register(np.ndarray)
def _(X: NDArray) -> tuple[int, ...]:
    return X.shape[1:]


@take_rows.register(np.ndarray)
def _(X: NDArray, idx: Any) -> Any:
    return X[as_index(idx, n_rows(X))]


@opener.register(np.ndarray)
def _(X: NDArray) -> Callable[[], Any] | None:
    """Of a memory map, or of a part of one, by its file."""
    root = map_of(X)
    if root is None or root.filename is None or X.dtype.hasobject:
        return None
    if root.mode != "r":
        root.flush()
    offset = root.offset + _address(X) - _address(root)
    return functools.partial(_open_map, str(root.filename), X.dtype, X.shape, X.strides, offset)


def map_of(X: NDArray) -> Any:
    """The memory map that `X` is a part of; none where it is a copy on write, which its file does not hold."""
    root: Any = X
    while root is not None and not (isinstance(root, np.memmap) and isinstance(root.base, mmap.mmap)):
        root = root.base if isinstance(root, np.ndarray) else None
    return None if root is None or root.mode == "c" else root


def _address(X: NDArray) -> int:
    return X.__array_interface__["data"][0]


@row_blocks.register(np.ndarray)
def _(X: NDArray, size: int) -> Iterator[tuple[slice, Any]]:
    for rows in blocks(n_rows(X), size):
        yield rows, X[rows]
        give_back(X, rows)


@give_back.register(np.ndarray)
def _(X: NDArray, rows: slice) -> None:
    root, block = map_of(X), X[rows]
    if root is not None and block.flags.c_contiguous and hasattr(root.base, "madvise"):
        # Whole pages that lie in the block.
        start = _address(block) - _address(np.frombuffer(root.base, dtype=np.uint8))
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        length = (start + block.nbytes - first) // mmap.PAGESIZE * mmap.PAGESIZE
        if length > 0:
            root.base.madvise(mmap.MADV_DONTNEED, first, length)


def _open_map(path: str, dtype: np.dtype, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> NDArray:
    return np.ndarray(shape, dtype, np.memmap(path, np.uint8, "r"), offset, strides)


@stack_rows.register(np.ndarray)
def _(first: NDArray, second: Any) -> NDArray:
    if first.dtype.names is not None:
        return _stack_records(first, second)
    array: Any = second if isinstance(second, np.ndarray) else None
    if array is None:
        array = numbers_of(second)
    try:
        array = np.asarray(second) if array is None else array
    except ValueError:
        raise ValueError(
            f"New samples must have the shape of the labelled ones, {first.shape[1:]}. Got several shapes: for "
            "images of any size begin with a list of them instead of an array."
        ) from None
    return stack_arrays(first, array)


def stack_arrays(first: NDArray, second: NDArray) -> NDArray:
    """Two arrays in the dtype that holds both."""
    if first.ndim != second.ndim or first.shape[1:] != second.shape[1:]:
        raise ValueError(
            "New samples must have the shape of the labelled ones. "
            f"Got {second.shape[1:]} per sample instead of {first.shape[1:]}."
        )
    if len(second) == 0:
        return first.copy()
    if second.dtype == object and first.dtype.kind in "biufc":
        numbers = numbers_of(second)
        second = second if numbers is None else numbers
    if np.ma.isMaskedArray(first):
        dtype = joint_dtype(first, second)
        return np.ma.concatenate([first.astype(dtype, copy=False), second.astype(dtype, copy=False)])
    second = _unmasked(second)
    dtype = joint_dtype(first, second)
    joint = np.concatenate([first.astype(dtype, copy=False), second.astype(dtype, copy=False)])
    if not first.dtype.isnative and joint.dtype == first.dtype.newbyteorder("="):
        # NumPy joins in native byte order.
        return joint.astype(first.dtype)
    return joint


def _unmasked(X: Any) -> NDArray:
    """A masked array as a plain one: what is masked is missing, and not what stands below the mask."""
    if not np.ma.isMaskedArray(X) or not np.ma.is_masked(X):
        return np.asarray(X)
    dtype, missing = _MISSING.get(X.dtype.kind, (object, None))
    plain = np.array(X.data, dtype=dtype)
    plain[np.ma.getmaskarray(X)] = missing
    return plain


def _stack_records(first: NDArray, second: Any) -> NDArray:
    names, given = list(first.dtype.names or ()), column_names(second)
    if given is None or set(given) != set(names):
        raise ValueError(f"New samples must have the columns of the labelled ones, {names}. Got {given or 'none'}.")
    fields = {name: stack_rows(first[name], np.asarray(second[name])) for name in names}
    out = np.empty(len(first) + n_rows(second), [(name, f.dtype, f.shape[1:]) for name, f in fields.items()])
    for name, values in fields.items():
        out[name] = values
    return out.view(type(first))


@column_names.register(np.ndarray)
def _(X: NDArray) -> list[Any] | None:
    return None if X.dtype.names is None else list(X.dtype.names)


@row_keys.register(np.ndarray)
def _(X: NDArray) -> list[bytes]:
    if X.dtype.kind in "biufc":
        return numeric_keys(X)
    if X.dtype.names is not None and all(X.dtype[name].shape == () for name in X.dtype.names):
        return table_keys([X[name] for name in X.dtype.names])
    return _object_keys(X) if X.dtype == object and X.ndim > 1 else [digest(content(row)) for row in X]


def _object_keys(X: NDArray) -> list[bytes]:
    """Rows of numbers have the keys of these numbers, whatever stands in other rows."""
    numbers = numbers_of(X)
    if numbers is not None and numbers.ndim == X.ndim:
        return numeric_keys(numbers)
    if len(X) == 1:
        return [digest(content(X[0]))]
    return [key for row in X for key in _object_keys(row[None])]


@is_finite.register(np.ndarray)
def _(X: NDArray) -> bool:
    kind = X.dtype.kind
    if np.ma.is_masked(X):
        return False
    if X.dtype.names is not None:
        return all(is_finite(X[name]) for name in X.dtype.names)
    if kind in "mM":
        return not bool(np.isnat(X).any())
    if kind == "O":
        return is_finite(X.ravel().tolist())
    if kind not in "fc":
        return True
    if X.ndim == 0:
        return bool(np.isfinite(X))
    size = _BLOCK_VALUES // max(1, math.prod(X.shape[1:]))
    return all(_all_finite(X[rows]) for rows in blocks(len(X), size))


def _all_finite(block: NDArray) -> bool:
    with np.errstate(all="ignore"):
        # One number of all is faster, and finite but for overflow, which the second look clears: the sum of squares,
        # where BLAS knows the dtype, takes half the time of the sum.
        flat = block.ravel() if block.flags.c_contiguous and block.dtype in (np.float32, np.float64) else None
        one = block.sum() if flat is None else np.dot(flat, flat)
        return bool(np.isfinite(one)) or bool(np.isfinite(block).all())


@is_finite.register(np.generic)
def _(X: np.generic) -> bool:
    return is_finite(np.asarray(X))


@is_finite.register(float)
def _(X: float) -> bool:
    return math.isfinite(X)


@is_finite.register(type(None))
def _(X: None) -> bool:
    return False


@is_finite.register(str)
@is_finite.register(bytes)
@is_finite.register(int)
def _(X: Any) -> bool:
    return True


@n_rows.register(str)
@n_rows.register(bytes)
def _(X: Any) -> int:
    raise TypeError(f"Expected a collection of samples. Got one text, {X[:50]!r}: put it into a list.")


@numbers_of.register(str)
@numbers_of.register(bytes)
def _(X: Any) -> None:
    return None


@numbers_of.register(np.ndarray)
def _(X: NDArray) -> NDArray | None:
    X = _unmasked(X)
    if X.dtype == object:
        return _object_numbers(X)
    if X.dtype.kind not in "fiub":
        return None
    if X.dtype == np.longdouble and X.dtype.itemsize > 8:
        # Which torch does not know.
        return X.astype(np.float64)
    return X if X.dtype.isnative else X.astype(X.dtype.newbyteorder("="))


def _object_numbers(X: NDArray) -> NDArray | None:
    """An object array of numbers (or of arrays of one shape); digits in texts are no numbers."""
    types = set(map(type, X.flat))
    if any(issubclass(kind, (str, bytes)) for kind in types):
        return None
    if any(hasattr(kind, "__len__") for kind in types):
        return numbers_of(X.tolist())
    try:
        if any(issubclass(kind, (float, np.floating)) for kind in types) or not types:
            return X.astype(np.float64)
        values = np.array(X.tolist())
        return values if values.dtype.kind in "fiub" else X.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
