"""Seeded generators. NumPy's global generator is never read or advanced."""

from __future__ import annotations

import numpy as np

__all__ = ["make_generator", "sklearn_seed"]


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
