"""Samples as a module accepts them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from skal.rows import net_input


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", "longdouble", "f2", "u1", bool, object])
def test_any_numbers_become_the_modules(dtype):
    X = np.ones((2, 3)).astype(dtype)
    for module, want in ((None, np.float32), (nn.Linear(3, 1).double(), np.float64), (nn.Linear(3, 1).half(), "f2")):
        found = net_input(X, module)
        assert found.dtype == want and found.dtype.isnative and (found == 1).all()
        torch.from_numpy(found)


@pytest.mark.parametrize(
    "X",
    [np.ones((2, 3)), [[1, 1, 1]] * 2, sp.csr_array(np.ones((2, 3))), pd.DataFrame(np.ones((2, 3))), torch.ones(2, 3)],
)
def test_bfloat16_takes_tensors(X):
    found = net_input(X, nn.Linear(3, 1).bfloat16())
    assert isinstance(found, torch.Tensor) and found.dtype == torch.bfloat16 and found.shape == (2, 3)


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor, pd.DataFrame, lambda X: {"a": X}])
@pytest.mark.parametrize("module, large", [(None, 1e300), (nn.Linear(1, 1).half(), 1e6)])
def test_too_large_for_the_network(make, module, large):
    X = np.array([[1.0], [-large]])
    with pytest.raises(ValueError, match=r"range of the network's float(32|16)\. Got -1e\+.*too large"):
        net_input(make(X), module)


def test_what_is_not_finite_is_not_too_large():
    X = np.array([[1.0], [np.inf], [np.nan]])
    np.testing.assert_array_equal(net_input(X), X.astype("f4"))
    np.testing.assert_array_equal(net_input(torch.as_tensor(X)).numpy(), X.astype("f4"))
    with pytest.raises(ValueError, match="70000"):
        net_input(np.array([[70000]]), nn.Linear(1, 1).half())


def test_samples_one_by_one():
    assert net_input([torch.ones(2), torch.ones(2)]).shape == (2, 2)
    batch = net_input([{"a": np.ones(3), "b": 1}, {"a": np.ones(3), "b": 2}])
    assert batch["a"].shape == (2, 3) and batch["b"].tolist() == [1, 2]
    tokens = net_input([{"ids": [1, 2]}, {"ids": [3, 4]}], nn.Embedding(5, 2))
    assert tokens["ids"].dtype == np.int64


def test_nothing_is_copied_that_fits():
    X = np.ones((2, 3), "f4")
    assert np.shares_memory(net_input(X), X) and net_input(torch.from_numpy(X)).data_ptr() == X.ctypes.data


@pytest.mark.parametrize(
    "X",
    [
        ["photos/a.png", "photos/b.png"],
        ["a.JPG"],
        [Path("a"), Path("b")],
        np.array(["a.tif"]),
        np.array([Path("a")], dtype=object),
        pd.Series(["a.jpeg"]),
    ],
)
def test_paths_are_no_samples(X):
    with pytest.raises(TypeError, match="of paths, such as '.*': wrap them, skal.rows.ImageFiles"):
        net_input(X)


@pytest.mark.parametrize(
    "X, match",
    [
        (["good film"], "list of str"),
        ([np.ones(2), np.ones(3)], "list of ndarray"),
        (np.array([["1"]], object), "dtype object"),
        (pd.DataFrame({"a": ["x"]}), "DataFrame with other columns"),
        (pd.DataFrame({"a": pd.Categorical([1])}), "DataFrame with other columns"),
        (np.array([[1j]]), "complex"),
        ("text", "one text"),
    ],
)
def test_what_holds_no_numbers(X, match):
    with pytest.raises(TypeError, match=match):
        net_input(X)
