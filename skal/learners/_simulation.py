"""The one retrospective loop: query, reveal, teach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from ..models import takes_missing
from ..rows import lazy_rows, n_rows, take_rows
from ..strategies import RandomSampling
from ..utils._random import make_generator, sklearn_seed
from ..utils._validation import shown
from ._active_learner import ActiveLearner
from ._transaction import LARGEST_IN_QUERY, unchanged_on_error

__all__ = ["Round", "learner_from", "simulate"]

# The stream of the initial set, which is another than those of strategies and models.
_INITIAL = 1
_DEFAULT_INITIAL = 10


@dataclass(frozen=True, eq=False)
class Round:
    """A finished round of `simulate`.

    Attributes
    ----------
    round : int
        0 is the initial set, r the r-th query.
    queried : ndarray of shape (n_queried,), int64
        Positions in `X` of the samples labelled in this round, in the order of the query.
    labeled : ndarray of shape (n_labeled,), int64
        Positions of all samples labelled so far, in the order of labelling.
    query_seconds : float
        Time of the query; NaN where `initial` was given.
    fit_seconds : float
        Time of the training.
    learner : ActiveLearner
        The learner, taught all that; the same object in every round.
    """

    round: int
    queried: NDArray[np.int64]
    labeled: NDArray[np.int64]
    query_seconds: float
    fit_seconds: float
    learner: Any


def simulate(
    learner: Any,
    X: Any,
    y: Any,
    *,
    n_initial: int | None = None,
    n_instances: int = 10,
    n_queries: int = 10,
    initial: ArrayLike | None = None,
    init_strategy: Callable[..., Any] | None = None,
    pool: ArrayLike | None = None,
    until_two_classes: bool = True,
    random_state: int | np.random.RandomState | None = None,
    fit_params: dict[str, Any] | None = None,
) -> Iterator[Round]:
    """Simulate active learning on data whose labels are all known: round by round, query, reveal and teach.

    This is **retrospective**: `y` plays the oracle. To label new data, call `learner.query` and `learner.teach`.

    Parameters
    ----------
    learner : ActiveLearner
        What asks and is taught. Data that it holds already stay its own.
    X : array-like of n samples
        All samples, in any container that a learner takes.
    y : array-like of n labels
        Their labels; those asked for are revealed.
    n_initial : int >= 0 or None, default=None
        Samples of the initial set; 0 begins with the first query. None is 0 for a learner that has labelled data, and
        10 for one that has none.
    n_instances : int >= 1, default=10
        Samples per query; the last query takes what is left.
    n_queries : int >= 0, default=10
        Queries after the initial set; fewer where everything is labelled before.
    initial : array-like of int or None, default=None
        Positions of the initial set, instead of `n_initial`.
    init_strategy : QueryStrategy, callable or None, default=None
        What chooses the initial set, asked of a learner without data. None is random sampling, seeded by
        `random_state`.
    pool : array-like of int or None, default=None
        Positions of the samples that may be labelled, in the order in which the strategy sees them; None is all.
    until_two_classes : bool, default=True
        Where the initial set chosen by `init_strategy` holds a single class, label further samples, one at a time and
        at random, until a second class is found (unless there is none). Most classifiers cannot begin with one.
    random_state : int, RandomState or None, default=None
        Seeds the initial set. Strategy and model have seeds of their own.
    fit_params : dict or None, default=None
        Passed to the estimator's `fit`; what holds one entry per sample of `X` is cut down to the labelled ones.

    Yields
    ------
    Round
        After each round: `round`, `queried`, `labeled`, `query_seconds`, `fit_seconds` and `learner`.

    Raises
    ------
    ValueError, TypeError
        Numbers out of range, positions that do not exist, a strategy that answers with anything but unique positions in
        its pool. Arguments are checked when `simulate` is called.

    Notes
    -----
    Only finished rounds are yielded: one that fails, or is interrupted, leaves the learner as it was before it. Where
    the learner's `n_rounds` is None, it is set to ``1 + n_queries``, which strategies with a schedule plan with.

    Time and memory are those of the queries and trainings, and one copy of the unlabelled rows per query; as long as
    nothing is labelled, the strategy sees `X` itself.

    See Also
    --------
    skal.meta.ActiveLearningClassifier : This loop as a scikit-learn classifier, for searches.
    skal.experiments.compare : This loop for several strategies and seeds, with statistics.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner, simulate
    >>> from skal.strategies import MarginSampling
    >>> X, y = load_iris(return_X_y=True)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=500), MarginSampling(random_state=0))
    >>> for step in simulate(learner, X, y, n_initial=10, n_instances=5, n_queries=2, random_state=0):
    ...     print(step.round, len(step.labeled), step.learner.score(X, y) > 0.8)
    0 10 True
    1 15 True
    2 20 True
    """
    n, untaught = n_rows(X), getattr(learner, "X_training", None) is None
    if n_rows(y) != n:
        raise ValueError(f"X and y of simulate must have the same length. Got {n} and {n_rows(y)}.")
    if initial is not None and (n_initial is not None or init_strategy is not None):
        raise ValueError("simulate takes 'initial', or 'n_initial' and 'init_strategy'. Got both.")
    if n_initial is None:
        n_initial = _DEFAULT_INITIAL if untaught else 0
    for name, value, lowest in (
        ("n_initial", n_initial, 0),
        ("n_instances", n_instances, 1),
        ("n_queries", n_queries, 0),
    ):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < lowest:
            raise ValueError(
                f"The {name!r} of simulate must be an integer of at least {lowest}. Got {shown(value)} instead."
            )
    rest = np.arange(n) if pool is None else _positions(pool, "pool", n)
    start = None if initial is None else _positions(initial, "initial", n)
    return _rounds(
        learner, X, y, rest, start, int(n_initial), init_strategy, int(n_instances), int(n_queries), until_two_classes,
        random_state, fit_params or {},
    )  # fmt: skip


def _rounds(
    learner: Any,
    X: Any,
    y: Any,
    rest: NDArray[np.int64],
    initial: NDArray[np.int64] | None,
    n_initial: int,
    init_strategy: Any,
    n_instances: int,
    n_queries: int,
    until_two_classes: bool,
    random_state: Any,
    fit_params: dict[str, Any],
) -> Iterator[Round]:
    labeled = np.empty(0, dtype=np.int64)
    # A learner of skal's sees to what `teach` trains.
    largest = LARGEST_IN_QUERY if isinstance(learner, ActiveLearner) else None
    for round_ in range(0 if initial is not None or n_initial else 1, 1 + n_queries):
        if len(rest) == 0:
            return
        started = perf_counter()
        with unchanged_on_error(learner, largest=largest):
            if getattr(learner, "n_rounds", None) is None:
                learner.n_rounds = 1 + n_queries
            if round_ > 0:
                queried = _query(learner, X, rest, n_instances)
            elif initial is not None:
                queried = initial
            else:
                queried = _choose_initial(learner, X, rest, n_initial, init_strategy, random_state)
                if until_two_classes:
                    queried = _until_two_classes(queried, rest, y, random_state)
            labeled = np.concatenate([labeled, queried])
            asked = perf_counter()
            learner.teach(take_rows(X, queried), take_rows(y, queried), **_rows_of(fit_params, labeled, n_rows(X)))
        taught = perf_counter()
        rest = rest[~np.isin(rest, queried)]
        query_seconds = float("nan") if round_ == 0 and initial is not None else asked - started
        yield Round(round_, queried, labeled, query_seconds, taught - asked, learner)


def learner_from(template: ActiveLearner | None, estimator: Any, query_strategy: Any = None) -> ActiveLearner:
    """A learner without data around `estimator`, with all other parameters of `template`; None is a plain one.

    Without a `query_strategy` that of the template is cloned. The estimator says whether NaN is its own business.
    """
    template = ActiveLearner(None) if template is None else clone(template)
    params = template.get_params(deep=False)
    for name in ("X_training", "y_training"):
        del params[name]
    if query_strategy is not None:
        params["query_strategy"] = query_strategy
    params |= {"estimator": estimator, "force_all_finite": not takes_missing(estimator)}
    return type(template)(**params)


def _positions(given: ArrayLike, name: str, n: int) -> NDArray[np.int64]:
    positions = np.asarray(given)
    if (
        positions.ndim != 1
        or len(positions) == 0
        or not np.issubdtype(positions.dtype, np.integer)
        or positions.min() < 0
        or positions.max() >= n
        or len(np.unique(positions)) < len(positions)
    ):
        raise ValueError(
            f"The {name!r} of simulate must hold unique positions in X, from 0 to {n - 1}. Got {shown(given)}."
        )
    return positions.astype(np.int64)


def _query(learner: Any, X: Any, rest: NDArray[np.int64], n_instances: int) -> NDArray[np.int64]:
    """Positions in `X` that the learner asks for; a foreign strategy may answer with a scalar or a mask."""
    # While nothing is labelled the pool is X itself. Later, modAL's own learners know no part of a memory map, and what
    # they get of it is read into memory.
    whole = len(rest) == n_rows(X) and np.array_equal(rest, np.arange(len(rest)))
    X_pool = X if whole else (lazy_rows if isinstance(learner, ActiveLearner) else take_rows)(X, rest)
    answer = learner.query(X_pool, n_instances=min(n_instances, len(rest)))[0]
    idx = np.atleast_1d(np.asarray(answer))
    if idx.dtype == bool and idx.shape == (len(rest),):
        idx = np.flatnonzero(idx)
    valid = idx.ndim == 1 and len(idx) > 0 and np.issubdtype(idx.dtype, np.integer)
    # Negative positions count from the end in NumPy, and would name a row twice.
    if not valid or idx.min() < 0 or idx.max() >= len(rest) or len(np.unique(idx)) < len(idx):
        raise ValueError(
            f"The query strategy of {type(learner).__name__} must return unique positions in its pool of {len(rest)} "
            f"samples. Got {shown(answer)} instead."
        )
    return rest[idx]


def _choose_initial(
    learner: Any, X: Any, rest: NDArray[np.int64], n_initial: int, strategy: Any, random_state: Any
) -> NDArray[np.int64]:
    """The initial set, by a strategy that takes the place of the learner's own for this one query."""
    if strategy is None:
        seed = None if random_state is None else sklearn_seed(make_generator(random_state, _INITIAL))
        strategy = RandomSampling(random_state=seed)
    own = learner.query_strategy
    learner.query_strategy = strategy
    queried = _query(learner, X, rest, n_initial)
    learner.query_strategy = own
    return queried


