"""Rows of every container, by position."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from torch.utils.data import TensorDataset

from skal.rows import drop_rows, n_rows, stack_rows, take_rows

ARRAY = np.arange(12.0).reshape(6, 2)
CONTAINERS = {
    "array": ARRAY,
    "image": ARRAY.reshape(6, 1, 1, 2),
    "frame": pd.DataFrame(ARRAY, index=list("fedcba")),
    "csr": sp.csr_matrix(ARRAY),
    "coo": sp.coo_matrix(ARRAY),
    "lil": sp.lil_matrix(ARRAY),
    "bsr": sp.bsr_matrix(ARRAY),
    "tensor": torch.as_tensor(ARRAY),
    "list": ARRAY.tolist(),
    "dict": {"a": ARRAY, "b": torch.as_tensor(ARRAY)},
}


def dense(X):
    if isinstance(X, dict):
        return dense(X["a"])
    return (X.toarray() if sp.issparse(X) else np.asarray(X)).reshape(-1, 2)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_rows(kind):
    X = CONTAINERS[kind]
    assert n_rows(X) == 6
    idx = np.array([4, 0])
    taken = take_rows(X, idx)
    assert type(taken) is type(X)
    np.testing.assert_array_equal(dense(taken), ARRAY[idx])
    mask = np.isin(np.arange(6), [1, 3])
    np.testing.assert_array_equal(dense(take_rows(X, mask)), ARRAY[mask])
    np.testing.assert_array_equal(dense(drop_rows(X, idx)), np.delete(ARRAY, idx, axis=0))
    stacked = stack_rows(X, taken)
    assert type(stacked) is type(X)
    np.testing.assert_array_equal(dense(stacked), np.vstack([ARRAY, ARRAY[idx]]))
    assert n_rows(take_rows(X, [])) == 0


def test_datasets():
    X = TensorDataset(torch.as_tensor(ARRAY))
    taken = take_rows(X, [4, 0])
    assert n_rows(taken) == 2
    assert taken[0][0].tolist() == [8, 9]
    assert n_rows(stack_rows(X, taken)) == 8


def test_series_and_strings():
    y = pd.Series(list("abc"), index=[7, 8, 9], name="y")
    assert take_rows(y, [2, 0]).tolist() == ["c", "a"]
    assert stack_rows(y, np.array(["d"])).tolist() == list("abcd")
    assert take_rows(["x", "y", "z"], np.array([2, 1])) == ["z", "y"]
    assert take_rows(["x", "y", "z"], 1) == "y"


def test_float_dtype_of_the_first_is_kept():
    assert stack_rows(ARRAY.astype(np.float32), ARRAY).dtype == np.float32
    assert stack_rows(np.array([1, 2]), np.array([1.5])).dtype == np.float64


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="must have the shape of the labelled ones"):
        stack_rows(ARRAY, ARRAY[:, :1])
    with pytest.raises(ValueError, match="same number of rows"):
        n_rows({"a": ARRAY, "b": ARRAY[:2]})
    with pytest.raises(ValueError, match="dict with the keys"):
        stack_rows({"a": ARRAY}, {"b": ARRAY})
    with pytest.raises(TypeError, match="collection of samples"):
        n_rows(3)
