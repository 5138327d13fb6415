"""The rules that every strategy keeps, one function each."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import random
import warnings
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import torch
from numpy.random import get_state
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..base import QueryStrategy, ScoringStrategy
from ..exceptions import PoolCapabilityError
from ..meta import ActiveLearningClassifier
from ..pool import view_pool
from ..utils._compat import ModALActiveLearner, param_names, parameter_constraints
from ..utils._validation import shown
from ._worlds import Constant, World, asks_again, fakes, seeded, wraps_a_function

__all__ = ["check_strategy", "strategy_checks"]

Check = Callable[[QueryStrategy], None]
_CHECKS: list[Check] = []


class _BrokenError(Exception):
    """What a check has found."""


def check_strategy(instance: QueryStrategy) -> None:
    """Check that a strategy keeps all rules, on small data and models that supply what it requires.

    Parameters
    ----------
    instance : QueryStrategy
        With any parameters. It stays as it is.

    Raises
    ------
    AssertionError
        At the first rule that is broken: one sentence that names the strategy and the rule.
    TypeError
        Not an instance of a subclass of `skal.base.QueryStrategy`.

    Notes
    -----
    The rules are those of `strategy_checks`, in that order: constructor and parameters, what a query returns, what is
    asked of the model, what must stay unchanged, seeds, rounds and copies, pools and labels that are hard, and the
    places where strategies are used. Where ``order_free = True`` a permuted pool must give the same samples; a pool
    that is seen in blocks must always, and where ``rowwise = True`` the strategy itself sees them one by one; where
    ``one_pass = False`` the model may be asked more than once. Strategies for detectors, and those that only a
    committee serves, are spared what needs a classifier.

    Examples
    --------
    >>> from skal.strategies import MarginSampling
    >>> from skal.testing import check_strategy
    >>> check_strategy(MarginSampling())
    """
    if not isinstance(instance, QueryStrategy):
        raise TypeError(
            f"check_strategy takes an instance of a subclass of QueryStrategy. Got {shown(instance)} instead."
        )
    for check in strategy_checks():
        check(instance)


def strategy_checks() -> list[Check]:
    """The checks of `check_strategy`, each a function of a strategy, to be run one by one.

    Returns
    -------
    list of callable

    Examples
    --------
    >>> import pytest
    >>> from skal.strategies import CoreSet
    >>> from skal.testing import strategy_checks
    >>> @pytest.mark.parametrize("check", strategy_checks(), ids=lambda check: check.__name__)
    ... def test_my_strategy(check):
    ...     check(CoreSet())
    """
    return list(_CHECKS)


def _rule(words: str, *, of: str = "any") -> Callable[[Check], Check]:
    """Add a check to the table: "<strategy> must <words>"; of every strategy, or only where a classifier serves it."""

    def add(check: Check) -> Check:
        @functools.wraps(check)
        def run(instance: QueryStrategy) -> None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if of == "classifier" and World(instance).kind != "classifier":
                        return
                    # Even a RandomState in it stays as it is.
                    check(copy.deepcopy(instance))
            except _BrokenError as found:
                raise AssertionError(f"{type(instance).__name__} must {words}: {found}.") from None
            except Exception as error:
                found_words = f"{type(error).__name__}: {' '.join(str(error).split())}"
                raise AssertionError(f"{type(instance).__name__} must {words}, but raised {found_words}") from error

        _CHECKS.append(run)
        return run

    return add


def _ensure(is_right: Any, found: str) -> None:
    if not is_right:
        raise _BrokenError(found)


def _refused(error: type[Exception], call: Callable[[], Any], found: str) -> Exception:
    """The error that `call` raises, of that class."""
    try:
        call()
    except error as raised:
        return raised
    raise _BrokenError(found)


def _same(first: Any, second: Any) -> bool:
    return bool(np.array_equal(first[0], second[0]) and np.allclose(first[1], second[1], rtol=1e-6, atol=1e-9))


def _picks(strategy: Any, world: World, pool: NDArray | None = None, n: int = 6, **learner: Any) -> Any:
    """Positions and scores by a learner that is new."""
    return strategy.select(world.learner(strategy, **learner), world.pool if pool is None else pool, n)


def _bytes(value: Any) -> bytes:
    """Pickled as joblib does it, so that a class of a notebook passes."""
    return pickle.dumps(joblib.wrap_non_picklable_objects(value, keep_wrapper=False))


# -- constructor and parameters -----------------------------------------------------------------------------------


@_rule("have a keyword-only constructor that stores its parameters as they are")
def check_constructor(instance: QueryStrategy) -> None:
    signature = inspect.signature(type(instance))
    for i, parameter in enumerate(signature.parameters.values()):
        wraps = i == 0 and parameter.name.endswith("strategy")
        _ensure(wraps or parameter.kind is parameter.KEYWORD_ONLY, f"{parameter.name!r} is not keyword-only")
    params = instance.get_params(deep=False)
    twin = type(instance)(**params)
    for name, value in params.items():
        _ensure(getattr(twin, name) is value, f"{name!r} is changed")


@_rule("name exactly its parameters in _parameter_constraints")
def check_parameter_constraints(instance: QueryStrategy) -> None:
    odd = set(parameter_constraints(type(instance))) ^ set(param_names(type(instance)))
    _ensure(not odd, f"{sorted(odd)} stand in one of the two only")


@_rule("give its parameters by get_params and take them by set_params")
def check_params(instance: QueryStrategy) -> None:
    params = instance.get_params(deep=False)
    twin = clone(instance)
    _ensure(twin.set_params(**params) is twin, "set_params does not return the strategy")
    _ensure(all(getattr(twin, name) is value for name, value in params.items()), "set_params changes what it is given")
    _ensure(instance.__name__ == type(instance).__name__, f"its __name__ is {instance.__name__!r}")


# -- what a query returns -----------------------------------------------------------------------------------------


@_rule("return unique int64 positions in the pool, as many as are asked for, with finite float64 scores")
def check_positions_and_scores(instance: QueryStrategy) -> None:
    world = World(instance)
    learner = world.learner(instance)
    for n in (1, 2, 7, len(world.pool)):
        idx, scores = instance.select(learner, world.pool, n)
        _ensure(idx.dtype == np.int64 and scores.dtype == np.float64, f"it returns {idx.dtype} and {scores.dtype}")
        _ensure(idx.shape == scores.shape == (n,), f"of {n} it returns {idx.shape} and {scores.shape}")
        _ensure(len(np.unique(idx)) == n, "a position comes twice")
        _ensure(idx.min() >= 0 and idx.max() < len(world.pool), "a position is not in the pool")
        _ensure(np.isfinite(scores).all(), "a score is not finite")


@_rule("refuse n_instances outside [1, n], and an empty pool, with a ValueError")
def check_n_instances(instance: QueryStrategy) -> None:
    world = World(instance)
    learner = world.learner(instance)
    for n in (len(world.pool) + 1, 0, -1):
        call = functools.partial(instance.select, learner, world.pool, n)
        _ensure("n_instances" in str(_refused(ValueError, call, f"{n} passes")), "the error does not say n_instances")
    _refused(ValueError, lambda: instance.select(learner, world.pool[:0]), "an empty pool passes")


# -- what is asked of the model -----------------------------------------------------------------------------------


@_rule("name in `requires` all that it reads")
def check_requires(instance: QueryStrategy) -> None:
    if wraps_a_function(instance):
        return
    strategy = seeded(instance)
    for fake in fakes(strategy):
        try:
            strategy.select(fake, fake.X, 3)
        except Exception as error:  # whatever comes of what is not there
            raise _BrokenError(f"{strategy.requires} is not enough, since {str(error).rstrip('.')}") from None
    for member in strategy.requires:
        for fake in fakes(strategy, without=member):
            call = functools.partial(strategy.select, fake, fake.X, 3)
            _refused(PoolCapabilityError, call, f"without {member!r} it runs all the same")
            _ensure(not fake.asked, f"before it misses {member!r} it computes {sorted(fake.asked)}")


@_rule("ask the model about the pool once (or say one_pass = False)", of="classifier")
def check_one_pass(instance: QueryStrategy) -> None:
    world = World(instance)
    if asks_again(instance) or wraps_a_function(instance):
        return
    from ..nets import DeepClassifier

    rows: list[int] = []

    class Net(torch.nn.Module):
        def __init__(self, n_classes: int = 3) -> None:
            super().__init__()
            self.head = torch.nn.Linear(4, n_classes)

        def forward(self, X: torch.Tensor) -> torch.Tensor:
            rows.append(len(X))
            return self.head(X)

    learner = world.learner(instance, estimator=DeepClassifier(Net, max_epochs=1, random_state=0))
    rows.clear()
    learner.query(world.pool, n_instances=5)
    most = len(world.pool) + len(world.X)
    _ensure(sum(rows) <= most, f"of {most} samples it asks {sum(rows)} times")


# -- what must stay unchanged -------------------------------------------------------------------------------------


@_rule("change nothing that it is given: pool, labelled data, classifier, what the view hands out")
def check_nothing_is_changed(instance: QueryStrategy) -> None:
    world, strategy = World(instance), seeded(instance)
    learner = world.learner(strategy)
    watched = {"pool": world.pool, "X_training": world.X, "y_training": world.y}
    watched["parameters of the strategy"] = strategy.get_params()
    watched["classifier"] = [part.estimator for part in getattr(learner, "learner_list", [learner])]
    before = {name: _bytes(value) for name, value in watched.items()}
    strategy.select(learner, world.pool, 5)
    changed = [name for name, value in watched.items() if _bytes(value) != before[name]]
    _ensure(not changed, f"{changed} came back changed")
    if wraps_a_function(instance):
        return
    for fake in fakes(strategy):
        views = [view for view in (fake, fake.labeled) if view is not None]
        before = {name: _bytes(value) for name, value in _numbers(views).items()}
        strategy.select(fake, fake.X, 3)
        changed = [name for name, value in _numbers(views).items() if _bytes(value) != before[name]]
        _ensure(not changed, f"{changed} of the view came back changed")


def _numbers(views: list[Any]) -> dict[str, Any]:
    names = ("proba", "logits", "embeddings")
    wanted = [(view, name) for view in views for name in names if view.model.supplies(name)]
    return {f"{name} {i}": getattr(view, name) for i, (view, name) in enumerate(wanted)} | {"X": views[0].X}


@_rule("leave the global random generators alone")
def check_global_generators(instance: QueryStrategy) -> None:
    world, strategy = World(instance), seeded(instance, None)
    learner = world.learner(strategy)

    def states() -> dict[str, Any]:
        return {
            "numpy.random": _bytes(get_state()),  # noqa: NPY002  (read, never advanced)
            "torch": _bytes(torch.get_rng_state().numpy()),
            "random": random.getstate(),
        }

    before = states()
    strategy.select(learner, world.pool, 5)
    touched = [name for name, state in states().items() if state != before[name]]
    _ensure(not touched, f"that of {touched} is advanced" if touched else "")


# -- seeds, rounds and copies -------------------------------------------------------------------------------------


@_rule("choose the same with the same seed, and keep nothing between queries")
def check_same_seed(instance: QueryStrategy) -> None:
    world, strategy = World(instance), seeded(instance, 3)
    before = _bytes(vars(strategy))
    first = _picks(strategy, world)
    _ensure(_bytes(vars(strategy)) == before, "a query leaves something on it")
    _ensure(_same(_picks(strategy, world), first), "the second answer differs from the first")
    for random_state in (None, np.random.RandomState(5)):
        _picks(seeded(instance, random_state), world)


@_rule("choose differently in different rounds with one seed, where it is random: draw from `rng` alone")
def check_rounds_differ(instance: QueryStrategy) -> None:
    world = World(instance)
    if world.kind == "committee":
        return

    def answer(seed: int, round: int) -> tuple[int, ...]:
        learner = world.learner(instance)
        learner.round = round
        return tuple(seeded(instance, seed).select(learner, world.pool, 6)[0].tolist())

    first = answer(0, 1)
    if any(answer(seed, 1) != first for seed in range(1, 4)):
        _ensure(any(answer(0, round) != first for round in range(2, 6)), "it does not")


@_rule("repeat a whole run with one seed", of="classifier")
def check_run(instance: QueryStrategy) -> None:
    world, strategy = World(instance), seeded(instance, 7)

    def run() -> list[list[int]]:
        learner, rest, picks = world.learner(strategy), np.arange(len(world.pool)), []
        for _ in range(3):
            idx, _ = learner.query(world.pool[rest], n_instances=5)
            picks.append(rest[idx].tolist())
            learner.teach(world.pool[rest[idx]], world.y_pool[rest[idx]])
            rest = np.delete(rest, idx)
        return picks

    _ensure(run() == run(), "a second run differs")


@_rule("choose the same samples of a permuted pool, as its order_free = True says")
def check_order(instance: QueryStrategy) -> None:
    if not instance.order_free:
        return
    world, strategy = World(instance), seeded(instance)
    order = np.random.default_rng(0).permutation(len(world.pool))
    permuted = order[_picks(strategy, world, world.pool[order])[0]]
    _ensure(set(permuted.tolist()) == set(_picks(strategy, world)[0].tolist()), "it does not")


@_rule("choose the same of a pool that is seen in blocks as of the pool in one piece (is it row-wise, as it says?)")
def check_blocks(instance: QueryStrategy) -> None:
    world, strategy = World(instance), seeded(instance)
    view = view_pool(world.learner(strategy), world.pool)
    view.block_size = 7
    _ensure(_same(strategy.select(view, world.pool, 6), _picks(strategy, world)), "it does not")


@_rule("return of score_samples what it selects by")
def check_score_samples(instance: QueryStrategy) -> None:
    if not isinstance(instance, ScoringStrategy):
        return
    world, strategy = World(instance), seeded(instance)
    scores = strategy.score_samples(world.learner(strategy), world.pool)
    _ensure(scores.shape == (len(world.pool),) and scores.dtype == np.float64, f"{scores.dtype} {scores.shape}")
    idx, selected = _picks(strategy, world)
    _ensure(np.allclose(selected, scores[idx]), "the two differ")


@_rule("choose the same when cloned or pickled")
def check_clone_and_pickle(instance: QueryStrategy) -> None:
    world, strategy = World(instance), seeded(instance)
    expected = _picks(strategy, world)
    for twin, how in ((clone(strategy), "clone"), (pickle.loads(_bytes(strategy)), "pickle")):
        _ensure(repr(twin) == repr(strategy), f"a {how} is {twin!r}")
        _ensure(_same(_picks(twin, world), expected), f"a {how} does not")


@_rule("take overrides for one call, and refuse an unknown keyword with a TypeError that names the near one")
def check_overrides(instance: QueryStrategy) -> None:
    world = World(instance)
    learner, params = world.learner(instance), instance.get_params()
    name, value = next(iter(params.items()), (None, None))
    if "random_state" in params:
        expected = seeded(instance, 2).select(learner, world.pool, 6)
        _ensure(_same(instance.select(learner, world.pool, 6, random_state=2), expected), "random_state has no effect")
        name = "random_state"
    elif name is not None:
        instance.select(learner, world.pool, 2, **{name: value})
    _ensure(instance.get_params() == params, "an override stays")
    unknown = "zzz" if name is None else name[:-1]
    error = _refused(TypeError, lambda: instance(learner, world.pool, 2, **{unknown: None}), f"{unknown!r} passes")
    _ensure(name is None or f"Did you mean {name!r}" in str(error), f"the error says {str(error)!r}")


# -- pools and labels that are hard -------------------------------------------------------------------------------


@_rule("choose among duplicates, samples that are all alike, and features that are all zero")
def check_alike(instance: QueryStrategy) -> None:
    world = World(instance)
    pools = {
        "duplicates": np.repeat(world.pool[:4], 5, axis=0),
        "samples all alike": np.repeat(world.pool[:1], 15, axis=0),
        "features all zero": np.zeros((15, world.pool.shape[1])),
        "one sample": world.pool[:1],
    }
    for words, pool in pools.items():
        n = min(12, len(pool))
        idx, _ = _picks(instance, world, pool, n)
        _ensure(len(set(idx.tolist())) == n, f"of {words} one comes twice")


@_rule("choose where only one class is labelled", of="classifier")
def check_one_class(instance: QueryStrategy) -> None:
    world = World(instance)
    constant = Constant(world.pool.shape[1])
    labels = {"X_training": world.X[:4], "y_training": np.zeros(4, dtype=np.int64)}
    if world.serves(instance, constant) or "clones" in "|".join(instance.requires):
        overrides = {"n_rounds": 4} if "n_rounds" in instance.get_params() else {}
        idx, _ = instance.select(constant, world.pool, 5, **labels, **overrides)
        _ensure(len(set(idx.tolist())) == 5, "a position comes twice")


@_rule("choose the same whether labels are numbers or words", of="classifier")
def check_string_labels(instance: QueryStrategy) -> None:
    world, strategy = World(instance), seeded(instance)
    words = np.array(["ant", "bee", "cat"])[world.y]
    _ensure(_same(_picks(strategy, world, y_training=words), _picks(strategy, world)), "it does not")


@_rule("choose the same through a pipeline as on what its transformers return", of="classifier")
def check_pipeline(instance: QueryStrategy) -> None:
    world, strategy = World(instance), seeded(instance)
    scaler = StandardScaler().fit(world.X)
    inside = _picks(strategy, world, estimator=make_pipeline(StandardScaler(), world.estimator))
    before = _picks(strategy, world, scaler.transform(world.pool), X_training=scaler.transform(world.X))
    _ensure(_same(inside, before), "it does not")


# -- the places where strategies are used -------------------------------------------------------------------------


@_rule("work in modAL's own ActiveLearner, called once")
def check_in_modal(instance: QueryStrategy) -> None:
    world = World(instance)
    if world.kind == "committee":
        return
    calls: list[int] = []
    strategy = seeded(instance)

    class Counted(type(strategy)):  # type: ignore[misc]
        def select(self, *args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            return super().select(*args, **kwargs)

    counted = strategy.with_params({})
    counted.__class__ = Counted
    for n in (1, 2, 3):
        calls.clear()
        stock = world.learner(counted, ModALActiveLearner)
        idx, instances = stock.query(world.pool, n_instances=n)
        _ensure(len(calls) == 1, f"it is called {len(calls)} times")
        _ensure(np.array_equal(instances, world.pool[idx]), "the samples are not those of the positions")
        _ensure(np.array_equal(idx, strategy.select(stock, world.pool, n)[0]), "it chooses others")


@_rule("work in skal's ActiveLearner")
def check_in_learner(instance: QueryStrategy) -> None:
    world = World(instance)
    learner = world.learner(seeded(instance))
    answer = learner.query(world.pool, n_instances=5)
    _ensure(np.array_equal(answer[1], world.pool[answer[0]]), "the samples are not those of the positions")
    _ensure(len(set(np.asarray(answer[0]).tolist())) == 5, "a position comes twice")


@_rule("work in GridSearchCV, through ActiveLearningClassifier", of="classifier")
def check_in_grid_search(instance: QueryStrategy) -> None:
    world = World(instance)
    loop = ActiveLearningClassifier(
        clone(world.estimator), instance, n_initial=8, n_instances=3, n_queries=2, random_state=0
    )
    seeds = {"query_strategy__random_state": [0, 1]} if "random_state" in instance.get_params() else {}
    X, y = np.concatenate([world.X, world.pool[:36]]), np.concatenate([world.y, world.y_pool[:36]])
    search = GridSearchCV(loop, seeds or {"n_instances": [3]}, cv=2, error_score="raise").fit(X, y)
    _ensure(search.best_estimator_.n_labels_ == 14, f"of 14 labels it asks for {search.best_estimator_.n_labels_}")
