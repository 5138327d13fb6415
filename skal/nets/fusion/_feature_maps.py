"""Feature maps of a network's layers, batch by batch, without running what comes after them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from ...rows import check_finite, feature_shape, net_input, read_rows
from ...utils._arrays import blocks
from ...utils._torch import resolve_device, torch_rng
from .._backbone import check_images
from .._data import image_tensor

__all__ = ["Preparation", "check_layers", "common_size", "feature_maps", "map_sizes", "smallest_map"]


# What torchvision's weights for ImageNet expect of numbers in [0, 1].
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# The side that images of different size are brought to, as torchvision's classifiers see them.
_SIDE = 224


class Preparation(NamedTuple):
    """What is done to an image before the network sees it: its height and width (None: its own), normalization."""

    size: tuple[int, int] | None = None
    normalize: bool = False


def common_size(X: Any) -> tuple[int, int] | None:
    """The size to bring images to that differ in size; None where they do not, or where `X` does not tell."""
    if feature_shape(X) or isinstance(X, Dataset):
        return None
    sizes = {tuple(np.shape(image)[1:]) for image in X}
    return (_SIDE, _SIDE) if len(sizes) > 1 else None


def feature_maps(
    module: nn.Module,
    layers: list[str],
    X: Any,
    idx: NDArray,
    *,
    batch_size: int,
    device: Any,
    check: bool,
    preparation: Preparation,
) -> Iterator[list[torch.Tensor]]:
    """Float outputs (batch, channels, h, w) of `layers` for the images `idx` of `X`, in order.

    With `check`, images are checked to be what a torchvision classifier takes. The module is on the CPU, and torch's
    generators are as they were, once the iterator is exhausted or closed.
    """
    target = torch.device(resolve_device(device))
    with _on_device(module, target), torch_rng(device=target), torch.no_grad():
        for rows in blocks(len(idx), batch_size):
            x = torch.as_tensor(net_input(_images(X, idx[rows], preparation), module))
            if check:
                check_images(module, tuple(x.shape[1:]))
            yield [output.float() for output in _run(module, layers, x.to(target))]


class _AllSeen(Exception):
    """Ends a forward pass once every layer asked for has run."""


def _run(module: nn.Module, layers: list[str], x: torch.Tensor) -> list[torch.Tensor]:
    """The outputs of `layers` for one batch; nothing that comes after the last of them is run."""
    seen: dict[str, Any] = {}

    def watch(name: str) -> Callable[..., None]:
        def record(part: nn.Module, args: Any, output: Any) -> None:
            if name not in seen:
                # A copy: what follows, an in-place ReLU say, may overwrite it.
                is_last = len(seen) == len(layers) - 1
                seen[name] = output if is_last or not isinstance(output, torch.Tensor) else output.clone()
                if is_last:
                    raise _AllSeen

        return record

    handles = [module.get_submodule(name).register_forward_hook(watch(name)) for name in layers]
    try:
        module(x)
    except _AllSeen:
        pass
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"{type(module).__name__} must accept X. Given a batch of shape {tuple(x.shape)}, it raised "
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    for name in layers:
        if name not in seen:
            raise ValueError(f"The 'layers' of FusionDescriptor must run in {type(module).__name__}. {name!r} did not.")
        if not isinstance(seen[name], torch.Tensor) or seen[name].ndim != 4:
            got = tuple(seen[name].shape) if isinstance(seen[name], torch.Tensor) else type(seen[name]).__name__
            raise ValueError(
                "The 'layers' of FusionDescriptor must output maps of shape (n, channels, h, w). "
                f"{name!r} of {type(module).__name__} outputs {got}."
            )
    return [seen[name] for name in layers]


def check_layers(module: nn.Module, layers: list[str]) -> None:
    names = [name for name, _ in module.named_modules() if name]
    unknown = [name for name in layers if name not in names]
    if unknown:
        close = difflib.get_close_matches(str(unknown[0]), names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"The 'layers' of FusionDescriptor must be submodules of {type(module).__name__}. "
            f"Got {unknown[0]!r}.{hint} Its submodules are {', '.join(names)}."
        )


def map_sizes(maps: list[torch.Tensor]) -> list[tuple[int, ...]]:
    """(channels, height, width) of each layer's maps."""
    return [tuple(x.shape[1:]) for x in maps]


def smallest_map(shapes: list[tuple[int, ...]], layers: list[str]) -> tuple[int, int]:
    """Height and width of the smallest map, which the others must be whole multiples of."""
    height, width = min(((h, w) for _, h, w in shapes), key=lambda size: size[0] * size[1])
    for layer, (_, h, w) in zip(layers, shapes):
        if h % height or w % width:
            raise ValueError(
                "The maps that FusionDescriptor fuses must be whole multiples of the smallest in height and width, "
                f"{height} x {width}. Those of layer {layer!r} are {h} x {w}: choose other layers or another size of "
                "images."
            )
    return height, width


def _images(X: Any, idx: NDArray, preparation: Preparation) -> Any:
    samples = read_rows(X, idx)
    if feature_shape(X) and preparation == Preparation():
        return samples
    images = [_prepared(image_tensor(image, f"X[{i}]"), preparation) for i, image in zip(idx, samples)]
    sizes = sorted({tuple(image.shape) for image in images})
    if len(sizes) > 1:
        raise ValueError(
            f"FusionDescriptor must see images of one size. Got {sizes[0]} and {sizes[1]}: set image_size=."
        )
    batch = torch.stack(images)
    check_finite(batch)
    return batch


def _prepared(image: torch.Tensor, preparation: Preparation) -> torch.Tensor:
    if preparation == Preparation():
        return image
    if image.ndim != 3 or (preparation.normalize and len(image) != len(_MEAN)):
        channels = len(_MEAN) if preparation.normalize else "channels"
        raise ValueError(
            f"Images must be of shape ({channels}, height, width) to be resized or normalized. "
            f"Got shape {tuple(image.shape)} instead."
        )
    if preparation.normalize and image.dtype == torch.uint8:
        image = image / 255
    image = image if image.dtype in (torch.float32, torch.float64) else image.float()
    if preparation.size is not None and tuple(image.shape[1:]) != preparation.size:
        image = F.interpolate(image[None], preparation.size, mode="bilinear", antialias=True)[0]
    if preparation.normalize:
        mean, std = torch.tensor(_MEAN).to(image)[:, None, None], torch.tensor(_STD).to(image)[:, None, None]
        image = (image - mean) / std
    return image


@contextmanager
def _on_device(module: nn.Module, device: torch.device) -> Iterator[None]:
    module.to(device)
    try:
        yield
    finally:
        module.cpu()
