"""Labels as people have them, made of numbers of classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch


def strings(y):
    return [f"class {label}" for label in y]


def detection(y):
    return [{"boxes": np.array([[0.0, 0, 5, 5 + int(label)]]), "labels": np.array([int(label)])} for label in y]


def replaced(value, at=-1):
    def change(y):
        y = y.astype(object)
        if len(y):
            y[at] = value
        return y

    return change


# One label for each sample: what every classifier takes.
PLAIN = {
    "integers": lambda y: y,
    "int32": lambda y: y.astype(np.int32),
    "list": lambda y: y.tolist(),
    "strings": lambda y: np.array(strings(y)),
    "list of strings": strings,
    "objects of strings": lambda y: np.array(strings(y), dtype=object),
    "Series with an odd index": lambda y: pd.Series(y, index=np.arange(len(y))[::-1] + 5),
    "bools": lambda y: y > 0,
    "floats of whole numbers": lambda y: y.astype(float),
}
ODD = {
    "floats": lambda y: y + 0.5,
    "uint8": lambda y: y.astype(np.uint8),
    "column": lambda y: y[:, None],
    "one-column frame": lambda y: pd.DataFrame({"y": y}),
    "categories": lambda y: pd.Series(pd.Categorical(strings(y))),
    "nullable": lambda y: pd.Series(y, dtype="Int64"),
    "tensor": torch.tensor,
    "mixed kinds": replaced("a"),
    "with None": replaced(None),
    "with NaN": replaced(np.nan),
    "with pd.NA": replaced(pd.NA),
    "with empty strings": lambda y: np.array(["" if label == 0 else "a" for label in y]),
    "float NaN": lambda y: np.where(np.arange(len(y)) == 0, np.nan, y),
    "indicator": lambda y: np.eye(3, dtype=int)[y],
    "two outputs": lambda y: np.column_stack([y, y[::-1]]),
    "one class": lambda y: y * 0,
    "all different": lambda y: np.arange(len(y)),
    "negative": lambda y: y - 5,
    "big numbers": lambda y: y.astype(np.int64) * 2**40,
    "dicts": lambda y: [{"label": int(label)} for label in y],
    "boxes": detection,
    "lists": lambda y: [[label] for label in y.tolist()],
    "ragged": lambda y: [[1] * int(label) for label in y],
    "too few": lambda y: y[:-1],
    "too many": lambda y: np.append(y, 0),
    "none at all": lambda y: y[:0],
    "dates": lambda y: np.array(y, dtype="datetime64[D]"),
    "complex": lambda y: y.astype(complex),
    "None": lambda y: None,
    "a single label": lambda y: 1,
    "a word": lambda y: "class 1",
    "a dict": lambda y: dict(enumerate(y.tolist())),
    "a set": lambda y: set(y.tolist()),
    "an iterator": lambda y: iter(y.tolist()),
}
KINDS = {**PLAIN, **ODD}
