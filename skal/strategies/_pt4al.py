"""PT4AL: pretext tasks for active learning (arXiv 2201.07459), the baseline that BAL builds on."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import HasMethods, Interval, QueryStrategy, make_query_function
from ..pool import PoolView
from ..utils._random import make_generator, sklearn_seed
from ._parts._sub_pools import SubPoolMixin, pretext_likelihood, sub_pool_bounds

__all__ = ["PT4AL", "pt4al_sampling"]


class PT4AL(SubPoolMixin, QueryStrategy):
    """The least confident samples of one of equal, disjoint sub-pools, those with the largest pretext loss first.

    All samples are ordered once by the loss of a self-supervised pretext task, the hardest first, and the order is cut
    into as many equal parts as there are rounds. Each round takes the samples of its own part that the current model is
    least confident of. The baseline of `BAL`, which orders by cluster distance difference and lets the parts overlap.

    Parameters
    ----------
    pretext : estimator
        Anything with `fit` and `score_samples`, the log-likelihood of each sample: `skal.nets.RotationPretext`, or
        scikit-learn's PCA, mixtures and density estimators. The loss is its negative. A clone is fitted, once, on the
        initial pool and the labelled data.
    n_rounds : int >= 1 or None, default=None
        Rounds of the whole run, the first selection included. None takes the learner's `n_rounds`, which
        `skal.meta.ActiveLearningClassifier` and `skal.experiments.compare` set.
    normalize_logits : bool, default=False
        Whether confidence is the largest softmax of the logits divided by their Euclidean norm, as in the authors'
        code, instead of the largest probability.
    random_state : int, RandomState or None, default=None
        Seeds `pretext` where it has a `random_state` of None. The method itself draws no random number.

    Raises
    ------
    ValueError
        No `n_rounds` from anywhere, or pretext scores that are not finite.

    Notes
    -----
    In the order of descending pretext loss -`score_samples`, of N samples and C = `n_rounds` rounds, round i looks at
    the places [i N / C, (i + 1) N / C) and takes the `n_instances` samples with the smallest max_c p_c, with p from
    `PoolView.proba`, (n, n_classes). Round 0, which needs no model, takes samples at even intervals of the first part.
    What counts as a round, how the order is remembered and when it is made anew, filling and the time after the
    schedule are as in `BAL`. Scores are 1 - max_c p_c, in round 0 the pretext loss.

    Differences from the authors' code: the order is by the value of the loss, where the code sorts the losses as
    strings, so that its first batch holds 4,079 of the easiest samples; plain probabilities, unless `normalize_logits`;
    short parts are filled.

    Time: once, the pretext and O(n log n); in each query one forward pass, O(n n_classes + n log n), and a hash of
    each sample. Memory: about 200 bytes per sample.

    References
    ----------
    J. S. K. Yi, M. Seo, J. Park and D.-G. Choi, "PT4AL: using self-supervised pretext tasks for active learning",
    ECCV 2022, arXiv 2201.07459.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import PT4AL
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=500).fit(X[::10], y[::10])
    >>> query_idx, scores = PT4AL(pretext=PCA(2), n_rounds=5).select(clf, X, n_instances=4)
    >>> bool((scores[:-1] >= scores[1:]).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "pretext": [HasMethods(["fit", "score_samples"])],
        "n_rounds": [Interval(Integral, 1, None, closed="left"), None],
        "normalize_logits": ["boolean"],
        "random_state": ["random_state"],
    }
    _order_params = ("pretext", "random_state")

    def __init__(
        self,
        *,
        pretext: Any,
        n_rounds: int | None = None,
        normalize_logits: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.pretext = pretext
        self.n_rounds = n_rounds
        self.normalize_logits = normalize_logits
        self.random_state = random_state

    def _bounds(self, cycle: int, n_samples: int, n_rounds: int) -> tuple[int, int]:
        return sub_pool_bounds(cycle, n_samples, n_rounds, beta=1.0)

    def _first(self, places: NDArray[Any], stop: int, n_instances: int) -> NDArray[Any]:
        in_order = np.argsort(places, kind="stable")
        n_candidates = max(int((places < stop).sum()), n_instances)
        return in_order[np.arange(n_instances) * n_candidates // n_instances]

    def _order_values(self, X: Any, pool: PoolView) -> NDArray[np.float64]:
        return pretext_likelihood(self.pretext, X, sklearn_seed(make_generator(self.random_state)), "PT4AL")


pt4al_sampling = make_query_function(PT4AL, "pt4al_sampling")
