"""Descriptors of a pool from a transformer: fitted once, computed once for each sample, found again by content."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...models import interrupts_pass
from ...rows import FeatureStore, row_keys, take_rows
from ...utils._random import seeded_clone

__all__ = ["Descriptor", "descriptors_of"]


_LIMIT = 256 * 2**20  # bytes of descriptors that are kept


class Descriptor:
    """A fitted clone of a transformer, and the descriptors it has made so far.

    A pickle keeps the fitted clone, so that an interrupted run goes on as it would have, but not the descriptors.

    Parameters
    ----------
    transformer : transformer
        It is cloned, never fitted itself.
    X : n samples of any kind
        What the clone is fitted on.
    seed : int
        Of each of its `random_state` parameters that is None.
    by : str
        Who asks, for messages.
    """

    def __init__(self, transformer: Any, X: Any, seed: int, by: str) -> None:
        with interrupts_pass():
            self._fitted = seeded_clone(transformer, seed).fit(X)
        self._seen = np.sort(_numbers(row_keys(X)))
        self._by = by
        self._store = FeatureStore()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_store"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._store = FeatureStore()

    def knows(self, keys: list[bytes]) -> bool:
        """Whether at least half of the samples with these keys were there to be fitted on: no new pool, but one that
        shrinks or grows."""
        return bool(2 * np.isin(_numbers(keys), self._seen).sum() >= len(keys))

    def of(self, X: Any, idx: NDArray[Any], keys: list[bytes]) -> NDArray:
        """Descriptors `(len(idx), d)` of the rows `idx` of the pool `X`, whose content is `keys`."""
        found = self._store.get(keys)
        missing = {key: i for key, i in zip(keys, idx.tolist(), strict=True) if key not in found}
        if missing:
            rows = self._fitted.transform(take_rows(X, np.array(list(missing.values()))))
            new = dict(zip(missing, _checked(rows, len(missing), self._fitted, self._by), strict=True))
            self._store.put(new, _LIMIT)
            found |= new
        return np.stack([found[key] for key in keys])


def descriptors_of(pool: Any, idx: NDArray[Any], transformer: Any, seed: int, by: str) -> NDArray:
    """Descriptors `(len(idx), d)` of samples of a pool; the fitted transformer is kept in the pool's memory.

    It is fitted on the whole pool, also where a part of it is asked for, and anew where its parameters have changed, or
    more than half of the rows asked for are new to it.
    """
    keys = row_keys(take_rows(pool.X, idx))
    descriptor = pool.memory.recall(
        f"descriptor of {by}",
        _params(transformer),
        lambda: Descriptor(transformer, pool.whole.X, seed, by),
        serves=lambda known: known.knows(keys),
    )
    return descriptor.of(pool.X, idx, keys)


def _params(transformer: Any) -> dict[str, Any]:
    own = transformer.get_params(deep=True) if hasattr(transformer, "get_params") else {"": transformer}
    return {"class": type(transformer).__qualname__, **own}


def _numbers(keys: list[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(key[:8] for key in keys), dtype=np.uint64)


def _checked(rows: Any, n: int, transformer: Any, by: str) -> NDArray:
    rows = np.asarray(rows.toarray() if sp.issparse(rows) else rows)
    if rows.ndim < 2 or len(rows) != n or rows.dtype.kind not in "fiub" or not np.isfinite(rows).all():
        raise ValueError(
            f"The 'descriptor' of {by} must turn {n} samples into {n} rows of finite numbers. "
            f"{type(transformer).__name__} returned shape {rows.shape} of dtype {rows.dtype}."
        )
    return rows.reshape(n, -1)
