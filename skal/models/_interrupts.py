"""Ctrl-C comes out of a network's training, which skorch would take for its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import skorch.callbacks.training
import skorch.net

from ..utils._locks import short_lock

__all__ = ["interrupts_pass"]

_LOCK = short_lock()
_inside = 0


class _EarlyStop(KeyboardInterrupt):
    """What skorch's own callbacks end a training with."""


@contextmanager
def interrupts_pass() -> Iterator[None]:
    """Let KeyboardInterrupt out of the training of any skorch net inside, clones and members of searches included.

    skorch ends a training by an exception of the same name, in `EarlyStopping`, and catches that and Ctrl-C alike.
    Inside, its two modules know by this name what stops early alone.
    """
    global _inside
    with _LOCK:
        _inside += 1
        _name_in_skorch(_EarlyStop)
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if not _inside:
                _name_in_skorch(None)


def _name_in_skorch(kind: type[KeyboardInterrupt] | None) -> None:
    """What skorch means by `KeyboardInterrupt`; None is Python's own."""
    for module in (skorch.net, skorch.callbacks.training):
        if kind is not None:
            vars(module)["KeyboardInterrupt"] = kind
        else:
            vars(module).pop("KeyboardInterrupt", None)
