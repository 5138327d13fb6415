"""All or nothing: what fails, or is interrupted, leaves learner and estimator as they were."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator

__all__ = ["attributes_kept_on_error", "put_back", "snapshot"]


class _Saved(NamedTuple):
    """An estimator, its attributes, and copies of them."""

    part: Any
    state: dict[str, Any]
    copies: dict[str, Any]


@contextmanager
def attributes_kept_on_error(owner: Any) -> Iterator[None]:
    """Put the attributes of `owner`, and the states of its generators, back where the block fails."""
    own = dict(vars(owner))
    generators = [(value, value.get_state()) for value in own.values() if isinstance(value, np.random.RandomState)]
    try:
        yield
    except BaseException:
        vars(owner).clear()
        vars(owner).update(own)
        for generator, state in generators:
            generator.set_state(state)
        raise


def snapshot(estimator: Any) -> list[_Saved]:
    """State of an estimator and those among its parameters, for `put_back`.

    `fit` may replace what it learned or go on from it in place, and only the estimator knows: so all is copied, but
    the estimators themselves, which stay the objects that their owner holds.
    """
    params = estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else ()
    parts = {id(part): part for part in (estimator, *params) if part is estimator or isinstance(part, BaseEstimator)}
    # One memo for all, so that what is shared stays shared: an optimizer, for one, stays tied to its module.
    memo: dict[int, Any] = dict(parts)
    saved = []
    for part in parts.values():
        state, copies = dict(getattr(part, "__dict__", {})), {}
        for name, value in state.items():
            try:
                copies[name] = copy.deepcopy(value, memo)
            except Exception:
                # A generator of splits, a lock, an open file.
                copies[name] = value
        saved.append(_Saved(part, state, copies))
    return saved


def put_back(saved: list[_Saved]) -> None:
    """Give estimators the state that `snapshot` saved: the very objects, unless one of them was changed in place."""
    try:
        untouched = _content([one.state for one in saved]) == _content([one.copies for one in saved])
    except Exception:
        # What cannot be pickled cannot be compared.
        untouched = False
    for one in saved:
        if hasattr(one.part, "__dict__"):
            vars(one.part).clear()
            vars(one.part).update(one.state if untouched else one.copies)


class _Pickler(pickle.Pickler):
    """Tensors by their numbers, since torch writes addresses; modules without their mode, which predictions change."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, torch.nn.Module):
            return list, ([str(type(obj)), {name: value for name, value in vars(obj).items() if name != "training"}],)
        if isinstance(obj, torch.Tensor):
            return list, ([obj.dtype, obj.requires_grad, obj.detach().cpu().tolist()],)
        return NotImplemented


def _content(state: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file).dump(state)
    return file.getvalue()
