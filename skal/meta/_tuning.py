"""BAL's balancing factor, chosen as its paper does: by what one round with each candidate is worth."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from tqdm.auto import tqdm

from ..learners import simulate
from ..rows import n_rows, plain_labels, take_rows
from ..strategies import BAL
from ..utils._validation import kind_of, shown
from ._classifier import ActiveLearningClassifier, _count

__all__ = ["BalancingFactor", "tune_balancing_factor"]


@dataclass(frozen=True)
class BalancingFactor:
    """What `tune_balancing_factor` found.

    Attributes
    ----------
    best_beta : float
        The candidate with the best mean score; of equals the smallest.
    betas : ndarray of shape (n_betas,)
        The candidates, ascending.
    scores : ndarray of shape (n_betas,)
        Mean score of each candidate over the splits.
    split_scores : ndarray of shape (n_betas, n_splits)
        Score of each candidate in each split.
    n_labels : ndarray of shape (n_betas,), int64
        Labels that the second selection of each candidate took, summed over the splits: what trying it costs, on its
        own. The paper counts none of them but the winner's.
    n_labels_total : int
        Labels for the whole choice, summed over the splits: first selections, and the second selections of all
        candidates with samples that several of them chose counted once. The validation data come on top.
    """

    best_beta: float
    betas: NDArray[np.float64]
    scores: NDArray[np.float64]
    split_scores: NDArray[np.float64]
    n_labels: NDArray[np.int64]
    n_labels_total: int


def tune_balancing_factor(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    betas: Iterable[float],
    n_initial: int | float,
    n_instances: int | float,
    n_rounds: int,
    query_strategy: BAL | None = None,
    scoring: str | Callable[..., float] | None = None,
    cv: Any = None,
    eval_set: tuple[Any, ArrayLike] | None = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: int | bool = 0,
) -> BalancingFactor:
    """Choose BAL's balancing factor by its first use (eq. 9).

    BAL makes its first selection, which does not depend on the factor, and the model is trained on it, once. From
    there each candidate makes the second selection, and the model trained on both selections is scored.

    This is retrospective: `y` plays the oracle.

    Parameters
    ----------
    estimator : classifier
        The model; clones of it are fitted.
    X : array-like of n samples
        The pool (with `cv`: what is split into pool and validation data).
    y : array-like of shape (n,)
        Its labels.
    betas : iterable of float > 0
        The candidates; the paper's lie between 0.5 and 2.5.
    n_initial, n_instances : int or float
        Samples of the first and of the second selection; floats in (0, 1] are fractions of the pool.
    n_rounds : int >= 2
        Rounds of the run that the factor is for, the first selection included. Only two are simulated.
    query_strategy : BAL or None, default=None
        The strategy with its other parameters, such as `pretext`; its `beta` and `n_rounds` do not matter. None is
        ``BAL()``. Where it has no `n_clusters`, the number of classes in `y` is taken.
    scoring : str, callable or None, default=None
        As in scikit-learn; None is the estimator's own `score`, accuracy.
    cv : int, splitter, iterable of splits or None, default=None
        Pool and validation data are made of `X` by these splits; None is 5 stratified folds.
    eval_set : tuple (X_val, y_val) or None, default=None
        Validation data, instead of `cv`.
    random_state : int, RandomState or None, default=None
        As in `ActiveLearningClassifier`, for each split anew.
    verbose : int or bool, default=0
        1 or more: a progress bar over splits and candidates.

    Returns
    -------
    BalancingFactor
        `best_beta`, `betas`, `scores`, `split_scores`, and what it took: `n_labels`, `n_labels_total`.

    Raises
    ------
    ValueError, TypeError
        Candidates out of range or none, `n_rounds` below 2, both `cv` and `eval_set`, or whatever
        `ActiveLearningClassifier` refuses.

    Notes
    -----
    With D(beta) the labelled set after the second selection, beta* = argmax score(model trained on D(beta)) (eq. 9).
    The paper scores on the test set and does not count the labels that the losing candidates took; use validation
    data, and see `n_labels_total`.

    The same scores come from `GridSearchCV` over ``query_strategy__beta`` of an
    ``ActiveLearningClassifier(estimator, BAL(n_rounds=...), init_strategy="query_strategy", n_queries=1)``; it fits
    pretext and first model once for each candidate instead of once for each split.

    References
    ----------
    "BAL: Balancing diversity and novelty for active learning", IEEE TPAMI, 2024, arXiv 2312.15944, eq. 9.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.meta import tune_balancing_factor
    >>> X, y = load_digits(return_X_y=True)
    >>> found = tune_balancing_factor(LogisticRegression(max_iter=500), X[:600] / 16, y[:600], betas=[0.5, 1.0, 1.5],
    ...                               n_initial=40, n_instances=20, n_rounds=5, cv=2, random_state=0)
    >>> found.best_beta in (0.5, 1.0, 1.5), found.n_labels.tolist()
    (True, [40, 40, 40])
    """
    candidates = _check_betas(betas)
    if not isinstance(n_rounds, (int, np.integer)) or isinstance(n_rounds, bool) or n_rounds < 2:
        raise ValueError(
            f"The 'n_rounds' of tune_balancing_factor must be an integer >= 2. Got {shown(n_rounds)} instead."
        )
    if cv is not None and eval_set is not None:
        raise ValueError("tune_balancing_factor takes 'cv' or 'eval_set'. Got both.")
    strategy = BAL() if query_strategy is None else query_strategy
    if not isinstance(strategy, BAL):
        raise TypeError(
            f"The 'query_strategy' of tune_balancing_factor must be a BAL. Got {shown(query_strategy)} instead."
        )
    labels = np.asarray(plain_labels(y))
    strategy = clone(strategy).set_params(n_rounds=int(n_rounds), beta=float(candidates[0]))
    if strategy.n_clusters is None:
        strategy.set_params(n_clusters=max(2, len(np.unique(labels))))
    start = ActiveLearningClassifier(
        estimator,
        strategy,
        init_strategy="query_strategy",
        n_initial=n_initial,
        n_instances=n_instances,
        n_queries=0,
        random_state=random_state,
    )
    scorer = check_scoring(estimator, scoring)
    splits = list(_splits(estimator, X, labels, cv, eval_set))
    scores = np.empty((len(candidates), len(splits)))
    n_labels = np.zeros(len(candidates), dtype=np.int64)
    total = 0
    with tqdm(total=scores.size, desc="betas", disable=not verbose) as bar:
        for column, (X_pool, y_pool, X_val, y_val) in enumerate(splits):
            first = clone(start).fit(X_pool, y_pool)
            rest = np.setdiff1d(np.arange(len(y_pool)), first.queried_idx_)
            if len(rest) == 0:
                raise ValueError(
                    "The first selection of tune_balancing_factor must leave samples for a second. "
                    f"Got n_initial={n_initial!r} for a pool of {len(y_pool)}."
                )
            k = _count(n_instances, len(y_pool))
            taken = set()
            for row, beta in enumerate(candidates):
                learner = copy.deepcopy(first.learner_)
                learner.query_strategy.set_params(beta=float(beta))
                (step,) = simulate(learner, X_pool, y_pool, pool=rest, n_initial=0, n_instances=k, n_queries=1)
                scores[row, column] = scorer(learner.estimator, X_val, y_val)
                n_labels[row] += len(step.queried)
                taken.update(step.queried.tolist())
                bar.update()
            total += first.n_labels_ + len(taken)
    means = scores.mean(axis=1)
    # argmax takes the first of equals, and the candidates ascend.
    best = float(candidates[int(np.argmax(means))])
    return BalancingFactor(best, candidates, means, scores, n_labels, total)


def _check_betas(betas: Iterable[float]) -> NDArray[np.float64]:
    values = list(betas) if isinstance(betas, Iterable) and not isinstance(betas, str) else [betas]
    wrong = [beta for beta in values if not isinstance(beta, Real) or isinstance(beta, bool) or not 0 < beta < np.inf]
    if wrong or not values:
        raise ValueError(
            "The 'betas' of tune_balancing_factor must be one or more floats in (0.0, inf). "
            f"Got {shown(wrong[0] if wrong else values)} instead."
        )
    return np.unique(np.array(values, dtype=np.float64))


def _splits(estimator: Any, X: Any, y: NDArray, cv: Any, eval_set: Any) -> Iterable[tuple[Any, NDArray, Any, NDArray]]:
    """Pool, its labels, validation data, their labels."""
    if eval_set is not None:
        if not isinstance(eval_set, (tuple, list)) or len(eval_set) != 2:
            raise TypeError(f"eval_set must be a pair (X_val, y_val). Got {kind_of(eval_set)} instead.")
        yield X, y, eval_set[0], np.asarray(eval_set[1])
        return
    if n_rows(X) != len(y):
        raise ValueError(f"X and y must have the same length. Got {n_rows(X)} and {len(y)}.")
    # Only the number of rows and the labels decide a split.
    for train, test in check_cv(cv, y, classifier=True).split(np.zeros((len(y), 1)), y):
        yield take_rows(X, train), y[train], take_rows(X, test), y[test]
