"""Tables of CSV files."""

import pytest

from skal.utils._csv import read_csv


@pytest.mark.parametrize("sep", [",", "\t"])
def test_columns_are_those_of_the_header(tmp_path, sep):
    path = tmp_path / "table"

    def read(text, encoding="utf-8"):
        path.write_text(text.replace(",", sep), encoding=encoding)
        return read_csv(path, sep)

    plain = read("a,größe,y\n1,2,x\n3,4,z\n", "utf-8-sig")
    assert plain.columns.tolist() == ["a", "größe", "y"] and plain["y"].tolist() == ["x", "z"]
    # What ends each line with a comma has no more columns for that.
    ends = read("a,b,y\n1,2,x,\n3,4,z,\n")
    assert ends.columns.tolist() == ["a", "b", "y"] and ends.to_numpy().tolist() == [[1, 2, "x"], [3, 4, "z"]]
    nameless = read(",a,\n0.5,1,2\n1,3,4\n")
    assert nameless.shape == (2, 3) and nameless["a"].tolist() == [1, 3]
    # Numbers of the rows, as pandas and R write them, and what a comma at the end of the header makes.
    for text in (",a,y\n0,1,2\n1,3,4\n", ",a,y\n1,1,2\n2,3,4\n", "a,y,\n1,2,\n3,4,\n", "a,y,,\n1,2,,1\n3,4,,2\n"):
        assert read(text).columns.tolist() == ["a", "y"] and read(text).to_numpy().tolist() == [[1, 2], [3, 4]]
    assert read("id,a\n0,1\n1,3\n").columns.tolist() == ["id", "a"]
    assert read("NA,a\n0,1\n1,3\n").columns.tolist() == ["NA", "a"]
    for more in ("5", "5,6", "5,6,7,8"):
        with pytest.raises(ValueError, match="^its rows hold more cells than its header has names$"):
            read(f"a,b,y\n1,2,x,{more}\n3,4,z,{more}\n")
    with pytest.raises(ValueError, match="^its columns must have distinct names, and 'a b' is there twice$"):
        read("a b,y,a b\n1,2,3\n")
