"""All or nothing: what fails, or is interrupted, leaves learner, estimator and strategy as they were."""

from __future__ import annotations

import array
import copy
import enum
import functools
import io
import pickle
import random
import socket
import threading
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator

from ..pool import Memory
from ..utils._compat import GLOBAL_GENERATORS
from ._labels import LabeledSet

__all__ = ["LARGEST_IN_QUERY", "Snapshot", "unchanged_on_error"]

# Bytes of the largest array that is copied where nothing is trained, and an array that changes is a strategy's own.
LARGEST_IN_QUERY = 2**20

# Looked at and passed over: what never changes, and what is another's.
_ATOMS = (
    type(None), bool, int, float, complex, str, bytes, range, slice, type(...), type(NotImplemented), type, enum.Enum,
    np.generic, np.dtype, np.memmap, torch.dtype, torch.device, types.ModuleType, types.BuiltinFunctionType, pd.Index,
    types.CodeType, types.FrameType, types.TracebackType, property, Generator, LabeledSet,
)  # fmt: skip
# Packages whose objects are at work while a training is (threads, connections, loggers, workers), or know what they do.
_OTHERS = {
    "_io", "_thread", "asyncio", "concurrent", "distributed", "importlib", "io", "joblib", "logging", "multiprocessing",
    "polars", "pyarrow", "queue", "ray", "selectors", "socket", "ssl", "subprocess", "tempfile", "threading", "tqdm",
    "weakref",
}  # fmt: skip
_OTHER_MODULES = ("torch._dynamo", "torch._inductor", "torch._C")
# An object that holds one of these is at work as well.
_ALIVE = (type(threading.Lock()), type(threading.RLock()), threading.Thread, threading.Event, socket.socket, io.IOBase)
# Compiled objects of these are made anew by each `fit`, never trained further.
_MADE_ANEW = {"numpy", "pandas", "scipy", "sklearn", "torch"}
# Of the whole process: never touched, not even put back.
_GLOBAL = (*GLOBAL_GENERATORS, torch.default_generator)
_GENERATORS = (np.random.RandomState, np.random.Generator, torch.Generator, random.Random)


class _Part(NamedTuple):
    """An object, and how to give it the state back that it had."""

    owner: Any
    put_back: Callable[[Any, Any], None]
    state: Any


