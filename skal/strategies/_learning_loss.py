"""Learning loss: samples on which the classifier's loss is predicted to be large (Yoo and Kweon, CVPR 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, ScoringStrategy, make_query_function, requirement
from ..nets import LossPredictor
from ..pool import PoolView
from ..utils._random import sklearn_seed
from ._parts._calibration import proba_of_held
from ._parts._helpers import helper_device
from ._parts._layers import layer_features

__all__ = ["LearningLoss", "learning_loss_sampling"]


class LearningLoss(ScoringStrategy):
    """The samples on which a module, trained on the labelled data, predicts the classifier's loss to be largest.

    Whether a prediction is wrong shows in what the layers make of a sample, not in the probabilities alone. A small
    module learns from the labelled samples, of which the loss is known, to order samples by their loss, and orders the
    pool.

    Parameters
    ----------
    layers : sequence of str, str or None, default=None
        Dotted names of a network's submodules, whose outputs (n, channels, ...) the module sees, averaged over
        positions: a further pass over the pool and the labelled data. None: the embeddings alone, of any classifier.
    margin : float > 0, default=1.0
        By how much the predictions of two samples should differ.
    cv : int >= 2 or None, default=None
        Folds of the labelled data: the loss of each sample is that of a clone trained on the other folds. None: the
        classifier's own losses on what it was trained on, which are near 0 and tell little where it has learned all of
        it by heart.
    hidden : int >= 1, default=128
        Units of the module for each layer.
    max_epochs : int >= 1, default=100
    lr : float in (0, 1], default=1e-3
        Learning rate of Adam.
    weight_decay : float in [0, 1], default=5e-4
    batch_size : int >= 2, default=128
    random_state : int, RandomState or None, default=None
        Seeds the module, folds and clones, and breaks ties; an integer gives the same run every time.

    Notes
    -----
    `skal.nets.LossPredictor`, which has the module and the loss of pairs, is fitted anew in each query, on the features
    of the labelled samples (`PoolView.labeled`) and -log of the probability of their labels. The score of a sample of
    the pool is its predicted loss, of which only the order means anything; the batch are the largest. With one labelled
    sample there is no pair, and the choice is random.

    Where the classifier is a network that was trained with `skal.nets.LearningLossCallback`, its module is used as it
    is, and of the parameters `random_state` alone is of effect. That is the paper's form; the other, with the
    classifier as it is and the module trained after it, is ours, and serves any classifier with embeddings.

    Further differences from the paper and the reimplementation that is in wide use, which was read (evidence: its
    source): layers are named by the user, where these have the four blocks of a ResNet; features are standardised; Adam
    instead of the network's SGD; the whole pool is scored, where the code draws 10,000 of it in each cycle. All
    labelled samples are trained on; there is no validation set.

    Time: a pass over pool and labelled data, `max_epochs` passes of the module over the latter, with `cv` as many fits
    of clones. Memory: the features, n d float32 values.

    References
    ----------
    D. Yoo and I. S. Kweon, "Learning loss for active learning", CVPR 2019, arXiv 1905.03677.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import LearningLoss
    >>> X, y = load_digits(return_X_y=True)
    >>> strategy = LearningLoss(cv=3, random_state=0)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=500), strategy, X[:60], y[:60])
    >>> query_idx, X_query, scores = learner.query(X[60:], n_instances=5, return_metrics=True)
    >>> bool((scores[:-1] >= scores[1:]).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "layers": [str, "array-like", None],
        "margin": [Interval(Real, 0, None, closed="neither")],
        "cv": [Interval(Integral, 2, None, closed="left"), None],
        "hidden": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, 1, closed="right")],
        "weight_decay": [Interval(Real, 0, 1, closed="both")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = requirement(
        ("embeddings", "proba", "labeled"),
        lambda strategy: (
            "embeddings" if strategy.layers is None else "layers",
            "proba",
            "labeled",
            *(("clones",) if strategy.cv is not None else ()),
        ),
    )

    def __init__(
        self,
        *,
        layers: Sequence[str] | str | None = None,
        margin: float = 1.0,
        cv: int | None = None,
        hidden: int = 128,
        max_epochs: int = 100,
        lr: float = 1e-3,
        weight_decay: float = 5e-4,
        batch_size: int = 128,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.layers = layers
        self.margin = margin
        self.cv = cv
        self.hidden = hidden
        self.max_epochs = max_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.random_state = random_state

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        if pool.model.supplies("predicted_losses"):
            return pool.model.predicted_losses(pool.X_transformed)
        labeled: Any = pool.labeled
        if len(labeled) < 2:
            return np.zeros(len(pool))
        predictor = LossPredictor(
            hidden=self.hidden,
            margin=self.margin,
            max_epochs=self.max_epochs,
            lr=self.lr,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            device=helper_device(pool),
            random_state=sklearn_seed(rng),
            verbose=pool.verbose,
        )
        losses = self._losses(labeled, rng)
        return predictor.fit(layer_features(labeled, self.layers), losses).predict(layer_features(pool, self.layers))

    def _losses(self, labeled: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        """-log of the probability of each labelled sample's label."""
        columns = labeled.y_encoded
        if self.cv is None:
            proba = labeled.proba[np.arange(len(columns)), columns]
        else:
            proba = np.empty(len(columns))
            for held in np.array_split(rng.permutation(len(columns)), min(self.cv, len(columns))):
                found = proba_of_held(labeled, np.sort(held), rng, str(self.__name__))
                proba[np.sort(held)] = found[np.arange(len(held)), columns[np.sort(held)]]
        return -np.log(np.maximum(proba.astype(np.float64), np.finfo(np.float64).tiny))


learning_loss_sampling = make_query_function(LearningLoss, "learning_loss_sampling")
