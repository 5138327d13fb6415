"""PAL: samples on which a self-supervised network fails, and is unsure of the class (Bhatnagar et al., BMVC 2021)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, QueryStrategy, make_query_function
from ..nets import RotationClassifier
from ..pool import PoolView
from ..rows import take_rows
from ..utils._arrays import top_k
from ..utils._random import sklearn_seed
from ._parts._helpers import helper_device, refuse_tokens

__all__ = ["PAL", "pal_sampling"]


class PAL(QueryStrategy):
    """The samples of which a network of its own, trained on the labelled data, can tell neither rotation nor class.

    A sample unlike those that are labelled is recognised by a task that needs no label: the network that has learned to
    tell which way the labelled samples are turned fails on it.

    Parameters
    ----------
    module : nn.Module class or instance, callable that returns one, or None, default=None
        Backbone of the scoring network, from samples to features, see `skal.nets.RotationClassifier`; None: a small
        one that a CPU can train.
    n_subqueries : int >= 1, default=10
        In how many parts the batch is chosen; at most one for each sample. After each part a copy of the network learns
        the rotations of what was picked, and the pool is scored by it: a training and a pass over the pool for each.
    class_weight : float >= 0, default=1.0
        Of the divergence of the class probabilities.
    diversity_weight : float >= 0, default=1.0
        Of the rotations told by the copy that has seen what was picked.
    max_epochs : int >= 1, default=100
    fine_tune_epochs : int >= 1, default=5
    lr : float in (0, 1], default=0.01
        Learning rate at the beginning, of which the copies have a tenth.
    weight_decay : float in [0, 1], default=5e-4
    batch_size : int >= 1, default=64
    random_state : int, RandomState or None, default=None
        Seeds the network and breaks ties; an integer gives the same run every time.

    Raises
    ------
    TypeError, ValueError
        Samples that are no numbers of one shape, integers that the classifier reads as tokens, or a module that does
        not take the samples.
    TrainingDivergedError
        The scoring network's loss is not finite.

    Notes
    -----
    `skal.nets.RotationClassifier` is trained anew in each query, on the labelled samples behind the transformers of a
    pipeline; the classifier itself is not asked. With p_r(x) the probability of the right rotation of sample x turned
    by r, p_c its class probabilities, `class_weight` w_2 and `diversity_weight` w_3, the score is

    .. math::
        s(x) = -\\sum_r p_r(x) - w_2\\, \\mathrm{KL}_2(\\mathrm{uniform} \\,\\|\\, p_c(x)) - w_3 \\sum_r p'_r(x),

    the divergence in bits, and p' by a copy of the network that was trained `fine_tune_epochs` on the rotations of all
    that was picked so far in this query; the last term is missing in the first part of the batch. Each part is the
    highest scores; scores fall within a part only.

    Square images have four rotations, others two. What is no image is a row of d numbers, shifted in a circle by
    quarters of its length.

    Evidence: the authors' source was read. Ours: the counterpart for rows, the small backbone, that samples are
    standardised, and that the learning rate is divided by 10 after each quarter of the epochs, which is every 25 of
    their 100; the divergence is computed from logarithms, so that p = 0 needs no clipping. There is no validation set:
    the last weights are taken.

    Time: `max_epochs` passes over 4 n_labeled samples, and for each part of the batch one over 4 n. Memory: the
    labelled samples; the pool is read in blocks, and those of a Dataset once for each part.

    References
    ----------
    S. Bhatnagar, S. Goyal, D. Tank and A. Sethi, "PAL: pretext-based active learning", BMVC 2021, arXiv 2010.15947.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import PAL
    >>> X, y = load_digits(return_X_y=True)
    >>> strategy = PAL(max_epochs=10, n_subqueries=2, random_state=0)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=500), strategy, X[:60], y[:60])
    >>> query_idx, X_query = learner.query(X[60:], n_instances=6)
    >>> len(set(query_idx.tolist()))
    6
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "module": [callable, None],
        "n_subqueries": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [Interval(Real, 0, None, closed="left")],
        "diversity_weight": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "fine_tune_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, 1, closed="right")],
        "weight_decay": [Interval(Real, 0, 1, closed="both")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = ("labeled",)

    def __init__(
        self,
        *,
        module: Any = None,
        n_subqueries: int = 10,
        class_weight: float = 1.0,
        diversity_weight: float = 1.0,
        max_epochs: int = 100,
        fine_tune_epochs: int = 5,
        lr: float = 0.01,
        weight_decay: float = 5e-4,
        batch_size: int = 64,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.module = module
        self.n_subqueries = n_subqueries
        self.class_weight = class_weight
        self.diversity_weight = diversity_weight
        self.max_epochs = max_epochs
        self.fine_tune_epochs = fine_tune_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.random_state = random_state

    @property
    def begins(self) -> bool:
        """Without a label there is nothing to train on."""
        return False

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        refuse_tokens(pool, self.__name__)
        X, labeled = pool.X_transformed, pool.labeled
        network = RotationClassifier(
            self.module,
            classes=np.arange(len(pool.classes)),
            max_epochs=self.max_epochs,
            lr=self.lr,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            device=helper_device(pool),
            random_state=sklearn_seed(rng),
            verbose=pool.verbose,
        ).fit(labeled.X_transformed, labeled.y_encoded)  # type: ignore[union-attr]
        rotations, classes = network.outputs(X)
        scores = -np.exp(rotations).sum(axis=1) - self.class_weight * divergence(classes)
        sizes = [len(part) for part in np.array_split(np.arange(n_instances), min(self.n_subqueries, n_instances))]
        chosen, reached = np.empty(0, dtype=np.int64), np.empty(0)
        for size in sizes:
            current = scores
            if len(chosen) and self.diversity_weight:
                copy = network.fine_tuned(
                    take_rows(X, chosen), max_epochs=self.fine_tune_epochs, random_state=sklearn_seed(rng)
                )
                current = scores - self.diversity_weight * copy.score_rotations(X)
            rest = np.setdiff1d(np.arange(len(pool)), chosen)
            picked = rest[top_k(current[rest], size, rng)]
            chosen, reached = np.concatenate([chosen, picked]), np.concatenate([reached, current[picked]])
        return chosen, reached


def divergence(log_proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kullback-Leibler divergence of each row of probabilities from the uniform ones, in bits, `(n,)`."""
    return np.maximum(-log_proba.mean(axis=1) / np.log(2) - np.log2(log_proba.shape[1]), 0)


pal_sampling = make_query_function(PAL, "pal_sampling")
