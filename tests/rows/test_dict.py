"""Dicts of inputs."""

from collections import OrderedDict, UserDict

import numpy as np
import pytest
import torch
from skorch.helper import SliceDict

from skal.rows import (
    drop_rows,
    feature_shape,
    flat_numeric,
    is_finite,
    n_rows,
    net_input,
    row_blocks,
    row_keys,
    stack_rows,
    take_rows,
)


@pytest.mark.parametrize("kind", [dict, OrderedDict, UserDict, lambda d: SliceDict(**d)])
def test_the_kind_is_kept(kind):
    X = kind({"a": np.arange(6.0).reshape(3, 2), "b": np.arange(3)})
    assert n_rows(X) == 3 and feature_shape(X) is None and flat_numeric(X) is None
    for made in (
        take_rows(X, [2, 0]),
        drop_rows(X, 1),
        stack_rows(X, X),
        stack_rows(X, {"a": np.ones((1, 2)), "b": [0.5]}),
        net_input(X),
        next(row_blocks(X, 2))[1],
    ):
        assert type(made) is type(X) and set(made) == {"a", "b"}
    assert take_rows(X, [2, 0])["b"].tolist() == [2, 0]
    assert stack_rows(X, {"a": np.ones((1, 2)), "b": [0.5]})["b"].tolist() == [0, 1, 2, 0.5]
    assert take_rows(X, 1)["a"].tolist() == [2, 3]
    assert row_keys(X) == row_keys({"b": np.arange(3.0), "a": X["a"].astype("f4")})
    assert is_finite(X) and not is_finite(kind({"a": np.array([[np.nan]])}))


def test_errors():
    with pytest.raises(ValueError, match="same number of rows"):
        n_rows({"a": np.ones(2), "b": np.ones(3)})
    with pytest.raises(ValueError, match="same number of rows"):
        n_rows({})
    with pytest.raises(ValueError, match="dict with the keys"):
        stack_rows({"a": torch.ones(1)}, torch.ones(1))
