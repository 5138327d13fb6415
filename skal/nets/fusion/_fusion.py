"""Descriptors of images from the most varied channels of two layers of a frozen network, as UFFM matches them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional as F

from ...rows import check_finite, n_rows
from ...utils._arrays import blocks, l2_normalize, top_k
from ...utils._compat import HasMethods, Interval, StrOptions, validate_parameter_constraints
from ...utils._random import make_generator, sklearn_seed
from ...utils._torch import torch_rng
from ...utils._validation import shown
from .._backbone import build_module, check_weights
from .._params import check_device
from .._unchanged import unchanged_on_error
from ._feature_maps import Preparation, check_layers, common_size, feature_maps, map_sizes, smallest_map

__all__ = ["FusionDescriptor"]


# The PCA is fitted on as many images as these bytes of fused vectors hold, and a few times as much memory is used.
_PCA_BYTES = 256 * 2**20


class FusionDescriptor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Images as descriptors for matching: a frozen network's most varied channels, fused and reduced.

    Nothing is trained. Of each of the layers named, the channels with the largest mean spatial variance over the
    images of `fit` are kept; the maps are pooled to one size, concatenated, flattened, scaled to unit length, reduced
    by principal components, and scaled to unit length again. The product of two descriptors says how alike two images
    are.

    Parameters
    ----------
    module : str, nn.Module or callable that returns one, default="vgg16"
        The network; a str names a torchvision classifier. It is copied and run in eval mode, as far as the last of
        `layers`.
    weights : "DEFAULT", None, str, WeightsEnum or path, default="DEFAULT"
        Names of torchvision's weights, which it downloads, for a torchvision `module`; None is random ones. The path of
        a state dict serves any module. A module of your own keeps the weights it has with "DEFAULT" or None.
    layers : sequence of str (or one str), default=("features.16", "features.22")
        Dotted names of the submodules whose outputs, (n, channels, h, w), are fused. The default is VGG16's third
        pooling and the last ReLU of its fourth block.
    top_k : int >= 1, default=25
        Channels kept of each layer, at most as many as it has.
    n_components : int >= 1 or None, default=256
        Length of a descriptor, at most the number of images in `fit` and the length of a fused vector. None skips the
        principal components.
    image_size : int, pair of ints (height, width) or None, default=None
        Size that images are brought to, bilinearly, before the network sees them; an int is both. None leaves them as
        they are; where those of a list passed to `fit` differ in size, it is 224.
    normalize : bool, default=False
        Whether images are normalized by ImageNet's mean and deviation, as torchvision's weights expect. Integers of 8
        bits are then scaled to [0, 1] first. Detectors take images as they are, so that a descriptor beside one
        normalizes by itself.
    pool : {"avg", "max"}, default="avg"
        How larger maps are brought to the size of the smallest, by a whole number in each direction.
    batch_size : int >= 1, default=16
        Images in the network at a time.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one.
    random_state : int, RandomState or None, default=None
        Seeds the weights where they are random, the choice of images for the principal components, and their solver.

    Attributes
    ----------
    selected_channels_ : list of ndarray of shape (top_k,), int64
        For each layer the channels kept, most varied first.
    channel_variances_ : list of ndarray of shape (channels,), float64
        For each layer the mean variance of every channel.
    pca_ : sklearn.decomposition.PCA or None
        The fitted principal components.
    module_ : nn.Module
        The network in use, on the CPU.
    layers_ : list of str
        The layers in use.
    image_size_ : tuple of two ints or None
        Height and width that images are brought to.
    map_size_ : tuple of two ints
        Height and width of the fused maps.

    Notes
    -----
    `X` is an array or tensor (n, channels, h, w), a list of images, or a map-style torch Dataset of images or of
    tuples that begin with one; a Dataset is read in batches and never held. Images of a Dataset have one size, or
    `image_size` gives it. Numbers are cast to the module's float type without scaling, so without ``normalize=True``
    images must come as the weights expect them: for torchvision's in [0, 1] and normalized by ImageNet's mean and
    deviation.

    With x^c_mn the value of channel c at position (m, n) of a map of h x w, averaged over images (eqs. 1 and 2):

    .. math:: v_c = \\frac{1}{hw} \\sum_{m,n} (x^c_{mn} - \\bar x^c)^2

    Differences from the paper: the channels are chosen over the data set, not for each image, as in PWA, whose
    idea it is (otherwise coordinates of two descriptors would not belong together); the "bitwise addition" of maps is a
    concatenation, as the paper's shapes say; the variance's denominator is h w, which the print writes m n; the
    principal components, which the paper says nothing more about, are fitted on the images of `fit`, without whitening,
    and descriptors get unit length after them as before.

    Time of `fit`: a forward pass over all images, another over those for the principal components, and
    these. They are fitted on all images where the fused vectors take up to 256 MB (float32), else on a seeded random
    subset of that size, at least `n_components` images: at 224 pixels with VGG16 a vector has 39,200 entries, so 1,712
    images. Larger problems are solved by randomized SVD (scikit-learn's "auto"). Memory beyond the network and the
    input: about three times those 256 MB and one batch's activations.

    References
    ----------
    W. Huang et al., "Unsupervised fusion feature matching for data bias in uncertainty active learning", IEEE
    Transactions on Neural Networks and Learning Systems, 2024, section III-A, doi 10.1109/TNNLS.2022.3209085.
    PWA: J. Xu et al., "Unsupervised part-based weighting aggregation of deep convolutional features for image
    retrieval", AAAI 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from skal.nets import FusionDescriptor
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1))
    >>> images = np.random.default_rng(0).random((40, 1, 8, 8))
    >>> descriptor = FusionDescriptor(module=net, layers=("1", "3"), top_k=4, n_components=10, random_state=0)
    >>> D = descriptor.fit_transform(images)
    >>> D.shape, bool(np.allclose((D**2).sum(axis=1), 1, atol=1e-5))
    ((40, 10), True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "module": [str, nn.Module, callable],
        "weights": [None, str, Path, HasMethods("get_state_dict")],
        "layers": ["array-like", str],
        "top_k": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "normalize": ["boolean"],
        "pool": [StrOptions({"avg", "max"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        module: str | nn.Module | Callable[..., nn.Module] = "vgg16",
        weights: Any = "DEFAULT",
        layers: Sequence[str] | str = ("features.16", "features.22"),
        top_k: int = 25,
        n_components: int | None = 256,
        image_size: int | tuple[int, int] | None = None,
        normalize: bool = False,
        pool: Literal["avg", "max"] = "avg",
        batch_size: int = 16,
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.module = module
        self.weights = weights
        self.layers = layers
        self.top_k = top_k
        self.n_components = n_components
        self.image_size = image_size
        self.normalize = normalize
        self.pool = pool
        self.batch_size = batch_size
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> FusionDescriptor:
        """Choose channels and principal components on the images `X`.

        Parameters
        ----------
        X : images, see Notes
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Parameters out of range, layers that do not exist or give no maps, sizes of maps that are no multiples,
            fewer images (or entries of a fused vector) than `n_components`, images that the network does not take.
        """
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(deep=False), caller_name=type(self).__name__
        )
        check_device(self.device, type(self).__name__)
        with unchanged_on_error(self):
            self._fit(X)
        return self

    def _fit(self, X: Any) -> None:
        layers = [self.layers] if isinstance(self.layers, str) else list(self.layers)
        if not layers or len(set(layers)) != len(layers):
            raise ValueError(f"The 'layers' of FusionDescriptor must be distinct names, one or more. Got {layers}.")
        n = _n_images(X)
        if self.n_components is not None and self.n_components > n:
            raise ValueError(
                f"The 'n_components' of FusionDescriptor must be at most the number of images, {n}. "
                f"Got {self.n_components} instead."
            )
        rng = make_generator(self.random_state)
        module = self._build(sklearn_seed(rng))
        check_layers(module, layers)
        preparation = Preparation(self._size(X), self.normalize)
        variances, size = self._variances(module, layers, X, preparation)
        fusion = _Fusion(module, layers, [top_k(variance, self.top_k) for variance in variances], size, preparation)
        length = self.top_k * len(layers) * size[0] * size[1]
        pca = None
        if self.n_components is not None:
            m = min(n, max(self.n_components, _PCA_BYTES // (4 * length)))
            idx = np.arange(n) if m == n else np.sort(rng.choice(n, size=m, replace=False))
            fused = np.empty((m, length), dtype=np.float32)
            for rows, part in zip(blocks(m, self.batch_size), self._fused(fusion, X, idx)):
                fused[rows] = part
            pca = PCA(self.n_components, copy=False, random_state=sklearn_seed(rng)).fit(fused)
        self.module_, self.layers_, self.selected_channels_, self.map_size_, self._preparation = fusion
        self.image_size_ = preparation.size
        self.channel_variances_, self.pca_ = variances, pca
        self._n_features_out = length if pca is None else self.n_components

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Descriptors of unit length.

        Parameters
        ----------
        X : images of the size seen in `fit`, see Notes

        Returns
        -------
        ndarray of shape (n, n_components), float32
        """
        check_is_fitted(self, "module_")
        idx = np.arange(_n_images(X))
        fusion = _Fusion(self.module_, self.layers_, self.selected_channels_, self.map_size_, self._preparation)
        parts = self._fused(fusion, X, idx)
        if self.pca_ is not None:
            parts = (l2_normalize(self.pca_.transform(part)) for part in parts)
        return np.concatenate(list(parts)).astype(np.float32, copy=False)

    def _build(self, seed: int) -> nn.Module:
        own = not isinstance(self.module, str)
        weights = None if own and isinstance(self.weights, str) and self.weights == "DEFAULT" else self.weights
        owner = type(self).__name__
        check_weights(weights, self.module, owner=owner)
        with torch_rng(seed):
            module = build_module(self.module, weights=weights, n_outputs=None, head=None, kwargs={}, owner=owner)
        return module.cpu().eval().requires_grad_(False)

    def _size(self, X: Any) -> tuple[int, int] | None:
        """Height and width that the images are brought to."""
        if self.image_size is None:
            return common_size(X)
        given: Any = self.image_size
        size: Any = (given, given) if isinstance(given, Integral) else tuple(given)
        sides = [isinstance(side, (int, np.integer)) and side >= 1 and side is not True for side in size]
        if len(size) != 2 or not all(sides):
            raise ValueError(
                "The 'image_size' parameter of FusionDescriptor must be None, an int of 1 or more or a pair of them. "
                f"Got {shown(self.image_size)} instead."
            )
        return int(size[0]), int(size[1])

    def _maps(
        self, module: nn.Module, layers: list[str], X: Any, idx: NDArray, preparation: Preparation
    ) -> Iterator[list[torch.Tensor]]:
        return feature_maps(
            module,
            layers,
            X,
            idx,
            batch_size=self.batch_size,
            device=self.device,
            check=isinstance(self.module, str),
            preparation=preparation,
        )

    def _variances(
        self, module: nn.Module, layers: list[str], X: Any, preparation: Preparation
    ) -> tuple[list[NDArray[np.float64]], tuple[int, int]]:
        """Mean over the images of each channel's variance over positions (eq. 1), and the size to pool to."""
        totals: list[NDArray[np.float64]] = []
        size = (0, 0)
        for maps in self._maps(module, layers, X, np.arange(n_rows(X)), preparation):
            if not totals:
                size = smallest_map(map_sizes(maps), layers)
                self._check_lengths(layers, maps, size)
                totals = [np.zeros(x.shape[1]) for x in maps]
            for total, x in zip(totals, maps):
                total += x.var(dim=(2, 3), correction=0).double().sum(dim=0).cpu().numpy()
        return [total / n_rows(X) for total in totals], size

    def _check_lengths(self, layers: list[str], maps: list[torch.Tensor], size: tuple[int, int]) -> None:
        for layer, x in zip(layers, maps):
            if self.top_k > x.shape[1]:
                raise ValueError(
                    "The 'top_k' of FusionDescriptor must be at most the number of channels, which is "
                    f"{x.shape[1]} in layer {layer!r}. Got {self.top_k} instead."
                )
        length = self.top_k * len(layers) * size[0] * size[1]
        if self.n_components is not None and self.n_components > length:
            raise ValueError(
                f"The 'n_components' of FusionDescriptor must be at most the length of a fused vector, {length}. "
                f"Got {self.n_components} instead."
            )

    def _fused(self, fusion: _Fusion, X: Any, idx: NDArray) -> Iterator[NDArray[np.float32]]:
        """Fused vectors of unit length, batch by batch."""
        shrink = F.avg_pool2d if self.pool == "avg" else F.max_pool2d
        height, width = fusion.size
        for maps in self._maps(fusion.module, fusion.layers, X, idx, fusion.preparation):
            if smallest_map(map_sizes(maps), fusion.layers) != fusion.size:
                got = " and ".join(f"{x.shape[2]} x {x.shape[3]}" for x in maps)
                raise ValueError(
                    f"X must be images of the size that FusionDescriptor was fitted on, whose smallest maps are "
                    f"{height} x {width}. Got images whose maps are {got}."
                )
            parts = []
            for x, channels in zip(maps, fusion.channels):
                x = x[:, torch.from_numpy(channels).to(x.device)]
                parts.append(shrink(x, (x.shape[2] // height, x.shape[3] // width)).flatten(1))
            yield l2_normalize(torch.cat(parts, dim=1).cpu().numpy())


class _Fusion(NamedTuple):
    """What makes an image a fused vector."""

    module: nn.Module
    layers: list[str]
    channels: list[NDArray[np.int64]]
    size: tuple[int, int]
    preparation: Preparation


def _n_images(X: Any) -> int:
    n = n_rows(X)
    if n == 0:
        raise ValueError("X must hold at least one image. Got an empty X for FusionDescriptor.")
    check_finite(X)
    return n
