"""Small worlds that a strategy is checked in: a model that supplies what it requires, data, and known numbers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from modAL.models import Committee
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_blobs
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from torch import nn

from ..base import QueryStrategy
from ..learners import ActiveLearner
from ..models import Unwrapped
from ._fake_pool import FakePool

__all__ = ["World", "asks_again", "fakes", "flat", "seeded", "wraps_a_function"]

# Members for which the model, or several, are asked more than once.
_SEVERAL = {"opinions", "members", "clones", "perturbed", "snapshots"}


class Detector(BaseEstimator):
    """One to three boxes in a sample, whose class distributions and places follow from its features."""

    def fit(self, X: Any, y: Any) -> Detector:
        self.n_features_in_ = np.shape(X)[1]
        return self

    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        return [softmax([x, 2 * x, -x], axis=1)[: 1 + int(abs(x[0])) % 3] for x in np.asarray(X, dtype=np.float64)]

    def detect(self, X: Any) -> list[dict[str, NDArray[np.float64]]]:
        return list(self.iter_proposals(X))

    def iter_proposals(self, X: Any) -> Iterator[dict[str, NDArray[np.float64]]]:
        for x, proba in zip(np.asarray(X, dtype=np.float64), self.predict_proba(X)):
            yield _located(proba, x)


def _located(proba: NDArray[np.float64], x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Boxes of these distributions, each some way from its proposal."""
    proposals = np.tile([0.0, 0.0, 4.0, 4.0], (len(proba), 1)) + np.arange(len(proba))[:, None]
    return {"boxes": proposals + np.abs(np.sin(x[:1])), "scores": proba.max(axis=1), "proposals": proposals}


class Constant:
    """A linear classifier of two classes, whatever it has seen."""

    def __init__(self, n_features: int) -> None:
        self.coef_ = np.vstack([np.zeros(n_features), np.full(n_features, 0.1)])
        self.intercept_ = np.zeros(2)
        self.classes_ = np.arange(2)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        return softmax(np.asarray(X) @ self.coef_.T, axis=1)


class World:
    """Data, and a model that supplies all that a strategy requires.

    Attributes
    ----------
    X, y, pool, y_pool : ndarray
        24 labelled samples of 3 classes and a pool of 60, with 4 features.
    estimator : estimator
        Not fitted; of a committee, its members'.
    kind : {"classifier", "detector", "committee"}
    """

    def __init__(self, strategy: QueryStrategy) -> None:
        X, y = make_blobs(84, centers=3, n_features=4, cluster_std=4.0, random_state=0)
        self.X, self.y, self.pool, self.y_pool = X[:24], y[:24], X[24:], y[24:]
        self.kind: str = "classifier"
        if "boxes" in flat(strategy.requires):
            self.kind, self.estimator = "detector", Detector()
            return
        for make in (_linear, _forest, _dropout_net):
            self.estimator = make()
            # Only a net that is built shows its dropout layers.
            if self.serves(strategy, clone(self.estimator).fit(self.X, self.y)):
                return
        self.kind, self.estimator = "committee", _linear()

    @staticmethod
    def serves(strategy: QueryStrategy, model: Any) -> bool:
        """Whether `model` supplies all that the strategy requires, the labelled data given."""
        known = Unwrapped(model).model
        return all(
            any(part == "labeled" or known.supplies(part) for part in member.split("|")) for member in strategy.requires
        )

    def learner(self, strategy: Any, make: Callable[..., Any] = ActiveLearner, **changed: Any) -> Any:
        """A taught learner: `changed` are its estimator, `X_training` or `y_training`."""
        parts = {"estimator": self.estimator, "X_training": self.X, "y_training": self.y} | changed
        if self.kind == "committee":
            halves = (slice(None, None, 2), slice(1, None, 2))
            learner = Committee(
                [
                    ActiveLearner(clone(parts["estimator"]), X_training=parts["X_training"][rows],
                                  y_training=parts["y_training"][rows])
                    for rows in halves
                ],
                strategy,
            )  # fmt: skip
        else:
            learner = make(clone(parts.pop("estimator")), query_strategy=strategy, **parts)
        # Some strategies need to know the number of rounds.
        learner.n_rounds = 4
        return learner


