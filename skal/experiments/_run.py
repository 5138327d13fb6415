"""Paired runs of query strategies: every strategy meets the same splits, initial sets and model seeds."""

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from functools import partial
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from .._version import __version__
from ..exceptions import SkalError
from ..learners import ActiveLearner, learner_from, simulate
from ..metrics import labeled_imbalance
from ..rows import take_rows
from ..strategies import RandomSampling
from ..utils._validation import shown
from ._comparison import Comparison, Record
from ._identity import identity
from ._pictures import first_picks
from ._plan import (
    Data,
    Plan,
    check_data,
    check_estimator,
    check_learner,
    check_n_jobs,
    check_names,
    check_plan,
    check_reference,
    check_seeds,
    named_strategies,
    notes_on,
)
from ._records import NearDuplicates, peak_memory, queried_positions, reset_peak_memory
from ._results_file import columns_of
from ._scoring import Scorer, check_scoring, score_with, settings_of
from ._setup import setup_in_words
from ._statistics import check_correction
from ._store import AGAIN, CEILING, CHECKS, ResultStore
from ._workers import WorkerDiedError, run_in_processes

__all__ = ["RunError", "compare", "start_run"]

# Of the settings in a results folder. 1 had texts of parameters instead of identities, 2 did not keep what was queried.
_FORMAT = 3


class RunError(SkalError, RuntimeError):
    """One run of a comparison failed; the message names its strategy and seed."""


