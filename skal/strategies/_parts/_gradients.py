"""Gradients of a linear head, as factors instead of big arrays."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace, device

__all__ = ["pseudo_label_errors"]


def pseudo_label_errors(logits: Any, *, relative: bool = False) -> tuple[Any, Any]:
    """Gradient of the pseudo-label's cross-entropy by the logits, ``softmax(logits) - one_hot(argmax)``.

    Parameters
    ----------
    logits : array or tensor of shape (n, n_classes), float32 or float64
    relative : bool, default=False
        Whether to divide by the probability that the pseudo-label is wrong, so that a sure prediction has a direction,
        too: the pseudo-label's error is then -1, and the others sum to 1.

    Returns
    -------
    errors : array or tensor of shape (n, n_classes), float64
        All 0 where there is one class only.
    predicted : array or tensor of shape (n,), int64
        The pseudo-labels.
    """
    xp = array_namespace(logits)
    predicted = xp.astype(xp.argmax(logits, axis=1), xp.int64)
    if logits.shape[1] == 1:
        return xp.zeros_like(logits, dtype=xp.float64), predicted
    own = (xp.arange(len(logits), device=device(logits)), predicted)
    errors = xp.astype(logits, xp.float64, copy=True)
    top = errors[own]
    errors[own] = -xp.inf
    second = xp.max(errors, axis=1)
    # The softmax of the others: 1 - p would be all rounding for a sure prediction.
    errors -= second[:, None]
    xp.exp(errors, out=errors)
    total = xp.sum(errors, axis=1)
    errors /= total[:, None]
    errors[own] = -1
    if not relative:
        # What speaks against the pseudo-label beside what speaks for it, at most n_classes - 1.
        odds = xp.exp(second + xp.log(total) - top)
        errors *= (odds / (1 + odds))[:, None]
    return errors, predicted