def _until_two_classes(
    queried: NDArray[np.int64], rest: NDArray[np.int64], y: Any, random_state: Any
) -> NDArray[np.int64]:
    """`queried`; where it holds one class, also further random positions up to the first of another."""
    labels = np.asarray(take_rows(y, rest))
    if labels.ndim != 1 or isinstance(labels[0], dict):
        # Targets of a detector, or several labels for each sample.
        return queried
    of_first = labels == labels[np.flatnonzero(rest == queried[0])[0]]
    if of_first.all() or not of_first[np.isin(rest, queried)].all():
        return queried
    more = np.flatnonzero(~np.isin(rest, queried))
    more = make_generator(random_state, _INITIAL, 1).permutation(more)
    return np.concatenate([queried, rest[more[: 1 + np.argmin(of_first[more])]]])


def _rows_of(params: dict[str, Any], idx: NDArray[np.int64], n: int) -> dict[str, Any]:
    """`params`, with rows `idx` of those that hold one entry for each of the `n` samples."""
    return {name: take_rows(value, idx) if _has_rows(value, n) else value for name, value in params.items()}


def _has_rows(value: Any, n: int) -> bool:
    if isinstance(value, (str, bytes, dict)) or not (hasattr(value, "__len__") or hasattr(value, "shape")):
        return False
    return getattr(value, "shape", None) != () and n_rows(value) == n
