"""What an object computes, as a short text: the same in every process, another for whatever computes something else."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import types
from collections.abc import Iterable, Mapping, Set
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import nn
from torch.utils.data import Dataset

from ..rows import n_rows

__all__ = ["identity"]

# Of a class: what says nothing about what it computes.
_SILENT = {
    "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__", "__dict__",
    "__doc__", "__firstlineno__", "__module__", "__qualname__", "__static_attributes__", "__weakref__", "_abc_impl",
}  # fmt: skip
_LITERALS = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), range, slice)
# Bytes of an array hashed at once: memory maps stay on disk.
_BLOCK = 1 << 26


def identity(obj: Any) -> str:
    """A text that two objects share if and only if they compute the same, as far as can be told from outside.

    Parameters
    ----------
    obj : object
        A strategy, estimator or learner, a function, data, or any of these in lists, dicts and so on.

    Returns
    -------
    str
        The name of its class or its own, and 32 hexadecimal digits.

    Notes
    -----
    What counts: the class and its module; parameters, recursively (of estimators those of `get_params`, of other
    objects all attributes); arrays, tensors, frames, sparse matrices and the weights of modules by content, Datasets by
    their samples; the file that a parameter `weights` names by its content. Functions and classes of a library count
    by name; those of the user (of ``__main__``, a notebook, a module of one's own) by their byte code, constants,
    defaults, closures, and the functions, classes and plain values among their globals. Byte code depends on Python's
    version. Memory addresses, the order of sets and dicts, line numbers and file names do not count.

    Cost: hashing, about a second per gigabyte, and one pass over a Dataset.
    """
    name = getattr(obj, "__name__", type(obj).__name__)
    return f"{name} {_Digests().of(obj).hex()}"


class _Digests:
    """Digests of objects, made of those of their parts."""

    def __init__(self) -> None:
        # With the objects, whose addresses would otherwise be used again.
        self._known: dict[int, tuple[Any, bytes]] = {}
        self._open: list[int] = []

    def of(self, obj: Any) -> bytes:
        if type(obj) in _LITERALS:
            return _digest(type(obj).__name__, repr(obj).encode())
        if id(obj) in self._known:
            return self._known[id(obj)][1]
        if id(obj) in self._open:  # it holds itself: by how far up
            return _digest("cycle", str(len(self._open) - self._open.index(id(obj))).encode())
        self._open.append(id(obj))
        try:
            tag, parts = _parts(obj)
            digests = [part if isinstance(part, _Bytes) else self.of(part) for part in parts]
            if isinstance(parts, _Unordered):
                digests.sort()
            found = _digest(tag, *digests)
        finally:
            self._open.pop()
        self._known[id(obj)] = obj, found
        return found


class _Bytes(bytes):
    """A digest, or bytes that stand for themselves, among parts that are yet to be digested."""


def _digest(tag: str, *parts: bytes) -> bytes:
    hashed = hashlib.blake2b(tag.encode(), digest_size=16)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.digest()


class _Unordered(list):
    """Parts whose order means nothing."""


# -- the parts of one object -------------------------------------------------------------------------------------


def _parts(obj: Any) -> tuple[str, Iterable[Any]]:
    """What an object is, and what its identity is made of."""
    for kinds, parts in _KINDS:
        if isinstance(obj, kinds):
            return parts(obj)
    if hasattr(obj, "get_params"):
        return "estimator", [type(obj), _params(obj)]
    if hasattr(obj, "__wrapped__") and callable(obj):  # such as what functools.cache makes
        return "wrapper", [type(obj), obj.__wrapped__]
    if type(obj).__module__.partition(".")[0] == "polars":
        return _polars(obj)
    if callable(obj) and hasattr(obj, "__qualname__"):  # a function of C
        return "builtin", [str(obj.__qualname__), str(getattr(obj, "__module__", None)), _owner(obj)]
    return "object", [type(obj), *_state(obj)]


def _owner(function: Any) -> Any:
    owner = getattr(function, "__self__", None)
    return None if isinstance(owner, types.ModuleType) else owner


def _params(estimator: Any) -> dict[str, Any]:
    params = estimator.get_params(deep=False)
    return {name: _file(value) if name.split("__")[-1] == "weights" else value for name, value in params.items()}


def _file(value: Any) -> Any:
    """The content of a file of weights; anything else as it is."""
    if not (isinstance(value, (str, os.PathLike)) and os.path.isfile(value)):
        return value
    with open(value, "rb") as file:
        return _Bytes(hashlib.file_digest(file, "sha256").digest())


def _state(obj: Any) -> list[Any]:
    """What pickle would make the object from; of one that cannot be pickled, such as an open file, its attributes."""
    try:
        reduced = obj.__reduce_ex__(4)
    except Exception:  # whatever a class of others raises there
        return [getattr(obj, "__dict__", None)]
    # The last parts, items of a list or a dict, are iterators.
    return [reduced] if isinstance(reduced, str) else [list(part) if _is_iterator(part) else part for part in reduced]


def _is_iterator(part: Any) -> bool:
    return hasattr(part, "__next__")


def _polars(obj: Any) -> tuple[str, Iterable[Any]]:
    columns = obj.get_columns() if hasattr(obj, "get_columns") else [obj]
    return "polars", [(column.name, str(column.dtype), column.to_list()) for column in columns]


def _array(array: np.ndarray) -> tuple[str, Iterable[Any]]:
    if isinstance(array, np.ma.MaskedArray):
        return "masked", [np.asarray(array.filled()), np.ma.getmaskarray(array)]
    array = np.asarray(array)
    shape = [str(array.dtype.descr if array.dtype.names else array.dtype.str), array.shape]
    if array.dtype.hasobject or array.dtype.kind == "T":
        return "array", [*shape, array.tolist()]
    hashed = hashlib.blake2b(digest_size=16)
    rows = np.atleast_1d(array)
    step = max(1, _BLOCK * len(rows) // max(1, rows.nbytes))
    for start in range(0, len(rows), step):
        hashed.update(np.ascontiguousarray(rows[start : start + step]).tobytes())
    return "array", [*shape, _Bytes(hashed.digest())]


def _tensor(tensor: torch.Tensor) -> tuple[str, Iterable[Any]]:
    tensor = tensor.detach().cpu()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    content = tensor.contiguous().reshape(-1)
    content = content.resolve_conj().resolve_neg().view(torch.uint8)
    return "tensor", [str(tensor.dtype), tuple(tensor.shape), content.numpy()]


def _module(module: nn.Module) -> tuple[str, Iterable[Any]]:
    """Weights, buffers and sub-modules by name, and its own attributes; what is private to torch is not."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    weights = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    return "module", [type(module), own, weights, list(module.named_children())]


def _frame(frame: pd.DataFrame) -> tuple[str, Iterable[Any]]:
    return "frame", [list(frame.columns), frame.index, *(frame.iloc[:, i].array for i in range(frame.shape[1]))]


def _column(values: Any) -> tuple[str, Iterable[Any]]:
    return "column", [str(values.dtype), np.asarray(values) if values.dtype.kind in "biufcmM" else list(values)]


def _categorical(values: pd.Categorical) -> tuple[str, Iterable[Any]]:
    return "categorical", [values.categories, values.codes, bool(values.ordered)]


def _sparse(matrix: Any) -> tuple[str, Iterable[Any]]:
    csr = sp.csr_matrix(matrix, copy=True)
    csr.sum_duplicates()
    csr.sort_indices()
    return "sparse", [matrix.format, csr.shape, csr.data, csr.indices.astype(np.int64), csr.indptr.astype(np.int64)]


def _dataset(dataset: Any) -> tuple[str, Iterable[Any]]:
    """The samples, and nothing of how they come about. torch's generator is left as it was."""
    if not hasattr(dataset, "__len__"):
        return "object", [type(dataset), *_state(dataset)]
    digests = []
    with torch.random.fork_rng(devices=[]):
        for i in range(n_rows(dataset)):
            # Each by itself, so that the samples are not kept.
            digests.append(_Digests().of(dataset[i]))
    return "dataset", [_Bytes(b"".join(digests))]


# -- code --------------------------------------------------------------------------------------------------------


def _function(function: types.FunctionType) -> tuple[str, Iterable[Any]]:
    if _of_library(function.__module__):
        named = [function.__module__, function.__qualname__]
        # A closure made by a library is told from others by what it encloses.
        return "function", [*named, function.__defaults__, function.__kwdefaults__, _cells(function)]
    cells, names = _cells(function), _global_names(function.__code__)
    globals_ = {name: function.__globals__[name] for name in names if name in function.__globals__}
    used = {name: value for name, value in globals_.items() if _counts(value)}
    return "function", [function.__code__, function.__defaults__, function.__kwdefaults__, cells, used]


def _cells(function: types.FunctionType) -> list[Any]:
    return [_content(cell) for cell in function.__closure__ or ()]


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _global_names(code: types.CodeType) -> set[str]:
    nested = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(_global_names, nested))


