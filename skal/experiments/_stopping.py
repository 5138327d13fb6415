"""Where stopping criteria would have stopped, and what that would have cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from ..labeling import StoppingCriterion
from ..learners import simulate
from ..rows import take_rows
from ..utils._validation import shown
from ._plan import Plan, check_data, check_estimator, check_plan, check_seeds
from ._run import start_run
from ._scoring import check_scoring, score_with

__all__ = ["compare_stopping"]


def compare_stopping(
    criteria: Mapping[str, Any] | Sequence[Any],
    query_strategy: Any,
    estimator: BaseEstimator,
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    X_eval: Any = None,
    y_eval: Any = None,
    n_initial: int = 20,
    n_instances: int = 20,
    n_queries: int = 20,
    seeds: int | Iterable[int] = 5,
    pool_size: int | None = None,
    test_size: float = 0.25,
    scoring: str | Callable[..., Any] = "accuracy",
    tolerance: float = 0.01,
) -> pd.DataFrame:
    """Measure stopping criteria in simulated active learning: labels spent, score lost, false stops.

    Each run goes on to its end whatever the criteria say; they watch it, each until it says stop.

    Parameters
    ----------
    criteria : mapping of str to StoppingCriterion, or sequence of them
        Without names of their own they go by their class. Each run has its own clones, with the seeds that they have.
    query_strategy : strategy
        What queries, as in `compare`: a strategy, a query function, or a learner without data.
    estimator, X, y, X_test, y_test
        As in `compare`; the test set alone measures the score that is lost.
    X_eval, y_eval : array-like, optional
        Labelled samples for criteria that measure scores, of neither pool nor test set.
    n_initial, n_instances, n_queries, seeds, pool_size, test_size
        As in `compare`: a run is that of `compare` with the same seed.
    scoring : str or callable, default="accuracy"
        Score on the test set: a name of scikit-learn's, or ``scoring(estimator, X, y)``; larger is better.
    tolerance : float >= 0, default=0.01
        A stop that loses more of the score than this is a false one.

    Returns
    -------
    DataFrame
        One row per criterion and seed: `criterion`, `seed`, `stopped`, `n_labels` and `score` where it stopped (at the
        end where it did not), `final_n_labels` and `final_score` at the end of the run, `labels_saved`, `score_lost`
        (negative where the end is worse), `false_stop`.

    Raises
    ------
    TypeError
        For something that is no criterion.
    ValueError
        For sizes that do not fit the data, two criteria of one name, or an unknown score.

    Notes
    -----
    What is lost is measured against the end of the simulated run, not against all labels of the world: let the run be
    long enough for the curve to be flat. A test set of a few hundred samples gives differences a noise of a percent or
    so, which a `tolerance` should exceed.

    ``len(seeds) * (n_queries + 1)`` fits, and what the criteria cost.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.experiments import compare_stopping
    >>> from skal.labeling import OverallUncertainty, StabilizedPredictions
    >>> from skal.strategies import MarginSampling
    >>> X, y = load_digits(return_X_y=True)
    >>> criteria = [OverallUncertainty(threshold=0.2), StabilizedPredictions(random_state=0)]
    >>> found = compare_stopping(
    ...     criteria, MarginSampling(), LogisticRegression(max_iter=1000), X / 16, y, n_queries=4, seeds=2
    ... )
    >>> len(found), found["final_n_labels"].unique().tolist()
    (4, [100])
    """
    named = _named_criteria(criteria)
    check_estimator(estimator)
    seed_list = check_seeds(seeds)
    data = check_data(X, y, X_test, y_test)
    plan = check_plan(Plan(n_initial, n_instances, n_queries, pool_size, test_size), data)
    scores = check_scoring(scoring, "'scoring' of compare_stopping")
    if len(scores) > 1:
        raise ValueError(f"'scoring' of compare_stopping must be a single score. Got {len(scores)}.")
    if not isinstance(tolerance, Real) or not tolerance >= 0:
        raise ValueError(f"'tolerance' of compare_stopping must be a number >= 0. Got {shown(tolerance)}.")
    classes, held_out = np.unique(data.y), {"X_eval": X_eval, "y_eval": y_eval}
    rows: list[dict[str, Any]] = []
    for seed in seed_list:
        learner, pool, initial, X_test, y_test = start_run(query_strategy, estimator, None, data, plan, seed)
        watching = {name: clone(criterion) for name, criterion in named.items()}
        ends: dict[str, tuple[int, float]] = {}
        sizes = {"n_instances": plan.n_instances, "n_queries": plan.n_queries}
        for step in simulate(learner, data.X, data.y, initial=initial, pool=pool, **sizes):
            (score,) = score_with(scores, learner, X_test, y_test, classes).values()
            last = len(step.labeled), score
            rest = take_rows(data.X, np.setdiff1d(pool, step.labeled))
            for name in [name for name in watching if name not in ends]:
                if watching[name].update(learner, rest, **held_out).stop:
                    ends[name] = last
        rows += [_row(name, seed, ends.get(name), last, tolerance) for name in named]
    return pd.DataFrame(rows)


def _row(name: str, seed: int, end: tuple[int, float] | None, last: tuple[int, float], tolerance: float) -> dict:
    n_labels, score = end or last
    return {
        "criterion": name,
        "seed": seed,
        "stopped": end is not None,
        "n_labels": n_labels,
        "score": score,
        "final_n_labels": last[0],
        "final_score": last[1],
        "labels_saved": last[0] - n_labels,
        "score_lost": last[1] - score,
        "false_stop": last[1] - score > tolerance,
    }


def _named_criteria(criteria: Any) -> dict[str, StoppingCriterion]:
    if isinstance(criteria, Mapping):
        pairs = list(criteria.items())
    else:
        listed = list(criteria) if isinstance(criteria, Sequence) and not isinstance(criteria, str) else [criteria]
        pairs = [(type(one).__name__, one) for one in listed]
    if not pairs:
        raise ValueError("'criteria' of compare_stopping must hold at least one criterion. Got none.")
    for name, one in pairs:
        if not isinstance(one, StoppingCriterion):
            raise TypeError(f"Criterion '{name}' of compare_stopping must be a stopping criterion. Got {shown(one)}.")
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"'criteria' of compare_stopping must have distinct names. Got {name} twice; pass a dict.")
    return dict(pairs)
