"""Checks of what a caller hands in: one clear sentence, before any work is done."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

__all__ = ["check_n_instances", "shown"]


def check_n_instances(n_instances: Any, n_pool: int) -> int:
    """`n_instances` as an int in [1, n_pool]."""
    if isinstance(n_instances, (bool, np.bool_)) or not isinstance(n_instances, numbers.Integral):
        raise TypeError(f"n_instances must be an integer. Got {n_instances!r} instead.")
    n_instances = int(n_instances)
    if n_pool == 0:
        raise ValueError("The pool must hold at least one sample. Got an empty pool.")
    if n_instances < 1:
        raise ValueError(f"n_instances must be at least 1. Got {n_instances} instead.")
    if n_instances > n_pool:
        raise ValueError(f"n_instances must be at most the size of the pool, {n_pool}. Got {n_instances} instead.")
    return n_instances


def shown(value: Any) -> str:
    """A value in one short line for a message; arrays and other large things by the name of their type."""
    if isinstance(value, numbers.Integral) and abs(int(value)) >= 10**20:
        return "a very large integer"
    is_small = value is None or isinstance(value, (str, bytes, tuple, list, numbers.Number))
    return " ".join(repr(value).split())[:60] if is_small else type(value).__name__
