"""Features of a frozen backbone, computed once per image and found again by content."""

from __future__ import annotations

import hashlib
import itertools
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..rows import batch_keys
from ..utils._arrays import blocks
from ..utils._compat import tensor_version
from ..utils._validation import shown
from ._store import BlockStore

__all__ = ["STORE", "backbone_features", "fingerprint", "parse_bytes"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_CLASS_NUMBERS: WeakKeyDictionary[type, int] = WeakKeyDictionary()
_COUNTER = itertools.count()
# Of each module: what showed its weights to be as they are, and their digest.
_DIGESTS: WeakKeyDictionary[nn.Module, tuple[Any, bytes]] = WeakKeyDictionary()


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
STORE = BlockStore()


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
    tensors = itertools.chain(module.named_parameters(), module.named_buffers())
    digest.update(_weights_digest(module, {name: tensor.detach() for name, tensor in tensors if outside(name)}))
    digest.update(repr(settings).encode())
    return digest.digest()


def _weights_digest(module: nn.Module, tensors: dict[str, torch.Tensor]) -> bytes:
    """A digest of `tensors` of `module`, made anew where they have changed."""
    # Counters and addresses tell most changes. A write to `.data`, or through an array that shares the memory, is told
    # by the content alone: by a checksum, in a fifth of a digest's time.
    state = [(name, t.data_ptr(), tensor_version(t), tuple(t.shape), str(t.dtype), str(t.device)) for name, t in tensors.items()]
    seen = (state, [zlib.crc32(data) for data in _bytes_of(tensors)])
    known = _DIGESTS.get(module)
    if known is None or known[0] != seen:
        digest = hashlib.blake2b(digest_size=16)
        for (name, tensor), data in zip(tensors.items(), _bytes_of(tensors)):
            digest.update(repr((name, tuple(tensor.shape), str(tensor.dtype))).encode())
            digest.update(data)
        known = _DIGESTS[module] = (seen, digest.digest())
    return known[1]


def _bytes_of(tensors: Mapping[str, torch.Tensor]) -> Iterator[Any]:
    for tensor in tensors.values():
        yield tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


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
    if not limit:
        # Nothing is looked up, so that nothing needs a key.
        return torch.from_numpy(np.concatenate([_run(backbone, batch, None, block) for batch in batches]))
    out: list[NDArray] = []
    since, n, n_found = STORE.clock, 0, 0
    # Rows that found no place, by their keys.
    left: dict[bytes, int] = {}
    for batch in batches:
        keys = batch_keys(prefix, batch)
        where, stored = STORE.get(keys)
        # Of each row of the batch, its place in what is stored and, behind that, new.
        source = np.full(len(keys), -1, dtype=np.int64)
        source[where] = np.arange(len(where))
        # one row for each distinct key that is missing
        missing: dict[bytes, int] = {}
        for i in np.flatnonzero(source < 0).tolist():
            missing.setdefault(keys[i], i)
        parts = [] if stored is None else [stored]
        if missing:
            new = _run(backbone, batch, np.array(list(missing.values()), dtype=np.int64), block)
            new_keys = list(missing)
            for k in STORE.put(new_keys, new, limit).tolist():
                left.setdefault(new_keys[k], n + missing[new_keys[k]])
            number = {key: len(where) + k for k, key in enumerate(new_keys)}
            for i in np.flatnonzero(source < 0).tolist():
                source[i] = number[keys[i]]
            parts.append(new)
        out.append(np.concatenate(parts)[source])
        n, n_found = n + len(keys), n_found + len(where)
    features = np.concatenate(out)
    if left:
        STORE.replace(list(left), features[list(left.values())], limit, since=since, found=n_found > 0)
    return torch.from_numpy(features)


def _run(backbone: Callable[[Any], torch.Tensor], batch: Any, rows: NDArray | None, block: int | None) -> NDArray:
    """What the backbone makes of some rows of a batch, None being all; in pieces of `block` rows."""
    if rows is None:
        rows = np.arange(len(next(iter(batch.values())) if isinstance(batch, Mapping) else batch))
    out = []
    for piece in blocks(len(rows), block or len(rows)):
        wanted = rows[piece]
        padded = np.pad(wanted, (0, block - len(wanted)), mode="edge") if block else wanted
        features = backbone(_take(batch, padded))[: len(wanted)].detach().cpu()
        features = features.float() if features.dtype in (torch.bfloat16, torch.float16) else features
        out.append(features.numpy())
    return np.concatenate(out)


def _take(batch: Any, rows: NDArray) -> Any:
    index = torch.from_numpy(rows)
    return {key: value[index] for key, value in batch.items()} if isinstance(batch, Mapping) else batch[index]