def _counts(value: Any) -> bool:
    """Whether a global is code or a plain value: not a module, a logger, or whatever else lives in a notebook."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_counts, value))
    if isinstance(value, dict):
        return all(map(_counts, value)) and all(map(_counts, value.values()))
    kinds = (*_LITERALS, type, types.FunctionType, types.BuiltinFunctionType, functools.partial, np.ndarray, np.generic)
    return isinstance(value, (*kinds, torch.Tensor, nn.Module)) or hasattr(value, "get_params")


def _code(code: types.CodeType) -> tuple[str, Iterable[Any]]:
    counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
    names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
    return "code", [_Bytes(code.co_code), _Bytes(code.co_exceptiontable), *counts, *names, code.co_consts]


def _class(cls: type) -> tuple[str, Iterable[Any]]:
    named = [cls.__module__, cls.__qualname__]
    if _of_library(cls.__module__):
        return "class", named
    own = {name: value for name, value in vars(cls).items() if name not in _SILENT}
    return "class", [*named, list(cls.__bases__), own]


@functools.cache
def _of_library(module: str | None) -> bool:
    """Whether a module is Python's own or installed (or skal's): its version tells what it does, not its code."""
    top = "__main__" if module is None else module.partition(".")[0]
    if top in sys.stdlib_module_names or top == __name__.partition(".")[0]:
        return True
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None or top == "__main__":
        return False
    # What is installed lies beside the records of the installer.
    place = Path(file).parent
    return any((place.parent if Path(file).stem == "__init__" else place).glob("*.dist-info"))


# The first that fits decides.
_KINDS: list[tuple[Any, Any]] = [
    (type, _class),
    (types.FunctionType, _function),
    (types.CodeType, _code),
    (types.MethodType, lambda method: ("method", [method.__func__, method.__self__])),
    (types.ModuleType, lambda module: ("python module", [module.__name__])),
    (functools.partial, lambda bound: ("partial", [bound.func, bound.args, bound.keywords])),
    ((staticmethod, classmethod), lambda method: (type(method).__name__, [method.__func__])),
    ((types.GetSetDescriptorType, types.MemberDescriptorType), lambda slot: ("slot", [slot.__name__])),
    (property, lambda prop: ("property", [prop.fget, prop.fset, prop.fdel])),
    (np.ndarray, _array),
    (np.dtype, lambda dtype: ("dtype", [str(dtype.descr if dtype.names else dtype.str)])),
    (np.generic, lambda value: ("scalar", [np.asarray(value)])),
    ((torch.dtype, torch.device), lambda value: ("torch", [repr(value)])),
    (torch.Tensor, _tensor),
    (nn.Module, _module),
    (pd.DataFrame, _frame),
    (pd.Series, lambda series: ("series", [series.name, series.index, series.array])),
    (pd.Index, lambda index: ("index", [list(index.names), index.array])),
    (pd.Categorical, _categorical),
    (pd.api.extensions.ExtensionArray, _column),
    ((sp.spmatrix, sp.sparray), _sparse),
    (Dataset, _dataset),
    (Enum, lambda member: ("member", [type(member), member.name])),
    (os.PathLike, lambda path: ("path", [os.fspath(path)])),
    (_LITERALS, lambda value: ("subclass", [type(value), _Bytes(repr(value).encode())])),
    ((list, tuple), lambda items: (type(items).__qualname__, [*items, *_extra(items)])),
    (Set, lambda items: (type(items).__qualname__, _Unordered(items))),
    (Mapping, lambda mapping: (type(mapping).__qualname__, _Unordered(mapping.items()))),
]


def _extra(items: Any) -> list[Any]:
    """What a subclass of a list or tuple adds."""
    return [] if type(items) in (list, tuple) else [type(items), getattr(items, "__dict__", None)]
