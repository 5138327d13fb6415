"""Images with Gaussian noise, whatever container they are in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rows import numbers_of, read_rows
from ..utils._arrays import blocks
from ..utils._validation import kind_of

__all__ = ["noisy_images"]

_BLOCK = 64  # images


def noisy_images(X: Any, n: int, noise: float, seed: int) -> Iterator[list[NDArray[np.float32]]]:
    """The images of `X` by blocks, with noise of standard deviation `noise` on the scale of 0 to 255.

    Bytes become numbers in [0, 1]; others are taken for such. What leaves [0, 1], and the image's own range, is cut.
    The noise of an image follows from `seed` and its position alone.
    """
    for rows in blocks(n, _BLOCK):
        images = read_rows(X, np.arange(rows.start, rows.stop))
        yield [_noisy(image, noise, np.random.default_rng([seed, rows.start + i])) for i, image in enumerate(images)]


def _noisy(image: Any, noise: float, rng: np.random.Generator) -> NDArray[np.float32]:
    pixels = numbers_of(image)
    if pixels is None or pixels.size == 0:
        raise TypeError(f"X must hold images of numbers to add noise to. Got {kind_of(image)} instead.")
    clean = pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 1)
    found = clean + rng.standard_normal(clean.shape, dtype=np.float32) * np.float32(noise / 255)
    return found.clip(min(0, clean.min()), max(1, clean.max()))
