"""How a network is built and how data reaches it: head, outputs, frozen backbone, packed batches, weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from numpy.typing import NDArray
from skorch.dataset import Dataset as SkorchDataset
from skorch.dataset import unpack_data
from skorch.utils import to_device, to_tensor
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.utils.data import Dataset, Subset

from ..exceptions import TrainingDivergedError
from ..models import find_submodule, last_linear
from ..rows import feature_shape, is_finite, net_input
from ..utils._compat import BatchNorm, net_parts, plain_module, set_training
from ..utils._torch import first_output, inference, kept_modes, torch_rng
from ..utils._validation import shown
from ._backbone import build_module, built_once, check_images
from ._data import FEATURES, INPUT, WEIGHT, PackedData, detached, entered, in_channels_last, is_packed, uncast
from ._features import backbone_features, fingerprint, parse_bytes
from ._labels import sorted_labels
from ._params import PRECISIONS
from ._probe import BACKBONE_BLOCK, probe_module, run_backbone
from ._repeatable import RepeatableClassifier

__all__ = ["NetPlumbing"]

# What runs of frozen networks have shown.
_PROBED: dict[tuple[Any, ...], tuple[int, str | None]] = {}


class NetPlumbing(RepeatableClassifier):
    """What `DeepClassifier` overrides of skorch beneath its public methods; it sets the parameters."""

    embedding_layer: str | None
    weights: Any
    freeze: str | None
    feature_cache: str | int | None
    # Of nets that were pickled before there were such.
    precision: str | None = None
    channels_last: bool = False
    # What the network turned out to be: number of outputs, dotted name of the head, label of each output.
    n_outputs_: int | None
    head_name_: str | None
    classes_inferred_: NDArray | None

    def initialize_module(self) -> NetPlumbing:
        """Build the module, find its head and the number of its outputs, and freeze what is to be frozen."""
        rows, labels = self.__dict__.get("wanted_", (None, None))
        if self.classes is not None:
            labels = sorted_labels(self.classes, "classes")
        elif labels is None:
            labels = self.__dict__.get("classes_inferred_")
        is_named = isinstance(self.module, str) and self.freeze == "backbone"
        module = (built_once if is_named else build_module)(
            self.module,
            weights=self.weights,
            n_outputs=None if labels is None else len(labels),
            head=self.embedding_layer,
            kwargs=self.get_params_for("module"),
            owner=type(self).__name__,
        )
        self._inspect(module, rows)
        self.module_ = module.to(memory_format=torch.channels_last) if self.channels_last else module
        return self

    def _inspect(self, module: nn.Module, rows: Any) -> None:
        """Learn the head and the number of outputs: from a run over `rows`, else from the module's parts."""
        head = self.embedding_layer or last_linear(module)
        linear = last_linear(module)
        width = None if linear is None else int(module.get_submodule(linear).out_features)  # type: ignore[arg-type]
        if rows is not None:
            if isinstance(self.module, str):
                check_images(module, tuple(feature_shape(rows) or ()))
            width, head = self._probe(module, rows, head)
        self.n_outputs_, self.head_name_ = width, head
        if self.freeze == "backbone":
            if head is None:
                raise ValueError(
                    f"freeze='backbone' needs a head: {type(module).__name__} must hold an nn.Linear, or "
                    "embedding_layer must name the head. Got neither."
                )
            module.requires_grad_(False)
            find_submodule(module, head).requires_grad_(True)

    def _probe(self, module: nn.Module, rows: Any, head: str | None) -> tuple[int, str | None]:
        """Outputs and head as a run shows them; a frozen backbone that has shown them is not run again."""
        if self.freeze is None or head is None or _is_lazy(module):
            return probe_module(module, rows, self.embedding_layer, frozen=self.freeze is not None)
        shapes = [(key, feature_shape(rows[key])) for key in rows] if isinstance(rows, Mapping) else feature_shape(rows)
        key = (fingerprint(module, head), repr(find_submodule(module, head)), repr(shapes), self.embedding_layer)
        if key not in _PROBED:
            if len(_PROBED) >= 1000:
                _PROBED.clear()
            _PROBED[key] = probe_module(module, rows, self.embedding_layer, frozen=True)
        return _PROBED[key]

    def get_all_learnable_params(self) -> Any:
        """Named parameters for the optimizer; with a frozen backbone, only the head's."""
        for name, parameter in super().get_all_learnable_params():
            if self.freeze is None or parameter.requires_grad:
                yield name, parameter

    def _has_batch_norm(self) -> bool:
        # A frozen backbone does not normalize by batches.
        part = self._head() if self.freeze == "backbone" else self.module_
        return any(isinstance(layer, BatchNorm) for layer in part.modules())

    def _head(self) -> nn.Module:
        return find_submodule(plain_module(self), str(self.head_name_))

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """`X` (and codes `y`) as the dataset that skorch iterates over."""
        if isinstance(X, (PackedData, Subset)) and is_packed(X):
            return X
        key = INPUT
        if self.freeze == "backbone":
            samples, key = SkorchDataset(self._features(X)), FEATURES
        elif isinstance(X, Dataset):
            samples = X
        else:
            samples = super().get_dataset(self._prepared(X), y)
            if y is None:
                return samples
        labels, weight = self.__dict__.get("training_", (y, None)) if y is not None else (None, None)
        return PackedData(samples, key, X, y=labels, codes=y, weight=weight)

    def _prepared(self, X: Any) -> Any:
        """`X` as tensors (sharing memory) that `infer` casts; for a user's own dataset class, cast now."""
        return detached(net_input(X, self.module_)) if self.dataset is not SkorchDataset else uncast(X, self.module_)

    def _features(self, X: Any) -> torch.Tensor:
        """Outputs of the frozen backbone, (n, ...) on the CPU."""
        samples = X if isinstance(X, Dataset) else SkorchDataset(self._prepared(X))
        data = PackedData(samples, INPUT, X)
        module = plain_module(self)
        settings = [*sorted(self.get_params_for("module").items()), *([self.precision] if self.precision else [])]
        prefix = fingerprint(module, str(self.head_name_), str(self.device), settings)

        def run(batch: Any) -> torch.Tensor:
            with self._at_precision():
                return run_backbone(module, self._head(), self._entered(batch, module))

        batches = (batch[INPUT] for batch, _ in self.get_iterator(data, training=False))
        with torch_rng(device=self.device), inference(module), kept_modes(module):
            module.eval()
            return backbone_features(
                batches,
                run,
                prefix,
                limit=parse_bytes(self.feature_cache, type(self).__name__),
                block=BACKBONE_BLOCK if torch.device(self.device or "cpu").type == "cpu" else None,
                # The key of a sample is the same, whatever dtype it comes in.
                keyed=lambda batch: net_input(batch, module),
            )

    def _entered(self, x: Any, module: nn.Module) -> Any:
        x = entered(x, module, self.device)
        return in_channels_last(x) if self.channels_last else x

    def _at_precision(self) -> AbstractContextManager[Any]:
        """Mixed precision of the module's device inside, where that is asked for; in training without scaled gradients,
        which half precision would need."""
        if self.precision is None or (self.precision == "fp16" and torch.is_grad_enabled()):
            return nullcontext()
        return torch.autocast(torch.device(self.device or "cpu").type, dtype=PRECISIONS[self.precision])

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Outputs of the module for one batch; of its head alone where the batch holds features."""
        if self.freeze == "backbone" and self.module_.training:
            self.module_.eval()
            self._head().train()
        if isinstance(x, Mapping):
            x = {key: value for key, value in x.items() if key != WEIGHT}
            if FEATURES in x:
                head = self._head()
                with self._at_precision():
                    # Features are kept in float32, also for a module in half precision.
                    return self._of_full_precision(head(entered(x[FEATURES], head, self.device)))
            x = x.get(INPUT, x)
        with self._at_precision():
            output = super().infer(self._entered(x, self.module_), **fit_params)
        # skorch passes tensors and plain tuples on.
        is_passed = isinstance(output, torch.Tensor) or type(output) in (tuple, list)
        return self._of_full_precision(output if is_passed else first_output(output))

    def _of_full_precision(self, output: Any) -> Any:
        """What a module gave in mixed precision, in single precision."""
        if self.precision is None:
            return output
        if type(output) in (tuple, list):
            return type(output)(self._of_full_precision(part) for part in output)
        is_half = isinstance(output, torch.Tensor) and output.is_floating_point() and output.dtype.itemsize < 4
        return output.float() if is_half else output

    def _settle_modes(self, training: bool) -> None:
        """Put all parts into train or eval mode, where one is not in it, or has its own way to be; that is slow."""
        modules = (part for part in net_parts(self) if isinstance(part, nn.Module))
        for part in (part for module in modules for part in module.modules()):
            if part.training is not training or getattr(part.train, "__func__", None) is not nn.Module.train:
                set_training(self, training)
                return

    def evaluation_step(self, batch: Any, training: bool = False) -> Any:
        """Outputs of the module for one batch, in eval mode unless `training`."""
        with torch.set_grad_enabled(training):
            self._settle_modes(training)
            return self.infer(unpack_data(batch)[0])

    def forward_iter(self, X: Any, training: bool = False, device: Any = "cpu") -> Iterator[Any]:
        """Outputs by batches, in single precision at least, since NumPy has no bfloat16; not finite only where weights
        are not.

        On an accelerator that is told of the first batch at once, of the others at the end, which costs no waiting.
        """
        self.check_is_fitted()
        batches = self.get_iterator(self.get_dataset(X), training=False)
        sound: torch.Tensor | None = None
        for batch in batches:
            output = self.evaluation_step(batch, training=training)
            logits = output if isinstance(output, torch.Tensor) else first_output(output)
            now = torch.isfinite(logits).all()
            if (sound is None or now.device.type == "cpu") and not bool(now):
                self._check_batch(batch)
            sound = now if sound is None else sound & now
            if logits.is_floating_point() and logits.dtype.itemsize < 4:
                logits = logits.float()
            yield to_device((logits, *output[1:]) if isinstance(output, tuple) else logits, device=device)
        if sound is not None and sound.device.type != "cpu" and not bool(sound):
            for batch in batches:
                self._check_batch(batch)

    def _check_batch(self, batch: Any) -> None:
        """Raise where the samples of a batch are to blame for what the module made of them.

        Samples of a Dataset are seen here for the first time, and others are looked at only when something is wrong.
        """
        samples = unpack_data(batch)[0]
        if not is_finite(samples):
            raise ValueError(f"X contains NaN or infinity: {type(self).__name__} takes samples of finite numbers only.")

    def _check_first_output(self, output: torch.Tensor) -> None:
        """Whether the module outputs what the criterion takes, seen in the first batch of training."""
        by = type(self.module_).__name__
        if isinstance(self.criterion_, nn.NLLLoss) and bool((output < 0).any()):
            raise ValueError(
                f"With nn.NLLLoss, {by} must output probabilities, of which {type(self).__name__} takes the logarithm, "
                "as skorch does. Got negative numbers, such as log-probabilities: use criterion=nn.CrossEntropyLoss, "
                "which takes these and logits."
            )
        is_proba = output.ndim == 2 and output.shape[1] > 1 and bool((output >= 0).all())
        if isinstance(self.criterion_, nn.CrossEntropyLoss) and is_proba:
            sums = output.float().sum(dim=1)
            if bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-3)):
                warnings.warn(
                    f"With nn.CrossEntropyLoss, {by} should output logits. Its outputs are probabilities already, so "
                    "that the softmax is taken twice: leave it out of the module.",
                    UserWarning,
                    stacklevel=2,
                )

    def train_step_single(self, batch: Any, **fit_params: Any) -> Any:
        """Outputs, loss and gradients of one batch, in train mode."""
        self._settle_modes(True)
        x, y = unpack_data(batch)
        y_pred = self.infer(x, **fit_params)
        loss = self.get_loss(y_pred, y, X=x, training=True)
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}

    def train_step(self, batch: Any, **fit_params: Any) -> Any:
        """One step of the optimizer; a loss that is not finite ends the training."""
        try:
            step = super().train_step(batch, **fit_params)
        except (OverflowError, RuntimeError) as error:
            if "overflow" not in str(error) and not isinstance(error, OverflowError):
                raise
            raise ValueError(
                f"The optimizer of {type(self).__name__} has a parameter that is too large, such as "
                f"lr={shown(self.lr)}: {error}"
            ) from error
        loss, output = float(step["loss"].detach()), first_output(step["y_pred"])
        if len(self.history) == 1 and len(self.history[-1, "batches"]) == 1:
            self._check_first_output(output.detach())
        if not math.isfinite(loss):
            self._check_batch(batch)
            raise TrainingDivergedError(
                f"The loss of {type(self).__name__} must be finite. Got {loss} in epoch {len(self.history)}: lower lr, "
                f"which is {self.lr}, or clip gradients with skorch.callbacks.GradientNormClipping."
            )
        return step

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False, **kwargs: Any) -> Any:
        """Mean loss of a batch, weighted where the batch carries weights."""
        y_pred = first_output(y_pred)
        weight = X.get(WEIGHT) if isinstance(X, Mapping) else None
        if weight is None:
            return super().get_loss(y_pred, y_true, X=X, training=training, **kwargs)
        reduction = self.criterion_.reduction
        self.criterion_.reduction = "none"
        try:
            losses = super().get_loss(y_pred, y_true, X=X, training=training, **kwargs)
        finally:
            self.criterion_.reduction = reduction
        weight = to_tensor(weight, device=losses.device).to(losses.dtype)
        class_weight = getattr(self.criterion_, "weight", None)
        total = len(losses) if class_weight is None else class_weight[to_tensor(y_true, losses.device)].sum()
        return (weight * losses).sum() / total


def _is_lazy(module: nn.Module) -> bool:
    """Whether a run has yet to give some parameter its shape."""
    return any(isinstance(parameter, UninitializedParameter) for parameter in module.parameters())
