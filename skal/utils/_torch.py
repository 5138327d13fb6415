"""Torch plumbing: repeatable generators, inputs a module accepts, one forward pass that yields everything.

Works on any skorch classifier, recognised by its methods. Nothing here changes a net: hooks, train/eval modes
and generators are put back, also after an error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from ._rows import n_rows

__all__ = [
    "NetOutputs",
    "as_net_input",
    "find_submodule",
    "is_skorch",
    "kept_modes",
    "net_head",
    "net_outputs",
    "resolve_device",
    "torch_rng",
    "watched_head",
]

# Torch's generators belong to the process: two threads that fork them would restore each other's state.
_RNG_LOCK = threading.RLock()

# The head that ran last in a module's most recent forward pass, by its dotted name.
_HEAD_NAMES: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


class NetOutputs(NamedTuple):
    """What one forward pass over n samples gives: float arrays (n, d), (n, C), (n, C).

    `embeddings` and `logits` are None where softmax(head(embeddings)) is not `proba`.
    """

    embeddings: NDArray | None
    logits: NDArray | None
    proba: NDArray


def resolve_device(device: Any) -> Any:
    """`device`, with "auto" read as CUDA where there is one and as the CPU elsewhere."""
    if isinstance(device, str) and device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


@contextmanager
def torch_rng(seed: int | None = None, device: Any = "cpu") -> Iterator[None]:
    """Fork torch's global generators: what runs inside leaves them as they were; `seed` seeds them inside.

    The CUDA generators are forked where `device` is a CUDA device or CUDA is in use already.
    """
    device = torch.device("cpu" if device is None else device)
    on_cuda = torch.cuda.is_available() and (device.type == "cuda" or torch.cuda.is_initialized())
    if on_cuda:
        torch.cuda.init()
        index = device.index if device.type == "cuda" else None
        devices = [torch.cuda.current_device() if index is None else index]
    else:
        devices = []
    with _RNG_LOCK, torch.random.fork_rng(devices=devices, device_type="cuda"):
        if seed is not None:
            # Not torch.manual_seed: that also queues a seed for CUDA devices, which nothing would take back.
            torch.default_generator.manual_seed(seed)
            for index in devices:
                with torch.cuda.device(index):
                    torch.cuda.manual_seed(seed)
        yield


@contextmanager
def kept_modes(*modules: Any) -> Iterator[None]:
    """Restore the train/eval mode of every submodule afterwards."""
    parts = {part for module in modules if isinstance(module, nn.Module) for part in module.modules()}
    modes = {part: part.training for part in parts}
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def is_skorch(estimator: Any) -> bool:
    """Whether `estimator` is a skorch net, fitted or not, by what it can do."""
    methods = ("initialize", "initialize_module", "forward_iter", "get_iterator", "infer")
    return (
        not isinstance(estimator, type)
        and all(callable(getattr(estimator, method, None)) for method in methods)
        and hasattr(estimator, "module")
    )


def as_net_input(X: Any, module: nn.Module | None = None) -> Any:
    """`X` as a module accepts it; what fits already is returned uncopied.

    Parameters
    ----------
    X : array, DataFrame, sparse matrix, tensor, list, dict of these, or torch Dataset
        The first axis is the samples. Numbers of any dtype are cast to the module's float dtype, without
        scaling (uint8 images keep the range 0..255). DataFrames and sparse matrices become dense 2-D arrays,
        a list is read as a list of samples of one shape, tensors and dicts keep their kind. A Dataset passes
        as is.
    module : nn.Module or None
        Its first floating parameter gives the dtype; float32 without one. Where it holds an `nn.Embedding`,
        integers are token ids and become int64 instead.

    Raises
    ------
    TypeError
        `X` holds no numbers, or a list of samples of different shape.
    """
    dtype, has_tokens = torch.float32, False
    if module is not None:
        dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), dtype)
        has_tokens = any(isinstance(part, (nn.Embedding, nn.EmbeddingBag)) for part in module.modules())
    return _cast(X, dtype, has_tokens)


def _cast(X: Any, dtype: torch.dtype, has_tokens: bool) -> Any:
    if isinstance(X, Dataset):
        return X
    if isinstance(X, dict):
        return type(X)({key: _cast(value, dtype, has_tokens) for key, value in X.items()})
    if isinstance(X, torch.Tensor):
        is_integer = not X.is_floating_point() and X.dtype != torch.bool
        X = X if X.layout == torch.strided else X.to_dense()
        return X.to(torch.int64 if has_tokens and is_integer else dtype)
    if isinstance(X, pd.DataFrame) and any(not pd.api.types.is_numeric_dtype(kind) for kind in X.dtypes):
        raise TypeError("X must hold numbers for a network. Got a DataFrame with other columns.")
    if sp.issparse(X):
        X = X.toarray()  # type: ignore[attr-defined]
    elif isinstance(X, (pd.DataFrame, pd.Series)):
        X = X.to_numpy(na_value=np.nan) if X.isna().to_numpy().any() else X.to_numpy()
    elif isinstance(X, (list, tuple)) and len(X) and isinstance(X[0], torch.Tensor):
        X = [row.detach().cpu().numpy() for row in X]
    try:
        array = np.asarray(X)
        if array.dtype == object:
            array = np.asarray(array.tolist())
    except (TypeError, ValueError):
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"X must be a rectangular array of numbers for a network. Got {_describe(X)}.")
    if has_tokens and array.dtype.kind in "iu":
        return np.ascontiguousarray(array, dtype=np.int64)
    # NumPy has no bfloat16; torch casts such inputs batch by batch.
    target = {torch.float64: np.float64, torch.float16: np.float16}.get(dtype, np.float32)
    return np.ascontiguousarray(array, dtype=target)


def _describe(X: Any) -> str:
    kind = getattr(X, "dtype", None)
    if kind is not None:
        return f"{type(X).__name__} of dtype {kind}"
    name = type(X).__name__
    return f"{name} of {type(X[0]).__name__}" if isinstance(X, (list, tuple)) and X else name


def find_submodule(module: nn.Module, name: str) -> nn.Module:
    """The submodule of that dotted name."""
    try:
        return module.get_submodule(name)
    except AttributeError:
        names = ", ".join(repr(part) for part, _ in module.named_modules() if part)
        raise ValueError(
            f"embedding_layer must be the name of a submodule of {type(module).__name__}: {names}. "
            f"Got {name!r} instead."
        ) from None


@contextmanager
def watched_head(module: nn.Module, name: str | None = None) -> Iterator[dict[str, Any]]:
    """Record, in the dict given, `head`, `name`, `input` and `output` of the submodule `name` when it runs.

    Without a name: of the last `nn.Linear` that runs. The dict is empty as long as none did.
    """
    seen: dict[str, Any] = {}
    if name is not None:
        parts = {find_submodule(module, name): name}
    else:
        parts = {part: key for key, part in module.named_modules() if isinstance(part, nn.Linear)}

    def record(part: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and isinstance(args[0], torch.Tensor):
            seen.update(head=part, name=parts[part], input=args[0], output=output)

    handles = [part.register_forward_hook(record) for part in parts]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _plain_module(net: Any) -> nn.Module:
    # torch.compile wraps the module that the user wrote.
    return getattr(net.module_, "_orig_mod", net.module_)


def _is_head(seen: dict[str, Any], proba: torch.Tensor) -> bool:
    """Whether what the hook saw explains the probabilities: softmax(head(embeddings)) == proba."""
    if not seen:
        return False
    embeddings, logits = seen["input"], seen["output"]
    if embeddings.ndim != 2 or not isinstance(logits, torch.Tensor) or logits.shape != proba.shape:
        return False
    tolerance = max(1e-5, 10 * torch.finfo(proba.dtype).eps) if proba.is_floating_point() else 1e-5
    expected = torch.softmax(logits.double(), dim=-1)
    return torch.allclose(expected, proba.to(logits.device).double(), atol=tolerance)


def _numpy(tensor: torch.Tensor) -> NDArray:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()


def net_outputs(net: Any, X: Any) -> NetOutputs:
    """Embeddings, logits and probabilities of `X` in ONE forward pass of a fitted skorch classifier.

    The head is the last `nn.Linear` that ran, or the submodule named by `net.embedding_layer` where the net
    has such an attribute; the embeddings are its input. `proba` is what the net itself makes of the module's
    (first) output. Where softmax(head(embeddings)) does not give `proba` (two heads, sigmoid outputs,
    embeddings with more than two axes), embeddings and logits are None.

    Parameters
    ----------
    net : fitted skorch classifier
    X : see `as_net_input`; n samples

    Returns
    -------
    NetOutputs
        embeddings (n, d), logits (n, C), proba (n, C), in the module's float dtype.

    Raises
    ------
    NotFittedError
        The net is not initialized.
    ValueError
        `X` is empty, or `embedding_layer` names no submodule.
    """
    net.check_is_fitted()
    module = _plain_module(net)
    if n_rows(X) == 0:
        raise ValueError(f"X must hold at least one sample. Got an empty X for {type(net).__name__}.")
    X = as_net_input(X, module)
    nonlinearity = net._get_predict_nonlinearity()
    embeddings: list[NDArray] | None = []
    logits: list[NDArray] = []
    probas: list[NDArray] = []
    _HEAD_NAMES.pop(module, None)
    watch = watched_head(module, getattr(net, "embedding_layer", None))
    with torch_rng(device=net.device), kept_modes(*_net_modules(net)), torch.no_grad(), watch as seen:
        for output in net.forward_iter(X):
            proba = nonlinearity(output[0] if isinstance(output, tuple) else output)
            probas.append(_numpy(proba))
            if embeddings is not None and _is_head(seen, proba):
                embeddings.append(_numpy(seen["input"]))
                logits.append(_numpy(seen["output"]))
                _HEAD_NAMES[module] = seen["name"]
            else:
                embeddings = None
            seen.clear()
    if embeddings is None:
        return NetOutputs(None, None, np.concatenate(probas))
    return NetOutputs(np.concatenate(embeddings), np.concatenate(logits), np.concatenate(probas))


def _net_modules(net: Any) -> list[Any]:
    names = [*getattr(net, "_modules", []), *getattr(net, "_criteria", [])] or ["module", "criterion"]
    return [getattr(net, f"{name}_", None) for name in names]


def net_head(net: Any) -> nn.Module:
    """The submodule that maps embeddings to logits, not a copy: callers must not change it.

    It is `net.embedding_layer`, else the `nn.Linear` that `net_outputs` saw running last, else (before any
    forward pass) the `nn.Linear` that the module registers last.
    """
    net.check_is_fitted()
    module = _plain_module(net)
    name = getattr(net, "embedding_layer", None) or _HEAD_NAMES.get(module)
    if name is not None:
        return find_submodule(module, name)
    linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise ValueError(f"{type(module).__name__} must hold an nn.Linear to have a head. Got none.")
    return linear[-1]
