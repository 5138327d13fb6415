"""Parameters that skorch's nets share, checked before any work."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import nn

from ..utils._compat import Interval, InvalidParameterError, Options, keywords_of, validate_parameter_constraints
from ..utils._torch import resolve_device
from ..utils._validation import shown

__all__ = ["NET_CONSTRAINTS", "PRECISIONS", "check_device", "check_net_params", "made"]

_BATCH_SIZE = [Interval(Integral, 1, sys.maxsize, closed="both"), Options(Integral, {-1})]
NET_CONSTRAINTS: dict[str, list[Any]] = {
    "module": [str, callable],
    "max_epochs": [Interval(Integral, 0, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="left")],
    "batch_size": _BATCH_SIZE,
    "iterator_train__batch_size": _BATCH_SIZE,
    "iterator_valid__batch_size": _BATCH_SIZE,
    "iterator_train": [callable],
    "iterator_valid": [callable],
    "dataset": [callable],
    "train_split": [callable, None],
    "predict_nonlinearity": [callable, str, None],
    "warm_start": ["boolean"],
    "compile": ["boolean"],
    "verbose": ["verbose"],
}
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}
# What makes the parts of a net that take parameters of their own.
_KINDS: dict[str, tuple[type, str]] = {
    "criterion": (nn.Module, "a class of losses, such as torch.nn.CrossEntropyLoss, or a callable that makes one"),
    "optimizer": (
        torch.optim.Optimizer,
        "a class of torch.optim, such as torch.optim.SGD, or a callable that makes one",
    ),
}
_PARTS = ("iterator_train", "iterator_valid", "criterion", "optimizer", "module")


def check_net_params(net: Any, constraints: Mapping[str, list[Any]]) -> None:
    """Raise `ValueError` or `TypeError` for the first parameter of `net` that makes no sense."""
    owner, params = type(net).__name__, vars(net)
    _check_keywords(net, owner)
    given = {name: params[name] for name in constraints if name in params}
    validate_parameter_constraints(constraints, given, caller_name=owner)
    for name, (base, words) in _KINDS.items():
        value = params[name]
        if not (issubclass(value, base) if inspect.isclass(value) else callable(value)):
            raise ValueError(f"The {name!r} parameter of {owner} must be {words}. Got {shown(value)} instead.")
    if inspect.isclass(params["train_split"]):
        raise ValueError(
            f"The 'train_split' parameter of {owner} must be None or a split, such as skorch.dataset.ValidSplit(5). "
            f"Got the class {params['train_split'].__name__} instead."
        )
    _check_callbacks(params["callbacks"], owner)
    check_device(params["device"], owner)


def _check_keywords(net: Any, owner: str) -> None:
    """Keywords that nobody takes, of the net or of what makes one of its parts, with the likely one."""
    unknown, known = keywords_of(net)
    unknown = [key for key in unknown if key.partition("__")[0] not in _PARTS]
    for part in _PARTS:
        make = getattr(net, part)
        make = type(make) if isinstance(make, nn.Module) else make
        accepted = _accepted(make) if callable(make) else None
        if accepted is not None:
            wrong = [key for key in net.get_params_for(part) if key not in accepted and key != "param_groups"]
            unknown += [f"{part}__{key}" for key in wrong]
            known |= {f"{part}__{key}" for key in accepted}
    if unknown:
        close = difflib.get_close_matches(unknown[0], sorted(known), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InvalidParameterError(f"{owner} has no parameter {unknown[0]!r}.{hint}")


def _accepted(make: Callable[..., Any]) -> set[str] | None:
    """The keywords that a callable takes, or None where it takes any, or does not say."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return None
    return None if any(one.kind is one.VAR_KEYWORD for one in parameters) else {one.name for one in parameters}


def _check_callbacks(callbacks: Any, owner: str) -> None:
    if callbacks is None or (isinstance(callbacks, str) and callbacks == "disable"):
        return
    items = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    for item in items:
        named = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
        callback = item[1] if named else item
        is_one = isinstance(callback, Callback) or (inspect.isclass(callback) and issubclass(callback, Callback))
        if items is not callbacks or not (is_one or (named and callback is None) or hasattr(callback, "on_epoch_end")):
            raise ValueError(
                f"The 'callbacks' parameter of {owner} must be None, 'disable' or a list of skorch callbacks, or of "
                f"pairs (name, callback). Got {shown(item)} {'instead' if items is not callbacks else 'in it'}."
            )


def check_device(device: Any, owner: str) -> None:
    """Raise `ValueError` where the 'device' parameter of `owner` is no device, or none that this machine has."""
    got = f"Got {shown(device)} instead."
    try:
        kind = torch.device(resolve_device(device)).type if isinstance(device, (str, torch.device)) else None
    except RuntimeError:
        kind = None
    if device is not None and kind is None:
        raise ValueError(
            f"The 'device' parameter of {owner} must be 'auto' or a device of torch, such as 'cpu' or 'cuda:0'. {got}"
        )
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"The 'device' parameter of {owner} must be a device of this machine, which has no CUDA. {got}"
        )


@contextmanager
def made(owner: str, what: str, kind: Any) -> Iterator[None]:
    """Say whose part cannot be made where its values are refused, in the words of what refuses them."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError) as error:
        name = getattr(kind, "__name__", type(kind).__name__)
        raise ValueError(
            f"The {what!r} of {owner}, {name}, cannot be made with its parameters: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    line = str(error).partition("\n")[0]
    return line if len(line) <= 200 else f"{line[:196]} ..."
