"""Labels as scikit-learn reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._generics import generic, numbers_of

__all__ = ["plain_labels"]


@generic
def plain_labels(y: Any) -> Any:
    """`y` in a dtype that scikit-learn takes for labels; what has one already is returned as it is.

    Numbers and bools in a container of objects become an array of numbers, NumPy's texts of any length a plain array
    of texts.
    """
    return y


@plain_labels.register(np.ndarray)
def _(y: NDArray) -> NDArray:
    if y.dtype.kind == "T":
        return np.array(y.tolist(), dtype=np.str_)
    return _numbers_or_objects(y) if y.dtype == object else y


@plain_labels.register(pd.Series)
def _(y: pd.Series) -> Any:
    return _numbers_or_objects(y) if y.dtype == object else y


@plain_labels.register(pd.DataFrame)
def _(y: pd.DataFrame) -> Any:
    return _numbers_or_objects(y) if object in y.dtypes.tolist() else y


def _numbers_or_objects(y: Any) -> Any:
    numbers = numbers_of(y)
    return y if numbers is None else numbers
