"""DropQuery: samples whose prediction changes under dropout of their embedding (Gupte et al., 2024)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ..base import Interval, QueryStrategy, make_query_function
from ..pool import PoolView
from ..rows import working_dtype
from ..utils._arrays import blocks, l2_normalize
from ._parts._clustering import fit_kmeans, nearest_of_clusters

__all__ = ["DropQuery", "drop_query_sampling"]

_ROWS = 4096  # samples worked on at once
_BATCH, _MANY_CLUSTERS = 5000, 50  # of mini-batch k-means, and above how many clusters it is used


class DropQuery(QueryStrategy):
    """Samples whose predicted class changes when most of their features are dropped, spread by clustering.

    The features come from a backbone that is not trained, such as a foundation model; uncertainty is whether the head's
    prediction hangs on few of them, which costs no pass through the backbone. Among these candidates the one nearest to
    each of `n_instances` centres is taken.

    Parameters
    ----------
    n_passes : int >= 1, default=3
        How often features are dropped.
    dropout : float in [0, 1), default=0.75
        Probability that a feature is dropped.
    candidate_factor : float >= 1, default=25
        There should be so many times `n_instances` candidates: until there are, samples whose prediction changes more
        rarely count, too.
    random_state : int, RandomState or None, default=None
        Draws what is dropped and the random fill, and seeds k-means; an integer gives the same run every time.

    Notes
    -----
    With embeddings z (`PoolView.embeddings`, shape (n, d)), the head F (`PoolView.head`) and masks m that keep each
    feature with probability 1 - r, r = `dropout`, a sample's count is the number of passes in which

    .. math:: \\arg\\max F\\big(m \\odot z / (1 - r)\\big) \\ne \\arg\\max F(z)

    (the latter from `PoolView.logits`, shape (n, n_classes)). Candidates are the samples with a count above `n_passes`
    / 2; while they are fewer than `candidate_factor` x `n_instances`, samples with a count that is lower by 1 are
    added, down to 1. k-means with `n_instances` clusters on their embeddings of length 1 gives the one nearest to each
    centre (mini-batch k-means above 50 clusters). What is missing, for want of candidates or of distinct ones, is
    filled with other candidates at random, and then with any samples. The score is the share of passes with a change,
    largest first.

    Time: O(`n_passes` n C d) for C classes, and the k-means. Memory: blocks, and a copy of the candidates' embeddings.
    float32 embeddings are worked on as they are under a linear head.

    From a secondary description of the paper; no fidelity beyond the above is claimed.

    References
    ----------
    S. R. Gupte, J. Aklilu, J. J. Nirschl and S. Yeung-Levy, "Revisiting active learning in the era of vision foundation
    models", TMLR 2024, arXiv 2401.14555.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import DropQuery
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=500).fit(X[:50], y[:50])
    >>> query_idx, scores = DropQuery(random_state=0).select(clf, X[50:], n_instances=5)
    >>> bool((scores > 0).all() and (scores[:-1] >= scores[1:]).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_passes": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "candidate_factor": [Interval(Real, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = ("head", "embeddings", "logits")

    def __init__(
        self,
        *,
        n_passes: int = 3,
        dropout: float = 0.75,
        candidate_factor: float = 25,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_passes = n_passes
        self.dropout = dropout
        self.candidate_factor = candidate_factor
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        counts = self._changes(pool, rng)
        for least in range(self.n_passes // 2 + 1, 0, -1):
            candidates = np.flatnonzero(counts >= least)
            if len(candidates) >= self.candidate_factor * n_instances:
                break
        chosen = candidates
        if len(candidates) > n_instances:
            z = l2_normalize(pool.embeddings[candidates])
            labels, centers = fit_kmeans(
                z, n_instances, rng, batch_size=_BATCH if n_instances > _MANY_CLUSTERS else None
            )
            chosen = candidates[nearest_of_clusters(z, labels, centers)[0]]
        for others in (candidates, np.arange(len(pool))):
            rest = np.setdiff1d(others, chosen)
            n_more = min(n_instances - len(chosen), len(rest))
            chosen = np.concatenate([chosen, rng.choice(rest, size=n_more, replace=False)])
        scores = counts[chosen] / self.n_passes
        order = np.argsort(-scores, kind="stable")
        return chosen[order], scores[order]

    def _changes(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.int64]:
        """In how many passes the predicted class of each sample is another, `(n,)`."""
        predicted, head = pool.logits.argmax(axis=1), pool.head
        counts = np.zeros(len(pool), dtype=np.int64)
        # Other heads than linear ones take float64.
        dtype = working_dtype(pool.embeddings) if head.is_linear else np.float64
        for rows in blocks(len(pool), _ROWS):
            z = pool.embeddings[rows].astype(dtype, copy=False) / (1 - self.dropout)
            for _ in range(self.n_passes):
                is_kept = rng.random(z.shape, dtype=np.float32) >= self.dropout
                with torch.no_grad():
                    counts[rows] += head(torch.from_numpy(z * is_kept)).argmax(dim=1).numpy() != predicted[rows]
        return counts


drop_query_sampling = make_query_function(DropQuery, "drop_query_sampling")
