"""What strategies share that train a network of their own."""

from __future__ import annotations

from typing import Any

from ...pool import PoolView
from ...utils._torch import resolve_device

__all__ = ["helper_device", "refuse_tokens"]


def helper_device(pool: PoolView) -> Any:
    """Where a helper network is trained: on the device of the classifier's network; on the CPU beside any other."""
    estimator = pool.model.estimator
    return resolve_device(estimator.device) or "cpu" if hasattr(estimator, "module_") else "cpu"


def refuse_tokens(pool: PoolView, by: Any) -> None:
    """Raise `TypeError` where the classifier reads integers as tokens: strategy `by` takes samples for numbers."""
    if pool.model.reads_tokens:
        raise TypeError(
            f"{by} describes samples as numbers, and {pool.model_name} reads integers as tokens (nn.Embedding): "
            "use a strategy that looks at embeddings, such as UncertainGCN."
        )
