"""Keys of rows: equal for equal contents, and for nothing else."""

import numpy as np
import pytest

from skal.rows import row_keys


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_sign_of_zero_does_not_matter(dtype):
    assert row_keys(np.array([[0.0, 1.0]], dtype=dtype)) == row_keys(np.array([[-0.0, 1.0]], dtype=dtype))
    both = row_keys(np.array([[-0.0, 1 / 3]], dtype=dtype)) + row_keys(np.array([[0.0, 1 / 3]], dtype=dtype))
    assert both[0] == both[1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["a", "sb"], ["as", "b"]),
        (["a", ["b"]], ["a", "b"]),
        ([["a"], "b"], ["a", ["b"]]),
        ("a", b"a"),
        ({"a": "b"}, ["a", "b"]),
        ([1, 2], ["1", "2"]),
        ("-", None),
    ],
    ids=str,
)
def test_other_contents_have_other_keys(first, second):
    keys = row_keys([first]) + row_keys([second])
    assert keys[0] != keys[1]
