"""What may be asked of any container of samples; each kind of container answers in a file of its own.

A kind is a file that registers its answers, here or in another package: ``n_rows.register``, ``take_rows.register``
and ``stack_rows.register`` are enough, the other generics stand on these. What nobody registered is served by
protocol: a first axis (`shape` or `len`), `__getitem__` by position, `__array__` for its numbers.
"""

from __future__ import annotations

import functools
import importlib
import math
import operator
from collections.abc import Callable, Iterator, Set
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from ..utils._arrays import blocks
from ..utils._validation import kind_of

__all__ = [
    "as_index",
    "column_names",
    "comes_in_batches",
    "drop_rows",
    "feature_shape",
    "generic",
    "give_back",
    "in_memory",
    "is_finite",
    "like",
    "n_rows",
    "numbers_of",
    "opener",
    "own_labels",
    "read_rows",
    "row_blocks",
    "row_bytes",
    "row_keys",
    "samples_of",
    "sendable",
    "stack_rows",
    "take_rows",
    "unread_by_numpy",
]

# Kinds of packages that not everybody has: the file is imported when the first container of its package is met.
# (dask_expr is what holds the frames of dask before 2025.1.)
_LAZY = {"dask": "._dask", "dask_expr": "._dask", "polars": "._polars"}
_MET: WeakSet[type] = WeakSet()
# Values that are checked at a time, so that no copy of a memory map comes into being.
_BLOCK_VALUES = 1 << 20


def generic(otherwise: Callable[..., Any]) -> Any:
    """A `functools.singledispatch` over its first argument that knows the kinds of packages not imported yet."""

    @functools.wraps(otherwise)
    def fallback(X: Any, *args: Any, **kwargs: Any) -> Any:
        kind = type(X)
        is_new = kind not in _MET and _load_kind(kind)
        return dispatched(X, *args, **kwargs) if is_new else otherwise(X, *args, **kwargs)

    dispatched = functools.singledispatch(fallback)
    return dispatched


def _load_kind(kind: type) -> bool:
    """Import the file that serves `kind`, if there is one; whether it was imported for the sake of this call."""
    roots = [base.__module__.partition(".")[0] for base in kind.__mro__]
    files = [_LAZY[root] for root in roots if root in _LAZY]
    for name in files:
        importlib.import_module(name, __package__)
    _MET.add(kind)
    return bool(files)


def as_index(idx: Any, n: int) -> Any:
    """`idx` as one int, a slice, or an intp array of positions in [0, n); masks and negative positions are resolved."""
    if isinstance(idx, slice):
        return idx
    array = np.asarray(idx.detach().cpu() if hasattr(idx, "detach") else idx)
    if array.dtype == bool and array.ndim == 1:
        if len(array) != n:
            raise IndexError(f"A mask of rows must have one entry per row, {n}. Got {len(array)}.")
        return np.flatnonzero(array)
    if array.size == 0:
        return array.astype(np.intp)
    if array.dtype.kind not in "iu":
        raise IndexError(f"Rows are taken by a mask or by integers: got an array of {array.dtype}.")
    if array.ndim > 1:
        raise IndexError(f"Rows are taken by positions along one axis. Got an array of shape {array.shape}.")
    array = array.astype(np.intp)
    if array.min() < -n or array.max() >= n:
        raise IndexError(
            f"Rows must lie in 0 ... {n - 1}. Got {int(array.min())} ... {int(array.max())}, out of bounds."
        )
    array = np.where(array < 0, array + n, array)
    return operator.index(array.item()) if array.ndim == 0 else array


