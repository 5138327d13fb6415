"""Folders of shards: each answer against the array that was written."""

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from torch.utils.data import TensorDataset

from skal.learners import ActiveLearner
from skal.nets import DeepClassifier
from skal.rows import (
    Shards,
    as_dense,
    drop_rows,
    feature_shape,
    flat_numeric,
    is_finite,
    n_rows,
    net_input,
    numbers_of,
    read_rows,
    row_blocks,
    row_keys,
    stack_rows,
    take_rows,
    write_shards,
)
from skal.strategies import MarginSampling

N, PER_SHARD = 53, 10


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Shards of ten rows of four float32, the last one of three."""
    monkeypatch.setattr("skal.rows._write_shards._SHARD_BYTES", PER_SHARD * 16)


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)


@pytest.fixture
def shards(tmp_path, X):
    return write_shards(tmp_path / "s", [X[:7], X[7:31], X[31:]])


def names(folder):
    return sorted(os.listdir(folder))


def test_files_are_of_one_size_whatever_the_blocks(shards, tmp_path, X):
    index = json.loads((tmp_path / "s" / "index.json").read_text())
    assert index["rows"] == [10, 10, 10, 10, 10, 3] and index["shape"] == [4] and index["ids"] is None
    assert names(tmp_path / "s") == [f"{i:06d}.npy" for i in range(6)] + ["index.json"]
    assert names(tmp_path) == ["s"]
    np.testing.assert_array_equal(np.load(tmp_path / "s" / "000002.npy"), X[20:30])
    assert (len(shards), shards.shape, shards.ndim, shards.dtype) == (N, (N, 4), 2, np.float32)
    assert Shards(tmp_path / "s") == shards and shards.folder == str(tmp_path / "s")


INDICES = [
    0,
    -1,
    np.int64(52),
    slice(None),
    slice(3, 8),
    slice(8, 25),
    slice(50, 900),
    slice(40, 3, -7),
    slice(5, 5),
    [],
    [3],
    [52, 0, 0, 17, -3, 9, 10],
    np.arange(N)[::-1],
    np.arange(N) % 3 == 1,
    torch.tensor([4, 30]),
]


@pytest.mark.parametrize("idx", INDICES, ids=str)
def test_brackets_read_and_take_rows_does_not(shards, X, idx):
    plain = idx.numpy() if isinstance(idx, torch.Tensor) else idx
    read, part = shards[idx], take_rows(shards, idx)
    assert type(read) is np.ndarray and read.flags.writeable and read.flags.owndata
    np.testing.assert_array_equal(read, X[plain])
    np.testing.assert_array_equal(read_rows(shards, idx), X[plain])
    np.testing.assert_array_equal(np.asarray(part), X[plain])
    assert isinstance(part, np.ndarray if np.ndim(read) == 1 else Shards)


@pytest.mark.parametrize("outer", [slice(4, 44), slice(44, 4, -1), [9, 10, 50, 2, 2, 30, 11]], ids=str)
@pytest.mark.parametrize("inner", [2, slice(1, 6, 2), slice(None, None, -1), [5, 0, -1], []], ids=str)
def test_a_part_of_a_part(shards, X, outer, inner):
    part = take_rows(shards, outer)
    np.testing.assert_array_equal(part[inner], X[outer][inner])
    np.testing.assert_array_equal(np.asarray(take_rows(part, inner)), X[outer][inner])
    np.testing.assert_array_equal(np.asarray(drop_rows(part, [1, 3])), np.delete(X[outer], [1, 3], axis=0))
    np.testing.assert_array_equal(part.ids, np.arange(N)[outer])
    again = pickle.loads(pickle.dumps(part))
    assert again == part and again != shards and repr(again) == repr(part)
    for size in (1, 3, 100):
        for rows, block in row_blocks(part, size):
            np.testing.assert_array_equal(block, X[outer][rows])


def test_rows_outside(shards):
    for idx in (53, [0, -54], np.ones(3, bool), [0.5]):
        with pytest.raises(IndexError):
            shards[idx]
        with pytest.raises(IndexError):
            take_rows(shards, idx)


def test_columns_are_no_rows(shards, X):
    np.testing.assert_array_equal(shards[[3, 1], ...], X[[3, 1]])
    for idx in ((slice(None), 0), (0, 0), (..., 0), (), (0, ..., 0)):
        with pytest.raises(IndexError, match="Shards are indexed by rows alone"):
            shards[idx]


def test_searches_split_them(shards, X):
    y = (X[:, 0] > 0).astype(int)
    same = cross_val_score(LogisticRegression(), X, y, cv=3)
    np.testing.assert_array_equal(cross_val_score(LogisticRegression(), shards, y, cv=3), same)


@pytest.mark.parametrize("size", [1, 4, 10, 15, 1000])
def test_blocks(shards, X, size):
    found = list(row_blocks(shards, size))
    assert [rows for rows, _ in found] == [rows for rows, _ in row_blocks(X, size)]
    for rows, block in found:
        np.testing.assert_array_equal(block, X[rows])
        # A view of the map within one shard.
        within = rows.start // PER_SHARD == (rows.stop - 1) // PER_SHARD
        assert block.flags.owndata != within and block.flags.writeable != within


def test_the_generics_as_of_the_array(shards, X):
    assert n_rows(shards) == N and feature_shape(shards) == (4,) and is_finite(shards)
    assert row_keys(shards) == row_keys(X)
    for function in (numbers_of, flat_numeric, net_input, lambda X: as_dense(X, "It"), list):
        np.testing.assert_array_equal(function(shards), function(X))
    assert net_input(shards, torch.nn.Linear(4, 2).double()).dtype == np.float64
    assert np.asarray(shards, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy=False"):
        np.array(shards, copy=False)


@pytest.mark.parametrize("make", [np.array, torch.tensor, list, lambda X: pd.DataFrame(X, columns=list("abcd"))])
def test_stacking(shards, X, make):
    part = take_rows(shards, [12, 3, 40])
    below, above = stack_rows(make(X[:2]), part), stack_rows(part, make(X[:2]))
    assert type(below) is type(make(X)) and type(above) is np.ndarray
    np.testing.assert_array_equal(np.asarray(below), np.vstack([X[:2], X[[12, 3, 40]]]))
    np.testing.assert_array_equal(above, np.vstack([X[[12, 3, 40]], X[:2]]))
    np.testing.assert_array_equal(stack_rows(part, part), X[[12, 3, 40, 12, 3, 40]])


def test_a_value_that_is_missing_is_found_in_any_shard(tmp_path, X):
    X[N - 1, 2] = np.nan
    shards = write_shards(tmp_path / "n", [X])
    assert not is_finite(shards) and is_finite(take_rows(shards, slice(0, N - 1)))
    with pytest.raises(ValueError, match=r"^X contains NaN or infinity\.$"):
        MarginSampling().select(LogisticRegression().fit(X[:9], np.arange(9) % 2), shards, 1)


def test_only_the_shards_asked_for_are_opened(shards, monkeypatch):
    opened = []
    load = np.lib.format.open_memmap
    monkeypatch.setattr(
        np.lib.format, "open_memmap", lambda path, mode: opened.append(os.path.basename(path)) or load(path, mode=mode)
    )
    shards[[41, 12, 15, 19, 43]]
    assert opened == ["000001.npy", "000004.npy"]
    drop_rows(shards, [41]), take_rows(shards, slice(3, 50)), shards.ids, shards == shards
    assert len(opened) == 2


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no list of open files")
def test_few_files_are_open_at_a_time(tmp_path, X):
    shards = write_shards(tmp_path / "many", [np.tile(X, (20, 1))])
    before = len(os.listdir("/proc/self/fd"))
    most = max(len(os.listdir("/proc/self/fd")) for _ in row_blocks(shards, 10))
    assert len(names(tmp_path / "many")) == 107 and most - before <= 20


def test_a_pickle_is_a_path(shards, tmp_path, X, monkeypatch):
    data = pickle.dumps(shards)
    assert len(data) < 1000 and len(pickle.dumps(take_rows(shards, slice(2, 50, 3)))) < 1000
    again = pickle.loads(data)
    assert again == shards and hash(again) == hash(shards)
    np.testing.assert_array_equal(again[[50, 1]], X[[50, 1]])
    # From another folder, too.
    monkeypatch.chdir(tmp_path)
    relative = pickle.dumps(Shards("s"))
    monkeypatch.chdir("/")
    assert pickle.loads(relative) == shards


def test_equality_is_of_content(tmp_path, X, shards, monkeypatch):
    monkeypatch.setattr("skal.rows._write_shards._SHARD_BYTES", 64)
    other = write_shards(tmp_path / "other", [X])
    assert other == shards and len(names(other.folder)) != len(names(shards.folder))
    changed = X.copy()
    changed[40, 1] += 1
    assert write_shards(tmp_path / "c", [changed]) != shards
    assert write_shards(tmp_path / "d", [X], dtype="float64") != shards
    assert write_shards(tmp_path / "i", [X], ids=range(N)) != shards
    assert write_shards(tmp_path / "r", [X.reshape(N, 2, 2)]) != shards
    assert shards != "s" and (shards == X).all()


def test_ids(tmp_path, X):
    texts = [f"a {i}\n\u20ac" for i in range(N)]
    for i, ids in enumerate([list(range(100, 100 + N)), texts, [*texts[1:], 7]]):
        shards, kind = write_shards(tmp_path / str(i), [X], ids=iter(ids)), ["ids.npy", "ids.json", "ids.json"][i]
        assert kind in names(tmp_path / str(i)) and shards.ids.tolist() == ids
        assert [type(value) for value in shards.ids.tolist()] == [type(value) for value in ids]
        assert take_rows(shards, [4, 0]).ids.tolist() == [ids[4], ids[0]]
        assert pickle.loads(pickle.dumps(shards)).ids.tolist() == ids
    big = write_shards(tmp_path / "big", [X[:2]], ids=np.array([1, 2**63 + 1], dtype=np.uint64))
    assert big.ids.tolist() == [1, 2**63 + 1]
    assert write_shards(tmp_path / "none", [X]).ids.tolist() == list(range(N))


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ("abc", TypeError, "must be an iterable of str or int. Got str instead."),
        (3, TypeError, "must be an iterable of str or int. Got int instead."),
        ([0, 1, True], TypeError, "must be str or int. Got True at 2."),
        ([0, None], TypeError, "must be str or int. Got None at 1."),
        ([0, 1.0], TypeError, "must be str or int. Got 1.0 at 1."),
        ([*range(N - 1), 3], ValueError, "must all be different. Got 3 more than once."),
        (range(N - 1), ValueError, f"must be as many as the rows. Got {N - 1} ids for {N} or more rows."),
        (range(N + 1), ValueError, f"must be as many as the rows. Got {N + 1} ids for {N} rows."),
    ],
)
def test_wrong_ids(tmp_path, X, ids, error, message):
    with pytest.raises(error) as found:
        write_shards(tmp_path / "w", [X], ids=ids)
    assert str(found.value) == f"The 'ids' of write_shards {message}" and names(tmp_path) == []


def test_blocks_of_any_kind(tmp_path, X):
    columns = list("abcd")
    kinds = [
        X.astype(np.float64),
        pd.DataFrame(X, columns=columns),
        sp.csr_matrix(X),
        torch.tensor(X),
        X.tolist(),
        list(X),
        TensorDataset(torch.tensor(X), torch.arange(N)),
        np.asfortranarray(X),
        X.astype(">f4"),
        X[:0],
    ]
    shards = write_shards(tmp_path / "k", iter(kinds))
    np.testing.assert_array_equal(np.asarray(shards), np.tile(X, (9, 1)))
    assert write_shards(tmp_path / "again", [shards]) == shards
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    assert write_shards(tmp_path / "images", [images], dtype="uint8")[1].tolist() == images[1].tolist()
    assert write_shards(tmp_path / "empty rows", [np.empty((12, 0))]).shape == (12, 0)


@pytest.mark.parametrize("blocks", [np.ones((2, 3)), "abc", {"a": 1}, pd.DataFrame({"a": [1]}), None, 3])
def test_one_container_is_no_list_of_blocks(tmp_path, blocks):
    with pytest.raises(TypeError, match="must be an iterable of containers of rows. Got .*: put one container into"):
        write_shards(tmp_path / "w", blocks)
    assert names(tmp_path) == []


NUMBERS = "The blocks of write_shards must hold rows of numbers, (n, ...), all of one shape. Got "
HELD = "The blocks of write_shards must hold what "
LOST = [
    ([[1.0]], [[2.0], ["x"]], "float32", TypeError, NUMBERS + "['x'] in block 1, row 1."),
    ([[1.0]], [[2.0], [3.0], [4.0, 5.0]], "float32", TypeError, NUMBERS + "[4.0, 5.0] in block 1, row 2."),
    ([[1.0]], [1.0, 2.0], "float32", TypeError, NUMBERS + "1.0 in block 1, row 0."),
    ([[1.0]], [[2.0], [None]], "float32", TypeError, NUMBERS + "[None] in block 1, row 1."),
    ([[1.0]], [[2.0, 3.0]], "float32", ValueError,
     "The rows of write_shards must have one shape, (1,). Got (2,) in block 1, row 0."),
    ([[1.0]], [[2.0], [1e39]], "float32", ValueError, HELD + "float32 holds. Got 1e+39 in block 1, row 1"),
    ([[1.0]], [[2.0], [70000]], "float16", ValueError, HELD + "float16 holds. Got 70000.0 in block 1, row 1"),
    ([[1]], [[2], [256]], "uint8", ValueError, HELD + "uint8 holds. Got 256 in block 1, row 1"),
    ([[1]], [[2], [-1]], "uint8", ValueError, HELD + "uint8 holds. Got -1 in block 1, row 1"),
    ([[1]], [[0.5]], "int64", ValueError, HELD + "int64 holds. Got 0.5 in block 1, row 0"),
    ([[1]], [[np.nan]], "int64", ValueError, HELD + "int64 holds. Got nan in block 1, row 0"),
    ([[1]], [[2.0**63]], "int64", ValueError, HELD + "int64 holds. Got 9.223372036854776e+18 in block 1, row 0"),
    ([[1]], np.array([[2**63]], dtype=np.uint64), "int64", ValueError,
     HELD + "int64 holds. Got 9223372036854775808 in block 1, row 0"),
    ([[1]], [[2]], "bool", ValueError, HELD + "bool holds. Got 2 in block 1, row 0"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "dtype", "error", "message"), LOST)
def test_a_value_that_would_be_lost_is_named(tmp_path, first, second, dtype, error, message):
    with pytest.raises(error) as found:
        write_shards(tmp_path / "w", [first, second], dtype=dtype)
    assert str(found.value).startswith(message) and names(tmp_path) == []


def test_what_a_dtype_holds_is_kept(tmp_path):
    values = [[0.1, np.nan, np.inf, -np.inf, 1e-60, 2**24 + 1]]
    found = write_shards(tmp_path / "f", [values])[0]
    np.testing.assert_array_equal(found, np.array(values, dtype=np.float32)[0])
    assert write_shards(tmp_path / "i", [[[1.0, -3.0, 2.0**62]]], dtype="int64")[0].tolist() == [1, -3, 2**62]
    assert write_shards(tmp_path / "b", [[[1.0, 0]]], dtype=bool)[0].tolist() == [True, False]
    for dtype in ("complex64", "U3", object, "datetime64[s]"):
        with pytest.raises(ValueError, match="The 'dtype' of write_shards must be of booleans, integers"):
            write_shards(tmp_path / "w", [values], dtype=dtype)


def test_nothing_to_write(tmp_path):
    for blocks in ([], [np.empty((0, 3))]):
        with pytest.raises(ValueError, match="must hold at least one row"):
            write_shards(tmp_path / "w", blocks)
    assert names(tmp_path) == []


def test_nothing_is_overwritten(tmp_path, X, shards):
    def never():
        raise AssertionError("read")
        yield

    (tmp_path / "file").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("mine")
    for name in ("s", "file", "other"):
        with pytest.raises(FileExistsError, match="must not exist, or be empty"):
            write_shards(tmp_path / name, never())
    with pytest.raises(FileNotFoundError, match="must lie in one that exists"):
        write_shards(tmp_path / "no" / "s", never())
    assert names(tmp_path) == ["file", "other", "s"] and Shards(tmp_path / "s") == shards


def test_a_faster_writer_wins(tmp_path, X):
    def blocks():
        yield X
        write_shards(tmp_path / "s", [X[:5]])

    with pytest.raises(FileExistsError, match="must not exist, or be empty"):
        write_shards(tmp_path / "s", blocks())
    assert names(tmp_path) == ["s"] and len(Shards(tmp_path / "s")) == 5


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_fails_leaves_nothing(tmp_path, X, error):
    def blocks():
        yield X
        raise error

    (tmp_path / "w").mkdir()
    with pytest.raises(error):
        write_shards(tmp_path / "w", blocks())
    assert names(tmp_path) == ["w"] and names(tmp_path / "w") == []
    with pytest.raises(FileNotFoundError, match="written to its end"):
        Shards(tmp_path / "w")
    assert len(write_shards(tmp_path / "w", [X])) == N


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_writer_leaves_no_folder(tmp_path, X):
    code = """
    import sys, time
    import numpy as np
    import skal.rows._write_shards as module
    module._SHARD_BYTES = 160
    def blocks():
        yield np.ones((50, 4))
        open(sys.argv[1] + "/going", "w").close()
        time.sleep(60)
    module.write_shards(sys.argv[1] + "/w", blocks())
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)])
    try:
        while not (tmp_path / "going").exists() and child.poll() is None:
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    left = [name for name in names(tmp_path) if name != "going"]
    assert len(left) == 1 and left[0].startswith(".w.") and left[0].endswith(".tmp")
    for folder in ("w", left[0]):
        with pytest.raises(FileNotFoundError):
            Shards(tmp_path / folder)
    assert len(write_shards(tmp_path / "w", [X])) == N