class Snapshot:
    """The state of all that some objects are made of, however they hold it, to be put back in place.

    Parameters
    ----------
    *roots : object
        Where to begin: a learner, an estimator, a strategy, a generator.
    largest : int or None, default=None
        Bytes of the largest array or tensor whose numbers are copied; None copies all.
    leave : iterable of object, default=()
        Objects that are looked at no further, such as the labelled data.

    Notes
    -----
    Followed are attributes (slots too), dicts, lists, sets, tuples and arguments of partials; so an estimator is found
    wherever it is kept, whether or not `get_params` shows it. Each object that can change gets its old content back and
    stays the object that it is, so that whoever holds it (a module given to a network, an optimizer its parameters)
    holds the right one. Nothing is copied but the numbers of arrays and tensors and the containers themselves.

    `fit` may replace what it learned or go on from it in place, and only the estimator knows: so numbers must be
    copied, which takes memory once that of the fitted estimator (of a network with Adam three times its weights) and
    the time of reading it. Compiled trees of scikit-learn are replaced, never changed, and are not copied.

    Left alone are threads, locks, files, connections and what holds one without being an estimator; memory maps;
    classes and global variables; and what a compiled library keeps behind a handle and does not pickle.
    """

    def __init__(self, *roots: Any, largest: int | None = None, leave: Iterable[Any] = ()) -> None:
        self.root = roots[0]
        self._parts: list[_Part] = []
        self._roots = {id(root) for root in roots}
        self._largest = largest
        # What has been seen is held until the end, so that no other object gets its number.
        seen = {id(one): one for one in (*leave, *_GLOBAL)}
        todo = list(roots)
        while todo:
            one = todo.pop()
            if not isinstance(one, _ATOMS) and id(one) not in seen:
                seen[id(one)] = one
                todo.extend(self._look(one))

    def put_back(self) -> None:
        """Give every object its state back."""
        for part in self._parts:
            part.put_back(part.owner, part.state)

    def _keep(self, owner: Any, put_back: Callable[[Any, Any], None], state: Any) -> None:
        self._parts.append(_Part(owner, put_back, state))

    def _look(self, one: Any) -> Iterable[Any]:
        """Keep the state of `one`; what it holds is to be looked at next."""
        module = type(one).__module__ or ""
        if isinstance(one, _GENERATORS):
            self._keep(one, _set_generator, _generator_state(one))
        elif isinstance(one, (tuple, frozenset)):
            return [*one, *self._attributes(one)]
        elif module.partition(".")[0] in _OTHERS or module.startswith(_OTHER_MODULES):
            return ()
        elif isinstance(one, types.MethodType):
            return (one.__self__,)
        elif isinstance(one, functools.partial):
            return (one.func, one.args, one.keywords)
        elif isinstance(one, types.FunctionType):
            # Variables of the place where it was made are that place's, but for what it draws from.
            cells = [_content(cell) for cell in one.__closure__ or ()]
            return [vars(one), *(value for value in cells if isinstance(value, _GENERATORS))]
        elif isinstance(one, Memory):
            # Its values are replaced, never changed.
            self._keep(one, _set_attributes, {name: copy.copy(value) for name, value in vars(one).items()})
        elif isinstance(one, (pd.DataFrame, pd.Series)):
            if self._largest is None:
                self._keep(one, _set_attributes, vars(one) | {"_mgr": vars(one.copy())["_mgr"]})
        else:
            return self._contents(one)
        return ()

    def _contents(self, one: Any) -> list[Any]:
        held: list[Any] = []
        if isinstance(one, np.ndarray):
            if one.flags.writeable and not self._is_large(one.nbytes):
                self._keep(one, _set_array, np.array(one, subok=False))
            if one.dtype == object:
                held += np.asarray(one).ravel().tolist()
        elif isinstance(one, torch.Tensor):
            # By `data`, since a lazy parameter allows no more.
            numbers = one.data
            if not numbers.is_inference():
                is_large = self._is_large(numbers.numel() * numbers.element_size())
                kept = None if is_large else numbers.clone()
                gradient = one.grad if one.is_leaf else None
                self._keep(one, _set_tensor, (type(one), one.requires_grad, kept, gradient))
                held.append(gradient)
        elif isinstance(one, dict):
            self._keep(one, _set_dict, list(one.items()))
            held += [*one.keys(), *one.values()]
        elif isinstance(one, (list, deque, set)):
            self._keep(one, _set_items, list(one))
            held += one
        elif isinstance(one, (bytearray, array.array)):
            self._keep(one, _set_numbers, one[:])
        elif not hasattr(one, "__dict__") and hasattr(type(one), "__setstate__"):
            self._compiled(one)
        return held + self._attributes(one)

    def _is_large(self, nbytes: int) -> bool:
        return self._largest is not None and nbytes > self._largest

    def _compiled(self, one: Any) -> None:
        """Keep what an object of a compiled class would be pickled as."""
        if type(one).__module__.partition(".")[0] in _MADE_ANEW:
            return
        try:
            self._keep(one, _set_compiled, pickle.dumps(one.__getstate__()))
        except Exception:  # whatever a foreign object raises when it is pickled
            return

    def _attributes(self, one: Any) -> list[Any]:
        """Keep the attributes of `one`, in its `__dict__` and in slots."""
        own = getattr(one, "__dict__", None)
        own = dict(own) if type(own) is dict else None
        filled = {name: slot.__get__(one) for name, slot in _slots_of(one) if _is_filled(one, slot)}
        held = [*(own or {}).values(), *filled.values()]
        is_ours = id(one) in self._roots or isinstance(one, BaseEstimator)
        if not is_ours and any(isinstance(value, _ALIVE) for value in held):
            return []
        if own is not None:
            self._keep(one, _set_object, (type(one), own))
        if _slots_of(one):
            self._keep(one, _set_slots, filled)
        return held


