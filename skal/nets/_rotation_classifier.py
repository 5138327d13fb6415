"""A network with two heads on one backbone: which way is up, and which class; the scoring network of PAL."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional as F

from ..rows import n_rows, net_input, read_rows
from ..utils._arrays import blocks
from ..utils._compat import Interval
from ..utils._torch import first_output, resolve_device, torch_rng
from ..utils._validation import kind_of
from ._backbone import fresh_module
from ._data import as_tensor
from ._labels import as_labels, encode, sorted_labels
from ._training import center_and_scale, check_helper, module_on, train, training

__all__ = ["RotationClassifier"]


class _TwoHeads(nn.Module):
    """Logits of the rotations, and of the classes."""

    def __init__(self, body: nn.Module, width: int, n_turns: int, n_classes: int) -> None:
        super().__init__()
        self.body = body
        self.turns, self.classes = nn.Linear(width, n_turns), nn.Linear(width, n_classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = first_output(self.body(x)).flatten(1)
        return self.turns(features), self.classes(features)


def small_body(shape: Sequence[int]) -> nn.Module:
    """For images (c, h, w) three convolutions and a mean over positions, 64 features; for d numbers two layers, 128."""
    if len(shape) == 1:
        return nn.Sequential(nn.Linear(shape[0], 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
    layers: list[nn.Module] = []
    for i, o in ((shape[0], 16), (16, 32), (32, 64)):
        # Rounded up, so that small images survive three of them.
        layers += [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class RotationClassifier(ClassifierMixin, BaseEstimator):
    """Learns the class of a sample and, of the same features, which way it was turned.

    Parameters
    ----------
    module : nn.Module class or instance, callable that returns one, or None, default=None
        The backbone: samples to features (n, ...). An instance is copied. None: for images three convolutions of 16, 32
        and 64 channels with batch normalization and a mean over positions, else two layers of 128 units.
    classes : array-like of labels or None, default=None
        All labels; None takes those in `y`.
    max_epochs : int >= 1, default=100
    lr : float in (0, 1], default=0.01
        Learning rate of SGD with Nesterov momentum 0.9, divided by 10 after every quarter of the epochs.
    weight_decay : float in [0, 1], default=5e-4
    batch_size : int >= 1, default=64
        Samples in a batch; all rotations of each are in it.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one.
    random_state : int, RandomState or None, default=None
        Seeds weights and batches. An integer gives bit-identical results on a CPU.
    verbose : int or bool, default=0
        1 or more: a progress bar over the epochs.

    Attributes
    ----------
    module_ : nn.Module
        The trained network, on the CPU.
    classes_ : ndarray of shape (n_classes,)
    losses_ : list of float
        Mean training loss of each epoch.
    n_turns_ : int
        Rotations that are told apart.

    Raises
    ------
    ValueError, TypeError
        A parameter out of range, samples that are no numbers of one shape, lengths that differ, labels missing from
        `classes`, a module that does not take the samples. What an earlier `fit` left stays as it was.
    TrainingDivergedError
        A loss that is not finite.

    Notes
    -----
    The loss is the mean cross-entropy of the rotation over all rotations of the batch, plus that of the class of the
    samples as they are. Square images (c, h, w) are turned by 0, 90, 180 and 270 degrees, others by 0 and 180; what is
    no image is taken as a row of d numbers, which is shifted in a circle by quarters of its length. This counterpart
    for tables is ours, as are the default backbone, and that samples are standardised, images by channel and rows by
    column.

    Time: `max_epochs` passes over 4 n samples; a score is a pass over four rotations. NumPy's and torch's global
    generators stay as they were.

    References
    ----------
    S. Bhatnagar, S. Goyal, D. Tank and A. Sethi, "PAL: pretext-based active learning", BMVC 2021, arXiv 2010.15947.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skal.nets import RotationClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X.reshape(-1, 1, 8, 8)
    >>> net = RotationClassifier(max_epochs=10, random_state=0).fit(X[:100], y[:100])
    >>> net.predict_proba(X[100:]).shape, net.score_rotations(X[100:]).shape
    ((1697, 10), (1697,))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "module": [callable, None],
        "classes": ["array-like", None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, 1, closed="right")],
        "weight_decay": [Interval(Real, 0, 1, closed="both")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        module: type[nn.Module] | nn.Module | Callable[..., nn.Module] | None = None,
        *,
        classes: ArrayLike | None = None,
        max_epochs: int = 100,
        lr: float = 0.01,
        weight_decay: float = 5e-4,
        batch_size: int = 64,
        device: Any = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.module = module
        self.classes = classes
        self.max_epochs = max_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # -- training --------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> RotationClassifier:
        """Train on labelled samples.

        Parameters
        ----------
        X : array, tensor, DataFrame, sparse matrix, list or torch Dataset of n samples of one shape
        y : array-like of shape (n,)

        Returns
        -------
        self
        """
        check_helper(self)
        labels = as_labels(y)
        with training(self, self.random_state) as (device, _):
            samples = _samples(X, slice(None))
            if len(labels) != len(samples):
                raise ValueError(f"X and y must have the same length. Got {len(samples)} and {len(labels)}.")
            given = self.classes is not None
            classes = sorted_labels(self.classes if given else labels, "classes" if given else "y")
            codes = torch.from_numpy(encode(labels, classes, type(self).__name__))
            axes = (0, 2, 3) if samples.ndim == 4 else (0,)
            self.mean_, self.scale_ = (torch.from_numpy(v).float() for v in center_and_scale(samples.numpy(), axes))
            self.shape_, self.classes_ = tuple(samples.shape[1:]), classes
            samples = self._standard(samples)
            self.n_turns_ = len(turned(samples[:1]))
            module = self._built(samples).to(device)
            optimizer = torch.optim.SGD(
                module.parameters(), self.lr, momentum=0.9, nesterov=True, weight_decay=self.weight_decay
            )
            step = max(1, self.max_epochs // 4)
            schedule = torch.optim.lr_scheduler.StepLR(optimizer, step, gamma=0.1)
            self.losses_ = self._run(module, samples, codes, optimizer, self.max_epochs, schedule)
            self.module_ = module.cpu().eval()
        return self

    def fine_tuned(self, X: Any, *, max_epochs: int = 5, random_state: int | None = None) -> RotationClassifier:
        """A copy, trained further on the rotations of samples without labels; this one stays as it is.

        Parameters
        ----------
        X : n samples, as in `fit`
        max_epochs : int >= 1, default=5
            Epochs of plain SGD, at a tenth of the learning rate.
        random_state : int or None, default=None
            Seeds the batches.

        Returns
        -------
        RotationClassifier
        """
        twin = copy.copy(self)
        with training(twin, random_state) as (device, _):
            samples = self._standard(self._checked(X, slice(None)))
            module = copy.deepcopy(self.module_).to(device)
            optimizer = torch.optim.SGD(module.parameters(), lr=self.lr / 10, weight_decay=self.weight_decay)
            twin.losses_ = self._run(module, samples, None, optimizer, max_epochs)
            twin.module_ = module.cpu().eval()
        return twin

    def _built(self, samples: torch.Tensor) -> _TwoHeads:
        """The network, whose backbone a run over two samples shows to take them, and how wide it is."""
        if self.module is None:
            body = small_body(samples.shape[1:])
        else:
            body = fresh_module(self.module, None, {}, type(self).__name__)
        body.eval()
        try:
            with torch.no_grad():
                features = first_output(body(samples[:2]))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ValueError(
                f"{type(body).__name__} must accept X. Given a batch of shape {tuple(samples[:2].shape)}, it raised "
                f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(features, torch.Tensor) or features.ndim < 2 or len(features) != len(samples[:2]):
            got = tuple(features.shape) if isinstance(features, torch.Tensor) else kind_of(features)
            raise ValueError(
                f"The 'module' of {type(self).__name__} must output features (n, ...), one row for each sample. "
                f"Got {got} instead."
            )
        return _TwoHeads(body, features[0].numel(), self.n_turns_, len(self.classes_))

    def _run(
        self,
        module: nn.Module,
        samples: torch.Tensor,
        codes: torch.Tensor | None,
        optimizer: torch.optim.Optimizer,
        max_epochs: int,
        schedule: Any = None,
    ) -> list[float]:
        """Train, with `codes` on both tasks; the mean loss of each epoch."""
        device = next(module.parameters()).device
        module.train()

        def epoch() -> float:
            total, order = 0.0, torch.randperm(len(samples))
            for rows in blocks(len(order), self.batch_size):
                idx = order[rows]
                loss = self._loss(module, samples[idx].to(device), None if codes is None else codes[idx])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(idx)
            if schedule is not None:
                schedule.step()
            return total / len(samples)

        return train(self, max_epochs, epoch, title="rotations" if codes is None else "rotations and classes")

    def _loss(self, module: nn.Module, samples: torch.Tensor, codes: torch.Tensor | None) -> torch.Tensor:
        turns, classes = module(torch.cat(turned(samples)))
        which = torch.arange(self.n_turns_, device=samples.device).repeat_interleave(len(samples))
        loss = F.cross_entropy(turns, which)
        if codes is None:
            return loss
        return loss + F.cross_entropy(classes[: len(samples)], codes.to(samples.device))

    # -- answers ---------------------------------------------------------------------------------------------------

    def outputs(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log-probabilities of the right rotations and of the classes, in one pass.

        Parameters
        ----------
        X : n samples, as in `fit`

        Returns
        -------
        rotations : ndarray of shape (n, n_turns)
            Of the sample turned k times, the log-probability of k.
        classes : ndarray of shape (n, n_classes)
            Of the sample as it is.
        """
        found = list(self._outputs(X))
        return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])

    def _outputs(self, X: Any) -> Iterator[tuple[NDArray, NDArray]]:
        check_is_fitted(self, "module_")
        device = torch.device(resolve_device(self.device))
        module = module_on(self.module_, device)
        with torch_rng(device=device), torch.no_grad():
            for rows in blocks(n_rows(X), self.batch_size):
                samples = self._standard(self._checked(X, rows)).to(device)
                turns, classes = module(torch.cat(turned(samples)))
                own = turns.double().log_softmax(dim=1).view(self.n_turns_, len(samples), -1)
                right = own.diagonal(dim1=0, dim2=2)
                found = right.cpu().numpy(), classes[: len(samples)].double().log_softmax(dim=1).cpu().numpy()
                if not all(np.isfinite(values).all() for values in found):
                    raise ValueError(
                        f"X holds numbers that are too large for {type(self).__name__}, beside those of fit."
                    )
                yield found

    def score_rotations(self, X: Any) -> NDArray[np.float64]:
        """Sum over the rotations of the probability that each is told right, (n,), at most their number."""
        return np.exp(self.outputs(X)[0]).sum(axis=1)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Class probabilities, (n, n_classes); the columns are `classes_`."""
        return np.exp(self.outputs(X)[1])

    def predict(self, X: Any) -> NDArray:
        """Labels, (n,)."""
        return self.classes_[self.outputs(X)[1].argmax(axis=1)]

    def _checked(self, X: Any, rows: slice) -> torch.Tensor:
        check_is_fitted(self, "module_")
        samples = _samples(X, rows)
        if tuple(samples.shape[1:]) != self.shape_:
            raise ValueError(
                f"X must hold samples of shape {self.shape_}, as in fit. Got shape {tuple(samples.shape[1:])} instead."
            )
        return samples

    def _standard(self, samples: torch.Tensor) -> torch.Tensor:
        return (samples - self.mean_) / self.scale_


def _samples(X: Any, rows: slice) -> torch.Tensor:
    """Rows of `X` as float32: images (n, c, h, w), all else (n, d)."""
    n = n_rows(X)
    if n == 0:
        raise ValueError("X must hold at least one sample. Got an empty X for RotationClassifier.")
    found = net_input(read_rows(X, np.arange(n)[rows]))
    if not hasattr(found, "shape"):
        raise TypeError(f"X must hold samples of numbers of one shape for RotationClassifier. Got {kind_of(X)}.")
    samples = as_tensor(found).float()
    samples = samples if samples.ndim == 4 else samples.reshape(len(samples), -1)
    if not bool(torch.isfinite(samples).all()):
        raise ValueError("X contains NaN or infinity: RotationClassifier takes samples of finite numbers only.")
    return samples


def turned(samples: torch.Tensor) -> list[torch.Tensor]:
    """The samples as they are, and in each of their other rotations: quarter turns of images, shifts of rows."""
    if samples.ndim == 4:
        quarters = range(4) if samples.shape[2] == samples.shape[3] else (0, 2)
        return [torch.rot90(samples, k, dims=(2, 3)) for k in quarters]
    width = samples.shape[1]
    return [samples.roll(shift, dims=1) for shift in sorted({k * width // 4 for k in range(4)})]
