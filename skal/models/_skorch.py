"""skorch networks, recognised by what they can do: one forward pass that yields what is wanted.

Nothing here changes a net: hooks, train/eval modes and generators are put back, also after an error.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import validate_data
from skorch.callbacks import Callback
from skorch.dataset import unpack_data
from torch import nn
from torch.nn import functional as F

from ..rows import column_names, n_rows, net_input
from ..utils._compat import Dropout, net_parts, plain_module, predict_nonlinearity, set_training
from ..utils._random import sklearn_seed
from ..utils._torch import first_output, inference, kept_modes, torch_rng
from ._base import Head, Model, Outputs, register_model
from ._clones import opinion_of, points, seeded_clone, train
from ._collected import Collected
from ._detector import is_detector
from ._heads import Calls, find_submodule, last_linear
from ._layers import LayerWatch, joined
from ._linear import weight_noise

__all__ = ["SkorchModel", "casting", "is_plain_net", "is_skorch", "net_head", "net_labels", "net_outputs"]

# The head that a run has shown, of each module, by its dotted name.
_HEAD_NAMES: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def is_skorch(estimator: Any) -> bool:
    """Whether `estimator` is a skorch net, fitted or not, by what it can do."""
    methods = ("initialize", "initialize_module", "forward_iter", "get_iterator", "infer")
    return (
        not isinstance(estimator, type)
        and all(callable(getattr(estimator, method, None)) for method in methods)
        and hasattr(estimator, "module")
    )


def is_plain_net(estimator: Any) -> bool:
    """A skorch net that leaves dtypes to its user; `DeepClassifier` and `DeepDetector` cast by themselves."""
    return is_skorch(estimator) and not hasattr(estimator, "embed") and not is_detector(estimator)


class SkorchModel(Model):
    """Members of a network; embeddings are what enters its head.

    The head is the submodule that `embedding_layer` names where the net has such an attribute; else the last
    `nn.Linear` that a run shows to give the logits, whatever wraps it; else the innermost submodule with a weight that
    does. It is looked for, and checked, on the first batch of each call.
    """

    offers = frozenset(
        {"proba", "logits", "embeddings", "head", "linear_head", "opinions", "perturbed", "snapshots", "input_gradient"}
        | {"layers", "predicted_losses"}
    )
    joint = True

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        module = plain_module(estimator) if self.is_fitted() else estimator.module
        parts = list(module.modules()) if isinstance(module, nn.Module) else []
        self.reads_tokens = any(isinstance(part, (nn.Embedding, nn.EmbeddingBag)) for part in parts)
        # The features of a frozen backbone are stored and shared: they must not depend on a mask.
        frozen = self.is_fitted() and getattr(estimator, "freeze", None) == "backbone"
        drop = net_head(estimator).modules() if parts and frozen else parts
        # The dropout layers that do something.
        self._dropout = [layer for layer in drop if isinstance(layer, Dropout) and layer.p > 0]
        absent = {"opinions"} if not self._dropout else set()
        if not hasattr(estimator, "input_gradient"):
            absent.add("input_gradient")
        # The callback that has learned, beside the network, to predict its losses.
        callbacks = (part for _, part in getattr(estimator, "callbacks_", []))
        self._losses = next((part for part in callbacks if getattr(part, "predicts_losses", False)), None)
        if self._losses is None:
            absent.add("predicted_losses")
        self.offers = type(self).offers - absent

    def advice(self, member: str) -> str:
        if member not in ("logits", "embeddings", "head", "linear_head"):
            return super().advice(member)
        if not hasattr(self.estimator, "embedding_layer"):
            return (
                "Its module must end in a layer that maps embeddings (n, d) to the logits: end it in torch.nn.Linear, "
                "or use skal.nets.DeepClassifier, whose embedding_layer= names that layer."
            )
        return (
            "No layer of its module maps embeddings (n, d) to the logits whose softmax is predict_proba, or not the "
            "one in embedding_layer=: name the one that does in embedding_layer=, or end the module in such a layer."
        )

    def is_fitted(self) -> bool:
        # Older skorch does not tell scikit-learn.
        return bool(getattr(self.estimator, "initialized_", False))

    @property
    def batch_size(self) -> int:
        size = getattr(self.estimator, "iterator_valid__batch_size", self.estimator.batch_size)
        return size if isinstance(size, int) and size > 0 else 1

    def n_columns(self) -> int | None:
        # A plain net's classes_ are the labels it has seen, and not its module's outputs.
        return getattr(self.estimator, "n_outputs_", None)

    def outputs(self, X: Any, want: Collection[str]) -> Outputs:
        return Outputs(**{member: values.numpy() for member, values in self.tensors(X, want, 0).items()})

    def accelerator(self) -> torch.device | None:
        if not self.is_fitted():
            return None
        device = next((parameter.device for parameter in plain_module(self.estimator).parameters()), None)
        return None if device is None or device.type == "cpu" else device

    def tensors(self, X: Any, want: Collection[str], room: int) -> dict[str, torch.Tensor]:
        found = net_tensors(self.estimator, X, want, strict=True, room=room)
        for member in ("logits", "embeddings"):
            if member in want and member not in found:
                raise self.lacks(member)
        return found

    def cold_embeddings(self, X: Any) -> NDArray | None:
        """Those of a frozen backbone; what a network has not learned yet tells nothing."""
        if getattr(self.estimator, "freeze", None) != "backbone":
            return None
        net = clone(self.estimator)
        # The width of the head is not known yet, and does not matter.
        net.set_params(**({"classes": (0, 1)} if net.classes is None else {}))
        return net.initialize().embed(X)

    def head(self) -> Head:
        module = net_head(self.estimator)
        if isinstance(module, nn.Linear):
            with kept_modes(module):
                # In training a spectral norm is another one each time that the weight is read.
                weight = module.eval().weight.detach().cpu().double().numpy()
            bias = np.zeros(len(weight)) if module.bias is None else module.bias.detach().cpu().double().numpy()
            return Head(weight=weight, bias=bias)
        return Head(_float64_copy(module))

    def input_gradient(self, X: Any, y: Any) -> NDArray:
        if "input_gradient" not in self.offers:
            raise self.lacks("input_gradient")
        return self.estimator.input_gradient(X, y)

    def layers(
        self, X: Any, names: Sequence[str] | str, columns: NDArray[np.int64] | None = None
    ) -> tuple[list[NDArray], list[NDArray]]:
        return layer_outputs(self.estimator, X, names, columns)

    def predicted_losses(self, X: Any) -> NDArray:
        if self._losses is None:
            raise self.lacks("predicted_losses")
        if self._losses.layers is None:
            return self._losses.predict([np.asarray(self.answers(X, {"embeddings"}).embeddings)])
        return self._losses.predict(self.layers(X, self._losses.layers)[0])

    # -- opinions ------------------------------------------------------------------------------------------------

    def opinions(self, X: Any, n: int, rng: np.random.Generator) -> Iterator[NDArray]:
        if not self._dropout:
            raise self.lacks("opinions")
        X = _behind_backbone(self.estimator, net_input(X, plain_module(self.estimator)))
        return (_dropout_proba(self.estimator, self._dropout, X, sklearn_seed(rng)) for _ in range(n))

    def perturbed(self, X: Any, n: int, scale: float, rng: np.random.Generator) -> Iterator[NDArray]:
        """Of all parameters named `weight` that training may change; biases stay."""
        module = copy.deepcopy(plain_module(self.estimator))
        twin = _twin(self.estimator, module)
        parts = (getattr(part, "weight", None) for part in module.modules())
        weights = {part for part in parts if isinstance(part, nn.Parameter) and part.requires_grad}
        # In the order of the module, which a set does not keep.
        pairs = [(part, part.detach().clone()) for part in module.parameters() if part in weights]
        X = _behind_backbone(self.estimator, X)
        for _ in range(n):
            with torch.no_grad():
                for weight, clean in pairs:
                    noise = torch.from_numpy(weight_noise(clean.double().cpu().numpy(), scale, rng))
                    weight.copy_(clean + noise.to(clean))
            yield np.asarray(net_outputs(twin, X, {"proba"}).proba)

    def snapshots(
        self,
        X: Any,
        X_labeled: Any,
        y: NDArray,
        classes: NDArray,
        n: int,
        rng: np.random.Generator,
        see: Callable[[NDArray], None],
    ) -> None:
        seed = sklearn_seed(rng)
        member = seeded_clone(self, classes, None)
        callbacks = member.callbacks if isinstance(member.callbacks, (list, tuple)) else []
        pool: list[Any] = []

        def look(net: Any) -> None:
            # What is frozen is the same in each epoch.
            pool[:] = pool or [_behind_backbone(net, X)]
            see(opinion_of(net, pool[0], classes))

        watch = _Watch(points(member.max_epochs, n), look)
        # Not by set_params, which fails where callbacks were disabled.
        member.callbacks = [*callbacks, ("watch_training", watch)]
        train(self, member, X_labeled, y, seed)

    def clone_params(self, member: Any, classes: NDArray) -> dict[str, Any]:
        changed: dict[str, Any] = {"verbose": 0}
        if "classes" in member.get_params(deep=False) and member.classes is None:
            # A clone need not see every class.
            changed["classes"] = classes.tolist()
        return changed

    def fit_clone(self, member: Any, X: Any, y: NDArray, seed: int) -> None:
        with torch_rng(seed, device=member.device):
            member.fit(net_input(X, plain_module(self.estimator)), net_labels(y) if is_plain_net(member) else y)


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


def _twin(net: Any, module: nn.Module, **changed: Any) -> Any:
    """A net that shares everything with `net` but the module, and what is `changed`."""
    twin = object.__new__(type(net))
    twin.__dict__.update(net.__dict__, module_=module, **changed)
    return twin


def _behind_backbone(net: Any, X: Any) -> Any:
    """`X`, or what a frozen backbone makes of it, for any number of passes through the head; it runs once, here."""
    if getattr(net, "freeze", None) != "backbone":
        return X
    _check_names(net, X)
    return net.get_dataset(X)


def _check_names(net: Any, X: Any) -> None:
    if hasattr(net, "feature_names_in_") and column_names(X) is not None:
        validate_data(net, X, reset=False, skip_check_array=True)


def _dropout_proba(net: Any, layers: Sequence[nn.Module], X: Any, seed: int) -> NDArray:
    """One pass in eval mode, but for `layers`, which drop."""

    def switch_on(layer: nn.Module, args: tuple[Any, ...]) -> None:
        layer.training = True

    handles = [layer.register_forward_pre_hook(switch_on) for layer in layers]
    try:
        # What torch.compile wraps, since that does not heed hooks set later.
        found = _one_pass(_twin(net, plain_module(net)), X, {"proba"}, seed=seed)
    finally:
        for handle in handles:
            handle.remove()
    return np.asarray(found and found["proba"])


def _float64_copy(module: nn.Module) -> nn.Module:
    twin = copy.deepcopy(module).cpu().double().eval()
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
    return twin


def net_outputs(
    net: Any, X: Any, want: Collection[str] = ("proba", "logits", "embeddings"), *, strict: bool = False
) -> Outputs:
    """What is wanted of `X` in ONE forward pass of a fitted skorch classifier.

    `proba` is what the net itself makes of the module's (first) output; `embeddings` and `logits` are input and output
    of the head (see `SkorchModel`).

    Parameters
    ----------
    net : fitted skorch classifier
    X : n samples, see `skal.rows.net_input`
    want : collection of "proba", "logits", "embeddings"
        What is not wanted is neither kept nor copied off the device.
    strict : bool, default=False
        Whether to stop after the first batch where that shows no head, with nothing.

    Returns
    -------
    Outputs
        embeddings (n, d), logits (n, C), proba (n, C), in the module's float dtype. Embeddings and logits are None
        where no part of the module satisfies softmax(head(embeddings)) = proba: two heads, sigmoid outputs, embeddings
        with more than two axes.

    Raises
    ------
    NotFittedError
        The net is not initialized.
    ValueError
        `X` is empty, or `embedding_layer` names no submodule.
    """
    found = net_tensors(net, X, want, strict=strict)
    return Outputs(**{member: values.numpy() for member, values in found.items()})


def net_tensors(
    net: Any, X: Any, want: Collection[str], *, strict: bool = False, room: int = 0
) -> dict[str, torch.Tensor]:
    """`net_outputs` as tensors: on the net's device, as far as they take at most `room` bytes there."""
    net.check_is_fitted()
    _check_names(net, X)
    module = plain_module(net)
    if not hasattr(net, "embed"):
        # `DeepClassifier` casts by itself.
        X = net_input(X, module)
    wanted = set(want)
    found = None if wanted <= {"proba"} else _through_head(net, X, module, wanted, room)
    if found is None:
        found = {} if strict and wanted - {"proba"} else _one_pass(net, X, wanted & {"proba"}, room=room)
    return found or {}