@contextmanager
def unchanged_on_error(*owners: Any, largest: int | None = None, leave: Iterable[Any] = ()) -> Iterator[None]:
    """Put the owners, and all that they hold, back as they were where the block fails; parameters as of `Snapshot`."""
    before = Snapshot(*owners, largest=largest, leave=leave)
    try:
        yield
    except BaseException:
        try:
            before.put_back()
        except KeyboardInterrupt:
            # A second Ctrl-C must not leave half of it.
            before.put_back()
            raise
        raise


# -- one kind of object after the other ----------------------------------------------------------------------------


def _slots_of(one: Any) -> tuple[tuple[str, Any], ...]:
    cls: Any = type(one)
    return _slots(cls)


@functools.cache
def _slots(cls: Any) -> tuple[tuple[str, Any], ...]:
    """Name and descriptor of the slots of a class; of parents with a slot of the same name both."""
    return tuple(
        (f"{parent.__qualname__}.{name}", slot)
        for parent in cls.__mro__
        if "__slots__" in vars(parent)
        for name, slot in vars(parent).items()
        if isinstance(slot, types.MemberDescriptorType)
    )


def _is_filled(one: Any, slot: Any) -> bool:
    try:
        slot.__get__(one)
    except AttributeError:
        return False
    return True


def _set_slots(one: Any, filled: dict[str, Any]) -> None:
    for name, slot in _slots_of(one):
        if name in filled:
            # By the descriptor: a frozen class refuses attributes.
            slot.__set__(one, filled[name])
        elif _is_filled(one, slot):
            slot.__delete__(one)


def _set_object(one: Any, state: tuple[type, dict[str, Any]]) -> None:
    kind, own = state
    if type(one) is not kind:
        # A lazy module, which has become an ordinary one.
        one.__class__ = kind
    _set_attributes(one, own)


def _set_attributes(one: Any, own: dict[str, Any]) -> None:
    vars(one).clear()
    vars(one).update(own)


def _set_dict(one: dict[Any, Any], items: list[tuple[Any, Any]]) -> None:
    kind: Any = OrderedDict if isinstance(one, OrderedDict) else dict  # whatever a subclass makes of the verbs
    kind.clear(one)
    kind.update(one, items)


def _set_items(one: Any, items: list[Any]) -> None:
    kind: Any = next(kind for kind in (list, deque, set) if isinstance(one, kind))
    kind.clear(one)
    kind.update(one, items) if kind is set else kind.extend(one, items)


def _set_numbers(one: Any, numbers: Any) -> None:
    one[:] = numbers


def _set_array(one: np.ndarray, numbers: np.ndarray) -> None:
    if not one.flags.writeable:
        one.flags.writeable = True
    if one.shape != numbers.shape:
        one.resize(numbers.shape, refcheck=False)
    one.view(np.ndarray)[...] = numbers


def _set_tensor(one: torch.Tensor, state: tuple[type, bool, torch.Tensor | None, torch.Tensor | None]) -> None:
    kind, requires_grad, numbers, gradient = state
    if type(one) is not kind:
        # A lazy parameter, which has become an ordinary one.
        one.__class__ = kind  # type: ignore[assignment]
    if numbers is not None:
        like = one.data
        if (like.shape, like.dtype, like.device) == (numbers.shape, numbers.dtype, numbers.device):
            like.copy_(numbers)
        else:
            one.data = numbers.clone()
    if one.is_leaf:
        one.requires_grad = requires_grad
        one.grad = gradient


def _set_compiled(one: Any, state: bytes) -> None:
    if pickle.dumps(one.__getstate__()) != state:
        one.__setstate__(pickle.loads(state))


def _generator_state(one: Any) -> Any:
    if isinstance(one, np.random.Generator):
        return copy.deepcopy(one.bit_generator.state)
    return one.getstate() if isinstance(one, random.Random) else one.get_state()


def _set_generator(one: Any, state: Any) -> None:
    if isinstance(one, np.random.Generator):
        one.bit_generator.state = state
    elif isinstance(one, random.Random):
        one.setstate(state)
    else:
        one.set_state(state)


def _content(cell: Any) -> Any:
    """What a variable of a closure holds; None before it holds anything."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
