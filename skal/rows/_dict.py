"""Dicts of inputs: one container for each name, all with the same rows; skorch's SliceDict among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._generics import (
    as_index,
    comes_in_batches,
    feature_shape,
    is_finite,
    n_rows,
    numbers_of,
    read_rows,
    row_bytes,
    row_keys,
    sendable,
    stack_rows,
    take_rows,
)
from ._keys import content, digest

__all__ = ["rebuilt"]


def rebuilt(X: Any, values: dict[Any, Any]) -> Any:
    """A mapping of the kind of `X`, some of which take their values as keywords."""
    for make in (lambda: type(X)(values), lambda: type(X)(**values)):
        try:
            return make()
        except TypeError:
            continue
    return values


@n_rows.register(Mapping)
def _(X: Any) -> int:
    sizes = {key: n_rows(X[key]) for key in X}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"All values of a dict of inputs must have the same number of rows. Got {sizes}.")
    return next(iter(sizes.values()))


@take_rows.register(Mapping)
def _(X: Any, idx: Any) -> Any:
    idx = as_index(idx, n_rows(X))
    rows = {key: take_rows(X[key], idx) for key in X}
    # One sample has no rows, which some kinds of dict insist on.
    return rows if np.ndim(idx) == 0 and not isinstance(idx, slice) else rebuilt(X, rows)


@read_rows.register(Mapping)
def _(X: Any, idx: Any) -> Any:
    return {key: read_rows(X[key], idx) for key in X}


@comes_in_batches.register(Mapping)
def _(X: Any) -> bool:
    return all(comes_in_batches(X[key]) for key in X)


@row_bytes.register(Mapping)
def _(X: Any) -> int:
    return sum(row_bytes(X[key]) for key in X)


@sendable.register(Mapping)
def _(X: Any) -> Any:
    return rebuilt(X, {key: sendable(X[key]) for key in X})


@stack_rows.register(Mapping)
def _(first: Any, second: Any) -> Any:
    if not isinstance(second, Mapping) or set(first) != set(second):
        raise ValueError(f"New samples must be a dict with the keys {sorted(first)}, as the labelled ones are.")
    return rebuilt(first, {key: stack_rows(first[key], second[key]) for key in first})


@is_finite.register(Mapping)
def _(X: Any) -> bool:
    return all(is_finite(X[key]) for key in X)


@row_keys.register(Mapping)
def _(X: Any) -> list[bytes]:
    names = sorted(X, key=repr)
    parts = [row_keys(X[name]) for name in names]
    return [digest(content(names) + b"".join(keys)) for keys in zip(*parts)]


@feature_shape.register(Mapping)
@numbers_of.register(Mapping)
def _(X: Any) -> None:
    return None
