"""NumPy arrays: plain, structured, of objects, of other byte orders and widths, memory maps."""

import mmap
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skal.rows import as_dense, flat_numeric, is_finite, like, n_rows, row_blocks, row_keys, stack_rows, take_rows

RECORDS = np.array([(1, "a"), (2, "bb"), (1, "a")], dtype=[("x", "i4"), ("s", "U2")])


@pytest.mark.parametrize(
    "first, second, dtype",
    [
        (np.array([1, 2]), np.array([0.7]), "f8"),
        (np.array([1, 2], "u1"), np.array([300]), "i8"),
        (np.array([True, False]), np.array([2]), "i8"),
        (np.array([1, 2]), np.array([2], object), "i8"),
        (np.array([1.0], "f4"), np.array([0.7]), "f4"),
        (np.array([1.0], "f4"), np.array([3]), "f4"),
        (np.array([1.0], "f4"), np.array([2**24 + 1]), "f8"),
        (np.array([1.0], "f4"), np.array([1e300]), "f8"),
        (np.array([1.0], "f2"), np.array([70000.0], "f4"), "f4"),
        (np.array([1], ">i4"), np.array([0.5], ">f8"), "f8"),
        (np.array(["a"]), np.array(["bb"], object), "U2"),
        (np.array(["a"], object), ["bb"], object),
        (np.array(["2020-01-01"], "M8[D]"), np.array(["2020-01-01T12"], "M8[h]"), "M8[h]"),
    ],
)
def test_no_value_is_rounded_or_wrapped(first, second, dtype):
    stacked = stack_rows(first, second)
    assert stacked.dtype == dtype
    if stacked.dtype.kind == "f" and dtype == "f4":
        np.testing.assert_allclose(stacked[-1], float(second[-1]), rtol=1e-6)
    else:
        assert stacked.tolist()[-1] == np.asarray(second).astype(dtype).tolist()[-1]
    assert stacked.tolist()[: len(first)] == first.astype(dtype).tolist()


@pytest.mark.parametrize(
    "first, second, match",
    [
        (np.array([1, 2]), np.array(["a"]), "must hold numbers"),
        (np.array(["a"]), np.array([1]), "must hold text"),
        (np.array([1.0]), np.array(["a"], object), "must hold numbers.* str 'a'"),
        (np.array(["a"]), np.array([None]), "must hold text.* NoneType None"),
        (np.array([2**60 + 1]), np.array([0.5]), "would be rounded"),
        (np.ones((2, 3)), np.ones((2, 4)), "shape of the labelled ones"),
        (np.ones((2, 3)), [np.ones(3), np.ones(2)], "begin with a list"),
        (np.ones((2, 3)), pd.DataFrame({"a": [1.0], "b": ["x"], "c": [2]}), "must hold numbers.* str 'x'"),
    ],
)
def test_what_cannot_stand_together(first, second, match):
    with pytest.raises(ValueError, match=match):
        stack_rows(first, second)


def test_rows_of_other_containers_become_rows_of_the_array():
    X = np.ones((2, 3), "f4")
    for second in (sp.csr_array(X), pd.DataFrame(X), X.tolist()):
        stacked = stack_rows(X, second)
        assert type(stacked) is np.ndarray and stacked.shape == (4, 3) and stacked.dtype == np.float32


def test_positions():
    X = np.arange(10).reshape(5, 2)
    assert take_rows(X, 1).tolist() == [2, 3]
    assert take_rows(X, -1).tolist() == [8, 9]
    assert take_rows(X, [-1, 0]).tolist() == [[8, 9], [0, 1]]
    assert take_rows(X, slice(1, 3)).base is not None
    for idx, match in (([5], "out of bounds"), ([-6], "out of bounds"), ([True], "one entry per row"), ([0.5], "mask")):
        with pytest.raises(IndexError, match=match):
            take_rows(X, idx)