def spoil(folder, name, how):
    path = folder / name
    if isinstance(how, np.ndarray):
        np.save(path, how)
    elif how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    elif how == "long":
        path.write_bytes(path.read_bytes() + b"x")
    elif how == "text":
        path.write_text("text")
    elif how == "empty":
        path.write_bytes(b"")
    else:
        index = json.loads(path.read_text())
        path.write_text(json.dumps({**index, **how} if isinstance(how, dict) else how))


DAMAGED = [
    ("000002.npy", "gone", "there is no such file"),
    ("000002.npy", "cut", "it cannot be read"),
    ("000002.npy", "long", "it must have 288 bytes"),
    ("000002.npy", "text", "it cannot be read"),
    ("000002.npy", "empty", "it cannot be read"),
    ("000002.npy", np.zeros((10, 5), np.float32), r"it must hold \(10, 4\) of float32, and holds \(10, 5\) of float32"),
    ("000002.npy", np.zeros((10, 4)), "it must hold .*, and holds .* of float64"),
    ("000002.npy", np.array([[None] * 4] * 10), "it cannot be read"),
    ("ids.json", "gone", "there is no such file"),
    ("index.json", "text", "it cannot be read"),
    ("index.json", [1], "it is no index of shards"),
    ("index.json", {"format": "other"}, "it is no index of shards"),
    ("index.json", {"rows": None}, "it does not say what the shards hold"),
    ("index.json", {"rows": [-1]}, "it does not say what the shards hold"),
    ("index.json", {"dtype": "O"}, "it does not say what the shards hold"),
    ("index.json", {"ids": "../../secret"}, "it does not say what the shards hold"),
    ("index.json", {"rows": [10, 10, 10, 10, 10, 3, 10]}, "there is no such file"),
]


