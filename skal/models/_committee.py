"""modAL's committees: each member is a learner, perhaps with a pipeline of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils._compat import BaseCommittee
from ._base import register_model
from ._clones import some_of, spread
from ._plain import PlainModel
from ._unwrap import Unwrapped, is_fitted

__all__ = ["CommitteeModel"]


class CommitteeModel(PlainModel):
    """Probabilities are the committee's own; every member is an opinion."""

    offers = frozenset({"proba", "embeddings", "opinions", "members"})
    has_labels = False

    def supplies(self, member: str) -> bool:
        # Its members are what clones are made for.
        return member != "clones" and super().supplies(member)

    def advice(self, member: str) -> str:
        if member == "labeled":
            return "It holds none for all of its members: pass X_training= and y_training=."
        return super().advice(member)

    def is_fitted(self) -> bool:
        return all(is_fitted(learner) for learner in self.estimator.learner_list)

    def proba(self, X: Any) -> NDArray:
        # modAL asks for the shape of the samples.
        return super().proba(np.asarray(X) if isinstance(X, (list, tuple)) else X)

    def opinions(self, X: Any, n: int, rng: np.random.Generator) -> Iterator[NDArray]:
        return self._of(X, some_of(len(self.estimator.learner_list), n, rng))

    def members(self, X: Any) -> Iterator[NDArray]:
        return self._of(X, range(len(self.estimator.learner_list)))

    def _of(self, X: Any, chosen: Collection[int] | NDArray) -> Iterator[NDArray]:
        classes = np.asarray(self.estimator.classes_)
        for i in chosen:
            member = Unwrapped(self.estimator.learner_list[i])
            proba = np.asarray(member.model.answers(member.transform(X), {"proba"}).proba)
            yield spread(proba, member.model.classes(proba.shape[1]), classes)


register_model(lambda estimator: isinstance(estimator, BaseCommittee), CommitteeModel)
