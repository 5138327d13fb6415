"""What `AnyOf` and `AllOf` share."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

from sklearn.base import clone

from ...pool import PoolView
from ...utils._validation import shown
from ._base import StoppingCriterion, StoppingReport

__all__ = ["SeveralCriteria"]


class SeveralCriteria(StoppingCriterion):
    """Asks clones of its criteria, all of them in every round."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"criteria": [list, tuple]}
    criteria_: list[StoppingCriterion]
    reports_: list[StoppingReport]

    def __init__(self, criteria: Sequence[StoppingCriterion]) -> None:
        self.criteria = criteria

    def _check_params(self) -> None:
        super()._check_params()
        if len(self.criteria) == 0 or not all(isinstance(one, StoppingCriterion) for one in self.criteria):
            raise TypeError(
                f"The 'criteria' parameter of {type(self).__name__} must hold stopping criteria, at least one. "
                f"Got {shown(self.criteria)} instead."
            )
        for one in self.criteria:
            one._check_params()

    def _judge(self, pool: PoolView, X_eval: Any, y_eval: Any) -> StoppingReport:
        # Copies take the round, so that none has seen it where one fails; what is remembered is never changed in place.
        seen = [copy.copy(one) for one in getattr(self, "criteria_", [clone(one) for one in self.criteria])]
        reports = [one.update(pool, pool.X, X_eval=X_eval, y_eval=y_eval) for one in seen]
        self.criteria_, self.reports_ = seen, reports
        stops = [bool(report) for report in reports]
        value = sum(stops) / len(stops)
        names = [type(one).__name__ for one in seen]
        said = " ".join(f"{name}: {report.reason}" for name, report in zip(names, reports, strict=True))
        return StoppingReport(self._decide(stops), value, f"{sum(stops)} of {len(stops)} criteria say stop. {said}")

    def _decide(self, stops: list[bool]) -> bool:
        raise NotImplementedError
