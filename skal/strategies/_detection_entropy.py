"""RES: UFFM's entropy over all the boxes of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base import make_query_function
from ..utils._arrays import entropy
from ._parts._detection import DetectionUncertainty

__all__ = ["DetectionEntropy", "detection_entropy_sampling"]


class DetectionEntropy(DetectionUncertainty):
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
        return entropy(proba)


detection_entropy_sampling = make_query_function(DetectionEntropy, "detection_entropy_sampling")
