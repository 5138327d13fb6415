"""Cluster distance difference, sub-pools of an order, and the run that keeps the order: what BAL and PT4AL share."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from ...exceptions import PoolCapabilityError
from ...rows import row_keys, stack_rows
from ...utils._arrays import blocks, l2_normalize

__all__ = [
    "RunMemory",
    "SubPoolMixin",
    "cluster_distance_difference",
    "fit_clone",
    "least_confident",
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
    features: NDArray = np.asarray(X)
    means: NDArray = np.asarray(centers, dtype=np.float64)
    if features.ndim != 2 or means.ndim != 2 or features.shape[1] != means.shape[1]:
        raise ValueError(
            "X and centers of cluster_distance_difference must have shapes (n, d) and (k, d). "
            f"Got {features.shape} and {means.shape}."
        )
    if len(means) < 2:
        raise ValueError(f"cluster_distance_difference needs at least two centers. Got {len(means)}.")
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
        raise ValueError("X and centers of cluster_distance_difference must be finite. Got NaN or infinity.")
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
            raise TypeError(f"The {name!r} of sub_pool_bounds must be an integer. Got {value!r} instead.")
        if value < lowest:
            raise ValueError(f"The {name!r} of sub_pool_bounds must be at least {lowest}. Got {value} instead.")
    if round >= n_rounds:
        raise ValueError(
            f"The 'round' of sub_pool_bounds must be below n_rounds={n_rounds}: the schedule is over by then. "
            f"Got {round} instead."
        )
    if not isinstance(beta, Real) or not 0 < beta < np.inf:
        raise ValueError(f"The 'beta' of sub_pool_bounds must be a float in (0.0, inf). Got {beta!r} instead.")
    if indexing not in ("paper", "repository"):
        raise ValueError(
            f"The 'indexing' of sub_pool_bounds must be 'paper' or 'repository'. Got {indexing!r} instead."
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


def least_confident(scores: NDArray, places: NDArray, start: int, stop: int, n_instances: int) -> NDArray[np.int64]:
    """Positions of the highest `scores` among `places` in [start, stop), highest first.

    Where they are fewer than `n_instances`, the samples nearest to the sub-pool in the order join them; ties go by
    score, then by place.
    """
    outside = np.maximum(0, np.maximum(start - places, places - (stop - 1)))
    chosen = np.lexsort((places, -scores, outside))[:n_instances]
    return chosen[np.argsort(-scores[chosen], kind="stable")]


class _Run:
    """The order of all samples of one run, fixed when it begins, and where the run stands in its schedule."""

    def __init__(self, settings: dict[str, Any], keys: Sequence[bytes], values: NDArray) -> None:
        self.settings = settings
        order = np.argsort(values, kind="stable")
        self.values = values[order]
        self.places: dict[bytes, int] = {}
        for place, i in enumerate(order.tolist()):
            # Samples that are alike share the first of their places.
            self.places.setdefault(keys[i], place)
        self.first_cycle = 0
        self.offset = 0
        self.sizes: list[tuple[int, int]] = []

    def serves(self, settings: dict[str, Any], pool_keys: Sequence[bytes], all_keys: Sequence[bytes] | None) -> bool:
        """Whether this run's order holds the pool, and is of just these samples where all are given."""
        if not _same_settings(self.settings, settings) or not all(key in self.places for key in pool_keys):
            return False
        return all_keys is None or set(all_keys) == self.places.keys()

    def begin(self, pool: Any) -> None:
        """Learn how the learner's rounds, if it counts them, relate to the cycles of the schedule."""
        self.first_cycle = 0 if pool.is_cold else 1
        # Data that a learner began with are its first selection. At a later round that was one of its own queries.
        self.offset = self.first_cycle if pool.round == 0 else 0

    def cycle(self, pool: Any) -> int:
        """The cycle that a query belongs to, counted from 0, the first selection."""
        if _counts_rounds(pool.classifier):
            return max(pool.round + self.offset, 0 if pool.is_cold else 1)
        # Nobody counts: a cycle is over when pool or labelled data have another size.
        size = (pool.n_labeled, len(pool))
        if size not in self.sizes:
            self.sizes.append(size)
        return max(self.first_cycle + self.sizes.index(size), 0 if pool.is_cold else 1)


class RunMemory:
    """The run that a strategy is in; shared by its twins of one call, dropped by `clone`."""

    def __init__(self) -> None:
        self.run: _Run | None = None


# The same by learner, so that a query function, which is a new strategy in each call, finds its run again.
_RUNS: WeakKeyDictionary[Any, _Run] = WeakKeyDictionary()


def _counts_rounds(classifier: Any) -> bool:
    return hasattr(classifier, "round")


def _same_settings(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)


def _same(first: Any, second: Any) -> bool:
    if first is second:
        return True
    plain = (bool, int, float, str, tuple, np.integer, np.floating)
    return type(first) is type(second) and isinstance(first, plain) and first == second


