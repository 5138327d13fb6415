"""Rows that come batch by batch, as one array of the host, or as one tensor where the model lives."""

from __future__ import annotations

from typing import Any

import torch

from ..utils._torch import CHUNK

__all__ = ["Collected"]


class Collected:
    """The rows of one output of a pass over `n` samples.

    From an accelerator they are copied in pieces of some `CHUNK` bytes, since each copy waits for all that is under
    way; or not at all, where all of them together take at most `room` bytes there.

    Attributes
    ----------
    values : torch.Tensor of shape (n, ...)
        Undefined where not all rows have come yet.
    n_added : int
        Rows that have come.
    nbytes_there : int
        What `values` takes of the accelerator.
    """

    def __init__(self, n: int, room: int) -> None:
        self._n, self._room = n, room
        self._n_copied = self._n_waiting = self.n_added = self.nbytes_there = 0
        self._waiting: Any = None
        self.values: Any = None

    def add(self, rows: torch.Tensor) -> None:
        """The next rows, which are copied at once: they may be a part of something large."""
        if self.values is None:
            self._begin(rows)
        self.n_added += len(rows)
        if self.n_added > self._n:
            return
        if self._waiting is None:
            self.values[self._n_copied : self._n_copied + len(rows)] = rows
            self._n_copied += len(rows)
            return
        while len(rows):
            free = len(self._waiting) - self._n_waiting
            now, rows = rows[:free], rows[free:]
            self._waiting[self._n_waiting : self._n_waiting + len(now)] = now
            self._n_waiting += len(now)
            if self._n_waiting == len(self._waiting) or self._n_copied + self._n_waiting == self._n:
                stop = self._n_copied + self._n_waiting
                self.values[self._n_copied : stop] = self._waiting[: self._n_waiting]
                self._n_copied, self._n_waiting = stop, 0

    def _begin(self, rows: torch.Tensor) -> None:
        # NumPy has no bfloat16.
        dtype = torch.float32 if rows.dtype.itemsize < 4 else rows.dtype
        row_bytes = max(1, dtype.itemsize * rows[0].numel())
        is_on_host = rows.device.type == "cpu"
        stays = is_on_host or self._n * row_bytes <= self._room
        # One tensor of all: small ones that outlive their batch would keep the large ones of the heap apart. It is good
        # for training, too, whatever the mode of the pass.
        with torch.inference_mode(False):
            self.values = torch.empty((self._n, *rows.shape[1:]), dtype=dtype, device=rows.device if stays else "cpu")
            if not stays:
                n_rows = min(self._n, max(1, CHUNK // row_bytes))
                self._waiting = torch.empty((n_rows, *rows.shape[1:]), dtype=dtype, device=rows.device)
        self.nbytes_there = 0 if is_on_host or not stays else self.values.nbytes
