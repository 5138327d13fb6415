"""Descriptors of a pool from a transformer: fitted once, computed once for each sample, found again by content."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone

from ...rows import row_keys, take_rows
from ...utils._store import FeatureStore

__all__ = ["DescriptorMemory"]


_LIMIT = 256 * 2**20  # bytes of descriptors that are kept


class DescriptorMemory:
    """A fitted clone of a transformer, and the descriptors it has made so far.

    The clone is fitted on the first pool it meets. It is fitted anew where its parameters have changed, or where more
    than half of the rows asked for were not in the pool it was fitted on: a new pool, not one that shrinks or grows.
    A pickle keeps the fitted clone, so that an interrupted run goes on as it would have, but not the descriptors.
    """

    def __init__(self) -> None:
        self._params: dict[str, Any] | None = None
        self._fitted: Any = None
        self._seen = np.empty(0, dtype=np.uint64)
        self._store = FeatureStore()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_store"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._store = FeatureStore()

    def descriptors(self, transformer: Any, X: Any, idx: NDArray[Any], seed: int, by: str) -> NDArray:
        """Descriptors `(len(idx), d)` of the rows `idx` of the pool `X`.

        Parameters
        ----------
        transformer : transformer
            It is cloned, never fitted itself; `seed` goes into each of its `random_state` parameters that is None.
        X : n samples of any kind
        idx : ndarray of positions in X
        seed : int
        by : str
            Who asks, for messages.
        """
        keys = row_keys(take_rows(X, idx))
        known = np.isin(_numbers(keys), self._seen)
        if self._fitted is None or not _same(self._params, _params(transformer)) or 2 * known.sum() < len(keys):
            fitted = _seeded_clone(transformer, seed).fit(X)
            self._seen = np.sort(_numbers(row_keys(X)))
            self._params, self._fitted, self._store = _params(transformer), fitted, FeatureStore()
        found = self._store.get(keys)
        missing = {key: i for key, i in zip(keys, idx.tolist()) if key not in found}
        if missing:
            rows = self._fitted.transform(take_rows(X, np.array(list(missing.values()))))
            new = dict(zip(missing, _checked(rows, len(missing), transformer, by)))
            self._store.put(new, _LIMIT)
            found |= new
        return np.stack([found[key] for key in keys])


def _params(transformer: Any) -> dict[str, Any]:
    return transformer.get_params(deep=True) if hasattr(transformer, "get_params") else {"": transformer}


def _same(first: dict[str, Any] | None, second: dict[str, Any]) -> bool:
    """Whether both hold the same parameters: the same objects, or equal plain values."""
    plain = (str, int, float, bool, tuple)

    def equal(a: Any, b: Any) -> bool:
        return a is b or (type(a) is type(b) and isinstance(a, plain) and a == b)

    return first is not None and first.keys() == second.keys() and all(equal(first[k], second[k]) for k in second)


def _seeded_clone(transformer: Any, seed: int) -> Any:
    twin = clone(transformer, safe=False)
    unset = [
        name
        for name, value in (twin.get_params(deep=True) if hasattr(twin, "get_params") else {}).items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    ]
    return twin.set_params(**dict.fromkeys(unset, seed)) if unset else twin


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
