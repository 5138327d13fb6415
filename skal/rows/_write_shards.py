"""Writing a folder of shards: checked, in pieces, and whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from torch.utils.data import Dataset

from ..utils._files import sync_folder, write_atomically
from ..utils._validation import kind_of, shown
from ._generics import feature_shape, n_rows, numbers_of, read_rows, row_blocks, take_rows
from ._promote import is_lost
from ._shards import FORMAT, INDEX, VERSION, Shards, shard_name

__all__ = ["write_shards"]

_SHARD_BYTES = 1 << 26
_BLOCK_VALUES = 1 << 20


def write_shards(
    folder: str | os.PathLike[str],
    blocks: Iterable[Any],
    *,
    ids: Iterable[str | int] | None = None,
    dtype: DTypeLike = "float32",
) -> Shards:
    """Write rows of numbers to a folder of `.npy` files, block by block, and open it.

    Parameters
    ----------
    folder : str or path
        It must not exist, or be empty; the folder that it lies in must exist.
    blocks : iterable of containers of rows
        Arrays, frames of numbers, sparse matrices (they become dense), tensors, Datasets of samples, or any other kind
        of container, with rows of one shape; of any number of rows each, which says nothing about the files. One
        container goes into a list, ``[X]``, and is still read piece by piece.
    ids : iterable of str or int, or None, default=None
        One for each row, all different; `Shards.ids` gives them back.
    dtype : dtype, default="float32"
        Of booleans, integers or floats.

    Returns
    -------
    Shards

    Raises
    ------
    FileExistsError
        The folder holds something: nothing is overwritten.
    FileNotFoundError
        There is no folder to make it in.
    TypeError, ValueError
        A row that holds no numbers, has another shape, or a value that `dtype` does not hold but for the rounding of
        floats (block and row are named, both counted from 0); no row at all; ids that are too few, too many, equal, or
        neither text nor integers. NaN and infinity are kept in floats, and refused by other dtypes.

    Notes
    -----
    A file has 64 MiB (one row at least), and that much memory is needed, besides one block. All is written to a hidden
    folder beside `folder` and brought onto the disk, the index last, before it gets its name: what is interrupted or
    fails leaves no `folder`, and a process that is killed leaves a hidden ``.<name>.<...>.tmp`` that may be removed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skal.rows import write_shards
    >>> folder = tempfile.mkdtemp()
    >>> write_shards(folder, [np.eye(3), np.ones((1, 3))], ids=["a", "b", "c", "d"]).ids.tolist()
    ['a', 'b', 'c', 'd']
    """
    kind = np.dtype(dtype).newbyteorder("=")
    if kind.kind not in "biuf" or kind.itemsize > 8:
        raise ValueError(
            "The 'dtype' of write_shards must be of booleans, integers, or floats of at most 64 bits. "
            f"Got {kind} instead."
        )
    _check_blocks(blocks)
    names = None if ids is None else _checked_ids(ids)
    path = os.path.realpath(folder)
    parent, name = os.path.split(path)
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise _exists(path)
    if not os.path.isdir(parent):
        raise FileNotFoundError(f"The 'folder' of write_shards must lie in one that exists. There is no '{parent}'.")
    temporary = os.path.join(parent, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    os.mkdir(temporary)
    try:
        _write_all(temporary, _pieces(blocks, kind), names, kind)
        _give_name(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(parent)
    return Shards(path)


def _exists(path: str) -> FileExistsError:
    return FileExistsError(f"The 'folder' of write_shards must not exist, or be empty. '{path}' holds something.")


def _give_name(temporary: str, path: str) -> None:
    try:
        if os.path.isdir(path):
            os.rmdir(path)
        os.rename(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another writer was faster
            raise _exists(path) from None
        raise


def _check_blocks(blocks: Any) -> None:
    is_one = hasattr(blocks, "shape") or isinstance(blocks, (str, bytes, Mapping, Dataset))
    if is_one or not isinstance(blocks, Iterable):
        raise TypeError(
            f"The 'blocks' of write_shards must be an iterable of containers of rows. Got {kind_of(blocks)}: "
            "put one container into a list."
        )


def _checked_ids(ids: Iterable[Any]) -> list[str | int]:
    if isinstance(ids, (str, bytes, Mapping)) or not isinstance(ids, Iterable):
        raise TypeError(f"The 'ids' of write_shards must be an iterable of str or int. Got {kind_of(ids)} instead.")
    found = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    if not {str, int}.issuperset(map(type, found)):
        found = [_checked_id(value, i) for i, value in enumerate(found)]
    if len(set(found)) != len(found):
        twice = next(value for value, n in Counter(found).items() if n > 1)
        raise ValueError(f"The 'ids' of write_shards must all be different. Got {shown(twice)} more than once.")
    return found


def _checked_id(value: Any, i: int) -> str | int:
    if isinstance(value, bool) or not isinstance(value, (str, Integral)):
        raise TypeError(f"The 'ids' of write_shards must be str or int. Got {shown(value)} at {i}.")
    return str(value) if isinstance(value, str) else int(value)


def _pieces(blocks: Iterable[Any], dtype: np.dtype) -> Iterator[NDArray]:
    """The rows of all blocks in pieces `(n, ...)` of `dtype`, checked."""
    shape: tuple[int, ...] | None = None
    for i, block in enumerate(blocks):
        width = feature_shape(block)
        if width is None and n_rows(block):
            # Of a list or a Dataset the first row tells how many go into memory.
            width = np.shape(numbers_of(read_rows(block, slice(0, 1))))[1:]
        size = max(1, _BLOCK_VALUES // max(1, math.prod(width or ())))
        for rows, part in row_blocks(block, size):
            array = _numbers(part, i, rows.start)
            shape = array.shape[1:] if shape is None else shape
            if array.shape[1:] != shape:
                raise ValueError(
                    f"The rows of write_shards must have one shape, {shape}. "
                    f"Got {array.shape[1:]} in block {i}, row {rows.start}."
                )
            yield _stored(array, dtype, i, rows.start)


def _numbers(part: Any, block: int, start: int) -> NDArray:
    part = read_rows(part, slice(None))
    array = numbers_of(part)
    if array is not None and array.ndim >= 2:
        return array
    rows = [numbers_of(take_rows(part, slice(i, i + 1))) for i in range(n_rows(part))]
    odd = next((i for i, row in enumerate(rows) if row is None or row.shape != np.shape(rows[0])), 0)
    raise TypeError(
        "The blocks of write_shards must hold rows of numbers, (n, ...), all of one shape. "
        f"Got {shown(take_rows(part, odd))} in block {block}, row {start + odd}."
    )


def _stored(array: NDArray, dtype: np.dtype, block: int, start: int) -> NDArray:
    """`array` as `dtype` holds it; a value that it does not hold, but for the rounding of floats, is an error."""
    with np.errstate(all="ignore"):
        cast = array.astype(dtype, copy=False)
    if np.can_cast(array.dtype, dtype, "safe"):
        return cast
    lost = is_lost(array, cast)
    if lost.any():
        where = np.argwhere(lost)[0]
        raise ValueError(
            f"The blocks of write_shards must hold what {dtype} holds. Got {shown(array[tuple(where)].item())} "
            f"in block {block}, row {start + int(where[0])}: scale the values, or pass another dtype."
        )
    return cast


def _write_all(folder: str, pieces: Iterator[NDArray], ids: Sequence[str | int] | None, dtype: np.dtype) -> None:
    """Shards of equal size, then the ids, then the index that says that all is there."""
    content = hashlib.blake2b(digest_size=20)
    rows: list[int] = []
    buffer, shape, filled, n = np.empty(0, dtype), None, 0, 0
    for piece in pieces:
        if shape is None:
            shape = piece.shape[1:]
            per_shard = max(1, _SHARD_BYTES // max(1, math.prod(shape) * dtype.itemsize))
            buffer = np.empty((per_shard, *shape), dtype)
            content.update(repr((dtype.str, shape)).encode())
        n += len(piece)
        if ids is not None and n > len(ids):
            break
        while len(piece):
            new = min(len(piece), len(buffer) - filled)
            buffer[filled : filled + new] = piece[:new]
            piece, filled = piece[new:], filled + new
            if filled == len(buffer):
                rows.append(_write_shard(folder, len(rows), buffer, content))
                filled = 0
    if n == 0:
        raise ValueError("The 'blocks' of write_shards must hold at least one row. Got none.")
    if ids is not None and n != len(ids):
        raise ValueError(
            f"The 'ids' of write_shards must be as many as the rows. Got {len(ids)} ids for {n}"
            f"{' or more' if n > len(ids) else ''} rows."
        )
    if filled:
        rows.append(_write_shard(folder, len(rows), buffer[:filled], content))
    name = None if ids is None else _write_ids(folder, ids, content)
    index = {
        "format": FORMAT,
        "version": VERSION,
        "dtype": dtype.str,
        "shape": shape,
        "rows": rows,
        "ids": name,
        "content": content.hexdigest(),
    }
    write_atomically(os.path.join(folder, INDEX), json.dumps(index))


def _write_shard(folder: str, i: int, array: NDArray, content: Any) -> int:
    content.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    _write_array(os.path.join(folder, shard_name(i)), array)
    return len(array)


def _write_array(path: str, array: NDArray) -> None:
    with open(path, "wb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())


def _write_ids(folder: str, ids: Sequence[Any], content: Any) -> str:
    if set(map(type, ids)) == {int} and min(ids) >= -(2**63) and max(ids) < 2**63:
        array = np.array(ids, dtype=np.int64)
        content.update(array.data)
        _write_array(os.path.join(folder, "ids.npy"), array)
        return "ids.npy"
    text = json.dumps(ids)
    content.update(text.encode())
    write_atomically(os.path.join(folder, "ids.json"), text)
    return "ids.json"
