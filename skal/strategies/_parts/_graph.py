"""What CoreGCN and UncertainGCN share: a graph network that tells labelled samples from the rest of the pool."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import Interval
from ...pool import PoolView
from ...utils._random import sklearn_seed
from ._helpers import helper_device

__all__ = ["GRAPH_CONSTRAINTS", "GraphMixin"]

GRAPH_CONSTRAINTS: dict[str, list[Any]] = {
    "hidden": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "unlabeled_weight": [Interval(Real, 0, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "n_train": [Interval(Integral, 1, None, closed="left"), None],
    "random_state": ["random_state"],
}


class GraphMixin:
    """Trains a `skal.nets.GraphSelector` in each query."""

    hidden: int
    dropout: float
    unlabeled_weight: float
    lr: float
    weight_decay: float
    max_epochs: int
    n_train: int | None

    @property
    def begins(self) -> bool:
        """Without a label there is nothing to tell apart."""
        return False

    def _trained(self, pool: PoolView, rng: np.random.Generator) -> tuple[Any, NDArray]:
        """The network, and the samples of its graph: those of the pool, then the labelled ones."""
        from ...nets import GraphSelector

        seed, n = sklearn_seed(rng), len(pool)
        X = np.concatenate([pool.embeddings, pool.labeled.embeddings])  # type: ignore[union-attr]
        rows = np.arange(len(X))
        if self.n_train is not None and self.n_train < n:
            rows = np.concatenate([np.sort(rng.choice(n, size=self.n_train, replace=False)), rows[n:]])
        selector = GraphSelector(
            hidden=self.hidden,
            dropout=self.dropout,
            unlabeled_weight=self.unlabeled_weight,
            lr=self.lr,
            weight_decay=self.weight_decay,
            max_epochs=self.max_epochs,
            device=helper_device(pool),
            random_state=seed,
            verbose=pool.verbose,
        )
        return selector.fit(X if len(rows) == len(X) else X[rows], rows >= n), X
