"""Bayesian entropy: the entropy of the mean prediction of several versions of the model (arXiv 1703.02910)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base import ScoringStrategy, make_query_function
from ..pool import PoolView
from ..utils._arrays import entropy
from ._parts._opinions import OpinionsMixin, mean_and_entropy

__all__ = ["BayesianEntropy", "bayesian_entropy_sampling"]


class BayesianEntropy(OpinionsMixin, ScoringStrategy):
    """The samples whose prediction, averaged over several versions of the model, has the highest entropy.

    Entropy sampling with the model's own uncertainty averaged in: a single network is often sure of what another,
    trained alike, would say otherwise. The versions are dropout masks, the members of an ensemble or a committee, or
    clones trained here on bootstrap samples of the labelled data.

    Parameters
    ----------
    n_samples : int >= 2, default=20
        Dropout masks, or the most members of an ensemble (drawn at random where it has more). A committee's or an
        ensemble's members are all taken where there are fewer.
    source : {"auto", "own", "clones"}, default="auto"
        "own": the classifier's own versions, `PoolView.proba_samples`. "clones": `n_members` clones are trained in each
        query, whatever the classifier (but a committee). "auto": its own where it has them, else clones.
    n_members : int >= 2, default=5
        Clones to train.
    random_state : int, RandomState or None, default=None
        Seeds masks, clones and ties; an integer gives the same run every time.

    Raises
    ------
    PoolCapabilityError
        With source="own", a classifier without dropout layers or members; with clones, no labelled data, or a
        classifier that cannot be cloned.

    Notes
    -----
    With p_t the class probabilities `(n, n_classes)` of version t of T, and H the entropy, the score is

    .. math::
        S = H\\Big(\\frac1T \\sum_t p_t\\Big)

    in [0, log n_classes]; the "max entropy" acquisition of the paper, with T dropout masks there. `BALD` is this less
    the mean entropy of the versions.

    Differences from the paper: ensembles as versions (Beluch et al., CVPR 2018), and with them clones on bootstrap
    samples. Dropout means `nn.Dropout` layers and their kin; everything else, batch normalization too, runs in eval
    mode.

    Time: T passes over the pool, and with clones as many fits. Memory: O(n n_classes), whatever T.

    References
    ----------
    Y. Gal, R. Islam and Z. Ghahramani, "Deep Bayesian active learning with image data", ICML 2017, arXiv 1703.02910.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import BayesianEntropy
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(20, random_state=0).fit(X[::5], y[::5])
    >>> query_idx, scores = BayesianEntropy(random_state=0).select(forest, X, n_instances=3)
    >>> bool((scores > 0).all() and (scores[:-1] >= scores[1:]).all())
    True
    """

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        return entropy(mean_and_entropy(self._opinions(pool, rng))[0])


bayesian_entropy_sampling = make_query_function(BayesianEntropy, "bayesian_entropy_sampling")
