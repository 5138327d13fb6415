"""Cluster distance difference, sub-pools of an order, and the run that keeps the order: what BAL and PT4AL share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal
from weakref import WeakSet

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.frozen import FrozenEstimator

from ...base import requirement
from ...models import interrupts_pass
from ...rows import numbers_of, row_keys, stack_rows
from ...utils._arrays import blocks, l2_normalize
from ...utils._random import seeded_clone
from ...utils._validation import shown

__all__ = [
    "SubPoolMixin",
    "cluster_distance_difference",
    "fit_clone",
    "highest_of_stretch",
    "pretext_likelihood",
    "sub_pool_bounds",
]


_BLOCK = 4_000_000  # numbers in a block of features or distances: 32 MB


def cluster_distance_difference(X: ArrayLike, centers: ArrayLike) -> NDArray[np.float64]:
    """How far each sample is from being claimed by two cluster centres at once (BAL, eq. 2).

    The distance to the second nearest centre minus the distance to the nearest: 0 on the border between two clusters.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Features.
    centers : array-like of shape (k, d), k >= 2
        Cluster centres.

    Returns
    -------
    ndarray of shape (n,), float64
        Differences, >= 0.

    Raises
    ------
    ValueError
        Arrays that are not two-dimensional, finite and equally wide, or fewer than two centres.

    Notes
    -----
    With d_ik = ||h_i - c_k||_2 sorted over k, d_i^(1) <= d_i^(2) <= ..., the result is d_i^(2) - d_i^(1). O(n k d)
    time, in blocks of 32 MB; the distances themselves, (n, k), are never held.

    References
    ----------
    "BAL: Balancing diversity and novelty for active learning", IEEE TPAMI, 2024, arXiv 2312.15944, eq. 2.

    Examples
    --------
    >>> from skal.strategies import cluster_distance_difference
    >>> X = [[0, 0], [1, 0], [2, 0], [3.5, 0], [2, 3]]
    >>> cluster_distance_difference(X, [[0, 0], [4, 0]])
    array([4., 2., 0., 3., 0.])
    """
    features, means = numbers_of(X), numbers_of(centers)
    shapes = ["no numbers" if array is None else array.shape for array in (features, means)]
    if features is None or means is None or not features.ndim == means.ndim == 2 or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            "X and centers of cluster_distance_difference must have shapes (n, d) and (k, d). "
            f"Got {shapes[0]} and {shapes[1]}."
        )
    means = means.astype(np.float64)
    if len(means) < 2:
        raise ValueError(f"cluster_distance_difference needs at least two centers. Got {len(means)}.")
    with np.errstate(over="ignore", invalid="ignore"):  # of values whose squares no double holds, which are refused
        # Distances do not change with the origin; one amid the centres keeps the squares, and their rounding, small.
        origin = means.mean(axis=0)
        means = means - origin
        norms = np.einsum("kd,kd->k", means, means)
        differences = np.empty(len(features))
        for rows in blocks(len(features), _BLOCK // max(means.shape)):
            block = features[rows] - origin
            squares = block @ means.T
            squares *= -2
            squares += norms
            nearest = np.partition(squares, 1, axis=1)[:, :2]
            nearest += np.einsum("id,id->i", block, block)[:, None]
            nearest = np.sqrt(np.maximum(nearest, 0))
            differences[rows] = nearest[:, 1] - nearest[:, 0]
    if not (np.isfinite(differences).all() and np.isfinite(norms).all()):
        raise ValueError(
            "X and centers of cluster_distance_difference must be finite, and their squares, too. Got NaN, infinity or "
            "values beyond 1e150."
        )
    return differences


def sub_pool_bounds(
    round: int,
    n_samples: int,
    n_rounds: int,
    beta: float,
    indexing: Literal["paper", "repository"] = "paper",
) -> tuple[int, int]:
    """Where the sub-pool of a round begins and ends in the order of all samples (BAL, eq. 6).

    Parameters
    ----------
    round : int in [0, n_rounds)
        Round, counted from 0, the first selection.
    n_samples : int >= 1
        Size N of the whole initial pool.
    n_rounds : int >= 1
        Rounds C of the whole schedule, the first selection included.
    beta : float > 0
        Size of a sub-pool in units of N / C: above 1 neighbours overlap, below 1 there are gaps between them.
    indexing : {"paper", "repository"}, default="paper"
        "repository" moves the middle rounds one place on, as the authors' published code does; it then never visits
        the second place, and visits the last one twice.

    Returns
    -------
    start, stop : int
        The sub-pool holds the places start, start + 1, ..., stop - 1 of the order. Within [0, n_samples], but for
        "repository", whose stop may pass the end, as in the code.

    Raises
    ------
    ValueError, TypeError
        A parameter out of range; a round past the schedule, which has no sub-pool.

    Notes
    -----
    With S = N / C and h = (beta - 1) S / 2, round i covers [i S - h, (i + 1) S + h), rounded down; the first is
    anchored at the beginning, [0, beta S), and the last at the end, [N - beta S, N).

    References
    ----------
    "BAL: Balancing diversity and novelty for active learning", IEEE TPAMI, 2024, arXiv 2312.15944, eqs. 6 and 7.

    Examples
    --------
    >>> from skal.strategies import sub_pool_bounds
    >>> [sub_pool_bounds(i, 50, 5, beta=1.4) for i in range(5)]
    [(0, 14), (8, 22), (18, 32), (28, 42), (36, 50)]
    """
    for name, value, lowest in (("round", round, 0), ("n_samples", n_samples, 1), ("n_rounds", n_rounds, 1)):
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise TypeError(f"The {name!r} of sub_pool_bounds must be an integer. Got {shown(value)} instead.")
        if value < lowest:
            raise ValueError(f"The {name!r} of sub_pool_bounds must be at least {lowest}. Got {value} instead.")
    if round >= n_rounds:
        raise ValueError(
            f"The 'round' of sub_pool_bounds must be below n_rounds={n_rounds}: the schedule is over by then. "
            f"Got {round} instead."
        )
    if not isinstance(beta, Real) or not 0 < beta < np.inf:
        raise ValueError(f"The 'beta' of sub_pool_bounds must be a float in (0.0, inf). Got {shown(beta)} instead.")
    if not isinstance(indexing, str) or indexing not in ("paper", "repository"):
        raise ValueError(
            f"The 'indexing' of sub_pool_bounds must be 'paper' or 'repository'. Got {shown(indexing)} instead."
        )
    share = n_samples / n_rounds
    if round == 0:
        return 0, min(_floor(beta * share), int(n_samples))
    if round == n_rounds - 1:
        return max(_floor(n_samples - beta * share), 0), int(n_samples)
    half = (beta - 1) / 2 * share
    place = round if indexing == "paper" else round + 1
    start, stop = max(_floor(place * share - half), 0), _floor((place + 1) * share + half)
    return start, min(stop, int(n_samples)) if indexing == "paper" else stop


def _floor(bound: float) -> int:
    # Rounded first, since 0.1 * 30 is not quite 3.
    return int(np.floor(np.round(bound, 9)))


def highest_of_stretch(scores: NDArray, places: NDArray, start: int, stop: int, n_instances: int) -> NDArray[np.int64]:
    """Positions of the highest `scores` among `places` in [start, stop), highest first.

    Where they are fewer than `n_instances`, the samples nearest to the sub-pool in the order join them; ties go by
    score, then by place.
    """
    outside = np.maximum(0, np.maximum(start - places, places - (stop - 1)))
    chosen = np.lexsort((places, -scores, outside))[:n_instances]
    return chosen[np.argsort(-scores[chosen], kind="stable")]


class _Run:
    """The order of all samples of one run, fixed when it begins, and where the run stands in its schedule."""

    def __init__(self, keys: Sequence[bytes], values: NDArray, pool: Any) -> None:
        order = np.argsort(values, kind="stable")
        self.values = values[order]
        self.places: dict[bytes, int] = {}
        for place, i in enumerate(order.tolist()):
            # Samples that are alike share the first of their places.
            self.places.setdefault(keys[i], place)
        self.first_cycle = 0 if pool.is_cold else 1
        # Data that a learner began with are its first selection. At a later round that was one of its own queries.
        self.offset = self.first_cycle if pool.round == 0 else 0

    def serves(self, pool_keys: Sequence[bytes], all_keys: Sequence[bytes] | None) -> bool:
        """Whether this run's order holds the pool, and is of just these samples where all are given."""
        if not set(pool_keys) <= self.places.keys():
            return False
        return all_keys is None or set(all_keys) == self.places.keys()

    def cycle(self, pool: Any, sizes: tuple[tuple[int, int], ...]) -> int:
        """The cycle that a query belongs to, counted from 0, the first selection.

        Where nobody counts rounds, a cycle is over when pool or labelled data have another size; `sizes` are those met
        so far, this query's among them.
        """
        if pool.counts_rounds:
            return max(pool.round + self.offset, 0 if pool.is_cold else 1)
        return max(self.first_cycle + sizes.index((pool.n_labeled, len(pool))), 0 if pool.is_cold else 1)


