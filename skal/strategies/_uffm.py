"""UFFM: resample the most uncertain samples by unsupervised fusion feature matching (TNNLS 2024)."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import QueryStrategy, make_query_function
from ..pool import PoolView
from ..utils._compat import HasMethods, Interval, StrOptions
from ._parts._descriptors import DescriptorMemory
from ._parts._ranking import candidates
from ._parts._similar import remove_similar

__all__ = ["UFFM", "uffm_sampling"]


class UFFM(QueryStrategy):
    """The samples another strategy would query, less those that look like a better ranked one.

    The base strategy ranks somewhat more samples than are wanted. From the most uncertain down, each removes the
    later ones whose descriptors are most similar to its own, until as many are left as were asked for. It helps where
    the most uncertain samples contain near-duplicates; on data without them it changes a sixth of the batch or less.

    Parameters
    ----------
    base_strategy : QueryStrategy, query function or None, default=None
        What ranks the pool: any strategy of skal, or a function with modAL's signature. None is the entropy of the
        class probabilities, as `EntropySampling`.
    descriptor : transformer or None, default=None
        Turns samples, as the learner is given them, into the descriptors that are matched, such as
        `skal.nets.FusionDescriptor`. A clone is fitted, once, on the first pool; descriptors are then found again by
        the samples' content in later rounds. None matches the classifier's own embeddings. To use a fitted
        transformer as it is, wrap it in `sklearn.frozen.FrozenEstimator`.
    sampling_ratio : float >= 1, default=1.2
        Candidates ranked for each sample wanted, the paper's SR; 1 is the base strategy alone.
    similar_fraction : float in (0, 1], default=0.1
        Share of the later candidates that count as similar to a candidate.
    resampling : {"removal", "printed"}, default="removal"
        How similar candidates are removed; see `remove_similar`.
    random_state : int, RandomState or None, default=None
        Breaks ties of the entropy, and seeds the base strategy and the descriptor where their own `random_state` is
        None. An integer gives the same run every time.

    Notes
    -----
    With T' = `n_instances`, the base strategy's T'' = min(ceil(SR T'), n) most informative samples d_1, d_2, ... are
    taken in order (eq. 8), and their unit descriptors compared by matrix product,

    .. math:: M_j = d_j \\, [d_{j+1}, \\dots, d_{T''}]^\\top \\qquad \\text{(eq. 9)}

    (d_j are rows of `descriptor`'s output, or of `PoolView.embeddings` of shape (n, d)). In order, each candidate that
    still stands removes the ceil(0.1 m) most similar of the m later ones that still stand, until T' are left. The
    scores are the base strategy's.

    Differences from the paper. Its algorithm 1, read literally, returns repeats and more than T'; read as a set that
    stops at T', only the most uncertain sample ever removes anything (``resampling="printed"``). The default follows
    the text, "perform the above steps in turn until the amount of data reaches the expected number T'". "Smallest
    distance" is the largest product. Before there are labels, samples are random, as in the paper.

    Time: the base strategy's, and O(T'' d) for each candidate that removes (two of them with the defaults). The
    descriptor sees the pool once for fitting; after that only candidates not seen before. Memory: at most 256 MB of
    descriptors are kept; hashing the pool takes about a second per gigabyte, once. A pickle keeps the fitted
    descriptor, without the descriptors it has made; a clone keeps neither. Where more than half of the candidates were
    not in the pool that the descriptor was fitted on, it is fitted anew.

    A plain function's order is put right where its scores are known: see the user guide. There, too, is what was
    measured: with the default settings few near-duplicates are removed; ``sampling_ratio=2, similar_fraction=0.01``
    removes half of them, and `PatraBruzzone` more.

    References
    ----------
    W. Huang, S. Sun, X. Lin, P. Li, L. Zhu, J. Wang, C. L. P. Chen, B. Sheng, "Unsupervised fusion feature matching
    for data bias in uncertainty active learning", IEEE Transactions on Neural Networks and Learning Systems, 2024,
    doi 10.1109/TNNLS.2022.3209085.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import UFFM, MarginSampling
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X[:50], y[:50])
    >>> strategy = UFFM(MarginSampling(), descriptor=PCA(16), sampling_ratio=1.5, random_state=0)
    >>> query_idx, scores = strategy.select(clf, X[50:], n_instances=20)
    >>> len(query_idx), bool((scores[:-1] >= scores[1:]).all())
    (20, True)
    >>> strategy.set_params(descriptor__n_components=8).get_params()["descriptor__n_components"]
    8
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "base_strategy": [HasMethods("select"), callable, None],
        "descriptor": [HasMethods(["fit", "transform"]), None],
        "sampling_ratio": [Interval(Real, 1, None, closed="left")],
        "similar_fraction": [Interval(Real, 0, 1, closed="right")],
        "resampling": [StrOptions({"removal", "printed"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        base_strategy: QueryStrategy | Callable[..., Any] | None = None,
        *,
        descriptor: Any = None,
        sampling_ratio: float = 1.2,
        similar_fraction: float = 0.1,
        resampling: Literal["removal", "printed"] = "removal",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.base_strategy = base_strategy
        self.descriptor = descriptor
        self.sampling_ratio = sampling_ratio
        self.similar_fraction = similar_fraction
        self.resampling = resampling
        self.random_state = random_state
        self._memory = DescriptorMemory()

    def _check_pool(self, pool: PoolView) -> None:
        super()._check_pool(pool)
        if self.descriptor is None:
            pool.require("embeddings", by=self.__name__)

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        ranked, scores, descriptors = candidates(self, pool, n_instances, rng)
        if len(ranked) == n_instances:
            return ranked, scores
        kept = remove_similar(descriptors, n_instances, self.similar_fraction, self.resampling)
        return ranked[kept], scores[kept]


uffm_sampling = make_query_function(UFFM, "uffm_sampling")