def _through_head(net: Any, X: Any, module: nn.Module, wanted: set[str], room: int) -> dict[str, torch.Tensor] | None:
    """What is wanted, by the head that is given, or that an earlier run showed, or that this one shows; None where none
    is the head."""
    # torch.compile does not heed hooks set after it.
    net = net if module is net.module_ else _twin(net, module)
    given = getattr(net, "embedding_layer", None)
    known = _HEAD_NAMES.get(module, getattr(net, "head_name_", None)) if given is None else given
    found = None if known is None else _one_pass(net, X, wanted, Calls(module, known), room=room)
    return _one_pass(net, X, wanted, Calls(module), room=room) if found is None and given is None else found


def _one_pass(
    net: Any, X: Any, wanted: set[str], heads: Calls | None = None, seed: int | None = None, room: int = 0
) -> dict[str, torch.Tensor] | None:
    """What is wanted, in one pass; None where the first batch shows that none of `heads` is the head.

    On the host but for what takes at most `room` bytes of the net's device. Nothing here waits for the device, but the
    first batch, and the copies to the host in pieces.
    """
    to_proba = predict_nonlinearity(net)
    found: dict[str, Collected] = {}
    is_first, n = True, n_rows(X)
    if n == 0:
        raise ValueError(f"X must hold at least one sample. Got an empty X for {type(net).__name__}.")
    watch, parts = nullcontext() if heads is None else heads, net_parts(net)
    with torch_rng(seed, device=net.device), kept_modes(*parts), inference(*parts), watch:
        for output in net.forward_iter(X, device=net.device):
            seen: dict[str, Any] = {}
            if "proba" in wanted or is_first:
                seen["proba"] = to_proba(output if isinstance(output, torch.Tensor) else first_output(output))
            if heads is not None:
                if is_first:
                    name = heads.settle(seen["proba"])
                    if name is None:
                        return None
                    _HEAD_NAMES[heads.module] = name
                seen |= heads.seen[-1][1]
                heads.seen.clear()
            for member in sorted(wanted):
                if is_first:
                    found[member] = Collected(n, room - sum(other.nbytes_there for other in found.values()))
                found[member].add(seen[member])
            is_first = False
    for rows in found.values():
        if rows.n_added != n:
            raise ValueError(
                f"{type(net).__name__} must give one row for each sample in prediction. Got {rows.n_added} rows for "
                f"{n} samples: its module must keep the rows of a batch, and iterator_valid__drop_last be False."
            )
    return {member: rows.values for member, rows in found.items()}


