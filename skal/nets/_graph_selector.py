"""A graph network over all samples that learns to tell those with a label from those without."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional as F

from ..rows import flat_numeric
from ..utils._arrays import blocks
from ..utils._compat import Interval
from ..utils._torch import resolve_device
from ..utils._validation import kind_of
from ._training import check_helper, module_on, train, training

__all__ = ["GraphSelector", "as_mask", "degrees", "graph_product", "unit_rows"]

_ROWS = 4096  # samples worked on at once
_LEAST = 1.0  # a column sums to at least that


def unit_rows(X: NDArray, dtype: Any = None) -> NDArray:
    """Rows of `X` at length 1, of whatever size their numbers are; a row of zeros stays one."""
    out = np.empty(X.shape, dtype=X.dtype if dtype is None else dtype)
    for rows in blocks(len(X), _ROWS):
        part = X[rows].astype(np.float64)
        largest = np.abs(part).max(axis=1, initial=0, keepdims=True)
        part /= np.where(largest > 0, largest, 1)
        norms = np.sqrt(np.einsum("ij,ij->i", part, part))[:, None]
        out[rows] = part / np.where(norms > 0, norms, 1)
    return out


def degrees(f: Any) -> tuple[Any, Any]:
    """Of unit rows `f`: what each has in common with itself, 1 or (of zeros) 0, and its degree in the graph, `(n, 1)`.

    The degree is the sum of its similarities with all others, of which less than 1 counts as 1. Arrays of NumPy and
    tensors alike.
    """
    own = (f * f).sum(1)[:, None]
    sums = f @ f.sum(0)[:, None] - own
    return own, sums.clip(_LEAST, None)


def graph_product(f: Any, own: Any, degree: Any, z: Any) -> Any:
    """The graph's matrix times `z`: ``((F F' - diag(own)) / degree' + I) @ z``, in O(n d) memory.

    Parameters
    ----------
    f : array or tensor of shape (n, d)
        Unit rows.
    own, degree : of shape (n, 1)
        As `degrees` gives them.
    z : of shape (n, m)
    """
    scaled = z / degree
    product = f @ (f.T @ scaled)
    product -= own * scaled
    product += z
    return product


class GraphSelector(TransformerMixin, BaseEstimator):
    """A graph convolutional network that tells labelled samples from unlabelled ones.

    Samples are joined to all others, the more strongly the more alike their features are, so that what is near to
    labelled samples looks labelled. The helper network of `skal.strategies.CoreGCN` and
    `skal.strategies.UncertainGCN`.

    Parameters
    ----------
    hidden : int >= 1, default=128
        Units of the first layer.
    dropout : float in [0, 1), default=0.3
        Probability that a unit is dropped in training.
    unlabeled_weight : float >= 0, default=1.2
        Weight of the unlabelled samples' loss.
    lr : float > 0, default=0.001
        Of Adam.
    weight_decay : float >= 0, default=5e-4
    max_epochs : int >= 1, default=200
        Steps, each over all samples.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one.
    random_state : int, RandomState or None, default=None
        Seeds weights and dropout. An integer gives bit-identical results on a CPU with a given number of threads.
    verbose : int or bool, default=0
        1 or more: a progress bar over the epochs, with the loss.

    Attributes
    ----------
    module_ : nn.Module
        The trained network, on the CPU.
    losses_ : list of float
        The loss in each epoch.
    is_signed_ : bool
        Whether a feature was negative in fit, so that similarities are moved into [0, 1].
    n_features_in_ : int
    classes_ : ndarray, [0, 1]

    Raises
    ------
    ValueError, TypeError
        A parameter out of range, samples that are no finite numbers, `y` that is not one of 0 and 1 for each sample.
    TrainingDivergedError
        A loss that is not finite.

    Notes
    -----
    With F the samples' features at length 1, (n, d), the graph is the full matrix

    .. math:: A = (F F^\\top - I) D^{-1} + I, \\qquad D_{jj} = \\max\\Big(1, \\sum_{i \\ne j} f_i \\cdot f_j\\Big),

    and the network :math:`h = \\mathrm{relu}(A F W_1 + b_1)` (with dropout in training),
    :math:`p = \\sigma(A h W_2 + b_2)`, the probability that a sample is labelled. The loss is

    .. math:: -\\frac{1}{|L|} \\sum_{i \\in L} \\log p_i
              - \\lambda \\frac{1}{|U|} \\sum_{i \\in U} \\log (1 - p_i).

    Where a feature is negative, so that similarities may be, each row of F is joined by a 1 before it is brought to
    length 1: similarities are then (1 + cosine) / 2. Columns that sum to nothing would be divided by that otherwise,
    and the training not settle.

    The matrix is never built: A z = F (F' (z / D)) - z / D + z. `predict_proba` and `transform` build the graph of the
    samples that they are given, so that these should be given together, and have the labelled ones among them.

    Time: O(n d^2) once and O(n d `hidden`) for each epoch. Memory: three times the features in float32.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import GraphSelector
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal(center, 0.1, size=(50, 2)) for center in ([0, 1], [1, 0])])
    >>> is_labeled = np.arange(100) < 20
    >>> net = GraphSelector(random_state=0).fit(X, is_labeled)
    >>> p = net.predict_proba(X)[:, 1]
    >>> bool(p[:50].min() > p[50:].max()), net.transform(X).shape
    (True, (100, 129))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "unlabeled_weight": [Interval(Real, 0, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        hidden: int = 128,
        dropout: float = 0.3,
        unlabeled_weight: float = 1.2,
        lr: float = 1e-3,
        weight_decay: float = 5e-4,
        max_epochs: int = 200,
        device: Any = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.hidden = hidden
        self.dropout = dropout
        self.unlabeled_weight = unlabeled_weight
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> GraphSelector:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features of labelled and unlabelled samples together.
        y : array-like of shape (n,), of 0 and 1 or bool
            Whether each sample has a label.

        Returns
        -------
        self
        """
        check_helper(self)
        features = _features(X)
        is_labeled = as_mask(y, len(features))
        with training(self, self.random_state) as (device, _):
            self.is_signed_ = bool(features.min() < 0)
            module = _Graph(features.shape[1] + self.is_signed_, self.hidden, self.dropout).to(device)
            graph = _Joined(features, self.is_signed_, device)
            self.losses_ = self._train(module, graph, torch.from_numpy(is_labeled).to(device))
            self.module_ = module.cpu().eval()
            self.n_features_in_ = features.shape[1]
            self.classes_ = np.arange(2)
        return self

    def _train(self, module: _Graph, graph: _Joined, is_labeled: torch.Tensor) -> list[float]:
        optimizer = torch.optim.Adam(module.parameters(), lr=self.lr, weight_decay=self.weight_decay)

        def step() -> float:
            optimizer.zero_grad()
            logits = module(graph)[1]
            loss = logits.new_zeros(())
            for chosen, sign, weight in ((is_labeled, -1, 1.0), (~is_labeled, 1, self.unlabeled_weight)):
                if bool(chosen.any()):
                    loss = loss + weight * F.softplus(sign * logits[chosen]).mean()
            loss.backward()
            optimizer.step()
            return float(loss.detach())

        return train(self, self.max_epochs, step, title="graph")

    def transform(self, X: Any) -> NDArray[np.float32]:
        """The network's features of each sample: its units, without dropout, and its logit.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Samples of one graph.

        Returns
        -------
        ndarray of shape (n, hidden + 1), float32
        """
        units, logits = self._run(X)
        return torch.cat([units, logits[:, None]], dim=1).cpu().numpy()

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities that each sample is without a label, and with one.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Samples of one graph.

        Returns
        -------
        ndarray of shape (n, 2), float64
        """
        logits = self._run(X)[1].cpu().double()
        return torch.sigmoid(torch.stack([-logits, logits], dim=1)).numpy()

    def _run(self, X: Any) -> tuple[torch.Tensor, torch.Tensor]:
        check_is_fitted(self, "module_")
        features = _features(X)
        if features.shape[1] != self.n_features_in_:
            raise ValueError(f"X must have {self.n_features_in_} features, as in fit. Got {features.shape[1]} instead.")
        device = torch.device(resolve_device(self.device))
        with torch.no_grad():
            return module_on(self.module_, device)(_Joined(features, self.is_signed_, device))


class _Joined:
    """The graph of samples on a device, with its first product, which stays the same."""

    def __init__(self, features: NDArray, is_signed: bool, device: torch.device) -> None:
        unit = unit_rows(features, np.float32)
        if is_signed:
            # Similarities are then (1 + f_i . f_j) / 2.
            unit = unit_rows(np.hstack([unit, np.ones((len(unit), 1), dtype=np.float32)]))
        self.f = torch.from_numpy(unit).to(device)
        self.own, self.degree = degrees(self.f)
        self.first = self.times(self.f)

    def times(self, z: torch.Tensor) -> torch.Tensor:
        return graph_product(self.f, self.own, self.degree, z)


class _Graph(nn.Module):
    """Two graph convolutions; weights and biases uniform within one over the root of the outputs."""

    def __init__(self, n_features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(n_features, hidden), nn.Linear(hidden, 1)
        self.dropout = dropout
        for layer in (self.first, self.second):
            bound = layer.out_features**-0.5
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound)

    def forward(self, graph: _Joined) -> tuple[torch.Tensor, torch.Tensor]:
        units, weight = self.first(graph.first), self.second.weight.T
        if self.training and self.dropout:
            # 0 before the ReLU is 0 behind it; what makes up for it goes where there are fewer numbers to scale.
            units = units.masked_fill_(_chosen(units, self.dropout), 0)
            weight = weight / (1 - self.dropout)
        units = torch.relu_(units)
        return units, (graph.times(units @ weight) + self.second.bias)[:, 0]


def _chosen(like: torch.Tensor, share: float) -> torch.Tensor:
    """A random mask, true for `share` of the entries to 16 bits; four from each number drawn, for the sake of time."""
    draws = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device).random_(-(2**63), None)
    return (draws.view(torch.int16)[: like.numel()] < round(share * 2**16) - 2**15).view(like.shape)


def _features(X: Any) -> NDArray:
    found = flat_numeric(X)
    if found is None:
        raise TypeError(f"X must be an array of numbers (n, d) for GraphSelector. Got {kind_of(X)} instead.")
    if not found.size or not np.isfinite(found).all():
        raise ValueError("X must hold samples of finite numbers. Got none, NaN or infinity.")
    return found


def as_mask(y: Any, n: int) -> NDArray[np.bool_]:
    """Whether each of `n` samples is labelled, `(n,)`."""
    found = np.asarray(y)
    if found.ndim != 1 or not np.isin(found, (0, 1)).all():
        raise ValueError("y must be 0 or 1 for each sample: whether it is labelled. Got other values or another shape.")
    if len(found) != n:
        raise ValueError(f"y must say of each of the {n} samples whether it is labelled. Got {len(found)} values.")
    return found.astype(bool)
