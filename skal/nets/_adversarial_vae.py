"""A variational autoencoder and a discriminator that tell labelled samples from unlabelled ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional as F

from ..rows import as_dense, n_rows, read_rows, take_rows
from ..utils._arrays import blocks
from ..utils._compat import Interval, StrOptions
from ..utils._torch import resolve_device
from ..utils._validation import shown
from ._graph_selector import as_mask
from ._training import check_helper, module_on, train, training

__all__ = ["AdversarialVAE"]

_VAE_STEPS = 2  # for each step of the discriminator
_PASSES = 100  # over the labelled samples, by default


class AdversarialVAE(TransformerMixin, BaseEstimator):
    """A variational autoencoder whose codes a discriminator tries to tell apart: labelled, or not.

    The autoencoder learns to describe all samples, and to hide from the discriminator which of them are labelled; what
    the discriminator still takes for unlabelled is unlike what is labelled. The helper network of
    `skal.strategies.VAAL`.

    Parameters
    ----------
    latent : int >= 1, default=32
        Length of a code.
    beta : float >= 0, default=1.0
        Weight of the codes' divergence from the normal distribution.
    adversary_weight : float >= 0, default=1.0
        Weight of what hides the labelled samples (the paper's gamma).
    n_iter : int >= 1 or None, default=None
        Steps of the discriminator, each after two of the autoencoder. None: as many as pass over the labelled samples
        100 times, ``100 * n_labeled / batch_size``.
    kl_reduction : {"sum", "mean"}, default="sum"
        Whether that divergence is summed over batch and code, as in the authors' code, where it outweighs all else, or
        averaged, as the reconstruction error is.
    channels : sequence of int >= 1, default=(128, 256, 512, 1024)
        For images, the width of each convolution; each halves the image, and those are left out for which it is too
        small.
    hidden : int >= 1, default=512
        Units of each hidden layer of the discriminator and, for tables, of the autoencoder.
    lr : float > 0, default=5e-4
        Of Adam.
    batch_size : int >= 1, default=128
        Labelled samples, and as many unlabelled ones, in a step.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one.
    random_state : int, RandomState or None, default=None
        Seeds weights, batches and codes. An integer gives bit-identical results on a CPU with a given number of
        threads.
    verbose : int or bool, default=0
        1 or more: a progress bar over the steps, with the losses.

    Attributes
    ----------
    vae_, discriminator_ : nn.Module
        The trained networks, on the CPU.
    losses_ : ndarray of shape (n_iter, 2)
        Loss of the autoencoder and of the discriminator in each step.
    sample_shape_ : tuple of int
    classes_ : ndarray, [0, 1]

    Raises
    ------
    ValueError, TypeError
        A parameter out of range; samples that are no dense finite numbers of one shape; `y` that is not one of 0 and 1
        for each sample.
    TrainingDivergedError
        A loss that is not finite.

    Notes
    -----
    With the codes' mean mu and variance sigma^2 of a sample, its reconstruction r from a code drawn by them, and the
    discriminator D, a step of the autoencoder makes

    .. math:: \\sum_{L, U} \\Big[ \\mathrm{mean} (r - x)^2
              + \\beta \\, \\mathrm{KL}\\big(N(\\mu, \\sigma^2) \\Vert N(0, 1)\\big)
              - \\gamma \\, \\mathrm{mean} \\log D(\\mu) \\Big]

    small, and one of the discriminator -mean log D(mu_L) - mean log(1 - D(mu_U)). Images (n, c, h, w) are described by
    convolutions of 4 x 4 with stride 2, batch normalization and ReLU, and rebuilt by transposed ones and a last one of
    1 x 1; tables, and samples of any other shape, flattened, by two hidden layers. The discriminator has two. Weights
    are drawn by He's rule. Samples are scaled to [-1, 1] by the least and largest value in fit, of all pixels or of
    each column.

    A fit reads 6 x `batch_size` samples for each of `n_iter` steps, and all of them once for the scale. At the default
    widths that takes a CPU many seconds for each step on images of 32 x 32; ``channels=(16, 32, 64)`` does with a
    hundredth of that.

    References
    ----------
    S. Sinha, S. Ebrahimi and T. Darrell, "Variational adversarial active learning", ICCV 2019, arXiv 1904.00370.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import AdversarialVAE
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal(center, 0.1, size=(100, 2)) for center in ([0, 1], [1, 0])])
    >>> net = AdversarialVAE(hidden=32, kl_reduction="mean", adversary_weight=0.02, n_iter=200, random_state=0)
    >>> p = net.fit(X, np.arange(200) < 50).predict_proba(X)[:, 1]
    >>> bool(p[:100].mean() > p[100:].mean()), net.transform(X).shape
    (True, (200, 32))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "latent": [Interval(Integral, 1, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "adversary_weight": [Interval(Real, 0, None, closed="left")],
        "n_iter": [Interval(Integral, 1, None, closed="left"), None],
        "kl_reduction": [StrOptions({"sum", "mean"})],
        "channels": ["array-like"],
        "hidden": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        latent: int = 32,
        beta: float = 1.0,
        adversary_weight: float = 1.0,
        n_iter: int | None = None,
        kl_reduction: Literal["sum", "mean"] = "sum",
        channels: Sequence[int] = (128, 256, 512, 1024),
        hidden: int = 512,
        lr: float = 5e-4,
        batch_size: int = 128,
        device: Any = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.adversary_weight = adversary_weight
        self.n_iter = n_iter
        self.kl_reduction = kl_reduction
        self.channels = channels
        self.hidden = hidden
        self.lr = lr
        self.batch_size = batch_size
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> AdversarialVAE:
        """Train both networks.

        Parameters
        ----------
        X : array, tensor, DataFrame or Dataset of n samples, all of one shape
            Labelled and unlabelled samples together.
        y : array-like of shape (n,), of 0 and 1 or bool
            Whether each sample has a label.

        Returns
        -------
        self
        """
        is_labeled = as_mask(y, n_rows(X))
        return self.fit_sets(take_rows(X, np.flatnonzero(~is_labeled)), take_rows(X, np.flatnonzero(is_labeled)))

    def fit_sets(self, unlabeled: Any, labeled: Any) -> AdversarialVAE:
        """Train both networks on samples that are apart already, of which none is copied.

        Parameters
        ----------
        unlabeled, labeled : array, tensor, DataFrame or Dataset of samples
            One of them may be empty.

        Returns
        -------
        self
        """
        check_helper(self)
        channels = _widths(self.channels, type(self).__name__)
        sets = [(_Samples(X), target) for X, target in ((labeled, 1.0), (unlabeled, 0.0)) if n_rows(X)]
        if not sets:
            raise ValueError("X must hold at least one sample. Got none.")
        shapes = {samples.shape for samples, _ in sets}
        if len(shapes) > 1:
            raise ValueError(
                f"Labelled and unlabelled samples must have the same shape. Got {sets[0][0].shape} and "
                f"{sets[1][0].shape}."
            )
        with training(self, self.random_state) as (device, seed):
            self.sample_shape_ = shapes.pop()
            self.center_, self.half_span_ = _scale([samples for samples, _ in sets])
            vae = _VAE(self.sample_shape_, channels, self.hidden, self.latent).to(device)
            discriminator = _layers(self.latent, self.hidden, 1).to(device)
            _start(vae, discriminator)
            self.losses_ = self._train(vae, discriminator, sets, np.random.default_rng(seed))
            self.vae_, self.discriminator_ = vae.cpu().eval(), discriminator.cpu().eval()
            self.classes_ = np.arange(2)
        return self

    def _train(
        self, vae: _VAE, discriminator: nn.Module, sets: list[tuple[_Samples, float]], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        device = next(vae.parameters()).device
        of_vae, of_discriminator = (torch.optim.Adam(net.parameters(), lr=self.lr) for net in (vae, discriminator))
        n_iter = self.n_iter
        if n_iter is None:
            n_labeled = sum(len(samples) for samples, target in sets if target)
            n_iter = max(1, math.ceil(_PASSES * n_labeled / self.batch_size))

        def batches() -> Iterator[tuple[torch.Tensor, float]]:
            for samples, target in sets:
                rows = rng.choice(len(samples), size=min(self.batch_size, len(samples)), replace=False)
                # Batch normalization knows no batch of one.
                yield self._tensor(samples, np.sort(rows) if len(rows) > 1 else rows.repeat(2), device), target

        def step() -> tuple[float, float]:
            for _ in range(_VAE_STEPS):
                loss = torch.stack([self._vae_loss(vae, discriminator, x) for x, _ in batches()]).sum()
                _step(of_vae, loss)
            with torch.no_grad():
                codes = [(vae.encode(x)[0], target) for x, target in batches()]
            apart = torch.stack([_entropy(discriminator(mu), target) for mu, target in codes]).sum()
            _step(of_discriminator, apart)
            return float(loss.detach()), float(apart.detach())

        return np.array(train(self, n_iter, step, title="autoencoder", unit="step"))

    def _vae_loss(self, vae: _VAE, discriminator: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Of one batch: what is not rebuilt, how far codes are from normal, and what the discriminator may see."""
        mu, log_var = vae.encode(x)
        rebuilt = vae.decode(mu + torch.randn_like(mu) * (log_var / 2).exp())
        divergence = (mu**2 + log_var.exp() - 1 - log_var) / 2
        total = divergence.sum() if self.kl_reduction == "sum" else divergence.mean()
        return F.mse_loss(rebuilt, x) + self.beta * total + self.adversary_weight * _entropy(discriminator(mu), 1.0)

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Mean code of each sample.

        Parameters
        ----------
        X : array, tensor, DataFrame or Dataset of n samples

        Returns
        -------
        ndarray of shape (n, latent), float32
        """
        return self._codes(X).numpy()

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """The discriminator's logit of each sample: the larger, the more it looks labelled.

        Parameters
        ----------
        X : array, tensor, DataFrame or Dataset of n samples

        Returns
        -------
        ndarray of shape (n,), float64
        """
        codes = self._codes(X)
        with torch.no_grad():
            return self.discriminator_(codes)[:, 0].double().numpy()

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The discriminator's probabilities that each sample is without a label, and with one.

        Parameters
        ----------
        X : array, tensor, DataFrame or Dataset of n samples

        Returns
        -------
        ndarray of shape (n, 2), float64
        """
        logits = torch.from_numpy(self.decision_function(X))
        return torch.sigmoid(torch.stack([-logits, logits], dim=1)).numpy()

    def _codes(self, X: Any) -> torch.Tensor:
        check_is_fitted(self, "vae_")
        samples = _Samples(X)
        if samples.shape != self.sample_shape_:
            raise ValueError(f"X must hold samples of shape {self.sample_shape_}, as in fit. Got {samples.shape}.")
        device = torch.device(resolve_device(self.device))
        codes, vae = torch.empty(len(samples), self.latent), module_on(self.vae_, device)
        with torch.no_grad():
            for rows in blocks(len(samples), self.batch_size):
                codes[rows] = vae.encode(self._tensor(samples, rows, device))[0].cpu()
        return codes

    def _tensor(self, samples: _Samples, rows: Any, device: torch.device) -> torch.Tensor:
        scaled = (samples.read(rows) - self.center_) / self.half_span_
        return torch.from_numpy(scaled.astype(np.float32, order="C")).to(device)


class _Samples:
    """Samples of one shape, read when they are needed: images (n, c, h, w) or, of any other shape, rows of a table."""

    def __init__(self, X: Any) -> None:
        self.X = X
        self.n = n_rows(X)
        self.shape = self.read(np.arange(min(1, self.n))).shape[1:]

    def __len__(self) -> int:
        return self.n

    def read(self, rows: Any) -> NDArray[np.float64]:
        found = as_dense(read_rows(self.X, rows), "AdversarialVAE").astype(np.float64)
        if not np.isfinite(found).all():
            raise ValueError("X must hold finite numbers. Got NaN or infinity.")
        return found if found.ndim == 4 else found.reshape(len(found), math.prod(found.shape[1:]))


def _scale(sets: list[_Samples]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle and half of the range, of all pixels or of each column; 1 where it is nothing."""
    low, high = np.inf, -np.inf
    for samples in sets:
        axis = None if len(samples.shape) == 3 else 0
        for rows in blocks(len(samples), 1024):
            found = samples.read(rows)
            low, high = np.minimum(low, found.min(axis=axis)), np.maximum(high, found.max(axis=axis))
    center, half = np.asarray(low / 2 + high / 2), np.asarray(high / 2 - low / 2)
    return center, np.where(half > 0, half, 1.0)


class _VAE(nn.Module):
    """Samples to mean and log-variance of their codes, and codes to samples."""

    def __init__(self, shape: tuple[int, ...], channels: list[int], hidden: int, latent: int) -> None:
        super().__init__()
        if len(shape) == 3:
            self.body, self.decoder, width = _convolutions(shape, channels, latent)
        else:
            self.body, width = nn.Sequential(*_layers(shape[0], hidden, hidden), nn.ReLU()), hidden
            self.decoder = _layers(latent, hidden, shape[0])
        self.mean, self.log_var = nn.Linear(width, latent), nn.Linear(width, latent)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.body(x)
        return self.mean(features), self.log_var(features)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(z)


def _convolutions(shape: tuple[int, ...], channels: list[int], latent: int) -> tuple[nn.Sequential, nn.Sequential, int]:
    """Encoder, decoder, and the number of features between them."""
    sizes = [(shape[1], shape[2])]
    while len(sizes) <= len(channels) and min(sizes[-1]) >= 2:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    if len(sizes) == 1:
        raise ValueError(f"Images must be of 2 x 2 pixels at least. Got {sizes[0][0]} x {sizes[0][1]}.")
    channels = channels[: len(sizes) - 1]
    down: list[nn.Module] = []
    for before, after in zip([shape[0], *channels[:-1]], channels, strict=True):
        down += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    # The way back begins at twice the size that the way there ends at, and its last layer is of 1 x 1.
    first, widest = sizes[-2], channels[-1]
    up: list[nn.Module] = [nn.Linear(latent, widest * math.prod(first)), nn.Unflatten(1, (widest, *first))]
    for i in range(len(channels) - 1, 0, -1):
        lost = sizes[i - 1][0] % 2, sizes[i - 1][1] % 2
        up += [nn.ConvTranspose2d(channels[i], channels[i - 1], 4, 2, 1, lost, bias=False)]
        up += [nn.BatchNorm2d(channels[i - 1]), nn.ReLU()]
    up.append(nn.ConvTranspose2d(channels[0], shape[0], 1))
    return nn.Sequential(*down, nn.Flatten()), nn.Sequential(*up), widest * math.prod(sizes[-1])


def _layers(width: int, hidden: int, n_outputs: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, n_outputs)
    )


def _start(*modules: nn.Module) -> None:
    """Weights by He's rule, biases 0."""
    for module in modules:
        for part in module.modules():
            if isinstance(part, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)


def _entropy(logits: torch.Tensor, target: float) -> torch.Tensor:
    """Binary cross-entropy of one label for all."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _widths(channels: Any, by: str) -> list[int]:
    found = np.asarray(channels)
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iu" or found.min() < 1:
        raise ValueError(
            f"The 'channels' parameter of {by} must be a sequence of integers of 1 or more. Got {shown(channels)} "
            "instead."
        )
    return [int(width) for width in found]
