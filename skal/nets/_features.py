"""Features of a frozen backbone, computed once per image and found again by content."""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skal.utils._arrays import blocks

__all__ = ["STORE", "FeatureStore", "backbone_features", "fingerprint", "parse_bytes"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
# What a stored row costs beside its numbers: its key, its array header, its place in the dict.
_ROW_OVERHEAD = 300
_CLASS_NUMBERS: WeakKeyDictionary[type, int] = WeakKeyDictionary()
_COUNTER = itertools.count()


def parse_bytes(size: Any) -> int:
    """Bytes of "512MB", "2 GiB", an integer, or None (0)."""
    if size is None:
        return 0
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 0:
        return int(size)
    if isinstance(size, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?I?B?)\s*", size.upper())
        if match and match[2] in _UNITS:
            return int(float(match[1]) * _UNITS[match[2]])
    raise ValueError(
        "The 'feature_cache' parameter of DeepClassifier must be None, a number of bytes or a size such as "
        f"'512MB'. Got {size!r} instead."
    )


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


# One for the process: clones (each round's, each grid point's) share what the same backbone has computed.
STORE = FeatureStore()


def _class_number(kind: type) -> int:
    # A class defined anew under an old name may compute something else: its identity counts, not its name.
    return _CLASS_NUMBERS.setdefault(kind, next(_COUNTER))


def fingerprint(module: nn.Module, head_name: str, *settings: Any) -> bytes:
    """16 bytes that change with anything the backbone (all of `module` but its head) computes with."""
    digest = hashlib.blake2b(digest_size=16)

    def outside(name: str) -> bool:
        return name != head_name and not name.startswith(f"{head_name}.")

    for name, part in module.named_modules():
        if outside(name):
            plain = {
                key: value
                for key, value in vars(part).items()
                if not key.startswith("_")
                and key != "training"
                and isinstance(value, (bool, int, float, str, tuple, type(None)))
            }
            digest.update(repr((name, _class_number(type(part)), part.extra_repr(), plain)).encode())
    for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers()):
        if outside(name):
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(repr((name, tuple(tensor.shape), str(tensor.dtype))).encode())
            digest.update(flat.view(torch.uint8).numpy().data)
    digest.update(repr(settings).encode())
    return digest.digest()


def _row_keys(prefix: bytes, batch: Any) -> list[bytes]:
    parts = [batch[key] for key in sorted(batch)] if isinstance(batch, Mapping) else [batch]
    arrays = [np.ascontiguousarray(part.detach().cpu().numpy()) for part in parts]
    head = prefix + repr([(array.shape[1:], array.dtype.str) for array in arrays]).encode()
    keys = []
    for i in range(len(arrays[0])):
        digest = hashlib.blake2b(head, digest_size=16)
        for array in arrays:
            # reshape(-1): a 0-d row has no buffer of bytes
            digest.update(array[i].reshape(-1).view(np.uint8).data)
        keys.append(digest.digest())
    return keys


def _take(batch: Any, rows: NDArray) -> Any:
    index = torch.from_numpy(rows)
    return {key: value[index] for key, value in batch.items()} if isinstance(batch, Mapping) else batch[index]


def backbone_features(
    batches: Iterable[Any],
    backbone: Callable[[Any], torch.Tensor],
    prefix: bytes,
    *,
    limit: int,
    block: int | None,
) -> torch.Tensor:
    """Features of all rows, in order; the backbone sees only rows whose features are not stored.

    With `block`, the backbone always sees exactly that many rows (the last ones repeated): matrix products
    round differently for different batch sizes, and a result must not depend on what happens to be stored.
    """
    out: list[NDArray] = []
    for batch in batches:
        keys = _row_keys(prefix, batch)
        found = STORE.get(keys) if limit else {}
        # one row for each distinct key that is missing
        missing = {key: i for i, key in reversed(list(enumerate(keys))) if key not in found}
        new_keys, rows = list(missing), np.array(list(missing.values()), dtype=np.int64)
        new: dict[bytes, NDArray] = {}
        for piece in blocks(len(rows), block or len(rows)):
            wanted = rows[piece]
            padded = np.pad(wanted, (0, block - len(wanted)), mode="edge") if block else wanted
            features = backbone(_take(batch, padded))[: len(wanted)].detach().cpu()
            features = features.float() if features.dtype in (torch.bfloat16, torch.float16) else features
            new.update(zip(new_keys[piece], features.numpy()))
        if limit:
            STORE.put(new, limit)
        out.append(np.stack([found[key] if key in found else new[key] for key in keys]))
    return torch.from_numpy(np.concatenate(out))
