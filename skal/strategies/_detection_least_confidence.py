"""RLC: UFFM's least confidence over all the boxes of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base import make_query_function
from ._parts._detection import DetectionUncertainty

__all__ = ["DetectionLeastConfidence", "detection_least_confidence_sampling"]


class DetectionLeastConfidence(DetectionUncertainty):
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


detection_least_confidence_sampling = make_query_function(
    DetectionLeastConfidence, "detection_least_confidence_sampling"
)
