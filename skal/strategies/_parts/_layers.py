"""What strategies read of a classifier's inner layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

__all__ = ["layer_features"]


def layer_features(pool: Any, layers: Sequence[str] | str | None) -> list[NDArray]:
    """Features `(n, d_l)` of each layer, averaged over positions; without `layers` the embeddings alone."""
    if layers is None:
        return [pool.embeddings]
    return pool.model.layers(pool.X_transformed, layers)[0]