def fit_clone(pretext: Any, X: Any) -> Any:
    """A fitted clone of `pretext`; what is frozen is fitted already."""
    twin = clone(pretext, safe=False)
    # FrozenEstimator's fit, which does nothing, is the only one that insists on a y.
    return twin if isinstance(twin, FrozenEstimator) else twin.fit(X)


class SubPoolMixin:
    """A strategy that orders all samples once, and takes each cycle's batch from its own stretch of the order.

    A subclass says by what to order (`_order_by`), which of its parameters the order depends on (`_order_params`), and
    what to take first (`_first`).
    """

    n_rounds: int | None
    normalize_logits: bool
    _order_params: tuple[str, ...]
    _memory: RunMemory

    @property
    def _descending(self) -> bool:
        return getattr(self, "order", "ascending") == "descending"

    def _order_by(self, X: Any, pool: Any, n_classes: int | None) -> NDArray:
        """Values (n,) of all samples `X`; the order is ascending. `n_classes` is None while there is no model."""
        raise NotImplementedError

    def _bounds(self, cycle: int, n_samples: int, n_rounds: int) -> tuple[int, int]:
        """Sub-pool of a cycle of the schedule."""
        raise NotImplementedError

    def _first(self, places: NDArray, stop: int, n_instances: int) -> NDArray:
        """Positions to take while there is no model; `stop` ends the first sub-pool."""
        raise NotImplementedError

    def _query(self, pool: Any, n_instances: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        n_rounds = self._planned_rounds(pool)
        scores, n_classes = self._uncertainty(pool)
        run, places = self._find_run(pool, n_classes)
        cycle, n_samples = run.cycle(pool), len(run.values)
        # After the schedule every sample that is left may be taken.
        start, stop = self._bounds(cycle, n_samples, n_rounds) if cycle < n_rounds else (0, n_samples)
        chosen = least_confident(scores, places, start, stop, n_instances)
        return chosen, scores[chosen]

    def _cold_start(self, pool: Any, n_instances: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        n_rounds = self._planned_rounds(pool)
        run, places = self._find_run(pool, None)
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

    def _uncertainty(self, pool: Any) -> tuple[NDArray[np.float64], int]:
        """One minus the largest probability of each sample, (n,), and the number of classes."""
        if self.normalize_logits:
            pool.require("logits", by=type(self).__name__)
            proba = softmax(l2_normalize(np.asarray(pool.logits, dtype=np.float64)), axis=1)
        else:
            try:
                # Not `pool.proba`, which yields embeddings and logits along with it.
                proba = np.asarray(pool._model.proba(pool.X_transformed), dtype=np.float64)
            except PoolCapabilityError:
                raise pool._lacks("proba", type(self).__name__) from None
        return 1 - proba.max(axis=1), proba.shape[1]

    def _find_run(self, pool: Any, n_classes: int | None) -> tuple[_Run, NDArray[np.int64]]:
        """The run that these samples belong to, begun if there is none, and the pool's places in its order."""
        pool_keys = row_keys(pool.X)

        def all_keys() -> list[bytes]:
            return pool_keys if pool.n_labeled == 0 else pool_keys + row_keys(pool._X_training)

        settings = {
            name: value
            for name, value in self.get_params(deep=True).items()  # type: ignore[attr-defined]
            if name.split("__")[0] in self._order_params
        }
        # Later on the labelled data may hold samples of other origin, adversarial copies for example.
        begins = all_keys() if _counts_rounds(pool.classifier) and pool.round == 0 else None
        for run in (self._memory.run, _run_of(pool.classifier)):
            if run is not None and run.serves(settings, pool_keys, begins):
                break
        else:
            values = self._order_by(_all_samples(pool), pool, n_classes)
            run = _Run(settings, all_keys(), np.asarray(values, dtype=np.float64))
            run.begin(pool)
        self._memory.run = run
        _keep_run(pool.classifier, run)
        places = np.fromiter((run.places[key] for key in pool_keys), dtype=np.int64, count=len(pool_keys))
        return run, len(run.values) - 1 - places if self._descending else places


def _run_of(classifier: Any) -> _Run | None:
    try:
        return _RUNS.get(classifier)
    except TypeError:
        return None


def _keep_run(classifier: Any, run: _Run) -> None:
    try:
        _RUNS[classifier] = run
    except TypeError:
        # What takes no weak reference, or has no hash, is not remembered.
        return


def _all_samples(pool: Any) -> Any:
    """The pool and, below it, the labelled data, as the last step of the model sees them."""
    if not pool.is_fitted:
        # Before there is a model, its transformers see the whole pool, once.
        X = pool.X
        for transform in pool._transforms:
            X = clone(transform).fit_transform(X)
        return X
    return pool.X_transformed if pool.labeled is None else stack_rows(pool.X_transformed, pool.labeled.X)
