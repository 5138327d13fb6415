"""Colours and edges: a description of photos that needs no trained network."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from ..utils._validation import shown

__all__ = ["ColourEdges"]


class ColourEdges(TransformerMixin, BaseEstimator):
    """Fixed descriptors of colour images: which colours, where, and edges of which direction, where.

    What a project of images has for features where no weights of a network are at hand. Nothing is learnt: `fit` only
    returns the transformer. A pretrained network tells photos apart far better.

    Parameters
    ----------
    grid : int >= 1, default=4
        Images are looked at in `grid` x `grid` cells.
    n_levels : int >= 2, default=4
        Levels of each of red, green and blue in the histogram of colours.
    n_directions : int >= 2, default=8
        Directions of edges, of half a turn.

    Notes
    -----
    Three parts: the square roots of the shares of the image's pixels in each of ``n_levels ** 3`` colours; the mean
    red, green and blue of each cell; for each cell and direction the square root of the mean strength of the gradient
    of the brightness. With the defaults 64 + 48 + 128 = 240 numbers. Square roots make distances between histograms
    those of Hellinger.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.labeling import ColourEdges
    >>> images = np.random.default_rng(0).random((5, 3, 32, 32))
    >>> ColourEdges().fit_transform(images).shape
    (5, 240)
    """

    def __init__(self, *, grid: int = 4, n_levels: int = 4, n_directions: int = 8) -> None:
        self.grid = grid
        self.n_levels = n_levels
        self.n_directions = n_directions

    def fit(self, X: Any, y: Any = None) -> Self:
        """Nothing is learnt."""
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Descriptors of images (3, height, width) in [0, 1], which may differ in size.

        Parameters
        ----------
        X : sequence of n images, such as an array (n, 3, height, width) or `skal.rows.ImageFiles`

        Returns
        -------
        ndarray of shape (n, n_levels ** 3 + grid ** 2 * (3 + n_directions)), float32
        """
        for name, least in (("grid", 1), ("n_levels", 2), ("n_directions", 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise ValueError(
                    f"The '{name}' parameter of ColourEdges must be an int in the range [{least}, inf). "
                    f"Got {shown(value)} instead."
                )
        return np.stack([self._describe(np.asarray(X[i], dtype=np.float32)) for i in range(len(X))])

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def _describe(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        if image.ndim != 3 or image.shape[0] != 3 or min(image.shape[1:]) < self.grid:
            raise ValueError(
                f"An image of ColourEdges must have shape (3, height, width), with {self.grid} pixels or more on each "
                f"side. Got shape {image.shape}."
            )
        n_pixels = image[0].size
        levels = np.clip((image * self.n_levels).astype(int), 0, self.n_levels - 1)
        codes = (levels[0] * self.n_levels + levels[1]) * self.n_levels + levels[2]
        colours = np.bincount(codes.ravel(), minlength=self.n_levels**3) / n_pixels
        cells = self._cells(*image.shape[1:])
        sizes = np.bincount(cells.ravel(), minlength=self.grid**2)
        means = [np.bincount(cells.ravel(), channel.ravel(), self.grid**2) / sizes for channel in image]
        down, right = np.gradient(image.mean(axis=0))
        turns = np.arctan2(down, right) % np.pi / np.pi
        directions = (turns * self.n_directions + 0.5).astype(int) % self.n_directions
        places = cells * self.n_directions + directions
        strengths = np.bincount(places.ravel(), np.hypot(down, right).ravel(), self.grid**2 * self.n_directions)
        edges = strengths.reshape(self.grid**2, -1) / sizes[:, None]
        return np.concatenate([np.sqrt(colours), *means, np.sqrt(edges).ravel()]).astype(np.float32)

    def _cells(self, height: int, width: int) -> NDArray[np.int64]:
        """The number of the cell of each pixel."""
        rows, columns = (np.arange(n) * self.grid // n for n in (height, width))
        return rows[:, None] * self.grid + columns
