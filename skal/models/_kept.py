"""Outputs of passes over a pool, as arrays of the host or as tensors where the model lives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..utils._torch import room_on

__all__ = ["Kept"]


class Kept(dict[str, Any]):
    """Output by name, an array or a tensor on the accelerator, as a pass gave it; of the other kind, once it is asked
    for, a copy."""

    def __init__(self, **given: Any) -> None:
        super().__init__(given)
        self._copies: dict[str, Any] = {}

    def on_host(self, name: str) -> NDArray:
        """As an array."""
        found = self[name]
        if not isinstance(found, torch.Tensor):
            return found
        if name not in self._copies:
            self._copies[name] = found.detach().cpu().numpy()
        return self._copies[name]

    def on_device(self, name: str, device: torch.device | None) -> NDArray | torch.Tensor:
        """As a tensor on `device`, where there is one and it has room for it; else as an array."""
        found = self[name]
        if device is None or isinstance(found, torch.Tensor):
            return found
        if name not in self._copies:
            fits = found.nbytes <= room_on(device)
            # Not of a memory map, which torch would share, and could write to.
            self._copies[name] = torch.from_numpy(np.array(found)).to(device) if fits else found
        return self._copies[name]

    def rows(self, idx: Any) -> Kept:
        """The rows at the positions `idx`, or of a slice, each where its output lies."""
        return Kept(**{name: values[_index(idx, values)] for name, values in self.items()})


def _index(idx: Any, values: Any) -> Any:
    if isinstance(idx, slice) or not isinstance(values, torch.Tensor):
        return idx
    return torch.as_tensor(np.ascontiguousarray(idx), device=values.device)
