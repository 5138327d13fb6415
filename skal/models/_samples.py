"""Several opinions of one classifier: dropout masks, an ensemble's members, trained clones, noisy weights, training.

Every opinion is an array of class probabilities `(n, n_classes)`. Nothing here changes the classifier: what is trained
or perturbed is a copy, modes and generators are put back.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from ..rows import net_input, take_rows
from ..utils._random import sklearn_seed
from ..utils._torch import kept_modes, torch_rng
from ._adapters import _LinearModel, _MLPModel, model_for
from ._nets import _net_modules, _numpy, _plain_module, is_skorch, net_head, net_outputs

__all__ = ["clone_samples", "noisy_samples", "one_class_proba", "own_samples", "some_of", "spread", "watch_training"]


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


# -- opinions that the fitted classifier has already -----------------------------------------------------------


def own_samples(estimator: Any, X: Any, n: int, rng: np.random.Generator) -> Iterator[NDArray] | None:
    """Up to `n` opinions of the fitted classifier, or None where it has but one.

    A skorch net with dropout gives `n` passes with different masks. An ensemble gives its members, `n` of them at
    random where there are more.
    """
    if is_skorch(estimator):
        layers = _dropout_layers(estimator)
        return _dropout_samples(estimator, layers, X, n, rng) if layers else None
    if isinstance(estimator, VotingClassifier):
        members, features = estimator.estimators_, None
    elif isinstance(estimator, (BaggingClassifier, RandomForestClassifier, ExtraTreesClassifier)):
        members, features = estimator.estimators_, getattr(estimator, "estimators_features_", None)
        X = X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)
    else:
        return None
    if not all(hasattr(member, "predict_proba") for member in members):
        return None
    return _member_samples(estimator, members, features, X, some_of(len(members), n, rng))


def some_of(n_members: int, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of up to `n` members: all of them, or some at random, in order."""
    if n_members <= n:
        return np.arange(n_members)
    return np.sort(rng.choice(n_members, size=n, replace=False))


def _member_samples(
    ensemble: Any, members: list[Any], features: list[NDArray] | None, X: Any, chosen: NDArray
) -> Iterator[NDArray]:
    n_classes = np.arange(len(ensemble.classes_))
    for i in chosen:
        proba = members[i].predict_proba(X if features is None else X[:, features[i]])
        # Members are trained on the positions of the labels in the ensemble's classes_.
        yield spread(proba, np.asarray(members[i].classes_).astype(int), n_classes)


def _dropout_layers(net: Any) -> list[nn.Module]:
    """The dropout layers that do something; of a net with a frozen backbone, those of its head.

    The features of a frozen backbone are stored and shared: they must not depend on a mask.
    """
    part = net_head(net) if getattr(net, "freeze", None) == "backbone" else _plain_module(net)
    return [layer for layer in part.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]


def _dropout_samples(net: Any, layers: list[nn.Module], X: Any, n: int, rng: np.random.Generator) -> Iterator[NDArray]:
    X = net_input(X, _plain_module(net))
    for _ in range(n):
        yield _dropout_proba(net, layers, X, sklearn_seed(rng))


def _dropout_proba(net: Any, layers: list[nn.Module], X: Any, seed: int) -> NDArray:
    """One pass in eval mode, but for `layers`, which drop."""
    nonlinearity = net._get_predict_nonlinearity()

    def switch_on(layer: nn.Module, args: tuple[Any, ...]) -> None:
        layer.training = True

    handles = [layer.register_forward_pre_hook(switch_on) for layer in layers]
    try:
        with torch_rng(seed, device=net.device), kept_modes(*_net_modules(net)), torch.no_grad():
            outputs = net.forward_iter(X)
            probas = [_numpy(nonlinearity(out[0] if isinstance(out, tuple) else out)) for out in outputs]
    finally:
        for handle in handles:
            handle.remove()
    return np.concatenate(probas)


# -- opinions of clones ----------------------------------------------------------------------------------------


