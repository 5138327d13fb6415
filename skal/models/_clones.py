"""Opinions of clones: seeded, trained on the labelled data or bootstrap samples of it, asked about a pool."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from ..rows import take_rows
from ..utils._random import sklearn_seed
from ._base import Model, model_for
from ._interrupts import interrupts_pass

__all__ = [
    "clone_samples",
    "one_class_proba",
    "opinion_of",
    "points",
    "seeded_clone",
    "some_of",
    "spread",
    "train",
    "watch_iterations",
]


def spread(proba: NDArray, own: NDArray, classes: NDArray) -> NDArray:
    """`proba` with columns `own` as columns `classes`; a class its owner does not know has probability 0."""
    if np.array_equal(own, classes):
        return proba
    column = {label: i for i, label in enumerate(classes.tolist())}
    out = np.zeros((len(proba), len(classes)), dtype=proba.dtype)
    out[:, [column[label] for label in own.tolist()]] = proba
    return out


def one_class_proba(n: int, label: Any, classes: NDArray) -> NDArray[np.float64]:
    """What a model says that has seen one class only."""
    return spread(np.ones((n, 1)), np.array([label]), classes)


def some_of(n_members: int, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of up to `n` members: all of them, or some at random, in order."""
    if n_members <= n:
        return np.arange(n_members)
    return np.sort(rng.choice(n_members, size=n, replace=False))


def clone_samples(
    model: Model,
    X: Any,
    X_labeled: Any,
    y: NDArray,
    classes: NDArray,
    n: int,
    rng: np.random.Generator,
    *,
    bootstrap: bool,
) -> Iterator[NDArray]:
    """Opinions of `n` clones, each with its own seed, trained on `y`'s samples or bootstrap samples of them."""
    for _ in range(n):
        rows = np.arange(len(y))
        if bootstrap:
            rows = _bootstrap(y, rng)
        member = seeded_clone(model, classes, rng)
        train(model, member, take_rows(X_labeled, rows), y[rows], sklearn_seed(rng))
        yield opinion_of(member, X, classes)


def _bootstrap(y: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """As many rows as there are, with replacement; drawn again while they are all of one class."""
    while True:
        rows = rng.integers(len(y), size=len(y))
        if np.any(y[rows] != y[rows[0]]):
            return rows


def seeded_clone(model: Model, classes: NDArray, rng: np.random.Generator | None) -> Any:
    """An unfitted twin that keeps quiet; with `rng`, all its `random_state` are new."""
    member = clone(model.estimator)
    changed: dict[str, Any] = {}
    if rng is not None:
        keys = sorted(key for key in member.get_params(deep=True) if key.split("__")[-1] == "random_state")
        changed = {key: sklearn_seed(rng) for key in keys}
    changed |= model.clone_params(member, classes)
    return member.set_params(**changed) if changed else member


def train(model: Model, member: Any, X: Any, y: NDArray, seed: int) -> None:
    """Fit a clone of the model's estimator."""
    with warnings.catch_warnings(), interrupts_pass():
        # A member need not be trained to the end.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit_clone(member, X, y, seed)


def opinion_of(member: Any, X: Any, classes: NDArray) -> NDArray:
    """Class probabilities by a fitted estimator, one column for each of `classes`."""
    model = model_for(member)
    proba = np.asarray(model.answers(X, {"proba"}).proba)
    return spread(proba, model.classes(proba.shape[1]), classes)


def watch_iterations(
    model: Model,
    X: Any,
    X_labeled: Any,
    y: NDArray,
    classes: NDArray,
    n: int,
    rng: np.random.Generator,
    see: Callable[[NDArray], None],
) -> None:
    """Opinions at up to `n` equally spaced iterations of a classifier with `max_iter` and `n_iter_`.

    It is trained anew up to each of them, with its own `random_state`, so that the training of the fitted classifier is
    repeated where it is repeatable.
    """
    seed = sklearn_seed(rng)
    for point in sorted(points(int(np.max(model.estimator.n_iter_)), n)):
        member = seeded_clone(model, classes, None)
        unseeded = member.get_params().get("random_state", seed) is None
        member.set_params(max_iter=point, **({"random_state": seed} if unseeded else {}))
        train(model, member, X_labeled, y, seed)
        see(opinion_of(member, X, classes))


def points(last: int, n: int) -> set[int]:
    """Up to `n` equally spaced integers in [1, last], the last one among them."""
    return {max(1, round(last * k / n)) for k in range(1, n + 1)}
