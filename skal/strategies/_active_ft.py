"""ActiveFT: samples distributed like the pool, found in continuous space (Xie et al., CVPR 2023)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..base import Interval, QueryStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..utils._arrays import blocks, l2_normalize, on_host, squared_norms
from ..utils._torch import shared_tensor
from ._parts._clustering import kmeans_plus_plus

__all__ = ["ActiveFT", "active_ft_sampling"]

_ROWS = 4096  # samples whose similarities with all centroids are held at once
_BLOCK = 32 * 2**20  # bytes of the similarities of some centroids with all samples


class ActiveFT(QueryStrategy):
    """Samples distributed like the whole pool and unlike each other, by gradient descent on centroids.

    Made for one batch with which a pretrained network is fine-tuned. As many centroids as samples are asked for move
    on the unit sphere: each sample pulls its most similar centroid, and centroids push each other away. The sample
    most similar to each centroid is taken.

    Parameters
    ----------
    temperature : float >= 1e-6, default=0.07
        Of the similarities (the paper's tau).
    diversity : float >= 0, default=1.0
        Weight of the centroids' mutual repulsion (the paper's lambda).
    loss : {"contrastive", "printed"}, default="contrastive"
        What the authors' code minimises, or the loss as the paper writes it. See Notes.
    learning_rate : float > 0, default=0.001
        Of Adam.
    max_iter : int >= 0, default=300
        Steps of Adam; with 0 the batch is the start.
    init : {"k-means++", "random"}, default="k-means++"
        The samples from which the centroids start: spread by k-means++, or uniformly random as in the paper.
    random_state : int, RandomState or None, default=None
        Draws the samples from which the centroids start; an integer gives the same run every time.

    Notes
    -----
    With unit-length embeddings f (of `PoolView.embeddings`, shape (n, d)), unit-length centroids theta, shape (B, d),
    and c_i the centroid most similar to sample i, the printed loss is

    .. math:: L = -\\frac1n \\sum_i f_i \\cdot \\theta_{c_i} / \\tau
              + \\lambda \\frac1B \\sum_j \\log \\sum_{k \\ne j} \\exp(\\theta_j \\cdot \\theta_k / \\tau)

    and that of the authors' code

    .. math:: L = -\\frac1n \\sum_i \\log \\frac{\\exp(f_i \\cdot \\theta_{c_i} / \\tau)}
              {\\exp(f_i \\cdot \\theta_{c_i} / \\tau)
              + \\lambda \\sum_k \\exp(\\theta_{c_i} \\cdot \\bar\\theta_k / \\tau)}

    in which the sum holds k = c_i, too, and no gradient flows through the barred centroids. The centroids then take
    turns: each takes the most similar sample that is not taken yet. The score is that similarity, in [-1, 1], largest
    first. The gradient needs only weighted sums of the samples of each centroid. O(n B d) time for a step; memory: a
    copy of the embeddings, in float32 where they are, and blocks.

    Differences from the paper: the default start is spread, since a centroid rarely leaves a tight group that it shares
    with another: of twelve well separated groups, twelve picks hit 12 from a spread start and about 9 from a random
    one. The default is the loss of its code. The constant that k = c_i adds damps the repulsion;
    without it, as printed, the repulsion drives centroids off the data for the temperature given, and the samples found
    cover the pool little better than random ones do. For ImageNet the code draws 100,000 samples for each of 100 steps;
    here every step sees the pool. Labelled samples are not looked at, since the paper selects once, before there are
    any.

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
        "temperature": [Interval(Real, 1e-6, None, closed="left")],
        "diversity": [Interval(Real, 0, None, closed="left")],
        "loss": [StrOptions({"contrastive", "printed"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "init": [StrOptions({"k-means++", "random"})],
        "random_state": ["random_state"],
    }
    requires = ("embeddings",)

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        diversity: float = 1.0,
        loss: Literal["contrastive", "printed"] = "contrastive",
        learning_rate: float = 0.001,
        max_iter: int = 300,
        init: Literal["k-means++", "random"] = "k-means++",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.temperature = temperature
        self.diversity = diversity
        self.loss = loss
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.init = init
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        features = shared_tensor(l2_normalize(pool.on_device("embeddings")))
        if self.init == "random":
            start = rng.choice(len(features), size=n_instances, replace=False)
        else:
            # 1 or 0, so that rounding does not choose the first.
            sq_norms = squared_norms(features).round()
            start, _ = kmeans_plus_plus(sq_norms, lambda i: features @ features[i], n_instances, rng)
        chosen, scores = in_turn(features, self._optimise(features, features[start]))
        order = np.argsort(-scores, kind="stable")
        return chosen[order], scores[order]

    def _optimise(self, features: NDArray | torch.Tensor, start: NDArray | torch.Tensor) -> NDArray:
        """Unit-length centroids `(B, d)` after `max_iter` steps, on the device of `features`."""
        loss_of = printed_loss if self.loss == "printed" else contrastive_loss
        features, theta = shared_tensor(features), shared_tensor(start).clone().requires_grad_(True)
        optimizer = torch.optim.Adam([theta], lr=self.learning_rate)
        for _ in range(self.max_iter):
            with torch.enable_grad():
                loss = loss_of(features, theta, float(self.temperature), float(self.diversity))
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
        return l2_normalize(on_host(theta.detach()))


def in_turn(f: torch.Tensor, centroids: NDArray) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The most similar sample of each centroid that no centroid before it has taken, and their similarity."""
    found, is_taken = [], torch.zeros(len(f), dtype=torch.bool, device=f.device)
    targets = torch.from_numpy(centroids).to(f.device)
    for part in blocks(len(targets), _BLOCK // (len(f) * f.element_size())):
        for similarity in targets[part] @ f.T:
            found.append(similarity.masked_fill_(is_taken, -torch.inf).max(dim=0))
            is_taken.index_fill_(0, found[-1].indices, True)
    chosen, scores = (on_host(torch.stack(values)) for values in zip(*((best.indices, best.values) for best in found)))
    return chosen, scores.astype(np.float64)


def printed_loss(f: NDArray | torch.Tensor, theta: torch.Tensor, temperature: float, diversity: float) -> torch.Tensor:
    """The paper's loss of unit-length features `(n, d)`, differentiable by centroids of any length `(B, d)`."""
    f, unit = shared_tensor(f), torch.nn.functional.normalize(theta, dim=1)
    sums = torch.zeros_like(unit)
    for rows, best in _nearest(f, unit.detach()):
        sums += _by_centroid(best.indices, torch.ones_like(best.values), len(unit)) @ f[rows]
    loss = -(sums * unit).sum() / (len(f) * temperature)
    if len(unit) > 1:
        similarity = unit @ unit.T / temperature
        itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        loss = loss + diversity * torch.logsumexp(similarity.masked_fill(itself, -torch.inf), dim=1).mean()
    return loss


def contrastive_loss(
    f: NDArray | torch.Tensor, theta: torch.Tensor, temperature: float, diversity: float
) -> torch.Tensor:
    """The loss of the authors' code; as `printed_loss`.

    With a_i the similarity of sample i to its centroid and R_j the repulsion of centroid j, both in logarithms, a
    sample's loss is log(1 + exp(R - a)), whose derivative by R - a is w = sigmoid(R - a). Weighted by it, the samples
    of a centroid enter the gradient through their sum alone.
    """
    f, unit = shared_tensor(f), torch.nn.functional.normalize(theta, dim=1)
    if diversity == 0:
        return 0 * unit.sum()
    repulsion = torch.logsumexp(unit @ unit.detach().T / temperature, dim=1) + math.log(diversity)
    fixed = repulsion.detach()
    value, sums, weights = torch.zeros_like(fixed[0]), torch.zeros_like(unit), torch.zeros_like(fixed)
    for rows, best in _nearest(f, unit.detach()):
        gap = fixed[best.indices] - best.values / temperature
        value += torch.logaddexp(gap, torch.zeros_like(gap)).sum()
        w = torch.sigmoid(gap)
        sums += _by_centroid(best.indices, w, len(unit)) @ f[rows]
        weights.index_add_(0, best.indices, w)
    gradient = (weights * repulsion).sum() - (sums * unit).sum() / temperature
    # This value, with that gradient.
    return (gradient - gradient.detach() + value) / len(f)


def _nearest(f: torch.Tensor, centroids: torch.Tensor) -> Iterator[tuple[slice, Any]]:
    """For blocks of rows, the centroid most similar to each (`indices`), and the similarity (`values`)."""
    for rows in blocks(len(f), _ROWS):
        yield rows, (f[rows] @ centroids.T).max(dim=1)


def _by_centroid(nearest: torch.Tensor, weights: torch.Tensor, n_centroids: int) -> torch.Tensor:
    """Sparse `(B, rows)`: its product with rows is their weighted sum for each centroid."""
    places = torch.stack([nearest, torch.arange(len(nearest), device=nearest.device)])
    return torch.sparse_coo_tensor(places, weights, (n_centroids, len(nearest)), check_invariants=False)


active_ft_sampling = make_query_function(ActiveFT, "active_ft_sampling")
