"""Seeded generators and clones. NumPy's global generator is never read or advanced."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

__all__ = ["make_generator", "seeded_clone", "sklearn_seed"]


def make_generator(random_state: int | np.random.RandomState | None, *key: int) -> np.random.Generator:
    """A fresh generator: of an integer seed combined with `key`, of a `RandomState`'s next draw, or of OS entropy.

    `key` (the round of the loop, say) makes successive calls with one integer seed differ while the whole run repeats.
    """
    if random_state is None:
        return np.random.default_rng()
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng([int(word) for word in random_state.randint(2**31 - 1, size=4)])
    return np.random.default_rng([int(random_state), *(int(k) for k in key)])


def sklearn_seed(rng: np.random.Generator) -> int:
    """An integer seed, drawn from `rng`, for a `random_state` parameter of scikit-learn."""
    return int(rng.integers(2**31 - 1))


def seeded_clone(estimator: Any, seed: int) -> Any:
    """A clone with this seed in each of its `random_state` parameters that is None."""
    twin = clone(estimator, safe=False)
    unset = [
        name
        for name, value in (twin.get_params(deep=True) if hasattr(twin, "get_params") else {}).items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    ]
    return twin.set_params(**dict.fromkeys(unset, seed)) if unset else twin
