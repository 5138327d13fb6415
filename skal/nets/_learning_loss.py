"""Learning loss as the paper has it: a module that is trained with the network, to predict its losses."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F

from ..models import LayerWatch, last_linear
from ..utils._compat import Interval, plain_module, predict_nonlinearity, validate_parameter_constraints
from ..utils._random import make_generator, sklearn_seed
from ..utils._torch import first_output, torch_rng
from ._loss_prediction import LossModule, pair_loss

__all__ = ["LearningLossCallback"]


@dataclass
class _Run:
    """One training: where its module is, and how far it has come."""

    watch: LayerWatch
    first_epoch: int
    module: LossModule | None = None
    optimizer: Any = None
    losses: list[float] = field(default_factory=list)


class LearningLossCallback(Callback):
    """Trains, with a network, a module that predicts the network's loss on each sample from some of its layers.

    The joint form of learning loss: its gradients reach the network's layers, too. `skal.strategies.LearningLoss` uses
    the module, where the network that it is asked about was trained with it.

    Parameters
    ----------
    layers : sequence of str, str or None, default=None
        Dotted names of the submodules whose outputs (n, channels, ...) the module sees, averaged over positions; None:
        what enters the last linear layer alone. With ``freeze="backbone"`` those of the head.
    hidden : int >= 1, default=128
        Units for each layer.
    margin : float > 0, default=1.0
        By how much the predictions of two samples should differ.
    weight : float >= 0, default=1.0
        Of the pair loss, beside the network's own.
    detach_after : float in [0, 1], default=0.6
        Part of the epochs after which the module's gradients no longer reach the network.
    lr : float in (0, 1], default=1e-3
        Learning rate of Adam, by which the module is trained.
    weight_decay : float in [0, 1], default=5e-4
    random_state : int, RandomState or None, default=None
        Seeds the module; None: of torch's generator as the network has seeded it.

    Attributes
    ----------
    module_ : LossModule
        After training; on the CPU.

    Raises
    ------
    ValueError
        At the beginning of `fit`: a parameter out of range, a layer that is none. In training: a layer that does not
        run, or whose output is not (n, channels, ...).

    Notes
    -----
    The loss of a batch is mean(CE) + `weight` * `skal.nets.LossPredictor`'s pair loss of the batch as it comes, the
    true losses being each sample's cross-entropy; a last batch of one sample has no pair. The network's ``history`` has
    the mean of each epoch as "pair_loss". Every `fit` begins with a new module, `partial_fit` goes on with the old one.
    A training that fails leaves the module of the last one.

    Differences from the reimplementation that is in wide use, which was read: Adam for the module, where that has the
    network's SGD and its schedule; layers are named by the user; odd batches are allowed.

    Memory and time: the layers' averages of one batch, and the module's d hidden weights; no pass of its own.

    References
    ----------
    D. Yoo and I. S. Kweon, "Learning loss for active learning", CVPR 2019, arXiv 1905.03677.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> from skal.nets import DeepClassifier, LearningLossCallback
    >>> from skal.strategies import LearningLoss
    >>> X, y = load_digits(return_X_y=True)
    >>> body = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10))
    >>> net = DeepClassifier(body, callbacks=[LearningLossCallback(layers=["1", "3"])], random_state=0)
    >>> net = net.fit(X[:100] / 16, y[:100])
    >>> query_idx, scores = LearningLoss().select(net, X[100:] / 16, 5, X_training=X[:100] / 16, y_training=y[:100])
    >>> bool((scores[:-1] >= scores[1:]).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "layers": [str, "array-like", None],
        "hidden": [Interval(Integral, 1, None, closed="left")],
        "margin": [Interval(Real, 0, None, closed="neither")],
        "weight": [Interval(Real, 0, None, closed="left")],
        "detach_after": [Interval(Real, 0, 1, closed="both")],
        "lr": [Interval(Real, 0, 1, closed="right")],
        "weight_decay": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        layers: Sequence[str] | str | None = None,
        hidden: int = 128,
        margin: float = 1.0,
        weight: float = 1.0,
        detach_after: float = 0.6,
        lr: float = 1e-3,
        weight_decay: float = 5e-4,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.layers = layers
        self.hidden = hidden
        self.margin = margin
        self.weight = weight
        self.detach_after = detach_after
        self.lr = lr
        self.weight_decay = weight_decay
        self.random_state = random_state

    @property
    def predicts_losses(self) -> bool:
        """Whether there is a module to predict with."""
        return "module_" in self.__dict__

    def __getstate__(self) -> dict[str, Any]:
        # Without what a training has left that failed: its hooks can be neither pickled nor copied.
        return {name: value for name, value in self.__dict__.items() if name != "run_"}

    def predict(self, features: Sequence[NDArray]) -> NDArray[np.float64]:
        """Predicted losses, of which only the order means anything.

        Parameters
        ----------
        features : list of ndarrays of shape (n, d_l)
            What `layers` give, in their order.

        Returns
        -------
        ndarray of shape (n,), float64

        Raises
        ------
        NotFittedError
            No network was trained with this callback.
        """
        if not self.predicts_losses:
            raise NotFittedError(
                "This LearningLossCallback has predicted nothing yet: fit a network with it in callbacks=."
            )
        with torch.no_grad():
            return self.module_([torch.as_tensor(rows, dtype=torch.float32) for rows in features]).double().numpy()

    # -- what skorch calls -----------------------------------------------------------------------------------------

    def initialize(self) -> LearningLossCallback:
        """Check the parameters."""
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(deep=False), caller_name=type(self).__name__
        )
        return self

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Watch the layers, and add the pair loss to the network's own."""
        self._leave(net)  # what a training has left that failed
        module = plain_module(net)
        if self.layers is not None:
            watch = LayerWatch(module, self.layers)
        else:
            head = getattr(net, "head_name_", None) or last_linear(module)
            if head is None:
                raise ValueError(
                    f"LearningLossCallback needs layers= for {type(module).__name__}, which holds no nn.Linear."
                )
            watch = LayerWatch(module, [head], inputs=True)
        self.run_ = _Run(watch, len(net.history))
        watch.__enter__()
        own = net.get_loss

        def get_loss(y_pred: Any, y_true: Any, *args: Any, training: bool = False, **kwargs: Any) -> torch.Tensor:
            loss = own(y_pred, y_true, *args, training=training, **kwargs)
            return loss + self.weight * self._pair_loss(net, y_pred, y_true) if training else loss

        net.__dict__["get_loss"] = get_loss

    def on_grad_computed(self, net: Any, *args: Any, training: bool = False, **kwargs: Any) -> None:
        """Move the module, as the network is about to be."""
        if training and self.run_.optimizer is not None:
            self.run_.optimizer.step()

    def on_epoch_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        """Write the epoch's mean into the history."""
        net.history.record("pair_loss", float(np.mean(self.run_.losses)) if self.run_.losses else 0.0)
        self.run_.losses.clear()

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Keep the module; the network is as if it had never been watched."""
        if self.run_.module is not None:
            self.module_ = self.run_.module.cpu().eval()
        self._leave(net)

    def _leave(self, net: Any) -> None:
        run = self.__dict__.pop("run_", None)
        if run is not None:
            run.watch.__exit__()
        net.__dict__.pop("get_loss", None)

    # -- the loss --------------------------------------------------------------------------------------------------

    def _pair_loss(self, net: Any, y_pred: Any, y_true: Any) -> torch.Tensor:
        run, features = self.run_, [rows.float() for rows in self.run_.watch.take()]
        epoch = len(net.history) - 1 - run.first_epoch
        if epoch >= self.detach_after * net.max_epochs:
            features = [rows.detach() for rows in features]
        if run.module is None:
            run.module = self._module(net, features)
            run.optimizer = torch.optim.Adam(run.module.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        run.optimizer.zero_grad()
        with torch.no_grad():
            true = _losses(net, first_output(y_pred), y_true)
        loss = pair_loss(run.module(features), true, self.margin)
        run.losses.append(float(loss.detach()))
        return loss

    def _module(self, net: Any, features: list[torch.Tensor]) -> LossModule:
        widths = [rows.shape[1] for rows in features]
        known = self.__dict__.get("module_")
        if self.run_.first_epoch and known is not None and known.widths == tuple(widths):
            return copy.deepcopy(known).train().to(features[0].device)
        seed = None if self.random_state is None else sklearn_seed(make_generator(self.random_state))
        with torch_rng(seed, device=net.device):
            return LossModule(widths, self.hidden).to(features[0].device)


def _losses(net: Any, output: torch.Tensor, y_true: Any) -> torch.Tensor:
    """Cross-entropy of each row of a batch."""
    target = torch.as_tensor(y_true, device=output.device).long()
    if isinstance(net.criterion_, nn.CrossEntropyLoss):
        return F.cross_entropy(output, target, reduction="none")
    proba = predict_nonlinearity(net)(output).clamp_min(torch.finfo(output.dtype).tiny)
    return F.nll_loss(proba.log(), target, reduction="none")
