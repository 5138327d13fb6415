"""What is said of samples and labels before any work is done."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression
from torch.utils.data import TensorDataset

from skal.rows import check_finite, check_training_data
from skal.strategies import MarginSampling

FRAME = pd.DataFrame(
    {"age": [20.0, 30.0], "city": pd.Categorical(["p", "q"]), "employed": [True, False], "name": ["a", "b"]}
)


@pytest.mark.parametrize(
    "X",
    [
        FRAME,
        FRAME.convert_dtypes(),
        FRAME.to_numpy(),
        np.ones((2, 3, 4)),
        sp.dok_array(np.ones((2, 3))),
        torch.ones(2, 3),
        ["good film", "bad film"],
        [np.ones((1, 2)), np.ones((2, 2))],
        {"a": np.ones(2)},
        TensorDataset(torch.full((2, 1), torch.nan)),
        np.array([(1, "a"), (2, "b")], dtype=[("x", "i4"), ("s", "U1")]),
    ],
)
@pytest.mark.parametrize(
    "y",
    [
        [0, 1],
        np.array([[0], [1]]),
        pd.Series(["a", "b"]),
        pd.DataFrame({"y": [0, 1]}),
        [{"boxes": np.ones((0, 4)), "labels": []}] * 2,
        np.array([[0, 1], [1, 1]]),
        torch.tensor([0, 1]),
    ],
)
def test_what_passes(X, y):
    check_training_data(X, y)


@pytest.mark.parametrize(
    "X, where",
    [
        (np.array([[1, np.nan], [1, 1]]), "X"),
        (FRAME.assign(age=[1.0, np.inf]), "X contains NaN or infinity in the column 'age'"),
        (FRAME.assign(name=["a", pd.NA]), "X contains NaN or infinity in the column 'name'"),
        (FRAME.assign(n=pd.array([1, None], dtype="Int64")), "in the column 'n'"),
        ({"a": np.ones(2), "b": np.array([1, np.nan])}, r"X\['b'\]"),
        ([np.ones(2), np.array([np.nan])], r"X\[1\]"),
        (np.array(["a", None], object), r"X\[1\]"),
        (sp.lil_array([[np.nan], [1]]), "X"),
        (torch.tensor([[1.0], [torch.inf]]), "X"),
    ],
)
def test_missing_values_name_the_way_in(X, where):
    with pytest.raises(ValueError, match=f"{where}.*force_all_finite=False"):
        check_training_data(X, [0, 1])
    check_training_data(X, [0, 1], ensure_all_finite=False)
    with pytest.raises(ValueError, match=r"contains NaN or infinity[^:]*\.$"):
        check_finite(X)


@pytest.mark.parametrize("y", [[0, None], np.array([0, np.nan]), pd.Series(["a", None]), pd.array([1, None], "Int64")])
def test_missing_labels(y):
    with pytest.raises(ValueError, match="Got missing values"):
        check_training_data(np.ones((2, 1)), y, ensure_all_finite=False)


@pytest.mark.parametrize(
    "X, y, error, match",
    [
        (np.ones((2, 1)), None, ValueError, "y must hold one label per sample"),
        (np.ones((2, 1)), [0], ValueError, "inconsistent numbers of samples"),
        (np.ones((0, 1)), [], ValueError, "at least one sample"),
        (np.ones((2, 1)), "ab", TypeError, "one text"),
        (3, [0], TypeError, "collection of samples"),
    ],
)
def test_errors(X, y, error, match):
    with pytest.raises(error, match=match):
        check_training_data(X, y)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.array([[0, 1], [2, 3]], dtype="M8[D]"), r"dates, datetime64\[D\]"),
        (np.array([[0, 1], [2, 3]], dtype="m8[h]"), r"spans of time, timedelta64\[h\]"),
        (np.zeros(2, dtype=[("a", float)]), "records"),
    ],
)
def test_what_an_estimator_cannot_take_as_numbers(X, words):
    model = LogisticRegression().fit([[0.0, 0], [1, 1]], [0, 1])
    with pytest.raises(TypeError, match=f"LogisticRegression must be given samples that are numbers. Got {words}"):
        MarginSampling().select(model, X, 1)
