"""Keys of samples by content."""

from __future__ import annotations

import hashlib
import io
import math
import pickle
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils._arrays import blocks
from ._generics import generic

__all__ = ["batch_keys", "content", "digest", "numeric_keys", "raw_batch", "table_keys"]

_BLOCK_VALUES = 1 << 20
_MISSING = b"-"
# Bits of a double's fraction that float32 has no room for.
_BEYOND_FLOAT32 = np.uint64(2**29 - 1)


def digest(data: Any) -> bytes:
    """20 bytes by the digest that processors have instructions for: keys are much of a query's time."""
    return hashlib.sha1(data, usedforsecurity=False).digest()


def numeric_keys(array: NDArray) -> list[bytes]:
    """A key for each row of numbers (n, ...), of their values and not of their dtype."""
    if np.ma.isMaskedArray(array):
        array = array.filled(0)
    # Parts of a matrix would have two axes again.
    array = np.asarray(array)
    n, width = len(array), math.prod(array.shape[1:])
    rows = array.reshape(n, width)
    if array.dtype.kind == "c":
        rows, width = np.concatenate([rows.real, rows.imag], axis=1), 2 * width
    keys: list[bytes] = []
    for block in blocks(n, _BLOCK_VALUES // max(1, width)):
        keys += _block_keys(rows[block])
    return keys


def _block_keys(rows: NDArray) -> list[bytes]:
    kind, itemsize = rows.dtype.kind, rows.dtype.itemsize
    with np.errstate(all="ignore"):
        if (kind == "f" and itemsize <= 4) or (kind in "biu" and itemsize <= 2):
            # Adding zero makes 0.0 of -0.0.
            return _sliced(rows.astype(np.float32) + np.float32(0))
        wide = np.ascontiguousarray(rows, dtype=np.float64) + 0.0
        if kind == "f" and itemsize == 8 and (wide.view(np.uint64) & _BEYOND_FLOAT32).any(axis=1).all():
            # Told at once: float32 holds none of these rows.
            return _sliced(wide)
        narrow = wide.astype(np.float32)
        is_narrow = ((narrow == wide) | np.isnan(wide)).all(axis=1)
        is_wide = (
            (wide.astype(rows.dtype) == rows).all(axis=1)
            if kind in "iu" and itemsize == 8
            else np.ones(len(rows), bool)
        )
    # What float32 does not hold is told by its doubles, and what these do not hold by its integers.
    parts = ((narrow, b"", is_narrow & is_wide), (wide, b"", is_wide & ~is_narrow), (rows, b"i", ~is_wide))
    keys = [b""] * len(rows)
    for values, prefix, where in parts:
        at = np.flatnonzero(where)
        if len(at) == len(rows):
            return _sliced(values, prefix)
        for i, key in zip(at.tolist(), _sliced(values[at], prefix)):
            keys[i] = key
    return keys


def _sliced(rows: NDArray, prefix: bytes = b"") -> list[bytes]:
    rows = np.ascontiguousarray(rows)
    if rows.size == 0:
        return [digest(prefix)] * len(rows)
    data, width = rows.reshape(-1).view(np.uint8).data, rows.shape[1] * rows.itemsize
    if prefix:
        return [digest(prefix + data[i : i + width]) for i in range(0, len(data), width)]
    # As `digest`, without the call of a function for each row.
    sha1 = hashlib.sha1
    return [sha1(data[i : i + width], usedforsecurity=False).digest() for i in range(0, len(data), width)]


def table_keys(columns: list[NDArray]) -> list[bytes]:
    """A key for each row of a table, given its columns (n,): numbers by their values, others one by one."""
    n = len(columns[0]) if columns else 0
    numeric = [column for column in columns if column.dtype.kind in "biuf"]
    others = [column for column in columns if column.dtype.kind not in "biuf"]
    matrix = np.empty((n, len(numeric)))
    # Integers that a double does not hold count beside it.
    rests: dict[int, bytes] = {}
    for j, column in enumerate(numeric):
        matrix[:, j] = column
        if column.dtype.kind in "iu" and column.dtype.itemsize == 8:
            with np.errstate(all="ignore"):
                inexact = np.flatnonzero(matrix[:, j].astype(column.dtype) != column)
            for i in inexact.tolist():
                rests[i] = rests.get(i, b"") + b"%d:%d;" % (j, int(column[i]))
    keys = numeric_keys(matrix)
    if rests:
        keys = [digest(key + rests[i]) if i in rests else key for i, key in enumerate(keys)]
    if not others:
        return keys
    return [digest(key + content(values)) for key, values in zip(keys, zip(*(column.tolist() for column in others)))]


@generic
def content(sample: Any) -> bytes:
    """Bytes that tell one sample, or one value, from another; equal ones have equal bytes."""
    if hasattr(sample, "__array__") or hasattr(sample, "__array_interface__"):
        array = np.asarray(sample)
        if array.dtype != object:
            return content(array)
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=4)
    # Without a memo, so that it does not matter which parts are one object.
    pickler.fast = True
    pickler.dump(sample)
    return b"p" + buffer.getvalue()


@content.register(np.ndarray)
def _(sample: NDArray) -> bytes:
    if sample.dtype.kind not in "biufc":
        return content(sample.tolist())
    return b"a" + repr(sample.shape).encode() + numeric_keys(sample.reshape(1, -1))[0]


@content.register(np.generic)
def _(sample: np.generic) -> bytes:
    return content(sample.item()) if not isinstance(sample.item(), np.generic) else repr(sample).encode()


@content.register(Real)
def _(sample: Real) -> bytes:
    value = float(sample) if not isinstance(sample, int) or abs(sample) <= 2**53 else None
    if value is None:
        # An integer of its own size, unless a float tells it, too.
        near = float(sample) if abs(sample) < 2**1000 else None
        return b"n" + (repr(near) if near is not None and near == sample else repr(int(sample))).encode()
    return _MISSING if math.isnan(value) else b"n" + repr(value + 0.0).encode()


@content.register(type(None))
def _(sample: None) -> bytes:
    return _MISSING


@content.register(str)
def _(sample: str) -> bytes:
    return b"s" + sample.encode("utf-8", "surrogatepass")


@content.register(bytes)
def _(sample: bytes) -> bytes:
    return b"b" + sample


@content.register(list)
@content.register(tuple)
def _(sample: Any) -> bytes:
    parts = [content(part) for part in sample]
    return b"l" + b"".join(b"%d:" % len(part) + part for part in parts)


@content.register(Mapping)
def _(sample: Any) -> bytes:
    return b"d" + content([part for key in sorted(sample, key=repr) for part in (key, sample[key])])


def batch_keys(prefix: bytes, batch: Any) -> list[bytes]:
    """16 bytes for each row of a batch of numbers, or of a dict of these: `prefix`, shape, dtype, and exact bytes."""
    parts = [batch[key] for key in sorted(batch)] if isinstance(batch, Mapping) else [batch]
    arrays = [raw_batch(part) for part in parts]
    head = prefix + repr([(array.shape[1:], kind) for array, kind in arrays]).encode()
    keys = []
    for i in range(len(arrays[0][0])):
        found = hashlib.blake2b(head, digest_size=16)
        for array, _ in arrays:
            # reshape(-1): a 0-d row has no buffer of bytes
            found.update(np.ascontiguousarray(array[i]).reshape(-1).view(np.uint8).data)
        keys.append(found.digest())
    return keys


@generic
def raw_batch(part: Any) -> tuple[NDArray, str]:
    """A batch as an array of whatever bytes it has, and the name of its dtype."""
    array = np.asarray(part)
    return array, array.dtype.str
