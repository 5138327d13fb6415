"""What outlives one query: the one place where it is kept, with the learner that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import joblib
import numpy as np

__all__ = ["Memory", "memory_of"]

T = TypeVar("T")

_ENTRIES = 8  # of one owner with different settings


class Memory:
    """Values found again by who keeps them and by the settings that they were made with.

    Parameters
    ----------
    keeps : bool, default=True
        Whether anything is kept. A classifier without a learner has nowhere to keep it.

    Notes
    -----
    Settings are the same where they are the same objects, equal plain values, or equal in content (`joblib.hash`), so
    that a memory which was pickled without its strategy is found by a new one.
    """

    def __init__(self, *, keeps: bool = True) -> None:
        self.keeps = keeps
        self.changes = 0  # how often something was kept, for those who save it
        self._entries: dict[str, list[tuple[dict[str, Any], Any]]] = {}

    def recall(
        self,
        owner: str,
        settings: Mapping[str, Any],
        make: Callable[[], T],
        *,
        serves: Callable[[T], bool] | None = None,
    ) -> T:
        """What `owner` keeps under `settings`; made, and kept, where there is none or where it no longer `serves`.

        Parameters
        ----------
        owner : str
            Who keeps it, such as the name of a strategy's class.
        settings : mapping of str to object
            What the value depends on, besides the data.
        make : callable
            Makes the value.
        serves : callable, optional
            Whether a value that was found may still be used.

        Returns
        -------
        object
            The value.
        """
        for known, value in self._entries.get(owner, []):
            if _same(known, settings) and (serves is None or serves(value)):
                return value
        value = make()
        self.keep(owner, settings, value)
        return value

    def keep(self, owner: str, settings: Mapping[str, Any], value: Any) -> None:
        """Keep `value` in the place of what `owner` has under `settings`."""
        if not self.keeps:
            return
        others = [entry for entry in self._entries.get(owner, []) if not _same(entry[0], settings)]
        # A new list: one that was saved for a failing query stays as it was.
        self._entries[owner] = [(dict(settings), value), *others][:_ENTRIES]
        self.changes += 1

    @contextmanager
    def unchanged_on_error(self) -> Iterator[None]:
        """Forget what was kept in a block that fails."""
        before = dict(self._entries)
        try:
            yield
        except BaseException:
            self._entries = before
            raise


def _same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)


def _equal(first: Any, second: Any) -> bool:
    if first is second or type(first) is not type(second):
        return first is second
    if isinstance(first, (bool, int, float, str, bytes, np.integer, np.floating)):
        return bool(first == second)
    try:
        return joblib.hash(first) == joblib.hash(second)
    except Exception:  # whatever a foreign object raises when it is pickled
        return False


# Of learners that have none of their own, such as modAL's.
_MEMORIES: WeakKeyDictionary[Any, Memory] = WeakKeyDictionary()


def memory_of(learner: Any) -> Memory:
    """The memory of a learner that keeps none itself; as long as it lives."""
    return _MEMORIES.setdefault(learner, Memory())
