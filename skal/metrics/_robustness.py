"""How a classifier stands changed inputs: adversarial copies, noise, blur, loss of contrast."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from ..models import check_epsilon, check_in_range, fgsm, gradient_model, parse_clip
from ..rows import as_dense, like, working_dtype
from ..utils._random import make_generator
from ..utils._validation import kind_of, shown
from ._arguments import as_labels, check_int
from ._targets import label_kind

__all__ = ["corruption_report", "fgsm_accuracy"]


# Those of CIFAR-10-C, in the unit of images in [0, 1]; blur in pixels.
_STRENGTHS = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1.0),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
}


def fgsm_accuracy(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    epsilon: float,
    *,
    clip: tuple[float, float] | None = (0.0, 1.0),
) -> float:
    r"""Accuracy on adversarial copies of the samples: every one moved a small step against its true label.

    Parameters
    ----------
    estimator : fitted classifier
        One with `input_gradient(X, y)`, such as :class:`skal.nets.DeepClassifier`, or a learner, search or loop around
        one.
    X : array, tensor or DataFrame of numbers (n, ...)
    y : array-like of shape (n,)
        True labels, all known to the estimator.
    epsilon : float >= 0
        Size of the step, in the unit of the samples; 0 is the accuracy on the samples as they are.
    clip : (low, high) or None, default=(0.0, 1.0)
        Valid range of the samples, to which the copies are clipped. None does not clip.

    Returns
    -------
    float
        Share of the copies that are predicted right, in [0, 1].

    Raises
    ------
    TypeError
        An estimator without `input_gradient`, or samples that are not dense numbers.
    ValueError
        `epsilon` below 0, `clip` not increasing, samples outside it, lengths that differ, no sample, unknown labels.

    Notes
    -----
    Copies are :math:`\mathrm{clip}(x + \epsilon\, \mathrm{sign} \nabla_x J(\theta, x, y))` (DM2, eqs. 12-13). One step
    is a weak attack: the figure is an upper bound on what the classifier keeps against any change of that size. One
    gradient and one prediction for each sample; memory of the copies.

    References
    ----------
    I. J. Goodfellow, J. Shlens, C. Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from skal.metrics import fgsm_accuracy
    >>> from skal.nets import DeepClassifier
    >>> X = np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    >>> y = (X[:, 0] > 0.5).astype(int)
    >>> net = DeepClassifier(nn.Linear(1, 2), max_epochs=300, lr=2.0, random_state=0).fit(X, y)
    >>> [round(fgsm_accuracy(net, X, y, epsilon), 1) for epsilon in (0, 0.1, 0.3)]
    [1.0, 0.8, 0.4]
    """
    by = "fgsm_accuracy"
    model = gradient_model(estimator, by)
    labels = as_labels(y, f"'y' of {by}", len(as_dense(X, by)))
    copies = fgsm(model, X, labels, check_epsilon(epsilon, by), parse_clip(clip, by), by)
    return _share_right(model.predict(copies), labels, by)


def corruption_report(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    clip: tuple[float, float] = (0.0, 1.0),
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    r"""Accuracy on images as they are, and under noise, blur and loss of contrast at five strengths each.

    Parameters
    ----------
    estimator : fitted classifier
        Anything with `predict`.
    X : array or tensor of shape (n, h, w) or (n, c, h, w)
        Images with values inside `clip`, of 4 x 4 pixels or more.
    y : array-like of shape (n,)
        True labels.
    clip : (low, high), default=(0.0, 1.0)
        Range of the pixels; strengths are scaled with it, and corrupted images are clipped to it.
    random_state : int, RandomState or None, default=0
        Seeds the noise; with an integer it is the same at all strengths but for its size.

    Returns
    -------
    DataFrame of 16 rows
        `corruption` ("none", "gaussian_noise", "gaussian_blur", "contrast"), `severity` (0 for "none", else 1 to 5),
        `strength` (standard deviation of the noise as a share of the range; that of the blur in pixels; share of the
        contrast that is left) and `accuracy`, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        Samples that are no images, or outside `clip`; a `clip` that does not increase; lengths that differ; no sample.

    Notes
    -----
    The strengths are those of CIFAR-10-C. On images in [0, 1], with e standard normal, G a Gaussian kernel and m the
    mean of an image's channel: noise is clip(x + s e), blur G_s * x (torchvision's `gaussian_blur`, kernel of 3 s to
    either side), contrast clip(m + s (x - m)) (torchvision's `adjust_contrast`, channel by channel). Difference
    from CIFAR-10-C: pixels are not rounded to bytes, and borders are mirrored. 16 predictions of all images; memory of
    two copies of them.

    References
    ----------
    D. Hendrycks, T. Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
    ICLR 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skal.metrics import corruption_report
    >>> X, y = load_digits(return_X_y=True)
    >>> images = (X / 16).reshape(-1, 8, 8)
    >>> flat = FunctionTransformer(lambda images: images.reshape(len(images), -1))
    >>> model = make_pipeline(flat, LogisticRegression(max_iter=500)).fit(images[:900], y[:900])
    >>> report = corruption_report(model, images[900:], y[900:])
    >>> len(report), bool(report["accuracy"].iloc[-1] < report["accuracy"].iloc[0])
    (16, True)
    """
    by = "corruption_report"
    if isinstance(estimator, type) or not callable(getattr(estimator, "predict", None)):
        got = f"the class {estimator.__name__}" if isinstance(estimator, type) else kind_of(estimator)
        raise TypeError(f"The 'estimator' of {by} must be a fitted classifier with `predict`. Got {got}.")
    bounds = parse_clip(clip, by)
    if bounds is None:
        raise ValueError(f"The 'clip' parameter of {by} must be a pair (low, high). Got None instead.")
    images = as_dense(X, by)
    if images.ndim not in (3, 4) or min(images.shape[-2:]) < 4:
        raise ValueError(
            f"X of {by} must hold images (n, h, w) or (n, c, h, w) of 4 x 4 pixels or more. Got shape {images.shape}."
        )
    labels = as_labels(y, f"'y' of {by}", len(images))
    check_in_range(images, bounds, by)
    if not (random_state is None or isinstance(random_state, np.random.RandomState)):
        argument, words = f"The 'random_state' of {by}", "None, a RandomState or an integer of 0 or more"
        if check_int(random_state, argument, words) < 0:
            raise ValueError(f"{argument} must be {words}. Got {shown(random_state)} instead.")
    low, high = bounds
    # Each channel of each image by itself, (n c, 1, h, w), in [0, 1].
    unit = torch.from_numpy((images.astype(working_dtype(images)) - low) / (high - low))
    unit = unit.reshape(-1, 1, *images.shape[-2:])

    def accuracy(values: torch.Tensor) -> float:
        changed = low + (high - low) * values.clamp(0, 1).numpy().reshape(images.shape)
        return _share_right(estimator.predict(like(X, changed)), labels, by)

    rows: list[tuple[str, int, float, float]] = [("none", 0, 0.0, accuracy(unit))]
    for corruption, strengths in _STRENGTHS.items():
        for severity, strength in enumerate(strengths, start=1):
            changed = _corrupted(unit, corruption, strength, random_state)
            rows.append((corruption, severity, strength, accuracy(changed)))
    return pd.DataFrame(rows, columns=["corruption", "severity", "strength", "accuracy"])


def _corrupted(unit: torch.Tensor, corruption: str, strength: float, random_state: Any) -> torch.Tensor:
    # Here, since it takes seconds that nobody else need wait for.
    from torchvision.transforms import functional as F

    if corruption == "gaussian_noise":
        noise = make_generator(random_state).standard_normal(unit.shape, dtype=np.float32)
        return unit + strength * torch.from_numpy(noise)
    if corruption == "gaussian_blur":
        size = 2 * min(math.ceil(3 * strength), min(unit.shape[-2:]) - 1) + 1
        return F.gaussian_blur(unit, [size, size], [strength, strength])
    return F.adjust_contrast(unit, strength)


def _share_right(predicted: Any, labels: NDArray, by: str) -> float:
    found = as_labels(predicted, f"What the estimator of {by} predicts", len(labels))
    kinds = [label_kind(one.tolist()[0]) for one in (labels, found)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"'y' of {by} must hold labels as the estimator predicts them. Got {kinds[0]} instead of {kinds[1]}."
        )
    return float(np.mean(found == labels))
