"""Training data on its way through skorch: inputs, weights and features travel together in one dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.dataset import Dataset as SkorchDataset
from torch.utils.data import Dataset, Subset

__all__ = ["FEATURES", "INPUT", "WEIGHT", "LazyData", "dataset_labels", "is_training_data", "pack"]

# Reserved keys of a packed batch. A user's own dict of inputs lies whole under INPUT.
INPUT, FEATURES, WEIGHT = "__input__", "__features__", "__weight__"


class LazyData(Dataset):
    """A map-style torch Dataset of samples, or of tuples that begin with one, in the form skorch expects."""

    def __init__(self, samples: Any, y: NDArray | None = None, weight: NDArray | None = None) -> None:
        self.samples, self.y, self.weight = samples, y, weight

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> tuple[dict[str, Any], Any]:
        sample = self.samples[i]
        packed = {INPUT: sample[0] if isinstance(sample, (tuple, list)) else sample}
        if self.weight is not None:
            packed[WEIGHT] = self.weight[i]
        return packed, 0 if self.y is None else self.y[i]


def pack(value: Any, key: str, weight: NDArray | None = None) -> dict[str, Any]:
    """`value` (and its weights) as one dict, which skorch splits into rows and batches as a whole."""
    return {key: value} if weight is None else {key: value, WEIGHT: weight}


def is_packed(X: Any) -> bool:
    return isinstance(X, Mapping) and (INPUT in X or FEATURES in X)


def is_training_data(X: Any) -> bool:
    """Whether `X` was made by `DeepClassifier` for its own training, so that its labels are codes."""
    while isinstance(X, Subset):
        X = X.dataset
    return isinstance(X, LazyData) or is_packed(X) or (isinstance(X, SkorchDataset) and is_packed(X.X))


def dataset_labels(dataset: Any) -> NDArray:
    """The labels of a torch Dataset that yields pairs (sample, label): its `targets`, or one pass over it."""
    targets = getattr(dataset, "targets", None)
    if targets is not None and len(targets) == len(dataset):
        return np.asarray(targets)
    labels = []
    for i in range(len(dataset)):
        item = dataset[i]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise ValueError(
                "y must hold one label per sample, or X must be a Dataset of pairs (sample, label). "
                f"Got y=None and a {type(dataset).__name__} of {type(item).__name__}."
            )
        label = item[1]
        labels.append(label.item() if isinstance(label, (torch.Tensor, np.generic)) else label)
    return np.asarray(labels)
