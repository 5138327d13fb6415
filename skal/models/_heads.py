"""Which part of a torch module maps embeddings to its logits, as a run shows it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from ..utils._validation import shown

__all__ = ["Calls", "explains", "find_submodule", "last_linear"]

Call = dict[str, Any]


def find_submodule(module: nn.Module, name: str, what: str = "embedding_layer") -> nn.Module:
    """The submodule of that dotted name; `what` is the parameter that gave it, for the message."""
    try:
        return module.get_submodule(name)
    except AttributeError:
        names = ", ".join(repr(part) for part, _ in module.named_modules() if part)
        raise ValueError(
            f"{what} must be the name of a submodule of {type(module).__name__}: {names or 'it has none'}. "
            f"Got {shown(name)} instead."
        ) from None


def last_linear(module: nn.Module) -> str | None:
    """Dotted name of the `nn.Linear` that the module registers last."""
    names = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    return names[-1] if names else None


class Calls:
    """Watches, inside a `with`, the calls of the submodules that may be the head, or of the one called `name`.

    Attributes
    ----------
    module : nn.Module
        What the parts belong to.
    seen : list of (part, {"embeddings": input, "logits": output})
        The calls so far, until it is cleared.
    """

    def __init__(self, module: nn.Module, name: str | None = None) -> None:
        self.module = module
        self._named = name is not None
        if name is not None:
            self._parts = {find_submodule(module, name): name}
        else:
            # A module that is more than a layer gives its own logits, and maps no embeddings.
            self._parts = {p: key for key, p in module.named_modules() if _may_be_head(p, is_root=p is module)}
        self.seen: list[tuple[nn.Module, Call]] = []
        self._handles: list[Any] = []

    def __enter__(self) -> Calls:
        self._handles = [part.register_forward_hook(self._record) for part in self._parts]
        return self

    def __exit__(self, *args: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _record(self, part: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        # Anything else than rows to rows is no head, and not worth its memory.
        is_plain = len(args) == 1 and isinstance(args[0], torch.Tensor) and isinstance(output, torch.Tensor)
        if is_plain and (args[0].ndim == output.ndim == 2 or self._named):
            self.seen.append((part, {"embeddings": args[0], "logits": output}))

    def head(self, is_right: Callable[[Call], bool]) -> tuple[nn.Module, Call] | None:
        """The call of the head among those so far: the last `nn.Linear` that is right, else the smallest part with a
        weight."""
        right = [(part, call) for part, call in self.seen if is_right(call)]
        linear = [found for found in right if isinstance(found[0], nn.Linear)]
        if linear or self._named:
            return next(iter((linear or right)[-1:]), None)
        # Of equally small ones the last, which is found before those around it.
        heavy = [found for found in reversed(right) if _has_weight(found[0])]
        return min(heavy, key=lambda found: len(list(found[0].modules())), default=None)

    def settle(self, proba: torch.Tensor) -> str | None:
        """Name of the part of which softmax(head(embeddings)) is `proba`; it alone is watched from now on."""
        found = self.head(partial(explains, proba=proba))
        if found is None:
            return None
        if len(self._handles) > 1:
            self.__exit__()
            self._handles = [found[0].register_forward_hook(self._record)]
        self.seen = [found]
        return self._parts[found[0]]

    def name_of(self, output: torch.Tensor) -> str | None:
        """Name of the head that gives `output`."""
        found = self.head(partial(_gives, output=output))
        return None if found is None else self._parts[found[0]]

    def last_linear(self) -> str | None:
        """Name of the `nn.Linear` (or the named part) that ran last, whatever it gave."""
        names = [self._parts[part] for part, _ in self.seen if self._named or isinstance(part, nn.Linear)]
        return names[-1] if names else None


def _gives(call: Call, output: torch.Tensor) -> bool:
    return call["logits"].shape == output.shape and torch.allclose(call["logits"], output, rtol=1e-3, atol=1e-5)


def _may_be_head(part: nn.Module, *, is_root: bool) -> bool:
    return isinstance(part, nn.Linear) or (not is_root and _has_weight(part))


def _has_weight(part: nn.Module) -> bool:
    return any(isinstance(p, UninitializedParameter) or p.ndim >= 2 for p in part.parameters())


def explains(call: Call, proba: torch.Tensor) -> bool:
    """Whether softmax(head(embeddings)) is `proba`, to the precision of these."""
    embeddings, logits = call["embeddings"], call["logits"]
    if embeddings.ndim != 2 or logits.shape != proba.shape:
        return False
    is_float = proba.is_floating_point()
    tolerance = max(1e-5, 10 * torch.finfo(proba.dtype).eps) if is_float else 1e-5
    # Single precision at least; not double, which some accelerators compute slowly, and others not at all.
    dtype = torch.promote_types(logits.dtype, torch.float32)
    expected = torch.softmax(logits.to(dtype), dim=-1)
    return torch.allclose(expected, proba.to(expected), atol=tolerance)