def compare(
    strategies: Mapping[str, Any] | Sequence[Any],
    estimator: BaseEstimator,
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    n_initial: int = 20,
    n_instances: int = 20,
    n_queries: int = 8,
    seeds: int | Iterable[int] = 5,
    pool_size: int | None = None,
    test_size: float = 0.25,
    learner: ActiveLearner | None = None,
    scoring: str | Scorer | Iterable[str] | Mapping[str, str | Scorer] = "accuracy",
    reference: str | None = None,
    correction: str | None = "holm",
    aa: bool = False,
    n_jobs: int | None = None,
    out: str | os.PathLike | None = None,
    progress: bool = False,
) -> Comparison:
    """Compare query strategies in paired, repeated, simulated active learning.

    For each seed all strategies start from the same split, pool, initial set and model seed, so that a
    difference between two of them is due to what they query. Random sampling is always among them.

    Parameters
    ----------
    strategies : mapping of str to strategy, or sequence of strategies
        `skal` strategies or modAL query functions. Without names of their own they go by their class or
        function name. `RandomSampling` is added in front if none is there. A learner without data, such as
        ``DM2ATLearner(None, DM2())``, is a strategy together with the learner that runs it.
    estimator : classifier
        Any classifier that :class:`skal.learners.ActiveLearner` takes. Each run fits clones.
    X : array-like, sparse matrix or DataFrame of shape (n_samples, ...)
        The pool; without a test set, what the split is made from. NaN is an error unless the estimator says that it
        takes it, or is a Pipeline, whose steps decide.
    y : array-like of shape (n_samples,)
        Its labels, which play the oracle.
    X_test, y_test : default=None
        A fixed test set of the same kind. `None`: each seed splits off its own, stratified by class.
    n_initial : int, default=20
        Labels to begin with, drawn uniformly at random (drawn again while they are all of one class), >= 2.
    n_instances : int, default=20
        Labels per query, >= 1.
    n_queries : int, default=8
        Queries per run, >= 1.
    seeds : int or iterable of int, default=5
        Number of runs of each strategy, or their seeds (non-negative, distinct).
    pool_size : int, default=None
        Limit of the pool: each seed draws its own subset of that size (the initial set is drawn from it).
    test_size : float, default=0.25
        Share of `X` split off as the test set where none is given, in (0, 1).
    learner : ActiveLearner or None, default=None
        A template of the learner that runs each strategy, such as ``DM2ATLearner(None, epsilon=0.05)``. Its own
        `estimator`, `query_strategy`, `force_all_finite` and data are not read. `None` is a plain `ActiveLearner`.
    scoring : str, callable, sequence of str or mapping of str to these, default="accuracy"
        What is measured on the test set: names of scikit-learn's scores (``"balanced_accuracy"``), or
        ``scoring(learner, X_test, y_test)``, finite and larger where better. Each is a column of the results; that of a
        callable is ``score``, or its name in the mapping. The first decides: `area` and `final` are of it.
    reference : str, default=None
        Name of the strategy that all others are compared with; `None` is the first `RandomSampling`.
    correction : {"holm", None}, default="holm"
        How p-values and verdicts are adjusted for the number of strategies that are compared with the reference.
    aa : bool, default=False
        Run two checks as well, which are no rows of `results`: a second random sampling, of which a sound comparison
        should say "undecided" (`Comparison.aa`), and the model trained on all labels of the pool, as the ceiling
        (`Comparison.ceiling`).
    n_jobs : int, default=None
        Runs at the same time, each in its own process with its share of the cores as threads; `None` means 1,
        -1 all cores (joblib's convention). The processes end with this one, however it ends.
    out : path, default=None
        Results folder: every finished run is written at once to `results.csv` there, and a later call with
        the same settings goes on where it stopped. More strategies or seeds may be added; other settings are
        an error: sizes, data, model and strategies count by their content (parameters, weights, a function's code),
        seeds of models and strategies do not. One comparison at a time uses a folder.
    progress : bool, default=False
        Show a progress bar on the standard error stream.

    Returns
    -------
    Comparison
        Results of the strategies and seeds asked for, with `summary()`, `table()`, `runs_needed()`, `plot(path)`,
        `to_csv(path)` and what was queried.

    Raises
    ------
    TypeError
        For a strategy or an estimator that is none, such as its class or its name, or an `out` that is no path.
    ValueError
        For sizes that do not fit the data, `y` that is no class labels, `y_test` with a class that `y` lacks, a
        parameter of a strategy out of its range, duplicate names or seeds, or an `out` folder of other settings, of
        another version, or with files that cannot be read; an unknown score or reference.
    RunError
        If a run fails. Finished runs are kept in `out`.
    ResultsLockedError, ResultsError
        If another comparison is using the folder `out` (the message names its host and process); if it cannot be read
        or written.

    Warns
    -----
    UserWarning
        If a file in `out` holds runs that are damaged or not whole: they are run again, and the file as it was is kept,
        as ``results.csv.damaged``.

    Notes
    -----
    Every source of randomness has its own generator, a child of ``numpy.random.SeedSequence(seed)``: the
    split, the pool's subset, the initial set, the model, the strategy. All `random_state` parameters of the
    estimator and of the strategies are set from them, whatever they were. The model is fitted anew in every
    round from the same seed. Ctrl-C stops at once; what is finished stays in `out`.

    Cost: ``len(strategies) * len(seeds) * (n_queries + 1)`` fits; with `aa`, ``len(seeds) * (n_queries + 2)`` more, one
    of them on all labels of the pool.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.experiments import compare
    >>> from skal.strategies import MarginSampling
    >>> X, y = load_iris(return_X_y=True)
    >>> found = compare([MarginSampling()], LogisticRegression(max_iter=500), X, y,
    ...                 n_initial=6, n_instances=4, n_queries=3, seeds=2)
    >>> found
    Comparison(RandomSampling, MarginSampling; 2 seeds)
    >>> found.summary()["area_verdict"]["RandomSampling"]
    'reference'
    """
    named, random = named_strategies(strategies)
    check_names(named, CHECKS)
    reference = check_reference(reference, named, random)
    check_correction(correction)
    if not isinstance(aa, bool):
        raise ValueError(f"The 'aa' parameter of compare must be a bool. Got {shown(aa)} instead.")
    if out is not None and not isinstance(out, (str, os.PathLike)):
        raise TypeError(f"'out' of compare must be a path or None. Got {shown(out)}.")
    scores = check_scoring(scoring)
    check_estimator(estimator)
    check_learner(learner)
    seed_list = check_seeds(seeds)
    n_workers = check_n_jobs(n_jobs)
    data = check_data(X, y, X_test, y_test)
    plan = check_plan(Plan(n_initial, n_instances, n_queries, pool_size, test_size), data)
    entries = {**named, **({AGAIN: named[random], CEILING: named[random]} if aa else {})}
    run = partial(_run, entries, estimator, learner, data, plan, scores)
    settings = {} if out is None else _settings(entries, estimator, learner, data, plan, scores)
    with nullcontext() if out is None else ResultStore(out, settings) as store:
        done = set() if store is None else store.done()
        # Seed by seed, so that an interrupted comparison holds complete pairs.
        todo = [(name, seed) for seed in seed_list for name in entries if (name, seed) not in done]
        rows: list[dict[str, Any]] = []
        total = len(entries) * len(seed_list)
        with (
            closing(_runs(run, todo, min(n_workers, len(todo)))) as runs,
            tqdm(total=total, initial=total - len(todo), unit="run", disable=not progress) as bar,
        ):
            for run_rows in runs:
                if store is not None:
                    store.add(run_rows)
                rows += run_rows
                bar.update()
        parts = [pd.DataFrame(rows)] if store is None else [store.results, store.checks]
    # An empty frame would change the types of columns.
    found = pd.concat([part for part in parts if len(part)], ignore_index=True)
    found = found[columns_of(scores)]
    results = _ordered(found, named, seed_list)
    queried = queried_positions(results)
    record = Record(
        queried,
        _ordered(found, CHECKS, seed_list).drop(columns="queried") if aa else None,
        random,
        data.y,
        first_picks(data.X, data.y, queried, list(named), seed_list[0]),
        setup_in_words(estimator, learner, data, plan, scores, seed_list),
    )
    return Comparison(results.drop(columns="queried"), reference, notes_on(named), correction=correction, record=record)


