"""Work on blocks of rows: one after the other, or through joblib under the caller's context."""

from __future__ import annotations

import math
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

import cloudpickle
import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..exceptions import PoolCapabilityError, SkalError
from ..utils._arrays import blocks
from ..utils._validation import shown
from ._generics import comes_in_batches, give_back, n_rows, opener, row_blocks, row_bytes, sendable, take_rows

__all__ = ["block_rows", "gather", "in_blocks", "n_workers"]

T = TypeVar("T")

# A block: rows at most, and bytes of its samples as float64, roughly.
_ROWS, _BYTES = 65_536, 64 << 20
# Rows below which a model that takes microseconds for each is not worth another process.
_FEW = 4_096
_QUIET = 3.0  # seconds of work before a bar is shown
# What the backends of joblib raise when a worker has died, besides the standard library's error.
_DEATHS = {"KilledWorker", "FutureCancelledError", "CancelledError", "CommClosedError", "WorkerCrashedError"}
# In a worker, of each of its threads: the work that it was sent last.
_HELD = threading.local()


def n_workers() -> int:
    """How many workers the context of joblib gives; 1 without a context."""
    return joblib.effective_n_jobs(None)


def block_rows(X: Any, batch: int, *, is_copied: bool) -> int:
    """Rows of a block of `X`: a whole number of a model's own batches, which then are the same as of `X` in one piece.

    Parameters
    ----------
    X : container of n samples
    batch : int >= 1
        Rows that the model works on at once; 1 of what computes each row by itself.
    is_copied : bool
        Whether something is made of a whole block before the model sees it.
    """
    # A network takes a batch at a time of what lies there, and its cache of features likes a pass in one piece.
    is_free = batch > 1 and not is_copied and comes_in_batches(X)
    size = _ROWS if is_free else min(_ROWS, _BYTES // max(1, row_bytes(X)))
    if (n := n_workers()) > 1:
        # Enough for each worker to have several.
        size = min(size, max(-(-n_rows(X) // (4 * n)), batch if batch > 1 else _FEW))
    return max(1, -(-size // batch)) * batch


def in_blocks(
    work: Callable[[slice, Any], T], X: Any, size: int, *, parallel: bool, verbose: bool = False
) -> Iterator[tuple[slice, T]]:
    """``work(rows, block)`` of each block of `X`, in order.

    Parameters
    ----------
    work : callable
        With `parallel`, what can be pickled; it travels once to each worker.
    X : container of n samples
        With `parallel`, memory maps and Datasets travel with `work`; of all else each block travels by itself.
    size : int >= 1
        Samples in a block.
    parallel : bool
        Whether the workers of joblib's context do it.
    verbose : bool, default=False
        Whether to show a bar on standard error, once it takes some seconds.

    Yields
    ------
    rows : slice
        Where the block stands in `X`.
    answer : object

    Raises
    ------
    ValueError
        A `size` that is none, at once.
    SkalError
        A worker died; says at which rows.
    Exception
        Whatever `work` raises, told of which rows.
    """
    if not isinstance(size, Integral) or size < 1:
        raise ValueError(f"The 'block_size' of a pool must be an int of at least 1. Got {shown(size)} instead.")
    n = n_rows(X)
    return _seen(_by_workers(work, X, size, n) if parallel else _one_by_one(work, X, size, n), n, verbose)


def _seen(answers: Iterator[tuple[slice, T]], n: int, verbose: bool) -> Iterator[tuple[slice, T]]:
    with tqdm(total=n, unit=" samples", delay=_QUIET, leave=False, disable=not verbose) as bar:
        for rows, answer in answers:
            yield rows, answer
            bar.update(rows.stop - rows.start)


def _one_by_one(work: Callable[[slice, Any], T], X: Any, size: int, n: int) -> Iterator[tuple[slice, T]]:
    for rows, block in row_blocks(X, size):
        with _told(rows, n):
            answer = work(rows, block)
        yield rows, answer


def _by_workers(work: Callable[[slice, Any], T], X: Any, size: int, n: int) -> Iterator[tuple[slice, T]]:
    open = opener(X)
    parts: Iterator[tuple[slice, Any]] = ((rows, None) for rows in blocks(n, size))
    if open is None:
        parts = ((rows, sendable(block)) for rows, block in row_blocks(X, size))
    try:
        # An array, which the backends send once, or as a file, where it is large.
        packed = np.frombuffer(cloudpickle.dumps((work, open)), dtype=np.uint8)
    except Exception as error:  # whatever a foreign object raises when it is pickled
        raise TypeError(
            f"What goes to other processes must be picklable: {error}. Query outside joblib's context instead."
        ) from error
    # After an interruption a worker may still write its mark.
    with tempfile.TemporaryDirectory(prefix="skal-", ignore_cleanup_errors=True) as folder:
        tasks = (joblib.delayed(_at_worker)(packed, folder, rows, part, n) for rows, part in parts)
        answers = joblib.Parallel(return_as="generator", batch_size=1)(tasks)
        try:
            yield from answers
        except Exception as error:
            if not isinstance(error, BrokenExecutor) and type(error).__name__ not in _DEATHS:
                raise
            at_work = " or ".join(sorted((path.name for path in Path(folder).iterdir()), key=_first_number))
            raise SkalError(
                f"A worker process died at work on rows {at_work or f'up to {n - 1}'} of the pool: it was killed, or "
                "needed more memory than there was. Nothing has changed."
            ) from error
        finally:
            answers.close()


def _first_number(name: str) -> int:
    return int(name.split()[0])


def _at_worker(packed: NDArray[np.uint8], folder: str, rows: slice, part: Any, n: int) -> tuple[slice, Any]:
    """In a worker; `folder` is the call's own, and names the work."""
    if getattr(_HELD, "folder", None) != folder:
        work, open = cloudpickle.loads(packed.data)
        _HELD.work, _HELD.X, _HELD.folder = work, None if open is None else open(), folder
    mark = Path(folder, f"{rows.start} to {rows.stop - 1}")
    # For who must say what a dead worker was at; there is no such folder on another machine.
    with suppress(OSError):
        mark.touch()
    try:
        with _told(rows, n):
            return rows, _HELD.work(rows, take_rows(_HELD.X, rows) if part is None else part)
    finally:
        if part is None:
            # joblib takes pages of files that a worker has read for a leak, and starts another one.
            give_back(_HELD.X, rows)
        with suppress(OSError):
            mark.unlink()


@contextmanager
def _told(rows: slice, n: int) -> Iterator[None]:
    """Say of an error in which rows it happened, where there are others."""
    try:
        yield
    except PoolCapabilityError:
        # The model lacks it for all rows.
        raise
    except Exception as error:
        if rows.stop - rows.start < n:
            where = f"in rows {rows.start} to {rows.stop - 1} of the pool"
            if len(error.args) == 1 and isinstance(error.args[0], str) and str(error) == error.args[0]:
                error.args = (f"{error.args[0].rstrip('.')}, {where}.",)
            else:
                error.add_note(f"This happened {where}.")
        raise


def gather(pieces: Iterable[tuple[slice, Mapping[str, NDArray]]], n: int, limit: float) -> dict[str, NDArray]:
    """Pieces of arrays of `n` rows put together by name; what takes more than `limit` bytes, in a file of no name.

    Raises `ValueError` where a piece has rows of another shape, which NumPy might stretch.
    """
    whole: dict[str, NDArray] = {}
    for rows, piece in pieces:
        for name, values in piece.items():
            if name not in whole:
                whole[name] = _place_for((n, *values.shape[1:]), values.dtype, limit)
            if values.shape[1:] != whole[name].shape[1:]:
                raise ValueError(
                    f"The {name} of all samples must have one shape, {whole[name].shape[1:]}. Got {values.shape[1:]} "
                    f"in rows {rows.start} to {rows.stop - 1} of the pool."
                )
            if not np.can_cast(values.dtype, whole[name].dtype):
                whole[name] = whole[name].astype(np.result_type(values.dtype, whole[name].dtype))
            whole[name][rows] = values
    return whole


def _place_for(shape: tuple[int, ...], dtype: np.dtype, limit: float) -> NDArray:
    if math.prod(shape) * dtype.itemsize <= limit:
        return np.empty(shape, dtype)
    # The file is gone from the disk with the array, whatever ends the process.
    with tempfile.TemporaryFile(prefix="skal-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)