def _linear() -> Any:
    return LogisticRegression(max_iter=200)


def _forest() -> Any:
    return RandomForestClassifier(5, max_depth=3, random_state=0)


class DropoutNet(nn.Sequential):
    """What has both a head and several opinions."""

    def __init__(self, n_classes: int = 3) -> None:
        super().__init__(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, n_classes))


def _dropout_net() -> Any:
    from ..nets import DeepClassifier

    return DeepClassifier(DropoutNet, max_epochs=2, lr=0.1, random_state=0)


def seeded(strategy: QueryStrategy, seed: Any = 0) -> Any:
    """The strategy with a seed, where it takes one."""
    return (
        strategy.with_params({"random_state": seed}) if "random_state" in strategy.get_params(deep=False) else strategy
    )


def flat(requires: tuple[str, ...]) -> set[str]:
    """All members that are named, either of "a|b" among them."""
    return {part for member in requires for part in member.split("|")}


def asks_again(strategy: QueryStrategy) -> bool:
    """Whether more than one pass over the pool is what the strategy, or one inside it, is made of."""
    inside = [strategy, *(value for value in strategy.get_params().values() if isinstance(value, QueryStrategy))]
    return bool(flat(strategy.requires) & _SEVERAL) or not all(part.one_pass for part in inside)


def wraps_a_function(strategy: QueryStrategy) -> bool:
    """Whether a plain query function is a parameter: nobody knows what that needs."""
    for value in strategy.get_params(deep=False).values():
        while isinstance(value, functools.partial):
            value = value.func
        if callable(value) and not isinstance(value, QueryStrategy) and not hasattr(value, "strategy_class"):
            return True
    return False


def fakes(strategy: QueryStrategy, *, without: str = "") -> Iterator[FakePool]:
    """A pool that offers exactly what the strategy requires, less one member; of "a|b" with either, one by one."""
    for chosen in itertools.product(*(member.split("|") for member in strategy.requires)):
        # What is labelled is given where it is named, or where a model is trained on it.
        is_taught = without != "labeled" and not {"labeled", "clones", "snapshots"}.isdisjoint(chosen)
        yield _fake(set(chosen), is_taught, frozenset(without.split("|")))


def _fake(offers: set[str], is_taught: bool, withheld: frozenset[str]) -> FakePool:
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((3, 4)), rng.standard_normal(3)
    if "linear_head" in offers or "head" in offers:
        # A head is told with its two sides.
        offers |= {"head", "embeddings", "logits"}

    def proba(X: ArrayLike) -> NDArray[np.float64]:
        return softmax(np.asarray(X) @ weight.T + bias, axis=1)

    def numbers(n: int) -> dict[str, Any]:
        X = rng.standard_normal((n, 4))
        several = [softmax(rng.standard_normal((n, 3)), axis=1) for _ in range(30)]
        boxes = [softmax(rng.standard_normal((k % 3, 3)), axis=1) for k in range(n)]
        names = ("opinions", "members", "clones", "perturbed", "snapshots")
        return {
            "X": X, "proba": proba, "embeddings": X, "head": (weight, bias), "classes": np.arange(3),
            "boxes": boxes, "detections": [_located(p, x) for p, x in zip(boxes, X)],
            **{name: several for name in names if name in offers},
        }  # fmt: skip

    labeled = FakePool(**numbers(9), y=np.arange(9) % 3) if is_taught else None
    pool = FakePool(**numbers(24), labeled=labeled, n_rounds=4)
    for view in (pool, labeled):
        if view is not None:
            view.model.offers = frozenset(offers) - withheld
    return pool
