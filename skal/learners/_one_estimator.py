"""A learner of one estimator: what it is given to train on and to predict, and what scikit-learn may ask of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from torch import nn

from ..base import unknown_keyword
from ..models import Unwrapped, casting, interrupts_pass, is_fitted, is_plain_net, net_labels, takes_missing
from ..rows import (
    check_classes,
    check_labels,
    check_training_data,
    n_rows,
    net_input,
    own_labels,
    plain_labels,
    read_by,
    take_rows,
)
from ..utils._compat import BaseHeterogeneousEnsemble
from ..utils._random import make_generator
from ..utils._validation import shown
from ._asking import Asking, side_by_side, without_data
from ._labels import is_one_label

__all__ = ["OneEstimator"]


class OneEstimator(Asking):
    """What all learners of one estimator have in common; goes before modAL's class."""

    estimator: Any
    force_all_finite: bool
    random_state: int | np.random.RandomState | None

    def _check_data(self, X: Any, y: Any, classes: Any = None) -> tuple[Any, Any]:
        """Samples and labels that fit together."""
        if is_one_label(y):
            raise ValueError(
                f"y must hold one label for each of {n_rows(X)} samples. Got the label {shown(y)} alone: put it into a "
                "list."
            )
        y = own_labels(X) if y is None else y
        if classes is not None:
            check_labels(y, check_classes(classes, type(self).__name__))
        check_training_data(X, y, ensure_all_finite=self.force_all_finite and not takes_missing(self.estimator))
        return X, y

    def _fit_estimator(
        self, X: Any, y: Any, bootstrap: bool, fit_kwargs: dict[str, Any], method: Literal["fit", "partial_fit"] = "fit"
    ) -> Any:
        if not isinstance(bootstrap, (int, np.bool_)):
            raise ValueError(f"The 'bootstrap' parameter of a learner must be a bool. Got {shown(bootstrap)} instead.")
        if bootstrap:
            n = n_rows(X)
            idx = make_generator(self.random_state, self.round, n).integers(n, size=n)
            X, y = take_rows(X, idx), take_rows(y, idx)
        with self._at_work(X), interrupts_pass():
            getattr(self.estimator, method)(self._model_input(X), self._model_labels(y), **fit_kwargs)
        return self

    def _model_input(self, X: Any) -> Any:
        """`X` as the estimator takes it: a bare skorch network, also in a search, gets its own dtype."""
        unwrapped = Unwrapped(self.estimator)
        if unwrapped.transformers or not is_plain_net(unwrapped.final):
            return X
        module = getattr(unwrapped.final, "module_", unwrapped.final.module)
        return net_input(X, module if isinstance(module, nn.Module) else None)

    def _model_labels(self, y: Any) -> Any:
        """A plain skorch network, also one at the end of a pipeline, takes only 64-bit integers as class labels."""
        y = plain_labels(y)
        return net_labels(y) if is_plain_net(Unwrapped(self.estimator).final) else y

    @contextmanager
    def _at_work(self, X: Any) -> Iterator[None]:
        """While the estimator is given `X`."""
        with casting(self.estimator), read_by(X, type(Unwrapped(self.estimator).final).__name__):
            yield

    def predict(self, X: Any, **predict_kwargs: Any) -> Any:
        """The estimator's predictions, `(n,)`."""
        with self._at_work(X):
            return self.estimator.predict(self._model_input(X), **predict_kwargs)

    def predict_proba(self, X: Any, **predict_proba_kwargs: Any) -> Any:
        """The estimator's class probabilities, `(n, n_classes)`."""
        with self._at_work(X):
            return self.estimator.predict_proba(self._model_input(X), **predict_proba_kwargs)

    def score(self, X: Any, y: Any, **score_kwargs: Any) -> Any:
        """The estimator's own score, accuracy for classifiers."""
        with self._at_work(X):
            return self.estimator.score(self._model_input(X), plain_labels(y), **score_kwargs)

    def transform_without_estimating(self, X: Any) -> Any:
        """`X` behind the transformers of the estimator's pipeline, or of each pipeline of an ensemble."""
        is_ensemble = isinstance(self.estimator, BaseHeterogeneousEnsemble)
        models = self.estimator.estimators_ if is_ensemble else [self.estimator]
        transformed = [Unwrapped(model).transform(X) for model in models if isinstance(model, Pipeline)]
        return side_by_side(transformed) if transformed else X

    # -- scikit-learn's protocol ---------------------------------------------------------------------------------

    @property
    def classes_(self) -> Any:
        return self.estimator.classes_

    @property
    def n_features_in_(self) -> int:
        return self.estimator.n_features_in_

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """The parameters without the data."""
        return super(OneEstimator, without_data(self)).__repr__(N_CHAR_MAX)  # type: ignore[call-arg]

    def __sklearn_is_fitted__(self) -> bool:
        return is_fitted(self.estimator)

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)

    def _check_fit_kwargs(self, fit_kwargs: dict[str, Any]) -> None:
        """A keyword that the estimator's `fit` cannot take is a typo, not something to swallow."""
        if not fit_kwargs:
            return
        own = [name for name in inspect.signature(type(self).__init__).parameters if name not in ("self", "fit_kwargs")]
        try:
            accepted = inspect.signature(self.estimator.fit).parameters
        except (AttributeError, TypeError, ValueError):
            return
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
        for key in fit_kwargs:
            resembles = any(own_name.startswith(key) or key.startswith(own_name) for own_name in own)
            if (not takes_any and key not in accepted) or (takes_any and resembles):
                raise TypeError(unknown_keyword(type(self).__name__, key, own))
