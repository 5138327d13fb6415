"""What scikit-learn's tags say of the input that a model takes."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

__all__ = ["input_tags", "takes_missing"]


def input_tags(estimator: Any) -> Any:
    """What the model says about its input; None where nothing is known, so that X is its own business."""
    parts = (estimator, *estimator.get_params(deep=True).values())
    if any(isinstance(part, Pipeline) for part in parts):
        # Its tags do not tell, since an imputer or an encoder may stand anywhere in it.
        return None
    # Those of searches and other wrappers do not, either.
    while getattr(estimator, "estimator", None) is not None:
        estimator = estimator.estimator
    tags = get_tags(estimator)
    return None if tags.no_validation else tags.input_tags


def takes_missing(estimator: Any) -> bool:
    """Whether NaN in its input is the business of `estimator`: it takes it, or does not say."""
    if not hasattr(estimator, "get_params"):
        return False
    tags = input_tags(estimator)
    return tags is None or tags.allow_nan
