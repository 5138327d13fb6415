"""Small array helpers that several methods share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

__all__ = [
    "as_dtype",
    "beside",
    "blocks",
    "class_means",
    "entropy",
    "l2_normalize",
    "min_max",
    "on_host",
    "squared_norms",
    "squares_dtype",
    "top_k",
]

_CACHED = 1 << 16  # values of a block that several passes go over
_ROWS = 4096  # samples worked on at once


def blocks(n: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover `range(n)`."""
    size = max(1, int(size))
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def top_k(scores: NDArray, k: int, rng: np.random.Generator | None = None) -> NDArray[np.int64]:
    """Positions of the `k` largest scores, largest first; ties at random with `rng`, else by position.

    O(n + k log k) time, O(n) memory.
    """
    scores = np.asarray(scores)
    n = len(scores)
    threshold = np.partition(scores, n - k)[n - k]
    above = np.flatnonzero(scores > threshold)
    ties = np.flatnonzero(scores == threshold)
    n_ties = k - len(above)
    if rng is None:
        chosen = np.concatenate([above, ties[:n_ties]])
    else:
        chosen = np.concatenate([above, rng.choice(ties, size=n_ties, replace=False)])
        rng.shuffle(chosen)
    if rng is None:
        chosen.sort()
    order = np.argsort(-scores[chosen], kind="stable")
    return chosen[order].astype(np.int64)


def on_host(x: Any) -> NDArray:
    """An array or tensor as an array; from an accelerator a copy."""
    return np.asarray(x.cpu() if hasattr(x, "cpu") else x)


def beside(values: Any, z: Any) -> Any:
    """`values` where `z` lies: an array, or a tensor on its device."""
    if isinstance(z, np.ndarray):
        return on_host(values)
    return array_namespace(z).asarray(values, device=device(z))


def as_dtype(X: Any, dtype: Any) -> Any:
    """An array or tensor in NumPy's `dtype`; as it is, where it has it."""
    xp = array_namespace(X)
    return xp.astype(X, getattr(xp, np.dtype(dtype).name), copy=False)


def squared_norms(X: Any) -> Any:
    """Squared Euclidean norm of each row of an array or tensor, `(n,)`, in its dtype."""
    if isinstance(X, np.ndarray):
        return np.einsum("ij,ij->i", X, X)
    xp = array_namespace(X)
    # Tensors are squared before they are summed.
    return xp.concat([xp.vecdot(X[rows], X[rows]) for rows in blocks(len(X), _ROWS)])


def squares_dtype(*arrays: Any) -> type[np.floating]:
    """float32 where all arrays are of it and their rows' squares are well inside its range, else float64."""
    with np.errstate(over="ignore"):
        is_safe = all(X.dtype.itemsize == 4 and 1e-20 < float(squared_norms(X).max()) < 1e30 for X in arrays)
    return np.float32 if is_safe else np.float64


def l2_normalize(X: Any, eps: float = 1e-8, *, out: Any = None) -> Any:
    """Rows of `X` divided by their Euclidean norm, which counts as at least `eps`; a zero row stays zero."""
    xp = array_namespace(X)
    with np.errstate(over="ignore"):
        norms = xp.sqrt(squared_norms(X))
    is_lost = ~xp.isfinite(norms)
    if bool(xp.any(is_lost)):
        # A dtype holds numbers whose squares it does not hold.
        rows, norms = as_dtype(X[is_lost], np.float64), as_dtype(norms, np.float64)
        largest = xp.max(xp.abs(rows), axis=1)
        norms[is_lost] = largest * xp.linalg.vector_norm(rows / largest[:, None], axis=1)
    return xp.divide(X, xp.astype(xp.clip(norms, min=eps), X.dtype, copy=False)[:, None], out=out)


def min_max(values: NDArray, eps: float = 1e-10) -> NDArray:
    """`values` moved and scaled into [0, 1]: (v - min) / (max - min + eps)."""
    low = values.min()
    return (values - low) / (values.max() - low + eps)


def entropy(proba: NDArray) -> NDArray[np.float64]:
    """Entropy of each row, natural logarithm, `(n,)` float64; summed in the dtype of `proba` where that is float32.

    0 log 0 = 0. Nothing but a block that stays in the processor's cache is held beside the result.
    """
    dtype = np.float32 if proba.dtype == np.float32 else np.float64
    out = np.empty(len(proba))
    for rows in blocks(len(proba), _CACHED // max(1, proba.shape[1])):
        block = proba[rows].astype(dtype, copy=False)
        terms = np.maximum(block, np.finfo(dtype).tiny)
        np.log(terms, out=terms)
        terms *= block
        np.negative(terms.sum(axis=1), out=out[rows])
    return out + 0.0  # no -0.0


def class_means(X: NDArray, y: NDArray, n_classes: int) -> NDArray[np.float64]:
    """Mean row of each class, `(n_classes, d)` float64; a class without a sample gets the mean of all rows."""
    counts = np.bincount(y, minlength=n_classes)
    means = np.empty((n_classes, X.shape[1]))
    means[:] = X.mean(axis=0, dtype=np.float64)
    for label in np.flatnonzero(counts):
        means[label] = X[y == label].mean(axis=0, dtype=np.float64)
    return means
