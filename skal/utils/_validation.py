"""Checks of what a caller hands in: one clear sentence, before any work is done; and how values are shown in it."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

__all__ = ["check_n_instances", "kind_of", "shown"]

_LONGEST = 80


def check_n_instances(n_instances: Any, n_pool: int) -> int:
    """`n_instances` as an int in [1, n_pool]."""
    if isinstance(n_instances, (bool, np.bool_)) or not isinstance(n_instances, numbers.Integral):
        raise TypeError(f"n_instances must be an integer. Got {shown(n_instances)} instead.")
    n_instances = int(n_instances)
    if n_pool == 0:
        raise ValueError("The pool must hold at least one sample. Got an empty pool.")
    if n_instances < 1:
        raise ValueError(f"n_instances must be at least 1. Got {shown(n_instances)} instead.")
    if n_instances > n_pool:
        raise ValueError(
            f"n_instances must be at most the size of the pool, {n_pool}. Got {shown(n_instances)} instead."
        )
    return n_instances


def kind_of(value: Any) -> str:
    """What `value` is, in a word: the name of its type, or None."""
    return "None" if value is None else type(value).__name__


def shown(value: Any) -> str:
    """A value in one short line for a message; arrays and other large things by the name of their type."""
    if hasattr(value, "shape") and getattr(value, "shape", None) != ():
        return type(value).__name__
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whatever a foreign object raises, or an integer of too many digits
        return f"an object of {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."
