"""UncertaintyHerding: greedy coverage of what the model is uncertain about (Bae et al., ICLR 2025)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, StrOptions, make_query_function, requirement
from ..pool import PoolView
from ..utils._arrays import blocks
from ._parts._calibration import best_temperature, held_out_proba, tempered
from ._parts._clustering import squared_distances
from ._parts._herding import HerdingStrategy
from ._parts._uncertainty import margins

__all__ = ["UncertaintyHerding", "uncertainty_herding_sampling"]

_HELD_OUT = 0.2  # of the labelled samples
_ROWS = 1024
_SCORED = 65_536  # samples whose tempered probabilities are held at once


class UncertaintyHerding(HerdingStrategy):
    """The samples that add most to how well labelled samples cover what the classifier is uncertain about.

    `MaxHerding`, where each sample of the pool counts as much as the classifier is uncertain of it: with few labels all
    count nearly alike, and with many the method turns to uncertainty by itself, since the kernel narrows with the
    distances between labelled samples. For any budget, on embeddings that mean something.

    Parameters
    ----------
    bandwidth : float > 0 or "auto", default="auto"
        Width of the kernel, as a distance between embeddings of length 1. "auto": the smallest positive distance
        between two labelled samples, or 1 where there is none.
    calibrate : bool, default=True
        Whether probabilities are scaled by a temperature first, for which a clone of the classifier is trained in each
        query. False for a classifier that cannot be cloned, or where a fit costs too much.
    n_candidates : int >= 1 or None, default=None
        How many samples, drawn at random, may be picked (at least `n_instances`); None: all. All of the pool is
        covered in any case.
    random_state : int, RandomState or None, default=None
        Draws the samples held out and the candidates, seeds the clone and breaks ties; an integer gives the same run
        every time.

    Notes
    -----
    With embeddings z of the pool (`PoolView.embeddings`, shape (n, d)) scaled to length 1, the kernel
    k(a, b) = exp(-||a - b||^2 / `bandwidth`^2), and the labelled samples (`PoolView.labeled`) and those picked so far
    as S, sample j is covered by c_j = max over S of k(z_j, s), its uncertainty U_j is one less the margin of the two
    largest probabilities (`PoolView.proba`, shape (n, n_classes), each to the power 1 / T and normalised), and each
    pick is

    .. math:: u = \\arg\\max_i \\frac1n \\sum_j U_j \\max\\big(k(z_i, z_j) - c_j,\\, 0\\big),
              \\qquad S \\leftarrow S \\cup \\{u\\}.

    The score is that gain. Uncertainty and coverage are those of the sample j that is to be covered, and not of the
    candidate i.

    T in [0.1, 10] is the temperature of the least expected calibration error (15 bins) on a random fifth of the
    labelled samples, by a clone trained on the rest. It is 1 where that rest has one class only. U is 1 where nothing
    is labelled, where there is one class only, or where no sample is uncertain at all.

    Time: as `MaxHerding`, with n^2 d in float64 products where the bandwidth is below some 0.15; with ``calibrate`` a
    fit and 201 passes over the probabilities held out. Memory: as `MaxHerding`.

    Written from the paper alone. Ours: the grid of temperatures, and what happens in the cases without one.

    References
    ----------
    W. Bae, G. L. Oliveira and D. J. Sutherland, "Uncertainty herding: one active learning method for all label
    budgets", ICLR 2025, arXiv 2412.20644. The temperature: C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On
    calibration of modern neural networks", ICML 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import UncertaintyHerding
    >>> X, y = load_digits(return_X_y=True)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=500), UncertaintyHerding(random_state=0), X[:50], y[:50])
    >>> query_idx, X_query, scores = learner.query(X[50:], n_instances=5, return_metrics=True)
    >>> bool((scores[:-1] >= scores[1:]).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "bandwidth": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "calibrate": ["boolean"],
        "n_candidates": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }
    requires = requirement(
        ("embeddings", "proba", "labeled", "clones"),
        lambda strategy: ("embeddings", "proba", "labeled", *(("clones",) if strategy.calibrate else ())),
    )

    def __init__(
        self,
        *,
        bandwidth: float | Literal["auto"] = "auto",
        calibrate: bool = True,
        n_candidates: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.bandwidth = bandwidth
        self.calibrate = calibrate
        self.n_candidates = n_candidates
        self.random_state = random_state

    @property
    def begins(self) -> bool:
        """Embeddings alone are enough for the first labels: nothing is more certain than anything else."""
        return True

    def _width(self, labeled: NDArray[np.float64]) -> float:
        return smallest_distance(labeled) if self.bandwidth == "auto" else float(self.bandwidth)

    def _weights(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        if len(pool.labeled) == 0 or pool.proba.shape[1] == 1:  # type: ignore[arg-type]
            return np.ones(len(pool))
        held = held_out_proba(pool, _HELD_OUT, rng, str(self.__name__)) if self.calibrate else None
        temperature = 1.0 if held is None else best_temperature(*held)
        weights = np.empty(len(pool))
        for rows in blocks(len(pool), _SCORED):
            weights[rows] = 1 - margins(tempered(pool.proba[rows], temperature))
        return weights if weights.any() else np.ones(len(pool))


def smallest_distance(z: NDArray[np.float64]) -> float:
    """The smallest positive distance between two rows; 1 where there is none."""
    sq_norms = np.einsum("ij,ij->i", z, z)
    smallest = np.inf
    for rows in blocks(len(z), _ROWS):
        found = squared_distances(z[rows] @ z.T, sq_norms[rows, None], sq_norms)
        smallest = found.min(initial=smallest, where=found > 0)
    return float(np.sqrt(smallest)) if np.isfinite(smallest) else 1.0


uncertainty_herding_sampling = make_query_function(UncertaintyHerding, "uncertainty_herding_sampling")
