"""Data on its way through skorch: a sample, or its features, travels with its weight in one dict."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.dataset import Dataset as SkorchDataset
from torch.utils.data import Dataset, Subset, default_collate

__all__ = [
    "FEATURES",
    "INPUT",
    "WEIGHT",
    "PackedData",
    "batch_reader",
    "collate_samples",
    "image_tensor",
    "is_packed",
    "is_training_data",
]

# Keys of a packed batch; a user's own dict of inputs lies whole under INPUT.
INPUT, FEATURES, WEIGHT = "__input__", "__features__", "__weight__"


class PackedData(SkorchDataset):
    """Rows ({key: sample, WEIGHT: weight}, code) of a dataset of samples, or of tuples that begin with one.

    `X` and `y` are what the user passed: skorch's callbacks that predict anew read them and compare labels with
    labels, while those that reuse the batches of training compare codes with codes.
    """

    def __init__(
        self,
        samples: Any,
        key: str,
        X: Any,
        y: NDArray | None = None,
        codes: NDArray | None = None,
        weight: NDArray | None = None,
    ) -> None:
        # The base class, by which skorch recognises a dataset with X and y, would index X itself.
        self.samples, self.key, self.X, self.y, self.codes, self.weight = samples, key, X, y, codes, weight

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> tuple[dict[str, Any], Any]:
        sample = self.samples[i]
        packed = {self.key: sample[0] if isinstance(sample, (tuple, list)) else sample}
        if self.weight is not None:
            packed[WEIGHT] = self.weight[i]
        return packed, 0 if self.codes is None else self.codes[i]


class _Batch(tuple):
    """Samples and labels as one batch already."""

    __slots__ = ()


class _BatchReader(Dataset):
    """The rows `places` of a dataset of tensors, of which a batch is read at once, not row by row."""

    def __init__(self, data: SkorchDataset, places: NDArray[np.int64] | None) -> None:
        self.data, self.places = data, places

    def __len__(self) -> int:
        return len(self.data) if self.places is None else len(self.places)

    def __getitems__(self, rows: list[int]) -> _Batch:
        idx = torch.as_tensor(rows if self.places is None else self.places[rows])
        if not isinstance(self.data, PackedData):
            return _Batch((_taken(self.data.X, idx), torch.zeros(len(idx), 1)))
        packed = {self.data.key: _taken(self.data.samples.X, idx)}
        if self.data.weight is not None:
            packed[WEIGHT] = torch.as_tensor(np.asarray(self.data.weight)[idx.numpy()])
        codes = 0 * idx if self.data.codes is None else torch.as_tensor(np.asarray(self.data.codes)[idx.numpy()])
        return _Batch((packed, codes))


def _taken(X: Any, idx: torch.Tensor) -> Any:
    # Copies: a module may work in place.
    return {key: value[idx] for key, value in X.items()} if isinstance(X, dict) else X[idx]


def batch_reader(data: Any) -> Any:
    """`data`, or where its samples are tensors in memory, what reads a batch of them at once for `collate_samples`."""
    base, places = data, None
    while type(base) is Subset:
        inner = np.asarray(base.indices, dtype=np.int64)
        base, places = base.dataset, inner if places is None else inner[places]
    samples = base.samples if type(base) is PackedData else base
    X = samples.X if type(samples) is SkorchDataset else None
    values = list(X.values()) if type(X) is dict else [X]
    if not values or not all(type(value) is torch.Tensor and value.layout == torch.strided for value in values):
        return data
    return _BatchReader(base, places) if base is not samples or base.y is None else data


def collate_samples(rows: Any) -> Any:
    """Samples of a Dataset as one batch, as torch makes it; where they cannot be one, the error says what to do."""
    if isinstance(rows, _Batch):
        return list(rows)
    try:
        return default_collate(rows)
    except (TypeError, RuntimeError) as error:
        line = " ".join(str(error).split())
        raise ValueError(
            "Samples of a Dataset must be numbers or tensors of one shape, or be made so by iterator_train__collate_fn "
            f"and iterator_valid__collate_fn: {line if len(line) <= 160 else line[:156] + ' ...'}"
        ) from error


def _packed(X: Any) -> PackedData | None:
    while isinstance(X, Subset):
        X = X.dataset
    return X if isinstance(X, PackedData) else None


def is_packed(X: Any) -> bool:
    """Whether `X` is a `PackedData`, or a part of one."""
    return _packed(X) is not None


def is_training_data(X: Any) -> bool:
    """Whether `X` was made for training, so that its batches hold codes in the place of labels."""
    data = _packed(X)
    return data is not None and data.codes is not None


def image_tensor(image: Any, name: str) -> torch.Tensor:
    """One image, or any array of numbers, as a tensor of a dtype that torch computes with."""
    if isinstance(image, torch.Tensor):
        return image.detach()
    try:
        image = np.asarray(image)
    except ValueError:
        image = np.empty(0, dtype=object)
    if image.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of numbers. Got dtype {image.dtype} instead.")
    if image.dtype not in (np.uint8, np.float32, np.float64) or not image.dtype.isnative:
        image = image.astype(np.float32)
    # A copy where NumPy's array is read-only, which torch would warn about, or runs backwards.
    usable = image.flags.writeable and all(stride >= 0 for stride in image.strides)
    return torch.from_numpy(image if usable else image.copy())
