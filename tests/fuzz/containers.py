"""Samples in every container that people have, made of one matrix of numbers."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from hypothesis import strategies as st
from skorch.helper import SliceDict
from torch.utils.data import Dataset

try:
    import polars
except ImportError:
    polars = None


class Samples(Dataset):
    """A map-style Dataset; `item` makes a sample of a row, `n` is what it says of its length."""

    def __init__(self, X, item=lambda row: row, n=None):
        self.X, self.item, self.n = np.asarray(X), item, len(X) if n is None else n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.item(self.X[i])


class Broken(Dataset):
    """Its last sample cannot be read."""

    def __init__(self, X):
        self.X = np.asarray(X)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        if i == len(self.X) - 1:
            raise OSError("the file of the last sample is gone")
        return self.X[i]


class OnlyArray:
    """Knows `__array__` alone."""

    def __init__(self, X):
        self.X = X

    def __array__(self, dtype=None, copy=None):
        return np.array(self.X, dtype=dtype)


@functools.cache
def folder():
    return tempfile.TemporaryDirectory()


def memmap(X):
    path = Path(folder().name) / f"{abs(hash(X.tobytes()))}-{X.shape[1]}.npy"
    np.save(path, X)
    return np.load(path, mmap_mode="r")


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def with_value(value):
    def change(X):
        X = X.copy()
        if X.size:
            X[len(X) // 2, X.shape[1] // 2] = value
        return X

    return change


def names(X):
    return [f"f{i}" for i in range(X.shape[1])]


def frame(X, **columns):
    made = pd.DataFrame(X, columns=names(X), index=np.arange(len(X))[::-1] * 3 + 7)
    for name, values in columns.items():
        made[name] = values(len(X))
    return made


def tensor(dtype):
    return lambda X: torch.tensor(X).to(dtype)


def ragged(X):
    return [row[: 1 + i % max(1, X.shape[1])].tolist() for i, row in enumerate(X)]


def structured(X):
    out = np.zeros(len(X), dtype=[(name, float) for name in names(X)])
    for i, name in enumerate(names(X)):
        out[name] = X[:, i]
    return out


WORDS = ["a", "b", "", "ü", "a long one\nof two lines"]

# The same numbers, in what holds them: a model of numbers must take these.
PLAIN = {
    "float64": lambda X: X,
    "float32": lambda X: X.astype(np.float32),
    "Fortran": np.asfortranarray,
    "negative strides": lambda X: X[::-1, ::-1],
    "read-only": read_only,
    "memmap": memmap,
    "integers": lambda X: (4 * X).astype(np.int64),
    "int8": lambda X: (4 * X).astype(np.int8),
    "bools": lambda X: X > 0,
    "list of lists": lambda X: X.tolist(),
    "list of arrays": list,
    "csr matrix": sp.csr_matrix,
    "csr array": sp.csr_array,
}
# Numbers in other clothes: an answer, or a clear error.
ODD = {
    "float16": lambda X: X.astype(np.float16),
    "big-endian": lambda X: X.astype(">f8"),
    "long double": lambda X: X.astype(np.longdouble),
    "complex": lambda X: X.astype(complex),
    "objects": lambda X: X.astype(object),
    "matrix": np.matrix,
    "masked array": np.ma.masked_array,
    "structured": structured,
    "1-D": lambda X: X[:, 0],
    "3-D": lambda X: X[:, :, None],
    "scalar": lambda X: np.float64(X.sum()),
    "no columns": lambda X: X[:, :0],
    "no rows": lambda X: X[:0],
    "one row": lambda X: X[:1],
    "another column": lambda X: np.hstack([X, X[:, :1]]),
    "NaN": with_value(np.nan),
    "infinity": with_value(np.inf),
    "beyond float32": with_value(1e300),
    "huge": lambda X: X * 1e150,
    "tiny": lambda X: X * 1e-300,
    "constant": lambda X: X * 0 + 1,
    "zeros": lambda X: X * 0,
    "csc matrix": sp.csc_matrix,
    "coo array": sp.coo_array,
    "dok matrix": sp.dok_matrix,
    "lil array": sp.lil_array,
    "bsr matrix": sp.bsr_matrix,
    "dia array": sp.dia_array,
    "sparse with NaN": lambda X: sp.csr_matrix(with_value(np.nan)(X)),
    "sparse integers": lambda X: sp.csr_array((4 * X).astype(np.int64)),
    "frame": frame,
    "frame of objects": lambda X: frame(X).astype(object),
    "frame of nullable": lambda X: frame(X).astype("Float64"),
    "frame with a category": lambda X: frame(X, c=lambda n: pd.Categorical([WORDS[i % 3] for i in range(n)])),
    "frame with bools": lambda X: frame(X, c=lambda n: np.arange(n) % 2 == 0),
    "frame with dates": lambda X: frame(X, c=lambda n: pd.date_range("2020", periods=n)),
    "frame with strings": lambda X: frame(X, c=lambda n: [WORDS[i % 5] for i in range(n)]),
    "frame with NaN": lambda X: frame(with_value(np.nan)(X)),
    "frame of twice one name": lambda X: pd.DataFrame(X, columns=["f"] * X.shape[1]),
    "frame of other columns": lambda X: frame(X)[names(X)[::-1]],
    "frame of number names": pd.DataFrame,
    "frame without columns": lambda X: frame(X)[[]],
    "Series": lambda X: pd.Series(X[:, 0]),
    "tensor": tensor(torch.float32),
    "tensor float64": tensor(torch.float64),
    "tensor half": tensor(torch.float16),
    "tensor bfloat16": tensor(torch.bfloat16),
    "tensor int64": tensor(torch.int64),
    "tensor bool": tensor(torch.bool),
    "tensor with gradient": lambda X: torch.tensor(X, requires_grad=True),
    "sparse tensor": lambda X: torch.tensor(X).to_sparse(),
    "list of tensors": lambda X: list(torch.tensor(X)),
    "list of floats": lambda X: X[:, 0].tolist(),
    "list of strings": lambda X: [WORDS[i % 5] for i in range(len(X))],
    "list of paths": lambda X: [Path(f"images/{i}.png") for i in range(len(X))],
    "list of dicts": lambda X: [{"x": row} for row in X],
    "list of dicts of numbers": lambda X: [dict(zip(names(X), row.tolist(), strict=True)) for row in X],
    "list of None": lambda X: [None] * len(X),
    "ragged list": ragged,
    "empty list": lambda X: [],
    "tuple": lambda X: tuple(X.tolist()),
    "dict": lambda X: {"x": X},
    "dict of two": lambda X: {"x": X, "z": X[:, :1].astype(np.float32)},
    "dict of other lengths": lambda X: {"x": X, "z": X[:-1]},
    "empty dict": lambda X: {},
    "SliceDict": lambda X: SliceDict(x=X.astype(np.float32)),
    "Dataset": lambda X: Samples(X.astype(np.float32)),
    "Dataset of tuples": lambda X: Samples(X.astype(np.float32), lambda row: (row, 0)),
    "Dataset of dicts": lambda X: Samples(X.astype(np.float32), lambda row: {"x": row}),
    "Dataset of tensors": lambda X: Samples(X.astype(np.float32), torch.tensor),
    "Dataset of strings": lambda X: Samples(X, lambda row: "text"),
    "Dataset of None": lambda X: Samples(X, lambda row: None),
    "Dataset with NaN": lambda X: Samples(with_value(np.nan)(X.astype(np.float32))),
    "Dataset too short": lambda X: Samples(X.astype(np.float32), n=len(X) + 2),
    "Dataset that fails": lambda X: Broken(X.astype(np.float32)),
    "empty Dataset": lambda X: Samples(X[:0]),
    "__array__ alone": OnlyArray,
    "set": lambda X: {float(x) for x in X[:, 0]},
    "string": lambda X: "samples",
    "bytes": lambda X: b"samples",
    "None": lambda X: None,
    "number": lambda X: 3.5,
    "iterator": lambda X: iter(X.tolist()),
    "range": lambda X: range(len(X)),
    "class": lambda X: np.ndarray,
    "function": lambda X: len,
}
if polars is not None:
    PLAIN["polars"] = lambda X: polars.DataFrame(X, schema=names(X))
    ODD["polars with strings"] = lambda X: polars.DataFrame(X, schema=names(X)).with_columns(s=polars.lit("a"))
    ODD["polars with null"] = lambda X: polars.DataFrame(with_value(np.nan)(X), schema=names(X)).fill_nan(None)
KINDS = {**PLAIN, **ODD}


class Recipe(NamedTuple):
    """How samples are made; `n` is their number before the kind has its way."""

    kind: str
    n: int
    d: int
    seed: int

    def numbers(self):
        rng = np.random.default_rng([self.seed, self.n, self.d])
        return np.round(rng.normal(size=(self.n, self.d)), 2)

    @property
    def size(self):
        """The number of samples, as the container says."""
        return self.n + 2 if self.kind == "Dataset too short" else self.n

    def make(self):
        return KINDS[self.kind](self.numbers())


def recipes(kinds=None, n=(1, 20), d=(1, 4)):
    """Recipes of samples, a third of them plain numbers."""
    kinds = st.sampled_from(sorted(kinds)) if kinds else st.sampled_from([*PLAIN]) | st.sampled_from([*ODD])
    return st.builds(Recipe, kinds, st.integers(*n), st.integers(*d), st.integers(0, 50))
