"""Data on its way through skorch: a sample, or its features, travels with its weight in one dict."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from skorch.dataset import Dataset as SkorchDataset
from skorch.utils import to_tensor
from torch import nn
from torch.utils.data import Dataset, RandomSampler, Sampler, Subset, default_collate

from ..rows import net_input
from ..utils._arrays import blocks

__all__ = [
    "FEATURES",
    "INPUT",
    "WEIGHT",
    "BatchReader",
    "BatchesInOrder",
    "PackedData",
    "ShuffledBatches",
    "as_tensor",
    "batch_reader",
    "collate_samples",
    "detached",
    "entered",
    "image_tensor",
    "in_channels_last",
    "is_packed",
    "is_training_data",
    "uncast",
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


class BatchReader(Dataset):
    """The rows `places` of a dataset of tensors, of which a batch is read at once, not row by row."""

    def __init__(self, data: SkorchDataset, places: NDArray[np.int64] | None) -> None:
        self.data, self.places = data, places
        self._codes = self._weight = None
        if isinstance(data, PackedData):
            self._codes = None if data.codes is None else as_tensor(np.ascontiguousarray(data.codes))
            self._weight = None if data.weight is None else as_tensor(np.ascontiguousarray(data.weight))

    def __len__(self) -> int:
        return len(self.data) if self.places is None else len(self.places)

    def __getitems__(self, rows: list[int] | torch.Tensor) -> _Batch:
        return self._read(torch.as_tensor(rows if self.places is None else self.places[np.asarray(rows)]))

    def between(self, rows: slice) -> _Batch:
        """The consecutive rows of a slice with both ends."""
        return self._read(rows if self.places is None else torch.from_numpy(self.places[rows]))

    def _read(self, rows: torch.Tensor | slice) -> _Batch:
        n = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        if not isinstance(self.data, PackedData):
            return _Batch((_taken(self.data.X, rows), torch.zeros(n, 1)))
        packed = {self.data.key: _taken(self.data.samples.X, rows)}
        if self._weight is not None:
            packed[WEIGHT] = _taken(self._weight, rows)
        codes = torch.zeros(n, dtype=torch.int64) if self._codes is None else _taken(self._codes, rows)
        return _Batch((packed, codes))


def _taken(X: Any, rows: torch.Tensor | slice) -> Any:
    if isinstance(X, dict):
        return {key: _taken(value, rows) for key, value in X.items()}
    # Copies: a module may work in place. In the order of C, whatever that of the whole: kernels round by it.
    return X[rows].clone(memory_format=torch.contiguous_format) if isinstance(rows, slice) else X[rows].contiguous()


class BatchesInOrder:
    """What a DataLoader makes of a `BatchReader` in order, without its machinery."""

    def __init__(self, dataset: BatchReader, batch_size: int) -> None:
        self.dataset, self.batch_size = dataset, batch_size

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[list[Any]]:
        return (list(self.dataset.between(rows)) for rows in blocks(len(self.dataset), self.batch_size))


class ShuffledBatches(Sampler[Any]):
    """The batches that a DataLoader with shuffle=True makes of a `BatchReader`, as tensors of positions."""

    def __init__(self, dataset: BatchReader, batch_size: int) -> None:
        self._rows, self._batch_size = RandomSampler(dataset), batch_size

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def __iter__(self) -> Iterator[Any]:
        yield from torch.tensor(list(self._rows)).split(self._batch_size)


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
    return BatchReader(base, places) if base is not samples or base.y is None else data


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


# Dtypes of which a cast to the float of any module, or of one of single precision, makes nothing infinite.
_BYTES = {torch.bool, torch.uint8, torch.int8}
_WORDS = _BYTES | {torch.int16, torch.int32, torch.float16, torch.bfloat16, torch.float32}
# Of arrays that torch reads as they are.
_SHARED = (np.bool_, np.uint8, np.int8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64)


def uncast(X: Any, module: nn.Module) -> Any:
    """`X` as tensors, of their own dtype and sharing memory where that can be, for `entered` to cast batch by batch."""
    # Of the sparse matrices, dok is a mapping too.
    if isinstance(X, Mapping) and not issparse(X):
        return {key: uncast(value, module) for key, value in X.items()}
    if isinstance(X, torch.Tensor) and X.layout == torch.strided and not X.is_complex():
        return X.detach()
    is_plain = type(X) in (np.ndarray, np.memmap) and X.dtype.isnative and issubclass(X.dtype.type, _SHARED)
    if is_plain and X.ndim and all(stride >= 0 and stride % X.itemsize == 0 for stride in X.strides):
        return as_tensor(X)
    cast = net_input(X, module)
    return {key: as_tensor(value) for key, value in cast.items()} if isinstance(cast, Mapping) else as_tensor(cast)


def entered(x: Any, module: nn.Module, device: Any) -> Any:
    """A batch as `module` on `device` takes it: it travels in its own dtype, and is cast there.

    What a cast may make infinite is cast, and looked at, before it travels.
    """
    if isinstance(x, Mapping):
        return {key: entered(value, module, device) for key, value in x.items()}
    if not isinstance(x, torch.Tensor):
        return to_tensor(net_input(x, module), device)
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    if x.dtype in (_WORDS if dtype.itemsize >= 4 else _BYTES):
        x = _moved(x, device)
    return _moved(x if x.dtype is dtype else net_input(x, module), device)


def _moved(x: torch.Tensor, device: Any) -> torch.Tensor:
    """`x` on `device`; a CUDA device is not waited for."""
    return x if device is None else x.to(device, non_blocking=torch.device(device).type == "cuda")


def in_channels_last(x: Any) -> Any:
    """Images (n, channels, height, width) in the order of memory that convolutions of an accelerator prefer."""
    if isinstance(x, Mapping):
        return {key: in_channels_last(value) for key, value in x.items()}
    is_image = isinstance(x, torch.Tensor) and x.ndim == 4
    return x.contiguous(memory_format=torch.channels_last) if is_image else x


def as_tensor(X: Any) -> torch.Tensor:
    if isinstance(X, torch.Tensor):
        return X.detach()
    with warnings.catch_warnings():
        # Read-only arrays (joblib's memory maps) are never written to here.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(X)


def detached(X: Any) -> Any:
    if isinstance(X, Mapping):
        return {key: detached(value) for key, value in X.items()}
    return X.detach() if isinstance(X, torch.Tensor) else X


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
