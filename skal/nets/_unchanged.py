"""All or nothing for the attributes of one object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["unchanged_on_error"]


@contextmanager
def unchanged_on_error(owner: Any, **copies: Any) -> Iterator[None]:
    """Put the attributes of `owner`, and the states of its generators, back where the block fails or is interrupted.

    `copies` take the place of attributes that the block changes in place.
    """
    before = {**vars(owner), **copies}
    generators = [(value, value.get_state()) for value in before.values() if isinstance(value, np.random.RandomState)]
    try:
        yield
    except BaseException:
        # In one step, which a second Ctrl-C does not cut in two.
        object.__setattr__(owner, "__dict__", before)
        for generator, state in generators:
            generator.set_state(state)
        raise
