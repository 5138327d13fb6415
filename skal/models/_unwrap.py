"""From what a strategy is called with to the final estimator: learner, search, pipeline, last step."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from ..exceptions import PoolCapabilityError
from ..utils._compat import BaseLearner, BaseSearchCV
from ._base import Model, model_for

__all__ = ["Unwrapped", "is_fitted"]


class Unwrapped:
    """Transformers on the way, the final estimator, and its model.

    Parameters
    ----------
    classifier : object
        A learner, a committee, a classifier, or a search, a pipeline or `FrozenEstimator` around one. Of a search that
        is not fitted yet, what it will fit.

    Attributes
    ----------
    transformers : list
        In order; what plays no part in prediction, such as imbalanced-learn's samplers, is left out.
    final : object
        The final estimator.
    """

    def __init__(self, classifier: Any) -> None:
        self.transformers: list[Any] = []
        self._is_frozen = False
        model = classifier
        while True:
            if isinstance(model, BaseLearner):
                model = model.estimator
            elif hasattr(model, "best_estimator_"):
                model = model.best_estimator_
            elif isinstance(model, BaseSearchCV) and model.refit:
                # What it fits are clones: its own estimator says nothing about it, fitted or not.
                model = clone(model.estimator)
            elif isinstance(model, FrozenEstimator):
                self._is_frozen, model = True, model.estimator
            elif isinstance(model, Pipeline) and not _is_passthrough(model.steps[-1][1]):
                self.transformers += [_transformer(step, name) for name, step in model.steps[:-1] if _transforms(step)]
                model = model.steps[-1][1]
            else:
                break
        self.final = model

    @cached_property
    def model(self) -> Model:
        """What the final estimator can tell."""
        model = model_for(self.final)
        model.is_frozen = self._is_frozen
        return model

    def transform(self, X: Any) -> Any:
        """`X` as the final estimator sees it."""
        for transformer in self.transformers:
            X = transformer.transform(X)
        return X

    def fit_transform(self, X: Any) -> Any:
        """`X` behind clones of the transformers, fitted on it; for models that are not fitted yet."""
        for transformer in self.transformers:
            X = clone(transformer).fit_transform(X)
        return X


def _is_passthrough(step: Any) -> bool:
    return step is None or isinstance(step, str)


def _transforms(step: Any) -> bool:
    """Whether a step of a pipeline changes what is predicted: neither what passes, nor what resamples for `fit`."""
    return not _is_passthrough(step) and not (hasattr(step, "fit_resample") and not hasattr(step, "transform"))


def _transformer(step: Any, name: str) -> Any:
    if not hasattr(step, "transform"):
        raise PoolCapabilityError(
            f"Steps of a Pipeline before the last must have transform. Step {name!r}, {type(step).__name__}, has none."
        )
    return step


def is_fitted(classifier: Any) -> bool:
    """Whether the model behind `classifier` can predict; true for what does not say."""
    return Unwrapped(classifier).model.is_fitted()
