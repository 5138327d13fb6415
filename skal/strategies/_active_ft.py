"""ActiveFT: samples distributed like the pool, found in continuous space (Xie et al., CVPR 2023)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ..base import QueryStrategy, make_query_function
from ..pool import PoolView
from ..utils._arrays import blocks, l2_normalize
from ..utils._compat import Interval

__all__ = ["ActiveFT", "active_ft_sampling"]

_ROWS = 4096  # samples whose similarities with all centroids are held at once


class ActiveFT(QueryStrategy):
    """Samples distributed like the whole pool and unlike each other, by gradient descent on centroids.

    Made for one batch with which a pretrained network is fine-tuned. As many centroids as samples are asked for move
    on the unit sphere: each sample pulls its most similar centroid, and centroids push each other away. The sample
    most similar to each centroid is taken.

    Parameters
    ----------
    temperature : float > 0, default=0.07
        Of the similarities (the paper's tau).
    diversity : float >= 0, default=1.0
        Weight of the centroids' mutual repulsion (the paper's lambda).
    learning_rate : float > 0, default=0.001
        Of Adam.
    max_iter : int >= 0, default=300
        Steps of Adam; with 0 the batch is a random one.
    random_state : int, RandomState or None, default=None
        Chooses the samples from which the centroids start; an integer gives the same run every time.

    Notes
    -----
    With unit-length embeddings f (of `PoolView.embeddings`, shape (n, d)), unit-length centroids theta, shape (B, d),
    and c_i the centroid most similar to sample i, the loss is

    .. math:: L = -\\frac1n \\sum_i f_i \\cdot \\theta_{c_i} / \\tau
              + \\lambda \\frac1B \\sum_j \\log \\sum_{k \\ne j} \\exp(\\theta_j \\cdot \\theta_k / \\tau)

    (the paper's eq. 7). The centroids then take turns: each takes the most similar sample that is not taken yet. The
    score is that similarity, in [-1, 1], largest first. The gradient of the first term needs only the sum of the
    samples of each centroid. O(n B d) time for a step; memory: a float64 copy of the embeddings and blocks.

    Differences from the paper: the authors' code minimises a contrastive form of the loss (its logarithm holds the
    positive pair, and the repulsion as seen from each sample's centroid without a gradient through one side); this is
    the printed equation. Labelled samples are not looked at, since the paper selects once, before there are any.

    References
    ----------
    Y. Xie, H. Lu, J. Yan, X. Yang, M. Tomizuka and W. Zhan, "Active finetuning: exploiting annotation budget in the
    pretraining-finetuning paradigm", CVPR 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import ActiveFT
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal(center, 0.1, size=(20, 2)) for center in ([0, 1], [1, 0])])
    >>> clf = LogisticRegression().fit(X, np.repeat([0, 1], 20))
    >>> query_idx, scores = ActiveFT(learning_rate=0.05, random_state=0).select(clf, X, n_instances=2)
    >>> sorted((query_idx // 20).tolist())  # one of each blob
    [0, 1]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "diversity": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    }
    _requires = ("embeddings",)

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        diversity: float = 1.0,
        learning_rate: float = 0.001,
        max_iter: int = 300,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.temperature = temperature
        self.diversity = diversity
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        features = l2_normalize(np.asarray(pool.embeddings, dtype=np.float64))
        start = rng.choice(len(features), size=n_instances, replace=False)
        centroids = self._optimise(features, features[start])
        chosen, scores = np.empty(n_instances, dtype=np.int64), np.empty(n_instances)
        is_taken = np.zeros(len(features), dtype=bool)
        for j, centroid in enumerate(centroids):
            similarity = features @ centroid
            similarity[is_taken] = -np.inf
            chosen[j] = similarity.argmax()
            scores[j] = similarity[chosen[j]]
            is_taken[chosen[j]] = True
        order = np.argsort(-scores, kind="stable")
        return chosen[order], scores[order]

    def _optimise(self, features: NDArray, start: NDArray) -> NDArray[np.float64]:
        """Unit-length centroids `(B, d)` after `max_iter` steps."""
        theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([theta], lr=self.learning_rate)
        for _ in range(self.max_iter):
            with torch.enable_grad():
                loss = active_ft_loss(features, theta, self.temperature, self.diversity)
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
        return l2_normalize(theta.detach().numpy())


def active_ft_loss(f: NDArray, theta: torch.Tensor, temperature: float, diversity: float) -> torch.Tensor:
    """Eq. 7 for unit-length features `(n, d)` and centroids of any length `(B, d)`, differentiable by the latter."""
    unit = torch.nn.functional.normalize(theta, dim=1)
    sums = torch.from_numpy(_sums_of_nearest(f, unit.detach().numpy()))
    loss = -(sums * unit).sum() / (len(f) * temperature)
    if len(unit) > 1:
        similarity = unit @ unit.T / temperature
        others = similarity.masked_fill(torch.eye(len(unit), dtype=torch.bool), -torch.inf)
        loss = loss + diversity * torch.logsumexp(others, dim=1).mean()
    return loss


def _sums_of_nearest(f: NDArray, centroids: NDArray) -> NDArray[np.float64]:
    """Sum of the features most similar to each centroid, `(B, d)`."""
    sums = np.zeros(centroids.shape)
    for rows in blocks(len(f), _ROWS):
        nearest = (f[rows] @ centroids.T).argmax(axis=1)
        ones, starts = np.ones(len(nearest)), np.arange(len(nearest) + 1)
        sums += sp.csr_matrix((ones, nearest, starts), (len(nearest), len(sums))).T @ f[rows]
    return sums


active_ft_sampling = make_query_function(ActiveFT, "active_ft_sampling")
