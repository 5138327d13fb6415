"""LT/C: images with a box that is tight but uncertain, or sure but loose (Kao et al., ACCV 2018)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import ScoringStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ._parts._detection import overlaps, placed

__all__ = ["DetectionTightness", "detection_tightness_sampling"]


class DetectionTightness(ScoringStrategy):
    """LT/C: the images with a box whose class and place disagree about how sure the detector is.

    A detector of two stages moves a proposal to where it thinks the object is. A box that is far from its proposal is
    loose: the two stages disagree about it. An image is informative where a box is loose and its class sure, or tight
    and its class uncertain.

    Parameters
    ----------
    empty : {"last", "first"}, default="last"
        Where images without a box stand: after all others, or before them.
    random_state : int, RandomState or None, default=None
        Breaks ties; an integer gives the same run every time.

    Raises
    ------
    PoolCapabilityError
        A model without proposals: a classifier, or a detector of one stage, such as SSD.
    ValueError
        Detections of another form.

    Notes
    -----
    With the final boxes B_j of an image, the proposals R_j that they were moved from, and the probability P_j of the
    class that each is detected as (the detector's "scores"),

    .. math:: T_j = \\mathrm{IoU}(B_j, R_j), \\qquad J_j = |T_j + P_j - 1|,

    and the score is -min_j J_j, in [-1, 0]. Images without a box get 1 below the lowest score, or above the highest.

    Evidence: the abstract and a secondary description; no fidelity is claimed beyond that. Ours: the boxes' own class
    probabilities as P, and the place of images without boxes.

    Time: one pass over the pool. Memory: O(n).

    References
    ----------
    C.-C. Kao, T.-Y. Lee, P. Sen and M.-Y. Liu, "Localization-aware active learning for object detection", ACCV 2018,
    arXiv 1801.05124.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import DeepDetector
    >>> from skal.strategies import DetectionTightness
    >>> rng = np.random.default_rng(0)
    >>> images = list(rng.random((4, 3, 64, 64), dtype=np.float32))
    >>> targets = [{"boxes": [[4, 4, 40, 40]], "labels": ["cat"]} for _ in images]
    >>> detector = DeepDetector(
    ...     "fasterrcnn_mobilenet_v3_large_320_fpn", module__min_size=64, max_epochs=1, random_state=0
    ... ).fit(images, targets)
    >>> query_idx, scores = DetectionTightness(random_state=0).select(detector, images, n_instances=2)
    >>> bool((scores[:-1] >= scores[1:]).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "empty": [StrOptions({"last", "first"})],
        "random_state": ["random_state"],
    }
    requires = ("boxes", "proposals")
    order_free = True

    def __init__(
        self,
        *,
        empty: Literal["last", "first"] = "last",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.empty = empty
        self.random_state = random_state

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        scores = np.full(len(pool), np.nan)
        for i, found in enumerate(pool.model.proposals(pool.X_transformed, len(pool))):
            if len(found["boxes"]):
                tight = overlaps(found["boxes"], found["proposals"])
                scores[i] = -np.abs(tight + found["scores"] - 1).min()
        return placed(scores, self.empty)


detection_tightness_sampling = make_query_function(DetectionTightness, "detection_tightness_sampling")
