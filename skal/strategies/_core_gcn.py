"""CoreGCN: core-set on the features of a graph network (Caramalau et al., CVPR 2021)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin_min

from ..base import QueryStrategy, make_query_function
from ..pool import PoolView
from ._parts._clustering import k_center_greedy
from ._parts._graph import GRAPH_CONSTRAINTS, GraphMixin

__all__ = ["CoreGCN", "core_gcn_sampling"]


class CoreGCN(GraphMixin, QueryStrategy):
    """The samples farthest from everything labelled or picked, by a graph network that knows what is labelled.

    In each query a graph convolutional network learns to tell labelled samples from the pool's, by their embeddings
    and those of all samples like them. `CoreSet`'s rule on what that network makes of the samples then prefers those
    that are unlike all labelled ones in just the respects that set these apart.

    Parameters
    ----------
    hidden : int >= 1, default=128
        Units of the network's first layer.
    dropout : float in [0, 1), default=0.3
        Of these units, in training.
    unlabeled_weight : float >= 0, default=1.2
        Weight of the pool's loss beside that of the labelled samples (the paper's lambda).
    lr : float > 0, default=0.001
        Of Adam.
    weight_decay : float >= 0, default=5e-4
    max_epochs : int >= 1, default=200
        Steps, each over all samples.
    n_train : int >= 1 or None, default=None
        How many samples of the pool, drawn at random, train the network, together with all labelled ones; None: all.
        All are chosen from in any case.
    random_state : int, RandomState or None, default=None
        Draws the training samples, seeds the network and breaks ties; an integer gives the same run every time.

    Notes
    -----
    With the embeddings of the pool (`PoolView.embeddings`, shape (n, d)) and of the labelled samples
    (`PoolView.labeled`) at length 1 as the rows of F, the graph A = (F F' - I) D^-1 + I, where D holds the column sums
    of F F' - I, the network h = relu(A F W_1 + b_1), p = sigma(A h W_2 + b_2), is trained on -mean log p of the
    labelled samples - `unlabeled_weight` x mean log(1 - p) of the pool. Samples are then described by h and the logit,
    `hidden` + 1 numbers, and chosen as `CoreSet` does, the labelled ones being the first centres: each pick is the
    sample farthest from its nearest centre, and its score is that distance, which never increases.

    `skal.nets.GraphSelector` is that network; a new one is made in each query, on the device of the classifier's
    network where it is one, else on the CPU. A learner with ``verbose=True`` shows its progress.

    Time: O(n d^2 + `max_epochs` n d `hidden`), and that of `CoreSet`. Memory: three times the embeddings in float32;
    the graph, (n, n), is never built, since A z = F (F' (z / D)) - z / D + z.

    Differences from the paper: the graph holds all of the pool, where the code draws 10,000 samples of it (see
    `n_train`). Where an embedding has negative numbers, each is joined by a constant, which makes similarities of
    cosines (1 + cosine) / 2: the code divides by sums that may then be nothing or less, and its training does not
    settle. A column's sum below 1 counts as 1; a sample's similarity with itself is left out of it also where its
    embedding is all zeros. Logarithms are taken of the logits, without a small number in them. Layers that the code
    makes and never uses are left out.

    References
    ----------
    R. Caramalau, B. Bhattarai and T.-K. Kim, "Sequential graph convolutional network for active learning", CVPR 2021,
    arXiv 2006.10219.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import CoreGCN
    >>> X, y = load_digits(return_X_y=True)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=1000), CoreGCN(random_state=0), X[:50] / 16, y[:50])
    >>> query_idx, X_query, scores = learner.query(X[50:] / 16, n_instances=10, return_metrics=True)
    >>> len(set(query_idx.tolist())), bool((scores[:-1] >= scores[1:]).all())
    (10, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = GRAPH_CONSTRAINTS
    requires = ("embeddings", "labeled")

    def __init__(
        self,
        *,
        hidden: int = 128,
        dropout: float = 0.3,
        unlabeled_weight: float = 1.2,
        lr: float = 1e-3,
        weight_decay: float = 5e-4,
        max_epochs: int = 200,
        n_train: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.hidden = hidden
        self.dropout = dropout
        self.unlabeled_weight = unlabeled_weight
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.n_train = n_train
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        selector, X = self._trained(pool, rng)
        features = selector.transform(X).astype(np.float64)
        z, centers = features[: len(pool)], features[len(pool) :]
        if len(centers) == 0:
            centers = z.mean(axis=0, keepdims=True)
        closest = pairwise_distances_argmin_min(z, centers)[1] ** 2
        chosen, radii = k_center_greedy(z, closest, n_instances, rng)
        return chosen, np.sqrt(radii)


core_gcn_sampling = make_query_function(CoreGCN, "core_gcn_sampling")
