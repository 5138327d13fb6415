"""pandas frames and Series: dtypes of columns, the index, labels beside their samples."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skal.learners import ActiveLearner
from skal.rows import (
    as_dense,
    column_names,
    drop_rows,
    flat_numeric,
    is_finite,
    label_rows,
    like,
    row_blocks,
    row_keys,
    stack_rows,
    take_rows,
)
from skal.strategies import DM2, MarginSampling


def mixed(**columns):
    frame = pd.DataFrame(
        {
            "i": [1, 2],
            "f": [0.5, 1.5],
            "b": [True, False],
            "s": ["u", "v"],
            "c": pd.Categorical(["a", "b"]),
            "o": pd.Categorical(["lo", "hi"], categories=["lo", "hi"], ordered=True),
            "I": pd.array([1, None], dtype="Int64"),
            "d": pd.to_datetime(["2020-01-01", "2020-01-02"]),
            "n": pd.array(["x", None], dtype="string"),
        },
        index=["r0", "r1"],
    )
    return frame.assign(**columns)


@pytest.mark.parametrize("make", [lambda f: f, lambda f: f.to_numpy(), lambda f: f.to_numpy().tolist()])
def test_columns_keep_their_dtypes(make):
    stacked = stack_rows(mixed(), make(mixed()))
    assert list(stacked.dtypes) == list(mixed().dtypes) and list(stacked.columns) == list(mixed().columns)
    for name in stacked:
        old, new = stacked[name].iloc[:2].tolist(), stacked[name].iloc[2:].tolist()
        assert all((pd.isna(a) and pd.isna(b)) or a == b for a, b in zip(old, new)), name
    assert list(stacked.index[:2]) == ["r0", "r1"]


def test_texts_of_an_array_are_read_as_the_columns_hold_them():
    stacked = stack_rows(mixed()[["f", "i", "s"]], np.array([["2.5", "7", "w"]]))
    assert stacked.iloc[-1].tolist() == [2.5, 7, "w"] and stacked["i"].dtype == np.int64


@pytest.mark.parametrize(
    "first, second, dtype, last",
    [
        (pd.DataFrame({"x": [1]}), pd.DataFrame({"x": [0.7]}), "float64", 0.7),
        (pd.DataFrame({"x": [1]}), np.array([[0.7]]), "float64", 0.7),
        (pd.DataFrame({"x": [1]}), np.array([[7.0]]), "int64", 7),
        (pd.DataFrame({"x": np.array([1], "u1")}), pd.DataFrame({"x": [300]}), "int64", 300),
        (pd.DataFrame({"x": [True]}), pd.DataFrame({"x": [2]}), "int64", 2),
        (pd.DataFrame({"x": [True]}), np.array([[False]]), "bool", False),
        (pd.DataFrame({"x": np.array([1], "f4")}), pd.DataFrame({"x": [0.5]}), "float32", 0.5),
        (pd.DataFrame({"x": pd.array([1], "Int64")}), np.array([[0.5]]), "Float64", 0.5),
        (pd.DataFrame({"x": [1]}), pd.DataFrame({"x": pd.array([5], "Int64")}), "Int64", 5),
        (pd.DataFrame({"x": [1.0]}), np.array([[None]]), "float64", None),
        (pd.DataFrame({"x": pd.Series(["a"], dtype=object)}), np.array([[3]]), "object", 3),
    ],
)
def test_numbers_are_promoted(first, second, dtype, last):
    stacked = stack_rows(first, second)["x"]
    assert str(stacked.dtype) == dtype
    assert pd.isna(stacked.iloc[-1]) if last is None else stacked.iloc[-1] == last


@pytest.mark.parametrize(
    "first, second",
    [
        (pd.DataFrame({"age": [1.0]}), np.array([["old"]], object)),
        (pd.DataFrame({"age": [1.0]}), pd.DataFrame({"age": ["1.5"]})),
        (pd.DataFrame({"age": ["young"]}).astype("string"), np.array([[3]])),
        (pd.DataFrame({"age": pd.Categorical(["young"])}), np.array([[3]])),
        (pd.DataFrame({"age": pd.to_datetime(["2020-01-01"])}), np.array([["soon"]], object)),
    ],
)
def test_what_a_column_cannot_hold_is_an_error_that_names_it(first, second):
    with pytest.raises(ValueError, match="in the column 'age'"):
        stack_rows(first, second)


def test_other_columns():
    with pytest.raises(ValueError, match="same order"):
        stack_rows(mixed()[["i", "f"]], mixed()[["f", "i"]])
    with pytest.raises(ValueError, match="rows of 2 columns"):
        stack_rows(mixed()[["i", "f"]], np.ones((1, 3)))


def test_categories_are_united():
    first = pd.DataFrame({"c": pd.Categorical(["u", "v"])})
    for second in (
        pd.DataFrame({"c": pd.Categorical(["w", "u"])}),
        pd.DataFrame({"c": ["w", "u"]}),
        np.array([["w"], ["u"]], object),
    ):
        stacked = stack_rows(first, second)["c"]
        assert list(stacked.cat.categories) == ["u", "v", "w"] and stacked.tolist() == ["u", "v", "w", "u"]
    narrow = pd.DataFrame({"c": pd.Categorical(["v", None], categories=["v"])})
    assert list(stack_rows(first, narrow)["c"].cat.categories) == ["u", "v"]
    assert stack_rows(first, narrow)["c"].isna().tolist() == [False, False, False, True]
    numbers = stack_rows(pd.DataFrame({"c": pd.Categorical([1, 2])}), np.array([[3]]))["c"]
    assert numbers.tolist() == [1, 2, 3] and str(numbers.dtype) == "category"


def test_ordered_categories():
    def levels(*names):
        return pd.DataFrame({"o": pd.Categorical(names[:1], categories=names, ordered=True)})

    merged = stack_rows(levels("lo", "hi"), levels("lo", "mid", "hi", "top"))["o"].dtype
    assert list(merged.categories) == ["lo", "mid", "hi", "top"] and merged.ordered
    assert list(stack_rows(levels("mid", "hi"), levels("lo", "mid"))["o"].cat.categories) == ["lo", "mid", "hi"]
    assert list(stack_rows(levels("lo", "hi"), np.array([["top"]]))["o"].cat.categories) == ["lo", "hi", "top"]
    with pytest.raises(ValueError, match="levels of the column 'o' in the order"):
        stack_rows(levels("lo", "hi"), levels("hi", "lo"))


def test_a_missing_value_is_not_finite_whatever_the_column():
    good = mixed(I=[1, 2], n=["x", "y"])
    assert is_finite(good)
    for name in ("f", "s", "c", "o", "d"):
        assert not is_finite(good.assign(**{name: mixed()[name].where([True, False])})), name
    assert not is_finite(mixed()[["I"]]) and not is_finite(mixed()[["n"]])
    assert not is_finite(pd.DataFrame({"x": [np.inf, 1]})) and not is_finite(pd.DataFrame({"x": ["a", np.inf]}))
    assert not is_finite(pd.Series([1.0, np.inf], dtype="Float64"))


def test_keys():
    frame = mixed()
    keys = row_keys(stack_rows(frame, frame.to_numpy()))
    assert keys[:2] == keys[2:] and keys[0] != keys[1]
    numbers = pd.DataFrame({"x": [0.0, 1.5], "y": [1, 2]})
    assert row_keys(numbers) == row_keys(numbers.astype("f4")) == row_keys(numbers * [-1, 1] * [-1, 1])
    assert row_keys(pd.DataFrame({"x": [-0.0], "y": [1]}))[0] == row_keys(numbers)[0]
    assert len(set(row_keys(pd.DataFrame({"id": [2**60, 2**60 + 1]})))) == 2
    assert row_keys(pd.DataFrame({"c": pd.Categorical(["u"], ["v", "u"])})) == row_keys(
        pd.DataFrame({"c": pd.Categorical(["u"])})
    )


def test_numbers():
    frame = pd.DataFrame({"i": [1, 2], "b": [True, False], "I": pd.array([1, None], dtype="Int64")})
    assert flat_numeric(frame)[:, :2].tolist() == [[1, 1], [2, 0]] and np.isnan(flat_numeric(frame)[1, 2])
    assert as_dense(frame[["i"]], "FGSM").shape == (2, 1)
    assert flat_numeric(mixed()) is None and flat_numeric(mixed()[["c"]]) is None
    assert list(like(frame, np.zeros((1, 3))).columns) == ["i", "b", "I"] and column_names(frame) == ["i", "b", "I"]


def test_rows_and_blocks_keep_the_index():
    frame = mixed()
    assert take_rows(frame, [1]).index.tolist() == ["r1"] and drop_rows(frame, 1).index.tolist() == ["r0"]
    assert take_rows(frame, 0)["s"] == "u"
    assert [block.index.tolist() for _, block in row_blocks(frame, 1)] == [["r0"], ["r1"]]


X_NEW = pd.DataFrame({"x": [5, 6]}, index=["q", "z"])


@pytest.mark.parametrize(
    "typed",
    [
        ["no", "yes"],
        ("no", "yes"),
        np.array(["no", "yes"]),
        np.array([["no"], ["yes"]], object),
        pd.Series(["no", "yes"]),
        pd.DataFrame({"y": ["no", "yes"]}),
        pd.Series(["no", "yes"], index=["q", "z"]),
    ],
)
def test_labels_take_the_index_of_their_samples(typed):
    y = pd.Series(["yes", "no"], index=["a", "b"], name="answer")
    stacked = label_rows(y, typed, X_NEW)
    assert stacked.index.tolist() == ["a", "b", "q", "z"] and stacked.tolist() == ["yes", "no", "no", "yes"]
    assert stacked.name == "answer"
    assert label_rows(y.to_frame(), typed, X_NEW)["answer"].tolist() == stacked.tolist()
    assert label_rows(y.to_frame(), typed, X_NEW).index.tolist() == stacked.index.tolist()


def test_labels_with_an_index_of_their_own_keep_it():
    y = pd.Series([1, 2])
    assert label_rows(y, pd.Series([3], index=[70]), np.ones((1, 2))).index.tolist() == [0, 1, 70]
    assert label_rows(y, [3], np.ones((1, 2))).index.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "first, second, want",
    [
        ([1, 2], pd.Series([3]), [1, 2, 3]),
        ([1, 2], np.array([3]), [1, 2, 3]),
        (np.array([1, 2]), [[3]], [1, 2, 3]),
        (np.array([1, 2]), pd.Series([3], index=["z"]), [1, 2, 3]),
        (np.array([[1], [2]]), [3], [[1], [2], [3]]),
        (np.array([[1, 0]]), [[0, 1]], [[1, 0], [0, 1]]),
        (pd.Series([1, 2]), torch.tensor([3]), [1, 2, 3]),
        (pd.Series([1, 2]), [2.5], [1, 2, 2.5]),
        (pd.Series(["a"], dtype="category"), ["b"], ["a", "b"]),
    ],
)
def test_labels_in_other_containers(first, second, want):
    stacked = label_rows(first, second, np.ones((1, 2)))
    assert type(stacked) is type(first)
    assert (stacked if isinstance(stacked, list) else stacked.tolist()) == want


def test_labels_of_another_kind():
    for first, second in ((pd.Series([1, 2]), ["a"]), (pd.Series(["a"]), [1]), (np.array([1]), ["a"])):
        with pytest.raises(ValueError, match="must hold (numbers|text)"):
            label_rows(first, second, np.ones((1, 2)))


def test_labels_are_python_values():
    y = pd.Series(["a", "b"])
    for X_new in (np.ones((1, 2)), pd.DataFrame({"x": [1]}, index=["z"])):
        assert type(label_rows(y, np.array(["c"]), X_new).iloc[-1]) is str


def test_rows_read_from_a_file_get_the_dtypes_of_the_labelled_ones():
    first = pd.DataFrame(
        {
            "d": pd.date_range("2020", periods=2),
            "z": pd.date_range("2020", periods=2, tz="UTC"),
            "t": pd.to_timedelta([1, 2], unit="h"),
            "p": pd.period_range("2020", periods=2, freq="D"),
            "F": pd.array([0.5, 2], dtype="Float32"),
            "I": pd.array([1, 2], dtype="Int64"),
            "s": pd.arrays.SparseArray([0.0, 1.0]),
        }
    )
    stacked = stack_rows(first, pd.read_csv(io.StringIO(first.to_csv(index=False))))
    pd.testing.assert_frame_equal(stacked, pd.concat([first, first]))


@pytest.mark.parametrize("value", ["soon", 5, True, 1.5])
@pytest.mark.parametrize("as_frame", [True, False])
def test_what_is_no_date_stands_below_no_date(value, as_frame):
    first = pd.DataFrame({"when": pd.date_range("2020", periods=2)})
    rows = pd.DataFrame({"when": [value]}) if as_frame else [[value]]
    with pytest.raises(ValueError, match="in the column 'when', as the labelled ones do"):
        stack_rows(first, rows)


def test_nullable_floats_stay_narrow_within_their_range():
    first = pd.DataFrame({"x": pd.array([0.5, None], dtype="Float32")})
    assert stack_rows(first, pd.DataFrame({"x": [0.1]})).dtypes.tolist() == ["Float32"]
    assert stack_rows(first, pd.DataFrame({"x": [1e300]})).dtypes.tolist() == ["Float64"]
    assert stack_rows(first, pd.DataFrame({"x": [2**24 + 1]}))["x"].iloc[-1] == 2**24 + 1


class TestColumnsInMessages:
    FRAME = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0], "word": list("uvuv")})

    def learner(self, columns):
        words = make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough")
        model = make_pipeline(words, LogisticRegression()) if "word" in columns else LogisticRegression()
        return ActiveLearner(model, MarginSampling(), self.FRAME[columns], [0, 0, 1, 1])

    @pytest.mark.parametrize(("columns", "missing"), [(["a", "word"], "b"), (["a", "b"], "word"), (["word", "c"], "a")])
    def test_a_missing_column_is_named(self, columns, missing):
        pool = self.FRAME.assign(c=1.0)[columns]
        with pytest.raises(ValueError, match=f"X lacks the column '{missing}', which the labelled data has"):
            self.learner(["a", "b", "word"]).query(pool, n_instances=1)

    def test_renamed(self):
        with pytest.raises(ValueError, match="X lacks the column 'b'"):
            self.learner(["a", "b"]).query(self.FRAME[["a", "b"]].rename(columns={"b": "B"}), n_instances=1)

    def test_a_column_that_is_no_number(self):
        with pytest.raises(TypeError, match="DM2 computes with raw .* DataFrame whose column 'word' holds no numbers"):
            learner = self.learner(["a", "b", "word"])
            learner.query_strategy = DM2()
            learner.query(self.FRAME, n_instances=1)
