"""All of several criteria."""

from __future__ import annotations

from ._several import SeveralCriteria

__all__ = ["AllOf"]


class AllOf(SeveralCriteria):
    """Stop when all of several criteria say stop, in the same round.

    Parameters
    ----------
    criteria : sequence of StoppingCriterion
        They are cloned, and stay as they are.

    Attributes
    ----------
    criteria_ : list of StoppingCriterion
        The clones that have seen the rounds.
    reports_ : list of StoppingReport
        What each said last.

    Notes
    -----
    The value is the share of criteria that say stop; the reason holds the reasons of all. Every criterion is asked in
    every round, on one view of the pool, so that probabilities are computed once for all that need them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.labeling import AllOf, ClassificationChange, OverallUncertainty
    >>> X, y = load_iris(return_X_y=True)
    >>> criterion = AllOf([OverallUncertainty(threshold=0.5), ClassificationChange()])
    >>> criterion.update(LogisticRegression(max_iter=500).fit(X, y), X).stop
    False
    """

    def _decide(self, stops: list[bool]) -> bool:
        return all(stops)
