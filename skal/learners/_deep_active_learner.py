"""modAL's DeepActiveLearner, on today's stack, and with modAL 0.4.1, which has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from modAL.uncertainty import uncertainty_sampling
from sklearn.base import clone

from ..models import is_plain_net, is_skorch
from ..utils._compat import ModALDeepActiveLearner
from ..utils._validation import shown
from ._arguments import check_estimator, check_query_strategy
from ._one_estimator import OneEstimator

__all__ = ["DeepActiveLearner"]


class DeepActiveLearner(OneEstimator, ModALDeepActiveLearner):
    """modAL's `DeepActiveLearner`: a network that goes on learning from what it is taught, which is not kept.

    Existing modAL scripts run unchanged, with modAL 0.4.1 too, which has no such class. Where memory allows, prefer
    `ActiveLearner`, which keeps the labelled data: a network that is taught new samples alone forgets the older ones.

    Parameters
    ----------
    estimator : estimator
        A skorch network, such as skorch's `NeuralNetClassifier` or `skal.nets.DeepClassifier`, or what else has
        `initialize` and `partial_fit`. It is initialized at once, as modAL does; a `DeepClassifier` by the first
        `teach`, which tells it the classes.
    query_strategy : callable, default=modAL.uncertainty.uncertainty_sampling
        As in `ActiveLearner`. A strategy that needs the labelled data gets them with the query:
        ``learner.query(X_pool, X_training=..., y_training=...)``.
    on_transformed : bool, default=False
        As in `ActiveLearner`.
    force_all_finite : bool, default=True
        Whether NaN and infinity in samples are an error.
    random_state : int, RandomState or None, default=None
        Seeds bootstrap samples.
    **fit_kwargs
        Keywords of the estimator's `fit`; not used, as in modAL. Others are an error.

    Attributes
    ----------
    num_epochs, batch_size : int
        The network's `max_epochs` and `batch_size`; may be set at any time.
    round, n_rounds, verbose, memory_limit, classes_
        As in `ActiveLearner`.

    Raises
    ------
    TypeError
        An estimator without `initialize` or `partial_fit`.

    Notes
    -----
    There is no `X_training`, and so neither `undo` nor `relabel`. A failed or interrupted `query`, `fit` or `teach`
    leaves the network as it was, at the cost of a copy of its weights and of its optimizer's state.

    Of skorch's own networks `classes_` are the labels of the last `teach`; a `DeepClassifier` keeps those of the first,
    or those that it is given in `classes`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from skal.learners import DeepActiveLearner
    >>> from skal.nets import DeepClassifier
    >>> from skal.strategies import entropy_sampling
    >>> X, y = load_iris(return_X_y=True)
    >>> net = DeepClassifier(nn.Linear(4, 3), max_epochs=5, random_state=0)
    >>> learner = DeepActiveLearner(net, query_strategy=entropy_sampling)
    >>> learner.teach(X[::10], y[::10])
    >>> query_idx, X_query = learner.query(X, n_instances=8)
    >>> learner.num_epochs = 2
    >>> learner.teach(X_query, y[query_idx])
    >>> len(net.history)
    7
    """

    def __init__(
        self,
        estimator: Any,
        query_strategy: Callable[..., Any] = uncertainty_sampling,
        on_transformed: bool = False,
        *,
        force_all_finite: bool = True,
        random_state: int | np.random.RandomState | None = None,
        **fit_kwargs: Any,
    ) -> None:
        check_estimator(estimator, has_data=True)
        if not all(callable(getattr(estimator, method, None)) for method in ("initialize", "partial_fit")):
            raise TypeError(
                "DeepActiveLearner needs a network with initialize and partial_fit, such as skal.nets.DeepClassifier "
                f"or one of skorch's. Got {shown(estimator)} instead."
            )
        check_query_strategy(query_strategy)
        if not isinstance(force_all_finite, bool):
            raise TypeError(f"force_all_finite must be a bool. Got {shown(force_all_finite)} instead.")
        self.estimator = estimator
        self.query_strategy = query_strategy
        self.on_transformed = on_transformed
        self.force_all_finite = force_all_finite
        self.random_state = random_state
        self._check_fit_kwargs(fit_kwargs)
        self._start_anew()
        learns_classes = is_skorch(estimator) and not is_plain_net(estimator)
        if not learns_classes and not getattr(estimator, "initialized_", False):
            estimator.initialize()

    def fit(self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any) -> DeepActiveLearner:
        """Train the network from new weights on `X` and `y`.

        Parameters
        ----------
        X : array-like of n samples
        y : array-like of n labels
        bootstrap : bool, default=False
            Whether to train on a bootstrap sample.
        **fit_kwargs
            Passed to the network's `fit`.

        Returns
        -------
        self
        """
        with self._unchanged_on_error():
            self._fit_on_new(X, y, bootstrap=bootstrap, **fit_kwargs)
            self._start_anew()
        return self

    def teach(self, X: Any, y: Any, warm_start: bool = True, bootstrap: bool = False, **fit_kwargs: Any) -> None:
        """Train the network on new samples alone.

        Parameters
        ----------
        X : array-like of m samples
        y : array-like of m labels
        warm_start : bool, default=True
            Whether the network goes on from the weights that it has (`partial_fit`), or starts from new ones (`fit`).
        bootstrap : bool, default=False
            Whether to train on a bootstrap sample.
        **fit_kwargs
            Passed to the network's `partial_fit` or `fit`.
        """
        with self._unchanged_on_error():
            X, y = self._check_data(X, y)
            self._fit_estimator(X, y, bootstrap, fit_kwargs, "partial_fit" if warm_start else "fit")
            self._answered()

    def _fit_on_new(self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any) -> DeepActiveLearner:
        return self._fit_estimator(*self._check_data(X, y), bootstrap, fit_kwargs)

    @property
    def num_epochs(self) -> int:
        """Epochs of one training."""
        return self.estimator.max_epochs

    @num_epochs.setter
    def num_epochs(self, value: int) -> None:
        self.estimator.max_epochs = _positive(value, "num_epochs")

    @property
    def batch_size(self) -> int:
        """Samples in a batch, in training and in prediction."""
        return self.estimator.batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        self.estimator.batch_size = _positive(value, "batch_size")

    def __sklearn_clone__(self) -> DeepActiveLearner:
        twin = type(self)(**{name: clone(value, safe=False) for name, value in self.get_params(deep=False).items()})
        twin.n_rounds = self.n_rounds
        return twin


def _positive(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer. Got {shown(value)} instead.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1. Got {shown(value)} instead.")
    return int(value)