def test_records():
    assert take_rows(RECORDS, [1])["s"].tolist() == ["bb"]
    stacked = stack_rows(RECORDS, np.array([(0.5, "cccc")], dtype=[("x", "f8"), ("s", "U4")]))
    assert stacked["x"].tolist() == [1, 2, 1, 0.5] and stacked["s"].tolist() == ["a", "bb", "a", "cccc"]
    assert stack_rows(RECORDS, pd.DataFrame({"s": ["z"], "x": [7]}))[-1].tolist() == (7, "z")
    assert type(stack_rows(RECORDS.view(np.recarray), RECORDS)) is np.recarray
    keys = row_keys(RECORDS)
    assert keys[0] == keys[2] != keys[1]
    assert [len(block) for _, block in row_blocks(RECORDS, 2)] == [2, 1]
    assert is_finite(RECORDS) and not is_finite(np.array([(np.nan,)], dtype=[("x", "f8")]))
    assert flat_numeric(RECORDS) is None
    with pytest.raises(TypeError, match=r"records, \['x', 's'\]"):
        as_dense(RECORDS, "FGSM")
    with pytest.raises(ValueError, match=r"columns of the labelled ones, \['x', 's'\]"):
        stack_rows(RECORDS, np.zeros((1, 2)))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", "longdouble", "c8"])
def test_not_finite(dtype):
    X = np.ones((4, 3), dtype)
    assert is_finite(X)
    for bad in (np.nan, np.inf):
        X[3, 2] = bad
        assert not is_finite(X)


def test_large_values_are_finite_though_their_sum_is_not():
    assert is_finite(np.full((4, 3), 1e38, "f4")) and is_finite(np.full((40, 30), 60000, "f2"))


def test_missing_among_objects_and_dates():
    assert is_finite(np.array(["a", "b"], object)) and is_finite(np.array(["a"]))
    for bad in (None, np.nan, pd.NA, pd.NaT, float("inf")):
        assert not is_finite(np.array(["a", bad], object))
    assert not is_finite(np.array(["NaT"], "M8[D]"))
    images = np.empty(2, object)
    images[:] = [np.ones((2, 2)), np.full((3, 1), np.nan)]
    assert not is_finite(images) and is_finite(images[:1])


def test_a_memory_map_is_neither_copied_nor_read_as_a_whole(tmp_path):
    X = np.memmap(tmp_path / "X", "f4", "w+", shape=(1000, 30))
    X[:] = np.arange(30)
    assert is_finite(X)
    blocks = list(row_blocks(X, 300))
    assert [rows.stop - rows.start for rows, _ in blocks] == [300, 300, 300, 100]
    assert all(np.shares_memory(block, X) for _, block in blocks)


def test_keys_are_of_values():
    X = np.random.default_rng(0).normal(size=(7, 5)).astype("f4")
    assert row_keys(X) == row_keys(X.astype("f8")) == row_keys(X.astype(">f8")) == row_keys(np.asfortranarray(X))
    assert len(set(row_keys(X))) == 7
    assert row_keys(np.array([[0.0, 1]])) == row_keys(np.array([[-0.0, 1]])) == row_keys(np.array([[0, 1]], "u1"))
    # What float32 does not tell apart
    assert len(set(row_keys(np.array([[1.0], [1 + 1e-12], [1 + 1e-12]])))) == 2
    assert len(set(row_keys(np.array([[2**60], [2**60 + 1]])))) == 2
    assert row_keys(np.array([[2**60 + 1], [3]]))[1] == row_keys(np.array([[3.0]]))[0]
    assert row_keys(np.ones((2, 0))) == row_keys(np.ones((2, 0)))


def test_keys_of_objects_do_not_depend_on_what_is_shared():
    text = "ab"
    shared = np.array([[text, text, 1.5]], object)
    other = np.array([["".join(["a", "b"]), "".join(["a", "b"]), np.float64(1.5)]], object)
    assert row_keys(shared) == row_keys(other) != row_keys(np.array([["ab", "a", "b1.5"]], object))


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i4", "longdouble", "f2", bool])
def test_flat_numbers_are_native(dtype):
    X = np.ones((2, 3, 2), dtype)
    found = flat_numeric(X)
    assert found.shape == (2, 6) and found.dtype.isnative and found.dtype != np.longdouble
    assert (found == 1).all()


def test_flat_numbers_of_what_holds_none():
    for X in (np.array(["1"]), np.array([["1"]], object), np.array([1j]), np.array(3.0), np.array([[{}]], object)):
        assert flat_numeric(X) is None
    assert flat_numeric(np.array([[1, 2.5]], object)).dtype == np.float64
    assert flat_numeric(np.zeros((0, 3))).shape == (0, 3)
    X = np.ones((2, 3))
    assert np.shares_memory(flat_numeric(X), X) and like(X, X) is X


