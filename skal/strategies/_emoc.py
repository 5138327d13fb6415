"""EMOC: samples whose label is expected to change the network's outputs most (Kaeding et al., 2016)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, ScoringStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..utils._arrays import blocks

__all__ = ["EMOC", "emoc_sampling"]

_SIDE = 2048  # rows and columns of a block of products


class EMOC(ScoringStrategy):
    """The samples whose label is expected to change the classifier's outputs most, over all samples.

    Expected model output change: if a sample had label y, one step of gradient descent on its loss would move the
    outputs of every sample, those of samples like it most. The change is averaged over all samples, and over y by the
    classifier's own probabilities. Uncertain samples in the midst of many others come first.

    Parameters
    ----------
    step_size : float > 0, default=1.0
        Of the step of gradient descent (the paper's eta). Scores are in proportion to it; the order is the same.
    n_samples : int >= 1 or None, default=None
        Over how many samples, drawn at random from the pool and the labelled ones, the change is averaged; None: all.
        All of the pool is scored in any case.
    labels : {"all", "predicted"}, default="all"
        Whether the change is expected over all labels, or that of the predicted one.
    random_state : int, RandomState or None, default=None
        Draws the samples and breaks ties; an integer gives the same run every time.

    Raises
    ------
    ValueError
        Embeddings of 1e75 or more in float64, 1e18 in float32, whose products are too large.

    Notes
    -----
    The step changes the weights and the bias of the last linear layer alone; outputs are logits. With the embeddings h
    (`PoolView.embeddings`, shape (n, d)) and probabilities p (`PoolView.proba`, shape (n, n_classes)), the softmax of a
    linear `PoolView.head`, the gradient for label y is (p - e_y) (h, 1)', so that the change of the logits of x is
    -eta (p - e_y) (h(x) . h(x') + 1), and for the candidate x' with ``labels="all"``

    .. math:: \\sum_y p_y \\, \\frac1m \\sum_x \\lVert f(x; \\theta - \\eta \\nabla L(x', y)) - f(x; \\theta) \\rVert_1
              = 2 \\eta \\Big(1 - \\sum_c p_c^2\\Big) \\frac1m \\sum_x \\big|h(x) \\cdot h(x') + 1\\big|,

    in closed form, where x runs over pool and labelled samples (`PoolView.labeled`), or `n_samples` of them. With
    ``labels="predicted"`` the first factor is 2 eta (1 - max p). The largest come first. A binary classifier with a
    single output, such as logistic regression, counts as one of two, which move alike.

    Products are taken in the embeddings' own precision and summed in float64, block by block and each pair of the pool
    once: O(n^2 d) time, or O(n m d) with `n_samples` = m; O(n) memory beside embeddings and blocks of 2,048 by 2,048.
    Where no embedding is negative, as behind a ReLU, no product is, and the mean is one product with the mean
    embedding: O(n d).

    Differences from the paper: none intended in the equation, which is taken from its abstract and from secondary
    descriptions; the step is on the last layer, whatever the classifier, and exact, not a linear approximation. The
    bias always counts as a weight, for a layer without one, too. A batch is the samples of largest score, which may be
    alike; of batches the paper says nothing that is used here.

    References
    ----------
    C. Kaeding, E. Rodner, A. Freytag and J. Denzler, "Active and continuous exploration with deep neural networks and
    expected model output changes", NIPS workshop on continual learning and deep networks, 2016, arXiv 1612.06129.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import EMOC
    >>> X, y = load_digits(return_X_y=True)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=1000), EMOC(random_state=0), X[:50] / 16, y[:50])
    >>> query_idx, X_query, scores = learner.query(X[50:] / 16, n_instances=10, return_metrics=True)
    >>> bool((scores[:-1] >= scores[1:]).all() and (scores > 0).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "step_size": [Interval(Real, 0, None, closed="neither")],
        "n_samples": [Interval(Integral, 1, None, closed="left"), None],
        "labels": [StrOptions({"all", "predicted"})],
        "random_state": ["random_state"],
    }
    requires = ("linear_head", "embeddings", "proba", "labeled")

    def __init__(
        self,
        *,
        step_size: float = 1.0,
        n_samples: int | None = None,
        labels: Literal["all", "predicted"] = "all",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.step_size = step_size
        self.n_samples = n_samples
        self.labels = labels
        self.random_state = random_state

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        # The closed form is that of a linear head alone, of which only the view must know.
        pool.linear_head  # noqa: B018
        z, labeled = pool.embeddings, pool.labeled.embeddings  # type: ignore[union-attr]
        _check_size(z, labeled)
        doubt = 2 * self.step_size * label_doubt(pool.proba, self.labels)
        n, n_all = len(z), len(z) + len(labeled)
        if self.n_samples is None or self.n_samples >= n_all:
            return doubt * (similarity_sums(z) + similarity_sums(z, labeled)) / n_all
        chosen = np.sort(rng.choice(n_all, size=self.n_samples, replace=False))
        others = np.concatenate([z[chosen[chosen < n]], labeled[chosen[chosen >= n] - n]])
        return doubt * similarity_sums(z, others) / len(others)


def label_doubt(proba: NDArray, labels: str) -> NDArray[np.float64]:
    """Half the expected length, in the 1-norm, of a probability row less a label: 1 - sum p^2, or 1 - max p."""
    doubt = np.empty(len(proba))
    for rows in blocks(len(proba), _SIDE):
        p = proba[rows].astype(np.float64)
        doubt[rows] = 1 - (p.max(axis=1) if labels == "predicted" else np.einsum("ij,ij->i", p, p))
    return np.maximum(doubt, 0)


def similarity_sums(z: NDArray, others: NDArray | None = None) -> NDArray[np.float64]:
    """Of each row of `z` the sum of ``|z . x + 1|`` over the rows x of `others`, by default of `z` itself, `(n,)`.

    No product of more than 2,048 by 2,048 exists at a time; of `z` with itself each pair is taken once.
    """
    against = z if others is None else others
    if z.min(initial=0) >= 0 and against.min(initial=0) >= 0:
        # No product is negative, so that the sum is one product.
        total = against.sum(axis=0, dtype=np.float64)
        return np.concatenate([[], *(z[rows].astype(np.float64) @ total for rows in blocks(len(z), _SIDE))]) + len(
            against
        )
    sums = np.zeros(len(z))
    for rows in blocks(len(z), _SIDE):
        for columns in blocks(len(against), _SIDE):
            if others is None and columns.start < rows.start:
                continue
            found = z[rows] @ against[columns].T
            found += 1
            np.abs(found, out=found)
            sums[rows] += found.sum(axis=1, dtype=np.float64)
            if others is None and columns.start > rows.start:
                sums[columns] += found.sum(axis=0, dtype=np.float64)
    return sums


def _check_size(*arrays: NDArray) -> None:
    """Raise where products of the embeddings would overflow."""
    for array in arrays:
        limit = 1e75 if array.dtype == np.float64 else 1e18
        if max(array.max(initial=0), -array.min(initial=0)) >= limit:
            raise ValueError(
                f"EMOC multiplies embeddings, which must be below {limit:g} in {array.dtype}. Got larger ones: scale "
                "the samples, by StandardScaler for example."
            )


emoc_sampling = make_query_function(EMOC, "emoc_sampling")
