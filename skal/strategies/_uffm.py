"""UFFM: resample the most uncertain samples by unsupervised fusion feature matching (TNNLS 2024)."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import Interval, QueryStrategy, StrOptions, make_query_function
from ..rows import is_finite, numbers_of
from ..utils._arrays import l2_normalize
from ..utils._validation import shown
from ._parts._thinning import ThinningStrategy

__all__ = ["UFFM", "remove_similar", "uffm_sampling"]


class UFFM(ThinningStrategy):
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

    Differences from the paper. Without a `descriptor` the classifier's own embeddings are matched, which are the high
    layer that the paper argues against (its table IV has it last); the paper's descriptor is
    `skal.nets.FusionDescriptor`. Algorithm 1, read literally, adds every candidate: with repeats, and as a set all
    T'' = 1.2 T' of them, which labels 20 % more than was asked for (see the user guide for what that would explain).
    Read as a set that stops at T', only the most uncertain sample ever removes anything (``resampling="printed"``). The
    default follows the text, "perform the above steps in turn until the amount of data reaches the expected number T'".
    "Smallest distance" is the largest product. Before there are labels, samples are random, as in the paper.

    Time: the base strategy's, and O(T'' d) for each candidate that removes (two of them with the defaults). The
    descriptor sees the pool once for fitting; after that only candidates not seen before. Memory: at most 256 MB of
    descriptors are kept; hashing the pool takes about a second per gigabyte, once. They are kept in `PoolView.memory`,
    which is the learner's: a pickle of the learner keeps the fitted descriptor, without the descriptors it has made;
    its clone keeps neither, and a bare classifier nothing. Where more than half of the candidates were not in the pool
    that the descriptor was fitted on, it is fitted anew.

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
        **ThinningStrategy._parameter_constraints,
        "similar_fraction": [Interval(Real, 0, 1, closed="right")],
        "resampling": [StrOptions({"removal", "printed"})],
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

    def _thin(self, descriptors: NDArray, n_instances: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return remove_similar(descriptors, n_instances, self.similar_fraction, self.resampling)


def remove_similar(
    descriptors: ArrayLike,
    n_keep: int,
    fraction: float = 0.1,
    resampling: Literal["removal", "printed"] = "removal",
) -> NDArray[np.int64]:
    """Thin a ranked list out: keep `n_keep` items, and of items that look alike the better ranked.

    Parameters
    ----------
    descriptors : array-like of shape (n, d)
        Descriptors of the items, most uncertain first. Rows are compared by their cosine, which is 0 for a zero
        row.
    n_keep : int in [1, n]
        How many items to keep.
    fraction : float in (0, 1], default=0.1
        Share of the later items that count as similar to an item; at least one does.
    resampling : {"removal", "printed"}, default="removal"
        "removal": all items stand at first; in order, each item that still stands removes the most similar `fraction`
        of the later ones that still stand, until `n_keep` are left. "printed": the paper's algorithm 1 as printed, over
        a set and stopped when it holds `n_keep`: an item joins, and with it, in order, the later items outside
        its most similar `fraction`. With a list less than about 1.1 times `n_keep` long nothing but the first item's
        neighbours is ever left out.

    Returns
    -------
    ndarray of shape (n_keep,), int64
        Positions kept, ascending: the order of the list. Never a repeat.

    Raises
    ------
    ValueError
        Descriptors that are not a finite, two-dimensional array, or a parameter out of range.

    Notes
    -----
    The number of similar items among m later ones is ``max(1, ceil(fraction * m))``; of equally similar items the
    earlier counts first. Where "removal" comes to the end of the list with more than `n_keep` left (few
    items, or a small `fraction`), it begins again at the first item. O(n d) time for each item that removes: with the
    defaults two items for ``n = 1.2 * n_keep``, at most ``n - n_keep`` for the smallest `fraction`. O(n d) memory; no
    (n, n) array.

    References
    ----------
    W. Huang et al., "Unsupervised fusion feature matching for data bias in uncertainty active learning", IEEE
    Transactions on Neural Networks and Learning Systems, 2024, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.strategies import remove_similar
    >>> angles = np.deg2rad([0, 5, 90, 8, 95, 45])
    >>> descriptors = np.column_stack([np.cos(angles), np.sin(angles)])
    >>> remove_similar(descriptors, 4)  # 0 removes 5 degrees, 90 removes 95
    array([0, 2, 3, 5])
    >>> remove_similar(descriptors, 4, resampling="printed")
    array([0, 2, 3, 4])
    """
    unit = numbers_of(descriptors)
    if unit is None or unit.ndim != 2 or unit.dtype.kind == "c" or len(unit) == 0 or not is_finite(unit):
        got = shown(descriptors) if unit is None else f"shape {unit.shape}"
        raise ValueError(
            "The 'descriptors' of remove_similar must be a finite array of shape (n, d) with n >= 1. "
            f"Got {got}{'' if unit is None or is_finite(unit) else ' with NaN or infinity'}."
        )
    if not isinstance(n_keep, Integral) or not 1 <= n_keep <= len(unit):
        raise ValueError(f"The 'n_keep' of remove_similar must be in [1, {len(unit)}]. Got {shown(n_keep)} instead.")
    if not isinstance(fraction, Real) or not 0 < fraction <= 1:
        raise ValueError(f"The 'fraction' of remove_similar must be in (0, 1]. Got {shown(fraction)} instead.")
    if not isinstance(resampling, str) or resampling not in ("removal", "printed"):
        raise ValueError(
            f"The 'resampling' of remove_similar must be 'removal' or 'printed'. Got {shown(resampling)} instead."
        )
    unit = l2_normalize(unit if unit.dtype == np.float32 else unit.astype(np.float64))
    return _remove(unit, n_keep, fraction) if resampling == "removal" else _as_printed(unit, n_keep, fraction)


def _n_similar(n_later: int, fraction: float) -> int:
    return max(1, math.ceil(fraction * n_later))


def _remove(unit: NDArray, n_keep: int, fraction: float) -> NDArray[np.int64]:
    standing = np.arange(len(unit))
    while len(standing) > n_keep:
        m = 0
        while m < len(standing) - 1 and len(standing) > n_keep:
            later = standing[m + 1 :]
            k = min(_n_similar(len(later), fraction), len(standing) - n_keep)
            # One product with a contiguous block: taking the rows that stand would copy them all.
            similarity = (unit[later[0] :] @ unit[standing[m]])[later - later[0]]
            standing = np.delete(standing, m + 1 + most_similar(similarity, k))
            m += 1
    return standing


def _as_printed(unit: NDArray, n_keep: int, fraction: float) -> NDArray[np.int64]:
    joined = np.zeros(len(unit), dtype=bool)
    for m in range(len(unit)):
        missing = n_keep - int(joined.sum())
        if missing == 0:
            break
        candidates = ~joined
        candidates[:m] = False
        n_later = len(unit) - m - 1
        if n_later:
            similarity = unit[m + 1 :] @ unit[m]
            candidates[m + 1 + most_similar(similarity, _n_similar(n_later, fraction))] = False
        joined[np.flatnonzero(candidates)[:missing]] = True
    return np.flatnonzero(joined)


def most_similar(similarity: NDArray, k: int) -> NDArray[np.int64]:
    """Positions of the `k` largest similarities; of equal ones the first."""
    threshold = np.partition(similarity, len(similarity) - k)[len(similarity) - k]
    above = np.flatnonzero(similarity > threshold)
    equal = np.flatnonzero(similarity == threshold)
    return np.concatenate([above, equal[: k - len(above)]])


uffm_sampling = make_query_function(UFFM, "uffm_sampling")
