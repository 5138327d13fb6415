"""What a comparison is made of: its strategies, seeds, data and sizes, checked before any work is done."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.multiclass import type_of_target

from .. import strategies as catalogue
from ..base import QueryStrategy
from ..learners import ActiveLearner
from ..rows import is_finite, n_rows, plain_labels
from ..strategies import UFFM, RandomSampling
from ..utils._validation import shown

__all__ = [
    "Data",
    "Plan",
    "check_data",
    "check_estimator",
    "check_learner",
    "check_n_jobs",
    "check_names",
    "check_plan",
    "check_reference",
    "check_seeds",
    "named_strategies",
    "notes_on",
]


# Seeds are a column of 64 bits.
_LARGEST_SEED = (1 << 63) - 1


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


def named_strategies(strategies: Mapping[str, Any] | Iterable[Any]) -> tuple[dict[str, Any], str]:
    """Strategies by name, random sampling among them, and its name."""
    if isinstance(strategies, Mapping):
        named = dict(strategies)
    else:
        named = {}
        for strategy in _listed(strategies):
            name = strategy if isinstance(strategy, str) else _name(strategy)
            if name in named:
                raise ValueError(f"'strategies' of compare must have distinct names. Got {name} twice; pass a dict.")
            named[name] = strategy
    for name, strategy in named.items():
        if not (isinstance(name, str) and name.strip() and name.isprintable()):
            raise TypeError(f"Names of 'strategies' of compare must be printable texts, not empty. Got {shown(name)}.")
        is_learner = isinstance(strategy, ActiveLearner)
        if inspect.isclass(strategy) or not (callable(strategy) or hasattr(strategy, "select") or is_learner):
            raise TypeError(
                f"Strategy '{name}' of compare must be a strategy object or function. Got {shown(strategy)}"
                f"{_instead(strategy)}."
            )
        if isinstance(strategy, QueryStrategy):
            strategy.check_params()
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


def _listed(strategies: Any) -> list[Any]:
    single = isinstance(strategies, (str, type)) or callable(strategies) or hasattr(strategies, "select")
    if single or not isinstance(strategies, Iterable):
        raise TypeError(
            "'strategies' of compare must be a list of strategies, or a dict of them by name. "
            f"Got {shown(strategies)}{_instead(strategies)}."
        )
    return list(strategies)


def _instead(strategy: Any) -> str:
    """What to write where a strategy's class or name was given."""
    if isinstance(strategy, str):
        known = {name.lower(): name for name in catalogue.__all__ if inspect.isclass(getattr(catalogue, name))}
        near = difflib.get_close_matches(strategy.lower(), known, n=1, cutoff=0.5)
        return f"; write an instance, such as {known[near[0]] if near else 'MarginSampling'}()"
    return f"; write an instance, such as {strategy.__name__}()" if inspect.isclass(strategy) else ""


def _name(strategy: Any) -> str:
    if isinstance(strategy, BaseEstimator):
        return type(strategy).__name__
    return getattr(strategy, "__name__", type(strategy).__name__)


def check_names(named: Mapping[str, Any], taken: Iterable[str]) -> None:
    """No strategy has a name that stands for something else."""
    for name in taken:
        if name in named:
            raise ValueError(f"The name '{name}' in 'strategies' of compare stands for one of its checks; use another.")


