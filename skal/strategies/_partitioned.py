"""Two rounds over random parts of the pool: a strategy in each part, and then among what it chose there."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import HasMethods, Interval, QueryStrategy, make_query_function
from ..pool import PoolView
from ..utils._random import sklearn_seed
from ._parts._pieces import piece_of
from ._parts._stages import StagedStrategy

__all__ = ["Partitioned", "partitioned_sampling"]


class Partitioned(StagedStrategy):
    """What a strategy queries among its own choices in each of several random parts of the pool.

    It takes strategies that compare samples with each other to pools whose embeddings do not fit into memory: what they
    need is held for one part at a time. Unlike `Prefilter` it looks at every sample.

    Parameters
    ----------
    strategy : QueryStrategy or query function
        What chooses in each part, and then among the chosen: any strategy of skal, or a function with modAL's
        signature. Its pool is the part, and nothing else.
    n_parts : int >= 1
        How many parts, of sizes that differ by one at most; as many as there are samples, where these are fewer. 1 is
        the strategy itself.
    random_state : int, RandomState or None, default=None
        Draws the parts, and seeds the strategy where its own `random_state` is None. An integer gives the same run
        every time; successive rounds differ.

    Notes
    -----
    First round: `strategy` chooses `n_instances` samples of each part; of a part with no more than that, all are
    taken. Second round: it chooses `n_instances` among all of these, whose order and scores are returned. Parts and
    union have the order of the pool, and are `PoolView.part`: with the same model, labelled data, memory and round, and
    one seed for all. This is the two-round distributed greedy, GreeDi.

    How far the answer is from that of `strategy` on the whole pool:

    - The same, but for ties, where a sample's score depends on that sample alone and the highest scores are taken:
      `MarginSampling` and the other uncertainties, and those of detectors.
    - `CoreSet`, with a labelled sample or more: the largest distance of a sample to the nearest chosen or labelled one
      is at most four times the smallest possible; `CoreSet` itself guarantees twice. The same holds for
      `NoiseStability` in its own space. Any parts will do, random or not.
    - For greedy maximisation of a monotone submodular function the expectation over random parts is at least
      (1 - 1/e) / 2 of the optimum, if the better of the second round's answer and the best of the first round's is
      taken, and the function is the same in all parts. No strategy of skal is known to be this case: `ProbCover`
      maximises such a function, but counts the samples of the part alone.
    - No guarantee for all others.

    What a strategy compares a sample with is the part: neighbours, clusters and averages are those of a random share of
    the pool. What it keeps for later queries is about the whole pool, as in `Prefilter`; for a bare classifier,
    which keeps nothing, `BAL`, `PT4AL` and descriptors are made anew for each part, so use a learner. Before there are
    labels, samples are random; a strategy that needs embeddings alone chooses by those of the whole pool, which are
    then held.

    Time: that of `strategy` on `n_parts` pools of n / `n_parts` samples and on one of m = `n_parts` `n_instances`
    samples, and passes of the model over n + m samples. Memory: what `strategy` needs for a part or for the m of the
    second round, whichever is larger, and a copy of their rows: least with about sqrt(n / `n_instances`) parts.

    References
    ----------
    B. Mirzasoleiman, A. Karbasi, R. Sarkar and A. Krause, "Distributed submodular maximization", JMLR 17(238), 2016
    (first at NIPS 2013).

    R. Barbosa, A. Ene, H. L. Nguyen and J. Ward, "The power of randomization: distributed submodular maximization on
    massive datasets", ICML 2015.

    G. Malkomes, M. J. Kusner, W. Chen, K. Q. Weinberger and B. Moseley, "Fast distributed k-center clustering with
    outliers on massive data", NIPS 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import CoreSet, MarginSampling, Partitioned
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X[:50], y[:50])
    >>> strategy = Partitioned(CoreSet(), n_parts=8, random_state=0)
    >>> query_idx, scores = strategy.select(clf, X[50:], n_instances=10, X_training=X[:50], y_training=y[:50])
    >>> bool((scores[:-1] >= scores[1:]).all())
    True
    >>> margins = Partitioned(MarginSampling(), n_parts=8).select(clf, X[50:], n_instances=10)
    >>> margins[0].tolist() == MarginSampling().select(clf, X[50:], n_instances=10)[0].tolist()
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "strategy": [HasMethods("select"), callable],
        "n_parts": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    _stage_params = ("strategy",)

    def __init__(
        self,
        strategy: QueryStrategy | Callable[..., Any],
        *,
        n_parts: int,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.strategy = strategy
        self.n_parts = n_parts
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        if self.n_parts == 1:
            return self._ask("strategy", pool, n_instances, rng)
        shuffled, seed = rng.permutation(len(pool)), sklearn_seed(rng)

        def choose(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
            # One seed in all parts: what is drawn, such as noise, is the same, and what is kept is found again.
            with piece_of(pool, rows) as part:
                chosen, scores = self._ask("strategy", part, n_instances, np.random.default_rng(seed))
            return rows[chosen], scores

        parts = np.array_split(shuffled, min(self.n_parts, len(pool)))
        found = [rows if len(rows) <= n_instances else choose(np.sort(rows))[0] for rows in parts]
        return choose(np.sort(np.concatenate(found)))


partitioned_sampling = make_query_function(Partitioned, "partitioned_sampling")
