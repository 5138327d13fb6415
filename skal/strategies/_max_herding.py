"""MaxHerding: greedy coverage of the pool by kernels (Bae et al., 2024)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, make_query_function
from ..pool import PoolView
from ._parts._herding import HerdingStrategy

__all__ = ["MaxHerding", "max_herding_sampling"]


class MaxHerding(HerdingStrategy):
    """The samples that add most to how well labelled samples cover the whole pool.

    A sample is covered by the labelled sample nearest to it, the better the nearer: a soft form of what `ProbCover`
    does with balls, which needs no radius chosen with care. Made for the smallest budgets, also the first labels, and
    for embeddings that mean something without many labels, such as those of a pretrained network.

    Parameters
    ----------
    bandwidth : float > 0, default=1.0
        Width of the kernel, as a distance between embeddings of length 1, which is at most 2.
    n_candidates : int >= 1 or None, default=None
        How many samples, drawn at random, may be picked (at least `n_instances`); None: all. All of the pool is
        covered in any case.
    random_state : int, RandomState or None, default=None
        Draws the candidates and breaks ties; an integer gives the same run every time.

    Notes
    -----
    With embeddings z of the pool (`PoolView.embeddings`, shape (n, d)) scaled to length 1, the kernel
    k(a, b) = exp(-||a - b||^2 / `bandwidth`^2), and the labelled samples (`PoolView.labeled`) and those picked so far
    as S, sample j is covered by c_j = max over S of k(z_j, s), 0 where S is empty, and each pick is

    .. math:: u = \\arg\\max_i \\frac1n \\sum_j \\max\\big(k(z_i, z_j) - c_j,\\, 0\\big),
              \\qquad S \\leftarrow S \\cup \\{u\\}.

    The score is that gain. What counts is how well the sample j that is to be covered is covered already, and not the
    candidate i. Gains are those of a monotone submodular function: none ever grows, so that one from an earlier step
    is an upper bound, and only candidates that might be the best are looked at again. The answer is that of plain
    greedy, to rounding: gains that differ by less than 1e-12 of the largest possible one are ties, broken at random.

    Time: once O(n^2 d / 2), in float32 where that bounds the gains well enough (a `bandwidth` above some 0.15, with
    512 features) and float64 otherwise, and O(n d) for each candidate that is looked at again, usually a few for a
    pick, or O(n) where its kernels are still held; while little is labelled the first picks change every gain, and
    cost a pass each. With m candidates O(m n d). Memory: two copies of the embeddings, 32 MB of kernels, and blocks of
    as much; never an (n, n) array.

    Without any label it begins with what covers the pool best.

    Written from the paper alone.

    References
    ----------
    W. Bae, J. Noh and D. J. Sutherland, "Generalized coverage for more robust low-budget active learning", ECCV 2024,
    arXiv 2407.12212. W. Bae, G. L. Oliveira and D. J. Sutherland, "Uncertainty herding: one active learning method for
    all label budgets", ICLR 2025, arXiv 2412.20644.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import MaxHerding
    >>> rng = np.random.default_rng(0)
    >>> blobs = [rng.normal(center, 0.1, size=(20, 2)) for center in ([0, 1], [1, 0], [-1, 0])]
    >>> pool = np.vstack(blobs)
    >>> X, y = np.array([[0.0, 1.0], [1.0, 0.0]]), [0, 1]
    >>> clf = LogisticRegression().fit(X, y)
    >>> query_idx, _ = MaxHerding(random_state=0).select(clf, pool, X_training=X, y_training=y)
    >>> bool(query_idx[0] >= 40)  # the blob without a label
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "bandwidth": [Interval(Real, 0, None, closed="neither")],
        "n_candidates": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }
    requires = ("embeddings", "labeled")

    def __init__(
        self,
        *,
        bandwidth: float = 1.0,
        n_candidates: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.bandwidth = bandwidth
        self.n_candidates = n_candidates
        self.random_state = random_state

    def _width(self, labeled: NDArray[np.float64]) -> float:
        return float(self.bandwidth)

    def _weights(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.ones(len(pool))


max_herding_sampling = make_query_function(MaxHerding, "max_herding_sampling")