def check_reference(reference: Any, named: Mapping[str, Any], default: str) -> str:
    """The name of the strategy that the others are compared with."""
    if reference is None:
        return default
    if not (isinstance(reference, str) and reference in named):
        near = difflib.get_close_matches(str(reference), named, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(
            f"The 'reference' must be the name of a strategy: {', '.join(named)}. Got {shown(reference)}{hint}"
        )
    return reference


def check_learner(learner: Any) -> None:
    """A template is a learner, not its class."""
    if learner is not None and not isinstance(learner, ActiveLearner):
        raise TypeError(f"'learner' of compare must be an ActiveLearner or None. Got {shown(learner)}.")


def notes_on(named: Mapping[str, Any]) -> list[str]:
    """What readers of the results must know of single strategies."""
    own = [name for name, strategy in named.items() if _matches_own_embeddings(strategy)]
    verb = "match" if len(own) > 1 else "matches"
    return [
        f"{', '.join(own)} {verb} the classifier's own embeddings, the layer that UFFM's paper argues against; its own "
        "results are with descriptor=FusionDescriptor(...)."
    ] * bool(own)


def _matches_own_embeddings(strategy: Any) -> bool:
    strategy = getattr(strategy, "query_strategy", strategy)  # of a learner
    if getattr(strategy, "strategy_class", None) is UFFM:
        return True
    return isinstance(strategy, UFFM) and strategy.descriptor is None


def check_estimator(estimator: Any) -> None:
    """An estimator is an object that can be trained, not its class."""
    if inspect.isclass(estimator):
        raise TypeError(
            f"'estimator' of compare must be an instance, such as {estimator.__name__}(). Got the class itself."
        )
    if not all(hasattr(estimator, name) for name in ("fit", "predict", "get_params")):
        raise TypeError(f"'estimator' of compare must be a classifier of scikit-learn's kind. Got {shown(estimator)}.")


def check_seeds(seeds: int | Iterable[int]) -> list[int]:
    """The seeds themselves; a count stands for the first so many."""
    is_count = _is_integer(seeds)
    if is_count and seeds > _LARGEST_SEED:  # type: ignore[operator]
        raise ValueError(f"'seeds' of compare must fit into 64 bits. Got {seeds}.")
    given: Any = range(int(seeds)) if is_count else seeds  # type: ignore[arg-type]
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else []
    found = [int(seed) for seed in listed if _is_integer(seed)]
    if not found or len(found) < len(listed) or min(found) < 0 or len(set(found)) < len(found):
        raise ValueError(f"'seeds' of compare must be a count >= 1 or distinct non-negative integers. Got {seeds}.")
    if max(found) > _LARGEST_SEED:
        raise ValueError(f"'seeds' of compare must fit into 64 bits. Got {max(found)}.")
    return found


def check_n_jobs(n_jobs: Any) -> int:
    """How many runs go on at the same time."""
    if n_jobs is not None and (not _is_integer(n_jobs) or n_jobs == 0):
        raise ValueError(
            f"'n_jobs' of compare must be a number of processes, -1 for one per core, or None. Got {shown(n_jobs)}."
        )
    return max(1, joblib.effective_n_jobs(n_jobs))


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


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
    for name, labels in (("y", data.y), ("y_test", data.y_test)):
        if labels is not None and not is_finite(labels):
            raise ValueError(f"'{name}' of compare must hold a label for each row. Got NaN, None or infinity.")
        if labels is not None and type_of_target(labels).startswith("continuous"):
            raise ValueError(
                f"'{name}' of compare must hold the labels of classes. Got numbers with fractions, such as "
                f"{next(value for value in labels.tolist() if value % 1)}: a target of regression."
            )
    if len(np.unique(data.y)) < 2:
        raise ValueError("'y' of compare must hold at least two classes. Got one.")
    strange = [] if data.y_test is None else sorted(set(data.y_test.tolist()) - set(data.y.tolist()), key=str)
    if strange:
        raise ValueError(
            f"'y_test' of compare must hold classes of 'y' alone. Got {', '.join(map(shown, strange[:5]))}"
            f"{' and more' if len(strange) > 5 else ''}."
        )
    return data


def check_plan(plan: Plan, data: Data) -> Plan:
    """The sizes, if they fit each other and the data."""
    for name, lowest in (("n_initial", 2), ("n_instances", 1), ("n_queries", 1), ("pool_size", 1)):
        value = getattr(plan, name)
        if name == "pool_size" and value is None:
            continue
        if not _is_integer(value) or value < lowest:
            raise ValueError(f"'{name}' of compare must be an integer >= {lowest}. Got {shown(value)}.")
    n_pool = len(data.y)
    if data.y_test is None:
        if not (isinstance(plan.test_size, Real) and 0 < plan.test_size < 1):
            raise ValueError(f"'test_size' of compare must be a share in (0, 1). Got {shown(plan.test_size)}.")
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
