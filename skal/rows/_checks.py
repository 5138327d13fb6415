"""What is wrong with samples and labels, said before any work is done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from sklearn.utils import assert_all_finite, check_consistent_length, check_X_y

from ._rows import n_rows

__all__ = ["check_finite", "check_training_data", "feature_shape"]


def feature_shape(X: Any) -> tuple[int, ...] | None:
    """Shape of one sample where `X` states it (arrays, frames, sparse matrices, tensors), else None."""
    shape = getattr(X, "shape", None)
    return None if shape is None else tuple(int(size) for size in shape[1:])


def check_finite(X: Any, name: str = "X") -> None:
    """Raise `ValueError` where numeric `X` holds NaN or infinity. What holds no floats passes."""
    if isinstance(X, dict):
        for key, value in X.items():
            check_finite(value, f"{name}[{key!r}]")
    elif isinstance(X, torch.Tensor):
        if X.is_floating_point() and not bool(torch.isfinite(X).all()):
            raise ValueError(f"{name} contains NaN or infinity.")
    elif isinstance(X, pd.DataFrame):
        floats = X.select_dtypes(include="floating")
        if floats.shape[1]:
            check_finite(floats.to_numpy(dtype=np.float64, na_value=np.nan), name)
    elif sp.issparse(X):
        # The rows of lil and dok are Python lists and dicts.
        check_finite(X.tocsr().data if X.format in ("lil", "dok") else X.data, name)
    elif _is_ragged(X):
        for i, row in enumerate(X):
            check_finite(row, f"{name}[{i}]")
    elif isinstance(X, np.ndarray) and X.dtype.kind == "f":
        assert_all_finite(X, input_name=name)


def _is_ragged(X: Any) -> bool:
    """A list (or object array) of arrays, such as images of different size, which makes no rectangular array."""
    is_list = isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1)
    return is_list and any(isinstance(row, (np.ndarray, torch.Tensor)) for row in X[:1])


def check_training_data(X: Any, y: Any, *, ensure_all_finite: bool = True) -> None:
    """Check samples and labels as modAL does, on every scikit-learn: lengths, finiteness, nothing converted."""
    if y is None:
        raise ValueError("y must hold one label per sample. Got None instead.")
    if n_rows(X) == 0:
        raise ValueError("X must hold at least one sample. Got an empty X.")
    rectangular = isinstance(X, (np.ndarray, pd.DataFrame, list)) or sp.issparse(X)
    if rectangular and not _is_ragged(X) and not _is_targets(y):
        check_X_y(
            X,
            y,
            accept_sparse=True,
            ensure_2d=False,
            allow_nd=True,
            multi_output=True,
            dtype=None,
            ensure_all_finite=ensure_all_finite,
        )
        return
    if n_rows(X) != n_rows(y):
        check_consistent_length(np.empty(n_rows(X)), np.empty(n_rows(y)))
    if ensure_all_finite:
        check_finite(X)


def _is_targets(y: Any) -> bool:
    """Detection targets: a list (or object array) of dicts, one for each image."""
    is_list = isinstance(y, (list, tuple)) or (isinstance(y, np.ndarray) and y.dtype == object and y.ndim == 1)
    return is_list and any(isinstance(target, dict) for target in y[:1])
