"""Query by committee over an ensemble of clones: vote entropy or Kullback-Leibler divergence."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, ScoringStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..utils._arrays import entropy
from ._parts._opinions import add_votes, mean_and_entropy

__all__ = ["QueryByCommittee", "query_by_committee_sampling"]


class QueryByCommittee(ScoringStrategy):
    """The samples that an ensemble of clones of the classifier, trained in each query, disagrees about most.

    Works with any classifier that can be cloned and gives probabilities, at the price of training it `n_members` times
    in every query. A modAL committee brings its own members, and nothing is trained.

    Parameters
    ----------
    n_members : int >= 2, default=5
        Clones to train. A committee's own members are all taken, however many.
    measure : {"vote_entropy", "kl"}, default="vote_entropy"
        Disagreement: entropy of the members' votes, or mean Kullback-Leibler divergence of the members' probabilities
        from their mean. Votes of few members take few values, so that many samples tie; "kl" does not.
    bootstrap : bool, default=True
        Whether each clone is trained on its own bootstrap sample of the labelled data (query by bagging). Without it
        the clones differ by their seeds alone, as in deep ensembles: enough for networks, but classifiers without
        randomness, such as `LogisticRegression`, are then all the same, and every score is 0.
    random_state : int, RandomState or None, default=None
        Seeds clones and ties; an integer gives the same run every time.

    Raises
    ------
    PoolCapabilityError
        No labelled data, or a classifier that cannot be cloned.

    Notes
    -----
    With p_m the class probabilities `(n, n_classes)` of member m of M, and V(c) the number of members whose most
    probable class is c (of equals the first):

    .. math::
        S_{vote} = -\\sum_c \\frac{V(c)}{M} \\log \\frac{V(c)}{M}, \\qquad
        S_{kl} = \\frac1M \\sum_m \\sum_c p_m(c) \\log \\frac{p_m(c)}{\\bar p(c)}, \\quad \\bar p = \\frac1M \\sum_m p_m

    both in [0, log n_classes] and at most log M. The second is the mutual information of `BALD`.

    A bootstrap sample of one class is drawn again; a class missing from a member's sample has probability 0 there.
    Where only one class is labelled all members agree and nothing is trained. Where all agree on every sample, the
    choice is random, and a warning says so. In a pipeline the members share its fitted transformers. Differences from
    the references: vote entropy is not divided by log min(M, n_classes), which changes no order.

    Time: M fits and M passes over the pool. Memory: O(n n_classes), whatever M.

    References
    ----------
    H. S. Seung, M. Opper and H. Sompolinsky, "Query by committee", COLT 1992. I. Dagan and S. P. Engelson,
    "Committee-based sampling for training probabilistic classifiers", ICML 1995 (vote entropy). A. McCallum and
    K. Nigam, "Employing EM and pool-based active learning for text classification", ICML 1998 (KL). N. Abe and
    H. Mamitsuka, "Query learning strategies using boosting and bagging", ICML 1998. W. H. Beluch, T. Genewein,
    A. Nuernberger and J. M. Koehler, "The power of ensembles for active learning in image classification", CVPR 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import QueryByCommittee
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=500).fit(X[::10], y[::10])
    >>> strategy = QueryByCommittee(measure="kl", random_state=0)
    >>> query_idx, scores = strategy.select(clf, X, n_instances=3, X_training=X[::10], y_training=y[::10])
    >>> bool((scores > 0).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_members": [Interval(Integral, 2, None, closed="left")],
        "measure": [StrOptions({"vote_entropy", "kl"})],
        "bootstrap": ["boolean"],
        "random_state": ["random_state"],
    }
    requires = ("members|clones",)

    def __init__(
        self,
        *,
        n_members: int = 5,
        measure: Literal["vote_entropy", "kl"] = "vote_entropy",
        bootstrap: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_members = n_members
        self.measure = measure
        self.bootstrap = bootstrap
        self.random_state = random_state

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        samples = pool.iter_clone_samples(self.n_members, rng, bootstrap=self.bootstrap, by="QueryByCommittee")
        if self.measure == "kl":
            mean, mean_entropy = mean_and_entropy(samples)
            # The same as the divergence; only rounding leads below 0.
            return self._told(np.maximum(entropy(mean) - mean_entropy, 0))
        votes = np.zeros((len(pool), len(pool.classes)))
        n_members = 0
        for proba in samples:
            add_votes(votes, proba)
            n_members += 1
        return self._told(entropy(votes / n_members))

    def _told(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The scores; a warning where they say nothing."""
        if len(scores) > 1 and not scores.any():
            warnings.warn(
                "All members of QueryByCommittee agree on every sample of the pool, so that its choice is random: use "
                'measure="kl", more members, or labels of more classes.',
                UserWarning,
                stacklevel=2,
            )
        return scores


query_by_committee_sampling = make_query_function(QueryByCommittee, "query_by_committee_sampling")
