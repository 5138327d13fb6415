"""The loss-prediction module of "Learning loss for active learning", and its training on features that are given."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional as F

from ..rows import flat_numeric, is_finite
from ..utils._arrays import blocks
from ..utils._compat import Interval
from ._training import center_and_scale, check_helper, train, training

__all__ = ["LossModule", "LossPredictor", "pair_loss"]

_ROWS = 65_536


class LossModule(nn.Module):
    """A linear layer and a ReLU for each layer's features, and a linear layer from all of them to one number.

    Parameters
    ----------
    widths : sequence of int
        Number of features of each layer.
    hidden : int, default=128
        Units for each layer.
    """

    def __init__(self, widths: Sequence[int], hidden: int = 128) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.branches = nn.ModuleList(nn.Linear(width, hidden) for width in widths)
        self.last = nn.Linear(len(self.widths) * hidden, 1)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Predicted losses `(n,)` of the features `(n, width)` of each layer."""
        hidden = [F.relu(branch(rows)) for branch, rows in zip(self.branches, features, strict=True)]
        return self.last(torch.cat(hidden, dim=1)).squeeze(1)


def pair_loss(predicted: torch.Tensor, losses: torch.Tensor, margin: float) -> torch.Tensor:
    """How wrongly pairs of a batch are ordered: sample i is compared with the i-th from the end, that in the middle of
    an odd number with none; 0 where there is no pair."""
    half = len(predicted) // 2
    if half == 0:
        return predicted.sum() * 0
    difference = (predicted - predicted.flip(0))[:half]
    sign = torch.where((losses > losses.flip(0))[:half], 1.0, -1.0)
    return F.relu(margin - sign * difference).mean()


