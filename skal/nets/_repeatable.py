"""skorch nets that repeat themselves: own seeds, batches in a settled order, "auto" as a device."""

from __future__ import annotations

import copy
import functools
import io
import numbers
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet, NeuralNetClassifier
from skorch.utils import to_device
from torch.utils.data import DataLoader

from ..models import interrupts_pass
from ..utils._compat import BatchNorm, trained_parts
from ..utils._random import make_generator, sklearn_seed
from ..utils._torch import put_back_in_child, resolve_device, torch_rng
from ..utils._validation import shown
from ._data import BatchesInOrder, BatchReader, ShuffledBatches, batch_reader, collate_samples
from ._labels import sorted_labels
from ._params import NET_CONSTRAINTS, check_net_params, made
from ._unchanged import unchanged_on_error

__all__ = ["RepeatableClassifier", "RepeatableNet"]


class RepeatableNet(NeuralNet):
    """A skorch net with `random_state` and `device="auto"`; global generators stay as they were."""

    # Set by subclasses: all labels, as passed; the label of each output, once it is known.
    classes: Any
    classes_inferred_: NDArray | None
    # How a batch of rows is made; None is torch's own way.
    _collate: ClassVar[Callable[..., Any] | None] = None
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = NET_CONSTRAINTS

    def __init__(self, module: Any, *, device: Any = "auto", random_state: Any = None, **kwargs: Any) -> None:
        super().__init__(module, device=device, **kwargs)
        self.random_state = random_state

    @property
    def device(self) -> Any:
        """The device in use; `get_params` keeps what the user wrote."""
        return resolve_device(self.__dict__["device"])

    @device.setter
    def device(self, value: Any) -> None:
        self.__dict__["device"] = value

    def get_params(self, deep: bool = True, **kwargs: Any) -> dict[str, Any]:
        """All parameters by name, as they were passed."""
        params = super().get_params(deep=deep, **kwargs)
        params["device"] = self.__dict__["device"]
        return params

    def set_params(self, **kwargs: Any) -> Any:
        """Set parameters; those of the module rebuild it, with weights from `random_state`."""
        rebuilds = ("module", "criterion", "compile")
        if getattr(self, "initialized_", False) and any(key.startswith(rebuilds) for key in kwargs):
            with self._seeded(0):
                return super().set_params(**kwargs)
        return super().set_params(**kwargs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # skorch reads the device here, to load on a machine without CUDA what was trained on one with it.
        device = state["device"]
        packed = state["__cuda_dependent_attributes__"]
        if packed[:2] == b"PK":
            # Older skorch packs with torch.save, and does not tell torch 2.6 that its pickle holds more than tensors.
            map_location = None if torch.cuda.is_available() else "cpu"
            unpacked = torch.load(io.BytesIO(packed), map_location=map_location, weights_only=False)
            state = {**state, **unpacked}
            del state["__cuda_dependent_attributes__"]
            self.__dict__.update(state)
            return
        super().__setstate__({**state, "device": resolve_device(device)})
        if device == "auto":
            self.__dict__["device"] = device

    def _check_params(self) -> None:
        """Raise where a parameter makes no sense, before any work."""
        check_net_params(self, self._parameter_constraints)
        self._check_random_state()

    def _check_random_state(self) -> None:
        state = self.random_state
        is_seed = isinstance(state, numbers.Integral) and not isinstance(state, bool) and int(state) >= 0
        if not (state is None or is_seed or isinstance(state, np.random.RandomState)):
            raise ValueError(
                f"The 'random_state' parameter of {type(self).__name__} must be None, an integer of 0 or "
                f"more, or a RandomState. Got {shown(state)} instead."
            )

    @contextmanager
    def _seeded(self, *key: int) -> Iterator[None]:
        """Seed all global generators from `random_state` and `key` inside, and put them back afterwards.

        skorch's splits, users' augmentations and torch's weight initialisation know no other generators.
        """
        self._check_random_state()
        seed = sklearn_seed(make_generator(self.random_state, *key))
        with torch_rng(seed, device=self.device):
            numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
            # Python's own generator is seeded anew in every child.
            with put_back_in_child(functools.partial(np.random.set_state, numpy_state)):
                try:
                    np.random.seed(seed)  # noqa: NPY002
                    random.seed(seed)
                    yield
                finally:
                    np.random.set_state(numpy_state)  # noqa: NPY002
                    random.setstate(python_state)

    @contextmanager
    def _unchanged_on_error(self, *, in_place: bool = False) -> Iterator[None]:
        """Put the net back as it was where the block fails or is interrupted; `in_place`, also what training changes
        in its place."""
        names = [f"{name}_" for name in trained_parts(self)] if in_place else []
        # Together, so that the optimizer's parameters stay the module's.
        copies = copy.deepcopy({name: self.__dict__[name] for name in names if name in self.__dict__})
        with unchanged_on_error(self, **copies):
            yield

    def _train_loop(self, X: Any, y: Any = None, **fit_params: Any) -> None:
        """skorch's own loop over the epochs, which Ctrl-C ends as an error does."""
        with interrupts_pass():
            NeuralNet.partial_fit(self, X, y, **fit_params)

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Train from scratch (or further, with `warm_start=True`); what fails leaves the net as it was."""
        # skorch trains the very module that it is given, which may be the one in use.
        with self._unchanged_on_error(in_place=self.initialized_):
            if not (self.warm_start and self.initialized_):
                # A new object, as in `_initialize_anew`.
                self.history_ = None
                self.initialize()
            return self.partial_fit(X, y, **fit_params)

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> Any:
        """Train `max_epochs` further; what fails leaves the net as it was."""
        with self._unchanged_on_error(in_place=self.initialized_):
            self._train_loop(X, y, **fit_params)
        return self

    def initialize_criterion(self) -> Any:
        """Make the criterion; what its class says of wrong parameters comes in one sentence."""
        with made(type(self).__name__, "criterion", self.criterion):
            return super().initialize_criterion()

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Make the optimizer; what its class says of wrong parameters comes in one sentence."""
        with made(type(self).__name__, "optimizer", self.optimizer):
            return super().initialize_optimizer(*args, **kwargs)

    def _initialize_anew(self) -> None:
        """Build all parts with weights from `random_state`, a new history, and no classes yet."""
        # A new object: skorch would empty the old one, which a failing `fit` must keep.
        self.history_ = None
        self.classes_inferred_ = None
        with self._seeded(0):
            super().initialize()

    def _known_classes(self, otherwise: NDArray | None) -> NDArray:
        """The labels of the last fit, those in `classes`, or `otherwise`."""
        fitted = self.__dict__.get("classes_inferred_")
        if fitted is not None:
            return fitted
        if self.classes is not None:
            return sorted_labels(self.classes, "classes")
        if otherwise is None:
            raise AttributeError(f"{type(self).__name__} has no classes_ before fit, unless classes= lists them.")
        return otherwise

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Batches of `dataset`: shuffled in each epoch of training (unless told otherwise), else in order."""
        prefix = "iterator_train" if training else "iterator_valid"
        with made(type(self).__name__, prefix, getattr(self, prefix)):
            return self._iterator(dataset, training, getattr(self, prefix), self.get_params_for(prefix))

    def _iterator(self, dataset: Any, training: bool, make: Any, kwargs: dict[str, Any]) -> Any:
        if self._collate is not None:
            kwargs.setdefault("collate_fn", self._collate)
        elif make is DataLoader:
            kwargs.setdefault("collate_fn", collate_samples)
        if make is DataLoader and kwargs["collate_fn"] is collate_samples:
            dataset = batch_reader(dataset)
        if "batch_sampler" in kwargs:
            return make(dataset, **kwargs)
        if kwargs.setdefault("batch_size", self.batch_size) == -1:
            kwargs["batch_size"] = len(dataset)
        if make is DataLoader and training:
            if "sampler" not in kwargs:
                kwargs.setdefault("shuffle", True)
            if not kwargs.get("drop_last") and self._has_batch_norm():
                kwargs["batch_size"] = _no_single_rest(len(dataset), kwargs["batch_size"])
            is_plain = kwargs.keys() == {"batch_size", "collate_fn", "shuffle"} and kwargs["shuffle"] is True
            if is_plain and isinstance(dataset, BatchReader) and len(dataset):
                batches = ShuffledBatches(dataset, kwargs["batch_size"])
                return make(dataset, batch_sampler=batches, collate_fn=kwargs["collate_fn"])
        elif make is DataLoader:
            if isinstance(dataset, BatchReader) and kwargs.keys() == {"batch_size", "collate_fn"}:
                return BatchesInOrder(dataset, kwargs["batch_size"])
            # Even iterating in order draws a number, by default from the global generator.
            kwargs.setdefault("generator", torch.Generator())
        return make(dataset, **kwargs)

    def _has_batch_norm(self) -> bool:
        return any(isinstance(part, BatchNorm) for part in self.module_.modules())

    def forward_iter(self, X: Any, training: bool = False, device: Any = "cpu") -> Iterator[Any]:
        """Outputs of the module by batches, in the order of `X` (skorch may shuffle if `training`)."""
        self.check_is_fitted()
        for batch in self.get_iterator(self.get_dataset(X), training=False):
            yield to_device(self.evaluation_step(batch, training=training), device=device)


class RepeatableClassifier(RepeatableNet, NeuralNetClassifier):
    """skorch's classifier, repeatable."""


def _no_single_rest(n: int, batch_size: int) -> int:
    """A batch size near `batch_size` that leaves no batch of one, which batch normalization refuses."""
    if n <= 1 or batch_size <= 1 or n % batch_size != 1:
        return batch_size
    smaller = (size for size in range(batch_size - 1, 1, -1) if n % size != 1)
    return next(smaller, n)
