"""skorch networks, recognised by what they can do: one forward pass that yields everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data
from torch import nn

from ..rows import column_names, n_rows, net_input
from ..utils._torch import kept_modes, torch_rng

__all__ = ["NetOutputs", "find_submodule", "is_detector", "is_skorch", "net_head", "net_outputs", "watched_head"]


# The head that ran last in a module's most recent forward pass, by its dotted name.
_HEAD_NAMES: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


class NetOutputs(NamedTuple):
    """What one forward pass over n samples gives: float arrays (n, d), (n, C), (n, C).

    `embeddings` and `logits` are None where softmax(head(embeddings)) is not `proba`.
    """

    embeddings: NDArray | None
    logits: NDArray | None
    proba: NDArray


def is_skorch(estimator: Any) -> bool:
    """Whether `estimator` is a skorch net, fitted or not, by what it can do."""
    methods = ("initialize", "initialize_module", "forward_iter", "get_iterator", "infer")
    return (
        not isinstance(estimator, type)
        and all(callable(getattr(estimator, method, None)) for method in methods)
        and hasattr(estimator, "module")
    )


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
    X : see `net_input`; n samples

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
    if hasattr(net, "feature_names_in_") and column_names(X) is not None:
        validate_data(net, X, reset=False, skip_check_array=True)
    X = net_input(X, module)
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


def is_detector(estimator: Any) -> bool:
    """Whether `estimator` finds boxes in images, by what it can do."""
    return not isinstance(estimator, type) and callable(getattr(estimator, "detect", None))
