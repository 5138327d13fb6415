"""Gradients of a linear head, as factors instead of big arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

__all__ = ["pseudo_label_errors"]


def pseudo_label_errors(logits: NDArray, *, relative: bool = False) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Gradient of the pseudo-label's cross-entropy by the logits, ``softmax(logits) - one_hot(argmax)``.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
    relative : bool, default=False
        Whether to divide by the probability that the pseudo-label is wrong, so that a sure prediction has a direction,
        too: the pseudo-label's error is then -1, and the others sum to 1.

    Returns
    -------
    errors : ndarray of shape (n, n_classes), float64
        All 0 where there is one class only.
    predicted : ndarray of shape (n,), int64
        The pseudo-labels.
    """
    predicted = logits.argmax(axis=1).astype(np.int64)
    if logits.shape[1] == 1:
        return np.zeros(logits.shape), predicted
    rows = np.arange(len(logits))
    errors = logits.astype(np.float64)  # a copy
    top = errors[rows, predicted]
    errors[rows, predicted] = -np.inf
    second = errors.max(axis=1)
    # The softmax of the others: 1 - p would be all rounding for a sure prediction.
    np.exp(errors - second[:, None], out=errors)
    total = errors.sum(axis=1)
    errors /= total[:, None]
    errors[rows, predicted] = -1
    if not relative:
        errors *= expit(second + np.log(total) - top)[:, None]
    return errors, predicted
