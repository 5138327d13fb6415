"""An upper bound of what a strategy can reach: one that knows the labels."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import accuracy_score

from ..rows import plain_labels, row_keys, take_rows
from ..utils._compat import STRATEGIES_RETURN_PAIRS
from ..utils._random import make_generator
from ..utils._validation import shown

__all__ = ["GreedyOracle"]


class GreedyOracle(BaseEstimator):
    """Of random candidates, the sample whose true label makes the model best: an upper bound for `compare`.

    No strategy: it knows all labels, those of the test set among them. A strategy that comes near it has little left
    to win; where it is near random sampling, no choice of samples pays. It is greedy and looks at a few candidates, so
    that the best choice may reach more.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        All samples, as `compare` gets them.
    y : array-like of shape (n_samples,)
        Their labels. Of samples that are equal, the label of the first counts.
    n_candidates : int >= 1, default=20
        Candidates for each sample that is chosen.
    random_state : int, RandomState or None, default=None
        Seeds the candidates.

    Raises
    ------
    ValueError
        If `n_candidates` is no integer of at least 1, or samples of a pool are not among `X`.

    Notes
    -----
    Best is the accuracy on all of `X`. Time: ``n_instances * n_candidates`` fits and predictions of all of `X` in each
    query. It stands for a strategy in `compare`, and has no other use.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.experiments import GreedyOracle, compare
    >>> X, y = load_iris(return_X_y=True)
    >>> found = compare([GreedyOracle(X, y, n_candidates=5)], LogisticRegression(max_iter=500), X, y,
    ...                 n_initial=6, n_instances=2, n_queries=2, seeds=2)
    >>> bool(found.summary()["area"]["GreedyOracle"] > 0.7)
    True
    """

    def __init__(self, X: Any, y: Any, *, n_candidates: int = 20, random_state: Any = None) -> None:
        self.X = X
        self.y = y
        self.n_candidates = n_candidates
        self.random_state = random_state

    def __call__(self, classifier: Any, X: Any, n_instances: int = 1) -> Any:
        """Positions in the pool `X`, in the form that modAL expects."""
        if not isinstance(self.n_candidates, Integral) or isinstance(self.n_candidates, bool) or self.n_candidates < 1:
            raise ValueError(
                "The 'n_candidates' parameter of GreedyOracle must be an integer of at least 1. "
                f"Got {shown(self.n_candidates)} instead."
            )
        y = np.asarray(plain_labels(self.y))
        first: dict[bytes, int] = {}
        for position, key in enumerate(row_keys(self.X)):
            first.setdefault(key, position)
        taught, pool = (_positions(first, rows) for rows in (classifier.X_training, X))
        rng = make_generator(self.random_state, len(taught))
        chosen: list[int] = []
        scores = []
        for _ in range(n_instances):
            rest = np.setdiff1d(np.arange(len(pool)), chosen)
            candidates = rng.choice(rest, min(self.n_candidates, len(rest)), replace=False)
            found = [self._score(classifier, y, [*taught, *pool[[*chosen, each]]]) for each in candidates]
            chosen.append(int(candidates[np.argmax(found)]))
            scores.append(max(found))
        idx = np.array(chosen, dtype=np.int64)
        return (idx, np.array(scores)) if STRATEGIES_RETURN_PAIRS else idx

    def _score(self, classifier: Any, y: NDArray, positions: list[int]) -> float:
        known = np.array(positions)
        model = clone(classifier.estimator).fit(take_rows(self.X, known), y[known])
        return float(accuracy_score(y, model.predict(self.X)))


def _positions(first: dict[bytes, int], rows: Any) -> NDArray[np.int64]:
    found = [first.get(key) for key in row_keys(rows)]
    if None in found:
        raise ValueError("GreedyOracle must know all samples. Got a sample that is not in its X.")
    return np.array(found, dtype=np.int64)
