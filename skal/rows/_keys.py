"""Keys of samples by content."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from ._rows import n_rows, take_rows

__all__ = ["batch_keys", "content_keys", "sample_keys"]


def batch_keys(prefix: bytes, batch: Any) -> list[bytes]:
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
        return batch_keys(b"", X)
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


def sample_keys(X: Any) -> list[bytes]:
    """A key for each sample by content; float32 and float64 copies of one sample have the same."""
    if isinstance(X, pd.DataFrame) and all(getattr(kind, "kind", "O") == "f" for kind in X.dtypes):
        X = X.to_numpy()
    if isinstance(X, torch.Tensor) and X.is_floating_point():
        X = X.detach().cpu().float().numpy()
    if not (isinstance(X, np.ndarray) and X.dtype.kind == "f" and X.size):
        return content_keys(X)
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(X, dtype=np.float32).reshape(len(X), -1)
    # Slices of one buffer, and the digest that processors have instructions for: this is much of a query's time.
    data, width = rows.data.cast("B"), rows.shape[1] * rows.itemsize
    starts = range(0, len(data), width)
    return [hashlib.sha1(data[i : i + width], usedforsecurity=False).digest() for i in starts]
