"""What a comparison is made of: its strategies, seeds, data and sizes, checked before any work is done."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from ..learners import ActiveLearner
from ..rows import n_rows, plain_labels
from ..strategies import RandomSampling

__all__ = ["Data", "Plan", "check_data", "check_learner", "check_plan", "check_seeds", "named_strategies"]


class Data(NamedTuple):
    """What is simulated on; without a test set, each seed splits its own off."""

    X: Any
    y: NDArray
    X_test: Any
    y_test: NDArray | None


class Plan(NamedTuple):
    """The sizes of a run, checked."""

    n_initial: int
    n_instances: int
    n_queries: int
    pool_size: int | None
    test_size: float


def named_strategies(strategies: Mapping[str, Any] | Sequence[Any]) -> tuple[dict[str, Any], str]:
    """Strategies by name, random sampling among them, and its name."""
    if isinstance(strategies, Mapping):
        named = dict(strategies)
    else:
        named = {}
        for strategy in strategies:
            name = _name(strategy)
            if name in named:
                raise ValueError(f"'strategies' of compare must have distinct names. Got {name} twice; pass a dict.")
            named[name] = strategy
    for name, strategy in named.items():
        is_learner = isinstance(strategy, ActiveLearner)
        if inspect.isclass(strategy) or not (callable(strategy) or hasattr(strategy, "select") or is_learner):
            raise TypeError(f"Strategy '{name}' of compare must be a strategy object or function. Got {strategy!r}.")
        if is_learner:
            # Without the data that it may hold.
            named[name] = clone(strategy)
    references = [name for name, strategy in named.items() if isinstance(strategy, RandomSampling)]
    if references:
        return named, references[0]
    if "RandomSampling" in named:
        raise ValueError(
            "The name 'RandomSampling' in 'strategies' of compare must be that of a RandomSampling object."
        )
    return {"RandomSampling": RandomSampling(), **named}, "RandomSampling"


def _name(strategy: Any) -> str:
    if isinstance(strategy, BaseEstimator):
        return type(strategy).__name__
    return getattr(strategy, "__name__", type(strategy).__name__)


def check_learner(learner: Any) -> None:
    """A template is a learner, not its class."""
    if learner is not None and not isinstance(learner, ActiveLearner):
        raise TypeError(f"'learner' of compare must be an ActiveLearner or None. Got {learner!r}.")


def check_seeds(seeds: int | Iterable[int]) -> list[int]:
    """The seeds themselves; a count stands for the first so many."""
    found = list(range(seeds)) if isinstance(seeds, (int, np.integer)) else [int(seed) for seed in seeds]
    if not found or min(found) < 0 or len(set(found)) != len(found):
        raise ValueError(f"'seeds' of compare must be a count >= 1 or distinct non-negative integers. Got {seeds}.")
    return found


def check_data(X: Any, y: Any, X_test: Any, y_test: Any) -> Data:
    """The data with labels as arrays, one for each row."""
    if (X_test is None) != (y_test is None):
        raise ValueError("'X_test' and 'y_test' of compare must be given together or not at all. Got one of them.")
    y, y_test = (None if labels is None else np.asarray(plain_labels(labels)) for labels in (y, y_test))
    data = Data(X, y, X_test, y_test)
    for suffix, rows, labels in (("", data.X, data.y), ("_test", data.X_test, data.y_test)):
        if labels is not None and (labels.ndim != 1 or len(labels) != n_rows(rows) or len(labels) == 0):
            raise ValueError(
                f"'y{suffix}' of compare must be one-dimensional with one label per row of 'X{suffix}'. "
                f"Got shape {labels.shape} for {n_rows(rows)} rows."
            )
    if len(np.unique(data.y)) < 2:
        raise ValueError("'y' of compare must hold at least two classes. Got one.")
    return data


def check_plan(plan: Plan, data: Data) -> Plan:
    """The sizes, if they fit each other and the data."""
    for name, lowest in (("n_initial", 2), ("n_instances", 1), ("n_queries", 1), ("pool_size", 1)):
        value = getattr(plan, name)
        if name == "pool_size" and value is None:
            continue
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < lowest:
            raise ValueError(f"'{name}' of compare must be an integer >= {lowest}. Got {value!r}.")
    n_pool = len(data.y)
    if data.y_test is None:
        if not 0 < plan.test_size < 1:
            raise ValueError(f"'test_size' of compare must be a share in (0, 1). Got {plan.test_size!r}.")
        counts = np.unique(data.y, return_counts=True)[1]
        n_test = int(np.ceil(plan.test_size * n_pool))
        n_pool -= n_test
        if counts.min() < 2 or min(n_test, n_pool) < len(counts):
            raise ValueError(
                "'y' of compare must hold each class twice or more, and enough samples for each class to be "
                f"in both parts of the split. Got {len(counts)} classes, the smallest of {counts.min()}, "
                f"and {n_test} test samples."
            )
    if plan.pool_size is not None:
        n_pool = min(n_pool, plan.pool_size)
    needed = plan.n_initial + plan.n_queries * plan.n_instances
    if needed > n_pool:
        raise ValueError(
            "'n_initial' + 'n_queries' * 'n_instances' of compare must fit into the pool "
            f"of {n_pool} samples. Got {needed}."
        )
    # NumPy's integers would not go into the settings file.
    values: list[Any] = [value.item() if isinstance(value, np.generic) else value for value in plan]
    return Plan(*values)
