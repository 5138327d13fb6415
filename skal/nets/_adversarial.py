"""A network trained on its samples and their adversarial copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import clone
from skorch.dataset import unpack_data
from torch import nn
from torch.utils.data import Dataset

from ..models import check_epsilon, check_in_range, check_weight_of_loss, fgsm, parse_clip
from ..rows import as_dense, n_rows, stack_copies
from ..utils._compat import set_training
from ..utils._torch import kept_modes
from ..utils._validation import shown
from ._classifier import DeepClassifier
from ._data import INPUT
from ._labels import as_labels, check_weight

__all__ = ["AdversarialClassifier"]


class AdversarialClassifier(DeepClassifier):
    """A `DeepClassifier` that trains on its samples and on their adversarial copies (FGSM training).

    Each copy is its sample moved by at most `epsilon` in every pixel, in the direction that raises the loss. The
    result stands small worst-case changes, and often noise, better than a network trained on the samples alone,
    at some cost in clean accuracy.

    Parameters
    ----------
    module : nn.Module class or instance, callable that returns one, or str
        As in `DeepClassifier`.
    epsilon : float >= 0, default=8/255
        Size of the step, in the unit of the samples. 8/255 suits natural images in [0, 1]; simple ones (digits) take
        more.
    clip : (low, high) or None, default=(0.0, 1.0)
        Valid range of the samples; copies are clipped to it, and samples outside are an error. None does neither.
    adversarial_weight : float in [0, 1], default=0.5
        Weight of the copies' loss; that of the samples' loss is ``1 - adversarial_weight``. 0 trains a
        plain `DeepClassifier`.
    recraft : {"every_step", "once"}, default="every_step"
        "every_step" crafts the copies of each batch against the network as it stands, which doubles to triples the cost
        of training. "once" crafts all copies at the beginning of the call and keeps them: against a network trained on
        the clean samples first (`fit`), or this one as it stands (`partial_fit` and `warm_start`, once trained).
    **kwargs
        Any other parameter of `DeepClassifier`. ``freeze="backbone"`` is an error, since features that are computed
        once cannot follow the copies.

    Notes
    -----
    With J the cross-entropy, y the true label, and theta the weights (DM2, eqs. 12-14 with lambda = 1 -
    `adversarial_weight`):

    .. math::
        x^{adv} = \\mathrm{clip}(x + \\epsilon\\, \\mathrm{sign} \\nabla_x J(\\theta, x, y)), \\qquad
        L = \\lambda J(\\theta, x, y) + (1 - \\lambda) J(\\theta, x^{adv}, y)

    Copies are crafted in eval mode: batch statistics and dropout neither shape them nor are moved by crafting. In
    training, samples and copies pass through the module one after the other, each as a batch of its own. A
    `sample_weight` weighs a sample and its copy alike. `history` shows the combined loss as `train_loss`.

    Differences from the paper: section 4.1 crafts in each step against the true label (the default here); its
    algorithm 2 crafts once against the predicted label: that is `skal.learners.DM2ATLearner`.

    References
    ----------
    I. J. Goodfellow, J. Shlens, C. Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015.

    S. Song, X. Wang, S. Dong, J. Jiang, "Robust deep active learning via distance-measured data mixing and
    adversarial training", Entropy 27, 1159, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from skal.nets import AdversarialClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(80, 2))
    >>> y = np.where(X[:, 0] > 0.5, "right", "left")
    >>> net = AdversarialClassifier(nn.Linear(2, 2), epsilon=0.1, max_epochs=100, lr=1.0, random_state=0).fit(X, y)
    >>> copies = net.fgsm(X, y)
    >>> bool(abs(copies - X).max() <= 0.1 + 1e-9), bool(copies.min() >= 0 and copies.max() <= 1)
    (True, True)
    >>> net.score(copies, y) <= net.score(X, y)
    True
    """

    def __init__(
        self,
        module: type[nn.Module] | nn.Module | Any,
        *,
        epsilon: float = 8 / 255,
        clip: tuple[float, float] | None = (0.0, 1.0),
        adversarial_weight: float = 0.5,
        recraft: Literal["every_step", "once"] = "every_step",
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        self.epsilon = epsilon
        self.clip = clip
        self.adversarial_weight = adversarial_weight
        self.recraft = recraft

    def fgsm(self, X: Any, y: Any = None) -> Any:
        """Adversarial copies of samples, against the network as it stands.

        Parameters
        ----------
        X : array, tensor or DataFrame of numbers (n, ...)
            Samples inside `clip`.
        y : array-like (n,) of labels in `classes_`, or None
            Whose loss is to rise; None takes the network's own predictions.

        Returns
        -------
        array, tensor or DataFrame, the shape of `X`
            Of float32 where that holds the numbers of `X`, else float64.

        Raises
        ------
        ValueError
            Samples outside `clip`, labels that are not in `classes_`, lengths that differ.
        TypeError
            Samples that are not dense numbers.
        """
        self.check_is_fitted()
        self._check_params()
        by = type(self).__name__
        y = self.predict(X) if y is None else y
        return fgsm(self, X, y, float(self.epsilon), parse_clip(self.clip, by), by)

    # ---------------------------------------------------------------- training

    def _check_params(self) -> None:
        super()._check_params()
        by = type(self).__name__
        check_epsilon(self.epsilon, by)
        parse_clip(self.clip, by)
        check_weight_of_loss(self.adversarial_weight, by)
        if self.recraft not in ("every_step", "once"):
            raise ValueError(
                f"The 'recraft' parameter of {by} must be 'every_step' or 'once'. Got {shown(self.recraft)} instead."
            )
        if self.freeze is not None:
            raise ValueError(f"The 'freeze' parameter of {by} must be None. Got {shown(self.freeze)} instead.")

    def _train(
        self, X: Any, y: Any, classes: Any, sample_weight: Any, fit_params: dict[str, Any], *, reset: bool
    ) -> AdversarialClassifier:
        self._check_params()
        by = type(self).__name__
        if isinstance(X, Dataset):
            raise TypeError(f"{by} crafts copies of samples, which must be an array. Got a {type(X).__name__}.")
        if n_rows(X):
            check_in_range(as_dense(X, by), parse_clip(self.clip, by), by)
        if self.recraft == "once" and self.adversarial_weight > 0:
            X, y, sample_weight = self._with_copies(X, y, sample_weight, classes, fit_params, reset)
        super()._train(X, y, classes, sample_weight, fit_params, reset=reset)
        return self

    def _with_copies(
        self, X: Any, y: Any, sample_weight: Any, classes: Any, fit_params: dict[str, Any], reset: bool
    ) -> tuple[Any, Any, Any]:
        """Samples, then their copies, with the labels of both and the weights of eq. 14."""
        crafter = self
        if reset or not (self.initialized_ and len(self.history)):
            crafter = clone(self).set_params(adversarial_weight=0.0)
            crafter._train(X, y, classes, sample_weight, fit_params, reset=True)
        y = as_labels(y)
        copies = crafter.fgsm(X, y)
        given = check_weight(sample_weight, len(y))
        weight = np.ones(len(y)) if given is None else given
        share = float(self.adversarial_weight)
        return stack_copies(X, copies), np.concatenate([y, y]), np.concatenate([(1 - share) * weight, share * weight])

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Forward and backward pass of one batch and its copies."""
        weight = float(self.adversarial_weight)
        if self.recraft != "every_step" or weight == 0:
            return super().train_step_single(batch, **fit_params)
        Xi, yi = unpack_data(batch)
        copies = self._craft(Xi, yi, fit_params)
        set_training(self, True)
        y_pred = self.infer(Xi, **fit_params)
        clean = self.get_loss(y_pred, yi, X=Xi, training=True)
        adversarial = self.get_loss(self.infer(copies, **fit_params), yi, X=copies, training=True)
        loss = (1 - weight) * clean + weight * adversarial
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}

    def _craft(self, Xi: Any, yi: Any, fit_params: dict[str, Any]) -> Any:
        """The batch `Xi` with its samples replaced by their copies."""
        x = self._entered(Xi[INPUT] if isinstance(Xi, Mapping) else Xi, self.module_).detach().clone()
        if not x.is_floating_point():
            by = type(self).__name__
            raise TypeError(f"{by} needs a module that takes real numbers. Got one that takes {x.dtype}.")

        def packed(samples: torch.Tensor) -> Any:
            return {**Xi, INPUT: samples} if isinstance(Xi, Mapping) else samples

        with kept_modes(self.module_), torch.enable_grad():
            set_training(self, False)
            x.requires_grad_(True)
            loss = self.get_loss(self.infer(packed(x), **fit_params), yi, X=None, training=False)
            (gradient,) = torch.autograd.grad(loss, x)
        moved = x.detach() + float(self.epsilon) * gradient.sign()
        clip = parse_clip(self.clip, type(self).__name__)
        return packed(moved if clip is None else moved.clamp_(*clip))
