"""Features of a frozen backbone, computed once per image and found again by content."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..rows import FeatureStore, batch_keys
from ..utils._arrays import blocks
from ..utils._validation import shown

__all__ = ["STORE", "FeatureStore", "backbone_features", "fingerprint", "parse_bytes"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_CLASS_NUMBERS: WeakKeyDictionary[type, int] = WeakKeyDictionary()
_COUNTER = itertools.count()


def parse_bytes(size: Any, owner: str = "DeepClassifier") -> int:
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
        f"The 'feature_cache' parameter of {owner} must be None, a number of bytes or a size such as "
        f"'512MB'. Got {shown(size)} instead."
    )


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
        keys = batch_keys(prefix, batch)
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
