"""What a learner is made of, checked before any work: estimator, query strategy, and who chooses the first labels."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from .. import strategies
from ..base import QueryStrategy
from ..utils._validation import shown

__all__ = ["NOT_GIVEN", "check_cold_start", "check_estimator", "check_query_strategy", "first_strategy"]


class _NotGiven(str):
    """ "random" where nobody said so: a strategy that can choose the first labels by itself may do that."""

    __slots__ = ()


NOT_GIVEN = _NotGiven("random")


def check_estimator(estimator: Any, *, has_data: bool) -> None:
    """Raise `TypeError` for what cannot be trained; None is a place that is still empty, where there are no data."""
    if inspect.isclass(estimator):
        raise TypeError(
            f"estimator must be an instance, not a class. Got {estimator.__name__}; did you mean "
            f"{estimator.__name__}()?"
        )
    if not hasattr(estimator, "fit") and (has_data or estimator is not None):
        raise TypeError(f"estimator must have the methods fit and predict. Got {shown(estimator)} instead.")


def check_query_strategy(query_strategy: Any) -> None:
    """Raise `TypeError` for what is no strategy, with the one that was meant."""
    if inspect.isclass(query_strategy):
        raise TypeError(
            f"query_strategy must be a strategy, not a class. Got {query_strategy.__name__}; "
            f"did you mean {query_strategy.__name__}()?"
        )
    if callable(query_strategy):
        return
    hint = ""
    if isinstance(query_strategy, str):
        names = {name.lower(): name for name in strategies.__all__}
        near = difflib.get_close_matches(query_strategy.lower(), names, n=1)
        name = names[near[0]] if near else "DECERN"
        call = f"{name}()" if inspect.isclass(getattr(strategies, name)) else name
        hint = f"; did you mean skal.strategies.{call}?" if near else f"; a strategy is, for example, {call}."
    raise TypeError(
        f"query_strategy must be callable: a strategy or a query function. Got {shown(query_strategy)}{hint}"
        f"{'' if hint else ' instead.'}"
    )


def check_cold_start(cold_start: Any) -> None:
    """Raise where `cold_start` cannot choose without labels."""
    if isinstance(cold_start, str) and cold_start == "random":
        return
    must = "cold_start must be 'random' or a strategy that needs embeddings only, such as TypiClust()"
    if not isinstance(cold_start, QueryStrategy):
        raise TypeError(f"{must}. Got {shown(cold_start)} instead.")
    if not cold_start.begins:
        needs = ", ".join(cold_start.requires)
        raise ValueError(f"{must}. Got {shown(cold_start)}, which needs {needs}.")


def first_strategy(cold_start: Any, random_state: Any) -> QueryStrategy | None:
    """Who chooses while there are no labels; None where nobody was named, and the query strategy may do it."""
    if isinstance(cold_start, _NotGiven):
        return None
    return strategies.RandomSampling(random_state=random_state) if isinstance(cold_start, str) else cold_start
