"""Tables with a column of labels."""

import pandas as pd
import pytest

from skal.experiments._data import load_data
from skal.experiments._tables import load_table


def test_the_column_of_labels(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,Class,b\n1,x,3\n2,y,4\n")
    X, y = load_table(path)
    assert X.columns.tolist() == ["a", "b"] and y.tolist() == ["x", "y"] and y.dtype.kind == "U"
    X, y = load_table(path, "b")
    assert X.columns.tolist() == ["a", "Class"] and y.tolist() == [3, 4]
    path.write_text("a,b,y\n1,2,3,\n5,6,7,\n")  # commas at the ends of lines
    X, y = load_table(path)
    assert X.to_numpy().tolist() == [[1, 2], [5, 6]] and y.tolist() == [3, 7]
    path.write_text("a,Class,b\n1,x,3\n2,y,4\n")
    found = load_data(str(path), target="a")
    assert found.y.tolist() == [1, 2] and found.X_test is None


@pytest.mark.parametrize(
    ("content", "target", "message"),
    [
        ("a,b\n1,2\n", None, r"must have a column of labels, and --target must name one. Its columns are a, b.$"),
        ("y,label\n1,2\n", None, r"--target must name one. Its columns are y, label.$"),
        ("a,b\n1,2\n", "c", r"--target must be one of them, not 'c'. Its columns are a, b.$"),
        ("a,y\n1,\n2,3\n", None, r"The column 'y' of .* must hold a label in each row. Got rows without one."),
        ("a,y\n", None, r"must hold a label in each row"),
        ("y\n1\n", None, r"must have columns beside the labels. Got 'y' alone."),
        ("", None, r"cannot be read as a table: No columns to parse from file.$"),
        # pandas would rename the second, and the model learn from the labels; or take the first cells for an index.
        (
            "a,y,y\n1,2,2\n",
            None,
            r"cannot be read as a table: its columns must have distinct names, and 'y' is there tw",
        ),
        ("a,b,y\n1,2,3,4\n5,6,7,8\n", None, r"a table: its rows hold more cells than its header has names.$"),
        ("a,y\n1,2,3,4\n1\n1,2,3,4,5,6\n", None, r"cannot be read as a table: Error tokenizing"),
    ],
)
def test_errors(tmp_path, content, target, message):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_table(path, target)


def test_a_damaged_parquet_file_and_a_missing_reader(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"no")

    def missing(path):
        raise ImportError("pyarrow")

    monkeypatch.setattr(pd, "read_parquet", missing)
    with pytest.raises(ValueError, match=r"needs pyarrow to be read. Install it with: pip install pyarrow"):
        load_table(path)
