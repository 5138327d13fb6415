"""Outputs of a torch module's inner layers, averaged over positions, and gradients of the loss by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..utils._validation import kind_of
from ._heads import find_submodule

__all__ = ["LayerWatch", "joined"]


class LayerWatch:
    """Keeps, inside a `with`, what some submodules return last: rows (n, channels), averaged over the axes behind.

    Parameters
    ----------
    module : nn.Module
        What the layers belong to.
    layers : sequence of str, or str
        Dotted names of submodules.
    inputs : bool, default=False
        Whether to keep what enters the layers instead.
    shifts : bool, default=False
        Whether to add to each output a zero for each row and channel, by which a gradient can be taken.
    """

    def __init__(
        self, module: nn.Module, layers: Sequence[str] | str, *, inputs: bool = False, shifts: bool = False
    ) -> None:
        self._name = type(module).__name__
        layers = [layers] if isinstance(layers, str) else layers
        if len(layers) == 0:
            raise ValueError(f"layers= must name at least one submodule of {self._name}. Got none.")
        self._parts = {name: find_submodule(module, name, "Each of layers=") for name in layers}
        self._inputs, self._shifts = inputs, shifts
        self._seen: dict[str, torch.Tensor] = {}
        self._zeros: dict[str, tuple[torch.Tensor, int]] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> LayerWatch:
        for name, part in self._parts.items():
            self._handles.append(part.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *args: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _hook(self, name: str) -> Any:
        def keep(part: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            kept = args[0] if self._inputs else output
            if not isinstance(kept, torch.Tensor) or kept.ndim < 2:
                got = f"shape {tuple(kept.shape)}" if isinstance(kept, torch.Tensor) else kind_of(kept)
                raise ValueError(
                    f"Each of layers= must output a tensor (n, channels, ...). {name!r} of {self._name} outputs {got}."
                )
            # Now, since an in-place ReLU may follow.
            self._seen[name] = kept.flatten(2).mean(dim=2) if kept.ndim > 2 else kept.clone()
            if not self._shifts:
                return None
            shape = (*kept.shape[:2], *(1 for _ in kept.shape[2:]))
            zero = torch.zeros(shape, dtype=kept.dtype, device=kept.device, requires_grad=True)
            self._zeros[name] = zero, kept[0, 0].numel()
            return output + zero

        return keep

    def take(self) -> list[torch.Tensor]:
        """The layers' rows of the last batch, in the order of `layers`."""
        for name in self._parts:
            if name not in self._seen:
                raise ValueError(f"Each of layers= must run in {self._name}. {name!r} did not.")
        seen, self._seen = self._seen, {}
        return [seen[name] for name in self._parts]

    def gradients(self, loss: torch.Tensor) -> list[torch.Tensor]:
        """Gradients of `loss` by the outputs of the last batch, averaged over positions; 0 where it hangs not on it."""
        zeros = [self._zeros[name] for name in self._parts]
        found = torch.autograd.grad(loss, [zero for zero, _ in zeros], allow_unused=True)
        pairs = zip(found, zeros)
        return [(torch.zeros_like(z) if g is None else g / size).flatten(1) for g, (z, size) in pairs]


def joined(batches: list[list[torch.Tensor]]) -> list[NDArray[np.float32]]:
    """The rows of each layer, of all batches."""
    return [torch.cat([rows.detach().cpu().float() for rows in layer]).numpy() for layer in zip(*batches)]