def fit_clone(pretext: Any, X: Any, seed: int) -> Any:
    """A fitted clone of `pretext`, with this seed where it has none; what is frozen is fitted already."""
    twin = seeded_clone(pretext, seed)
    # FrozenEstimator's fit, which does nothing, is the only one that insists on a y.
    with interrupts_pass():
        return twin if isinstance(twin, FrozenEstimator) else twin.fit(X)


def pretext_likelihood(pretext: Any, X: Any, seed: int, owner: str) -> NDArray[np.float64]:
    """`score_samples` of a fitted clone of `pretext`, (n,): low for the samples on which its loss is large."""
    likelihood = np.asarray(fit_clone(pretext, X, seed).score_samples(X), dtype=np.float64)
    if not np.isfinite(likelihood).all():
        raise ValueError(f"score_samples of {owner}'s pretext must return finite numbers. Got NaN or infinity.")
    return likelihood


class SubPoolMixin:
    """A strategy that orders all samples once, and takes each cycle's batch from its own stretch of the order.

    A subclass says by what to order (`_order_values`), which of its parameters the order depends on (`_order_params`),
    what to take first (`_first`), and what to take of a stretch, if not the least confident (`_take`). The order is
    kept in the pool's memory.
    """

    n_rounds: int | None
    normalize_logits: bool
    _order_params: tuple[str, ...]
    requires = requirement(("proba",), lambda strategy: strategy._needs())

    def _needs(self) -> tuple[str, ...]:
        """What a strategy with these parameters asks of the pool."""
        return ("logits",) if self.normalize_logits else ("proba",)

    @property
    def _descending(self) -> bool:
        return getattr(self, "order", "ascending") == "descending"

    def _order_values(self, X: Any, pool: Any) -> NDArray:
        """Values (n,) of all samples `X`, by which the order is ascending."""
        raise NotImplementedError

    def _bounds(self, cycle: int, n_samples: int, n_rounds: int) -> tuple[int, int]:
        """Sub-pool of a cycle of the schedule."""
        raise NotImplementedError

    def _first(self, places: NDArray, stop: int, n_instances: int) -> NDArray:
        """Positions to take while there is no model; `stop` ends the first sub-pool."""
        raise NotImplementedError

    def _take(
        self, pool: Any, places: NDArray, start: int, stop: int, n_instances: int, rng: np.random.Generator
    ) -> tuple[NDArray, NDArray]:
        """Positions and scores of the batch from the places [start, stop) of the order."""
        scores = 1 - self._proba(pool).max(axis=1)
        chosen = highest_of_stretch(scores, places, start, stop, n_instances)
        return chosen, scores[chosen]

    def _query(self, pool: Any, n_instances: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        n_rounds = self._planned_rounds(pool)
        run, places, cycle = self._find_run(pool)
        n_samples = len(run.values)
        # After the schedule every sample that is left may be taken.
        start, stop = self._bounds(cycle, n_samples, n_rounds) if cycle < n_rounds else (0, n_samples)
        return self._take(pool, places, start, stop, n_instances, rng)

    def _cold_start(self, pool: Any, n_instances: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        n_rounds = self._planned_rounds(pool)
        run, places, _ = self._find_run(pool)
        chosen = self._first(places, self._bounds(0, len(run.values), n_rounds)[1], n_instances)
        if self._descending:
            return chosen, run.values[len(run.values) - 1 - places[chosen]]
        return chosen, -run.values[places[chosen]]

    def _planned_rounds(self, pool: Any) -> int:
        n_rounds = pool.n_rounds if self.n_rounds is None else self.n_rounds
        if n_rounds is None:
            name = type(self).__name__
            raise ValueError(
                f"{name} needs the number of rounds of the whole run, the first selection included: pass "
                f"{name}(n_rounds=...), or set it on the learner, learner.n_rounds = ... (ActiveLearningClassifier and "
                "skal.experiments.compare do so by themselves). Got None."
            )
        return int(n_rounds)

    def _proba(self, pool: Any) -> NDArray[np.float64]:
        """Probabilities, (n, n_classes), or the softmax of logits of unit length."""
        if self.normalize_logits:
            return softmax(l2_normalize(np.asarray(pool.logits, dtype=np.float64)), axis=1)
        return np.asarray(pool.proba, dtype=np.float64)

    def _find_run(self, pool: Any) -> tuple[_Run, NDArray[np.int64], int]:
        """The run that these samples belong to, begun if there is none, the pool's places in its order, the cycle."""
        owner, whole = type(self).__name__, pool.whole
        # The order is that of the whole pool, also where a part of it is to choose from.
        keys = row_keys(whole.X)
        if not pool.memory.keeps:
            _tell_once(pool, owner)

        def all_keys() -> list[bytes]:
            return keys if pool.labeled is None else keys + row_keys(pool.labeled.X)

        settings = {
            name: value
            for name, value in self.get_params(deep=True).items()  # type: ignore[attr-defined]
            if name.split("__")[0] in self._order_params
        }

        def begin() -> _Run:
            values = self._order_values(_all_samples(whole), whole)
            return _Run(all_keys(), np.asarray(values, dtype=np.float64), whole)

        # Later on the labelled data may hold samples of other origin, adversarial copies for example.
        begins = all_keys() if pool.counts_rounds and pool.round == 0 else None
        run = pool.memory.recall(owner, settings, begin, serves=lambda known: known.serves(keys, begins))
        # The schedule goes on when the samples are ordered in another way: it is that of the first order of them.
        first, sizes = pool.memory.recall(f"sizes of {owner}", {}, lambda: (run, ()))
        if first is not run and not first.serves(keys, begins):
            first, sizes = run, ()
        size = (whole.n_labeled, len(whole))
        sizes = sizes if size in sizes else (*sizes, size)
        pool.memory.keep(f"sizes of {owner}", {}, (first, sizes))
        keys = keys if pool is whole else row_keys(pool.X)
        places = np.fromiter(map(run.places.__getitem__, keys), dtype=np.int64, count=len(keys))
        places = len(run.values) - 1 - places if self._descending else places
        return run, places, first.cycle(whole, sizes)


# Bare classifiers whose user knows.
_TOLD: WeakSet[Any] = WeakSet()


def _tell_once(pool: Any, name: str) -> None:
    try:
        if pool.classifier in _TOLD:
            return
        _TOLD.add(pool.classifier)
    except TypeError:
        # What takes no weak reference cannot be recognised: the warning's own filter has to do.
        pass
    warnings.warn(
        f"{name} keeps the order of a run with the learner, and a bare classifier has nowhere to keep it: each query "
        "makes a new order and counts as the first round after the initial set. Use skal.learners.ActiveLearner.",
        UserWarning,
        stacklevel=6,
    )


def _all_samples(pool: Any) -> Any:
    """The pool and, below it, the labelled data, as the last step of the model sees them."""
    if pool.labeled is None:
        return pool.X_transformed
    return stack_rows(pool.X_transformed, pool.labeled.X_transformed)
