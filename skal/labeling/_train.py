"""Training the model of a project on all of its labels."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np
from sklearn.pipeline import Pipeline

from ..learners import ActiveLearner
from ..models import interrupts_pass
from ..strategies import RandomSampling
from ._answers import Id
from ._estimate import Estimate, accuracy_of, lacks
from ._features import fitted_features
from ._model import write_model
from ._named import make_model
from ._project import Project
from ._sources import Source

__all__ = ["train"]


def train(project: Project, source: Source, labels: Mapping[Id, Any], key: str) -> Estimate | str:
    """Train as a query does, keep the model, and estimate its accuracy; or say why that cannot be estimated.

    What is kept is a Pipeline from the samples themselves (rows of a table, texts, or paths of images) to labels.
    """
    settings = project.settings
    X, steps = fitted_features(project, source)
    known, y = X[[source.position(one) for one in labels]], list(labels.values())
    model = make_model(settings.model, project.folder, settings.seed)
    learner = ActiveLearner(
        model, RandomSampling(), classes=settings.classes, cold_start="random", random_state=settings.seed
    )
    learner.retrain(known, np.asarray(y), source="journal")
    content = io.BytesIO()
    joblib.dump(Pipeline([*steps, ("model", learner.estimator)]), content)
    estimate = _estimate(model, known, y, settings.seed)
    about = {"n_labels": len(y)} if isinstance(estimate, str) else estimate._asdict()
    write_model(project, key, content.getvalue(), about)
    return estimate


def _estimate(model: Any, X: Any, y: list[Any], seed: int) -> Estimate | str:
    why_not = lacks(y)
    if why_not:
        return why_not
    try:
        with interrupts_pass():
            return accuracy_of(model, X, y, seed)
    except Exception as error:  # a classifier that takes all labels may not take a part of them
        return f"accuracy cannot be estimated: {type(error).__name__}: {error}"