def clone_samples(
    estimator: Any,
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
        member = _seeded_clone(estimator, classes, rng)
        _fit(member, estimator, take_rows(X_labeled, rows), y[rows], sklearn_seed(rng))
        yield _opinion(member, X, classes)


def _bootstrap(y: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """As many rows as there are, with replacement; drawn again while they are all of one class."""
    while True:
        rows = rng.integers(len(y), size=len(y))
        if np.any(y[rows] != y[rows[0]]):
            return rows


def _seeded_clone(estimator: Any, classes: NDArray, rng: np.random.Generator | None) -> Any:
    """An unfitted twin that keeps quiet; with `rng`, all its `random_state` are new."""
    member = clone(estimator)
    params = member.get_params(deep=True)
    changed: dict[str, Any] = {}
    if rng is not None:
        keys = sorted(key for key in params if key.split("__")[-1] == "random_state")
        changed = {key: sklearn_seed(rng) for key in keys}
    if is_skorch(member):
        # A clone need not see every class.
        if params.get("classes") is None:
            changed["classes"] = classes.tolist()
        changed["verbose"] = 0
    return member.set_params(**changed) if changed else member


def _fit(member: Any, fitted: Any, X: Any, y: NDArray, seed: int) -> None:
    with warnings.catch_warnings():
        # A member need not be trained to the end.
        warnings.simplefilter("ignore", ConvergenceWarning)
        if is_skorch(member):
            with torch_rng(seed, device=member.device):
                member.fit(net_input(X, _plain_module(fitted)), y)
        else:
            member.fit(X, y)


def _opinion(member: Any, X: Any, classes: NDArray) -> NDArray:
    model = model_for(member)
    proba = model.proba(X)
    return spread(proba, model.classes(proba.shape[1]), classes)


# -- opinions of noisy weights ---------------------------------------------------------------------------------


def noisy_samples(estimator: Any, X: Any, n: int, scale: float, rng: np.random.Generator) -> Iterator[NDArray] | None:
    """Opinions of `n` copies whose weights have Gaussian noise of norm `scale` times their own, or None.

    Of a skorch net all parameters named `weight` that training may change; of `MLPClassifier` its `coefs_`; of linear
    classifiers with softmax their `coef_`. Biases stay.
    """
    if is_skorch(estimator):
        return _noisy_net_samples(estimator, X, n, scale, rng)
    model = model_for(estimator)
    if isinstance(model, _MLPModel) or (
        isinstance(model, _LinearModel) and model.outputs(take_rows(X, np.arange(1))).logits is not None
    ):
        return _noisy_linear_samples(estimator, X, n, scale, rng)
    return None


def _noisy_linear_samples(estimator: Any, X: Any, n: int, scale: float, rng: np.random.Generator) -> Iterator[NDArray]:
    for _ in range(n):
        twin = copy.copy(estimator)
        if hasattr(estimator, "coefs_"):
            twin.coefs_ = [weight + _noise(weight, scale, rng) for weight in estimator.coefs_]
        else:
            twin.coef_ = estimator.coef_ + _noise(estimator.coef_, scale, rng)
        yield twin.predict_proba(X)


def _noise(weight: NDArray, scale: float, rng: np.random.Generator) -> NDArray[np.float64]:
    noise = rng.standard_normal(weight.shape)
    return noise * (scale * np.linalg.norm(weight) / np.linalg.norm(noise))


def _noisy_net_samples(net: Any, X: Any, n: int, scale: float, rng: np.random.Generator) -> Iterator[NDArray]:
    # A net that shares everything but the module, which it may change.
    twin = object.__new__(type(net))
    twin.__dict__.update(net.__dict__)
    module = copy.deepcopy(_plain_module(net))
    twin.__dict__["module_"] = module
    parts = (getattr(part, "weight", None) for part in module.modules())
    weights = {part for part in parts if isinstance(part, nn.Parameter) and part.requires_grad}
    # In the order of the module, which a set does not keep.
    pairs = [(part, part.detach().clone()) for part in module.parameters() if part in weights]
    for _ in range(n):
        with torch.no_grad():
            for weight, clean in pairs:
                noise = torch.from_numpy(_noise(clean.double().cpu().numpy(), scale, rng))
                weight.copy_(clean + noise.to(clean))
        yield net_outputs(twin, X).proba


# -- opinions on the way ---------------------------------------------------------------------------------------


class _Watch(Callback):
    """Calls `see(net)` at the end of some epochs, and of the training, wherever a callback ends it."""

    def __init__(self, epochs: set[int], see: Callable[[Any], None]) -> None:
        self.epochs = epochs
        self.see = see
        self.last_seen = -1

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) in self.epochs:
            self.see(net)
            self.last_seen = len(net.history)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) != self.last_seen:
            self.see(net)


def watch_training(
    estimator: Any,
    X: Any,
    X_labeled: Any,
    y: NDArray,
    classes: NDArray,
    n: int,
    rng: np.random.Generator,
    see: Callable[[NDArray], None],
) -> bool:
    """Train a clone and show `see` its opinions at up to `n` equally spaced points of the training.

    The points are epochs of a skorch net, and iterations of a classifier with `max_iter` and `n_iter_`, which is
    trained anew up to each of them. The clone keeps the estimator's own `random_state`, so that it repeats the
    training of the fitted classifier where that is repeatable. False where the classifier has no such points.
    """
    seed = sklearn_seed(rng)
    if is_skorch(estimator):
        member = _seeded_clone(estimator, classes, None)
        callbacks = member.callbacks if isinstance(member.callbacks, (list, tuple)) else []
        watch = _Watch(_points(member.max_epochs, n), lambda net: see(_opinion(net, X, classes)))
        # Not by set_params, which fails where callbacks were disabled.
        member.callbacks = [*callbacks, ("watch_training", watch)]
        _fit(member, estimator, X_labeled, y, seed)
        return True
    if not (hasattr(estimator, "n_iter_") and hasattr(estimator, "max_iter")):
        return False
    for point in sorted(_points(int(np.max(estimator.n_iter_)), n)):
        member = _seeded_clone(estimator, classes, None)
        unseeded = member.get_params().get("random_state", seed) is None
        member.set_params(max_iter=point, **({"random_state": seed} if unseeded else {}))
        _fit(member, estimator, X_labeled, y, seed)
        see(_opinion(member, X, classes))
    return True


def _points(last: int, n: int) -> set[int]:
    """Up to `n` equally spaced integers in [1, last], the last one among them."""
    return {max(1, round(last * k / n)) for k in range(1, n + 1)}
