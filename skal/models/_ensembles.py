"""scikit-learn's ensembles: each member is an opinion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier, VotingClassifier

from ._base import register_model
from ._clones import some_of, spread
from ._plain import PlainModel

__all__ = ["EnsembleModel"]


class EnsembleModel(PlainModel):
    """Random forests, bagging and voting."""

    offers = PlainModel.offers | {"opinions"}

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        members = getattr(estimator, "estimators_", [])
        if not all(hasattr(member, "predict_proba") for member in members):
            self.offers = self.offers - {"opinions"}

    def opinions(self, X: Any, n: int, rng: np.random.Generator) -> Iterator[NDArray]:
        if "opinions" not in self.offers:
            raise self.lacks("opinions")
        members = self.estimator.estimators_
        features = getattr(self.estimator, "estimators_features_", None)
        if not isinstance(self.estimator, VotingClassifier):
            X = X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)
            if X.ndim != 2:
                raise ValueError(f"{self.name} takes samples of one row of features each. Got shape {X.shape}.")
        chosen = some_of(len(members), n, rng)
        n_classes = np.arange(len(self.estimator.classes_))
        for i in chosen:
            proba = members[i].predict_proba(X if features is None else X[:, features[i]])
            # Members are trained on the positions of the labels in the ensemble's classes_.
            yield spread(proba, np.asarray(members[i].classes_).astype(int), n_classes)


register_model(
    lambda estimator: isinstance(
        estimator, (BaggingClassifier, RandomForestClassifier, ExtraTreesClassifier, VotingClassifier)
    ),
    EnsembleModel,
)
