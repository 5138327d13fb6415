"""Parts of a pool, one after the other, each let go before the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from ...pool import PoolView

__all__ = ["piece_of"]


@contextmanager
def piece_of(pool: PoolView, rows: NDArray[np.integer]) -> Iterator[PoolView]:
    """``pool.part(rows)`` for the length of a block; the pool itself where that is all of it.

    The copies of its rows, and what the model said of them, are free at the end of the block.
    """
    if len(rows) == len(pool):
        yield pool
        return
    part = pool.part(rows)
    try:
        yield part
    finally:
        # The part and its labelled data know each other, which only the garbage collector would find out some day.
        if "labeled" in vars(part):
            del part.labeled
