"""Torch's generators and modes: forked or changed inside a block, and put back, also after an error."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = [
    "CHUNK",
    "first_output",
    "inference",
    "kept_modes",
    "put_back_in_child",
    "resolve_device",
    "room_on",
    "shared_tensor",
    "torch_rng",
]


# Bytes of results that an accelerator keeps before they are copied to the host.
CHUNK = 64 << 20
# Torch's generators belong to the process: two threads that fork them would restore each other's state.
_RNG_LOCK = threading.RLock()
# What the thread that holds the lock has changed: its number, and how that is put back, the first change first.
_CHANGED: list[tuple[int, Callable[[], Any]]] = []


def resolve_device(device: Any) -> Any:
    """`device`, with "auto" read as CUDA where there is one and as the CPU elsewhere."""
    if isinstance(device, str) and device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def shared_tensor(X: NDArray | torch.Tensor) -> torch.Tensor:
    """A tensor as it is, an array as a tensor on its memory (of a copy, where that cannot be shared)."""
    return X if isinstance(X, torch.Tensor) else torch.from_numpy(np.require(X, requirements=["C", "W"]))


def room_on(device: torch.device) -> int:
    """Bytes that results may take of a device: a quarter of what a CUDA device has free, 1 GiB of others."""
    return torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else 1 << 30


@contextmanager
def put_back_in_child(undo: Callable[[], Any]) -> Iterator[None]:
    """Where another thread forks while the block, inside `torch_rng`, is at work: call `undo` in the child."""
    _CHANGED.append((threading.get_ident(), undo))
    try:
        yield
    finally:
        _CHANGED.pop()


def _begin_child() -> None:
    """Of all threads, the one that forked lives on in the child: what another was about is taken back there."""
    global _RNG_LOCK
    if _CHANGED and _CHANGED[-1][0] == threading.get_ident():
        return
    _RNG_LOCK = threading.RLock()
    while _CHANGED:
        _CHANGED.pop()[1]()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_child)


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
    with _RNG_LOCK, _kept_in_child(), torch.random.fork_rng(devices=devices, device_type="cuda"):
        if seed is not None:
            # Not torch.manual_seed: that also queues a seed for CUDA devices, which nothing would take back.
            torch.default_generator.manual_seed(seed)
            for index in devices:
                with torch.cuda.device(index):
                    torch.cuda.manual_seed(seed)
        yield


def _kept_in_child() -> Any:
    """A child that another thread forks begins with the CPU's generator as it is now; it cannot use CUDA."""
    generator = torch.default_generator
    return put_back_in_child(functools.partial(generator.set_state, generator.get_state()))


def first_output(output: Any) -> Any:
    """The logits among what a module returns: its tensor, what it names `logits`, or the first of a (named) tuple."""
    if isinstance(output, torch.Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, torch.Tensor):
        return named
    return output[0] if isinstance(output, (tuple, list)) and len(output) else output


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


@contextmanager
def inference(*modules: Any) -> Iterator[None]:
    """torch's inference mode; what the modules keep of it for later (masks, tables of angles) is fit for training."""
    try:
        with torch.inference_mode():
            yield
    finally:
        for part in {part for module in modules if isinstance(module, nn.Module) for part in module.modules()}:
            for name, value in [*vars(part).items(), *part.named_buffers(recurse=False)]:
                if isinstance(value, torch.Tensor) and value.is_inference():
                    setattr(part, name, value.clone())
