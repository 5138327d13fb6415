"""What is made of several opinions of one classifier."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ...base import Interval, StrOptions, requirement
from ...utils._arrays import entropy

__all__ = ["OpinionsMixin", "add_votes", "mean_and_entropy"]


class OpinionsMixin:
    """Parameters of the strategies that compare several opinions of a sample, and where these come from."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_samples": [Interval(Integral, 2, None, closed="left")],
        "source": [StrOptions({"auto", "own", "clones"})],
        "n_members": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        n_samples: int = 20,
        source: Literal["auto", "own", "clones"] = "auto",
        n_members: int = 5,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_samples = n_samples
        self.source = source
        self.n_members = n_members
        self.random_state = random_state

    requires = requirement(
        ("opinions|clones",),
        lambda strategy: {"own": ("opinions",), "clones": ("members|clones",)}.get(
            strategy.source, ("opinions|clones",)
        ),
    )

    def _opinions(self, pool: Any, rng: np.random.Generator) -> Any:
        """Probabilities of the pool, one array for each dropout mask, member or clone."""
        by = type(self).__name__
        if self.source == "own" or (self.source == "auto" and pool.has_samples):
            return pool.iter_proba_samples(self.n_samples, rng, by=by)
        return pool.iter_clone_samples(self.n_members, rng, by=by)


def mean_and_entropy(samples: Iterable[NDArray]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean `(n, n_classes)` of the opinions and mean `(n,)` of their entropies, float64.

    Equal opinions average exactly.
    """
    mean: NDArray[np.float64] = np.zeros(0)
    mean_entropy: NDArray[np.float64] = np.zeros(0)
    for k, proba in enumerate(samples, start=1):
        if k == 1:
            mean = proba.astype(np.float64)
            # In float64, so that the entropy of equal opinions is to the last bit that of their mean.
            mean_entropy = entropy(mean)
            continue
        # Running means: the mean of equal numbers is that number, to the last bit.
        mean += (proba - mean) / k
        mean_entropy += (entropy(proba.astype(np.float64, copy=False)) - mean_entropy) / k
    return mean, mean_entropy


def add_votes(votes: NDArray[np.float64], proba: NDArray) -> None:
    """Count, in `votes (n, n_classes)`, the most probable class of each row; of equals the first."""
    votes[np.arange(len(proba)), proba.argmax(axis=1)] += 1
