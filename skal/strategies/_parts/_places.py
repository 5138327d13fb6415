"""Where selection works: on the model's accelerator, where its outputs lie there, else on the host."""

from __future__ import annotations

from typing import Any

from ...pool import PoolView
from ...utils._arrays import beside

__all__ = ["place_of_both"]


def place_of_both(pool: PoolView) -> tuple[Any, Any]:
    """Embeddings of the pool and of the labelled samples, both as arrays, or both as tensors on one device."""
    z = pool.on_device("embeddings")
    return z, beside(pool.labeled.on_device("embeddings"), z)  # type: ignore[union-attr]