@pytest.mark.parametrize(("name", "how", "message"), DAMAGED)
def test_a_damaged_folder_is_named_when_it_is_opened(tmp_path, X, name, how, message):
    write_shards(tmp_path / "s", [X], ids=map(str, range(N)))
    spoil(tmp_path / "s", name, how)
    file = "000006.npy" if isinstance(how, dict) and len(how.get("rows") or ()) > 1 else name
    with pytest.raises(ValueError, match=f"^The shards are damaged at '.*{file}': {message}.*\\.$"):
        Shards(tmp_path / "s")


def test_damage_that_comes_later_is_named_when_it_is_met(shards, tmp_path, X):
    again = pickle.loads(pickle.dumps(shards))
    spoil(tmp_path / "s", "000003.npy", "cut")
    np.testing.assert_array_equal(again[:30], X[:30])
    with pytest.raises(ValueError, match="damaged at .*000003.npy"):
        again[35]
    folder = write_shards(tmp_path / "i", [X], ids=map(str, range(N)))
    for other in ([1], 5, {}):
        (tmp_path / "i" / "ids.json").write_text(json.dumps(other))
        with pytest.raises(ValueError, match="damaged at .*ids.json': it does not hold 53 ids"):
            folder.ids  # noqa: B018


def test_damaged_numbers_of_ids_are_named_when_it_is_opened(tmp_path, X):
    write_shards(tmp_path / "s", [X], ids=range(N))
    for other in (np.arange(N - 1), np.arange(float(N))):
        spoil(tmp_path / "s", "ids.npy", other)
        with pytest.raises(ValueError, match="damaged at .*ids.npy': it does not hold 53 ids"):
            Shards(tmp_path / "s")


