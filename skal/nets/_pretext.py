"""Self-supervised features of images: a network that learns to tell rotations apart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback, LRScheduler
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..models import find_submodule
from ..rows import check_finite, net_input
from ..utils._arrays import blocks
from ..utils._compat import Interval, StrOptions, validate_parameter_constraints
from ..utils._torch import kept_modes, resolve_device, torch_rng
from ._backbone import build_module, check_images
from ._data import as_tensor
from ._params import check_device
from ._probe import probe_module, run_backbone
from ._repeatable import RepeatableClassifier
from ._unchanged import unchanged_on_error

__all__ = ["RotationPretext"]

_VGG16 = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool")


def small_vgg16(in_channels: int, n_outputs: int) -> nn.Module:
    """VGG16 for small images: batch normalization, a mean over positions, and one linear layer; features (n, 512)."""
    layers: list[nn.Module] = []
    for width in _VGG16:
        if width == "pool":
            # Rounded up, so that images of 28 x 28 survive five of them.
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        else:
            layers += [nn.Conv2d(in_channels, int(width), 3, padding=1), nn.BatchNorm2d(int(width)), nn.ReLU()]
            in_channels = int(width)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, n_outputs))


def _tells_rotations(pretext: RotationPretext) -> bool:
    if pretext.target != "rotation":
        raise AttributeError('score_samples of RotationPretext needs target="rotation".')
    return True


class RotationPretext(TransformerMixin, BaseEstimator):
    """Features of a network that was trained, without any label, to tell the four rotations of an image apart.

    To know which way is up, a network must know what is in the image, so what it computes before its last layer is a
    useful description of images that nobody has labelled. A scikit-learn transformer: the pretext task of
    `skal.strategies.BAL` and `skal.strategies.PT4AL`, and a step of any pipeline.

    Parameters
    ----------
    module : nn.Module class or instance, callable that returns one, str or None, default=None
        The network, with logits (n, n_outputs) as its output: 4, or as many as there are images (`target`). None is
        VGG16 for small images, with batch normalization and 512 features. A class whose constructor has a parameter
        `n_classes`, `num_classes`, `n_outputs`, `num_outputs` or `out_features` is told that number; an instance is
        copied, weights and all; a str names a torchvision classifier, such as "resnet18", which gets a head of that
        many outputs.
    target : {"rotation", "image"}, default="rotation"
        What the network learns to tell of a rotated image: how far it was turned (eq. 1), or which image it is, however
        it was turned (eq. 12), which the paper finds worse. The latter's head grows with the number of images, and
        has no `score_samples`.
    max_epochs : int >= 1, default=120
    lr : float > 0, default=0.01
        Learning rate at the beginning; the paper has 0.001 for Caltech-101.
    lr_steps : sequence of int >= 1, default=(30, 60, 90)
        Epochs after which the learning rate is multiplied by `lr_factor`.
    lr_factor : float in (0, 1], default=0.1
    batch_size : int >= 1, default=256
        Images in a batch; all four rotations of each are in it.
    momentum : float in [0, 1), default=0.9
    weight_decay : float >= 0, default=5e-4
    embedding_layer : str or None, default=None
        Dotted name of the submodule whose input is the features. None is the last `nn.Linear` that runs.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one.
    random_state : int, RandomState or None, default=None
        Seeds weights, order of the images and dropout. An integer gives bit-identical results on a CPU.
    verbose : int or bool, default=0
        1 or more: a progress bar over the epochs, with the loss.

    Attributes
    ----------
    module_ : nn.Module
        The trained network, on the CPU.
    losses_ : list of float
        Mean training loss of each epoch; log 4 = 1.386 is guessing, of "image" the logarithm of the number of images.
    image_shape_ : tuple (c, h, w)
    target_ : str
        `target`, as it was in `fit`.

    Raises
    ------
    ValueError, TypeError
        A parameter out of range, samples that are not square images (n, c, h, w), NaN or infinity, a network that does
        not take the images or has another number of outputs. What an earlier `fit` left stays as it was.

    Notes
    -----
    With t(x, 90 k) the image turned by k quarters and f_s the network, the loss of an image is (eq. 1)

    .. math:: L = \\tfrac14 \\sum_{k=0}^{3} CE(f_s(t(x, 90k)), k)

    or, with ``target="image"``, the number of the image in the place of k. `transform` gives what enters the last layer
    for the image as it is, `score_samples` gives -L of eq. 1. Numbers are not scaled: bring images to [0, 1] or
    standardise them first. Optimizer: SGD. The defaults are those of BAL's table I; there is no augmentation but the
    rotation. NumPy's and torch's global generators stay as they were.

    A fit is `max_epochs` passes over 4 n images. To pay for it once, cache it:
    ``make_pipeline(RotationPretext(random_state=0), "passthrough", memory="cache")`` or ``joblib.Memory``. Pickle and
    joblib save and load it, on a machine without CUDA too.

    References
    ----------
    S. Gidaris, P. Singh and N. Komodakis, "Unsupervised representation learning by predicting image rotations", ICLR
    2018. "BAL: Balancing diversity and novelty for active learning", IEEE TPAMI, 2024, arXiv 2312.15944.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> from skal.nets import RotationPretext
    >>> X = load_digits().images[:200, None] / 16
    >>> module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 16), nn.ReLU(),
    ...                        nn.Linear(16, 4))
    >>> pretext = RotationPretext(module, max_epochs=5, lr=0.05, lr_steps=(), batch_size=32, random_state=0).fit(X)
    >>> pretext.transform(X).shape
    (200, 16)
    >>> pretext.losses_[-1] < pretext.losses_[0]
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "module": [str, callable, None],
        "target": [StrOptions({"rotation", "image"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_steps": ["array-like"],
        "lr_factor": [Interval(Real, 0, 1, closed="right")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "embedding_layer": [str, None],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        module: type[nn.Module] | nn.Module | Callable[..., nn.Module] | str | None = None,
        *,
        target: Literal["rotation", "image"] = "rotation",
        max_epochs: int = 120,
        lr: float = 0.01,
        lr_steps: Sequence[int] = (30, 60, 90),
        lr_factor: float = 0.1,
        batch_size: int = 256,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        embedding_layer: str | None = None,
        device: Any = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.module = module
        self.target = target
        self.max_epochs = max_epochs
        self.lr = lr
        self.lr_steps = lr_steps
        self.lr_factor = lr_factor
        self.batch_size = batch_size
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.embedding_layer = embedding_layer
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> RotationPretext:
        """Train the network on unlabelled images.

        Parameters
        ----------
        X : array or tensor of shape (n, c, h, w), h = w
        y : ignored

        Returns
        -------
        self
        """
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(deep=False), caller_name=type(self).__name__
        )
        check_device(self.device, type(self).__name__)
        images = _as_images(X)
        net = _RotationNet(
            self.module,
            tells_images=self.target == "image",
            n_outputs=len(images) if self.target == "image" else 4,
            embedding_layer=self.embedding_layer,
            probe=images[:2],
            lr=self.lr,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            optimizer=torch.optim.SGD,
            optimizer__momentum=self.momentum,
            optimizer__weight_decay=self.weight_decay,
            callbacks=self._callbacks(),
            device=self.device,
            random_state=self.random_state,
        )
        with unchanged_on_error(self):
            net.train_on(images)
            self.module_ = net.module_.cpu().eval()
            self.head_name_ = net.head_name_
            self.target_ = self.target
            self.losses_ = [float(loss) for loss in net.history[:, "train_loss"]]
            self.image_shape_ = tuple(images.shape[1:])
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Features of the images as they are, without rotation.

        Parameters
        ----------
        X : array or tensor of shape (n, c, h, w)

        Returns
        -------
        ndarray of shape (n, d), float32
        """
        features = [
            run_backbone(module, find_submodule(module, self.head_name_), block).flatten(1).cpu()
            for module, block in self._batches(X)
        ]
        return torch.cat(features).float().numpy()

    @available_if(_tells_rotations)
    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Mean log-probability of the four right rotations of each image: minus the pretext loss.

        Parameters
        ----------
        X : array or tensor of shape (n, c, h, w)

        Returns
        -------
        ndarray of shape (n,), float64
            At most 0; -log 4 is guessing.

        Raises
        ------
        ValueError
            Samples that are not images as in `fit`, or a network that was trained with another `target`.
        """
        check_is_fitted(self, "module_")
        if self.target_ != "rotation":
            raise ValueError(
                'score_samples of RotationPretext needs a network that was trained with target="rotation": fit it '
                f"again. Got one of target={self.target_!r}."
            )
        scores = []
        for module, block in self._batches(X):
            loss = F.cross_entropy(_logits(module, _rotated(block)), _rotations(block), reduction="none")
            scores.append(-loss.double().view(4, -1).mean(dim=0).cpu())
        return torch.cat(scores).numpy()

    def _callbacks(self) -> list[Any]:
        steps = [int(step) for step in self.lr_steps]
        schedule = LRScheduler(torch.optim.lr_scheduler.MultiStepLR, milestones=steps, gamma=self.lr_factor)
        return [("schedule", schedule), ("bar", _Bar(self.max_epochs, disable=not self.verbose))]

    def _batches(self, X: Any) -> Iterator[tuple[nn.Module, torch.Tensor]]:
        """The network in eval mode on its device, with one batch of images after the other."""
        check_is_fitted(self, "module_")
        images = _as_images(X)
        if tuple(images.shape[1:]) != self.image_shape_:
            raise ValueError(
                f"X must be images of shape {self.image_shape_}, as in fit. Got {tuple(images.shape[1:])} instead."
            )
        device = torch.device(resolve_device(self.device))
        module = self.module_ if device.type == "cpu" else copy.deepcopy(self.module_).to(device)
        with torch_rng(device=device), kept_modes(module), torch.no_grad():
            module.eval()
            for rows in blocks(len(images), self.batch_size):
                yield module, net_input(images[rows].to(device), module)


class _RotationNet(RepeatableClassifier):
    """skorch's training loop over batches of images, each in its four rotations."""

    head_name_: str

    def __init__(
        self,
        module: Any,
        *,
        tells_images: bool = False,
        n_outputs: int = 4,
        embedding_layer: Any = None,
        probe: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module, criterion=nn.CrossEntropyLoss, train_split=None, callbacks__print_log=None, verbose=0, **kwargs
        )
        self.tells_images = tells_images
        self.n_outputs = n_outputs
        self.embedding_layer = embedding_layer
        self.probe = probe

    def initialize_module(self) -> _RotationNet:
        module = self.module
        if module is None:
            built = small_vgg16(self.probe.shape[1], self.n_outputs)
        else:
            built = build_module(
                module,
                weights=None,
                n_outputs=self.n_outputs,
                head=self.embedding_layer,
                kwargs={},
                owner="RotationPretext",
            )
        if isinstance(module, str):
            check_images(built, tuple(self.probe.shape[1:]))
        width, head = probe_module(built, self.probe, self.embedding_layer, frozen=False)
        if width != self.n_outputs:
            each = "image" if self.tells_images else "rotation"
            raise ValueError(
                f"The module of RotationPretext must have {self.n_outputs} outputs, one for each {each}. Got {width}."
            )
        if head is None:
            raise ValueError(
                f"RotationPretext needs to know the last layer: {type(built).__name__} must end in an nn.Linear, or "
                "embedding_layer must name it. Got neither."
            )
        self.module_, self.head_name_ = built, head
        return self

    def check_data(self, X: Any, y: Any = None) -> None:
        """Nothing: there are no labels."""

    def train_on(self, images: torch.Tensor) -> None:
        """Train anew, the weights and the rest under seeds of their own."""
        with self._seeded(0):
            self.initialize()
        with self._seeded(1):
            self._train_loop(images, torch.arange(len(images)))

    def infer(self, x: Any, **fit_params: Any) -> Any:
        return _logits(self.module_, _rotated(net_input(x.to(self.device), self.module_)))

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, *args: Any, **kwargs: Any) -> Any:
        targets = y_true.repeat(4) if self.tells_images else _rotations(X)
        return self.criterion_(y_pred, targets.to(y_pred.device))


class _Bar(Callback):
    """A progress bar over the epochs."""

    def __init__(self, max_epochs: int, disable: bool) -> None:
        self.max_epochs = max_epochs
        self.disable = disable

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.bar_ = tqdm(total=self.max_epochs, desc="rotations", unit="epoch", disable=self.disable)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.bar_.update()
        self.bar_.set_postfix(loss=f"{net.history[-1, 'train_loss']:.3f}")

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.bar_.close()


def _as_images(X: Any) -> torch.Tensor:
    """Square images (n, c, h, w) of numbers, or a clear error."""
    shape = tuple(getattr(X, "shape", ()))
    if not isinstance(X, (np.ndarray, torch.Tensor)) or len(shape) != 4:
        hint = " Add an axis for the grey channel: X[:, None]." if len(shape) == 3 else ""
        got = f"shape {shape}" if shape else type(X).__name__
        raise ValueError(f"X must be images of shape (n, c, h, w) for RotationPretext. Got {got} instead.{hint}")
    if len(X) == 0:
        raise ValueError("X must hold at least one sample. Got an empty X for RotationPretext.")
    if shape[2] != shape[3]:
        is_last = shape[3] in (1, 3, 4) and shape[1] == shape[2]
        hint = " Move the channels first: X.transpose(0, 3, 1, 2)." if is_last else " Crop or pad them."
        raise ValueError(
            "X must be square images (n, c, h, w) for RotationPretext, so that a quarter turn keeps their shape. "
            f"Got shape {shape} instead.{hint}"
        )
    check_finite(X)
    if isinstance(X, torch.Tensor):
        return X.detach()
    if X.dtype.kind not in "fiub":
        raise TypeError(f"X must be images of numbers for RotationPretext. Got dtype {X.dtype}.")
    # Bytes stay bytes until a batch is cast: a quarter of the memory.
    return as_tensor(np.ascontiguousarray(X, dtype=np.uint8 if X.dtype == np.uint8 else np.float32))


def _rotated(images: torch.Tensor) -> torch.Tensor:
    """All images by 0, then by 90, 180 and 270 degrees, (4 n, c, h, w)."""
    return torch.cat([torch.rot90(images, k, dims=(2, 3)) for k in range(4)])


def _rotations(images: torch.Tensor) -> torch.Tensor:
    """The number of quarter turns of each row of `_rotated(images)`, (4 n,)."""
    return torch.arange(4, device=images.device).repeat_interleave(len(images))


def _logits(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    output = module(images)
    return output[0] if isinstance(output, tuple) else output