def layer_outputs(
    net: Any, X: Any, names: Sequence[str] | str, columns: NDArray[np.int64] | None = None
) -> tuple[list[NDArray], list[NDArray]]:
    """What `Model.layers` says, by one pass in eval mode through the whole module, a frozen backbone included."""
    net.check_is_fitted()
    _check_names(net, X)
    module = plain_module(net)
    twin = _twin(net, module, **({"freeze": None} if hasattr(net, "freeze") else {}))
    X = X if hasattr(net, "embed") else net_input(X, module)
    with_gradients, start = columns is not None, 0
    outputs: list[list[torch.Tensor]] = []
    gradients: list[list[torch.Tensor]] = []
    watch = LayerWatch(module, names, shifts=with_gradients)
    with torch_rng(device=net.device), kept_modes(*net_parts(net)), watch, torch.set_grad_enabled(with_gradients):
        for batch in twin.get_iterator(twin.get_dataset(X), training=False):
            set_training(twin, False)
            output = first_output(twin.infer(unpack_data(batch)[0]))
            outputs.append([rows.detach().cpu() for rows in watch.take()])
            if columns is not None:
                target = torch.as_tensor(columns[start : start + len(output)], device=output.device)
                gradients.append([rows.cpu() for rows in watch.gradients(_cross_entropy(net, output, target))])
                start += len(output)
    return joined(outputs), joined(gradients)