@generic
def n_rows(X: Any) -> int:
    """Number of samples in `X`.

    Parameters
    ----------
    X : container of samples

    Returns
    -------
    int

    Raises
    ------
    TypeError
        `X` is no collection of samples: a scalar, one text, an iterable without a length.
    """
    if isinstance(X, Set):
        raise TypeError(f"Expected a collection of samples. Got a {type(X).__name__}, which has no order: list it.")
    if X is None or isinstance(X, type):
        raise TypeError(f"Expected a collection of samples. Got {'None' if X is None else f'the class {X.__name__}'}.")
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) == 0:
        raise TypeError(f"Expected a collection of samples. Got a scalar {kind_of(X)} instead.")
    if shape is None and not hasattr(X, "__len__") and hasattr(X, "__array__"):
        return n_rows(np.asarray(X))
    try:
        return len(X) if shape is None else int(shape[0])
    except TypeError:
        raise TypeError(f"Expected a collection of samples. Got {kind_of(X)} instead.") from None


@generic
def take_rows(X: Any, idx: Any) -> Any:
    """Rows `idx` of `X` by position, in the kind of container that `X` is.

    Parameters
    ----------
    X : container of n samples
    idx : array-like of int, mask of n bools, slice or int
        Positions, negative ones from the end. One integer gives one sample, as modAL does.

    Returns
    -------
    container of the kind of X
        A slice of an array, frame or tensor is a view of it; of a Dataset, it is a `Subset` that reads nothing.

    Raises
    ------
    IndexError
        A position outside `X`, a mask of another length, what is no position.
    TypeError
        Rows cannot be taken from `X`.
    """
    n = n_rows(X)
    if not hasattr(X, "__getitem__"):
        if hasattr(X, "__array__"):
            return take_rows(np.asarray(X), idx)
        raise TypeError(f"Rows cannot be taken from {type(X).__name__}.")
    idx = as_index(idx, n)
    if hasattr(X, "shape") or (np.ndim(idx) == 0 and not isinstance(idx, slice)):
        return X[idx]
    return [X[i] for i in (range(n)[idx] if isinstance(idx, slice) else idx.tolist())]


@generic
def read_rows(X: Any, idx: Any) -> Any:
    """Rows `idx` of `X` in memory: as `take_rows`, but of a Dataset a list of samples, without labels of pairs."""
    return take_rows(X, idx)


@generic
def in_memory(X: Any) -> Any:
    """What is computed or read when it is asked for, such as a dask array, in memory; all else as it is."""
    return X


@generic
def samples_of(X: Any) -> list[Any]:
    """The rows of `X` one by one, as a list of samples holds them."""
    return [take_rows(X, i) for i in range(n_rows(X))]


@generic
def drop_rows(X: Any, idx: Any) -> Any:
    """`X` without the rows `idx`, order kept.

    Parameters
    ----------
    X : container of n samples
    idx : array-like of int, mask, slice or int
        Positions to leave out.

    Returns
    -------
    container of the kind of X
    """
    keep = np.ones(n_rows(X), dtype=bool)
    keep[as_index(idx, len(keep))] = False
    return take_rows(X, np.flatnonzero(keep))


@generic
def stack_rows(first: Any, second: Any) -> Any:
    """`second` appended below `first`, in the kind of container that `first` is.

    Parameters
    ----------
    first : container of n samples
    second : container of m samples of the same shape

    Returns
    -------
    container of n + m samples, of the kind of first
        No value is rounded or wrapped: integers and bools are promoted as NumPy does, also in tensors and in the
        columns of frames. Floats keep the dtype of `first`, which a network may depend on, wherever that holds the
        new values' range. Category columns get the union of the categories.

    Raises
    ------
    ValueError
        Another shape, other columns or keys, or values that the container cannot hold; of frames, the column is named.
    """
    if not hasattr(first, "__array__"):
        raise TypeError(f"Rows cannot be added to {kind_of(first)}.")
    return stack_rows(np.asarray(first), second)


@generic
def row_blocks(X: Any, size: int) -> Iterator[tuple[slice, Any]]:
    """`X` in consecutive blocks of at most `size` rows.

    Parameters
    ----------
    X : container of n samples
    size : int

    Yields
    ------
    (slice, block) : where the block lies in `X`, and its rows in the kind of container that `X` is
        A view where slices are views.
    """
    for rows in blocks(n_rows(X), size):
        yield rows, take_rows(X, rows)


