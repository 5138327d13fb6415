"""Class labels that a model predicts, for criteria that compare models."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor

from ...models import is_skorch
from ...pool import PoolView
from ...rows import read_by

__all__ = ["predicted_labels"]


def predicted_labels(pool: PoolView, by: str) -> NDArray[Any]:
    """The label predicted for each sample of the pool, `(n,)`."""
    if is_regressor(pool.model.estimator):
        raise TypeError(f"{by} must be given a classifier. Got {pool.model_name}, a regressor.")
    predict = getattr(pool.classifier, "predict", None)
    if predict is None or is_skorch(pool.model.estimator):
        # The view casts samples for a network, whose predictions are its most probable classes.
        return pool.classes[pool.proba.argmax(axis=1)]
    with read_by(pool.X, pool.model_name):
        labels = predict(pool.X)
    try:
        labels = np.asarray(labels)
    except ValueError:  # of a detector, whose answers are of several lengths
        labels = np.empty((len(pool), 0))
    if labels.shape != (len(pool),) or isinstance(labels[0], dict):
        raise TypeError(
            f"{by} must be given a classifier that predicts one label for each sample. Got {pool.model_name}."
        )
    return labels
