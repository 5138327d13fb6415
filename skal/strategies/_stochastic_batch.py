"""Stochastic batches: another strategy's scores, and Gumbel noise (Kirsch et al., TMLR 2023)."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ..base import HasMethods, Interval, QueryStrategy, ScoringStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..utils._validation import shown
from ._parts._stages import StagedStrategy
from ._parts._thinning import seeded_strategy, strategy_of

__all__ = ["StochasticBatch", "stochastic_batch_sampling"]


class StochasticBatch(StagedStrategy, ScoringStrategy):
    """Samples drawn without replacement, the likelier the higher another strategy scores them.

    The highest scores are often those of samples that are alike, so that a batch of them tells the model one thing
    several times. A batch that is drawn by the scores costs no more, and is spread by chance.

    Parameters
    ----------
    strategy : ScoringStrategy or query function
        What scores the samples: any strategy of skal with `score_samples`, such as `MarginSampling` or `BALD`, or the
        function twin of one.
    beta : float >= 0, default=1.0
        How much the scores count beside chance, an inverse temperature: 0 is random sampling, and the larger it is,
        the more the batch is that of `strategy`.
    kind : {"power", "softmax", "softrank"}, default="power"
        What stands for a sample: the logarithm of its score, its score, or minus the logarithm of its rank.
    random_state : int, RandomState or None, default=None
        Draws the noise, and seeds `strategy` where its own `random_state` is None. An integer gives the same run
        every time; successive rounds differ.

    Raises
    ------
    TypeError
        A `strategy` that does not score samples.

    Notes
    -----
    With s_i the scores of `strategy` and r_i their ranks (1 is the highest; equal scores share the mean of their
    ranks), the batch are the `n_instances` samples with the largest

    .. math:: \\beta v_i + \\epsilon_i, \\qquad v_i = \\log s_i, \\quad s_i \\quad\\text{or}\\quad -\\log r_i,
              \\qquad \\epsilon_i \\sim \\mathrm{Gumbel}(0, 1)

    for the kinds "power", "softmax" and "softrank". That is a draw without replacement, one after the other, each with
    a probability in proportion to s_i^beta, exp(beta s_i) or r_i^-beta among those that are left. The scores returned
    are these sums, for beta above 1 divided by it, which changes no order.

    "power" needs scores that are not negative: where one is, as of `MarginSampling`, they are shifted so that the
    lowest is 0. A sample of score 0 comes after all others. "softmax" depends on the scale of the scores, the other
    two do not.

    Time and memory: those of the scores of `strategy`, and O(n), for "softrank" O(n log n).

    Ours: mean ranks for equal scores, where the paper does not say, and the shift.

    References
    ----------
    A. Kirsch, S. Farquhar, P. Atighehchian, A. Jesson, F. Branchaud-Charron and Y. Gal, "Stochastic batch acquisition:
    a simple baseline for deep active learning", TMLR 2023, arXiv 2106.12059.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import EntropySampling, StochasticBatch
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X[:50], y[:50])
    >>> strategy = StochasticBatch(EntropySampling(), beta=2.0, random_state=0)
    >>> query_idx, scores = strategy.select(clf, X[50:], n_instances=10)
    >>> bool((scores[:-1] >= scores[1:]).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "strategy": [HasMethods("select"), callable],
        "beta": [Interval(Real, 0, None, closed="left")],
        "kind": [StrOptions({"power", "softmax", "softrank"})],
        "random_state": ["random_state"],
    }
    _stage_params = ("strategy",)
    # The strategy is asked about the pool itself.
    one_pass = True

    def __init__(
        self,
        strategy: QueryStrategy | Callable[..., Any],
        *,
        beta: float = 1.0,
        kind: Literal["power", "softmax", "softrank"] = "power",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.strategy = strategy
        self.beta = beta
        self.kind = kind
        self.random_state = random_state

    def _require(self, pool: PoolView) -> None:
        if not isinstance(strategy_of(self.strategy), ScoringStrategy):
            raise TypeError(
                "The 'strategy' parameter of StochasticBatch must be a strategy with score_samples, such as "
                f"MarginSampling(). Got {shown(self.strategy)} instead."
            )
        super()._require(pool)

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        strategy = seeded_strategy(
            strategy_of(self.strategy),
            pool,
            rng,
            str(self.__name__),
            parameter="strategy",
            random_state=self.random_state,
        )
        scores = strategy.score_samples(pool, pool.X)
        noise = rng.gumbel(size=len(scores))
        if self.kind == "softmax":
            return self._noisy(scores, noise)
        if self.kind == "softrank":
            return self._noisy(-np.log(rankdata(-scores)), noise)
        if scores.min() < 0:
            scores = scores - scores.min()
        found = noise.copy()
        is_positive = scores > 0
        if self.beta > 0 and is_positive.any():
            found[is_positive] = self._noisy(np.log(scores[is_positive]), noise[is_positive])
            # Their weight is 0: after all others, in an order by chance.
            found[~is_positive] += found[is_positive].min() - noise.max() - 1
        return found

    def _noisy(self, values: NDArray, noise: NDArray) -> NDArray[np.float64]:
        """The sums; divided by `beta` where that is large, so that the noise vanishes and nothing overflows."""
        scale = max(self.beta, 1.0)
        return values * (self.beta / scale) + noise / scale


stochastic_batch_sampling = make_query_function(StochasticBatch, "stochastic_batch_sampling")
