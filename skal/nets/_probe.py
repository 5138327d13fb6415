"""One small run of a module tells its head, the number of its outputs, and whether the head comes last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from skorch.utils import to_tensor
from torch import nn

from ..models import Calls
from ..rows import net_input
from ..utils._torch import first_output, kept_modes, torch_rng
from ..utils._validation import kind_of

__all__ = ["BACKBONE_BLOCK", "probe_module", "run_backbone"]

# Rows per run of a frozen backbone on a CPU: as fast per row as more, and little waste for a single image.
BACKBONE_BLOCK = 8


class _HeadReached(Exception):
    """Ends a forward pass at the head."""


def _call(module: nn.Module, x: Any) -> Any:
    return first_output(module(**x) if isinstance(x, Mapping) else module(x))


def run_backbone(module: nn.Module, head: nn.Module, x: Any) -> torch.Tensor:
    """What enters `head` when `module` is given `x`; the head and all after it are not run."""
    seen: list[torch.Tensor] = []

    def stop(part: nn.Module, args: tuple[Any, ...]) -> None:
        seen.append(args[0])
        raise _HeadReached

    handle = head.register_forward_pre_hook(stop)
    try:
        _call(module, x)
    except _HeadReached:
        return seen[0]
    finally:
        handle.remove()
    raise ValueError(f"freeze='backbone' needs a head that {type(module).__name__} runs. Its head did not run.")


def probe_module(module: nn.Module, rows: Any, layer: str | None, *, frozen: bool) -> tuple[int, str | None]:
    """Number of outputs and dotted name of the head, seen in a run over `rows` in eval mode.

    With `frozen`, raises `ValueError` where the module's output is not that of its head.
    """
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    x = to_tensor(net_input(rows, module), device=device)
    with torch_rng(device=device), kept_modes(module), torch.no_grad(), Calls(module, layer) as calls:
        module.eval()
        try:
            output = _call(module, x)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            shape = {key: tuple(v.shape) for key, v in x.items()} if isinstance(x, Mapping) else tuple(x.shape)
            raise ValueError(
                f"{type(module).__name__} must accept X. Given a batch of shape {shape}, it raised "
                f"{type(error).__name__}: {error}"
            ) from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        got = f"shape {tuple(output.shape)}" if isinstance(output, torch.Tensor) else kind_of(output)
        raise ValueError(f"{type(module).__name__} must output one row of logits per sample. Got {got} instead.")

    head = calls.name_of(output)
    if frozen and head is None:
        raise ValueError(
            "freeze='backbone' needs a module whose output is that of its head, "
            f"{type(module).__name__}'s is not: end it in an nn.Linear, or name the submodule it "
            "ends in by embedding_layer."
        )
    return int(output.shape[1]), head if head is not None else calls.last_linear()
