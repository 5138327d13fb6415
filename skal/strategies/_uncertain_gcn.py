"""UncertainGCN: samples that a graph network takes for unlabelled (Caramalau et al., CVPR 2021)."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, ScoringStrategy, make_query_function
from ..pool import PoolView
from ._parts._graph import GRAPH_CONSTRAINTS, GraphMixin

__all__ = ["UncertainGCN", "uncertain_gcn_sampling"]


class UncertainGCN(GraphMixin, ScoringStrategy):
    """The samples that a graph network takes for unlabelled, but not without doubt.

    In each query a graph convolutional network learns to tell labelled samples from the pool's, by their embeddings
    and those of all samples like them. Those are taken to which it gives a probability of being labelled nearest to
    `margin`: unlike what is labelled, and not what it is surest of.

    Parameters
    ----------
    margin : float in [0, 1], default=0.1
        The probability of being labelled that is looked for (the paper's s).
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
        All are scored in any case.
    random_state : int, RandomState or None, default=None
        Draws the training samples, seeds the network and breaks ties; an integer gives the same run every time.

    Notes
    -----
    The network is that of `CoreGCN`, trained in the same way: p is its probability that a sample of the pool is a
    labelled one. The score is -abs(p - `margin`), at most 0; the largest first.

    Time: O(n d^2 + `max_epochs` n d `hidden`) for n embeddings of d numbers (`PoolView.embeddings`, those of
    `PoolView.labeled` among them). Memory: three times the embeddings in float32.

    Differences from the paper: as of `CoreGCN`.

    References
    ----------
    R. Caramalau, B. Bhattarai and T.-K. Kim, "Sequential graph convolutional network for active learning", CVPR 2021,
    arXiv 2006.10219.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import UncertainGCN
    >>> X, y = load_digits(return_X_y=True)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=1000), UncertainGCN(random_state=0), X[:50] / 16, y[:50])
    >>> query_idx, X_query, scores = learner.query(X[50:] / 16, n_instances=10, return_metrics=True)
    >>> len(set(query_idx.tolist())), bool((scores <= 0).all())
    (10, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "margin": [Interval(Real, 0, 1, closed="both")],
        **GRAPH_CONSTRAINTS,
    }
    requires = ("embeddings", "labeled")

    def __init__(
        self,
        *,
        margin: float = 0.1,
        hidden: int = 128,
        dropout: float = 0.3,
        unlabeled_weight: float = 1.2,
        lr: float = 1e-3,
        weight_decay: float = 5e-4,
        max_epochs: int = 200,
        n_train: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.margin = margin
        self.hidden = hidden
        self.dropout = dropout
        self.unlabeled_weight = unlabeled_weight
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.n_train = n_train
        self.random_state = random_state

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        selector, X = self._trained(pool, rng)
        return -np.abs(selector.predict_proba(X)[: len(pool), 1] - self.margin)


uncertain_gcn_sampling = make_query_function(UncertainGCN, "uncertain_gcn_sampling")
