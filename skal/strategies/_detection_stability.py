"""LS+C: images whose boxes move under noise, or are uncertain (Kao et al., ACCV 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, ScoringStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..utils._random import sklearn_seed
from ..utils._validation import shown
from ._parts._detection import overlaps, placed

__all__ = ["DetectionStability", "detection_stability_sampling"]


class DetectionStability(ScoringStrategy):
    """LS+C: the images whose boxes move when noise is added to the image, and whose classes are uncertain.

    A detector that is sure of where an object is finds it in the same place in a noisy image.

    Parameters
    ----------
    noise_levels : sequence of float > 0, default=(8, 16, 24, 32, 40, 48)
        Standard deviations of Gaussian noise, in grey levels of 0 to 255; each is a pass of the detector over the pool.
    stability_weight : float >= 0, default=1.0
        How much the stability of the boxes counts beside the uncertainty of their classes.
    empty : {"last", "first"}, default="last"
        Where images without a box stand: after all others, or before them.
    random_state : int, RandomState or None, default=None
        Draws the noise and breaks ties; an integer gives the same run every time.

    Raises
    ------
    PoolCapabilityError
        A model that does not tell where boxes lie, such as a classifier.
    ValueError
        Noise levels that are none; detections of another form.

    Notes
    -----
    With the boxes B_j of an image, the probability P_j of the class that each is detected as (the detector's "scores"),
    and the boxes C^s that are found under noise of level s,

    .. math::
        S_j = \\frac1{N} \\sum_s \\max_k \\mathrm{IoU}(B_j, C^s_k), \\qquad
        S = \\frac{\\sum_j P_j S_j}{\\sum_j P_j}, \\qquad U = \\max_j (1 - P_j),

    and the score is U - `stability_weight` S, in [-`stability_weight`, 1]. Where a noisy image has no box, the IoU is
    0. Images without a box get 1 below the lowest score, or above the highest.

    Evidence: the abstract, and the stability as a public example miner computes it; no fidelity is claimed beyond that.
    Ours: the boxes' own class probabilities as P, cutting noisy images to [0, 1] (to their own range, where that is
    wider), and the place of images without boxes. Bytes are scaled to [0, 1]; floats are taken to be in [0, 1].

    Time: 1 + n_levels passes over the pool. Memory: the boxes of the clean images.

    References
    ----------
    C.-C. Kao, T.-Y. Lee, P. Sen and M.-Y. Liu, "Localization-aware active learning for object detection", ACCV 2018,
    arXiv 1801.05124.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.strategies import DetectionStability
    >>> class Brightest:
    ...     '''One box, 3 pixels wide, around the brightest pixel.'''
    ...
    ...     def detect(self, images):
    ...         return [self.found(np.asarray(image)[0]) for image in images]
    ...
    ...     def found(self, image):
    ...         y, x = np.unravel_index(image.argmax(), image.shape)
    ...         return {"boxes": np.array([[x - 1, y - 1, x + 2, y + 2]]), "scores": np.array([0.9])}
    >>> images = np.zeros((2, 1, 32, 32))
    >>> images[0, 0, 4, 4], images[1, 0, 4, 4] = 0.9, 0.1  # the second drowns in noise
    >>> DetectionStability(random_state=0).select(Brightest(), images, n_instances=1)[0].tolist()
    [1]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "noise_levels": ["array-like"],
        "stability_weight": [Interval(Real, 0, None, closed="left")],
        "empty": [StrOptions({"last", "first"})],
        "random_state": ["random_state"],
    }
    requires = ("boxes", "detections")

    def __init__(
        self,
        *,
        noise_levels: Sequence[float] = (8, 16, 24, 32, 40, 48),
        stability_weight: float = 1.0,
        empty: Literal["last", "first"] = "last",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.noise_levels = noise_levels
        self.stability_weight = stability_weight
        self.empty = empty
        self.random_state = random_state

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        levels, n = self._levels(), len(pool)
        clean = list(pool.model.detections(pool.X_transformed, n))
        stability = [np.zeros(len(found["boxes"])) for found in clean]
        for level in levels:
            noisy = pool.model.detections(pool.X_transformed, n, level, sklearn_seed(rng))
            for total, found, moved in zip(stability, clean, noisy, strict=True):
                if len(moved["boxes"]):
                    total += overlaps(found["boxes"][:, None], moved["boxes"]).max(axis=1)
        scores = np.full(n, np.nan)
        for i, (found, total) in enumerate(zip(clean, stability)):
            if len(total):
                sure = found["scores"]
                weights = sure if sure.sum() > 0 else np.ones(len(sure))
                stable = np.average(total / len(levels), weights=weights)
                scores[i] = (1 - sure).max() - self.stability_weight * stable
        return placed(scores, self.empty)

    def _levels(self) -> list[float]:
        try:
            levels = [float(level) for level in self.noise_levels]
        except (TypeError, ValueError):
            levels = []
        if not levels or not all(0 < level < np.inf for level in levels):
            raise ValueError(
                "The 'noise_levels' parameter of DetectionStability must be one or more positive numbers. "
                f"Got {shown(self.noise_levels)} instead."
            )
        return levels


detection_stability_sampling = make_query_function(DetectionStability, "detection_stability_sampling")