def _settings(
    named: Mapping[str, Any],
    estimator: Any,
    learner: ActiveLearner | None,
    data: Data,
    plan: Plan,
    scores: Mapping[str, str | Scorer],
) -> dict[str, Any]:
    """What the results depend on."""
    settings = {
        "format": _FORMAT,
        "skal": __version__,
        "model": _identity_without_seeds(estimator),
        "data": identity(data),
        **plan._asdict(),
        "scoring": settings_of(scores, identity),
        "strategies": {name: _identity_without_seeds(strategy) for name, strategy in named.items()},
    }
    if learner is not None:
        settings["learner"] = _identity_without_seeds(_blank(learner))
    return settings


def _blank(template: ActiveLearner) -> ActiveLearner:
    """The template without what is not read of it."""
    return learner_from(template, None, RandomSampling())


def _identity_without_seeds(obj: Any) -> str:
    """Each run sets them, whatever they were."""
    return identity(_seeded(obj, np.random.SeedSequence(0)))


def _runs(
    run: Callable[[str, int], list[dict[str, Any]]], todo: list[tuple[str, int]], n_workers: int
) -> Generator[list[dict[str, Any]], None, None]:
    """The rows of each run, as they are finished."""
    if n_workers <= 1:
        for name, seed in todo:
            yield run(name, seed)
        return
    threads = max(1, joblib.cpu_count() // n_workers)
    with closing(run_in_processes(partial(_with_threads, threads, run), todo, n_workers, threads)) as runs:
        try:
            yield from runs
        except WorkerDiedError as error:
            name, seed = error.job
            raise RunError(f"{name} with seed {seed} failed: {error}.") from error


def _with_threads(threads: int, run: Callable[[str, int], Any], name: str, seed: int) -> Any:
    torch.set_num_threads(threads)
    return run(name, seed)


def _run(
    named: Mapping[str, Any],
    estimator: BaseEstimator,
    template: ActiveLearner | None,
    data: Data,
    plan: Plan,
    scores: Mapping[str, str | Scorer],
    name: str,
    seed: int,
) -> list[dict[str, Any]]:
    """One strategy with one seed: the rows of its learning curve."""
    try:
        return _simulate(name, named[name], estimator, template, data, plan, scores, seed)
    except Exception as error:
        what = ": ".join([type(error).__name__, *[" ".join(str(error).split())] * bool(str(error))])
        end = "" if what.endswith((".", "?", "!")) else "."
        raise RunError(f"{name} with seed {seed} failed: {what}{end}") from error


class Start(NamedTuple):
    """Where a run of one seed begins."""

    learner: ActiveLearner
    pool: NDArray
    initial: NDArray
    X_test: Any
    y_test: NDArray


def start_run(
    strategy: Any,
    estimator: BaseEstimator,
    template: Any,
    data: Data,
    plan: Plan,
    seed: int,
    *,
    again: bool = False,
) -> Start:
    """Split, pool, initial set, and a learner with seeds: the same for every strategy; `again`, it has another own."""
    X, y, X_test, y_test = data
    split, subset, initial, model, *owns = np.random.SeedSequence(seed).spawn(6)
    own = owns[again]
    pool = np.arange(len(y))
    if y_test is None:
        pool, held_out = train_test_split(pool, test_size=plan.test_size, stratify=y, random_state=_as_int(split))
        X_test, y_test = take_rows(X, held_out), y[held_out]
    if plan.pool_size is not None and plan.pool_size < len(pool):
        pool = np.random.default_rng(subset).choice(pool, plan.pool_size, replace=False)
    pool = np.sort(pool)
    labeled = _draw_initial(y, pool, plan.n_initial, np.random.default_rng(initial))
    estimator, strategy = _seeded(estimator, model), _seeded(strategy, own)
    if isinstance(strategy, ActiveLearner):
        learner = learner_from(strategy, estimator)
    else:
        learner = learner_from(template, estimator, strategy)
    return Start(learner, pool, labeled, X_test, y_test)


def _simulate(
    name: str,
    strategy: Any,
    estimator: BaseEstimator,
    template: Any,
    data: Data,
    plan: Plan,
    scores: Mapping[str, str | Scorer],
    seed: int,
) -> list[dict[str, Any]]:
    X, y = data.X, data.y
    start = start_run(strategy, estimator, template, data, plan, seed, again=name == AGAIN)
    classes, near, rows = np.unique(y), NearDuplicates(X, start.pool), []
    is_ceiling = name == CEILING
    initial, n_queries = (start.pool, 0) if is_ceiling else (start.initial, plan.n_queries)
    steps = simulate(
        start.learner, X, y, initial=initial, pool=start.pool, n_instances=plan.n_instances, n_queries=n_queries
    )
    reset_peak_memory()
    for step in steps:
        if step.round > 0 and len(step.queried) != plan.n_instances:
            raise ValueError(f"the strategy must query {plan.n_instances} samples. Got {len(step.queried)}.")
        repeats = None if is_ceiling else near.among(step.labeled, len(step.queried))
        rows.append(
            {
                "strategy": name,
                "seed": seed,
                "round": step.round,
                "n_labels": len(step.labeled),
                **score_with(scores, start.learner, start.X_test, start.y_test, classes),
                "imbalance": labeled_imbalance(y[step.labeled], len(classes)),
                "n_classes": len(np.unique(y[step.labeled])),
                "near_duplicates": float("nan") if repeats is None else float(repeats.mean()),
                "peak_memory": round(peak_memory(), 1),
                "fit_seconds": round(step.fit_seconds, 4),
                "query_seconds": round(step.query_seconds, 6),
                "queried": "" if is_ceiling else " ".join(map(str, step.queried.tolist())),
            }
        )
        reset_peak_memory()
    return rows


def _draw_initial(y: NDArray, pool: NDArray, n_initial: int, rng: np.random.Generator) -> NDArray:
    """Uniformly random; drawn again while all are of one class, with which most classifiers cannot start."""
    for _ in range(1000):
        drawn = rng.choice(pool, n_initial, replace=False)
        if len(np.unique(y[drawn])) > 1:
            return drawn
    raise ValueError(f"no initial set of {n_initial} samples with two classes was found. Use a larger n_initial.")


def _seeded(obj: Any, sequence: np.random.SeedSequence) -> Any:
    """A clone with every `random_state` set, nested ones too; a plain function is returned as it is."""
    if not hasattr(obj, "get_params"):
        return obj
    obj = clone(obj)
    keys = sorted(key for key in obj.get_params(deep=True) if key.split("__")[-1] == "random_state")
    return obj.set_params(**{key: _as_int(child) for key, child in zip(keys, sequence.spawn(len(keys)), strict=True)})


def _as_int(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1)[0] >> 1)


def _ordered(results: pd.DataFrame, named: Iterable[str], seeds: Sequence[int]) -> pd.DataFrame:
    """The rows that were asked for, by strategy, seed and round."""
    order = {name: position for position, name in enumerate(named)}
    wanted = results[results["strategy"].isin(order) & results["seed"].isin(seeds)]
    keys = wanted["round"], wanted["seed"], wanted["strategy"].map(order)
    return wanted.iloc[np.lexsort(keys)].reset_index(drop=True)
