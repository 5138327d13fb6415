"""What a comparison was run with, in words, so that it can be repeated."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy
import sklearn
import torch

from .._version import __version__
from ._plan import Data, Plan

__all__ = ["setup_in_words"]

_LONGEST = 300


def setup_in_words(
    estimator: Any, learner: Any, data: Data, plan: Plan, scores: Mapping[str, Any], seeds: Sequence[int]
) -> dict[str, str]:
    """Data, model, sizes, seeds and versions by what they are."""
    shape = getattr(data.X, "shape", None)
    of_shape = f" of shape {'x'.join(map(str, shape[1:]))}" if shape is not None and len(shape) > 1 else ""
    test = f"{plan.test_size:.0%} of them, split off by seed" if data.y_test is None else f"{len(data.y_test)} samples"
    n_final = plan.n_initial + plan.n_queries * plan.n_instances
    pool = "" if plan.pool_size is None else f"; pool of {plan.pool_size}"
    return {
        "data": f"{len(data.y)} samples{of_shape}, {len(np.unique(data.y))} classes; test set: {test}",
        "model": _short(estimator),
        **({} if learner is None else {"learner": _short(learner)}),
        "labels": f"{plan.n_initial} to {n_final}, {plan.n_instances} in {_each(plan.n_queries)}{pool}",
        "scores": ", ".join(scores),
        "seeds": ", ".join(map(str, seeds)),
        "versions": f"skal {__version__}, Python {platform.python_version()}, scikit-learn {sklearn.__version__}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}, torch {torch.__version__}",
        "system": f"{platform.system()} {platform.machine()}",
    }


def _each(n_queries: int) -> str:
    return f"each of {n_queries} queries" if n_queries > 1 else "a single query"


def _short(obj: Any) -> str:
    # Where an object lies in memory is another in each process.
    text = re.sub(r" at 0x[0-9A-Fa-f]+", "", " ".join(repr(obj).split()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."
