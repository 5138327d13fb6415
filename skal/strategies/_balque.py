"""BALQUE: querying unstable examples with calibrated confidence (Pattern Recognition 151, 2024)."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, ScoringStrategy, make_query_function
from ..pool import PoolView
from ..utils._arrays import entropy
from ._parts._opinions import add_votes

__all__ = ["BALQUE", "balque_sampling"]


class BALQUE(ScoringStrategy):
    """The samples whose predicted class changes most while the model is being trained.

    A network forgets and relearns samples near its decision boundaries until the last epoch, although its final
    probabilities look sure. The predictions made on the way are counted: their frequencies are the calibrated
    confidence, and its entropy the score.

    Parameters
    ----------
    n_snapshots : int >= 2, default=10
        Equally spaced epochs of the training at which the pool is predicted, the last one included; every epoch where
        there are fewer. The authors' default is every 20th of 200 epochs.
    random_state : int, RandomState or None, default=None
        Seeds the training where the classifier has no seed of its own, and ties; an integer gives the same run every
        time.

    Raises
    ------
    PoolCapabilityError
        No labelled data, or a classifier that is not trained in steps, such as a random forest.

    Notes
    -----
    With :math:`\\hat y_t` the predicted class at snapshot t of T:

    .. math::
        q(c) = \\frac1T \\sum_t [\\hat y_t = c], \\qquad S = -\\sum_c q(c) \\log q(c)

    in [0, log min(T, n_classes)]. With few snapshots many samples tie; ties are broken at random.

    The pool is not known while a learner trains, so a clone of the final classifier is trained again on the labelled
    data in each query. With the same integer `random_state` in a `DeepClassifier`, on a CPU, it repeats the training
    of the classifier itself, and the last snapshot is what that predicts. The epochs of a classifier with `max_iter`
    (`LogisticRegression`, `MLPClassifier`) are its iterations: it is trained anew up to each snapshot. Where only one
    class is labelled every score is 0.

    Differences from the paper: the definition follows the abstract and the authors' published code; the full text is
    not public, so that anything which it adds (a batch rule, say) is missing here. The code takes every 5th epoch on
    SVHN, ends early at 99.5 % training accuracy and uses the decimal logarithm, which changes no order; here the
    classifier's own callbacks decide when training ends: the last snapshot is taken there, the others stay those of the
    full `max_epochs`. The code predicts the pool with the augmentations of training, here it is predicted as it is.

    Time: one more training and `n_snapshots` passes over the pool; with `max_iter` about n_snapshots / 2 trainings.
    Memory: O(n n_classes).

    References
    ----------
    Y. Han, D. Liu, J. Shang, L. Zheng, J. Zhong, W. Cao, H. Sun and W. Xie, "BALQUE: Batch active learning by querying
    unstable examples with calibrated confidence", Pattern Recognition 151, 110385, 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import BALQUE
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=500).fit(X[:50], y[:50])
    >>> labeled = {"X_training": X[:50], "y_training": y[:50]}
    >>> query_idx, scores = BALQUE(random_state=0).select(clf, X[50:], n_instances=5, **labeled)
    >>> bool((scores > 0).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_snapshots": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = ("labeled", "snapshots", "clones")

    def __init__(self, *, n_snapshots: int = 10, random_state: int | np.random.RandomState | None = None) -> None:
        self.n_snapshots = n_snapshots
        self.random_state = random_state

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        votes = np.zeros((len(pool), len(pool.classes)))
        pool.watch_training(self.n_snapshots, rng, lambda proba: add_votes(votes, proba), by="BALQUE")
        return entropy(votes / votes.sum(axis=1, keepdims=True))


balque_sampling = make_query_function(BALQUE, "balque_sampling")
