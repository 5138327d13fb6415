"""polars frames, which stay polars."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from skal.rows import (
    as_dense,
    check_finite,
    column_names,
    drop_rows,
    flat_numeric,
    is_finite,
    label_rows,
    like,
    net_input,
    row_blocks,
    row_keys,
    stack_rows,
    take_rows,
)

pl = pytest.importorskip("polars", reason="polars is not installed")


def mixed():
    return pl.DataFrame(
        {
            "i": [1, 2],
            "f": [0.5, 1.5],
            "s": ["u", "v"],
            "c": pl.Series(["a", "b"], dtype=pl.Categorical),
            "e": pl.Series(["lo", "hi"], dtype=pl.Enum(["lo", "hi"])),
            "b": [True, False],
        }
    )


def test_rows():
    X = mixed()
    for idx in ([1], slice(1, 2), np.array([False, True]), [-1]):
        assert take_rows(X, idx).rows() == X.rows()[1:]
    assert drop_rows(X, [1]).rows() == X.rows()[:1] and take_rows(X, []).schema == X.schema
    assert take_rows(X, 1) == X.row(1, named=True)
    assert [block.height for _, block in row_blocks(X, 1)] == [1, 1] and column_names(X) == X.columns


@pytest.mark.parametrize("make", [lambda X: X, lambda X: X.to_numpy()])
def test_columns_keep_their_dtypes(make):
    stacked = stack_rows(mixed(), make(mixed()))
    assert stacked.schema == mixed().schema and stacked.rows()[:2] == stacked.rows()[2:]


def test_promotion_and_levels():
    ints = pl.DataFrame({"x": pl.Series([1], dtype=pl.UInt8)})
    assert stack_rows(ints, pl.DataFrame({"x": [0.7]}))["x"].to_list() == [1, 0.7]
    assert stack_rows(ints, pl.DataFrame({"x": [300]}))["x"].to_list() == [1, 300]
    assert stack_rows(ints, np.array([[7.0]]))["x"].dtype == pl.UInt8
    assert stack_rows(pl.DataFrame({"x": [True]}), pl.DataFrame({"x": [True]}))["x"].dtype == pl.Boolean
    narrow = pl.DataFrame({"x": pl.Series([1.0], dtype=pl.Float32)})
    assert stack_rows(narrow, pl.DataFrame({"x": [0.5]}))["x"].dtype == pl.Float32
    enum = stack_rows(mixed().select("e"), pl.DataFrame({"e": pl.Series(["mid"], dtype=pl.Enum(["lo", "mid", "hi"]))}))
    assert enum["e"].dtype == pl.Enum(["lo", "mid", "hi"]) and enum["e"].to_list() == ["lo", "hi", "mid"]
    assert stack_rows(mixed().select("c"), pl.DataFrame({"c": ["z"]}))["c"].to_list() == ["a", "b", "z"]
    frame = stack_rows(mixed().select("i", "s"), pd.DataFrame({"i": [3], "s": ["w"]}))
    assert frame.rows()[-1] == (3, "w")


@pytest.mark.parametrize(
    "column, new", [("i", ["x"]), ("s", [1]), ("c", [1]), ("f", ["1.5"])], ids=["int", "text", "category", "float"]
)
def test_what_a_column_cannot_hold(column, new):
    with pytest.raises(ValueError, match=f"in the column '{column}'"):
        stack_rows(mixed().select(column), pl.DataFrame({column: new}))


def test_other_columns():
    with pytest.raises(ValueError, match="same order"):
        stack_rows(mixed(), mixed().select(mixed().columns[::-1]))
    with pytest.raises(ValueError, match="rows of 6 columns"):
        stack_rows(mixed(), np.ones((1, 2)))


def test_content():
    keys = row_keys(stack_rows(mixed(), mixed()))
    assert keys[:2] == keys[2:] and keys[0] != keys[1]
    numbers = mixed().select("i", "f", "b")
    assert row_keys(numbers) == row_keys(numbers.with_columns(pl.col("f").cast(pl.Float32)))
    assert flat_numeric(numbers).tolist() == [[1, 0.5, 1], [2, 1.5, 0]] and flat_numeric(mixed()) is None
    assert as_dense(numbers, "FGSM").shape == net_input(numbers).shape == (2, 3)
    assert like(numbers, np.zeros((1, 3))).columns == ["i", "f", "b"]
    assert is_finite(mixed()) and not is_finite(pl.DataFrame({"s": ["a", None]}))
    with pytest.raises(ValueError, match="NaN or infinity in the column 'x'"):
        check_finite(pl.DataFrame({"i": [1], "x": [float("nan")]}))


def test_labels():
    y = pl.Series("y", ["a", "b"])
    assert label_rows(y, ["c"], mixed()[:1]).to_list() == ["a", "b", "c"]
    assert label_rows(pd.Series([1, 2]), pl.Series([3]), np.ones((1, 1))).tolist() == [1, 2, 3]


def test_polars_is_not_imported_before_the_user_has():
    code = "import sys, skal.rows; raise SystemExit('polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rows_onto_a_list():
    assert np.array(stack_rows([[1.0, 2.0]], pl.DataFrame({"a": [3], "b": [4.5]}))).tolist() == [[1, 2], [3, 4.5]]
    assert stack_rows([{"a": "u"}], pl.DataFrame({"a": ["v"]})) == [{"a": "u"}, {"a": "v"}]