@pytest.mark.skipif(sys.platform == "win32", reason="no links")
def test_a_link_to_an_empty_folder(tmp_path, X):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert write_shards(tmp_path / "link", [X]) == Shards(tmp_path / "real") == Shards(tmp_path / "link")


def test_what_is_no_folder_of_shards(tmp_path, X, shards):
    for name, message in (("no", "There is no folder"), ("", "written to its end")):
        with pytest.raises(FileNotFoundError, match=message):
            Shards(tmp_path / name)
    spoil(tmp_path / "s", "index.json", {"version": 2})
    with pytest.raises(ValueError, match=r"reads shards of version 1\. Got version 2 in '.*index.json'"):
        Shards(tmp_path / "s")


def small_net():
    shape = {"module__in_features": 4, "module__out_features": 2}
    return DeepClassifier(torch.nn.Linear, **shape, max_epochs=2, batch_size=8, train_split=None, random_state=0)


@pytest.mark.parametrize("make", [LogisticRegression, small_net])
@pytest.mark.parametrize("begin", [np.asarray, lambda rows: rows], ids=["array", "shards"])
@pytest.mark.filterwarnings("error")
def test_a_learner_queries_and_is_taught(shards, X, make, begin):
    y = (X[:, 0] > 0).astype(np.int64)
    plain = ActiveLearner(make(), MarginSampling(), X[:12], y[:12])
    learner = ActiveLearner(make(), MarginSampling(), begin(take_rows(shards, slice(0, 12))), y[:12])
    pool, rest = take_rows(shards, slice(12, None)), np.arange(12, N)
    for _ in range(3):
        idx, rows = learner.query(pool, n_instances=3)
        same, _ = plain.query(X[rest], n_instances=3)
        np.testing.assert_array_equal(idx, same)
        assert type(rows) is Shards and rows.ids.tolist() == rest[idx].tolist()
        learner.teach(rows, y[rest[idx]])
        plain.teach(X[rest[same]], y[rest[same]])
        pool, rest = drop_rows(pool, idx), np.delete(rest, idx)
    np.testing.assert_array_equal(np.asarray(learner.X_training), plain.X_training)
    np.testing.assert_array_equal(learner.predict_proba(pool), plain.predict_proba(X[rest]))
    learner.undo()
    assert len(learner.X_training) == 18
