"""UFFM's uncertainties for object detection: the classic three, over all the boxes of an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from ..base import ScoringStrategy, StrOptions, make_query_function
from ..pool import PoolView

__all__ = [
    "DetectionEntropy",
    "DetectionLeastConfidence",
    "DetectionMargin",
    "detection_entropy_sampling",
    "detection_least_confidence_sampling",
    "detection_margin_sampling",
]

_AGGREGATE: dict[str, Callable[[NDArray], Any]] = {"sum": np.sum, "mean": np.mean, "max": np.max}


class _DetectionUncertainty(ScoringStrategy):
    """Scores of images from the class distributions of their boxes alone."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "aggregation": [StrOptions({"sum", "mean", "max"})],
        "empty": [StrOptions({"last", "first"})],
        "random_state": ["random_state"],
    }
    requires = ("boxes",)
    order_free = True

    def __init__(
        self,
        *,
        aggregation: Literal["sum", "mean", "max"] = "sum",
        empty: Literal["last", "first"] = "last",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.aggregation = aggregation
        self.empty = empty
        self.random_state = random_state

    def _uncertainty(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of each box, `(n_boxes,)`; larger is more uncertain."""
        raise NotImplementedError

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[Any]:
        aggregate = _AGGREGATE[self.aggregation]
        scores = np.full(len(pool), np.nan)
        for i, proba in enumerate(pool.iter_box_proba(by=self.__name__)):
            if len(proba):
                scores[i] = aggregate(self._uncertainty(proba.astype(np.float64)))
        is_empty = np.isnan(scores)
        if is_empty.all():
            return np.zeros(len(pool))
        found = scores[~is_empty]
        scores[is_empty] = found.min() - 1 if self.empty == "last" else found.max() + 1
        return scores


class DetectionLeastConfidence(_DetectionUncertainty):
    """RLC: the images whose boxes' most probable classes are least probable.

    Parameters
    ----------
    aggregation : {"sum", "mean", "max"}, default="sum"
        What is made of an image's boxes. The sum is the paper's and prefers images with many objects; the maximum is
        the single-object uncertainty that the paper improves on.
    empty : {"last", "first"}, default="last"
        Where images without a box stand: after all others, or before them. A detector that has learned little finds
        nothing in just the images it should learn from.
    random_state : int, RandomState or None, default=None
        Breaks ties; an integer gives the same run every time.

    Raises
    ------
    PoolCapabilityError
        A model that tells no class distributions of boxes, such as a classifier.
    ValueError
        Distributions that are none: of another shape, below 0 or above 1.

    Notes
    -----
    With the class distribution p^j of box j of an image (a row of its array in `PoolView.box_proba`, shape
    (n_boxes, n_columns); `skal.nets.DeepDetector` counts the background as a class, so that boxes which surely hold
    nothing count for nothing),

    .. math:: I_{RLC} = \\sum_{j} (1 - \\max_i p_i^j) \\qquad \\text{(eq. 13)}

    which is in [0, n_boxes). Differences from the paper: it writes arg max for max; it does not say what an image
    without boxes gets, which here is 1 below the least score of the others (1 above the largest with
    ``empty="first"``, and 0 where no image has a box).

    The sums depend on how many boxes the detector keeps: see `score_threshold` of `DeepDetector`. One pass of the
    detector over the pool, then time O(n n_boxes n_columns); the distributions of few images are held at a time.

    References
    ----------
    W. Huang et al., "Unsupervised fusion feature matching for data bias in uncertainty active learning", IEEE
    Transactions on Neural Networks and Learning Systems, 2024, section III-D, doi 10.1109/TNNLS.2022.3209085.

    Examples
    --------
    Any detector whose `predict_proba` returns one array (n_boxes, n_classes) for each image will do:

    >>> import numpy as np
    >>> from skal.strategies import DetectionLeastConfidence
    >>> class Detector:
    ...     def predict_proba(self, images):
    ...         return [np.array(image) for image in images]
    >>> pool = [[[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]], [[0.8, 0.1, 0.1]], []]
    >>> DetectionLeastConfidence().score_samples(Detector(), pool).round(2).tolist()
    [0.6, 0.2, -0.8]
    """

    def _uncertainty(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 - proba.max(axis=1)


class DetectionMargin(_DetectionUncertainty):
    """RMS: the images whose boxes' two most probable classes are closest.

    Parameters
    ----------
    aggregation : {"sum", "mean", "max"}, default="sum"
        What is made of an image's boxes, as in `DetectionLeastConfidence`; "max" is the box with the smallest margin.
    margin : {"printed", "one_minus"}, default="printed"
        A box's uncertainty: minus its margin, as printed, or one minus its margin.
    empty : {"last", "first"}, default="last"
        Where images without a box stand: after all others, or before them.
    random_state : int, RandomState or None, default=None
        Breaks ties; an integer gives the same run every time.

    Raises
    ------
    PoolCapabilityError
        A model that tells no class distributions of boxes, such as a classifier.
    ValueError
        Distributions that are none: of another shape, below 0 or above 1.

    Notes
    -----
    With the two largest entries of the class distribution p^j of box j (a row of the image's array in
    `PoolView.box_proba`, shape (n_boxes, n_columns)), the paper's

    .. math:: I_{RMS} = \\sum_j (p_{(1)}^j - p_{(2)}^j) \\qquad \\text{(eq. 14)}

    is lower for more uncertain images; the score is its negative. Printed so, each further box makes an image *less*
    interesting, against the paper's intent and the other two uncertainties: with ``margin="one_minus"`` the score is
    :math:`\\sum_j (1 - p_{(1)}^j + p_{(2)}^j)`. For means and maxima the two differ by a constant. With one class
    known, p_(2) is 0.

    Other differences from the paper, images without boxes, time and memory: as in `DetectionLeastConfidence`.

    References
    ----------
    W. Huang et al., "Unsupervised fusion feature matching for data bias in uncertainty active learning", IEEE
    Transactions on Neural Networks and Learning Systems, 2024, section III-D, doi 10.1109/TNNLS.2022.3209085.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.strategies import DetectionMargin
    >>> class Detector:
    ...     def predict_proba(self, images):
    ...         return [np.array(image) for image in images]
    >>> pool = [[[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]], [[0.8, 0.1, 0.1]]]
    >>> DetectionMargin().score_samples(Detector(), pool).round(2).tolist()
    [-1.05, -0.7]
    >>> DetectionMargin(margin="one_minus").score_samples(Detector(), pool).round(2).tolist()
    [0.95, 0.3]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_DetectionUncertainty._parameter_constraints,
        "margin": [StrOptions({"printed", "one_minus"})],
    }

    def __init__(
        self,
        *,
        aggregation: Literal["sum", "mean", "max"] = "sum",
        margin: Literal["printed", "one_minus"] = "printed",
        empty: Literal["last", "first"] = "last",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(aggregation=aggregation, empty=empty, random_state=random_state)
        self.margin = margin

    def _uncertainty(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        if proba.shape[1] == 1:
            margins = proba[:, 0]
        else:
            top_two = np.partition(proba, -2, axis=1)[:, -2:]
            margins = top_two[:, 1] - top_two[:, 0]
        return -margins if self.margin == "printed" else 1 - margins


class DetectionEntropy(_DetectionUncertainty):
    """RES: the images whose boxes' class distributions have the highest entropy.

    Parameters
    ----------
    aggregation : {"sum", "mean", "max"}, default="sum"
        What is made of an image's boxes, as in `DetectionLeastConfidence`.
    empty : {"last", "first"}, default="last"
        Where images without a box stand: after all others, or before them.
    random_state : int, RandomState or None, default=None
        Breaks ties; an integer gives the same run every time.

    Raises
    ------
    PoolCapabilityError
        A model that tells no class distributions of boxes, such as a classifier.
    ValueError
        Distributions that are none: of another shape, below 0 or above 1.

    Notes
    -----
    With the class distribution p^j of box j (a row of the image's array in `PoolView.box_proba`, shape
    (n_boxes, n_columns)), natural logarithm and 0 log 0 = 0, the paper's

    .. math:: I_{RES} = \\sum_j \\sum_i p_i^j \\log p_i^j \\qquad \\text{(eq. 15)}

    is lower for more uncertain images; the score is its negative, in [0, n_boxes log n_columns].

    Other differences from the paper, images without boxes, time and memory: as in `DetectionLeastConfidence`.

    References
    ----------
    W. Huang et al., "Unsupervised fusion feature matching for data bias in uncertainty active learning", IEEE
    Transactions on Neural Networks and Learning Systems, 2024, section III-D, doi 10.1109/TNNLS.2022.3209085.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.strategies import DetectionEntropy
    >>> class Detector:
    ...     def predict_proba(self, images):
    ...         return [np.array(image) for image in images]
    >>> pool = [[[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]], [[0.8, 0.1, 0.1]]]
    >>> query_idx, scores = DetectionEntropy().select(Detector(), pool, n_instances=1)
    >>> query_idx.tolist(), scores.round(6).tolist()
    ([0], [1.424051])
    """

    def _uncertainty(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        return entr(proba).sum(axis=1)


detection_least_confidence_sampling = make_query_function(
    DetectionLeastConfidence, "detection_least_confidence_sampling"
)
detection_margin_sampling = make_query_function(DetectionMargin, "detection_margin_sampling")
detection_entropy_sampling = make_query_function(DetectionEntropy, "detection_entropy_sampling")