class LossPredictor(BaseEstimator):
    """Learns to tell which of two samples has the larger loss, from the features of one or several layers.

    Parameters
    ----------
    hidden : int >= 1, default=128
        Units for each layer.
    margin : float > 0, default=1.0
        By how much the predictions of two samples should differ.
    max_epochs : int >= 1, default=100
    lr : float in (0, 1], default=1e-3
        Learning rate of Adam.
    weight_decay : float in [0, 1], default=5e-4
    batch_size : int >= 2, default=128
        Samples in a batch, half of which are paired with the other half.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one.
    random_state : int, RandomState or None, default=None
        Seeds weights and pairs. An integer gives bit-identical results on a CPU.
    verbose : int or bool, default=0
        1 or more: a progress bar over the epochs.

    Attributes
    ----------
    module_ : LossModule
        The trained network, on the CPU.
    losses_ : list of float
        Mean pair loss of each epoch.

    Raises
    ------
    ValueError, TypeError
        A parameter out of range; features that are not finite numbers (n, d), fewer than two samples, lengths or, in
        `predict`, widths that differ. What an earlier `fit` left stays as it was.
    TrainingDivergedError
        A loss that is not finite.

    Notes
    -----
    With predictions l^ and true losses l of a batch, sample i paired with j = B - 1 - i,

    .. math:: L = \\mathrm{mean}_i \\max\\big(0,\\, m - s_{ij} (\\hat l_i - \\hat l_j)\\big), \\qquad
              s_{ij} = 1 \\text{ where } l_i > l_j, \\text{ else } -1.

    Only the order of predictions means anything, not their values. Each layer's features are standardised by the mean
    and standard deviation of the training samples, which the paper does not do; it trains the module with the network.

    Time: `max_epochs` passes over n (d hidden) numbers. NumPy's and torch's global generators stay as they were.

    References
    ----------
    D. Yoo and I. S. Kweon, "Learning loss for active learning", CVPR 2019, arXiv 1905.03677.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import LossPredictor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> losses = X[:, 0] ** 2
    >>> found = LossPredictor(random_state=0).fit(X[:150], losses[:150]).predict(X[150:])
    >>> bool(np.corrcoef(found, losses[150:])[0, 1] > 0.7)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden": [Interval(Integral, 1, None, closed="left")],
        "margin": [Interval(Real, 0, None, closed="neither")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, 1, closed="right")],
        "weight_decay": [Interval(Real, 0, 1, closed="both")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        hidden: int = 128,
        margin: float = 1.0,
        max_epochs: int = 100,
        lr: float = 1e-3,
        weight_decay: float = 5e-4,
        batch_size: int = 128,
        device: Any = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.hidden = hidden
        self.margin = margin
        self.max_epochs = max_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: ArrayLike) -> LossPredictor:
        """Train on features and losses.

        Parameters
        ----------
        X : array-like of shape (n, d), or list of arrays of shape (n, d_l), one for each layer
        y : array-like of shape (n,)
            The true losses; only their order counts.

        Returns
        -------
        self
        """
        check_helper(self)
        layers = _layers(X)
        losses = np.asarray(y, dtype=np.float64)
        n = len(layers[0])
        if losses.shape != (n,) or not np.isfinite(losses).all():
            raise ValueError(
                f"y must hold one finite loss for each of the {n} samples. Got shape {losses.shape}"
                f"{'' if np.isfinite(losses).all() else ' with NaN or infinity'}."
            )
        if n < 2:
            raise ValueError("LossPredictor learns from pairs: X must hold at least two samples. Got one.")
        means, scales = zip(*map(center_and_scale, layers))
        with training(self, self.random_state) as (device, _):
            inputs = [_standard(*parts, device) for parts in zip(layers, means, scales)]
            # float64: two losses that differ are to stay apart.
            target = torch.from_numpy(losses).to(device)
            module = LossModule([rows.shape[1] for rows in inputs], self.hidden).to(device)
            self.losses_ = self._train(module, inputs, target)
            self.module_, self.means_, self.scales_ = module.cpu().eval(), means, scales
        return self

    def _train(self, module: LossModule, inputs: list[torch.Tensor], target: torch.Tensor) -> list[float]:
        optimizer = torch.optim.Adam(module.parameters(), lr=self.lr, weight_decay=self.weight_decay)

        def epoch() -> float:
            order, total, n_pairs = torch.randperm(len(target)).to(target.device), 0.0, 0
            for rows in blocks(len(order), self.batch_size):
                idx = order[rows]
                if len(idx) < 2:
                    continue
                loss = pair_loss(module([part[idx] for part in inputs]), target[idx], self.margin)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total, n_pairs = total + float(loss.detach()) * (len(idx) // 2), n_pairs + len(idx) // 2
            return total / n_pairs

        cure = f", or margin, which is {self.margin}"
        return train(self, self.max_epochs, epoch, title="predicted losses", cure=cure)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predicted losses, of which only the order means anything.

        Parameters
        ----------
        X : features, as in `fit`

        Returns
        -------
        ndarray of shape (n,), float64
        """
        check_is_fitted(self, "module_")
        layers = _layers(X)
        widths = tuple(rows.shape[1] for rows in layers)
        if widths != self.module_.widths:
            raise ValueError(f"X must have layers of {self.module_.widths} features, as in fit. Got {widths} instead.")
        found = np.empty(len(layers[0]))
        with torch.no_grad():
            for rows in blocks(len(found), _ROWS):
                parts = zip((layer[rows] for layer in layers), self.means_, self.scales_)
                inputs = [_standard(*part, torch.device("cpu")) for part in parts]
                found[rows] = self.module_(inputs).double().numpy()
        return found


def _layers(X: Any) -> list[NDArray]:
    """The features of each layer as finite numbers `(n, d)`."""
    is_list = isinstance(X, (list, tuple)) and len(X) > 0 and all(np.ndim(rows) >= 2 for rows in X)
    found = [flat_numeric(rows) for rows in (X if is_list else [X])]
    layers = [rows for rows in found if rows is not None and rows.ndim == 2 and rows.shape[1] > 0]
    if len(layers) < len(found) or len({len(rows) for rows in layers}) != 1 or len(layers[0]) == 0:
        got = [None if rows is None else rows.shape for rows in found]
        raise ValueError(
            "X must hold numbers (n, d), or a list of such for several layers, of the same n of 1 or more. "
            f"Got shapes {got}."
        )
    if not all(map(is_finite, layers)):
        raise ValueError("X must hold finite features for LossPredictor. Got NaN or infinity.")
    return layers


def _standard(rows: NDArray, mean: NDArray, scale: NDArray, device: torch.device) -> torch.Tensor:
    return torch.as_tensor((rows - mean) / scale, dtype=torch.float32, device=device)
