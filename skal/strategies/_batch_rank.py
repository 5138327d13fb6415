"""BatchRank: uncertain samples whose predictions differ, by truncated power steps (Chakraborty et al., 2015)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, QueryStrategy, make_query_function
from ..pool import PoolView
from ..utils._arrays import blocks, top_k

__all__ = ["BatchRank", "batch_rank_sampling"]

_LEAST = 1e-12  # a probability counts as at least that in a logarithm
_ROWS = 16_384  # samples worked on at once


class BatchRank(QueryStrategy):
    """The batch of uncertain samples whose predictions differ most from each other.

    Uncertainty of each sample and difference of each two are the entries of one matrix, and the batch is to have the
    largest sum of entries. That is sought by power steps that keep as many samples as are asked for.

    Parameters
    ----------
    balance : float >= 0, default=1.0
        Weight of the difference of two predictions beside the entropy of one. A batch of k has k entropies and
        k (k - 1) differences, so that large batches are mostly about these. 0 is the entropy alone.
    max_iter : int >= 0, default=100
        Most power steps; with 0 the batch is that of the row sums.
    random_state : int, RandomState or None, default=None
        Breaks ties; an integer gives the same run every time.

    Notes
    -----
    With the class probabilities p (`PoolView.proba`, shape (n, n_classes)), in nats,

    .. math:: M_{ii} = H(p_i), \\qquad
              M_{ij} = \\beta \\, \\big(\\mathrm{KL}(p_i \\Vert p_j) + \\mathrm{KL}(p_j \\Vert p_i)\\big)
              = \\beta \\, (p_i - p_j) \\cdot (\\log p_i - \\log p_j),

    beta = `balance`, the batch z in {0, 1}^n, sum z = `n_instances`, is to make z'Mz large. It starts with the largest
    row sums of M; each step takes the largest entries of M z, until the batch stays the same, or `max_iter` steps are
    done. Of all batches on the way the one with the largest z'Mz is taken: the steps may go round in a circle, since M
    has negative eigenvalues. The score of a sample is its entry of M z, what it has to do with z'Mz; largest first.

    M is never built: with l = log p and s = sum z,

    .. math:: (Mz)_i = H_i z_i + \\beta \\Big(\\sum_j z_j \\, p_j \\cdot l_j + s \\, p_i \\cdot l_i
              - p_i \\cdot \\sum_j z_j l_j - l_i \\cdot \\sum_j z_j p_j\\Big),

    O(n n_classes) time for a step, and memory for the logarithms. Probabilities below 1e-12 count as that in them. Of
    samples that are alike in all this, the same ones come first in all steps.

    Written from the abstract of the paper and secondary descriptions: no fidelity to its experiments is claimed. Ours:
    `balance`, the best batch on the way, and what ties do.

    References
    ----------
    S. Chakraborty, V. Balasubramanian, Q. Sun, S. Panchanathan and J. Ye, "Active batch selection via convex
    relaxations with guaranteed solution bounds", IEEE TPAMI 37(10), 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import BatchRank
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X[:50] / 16, y[:50])
    >>> query_idx, scores = BatchRank(random_state=0).select(clf, X[50:] / 16, n_instances=10)
    >>> len(set(query_idx.tolist())), bool((scores[:-1] >= scores[1:]).all())
    (10, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "balance": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = ("proba",)

    def __init__(
        self,
        *,
        balance: float = 1.0,
        max_iter: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.balance = balance
        self.max_iter = max_iter
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        # Ties go by position, in an order that is random once and for all steps.
        order = rng.permutation(len(pool))
        matrix = Differences(pool.proba[order], self.balance)
        batch, scores = power_steps(matrix, n_instances, self.max_iter)
        return order[batch], scores


class Differences:
    """The matrix M of entropies and differences of the rows of `proba`, by its products alone."""

    def __init__(self, proba: NDArray, balance: float) -> None:
        self.p = proba.astype(np.float64)
        self.log_p = np.log(np.maximum(self.p, _LEAST))
        self.entropy = np.maximum(-np.einsum("ij,ij->i", self.p, self.log_p), 0)
        self.balance = balance

    def row_sums(self) -> NDArray[np.float64]:
        """``M @ 1``."""
        return self._times(slice(None), len(self.p))

    def times(self, batch: NDArray[np.int64]) -> NDArray[np.float64]:
        """``M @ z`` for the z that is 1 for the rows in `batch`."""
        return self._times(batch, len(batch))

    def _times(self, chosen: Any, size: int) -> NDArray[np.float64]:
        p, log_p = self.p[chosen].sum(axis=0), self.log_p[chosen].sum(axis=0)
        own = -self.entropy[chosen].sum()
        out = np.empty(len(self.p))
        for rows in blocks(len(out), _ROWS):
            out[rows] = own - size * self.entropy[rows] - self.p[rows] @ log_p - self.log_p[rows] @ p
        # What is below 0 is rounding.
        np.maximum(out, 0, out=out)
        out *= self.balance
        out[chosen] += self.entropy[chosen]
        return out


def power_steps(matrix: Differences, size: int, max_iter: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best batch of `size` rows on the way of the truncated power steps, and its entries of M z, largest first."""
    batch = np.sort(top_k(matrix.row_sums(), size))
    best, best_values = batch, np.empty(0)
    for step in range(max_iter + 1):
        product = matrix.times(batch)
        values = product[batch]
        if step == 0 or values.sum() > best_values.sum():
            best, best_values = batch, values
        following = np.sort(top_k(product, size))
        if np.array_equal(following, batch):
            break
        batch = following
    order = np.argsort(-best_values, kind="stable")
    return best[order], best_values[order]


batch_rank_sampling = make_query_function(BatchRank, "batch_rank_sampling")
