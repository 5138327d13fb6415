"""Class probabilities as classifiers answer with them, made of their number of rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from .models import proper


def changed(value):
    def change(n):
        proba = proper(n)
        proba[n // 2, 1] = value
        return proba

    return change


def several_labels(n):
    return np.random.default_rng(n).uniform(0.6, 0.9, size=(n, 3))


# Distributions over three classes.
FINE = {
    "proper": proper,
    "ties": lambda n: np.tile([0.5, 0.25, 0.25], (n, 1)),
    "one-hot": lambda n: np.eye(3)[np.arange(n) % 3],
    "uniform": lambda n: np.full((n, 3), 1 / 3),
    "float32": lambda n: proper(n).astype(np.float32),
    "float16": lambda n: proper(n).astype(np.float16),
    "nearly 1": lambda n: proper(n) * 1.0000001,
    "subnormal": lambda n: np.tile([1.0, 5e-324, 0.0], (n, 1)),
    "frame": lambda n: pd.DataFrame(proper(n), columns=list("abc")),
    "tensor": lambda n: torch.tensor(proper(n)),
    "list": lambda n: proper(n).tolist(),
    "integers": lambda n: np.eye(3, dtype=int)[np.arange(n) % 3],
    "objects": lambda n: proper(n).astype(object),
}
# No distributions: never an answer.
WRONG = {
    "NaN": changed(np.nan),
    "infinity": changed(np.inf),
    "negative": changed(-0.4),
    "sums of 2": lambda n: 2 * proper(n),
    "zeros": lambda n: np.zeros((n, 3)),
    "percent": lambda n: 100 * proper(n),
    "logits": lambda n: np.log(proper(n)),
    "transposed": lambda n: proper(n + 4).T,
    "one column too many": lambda n: np.hstack([proper(n), proper(n)]),
    "one column too few": lambda n: np.ones((n, 1)) * 0.4,
    "no column": lambda n: np.empty((n, 0)),
    "too few rows": lambda n: proper(n + 1)[:-2],
    "too many rows": lambda n: proper(n + 1),
    "strings": lambda n: proper(n).astype(str),
    "objects with None": lambda n: changed(np.nan)(n).astype(object),
    "several outputs": lambda n: [proper(n), proper(n)],
    "several labels": several_labels,
    "labels of a multi-label forest": lambda n: [np.column_stack([1 - p, p]) for p in several_labels(n).T],
    "3-D": lambda n: proper(n)[:, :, None],
    "1-D": lambda n: proper(n)[:, 0],
    "ragged": lambda n: [[1.0] * (1 + i % 2) for i in range(n + 1)],
    "None": lambda n: None,
    "number": lambda n: 0.5,
    "word": lambda n: "probable",
    "dict": lambda n: {"proba": proper(n)},
    "complex": lambda n: proper(n) + 0.1j,
}
KINDS = {**FINE, **WRONG}
