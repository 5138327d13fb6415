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
from ..utils._torch import CHUNK
from ..utils._validation import shown
from ._backbone import ORIGINS
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
    state = [
        (name, t.data_ptr(), tensor_version(t), tuple(t.shape), str(t.dtype), str(t.device))
        for name, t in tensors.items()
    ]
    seen = (state, [zlib.crc32(data) for data in _bytes_of(tensors)])
    known, origin = _DIGESTS.get(module), ORIGINS.get(module)
    if known is None and origin is not None and origin.hashed is not None and origin.hashed[0] == seen[1]:
        # A copy of what has been hashed, as it was made.
        known = _DIGESTS[module] = (seen, origin.hashed[1])
    if known is None or known[0] != seen:
        digest = hashlib.blake2b(digest_size=16)
        for (name, tensor), data in zip(tensors.items(), _bytes_of(tensors)):
            digest.update(repr((name, tuple(tensor.shape), str(tensor.dtype))).encode())
            digest.update(data)
        known = _DIGESTS[module] = (seen, digest.digest())
        if origin is not None and origin.hashed is None:
            origin.hashed = (seen[1], known[1])
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
    keyed: Callable[[Any], Any] = lambda batch: batch,
) -> torch.Tensor:
    """Features of all rows, in order; the backbone sees only rows whose features are not stored.

    With `block`, the backbone always sees exactly that many rows (the last ones repeated): matrix products
    round differently for different batch sizes, and a result must not depend on what happens to be stored.
    `keyed` gives what the keys of a batch are made of. From an accelerator features come in pieces of `CHUNK` bytes.
    """
    runs, found, since = _Runs(backbone, block), False, STORE.clock
    # Of each row its key, where there is a store: without one, nothing needs a key.
    keys: list[bytes] = []
    # Positions and their features; positions that found no place in the store.
    pieces: list[tuple[NDArray, NDArray]] = []
    left: list[int] = []
    # Of each missing key its first position; of each further position, the first one.
    first: dict[bytes, int] = {}
    again: dict[int, int] = {}

    # On an accelerator, what waits to be copied.
    waiting: list[tuple[NDArray, torch.Tensor]] = []

    def keep(done: list[tuple[NDArray, torch.Tensor]], *, is_last: bool = False) -> None:
        on_host = [(at, features) for at, features in done if features.device.type == "cpu"]
        waiting.extend(piece for piece in done if piece[1].device.type != "cpu")
        if waiting and (is_last or sum(features.nbytes for _, features in waiting) >= CHUNK):
            positions, several = zip(*waiting)
            on_host.append((np.concatenate(positions), torch.cat(several).cpu()))
            waiting.clear()
        for at, features in on_host:
            pieces.append((at, features.numpy()))
            if limit:
                left.extend(at[STORE.put([keys[i] for i in at.tolist()], features.numpy(), limit)].tolist())

    n = 0
    for batch in batches:
        at = np.arange(n, n + _size(batch))
        if limit:
            keys += batch_keys(prefix, keyed(batch))
            where, stored = STORE.get(keys[n:])
            if stored is not None:
                pieces.append((at[where], stored))
                found = True
            missing = np.delete(at, where).tolist()
            again |= {i: first[keys[i]] for i in missing if first.setdefault(keys[i], i) != i}
            at = np.array([i for i in missing if i not in again], dtype=np.int64)
        if len(at):
            keep(runs.add(at, _take(batch, at - n)))
        n += _size(batch)
    keep(runs.finish(), is_last=True)

    features = np.empty((n, *pieces[0][1].shape[1:]), dtype=pieces[0][1].dtype)
    for at, values in pieces:
        features[at] = values
    features[list(again)] = features[list(again.values())]
    if left:
        STORE.replace([keys[i] for i in left], features[left], limit, since=since, found=found)
    return torch.from_numpy(features)


class _Runs:
    """Runs a backbone over rows as they come, `block` of them at a time, or as many as come at once."""

    def __init__(self, backbone: Callable[[Any], torch.Tensor], block: int | None) -> None:
        self._backbone, self._block = backbone, block
        # What waits for a full block, and its positions.
        self._rows: Any = None
        self._at = np.empty(0, dtype=np.int64)

    def add(self, at: NDArray, rows: Any) -> list[tuple[NDArray, torch.Tensor]]:
        """Take rows of the positions `at`; positions and features of those that were run."""
        done = []
        if len(self._at) and _shape(self._rows) != _shape(rows):
            done = self.finish()
        self._rows = _joined(self._rows, rows) if len(self._at) else rows
        self._at = np.concatenate([self._at, at])
        size = self._block or len(self._at)
        n = len(self._at) // size * size
        done += [self._run(np.arange(n)[piece]) for piece in blocks(n, size)]
        self._rows, self._at = _take(self._rows, np.arange(n, len(self._at))), self._at[n:]
        return done

    def finish(self) -> list[tuple[NDArray, torch.Tensor]]:
        """Run what waits."""
        done = [self._run(np.arange(len(self._at)))] if len(self._at) else []
        self._rows, self._at = None, self._at[:0]
        return done

    def _run(self, rows: NDArray) -> tuple[NDArray, torch.Tensor]:
        padded = np.pad(rows, (0, self._block - len(rows)), mode="edge") if self._block else rows
        features = self._backbone(_take(self._rows, padded))[: len(rows)].detach()
        return self._at[rows], features.float() if features.dtype in (torch.bfloat16, torch.float16) else features


def _size(batch: Any) -> int:
    return len(next(iter(batch.values())) if isinstance(batch, Mapping) else batch)


def _shape(batch: Any) -> Any:
    return {key: value.shape[1:] for key, value in batch.items()} if isinstance(batch, Mapping) else batch.shape[1:]


def _joined(a: Any, b: Any) -> Any:
    return {key: torch.cat([a[key], b[key]]) for key in a} if isinstance(a, Mapping) else torch.cat([a, b])


def _take(batch: Any, rows: NDArray) -> Any:
    index = torch.from_numpy(rows)
    return {key: value[index] for key, value in batch.items()} if isinstance(batch, Mapping) else batch[index]
