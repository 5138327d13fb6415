"""RMS: UFFM's margin over all the boxes of an image."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import StrOptions, make_query_function
from ._parts._detection import DetectionUncertainty

__all__ = ["DetectionMargin", "detection_margin_sampling"]


class DetectionMargin(DetectionUncertainty):
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
        **DetectionUncertainty._parameter_constraints,
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


detection_margin_sampling = make_query_function(DetectionMargin, "detection_margin_sampling")
