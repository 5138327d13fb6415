"""Which part of a torch module maps embeddings to its logits, as a run shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

__all__ = ["Calls", "explains", "find_submodule", "heads_watched", "last_linear"]

Call = dict[str, torch.Tensor]


def find_submodule(module: nn.Module, name: str) -> nn.Module:
    """The submodule of that dotted name."""
    try:
        return module.get_submodule(name)
    except AttributeError:
        names = ", ".join(repr(part) for part, _ in module.named_modules() if part)
        raise ValueError(
            f"embedding_layer must be the name of a submodule of {type(module).__name__}: {names or 'it has none'}. "
            f"Got {name!r} instead."
        ) from None


def last_linear(module: nn.Module) -> str | None:
    """Dotted name of the `nn.Linear` that the module registers last."""
    names = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    return names[-1] if names else None


class Calls:
    """Calls, in one batch, of the submodules that may be the head; `settled` is its name, once it is known."""

    def __init__(self, parts: dict[nn.Module, str], named: bool) -> None:
        self._parts = parts
        self._named = named
        self.settled: str | None = None
        self._calls: list[tuple[nn.Module, Call]] = []
        self._handles = [part.register_forward_hook(self._record) for part in parts]

    def _record(self, part: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        # Anything else than rows to rows is no head, and not worth its memory.
        is_plain = len(args) == 1 and isinstance(args[0], torch.Tensor) and isinstance(output, torch.Tensor)
        if is_plain and (args[0].ndim == output.ndim == 2 or self._named):
            self._calls.append((part, {"embeddings": args[0], "logits": output}))

    @property
    def last(self) -> Call:
        """Input and output of the settled head's last call."""
        return self._calls[-1][1]

    def settle(self, is_right: Callable[[Call], bool]) -> str | None:
        """Choose the head among the calls so far, watch it alone from now on, and return its name; None if none is."""
        fitting = [(part, call) for part, call in self._calls if is_right(call)]
        # The last nn.Linear; else the smallest part with a weight, which is found before those around it.
        linear = [found for found in fitting if isinstance(found[0], nn.Linear)]
        others = fitting if self._named else [found for found in fitting if _has_weight(found[0])]
        if not linear and not others:
            return None
        part, call = linear[-1] if linear else min(reversed(others), key=lambda found: len(list(found[0].modules())))
        if self._handles:
            self.remove()
            self._handles = [part.register_forward_hook(self._record)]
        self._calls = [(part, call)]
        self.settled = self._parts[part]
        return self.settled

    def last_linear(self) -> str | None:
        """Name of the `nn.Linear` (or the named part) that ran last, whatever it gave."""
        names = [self._parts[part] for part, _ in self._calls if self._named or isinstance(part, nn.Linear)]
        return names[-1] if names else None

    def forget(self) -> None:
        """Let the tensors of this batch go."""
        self._calls.clear()

    def remove(self) -> None:
        """Watch no more."""
        for handle in self._handles:
            handle.remove()
        self._handles = []


@contextmanager
def heads_watched(module: nn.Module, name: str | None = None) -> Iterator[Calls]:
    """Watch the submodules of `module` that may be its head, or the one called `name`."""
    if name is not None:
        parts = {find_submodule(module, name): name}
    else:
        # A module that is more than a layer gives its own logits, and maps no embeddings.
        parts = {part: key for key, part in module.named_modules() if _may_be_head(part, is_root=part is module)}
    calls = Calls(parts, name is not None)
    try:
        yield calls
    finally:
        calls.remove()


def _may_be_head(part: nn.Module, *, is_root: bool) -> bool:
    return isinstance(part, nn.Linear) or (not is_root and _has_weight(part))


def _has_weight(part: nn.Module) -> bool:
    return any(isinstance(p, UninitializedParameter) or p.ndim >= 2 for p in part.parameters())


def explains(call: Call, proba: torch.Tensor) -> bool:
    """Whether softmax(head(embeddings)) is `proba`."""
    embeddings, logits = call["embeddings"], call["logits"]
    if embeddings.ndim != 2 or logits.shape != proba.shape:
        return False
    tolerance = max(1e-5, 10 * torch.finfo(proba.dtype).eps) if proba.is_floating_point() else 1e-5
    expected = torch.softmax(logits.double(), dim=-1)
    return torch.allclose(expected, proba.to(logits.device).double(), atol=tolerance)