def _cross_entropy(net: Any, output: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Sum over the rows of -log of the probability of the given class."""
    if isinstance(net.criterion_, nn.CrossEntropyLoss):
        return F.cross_entropy(output, columns, reduction="sum")
    proba = predict_nonlinearity(net)(output).clamp_min(torch.finfo(output.dtype).tiny)
    return F.nll_loss(proba.log(), columns, reduction="sum")


def net_head(net: Any) -> nn.Module:
    """The submodule that maps embeddings to logits, not a copy: callers must not change it.

    It is `net.embedding_layer`, else the one that a pass for embeddings or logits has shown, else (before any) the
    `nn.Linear` that the module registers last.
    """
    net.check_is_fitted()
    module = plain_module(net)
    name = getattr(net, "embedding_layer", None) or _HEAD_NAMES.get(module) or last_linear(module)
    if name is None:
        raise ValueError(f"{type(module).__name__} must hold an nn.Linear to have a head. Got none.")
    return find_submodule(module, name)


# -- plain nets, which leave dtypes to their user --------------------------------------------------------------


def net_labels(y: Any) -> NDArray:
    """A bare skorch network takes only 64-bit integers as class labels."""
    y = np.asarray(y)
    return y.astype(np.int64) if y.dtype.kind in "iub" else y


@contextmanager
def casting(estimator: Any) -> Iterator[None]:
    """Let a plain net at the end of a pipeline take samples of any dtype inside, as a bare one is given them."""
    net = estimator
    while isinstance(net, Pipeline):
        net = net.steps[-1][1]
    if net is estimator or not is_plain_net(net):
        yield
        return
    original = net.get_dataset

    def get_dataset(X: Any, y: Any = None) -> Any:
        module = getattr(net, "module_", net.module)
        return original(net_input(X, module if isinstance(module, nn.Module) else None), y)

    net.__dict__["get_dataset"] = get_dataset
    try:
        yield
    finally:
        net.__dict__.pop("get_dataset", None)


register_model(lambda estimator: is_skorch(estimator) and not is_detector(estimator), SkorchModel)
