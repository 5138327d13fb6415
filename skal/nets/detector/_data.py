"""Images of any size and their targets on the way through skorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ...rows import n_rows, path_in, take_rows, wrap_advice
from ...utils._arrays import blocks
from ...utils._validation import kind_of
from .._data import image_tensor

__all__ = [
    "CodedTarget",
    "DetectionData",
    "ImageBatch",
    "as_image",
    "check_images",
    "collate",
    "dataset_targets",
    "image_blocks",
    "image_sizes",
    "n_images",
    "same_size",
]


# Boxes and the numbers of the module's outputs, as torchvision takes them.
CodedTarget = dict[str, torch.Tensor]


# Images taken from a Dataset at a time; those of one size among them share batches.
_BLOCK = 64


@dataclass
class ImageBatch:
    """Images (channels, h, w) of one batch, with their targets in training. No list, whose length skorch misreads."""

    images: list[torch.Tensor]
    targets: list[dict[str, torch.Tensor]]

    def __len__(self) -> int:
        return len(self.images)


class DetectionData(Dataset):
    """Rows (image, coded target) of images.

    The targets are `targets`; or, of a Dataset of pairs, what `code` makes of the target that came with this very
    image, which an augmentation may have changed beside it.
    """

    def __init__(
        self,
        X: Any,
        channels: int,
        targets: list[CodedTarget] | None = None,
        code: Callable[[Any], CodedTarget] | None = None,
    ) -> None:
        self.X, self.channels, self.targets, self.code = X, channels, targets, code

    def __len__(self) -> int:
        return n_rows(self.X)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, CodedTarget]:
        sample, target = take_rows(self.X, i), {}
        if isinstance(self.X, Dataset) and isinstance(sample, (tuple, list)):
            sample, given = sample[0], sample[1] if len(sample) > 1 else None
            target = {} if self.code is None else self.code(given)
        return as_image(sample, self.channels, f"X[{i}]"), target if self.targets is None else self.targets[i]


def collate(rows: list[tuple[torch.Tensor, CodedTarget]]) -> tuple[ImageBatch, int]:
    """A batch as skorch takes it: what `infer` sees, and labels, which lie in it already."""
    images, targets = zip(*rows)
    return ImageBatch(list(images), list(targets)), 0


def as_image(image: Any, channels: int, name: str) -> torch.Tensor:
    """One image as a float32 tensor (channels, h, w); integers of 8 bits are scaled to [0, 1]."""
    image, _ = _checked(image, channels, name)
    return image.to(torch.float32) / 255 if image.dtype == torch.uint8 else image.to(torch.float32)


def _checked(image: Any, channels: int, name: str) -> tuple[torch.Tensor, float]:
    """The image as a tensor of its own dtype, and the size of its largest number (0 for 8-bit integers)."""
    if not hasattr(image, "shape") and not isinstance(image, (list, tuple)):
        raise TypeError(
            f"{name} must be an image as an array or a tensor (channels, height, width). Got {kind_of(image)} "
            "instead; torchvision.transforms.functional.pil_to_tensor makes one of a PIL image."
        )
    image = image_tensor(image, name)
    shape = tuple(image.shape)
    if len(shape) != 3 or shape[0] != channels or 0 in shape:
        raise ValueError(
            f"{name} must be an image of shape ({channels}, height, width). Got shape {shape} instead."
            f"{_advice(shape, channels)}"
        )
    if image.dtype == torch.uint8:
        return image, 0.0
    # NaN is the maximum of what holds one.
    largest = float(image.float().abs().max())
    if not np.isfinite(largest):
        raise ValueError(f"{name} contains NaN or infinity.")
    return image, largest


def _advice(shape: tuple[int, ...], channels: int) -> str:
    if len(shape) == 3 and shape[2] == channels:
        return " Move the channels first: image.transpose(2, 0, 1)."
    if len(shape) == 3 and shape[0] == 1:
        return f" It is grey: np.repeat(image, {channels}, axis=0)."
    if len(shape) == 3 and shape[2] == 1:
        return f" It is grey: np.repeat(image.transpose(2, 0, 1), {channels}, axis=0)."
    if len(shape) == 2:
        return f" It is grey: np.repeat(image[None], {channels}, axis=0)."
    return ""


def n_images(X: Any, owner: str) -> int:
    """The number of images, 1 or more."""
    if isinstance(X, (Mapping, str)) or not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        raise TypeError(f"X must be images: a list, an array or a Dataset. Got {kind_of(X)} instead.")
    n = n_rows(X)
    if len(getattr(X, "shape", ())) == 3:
        raise ValueError(f"X must be a list of images for {owner}. Got one image of shape {tuple(X.shape)}: pass [X].")
    if n == 0:
        raise ValueError(f"X must hold at least one image. Got an empty X for {owner}.")
    path = path_in(X)
    if path is not None:
        raise TypeError(f"X must be images for {owner}. Got paths, such as {wrap_advice(path)}.")
    return n


def check_images(X: Any, channels: int) -> float:
    """The size of the largest number in the images; all are checked, but a Dataset's, which are as they are read."""
    if isinstance(X, Dataset):
        return 0.0
    return max(_checked(take_rows(X, i), channels, f"X[{i}]")[1] for i in range(n_rows(X)))


def image_sizes(X: Any) -> list[tuple[int, int]] | None:
    """Height and width of each image; None where not all are images with few channels, or tell."""
    if isinstance(X, Dataset):
        return None
    shapes = [np.shape(take_rows(X, i)) for i in range(n_rows(X))]
    return [(shape[1], shape[2]) for shape in shapes] if all(len(s) == 3 and s[0] <= 4 for s in shapes) else None


def dataset_targets(dataset: Dataset) -> list[Any]:
    """The targets of a Dataset of pairs (image, target), by one pass over it."""
    targets = []
    for i in range(n_rows(dataset)):
        item = dataset[i]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise ValueError(
                "y must hold one target per image, or X must be a Dataset of pairs (image, target). "
                f"Got y=None and a {type(dataset).__name__} of {kind_of(item)}."
            )
        targets.append(item[1])
    return targets


def image_blocks(X: Any, channels: int, loader: dict[str, Any]) -> Iterator[list[torch.Tensor]]:
    """The images of `X` as tensors, in order, some at a time; a Dataset is read by a DataLoader."""
    data = DetectionData(X, channels)
    if isinstance(X, Dataset):
        # Every image, in order, whatever is said of batches of validation.
        own = {"batch_size": _BLOCK, "collate_fn": collate, "shuffle": False, "drop_last": False}
        kwargs = {"generator": torch.Generator(), **loader, **own}
        yield from (batch.images for batch, _ in DataLoader(data, **kwargs))
        return
    for rows in blocks(len(data), _BLOCK):
        yield [data[i][0] for i in range(rows.start, rows.stop)]


def same_size(images: list[torch.Tensor], batch_size: int) -> Iterator[list[int]]:
    """Positions of images by batches of one size, so that no image is padded because of another one."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        sizes.setdefault(tuple(image.shape), []).append(i)
    for group in sizes.values():
        for rows in blocks(len(group), batch_size):
            yield group[rows]
