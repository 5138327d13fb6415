"""BALD: Bayesian active learning by disagreement (arXiv 1112.5745, 1703.02910)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base import ScoringStrategy, make_query_function
from ..pool import PoolView
from ..utils._arrays import entropy
from ._parts._opinions import OpinionsMixin, mean_and_entropy

__all__ = ["BALD", "bald_sampling"]


class BALD(OpinionsMixin, ScoringStrategy):
    """The samples about which several versions of the model, each sure of itself, disagree.

    The score is the mutual information between a sample's label and the model's parameters: how uncertain the versions
    are together, less how uncertain they are one by one. What is ambiguous to every version alike, such as noise,
    scores low; entropy would score it high. The versions are dropout masks, the members of an ensemble or a committee,
    or clones trained here on bootstrap samples of the labelled data.

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
    With p_t the class probabilities `(n, n_classes)` of version t of T, and H the entropy:

    .. math::
        S = H\\Big(\\frac1T \\sum_t p_t\\Big) - \\frac1T \\sum_t H(p_t)

    in [0, log n_classes]; 0 where all versions agree. Gal, Islam and Ghahramani (2017) take T dropout masks.

    Differences from the papers: ensembles as versions (Beluch et al., CVPR 2018), and with them clones on bootstrap
    samples; BALD's batch is the highest scores, without BatchBALD's correction. Dropout means `nn.Dropout` layers and
    their kin; everything else, batch normalization too, runs in eval mode.

    Time: T passes over the pool, and with clones as many fits. Memory: O(n n_classes), whatever T.

    References
    ----------
    N. Houlsby, F. Huszar, Z. Ghahramani and M. Lengyel, "Bayesian active learning for classification and preference
    learning", arXiv 1112.5745, 2011. Y. Gal, R. Islam and Z. Ghahramani, "Deep Bayesian active learning with image
    data", ICML 2017, arXiv 1703.02910.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import BALD
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(20, random_state=0).fit(X[::5], y[::5])
    >>> query_idx, scores = BALD(random_state=0).select(forest, X, n_instances=3)
    >>> bool((scores > 0).all() and (scores[:-1] >= scores[1:]).all())
    True
    """

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        mean, mean_entropy = mean_and_entropy(self._opinions(pool, rng))
        # Concave entropy: only rounding leads below 0.
        return np.maximum(entropy(mean) - mean_entropy, 0)


bald_sampling = make_query_function(BALD, "bald_sampling")
