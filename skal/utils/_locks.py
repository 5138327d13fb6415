"""Locks that a fork does not leave closed in the child."""

from __future__ import annotations

import os
import threading
from typing import Any

__all__ = ["short_lock"]


def short_lock() -> Any:
    """A reentrant lock to hold for moments: a fork waits until it is open, so that the child gets it open.

    For the life of the process, since what is registered with a fork stays registered.
    """
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
