"""Expected error reduction: the sample whose label promises the smallest error on the rest of the pool."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import entropy
from sklearn.base import clone
from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB
from torch import nn

from ..exceptions import ColdStartWarning
from ..models import Unwrapped, casting, interrupts_pass, is_fitted, is_plain_net, net_labels
from ..rows import n_rows, n_workers, net_input, one_column, stack_rows, take_rows
from ..utils._compat import STRATEGIES_RETURN_PAIRS
from ..utils._random import make_generator
from ..utils._validation import check_n_instances, shown

__all__ = ["expected_error_reduction"]

# What these learn are counts: one sample more, and they are what a new training would give.
_COUNTING = (BernoulliNB, ComplementNB, MultinomialNB)


def expected_error_reduction(
    learner: Any,
    X: Any,
    loss: Literal["binary", "log"] = "binary",
    p_subsample: float = 1.0,
    n_instances: int = 1,
    random_tie_break: bool = False,
    *,
    random_sample: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> Any:
    """The samples whose labels promise the smallest error on the rest of the pool; modAL's function, on today's NumPy.

    Each candidate is tried with each label: a clone of the estimator is trained on the labelled data and the candidate,
    and its uncertainty about the rest of the pool is the error that is to be expected with that label.

    Parameters
    ----------
    learner : ActiveLearner
        skal's or modAL's, with labelled data; its estimator needs `predict_proba`.
    X : array-like of n samples
        The pool.
    loss : {"binary", "log"}, default="binary"
        Uncertainty of a sample: 1 minus the largest probability, or the entropy of the probabilities.
    p_subsample : float in [0, 1], default=1.0
        Probability that a sample of the pool is a candidate; at least `n_instances` are.
    n_instances : int in [1, n], default=1
        How many samples to choose. By keyword: the third position is modAL's `loss`.
    random_tie_break : bool, default=False
        Whether equal errors are ordered at random; else the first in the pool comes first.
    random_sample : int >= 1 or None, default=None
        Samples of the pool, drawn at random, on which the error is estimated; None: all of them, which is exact.
    random_state : int, RandomState or None, default=None
        Seeds candidates, sample and ties. NumPy's global generator, which modAL draws from, is left alone.

    Returns
    -------
    ndarray of shape (n_instances,), int64, or the pair (query_idx, expected errors) where modAL is 0.4.2 or newer
        Smallest expected error first.

    Raises
    ------
    TypeError
        A learner without an estimator or labelled data of its own, such as a committee.
    ValueError
        A parameter out of range.

    Notes
    -----
    With p the probabilities of the learner's model, L the labelled data and U the pool:

    .. math::
        E(x) = \\sum_y p(y | x) \\sum_{u \\in U \\setminus x} \\ell\\big(\\hat p_{L + (x, y)}(\\cdot | u)\\big)

    Time: candidates times classes, each a training of the estimator and a pass over the pool. Labels of
    probability 0 are not tried, and naive Bayes on counts (`MultinomialNB`, `BernoulliNB`, `ComplementNB`) learns the
    one sample more instead of training anew: both exact. With several workers
    (``joblib.parallel_config(n_jobs=4)``) they share the candidates. Memory: O(n n_classes) for each worker, beside the
    samples. An estimator without a fixed `random_state` gives other errors each time.

    Without labels the choice is uniformly random, with a `ColdStartWarning`; modAL takes the first sample.

    References
    ----------
    N. Roy and A. McCallum, "Toward optimal active learning through sampling estimation of error reduction", ICML 2001.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import expected_error_reduction
    >>> X, y = load_iris(return_X_y=True)
    >>> learner = ActiveLearner(GaussianNB(), expected_error_reduction, X[::15], y[::15])
    >>> query_idx, X_query = learner.query(X[1::5], n_instances=2, random_state=0)
    >>> X_query.shape
    (2, 4)
    """
    n = n_rows(X)
    n_instances = check_n_instances(n_instances, n)
    _check(learner, loss, p_subsample, random_sample)
    rng = make_generator(random_state, getattr(learner, "round", 0))
    if learner.X_training is None:
        if is_fitted(learner):
            raise TypeError(
                "expected_error_reduction needs the labelled data. Teach the learner, or give it X_training."
            )
        warnings.warn(
            "The learner has no labelled data yet, so expected_error_reduction chooses uniformly at random.",
            ColdStartWarning,
            stacklevel=2,
        )
        chosen, errors = rng.choice(n, size=n_instances, replace=False), np.zeros(n_instances)
        return (chosen, errors) if STRATEGIES_RETURN_PAIRS else chosen
    is_candidate = rng.random(n) < p_subsample
    missing = max(0, n_instances - int(is_candidate.sum()))
    is_candidate[rng.choice(np.flatnonzero(~is_candidate), size=missing, replace=False)] = True
    judges = np.arange(n)
    if random_sample is not None and random_sample < n:
        judges = np.sort(rng.choice(n, size=random_sample, replace=False))
    expected = np.full(n, np.inf)
    candidates = np.flatnonzero(is_candidate)
    expected[candidates] = _expected_errors(learner, X, candidates, judges, _LOSSES[loss])
    order = rng.permutation(n) if random_tie_break else np.arange(n)
    chosen = order[np.argsort(expected[order], kind="stable")[:n_instances]]
    return (chosen, expected[chosen]) if STRATEGIES_RETURN_PAIRS else chosen


def _check(learner: Any, loss: Any, p_subsample: Any, random_sample: Any) -> None:
    name = "expected_error_reduction"
    if not hasattr(learner, "estimator") or not hasattr(learner, "X_training"):
        raise TypeError(
            f"{name} needs a learner of one estimator that keeps its labelled data, such as "
            f"skal.learners.ActiveLearner. Got {type(learner).__name__} instead."
        )
    if not isinstance(loss, str) or loss not in _LOSSES:
        raise ValueError(f"The 'loss' parameter of {name} must be 'binary' or 'log'. Got {shown(loss)} instead.")
    if not isinstance(p_subsample, (int, float, np.number)) or not 0 <= p_subsample <= 1:
        raise ValueError(
            f"The 'p_subsample' parameter of {name} must be a number in [0, 1]. Got {shown(p_subsample)} instead."
        )
    is_number = isinstance(random_sample, (int, np.integer)) and not isinstance(random_sample, bool)
    if random_sample is not None and not (is_number and random_sample >= 1):
        raise ValueError(
            f"The 'random_sample' parameter of {name} must be None or an integer of at least 1. "
            f"Got {shown(random_sample)} instead."
        )


def _uncertainty(proba: NDArray) -> NDArray:
    return 1 - proba.max(axis=1)


def _entropy(proba: NDArray) -> NDArray:
    return entropy(proba, axis=1)


_LOSSES: dict[str, Callable[[NDArray], NDArray]] = {"binary": _uncertainty, "log": _entropy}


def _expected_errors(
    learner: Any, X: Any, candidates: NDArray, judges: NDArray, loss: Callable[[NDArray], NDArray]
) -> NDArray:
    """E of each candidate, the error estimated on the `judges`."""
    n, unwrapped = n_rows(X), Unwrapped(learner)
    X_labeled, y = learner.X_training, one_column(learner.y_training)
    proba = np.asarray(learner.predict_proba(take_rows(X, candidates)))
    columns = unwrapped.model.classes(proba.shape[1]).tolist()
    labels = np.unique(y)
    weights = proba[:, [columns.index(label) for label in labels.tolist()]]
    if is_plain_net(unwrapped.final):
        y, labels = net_labels(y), net_labels(labels)
        if not unwrapped.transformers:
            module = unwrapped.final.module
            X, X_labeled = (
                net_input(part, module if isinstance(module, nn.Module) else None) for part in (X, X_labeled)
            )
    judge_rows = take_rows(X, judges)
    # Of a candidate among the judges, its own place there.
    place = np.searchsorted(judges, candidates).clip(max=len(judges) - 1)
    own = np.where(judges[place] == candidates, place, -1)
    parts = np.array_split(np.arange(len(candidates)), min(len(candidates), 4 * n_workers()) if n_workers() > 1 else 1)
    started = clone(learner.estimator).fit(X_labeled, y) if type(learner.estimator) in _COUNTING else None
    found = Parallel()(
        delayed(_errors_of)(
            learner.estimator, started, X_labeled, y, take_rows(X, candidates[part]), labels, weights[part], judge_rows,
            own[part], loss,
        )
        for part in parts
    )  # fmt: skip
    seen = len(judges) - (own >= 0)
    return np.concatenate(found) * ((n - 1) / np.maximum(seen, 1))


def _errors_of(
    estimator: Any,
    started: Any,
    X_labeled: Any,
    y: NDArray,
    X: Any,
    labels: NDArray,
    weights: NDArray,
    judges: Any,
    own: NDArray,
    loss: Callable[[NDArray], NDArray],
) -> NDArray:
    """For each sample of `X`, the sum over `labels` of its weight times the loss of all judges but the sample itself.

    `started` is the estimator trained on the labelled data, where it can learn one sample more.
    """
    errors = np.zeros(len(weights))
    for i, j in zip(*np.nonzero(weights)):
        sample, label = take_rows(X, slice(i, i + 1)), labels[j : j + 1]
        with interrupts_pass():
            if started is not None:
                member = copy.deepcopy(started).partial_fit(sample, label)
            else:
                member = clone(estimator)
                with casting(member):
                    member.fit(stack_rows(X_labeled, sample), np.concatenate([y, label]))
        with casting(member):
            losses = loss(np.asarray(member.predict_proba(judges)))
        errors[i] += weights[i, j] * (losses.sum() if own[i] < 0 else np.delete(losses, own[i]).sum())
    return errors