def test_a_text_is_no_collection():
    for text in ("abc", b"abc"):
        with pytest.raises(TypeError, match="Got one text"):
            n_rows(text)


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i4", ">u2", ">f2"])
def test_the_byte_order_stays(dtype):
    stacked = stack_rows(np.array([[1, 2]], dtype), np.array([[3, 4]], dtype))
    assert stacked.dtype == dtype and stacked.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("dtype", ["u1", "i1", "i4", "u8", "f2", "g", "?", ">f4"])
def test_computing_with_features_neither_wraps_nor_overflows(dtype):
    X = np.full((2, 2), 100).astype(dtype)
    features = flat_numeric(X)
    assert features.dtype in ("f4", "f8") and features.dtype.isnative
    assert (features**2).tolist() == (X.astype(float) ** 2).tolist()


def test_masked_values_are_missing():
    X = np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    assert not is_finite(X) and is_finite(X[1:])
    np.testing.assert_array_equal(flat_numeric(X), [[1, np.nan], [3, 4]])
    stacked = stack_rows(np.ones((1, 2)), X)
    assert type(stacked) is np.ndarray
    np.testing.assert_array_equal(stacked, [[1, 1], [1, np.nan], [3, 4]])
    assert stack_rows(np.ones((1, 2), int), X[1:]).dtype.kind == "i"
    texts = np.ma.array(["a", "b"], mask=[0, 1], dtype=object)
    assert stack_rows(np.array(["c"], object), texts).tolist() == ["c", "a", None]
    assert isinstance(stack_rows(X, np.ones((1, 2))), np.ma.MaskedArray) and not is_finite(stack_rows(X, X[1:]))


def test_keys_of_objects_that_are_numbers():
    X = np.array([[1, 2.5], [3, 4], [5, 6]])
    objects = X.astype(object)
    assert row_keys(objects) == row_keys(X) == row_keys(np.asmatrix(X))
    objects[0, 0] = None
    keys = row_keys(objects)
    assert keys[1:] == row_keys(X)[1:] and keys[0] != row_keys(X)[0] and row_keys(objects[:1]) == keys[:1]
    assert row_keys(objects[:0]) == []


def test_whole_numbers_as_floats_below_integers_are_floats():
    joint = stack_rows(np.array([[1], [2]]), np.array([[3.0]]))
    assert joint.dtype == np.float64
    np.testing.assert_array_equal(joint, [[1], [2], [3]])


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_blocks_of_a_memory_map_give_their_pages_back_and_lose_nothing(mode, tmp_path):
    X = np.arange(50_000.0).reshape(-1, 5)
    X.tofile(tmp_path / "X")
    whole = np.memmap(tmp_path / "X", float, mode, offset=40, shape=(9_000, 5))
    if mode != "r":
        whole[4_000:5_000] = -1
    for part in (whole, whole[17:8_000], whole[::2], whole[::-1]):
        expected = np.array(part)
        kept = [block for _, block in row_blocks(part, 1_111)]
        np.testing.assert_array_equal(np.concatenate(kept), expected)
        np.testing.assert_array_equal(part, expected)


@pytest.mark.skipif(not hasattr(mmap.mmap, "madvise"), reason="the system takes no advice on memory")
def test_a_scan_of_a_memory_map_holds_one_block(tmp_path):
    def resident():
        mapped = Path("/proc/self/smaps").read_text().split(str(tmp_path / "X"), 1)[1]
        return int(mapped.split("Rss:", 1)[1].split()[0])

    if not os.path.exists("/proc/self/smaps"):
        pytest.skip("the system does not tell what is in memory")
    np.zeros((100_000, 20)).tofile(tmp_path / "X")
    X = np.memmap(tmp_path / "X", float, "r", shape=(100_000, 20))
    seen = []
    for _, block in row_blocks(X, 10_000):
        block.sum()
        seen.append(resident())
    # Of 16 MB no more than some blocks of 1.6, since a system may read ahead in large pages.
    assert 1_000 < max(seen) < 8_000
