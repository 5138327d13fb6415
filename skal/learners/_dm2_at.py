"""DM2-AT: DM2 queries, and training on each queried sample together with its adversarial copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..models import check_epsilon, check_weight_of_loss, fgsm, gradient_model, parse_clip
from ..rows import n_rows, stack_copies, stack_rows, take_rows
from ..strategies import DM2
from ..utils._random import make_generator
from ..utils._validation import shown
from ._active_learner import ActiveLearner
from ._arguments import NOT_GIVEN
from ._labels import LabeledSet

__all__ = ["DM2ATLearner"]


class DM2ATLearner(ActiveLearner):
    """An `ActiveLearner` that queries by DM2 and trains each queried sample together with an adversarial copy of it.

    When samples are taught, each is first moved a small step (FGSM) in the direction that raises the loss of the model
    that queried it. The copy is kept, carries the sample's true label, and takes part in every later training. Copies
    cost no labels. The result stands noise and small worst-case changes better.

    Parameters
    ----------
    estimator : estimator
        With `input_gradient(X, y)`, and `sample_weight` in `fit`: `skal.nets.DeepClassifier` or
        `skal.nets.AdversarialClassifier`.
    query_strategy : callable or None, default=None
        None is a `DM2()` of its own; its parameters are then `query_strategy__n_neighbors` and so on. Any other
        strategy goes with adversarial copies as well.
    X_training, y_training, bootstrap_init, on_transformed, force_all_finite, random_state, classes, cold_start
        As in `ActiveLearner`. These initial samples have no copies.
    epsilon : float >= 0, default=8/255
        Size of the step, in the unit of the samples.
    clip : (low, high) or None, default=(0.0, 1.0)
        Valid range of the samples; copies are clipped to it, and samples outside are an error. None does neither.
    adversarial_weight : float in [0, 1], default=0.5
        Weight of a copy in the loss; the sample itself then has ``1 - adversarial_weight``. A sample without a
        copy has weight 1.
    label : {"pseudo", "true"}, default="pseudo"
        Whose loss the step raises: the model's own prediction's, as in the paper, where copies are crafted before the
        label is known; or that of the label just taught (the prediction's still, where the model does not know that
        label yet). Copies are trained with the true label either way.
    **fit_kwargs
        Passed to the estimator's `fit` when it is fitted at construction.

    Attributes
    ----------
    X_adversarial, y_adversarial : array-like or None
        The copies and their true labels, in the order of teaching; None as long as there are none. Not part of
        `X_training`.
    X_training, y_training, round, n_rounds, classes_
        As in `ActiveLearner`.

    Raises
    ------
    TypeError
        An estimator without `input_gradient`; samples that are not dense numbers.
    ValueError
        A parameter out of range; samples outside `clip`. A failed `teach` leaves the learner as it was.

    Notes
    -----
    With x a queried sample, y its label, y-hat the prediction of the weights theta that queried it, and lambda = 1 -
    `adversarial_weight` (eqs. 14-16 and algorithm 2):

    .. math::
        x^{adv} = \\mathrm{clip}(x + \\epsilon\\, \\mathrm{sign} \\nabla_x J(\\theta, x, \\hat y)), \\qquad
        L = \\sum_{initial} J(x, y) + \\sum_{queried} \\lambda J(x, y) + (1 - \\lambda) J(x^{adv}, y)

    The defaults of `epsilon` and `adversarial_weight` are our choices: the paper's are not legible in the text at hand.

    L is given to the estimator as weights of samples and copies, which enter mini-batches independently.
    Where a prediction is wrong, the step against it can move x towards its true class and make the copy easier; that
    is the paper's method, and `label="true"` the way around it.

    Copies are crafted in `teach`, for every sample taught once the estimator is fitted; at that moment the model
    is still the one that queried. `fit` starts anew, without copies; `undo` drops those of the samples that it takes
    back. `relabel` gives a copy the new label and crafts nothing anew, whatever `label` says: the model whose loss the
    step raised, the one that queried, is gone by then. ``teach(only_new=True)`` trains on the new
    samples and their copies; a bootstrap draws samples, and copies follow theirs. A `sample_weight` given to `fit` or
    `teach` holds one entry for each row of `X_training` (of the new samples, with `only_new`), and a copy shares
    its sample's. Extra cost: one gradient for each queried sample, and training on up to twice as many rows.

    In a retrospective loop: ``ActiveLearningClassifier(net, DM2(), learner=DM2ATLearner(None))``, where
    `learner__epsilon` and `query_strategy__n_neighbors` can be searched.

    References
    ----------
    S. Song, X. Wang, S. Dong, J. Jiang, "Robust deep active learning via distance-measured data mixing and
    adversarial training", Entropy 27, 1159, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from skal.learners import DM2ATLearner
    >>> from skal.nets import DeepClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(60, 2)).astype(np.float32)
    >>> y = (X[:, 0] > X[:, 1]).astype(int)
    >>> net = DeepClassifier(nn.Linear(2, 2), max_epochs=50, lr=0.5, random_state=0)
    >>> learner = DM2ATLearner(net, X_training=X[:10], y_training=y[:10], epsilon=0.05)
    >>> query_idx, X_query = learner.query(X[10:], n_instances=4)
    >>> learner.teach(X_query, y[10:][query_idx])
    >>> len(learner.X_training), len(learner.X_adversarial)
    (14, 4)
    """

    def __init__(
        self,
        estimator: Any,
        query_strategy: Callable[..., Any] | None = None,
        X_training: Any = None,
        y_training: Any = None,
        bootstrap_init: bool = False,
        on_transformed: bool = False,
        force_all_finite: bool = True,
        random_state: int | np.random.RandomState | None = None,
        *,
        classes: Any = None,
        cold_start: Any = NOT_GIVEN,
        epsilon: float = 8 / 255,
        clip: tuple[float, float] | None = (0.0, 1.0),
        adversarial_weight: float = 0.5,
        label: Literal["pseudo", "true"] = "pseudo",
        **fit_kwargs: Any,
    ) -> None:
        self.epsilon = epsilon
        self.clip = clip
        self.adversarial_weight = adversarial_weight
        self.label = label
        self._check_adversarial()
        if estimator is not None:
            gradient_model(estimator, type(self).__name__)
        super().__init__(
            estimator,
            DM2() if query_strategy is None else query_strategy,
            X_training,
            y_training,
            bootstrap_init=bootstrap_init,
            on_transformed=on_transformed,
            force_all_finite=force_all_finite,
            random_state=random_state,
            classes=classes,
            cold_start=cold_start,
            **fit_kwargs,
        )

    @property
    def X_adversarial(self) -> Any:
        return self._labels.copies

    @property
    def y_adversarial(self) -> Any:
        copied = self._labels.copied
        return take_rows(self.y_training, copied) if len(copied) else None

    def _check_adversarial(self) -> None:
        by = type(self).__name__
        check_epsilon(self.epsilon, by)
        parse_clip(self.clip, by)
        check_weight_of_loss(self.adversarial_weight, by)
        if self.label not in ("pseudo", "true"):
            raise ValueError(f"The 'label' parameter of {by} must be 'pseudo' or 'true'. Got {shown(self.label)}.")

    def _begin_with(self, labels: LabeledSet) -> None:
        self._check_adversarial()
        super()._begin_with(labels)

    def _copies(self, X: Any, y: Any) -> Any:
        """Adversarial copies, where there is a model to craft them with."""
        self._check_adversarial()
        return self._craft(X, y) if self.__sklearn_is_fitted__() else None

    def _craft(self, X: Any, y: Any) -> Any:
        by = type(self).__name__
        model = gradient_model(self.estimator, by)
        labels = np.asarray(model.predict(X))
        if self.label == "true":
            true = np.asarray(y)
            labels = np.where(np.isin(true, model.classes_), true, labels)
        return fgsm(model, X, labels, float(self.epsilon), parse_clip(self.clip, by), by)

    def _fit_to_known(self, bootstrap: bool = False, **fit_kwargs: Any) -> ActiveLearner:
        if self.X_adversarial is None and not bootstrap:
            return super()._fit_to_known(**fit_kwargs)
        return self._fit_rows(np.arange(n_rows(self.X_training)), bootstrap, fit_kwargs)

    def _fit_on_new(self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any) -> ActiveLearner:
        n = n_rows(self.X_training)
        return self._fit_rows(np.arange(n - n_rows(X), n), bootstrap, fit_kwargs)

    def _fit_rows(self, rows: NDArray[np.int64], bootstrap: bool, fit_kwargs: dict[str, Any]) -> ActiveLearner:
        """Train on these rows of the labelled data and on their copies, with eq. 14's weights."""
        weight = fit_kwargs.get("sample_weight")
        weight = np.ones(len(rows)) if weight is None else np.asarray(weight, dtype=np.float64)
        if weight.shape != rows.shape:
            raise ValueError(f"sample_weight must have shape {rows.shape}, as y has. Got {weight.shape} instead.")
        if bootstrap:
            drawn = make_generator(self.random_state, self.round, len(rows)).integers(len(rows), size=len(rows))
            rows, weight = rows[drawn], weight[drawn]
        X, y = take_rows(self.X_training, rows), take_rows(self.y_training, rows)
        # For each row of X_training the position of its copy, -1 for those that have none.
        copy_of = np.full(len(self._labels), -1)
        copy_of[self._labels.copied] = np.arange(len(self._labels.copied))
        has_copy = copy_of[rows] >= 0
        if has_copy.any():
            share = float(self.adversarial_weight)
            copies = copy_of[rows[has_copy]]
            X = stack_copies(X, take_rows(self.X_adversarial, copies))
            y = stack_rows(y, take_rows(self.y_adversarial, copies))
            weight = np.concatenate([np.where(has_copy, 1 - share, 1.0) * weight, share * weight[has_copy]])
        if has_copy.any() or "sample_weight" in fit_kwargs:
            fit_kwargs = {**fit_kwargs, "sample_weight": weight}
        return self._fit_estimator(X, y, False, fit_kwargs)
