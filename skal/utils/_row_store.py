"""Rows of numbers found again by the content of the samples they were computed from."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ._rows import n_rows, take_rows

__all__ = ["FeatureStore", "content_keys", "row_keys"]

# What a stored row costs beside its numbers: its key, its array header, its place in the dict.
_ROW_OVERHEAD = 300


class FeatureStore:
    """Rows by key, the least recently used dropped first. Safe to use from several threads."""

    def __init__(self) -> None:
        self._rows: OrderedDict[bytes, NDArray] = OrderedDict()
        self._lock = threading.Lock()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, NDArray]:
        """The rows that are there."""
        with self._lock:
            found = {key: self._rows[key] for key in keys if key in self._rows}
            for key in found:
                self._rows.move_to_end(key)
            return found

    def put(self, rows: Mapping[bytes, NDArray], limit: int) -> None:
        """Add rows, then drop old ones until the whole store needs at most `limit` bytes."""
        with self._lock:
            for key, row in rows.items():
                if key not in self._rows:
                    # A copy: a view would keep its whole batch alive.
                    self._rows[key] = np.array(row)
                    self.nbytes += row.nbytes + _ROW_OVERHEAD
            while self._rows and self.nbytes > limit:
                _, row = self._rows.popitem(last=False)
                self.nbytes -= row.nbytes + _ROW_OVERHEAD

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._rows.clear()
            self.nbytes = 0


def row_keys(prefix: bytes, batch: Any) -> list[bytes]:
    """16 bytes for each row of a numeric array or tensor, or of a dict of these: `prefix`, shape, dtype, content."""
    parts = [batch[key] for key in sorted(batch)] if isinstance(batch, Mapping) else [batch]
    arrays = [part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else part for part in parts]
    head = prefix + repr([(array.shape[1:], array.dtype.str) for array in arrays]).encode()
    keys = []
    for i in range(len(arrays[0])):
        digest = hashlib.blake2b(head, digest_size=16)
        for array in arrays:
            # reshape(-1): a 0-d row has no buffer of bytes
            digest.update(np.ascontiguousarray(array[i]).reshape(-1).view(np.uint8).data)
        keys.append(digest.digest())
    return keys


def content_keys(X: Any) -> list[bytes]:
    """16 bytes for each row of whatever a pool may be; rows of equal content and kind have equal keys."""
    if isinstance(X, pd.DataFrame) and all(kind.kind in "fiub" for kind in X.dtypes if isinstance(kind, np.dtype)):
        X = X.to_numpy()
    if isinstance(X, torch.Tensor) or (isinstance(X, np.ndarray) and X.dtype.kind in "fiubc"):
        return row_keys(b"", X)
    if sp.issparse(X):
        X = X.tocsr().sorted_indices()
    return [hashlib.blake2b(_content(take_rows(X, i)), digest_size=16).digest() for i in range(n_rows(X))]


def _content(sample: Any) -> bytes:
    if isinstance(sample, torch.Tensor):
        sample = sample.detach().cpu().numpy()
    if isinstance(sample, (np.ndarray, np.generic)) and sample.dtype.kind in "fiubc":
        return repr((sample.shape, sample.dtype.str)).encode() + sample.tobytes()
    if sp.issparse(sample):
        return sample.indices.tobytes() + b"|" + sample.data.tobytes()
    if isinstance(sample, dict):
        return b"|".join(repr(key).encode() + _content(value) for key, value in sorted(sample.items()))
    if isinstance(sample, (tuple, list)):
        return b"|".join(_content(part) for part in sample)
    if isinstance(sample, (pd.Series, np.ndarray)):
        sample = sample.tolist()
    return pickle.dumps(sample, protocol=4)
