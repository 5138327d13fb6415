"""BAIT with a binary likelihood: batches by Fisher information (Ash et al., NeurIPS 2021)."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, QueryStrategy, make_query_function
from ..pool import PoolView
from ._parts._clustering import random_argmax

__all__ = ["BAIT", "bait_sampling"]

_SINGULAR = 1e-12  # a prior weaker than this share of the information is lost to rounding


class BAIT(QueryStrategy):
    """The batch that leaves least of the pool's Fisher information unknown, by a binary likelihood.

    Each sample tells something about the last layer's weights, in the direction of its embedding and the more, the less
    sure the classifier is. The batch is chosen so that what labelled samples and batch tell, together, is what the
    predictions on the whole pool hang on: uncertain samples in directions that matter for many.

    Parameters
    ----------
    regularization : float > 0, default=1.0
        Weight of the prior: how much of each direction counts as known before anything is labelled.
    oversampling : float >= 1, default=2
        So many times `n_instances` samples are picked greedily, and then dropped down to `n_instances`.
    random_state : int, RandomState or None, default=None
        Breaks ties; an integer gives the same run every time.

    Notes
    -----
    With embeddings h (`PoolView.embeddings`, shape (n, d)) and p the largest probability (`PoolView.proba`), the
    Fisher information of "is the predicted class right?" by the weights is v v' with v = sqrt(p (1 - p)) h. For n pool
    samples, m labelled ones (`PoolView.labeled`) and B = `n_instances`:

    .. math:: F = \\frac{1}{n + m} \\sum_{\\text{pool, labelled}} v v', \\qquad
              M = \\lambda I + \\frac{1}{m + B} \\sum_{\\text{labelled}} v v'
              + \\frac{B}{m + B} \\sum_{\\text{batch}} v v',

    and the batch shall make tr(M^-1 F) small. With pool samples scaled by (B / (m + B))^1/2, q = v' M^-1 v and s = v'
    M^-1 F M^-1 v, a pick takes s / (1 + q) off the trace: the largest is picked, `oversampling` x B times, and then
    again and again that one of the picks is dropped without which the trace grows least, s / (1 - q). The score is
    what a sample took off the trace when it was picked; the order is that of picking.

    The inverse is kept up to date by the Sherman-Morrison formula, and so are q and s of all samples: a pick is two
    matrix-vector products. O((n + m) d^2 + oversampling B (n d + d^2)) time, O(n d + d^2) memory. Where the
    regularization is below 1e-12 of the largest information in any direction, it counts as that.

    The binary likelihood keeps one row for each sample, where the multi-class one has as many rows as classes, of
    length n_classes x d; that form is not part of this.

    References
    ----------
    J. T. Ash, S. Goel, A. Krishnamurthy and S. Kakade, "Gone fishing: neural active learning with Fisher embeddings",
    NeurIPS 2021, arXiv 2106.09675. The binary likelihood: D. Huseljic, P. Hahn, M. Herde, L. Rauch and B. Sick, "Fast
    Fishing: approximating BAIT for efficient and scalable deep active image classification", ECML PKDD 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import BAIT
    >>> X, y = load_digits(return_X_y=True)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=1000), BAIT(random_state=0), X[:50] / 16, y[:50])
    >>> query_idx, X_query, scores = learner.query(X[50:] / 16, n_instances=10, return_metrics=True)
    >>> len(set(query_idx.tolist())), bool((scores > 0).all())
    (10, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "oversampling": [Interval(Real, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = ("embeddings", "proba", "labeled")

    def __init__(
        self,
        *,
        regularization: float = 1.0,
        oversampling: float = 2,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.regularization = regularization
        self.oversampling = oversampling
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        v = _rows(pool)
        labeled = _rows(pool.labeled) if pool.n_labeled else v[:0]
        known = labeled.T @ labeled
        fisher = (v.T @ v + known) / (len(v) + len(labeled))
        n_total = len(labeled) + n_instances
        v *= math.sqrt(n_instances / n_total)
        known /= n_total
        # What is lost to rounding beside the information there is.
        weakest = _SINGULAR * max(known.trace(), np.einsum("ij,ij->i", v, v).max())
        known[np.diag_indices(len(known))] += max(self.regularization, weakest)
        n_picks = math.ceil(min(len(v), self.oversampling * n_instances))
        picks, scores = forward(v, np.linalg.inv(known), fisher, n_picks, rng)
        known += v[picks].T @ v[picks]
        kept = backward(v[picks], np.linalg.inv(known), fisher, n_instances, rng)
        return picks[kept], scores[kept]


def _rows(view: Any) -> NDArray[np.float64]:
    """What each sample tells, as a vector `(n, d)`, in an array that may be written to."""
    p = view.proba.max(axis=1).astype(np.float64)
    v = np.sqrt(np.maximum(p * (1 - p), 0))[:, None] * view.embeddings.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        # Four of them are multiplied.
        if not np.isfinite(np.einsum("ij,ij->i", v, v) ** 2).all():
            raise ValueError(
                "BAIT takes embeddings to the power of 4, which must be below 1e75. Got larger ones: scale the "
                "samples, by StandardScaler for example."
            )
    return v


def forward(
    v: NDArray, inverse: NDArray, fisher: NDArray, n_picks: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Greedy picks and what each takes off the trace of ``inverse @ fisher``; `inverse` is without them."""
    a = v @ inverse
    q, s = np.einsum("ij,ij->i", a, v), np.einsum("ij,ij->i", a @ fisher, a)
    inverse, is_left = inverse.copy(), np.ones(len(v), dtype=bool)
    picks, scores = np.empty(n_picks, dtype=np.int64), np.empty(n_picks)
    for step in range(n_picks):
        gains = np.where(is_left, s / (1 + q), -np.inf)
        pick = random_argmax(gains, rng)
        picks[step], scores[step] = pick, gains[pick]
        is_left[pick] = False
        _update(v, inverse, fisher, q, s, pick, 1.0)
    return picks, scores


def backward(v: NDArray, inverse: NDArray, fisher: NDArray, n_left: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of `v` that stay, ascending, when those are dropped without which the trace grows least."""
    a = v @ inverse
    q, s = np.einsum("ij,ij->i", a, v), np.einsum("ij,ij->i", a @ fisher, a)
    inverse, is_left = inverse.copy(), np.ones(len(v), dtype=bool)
    for _ in range(len(v) - n_left):
        pick = random_argmax(np.where(is_left, -s / (1 - q), -np.inf), rng)
        is_left[pick] = False
        _update(v, inverse, fisher, q, s, pick, -1.0)
    return np.flatnonzero(is_left)


def _update(v: NDArray, inverse: NDArray, fisher: NDArray, q: NDArray, s: NDArray, pick: int, sign: float) -> None:
    """`inverse`, `q` and `s`, in place, when the outer product of a row is added (1) or taken off (-1)."""
    a = inverse @ v[pick]
    b = fisher @ a
    scale = sign / (1 + sign * (v[pick] @ a))
    along, across = v @ a, v @ (inverse @ b)
    q -= scale * along**2
    s += scale * along * (scale * (a @ b) * along - 2 * across)
    inverse -= scale * np.outer(a, a)


bait_sampling = make_query_function(BAIT, "bait_sampling")
