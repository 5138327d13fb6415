"""Lists, tuples and ranges."""

import numpy as np
import pandas as pd
import pytest
import torch

from skal.rows import flat_numeric, is_finite, n_rows, row_blocks, row_keys, stack_rows, take_rows


def test_rows():
    X = ["x", "y", "z"]
    assert take_rows(X, [-1, 0]) == ["z", "x"] and take_rows(tuple(X), slice(0, 2)) == ["x", "y"]
    assert take_rows(range(5), [4]) == [4] and n_rows(range(5)) == 5
    assert [block for _, block in row_blocks(X, 2)] == [["x", "y"], ["z"]]


def test_stack():
    assert stack_rows(["a"], ("b",)) == ["a", "b"]
    labels = stack_rows([0], pd.Series([1]))
    assert labels == [0, 1] and all(type(label) is int for label in labels)
    assert stack_rows([np.zeros(2)], np.ones((2, 2)))[2].tolist() == [1, 1]
    assert len(stack_rows([torch.zeros(1, 2)], torch.ones(3, 1, 2))) == 4
    # The rows of a frame, not the names of its columns
    assert len(stack_rows([[1, 2]], pd.DataFrame({"a": [3, 4, 5], "b": [3, 4, 5]}))) == 4
    with pytest.raises(TypeError, match="one text, 'cat'"):
        stack_rows(["dog"], "cat")


def test_finite():
    assert is_finite(["a", "b"]) and is_finite([[1, 2.5], [3, 4]]) and is_finite([]) and is_finite(range(3))
    images = [np.ones((1, 2, 2)), np.ones((1, 3, 3))]
    assert is_finite(images) and not is_finite([*images, np.full((1, 1, 1), np.nan)])
    for bad in (None, float("nan"), float("inf"), pd.NA, np.float32("nan"), torch.tensor([float("inf")]), [1, None]):
        assert not is_finite(["a", bad])
    assert is_finite([10**400, 1.5])
    targets = [{"boxes": np.ones((1, 4)), "labels": [1]}]
    assert is_finite(targets) and not is_finite([{"boxes": np.full((1, 4), np.inf)}])


def test_keys():
    assert row_keys(["ab", "c", "ab"])[0] == row_keys(["".join("ab")])[0] != row_keys(["abc"])[0]
    assert row_keys([[1, 2.0]]) == row_keys([[1.0, 2]]) == row_keys([(np.float32(1), 2)])
    assert row_keys([["ab", "c"]]) != row_keys([["a", "bc"]])
    image = np.ones((2, 3), "f4")
    assert row_keys([image]) == row_keys([image.astype("f8")]) != row_keys([image.T])
    assert row_keys([{"a": image, "b": 1}]) == row_keys([{"b": 1, "a": image}])


def test_numbers():
    assert flat_numeric([[1, 2], [3, 4.5]]).tolist() == [[1, 2], [3, 4.5]]
    assert flat_numeric([np.ones((2, 2)), torch.ones(2, 2)]).shape == (2, 4)
    assert flat_numeric([torch.ones(2).bfloat16()]).dtype == np.float32
    for X in (["1", "2"], [[1, "2"]], [np.ones(2), np.ones(3)], [{"a": 1}], [None], [10**400]):
        assert flat_numeric(X) is None