@generic
def comes_in_batches(X: Any) -> bool:
    """Whether a network takes `X` batch by batch, and nothing is read or cast before."""
    return False


@generic
def give_back(X: Any, rows: slice) -> None:
    """Give back what reading consecutive rows of a file has taken of memory; they can be read again."""


@generic
def row_bytes(X: Any) -> int:
    """Bytes that a row of `X` takes as float64, roughly; 0 where `X` does not tell."""
    shape = feature_shape(X)
    return 0 if shape is None else 8 * math.prod(shape)


@generic
def opener(X: Any) -> Callable[[], Any] | None:
    """What makes `X` again in another process, picklable and small: of what lies in files or is read item by item.

    None where the rows are in memory, so that they have to be sent themselves (see `sendable`).
    """
    return None


@generic
def sendable(X: Any) -> Any:
    """`X` such that pickling it writes its own rows and no more."""
    return X


@generic
def row_keys(X: Any) -> list[bytes]:
    """A key for each row by content.

    Parameters
    ----------
    X : container of n samples
        A Dataset is read.

    Returns
    -------
    list of n bytes
        Equal rows of one kind of container have equal keys: 0.0 and -0.0, numbers of another dtype (a float32 and a
        float64 copy of one float32 sample), strings that are shared or not, sparse rows with explicit zeros, unsorted
        or in another format.

    Notes
    -----
    SHA-1 over slices of one float32 buffer of numbers: about one second per gigabyte, and a copy of one block of rows
    at a time. What holds no numbers takes some microseconds a value.
    """
    # Here, since the keys of one sample stand on the generics.
    from ._keys import content, digest

    return [digest(content(take_rows(X, i))) for i in range(n_rows(X))]


@generic
def is_finite(X: Any) -> bool:
    """Whether no value of `X` is missing or infinite.

    Parameters
    ----------
    X : container of samples, or one value

    Returns
    -------
    bool
        False with NaN or infinity in what holds floats, of any width and byte order, or with None, NaN, NaT or pd.NA
        among other values. Lists, dicts and object arrays are walked. Datasets are not read.

    Notes
    -----
    Arrays are looked at in blocks: a memory map is not copied.
    """
    if not hasattr(X, "__array__") or isinstance(X, type):
        return True
    if len(getattr(X, "shape", ())) == 0:
        array = np.asarray(X)
        return array.dtype == object or is_finite(array)
    per_row = int(np.prod(X.shape[1:], dtype=np.int64))
    size = max(1, _BLOCK_VALUES // max(1, per_row))
    return all(is_finite(np.asarray(block)) for _, block in row_blocks(X, size))


@generic
def numbers_of(X: Any) -> NDArray | None:
    """`X` as one dense array of numbers in native byte order, uncopied where it is one; None where it holds others."""
    if not hasattr(X, "__array__"):
        return None
    return numbers_of(np.asarray(X))


@generic
def feature_shape(X: Any) -> tuple[int, ...] | None:
    """Shape of one sample where `X` states it (arrays, frames, sparse matrices, tensors), else None."""
    shape = getattr(X, "shape", None)
    return None if shape is None or isinstance(X, type) else tuple(int(size) for size in shape[1:])


@generic
def column_names(X: Any) -> list[Any] | None:
    """Names of the columns of a table; None of what has none."""
    return None


@generic
def own_labels(X: Any) -> Any:
    """Labels that come with the samples, as in a Dataset of pairs (sample, label); None of what has none."""
    return None


@generic
def like(X: Any, array: NDArray) -> Any:
    """`array` in the kind of container that `X` is: a frame with its columns, a tensor on its device, an array."""
    return array


@generic
def unread_by_numpy(X: Any) -> tuple[str, str, str] | None:
    """Where NumPy cannot read `X` as it is: its own words for that, ours, and what to call instead."""
    return None
