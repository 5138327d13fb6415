"""dask's arrays and frames: each answer against the same rows in memory, and what is computed for it."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skal.learners import ActiveLearner
from skal.nets import DeepClassifier
from skal.pool import view_pool
from skal.rows import (
    as_dense,
    check_finite,
    column_names,
    drop_rows,
    feature_shape,
    flat_numeric,
    is_finite,
    label_rows,
    like,
    n_rows,
    net_input,
    numbers_of,
    read_rows,
    row_blocks,
    row_keys,
    stack_rows,
    take_rows,
)
from skal.strategies import MarginSampling

dask = pytest.importorskip("dask", reason="dask is not installed")
da = pytest.importorskip("dask.array", reason="dask is not installed")
dd = pytest.importorskip("dask.dataframe", reason="dask[dataframe] is not installed")

N, SIZES = 53, [12, 0, 20, 1, 20]
ENDS = np.cumsum(SIZES)
COLUMNS = list("abcd")


@pytest.fixture(autouse=True)
def in_one_thread():
    """For exact counts; columns of text as they are."""
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        yield


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)


class Made:
    """A pool of five partitions, one of them empty, that counts how often each is made."""

    def __init__(self, values):
        self.values = values
        self.computed = Counter()

    def __dask_tokenize__(self):
        # Another pool for each test, and of another content after a count.
        return id(self), id(self.values)

    def partition(self, i):
        self.computed[i] += 1
        return self.values[ENDS[i] - SIZES[i] : ENDS[i]]

    def array(self):
        """Of known chunks."""
        parts = [
            da.from_delayed(dask.delayed(self.partition)(i), (size, *self.values.shape[1:]), self.values.dtype)
            for i, size in enumerate(SIZES)
        ]
        return da.concatenate(parts)

    def unknown(self):
        """Of chunks whose lengths nobody has said."""
        shape = (np.nan, *self.values.shape[1:])
        parts = [da.from_delayed(dask.delayed(self.partition)(i), shape, self.values.dtype) for i in range(len(SIZES))]
        return da.concatenate(parts, allow_unknown_chunksizes=True)

    def frame(self):
        self.values = pd.DataFrame(self.values, columns=None if hasattr(self.values, "iloc") else COLUMNS)
        return dd.from_map(self.partition, list(range(len(SIZES))), meta=self.values.iloc[:0])


MAKES = ["array", "unknown", "frame"]


@pytest.fixture(params=MAKES)
def made(request, X):
    pool = Made(X)
    return pool, getattr(pool, request.param)()


INDICES = [
    slice(None),
    slice(3, 8),
    slice(8, 40),
    slice(40, 3, -7),
    slice(5, 5),
    [],
    [3],
    [52, 0, 0, 17, -3, 9, 32],
    np.arange(N)[::-1],
    np.arange(N) % 3 == 1,
    torch.tensor([4, 30]),
]


@pytest.mark.parametrize("idx", INDICES, ids=str)
def test_rows_stay_lazy_in_the_order_asked(made, X, idx):
    pool, D = made
    n_rows(D)
    pool.computed.clear()
    plain = idx.numpy() if isinstance(idx, torch.Tensor) else idx
    part = take_rows(D, idx)
    assert type(part) is type(D) and n_rows(part) == len(X[plain]) and not pool.computed
    np.testing.assert_array_equal(np.asarray(part), X[plain])
    needed = {int(np.searchsorted(ENDS, i, side="right")) for i in np.arange(N)[plain].tolist()}
    assert {i for i in pool.computed if SIZES[i]} <= (needed or {0}) and set(pool.computed.values()) <= {1}
    read = read_rows(D, idx)
    assert type(read) is type(read_rows(D, slice(0, 1))) and not hasattr(read, "compute")
    np.testing.assert_array_equal(np.asarray(read), X[plain])
    np.testing.assert_array_equal(np.asarray(drop_rows(D, plain)), np.delete(X, plain, axis=0))


def test_one_row_is_in_memory(made, X):
    pool, D = made
    n_rows(D)
    pool.computed.clear()
    for i in (0, 13, -1):
        row = take_rows(D, i)
        assert isinstance(row, (np.ndarray, pd.Series))
        np.testing.assert_array_equal(row, X[i])
    assert pool.computed == {0: 1, 2: 1, 4: 1}
    for idx in (53, [0, -54], np.ones(3, bool), [0.5]):
        with pytest.raises(IndexError):
            take_rows(D, idx)


def test_a_part_of_a_part(made, X):
    _, D = made
    part = take_rows(take_rows(D, slice(4, 50)), [40, 3, 3, 9])
    np.testing.assert_array_equal(np.asarray(part), X[4:50][[40, 3, 3, 9]])
    np.testing.assert_array_equal(np.asarray(take_rows(part, [3, 0])), X[4:50][[9, 40]])


@pytest.mark.parametrize("size", [1, 7, 12, 1000])
def test_a_scan_computes_each_partition_once(made, X, size):
    pool, D = made
    stop = 0
    for rows, block in row_blocks(D, size):
        assert rows.start == stop and 0 < len(block) == rows.stop - rows.start <= size
        np.testing.assert_array_equal(block, X[rows])
        # One partition at a time: those behind this one have not been made.
        assert max(pool.computed) == np.searchsorted(ENDS, rows.start, side="right")
        stop = rows.stop
    assert stop == N and set(pool.computed.values()) == {1}


def test_each_answer_takes_one_pass(made, X):
    pool, D = made
    for function in (is_finite, row_keys, numbers_of):
        pool.computed.clear()
        np.testing.assert_array_equal(function(D), function(X))
        # An empty one may be left out by dask itself.
        assert set(pool.computed.values()) == {1} and {0, 2, 3, 4} <= pool.computed.keys()


def test_lengths_are_counted_once(X):
    for name, passes in (("array", 0), ("unknown", 1), ("frame", 1)):
        pool = Made(X)
        D = getattr(pool, name)()
        assert [n_rows(D), n_rows(D), n_rows(take_rows(D, slice(2, 40))), n_rows(drop_rows(D, [3]))] == [53, 53, 38, 52]
        assert sum(pool.computed.values()) == 5 * passes
    D = Made(X).frame()
    assert n_rows(D["a"]) == 53 and feature_shape(D["a"]) == () and take_rows(D["a"], 14) == X[14, 0]
    assert n_rows(Made(X).frame() + 1) == 53


def test_the_generics_as_of_the_array(made, X):
    _, D = made
    assert feature_shape(D) == (4,)
    assert column_names(D) == (COLUMNS if hasattr(D, "columns") else None)
    for function in (flat_numeric, net_input, lambda X: as_dense(X, "It")):
        np.testing.assert_array_equal(function(D), function(X))
    same = like(D, X[:2])
    np.testing.assert_array_equal(same, X[:2])
    assert column_names(same) == column_names(D)


@pytest.mark.parametrize("name", MAKES)
@pytest.mark.parametrize("chunks", [(10, 2), (60, 4)], ids=str)
def test_columns_in_chunks(X, name, chunks):
    D = da.from_array(X, chunks=chunks)
    D = {"array": D, "unknown": D[D[:, 0] < 100], "frame": dd.from_dask_array(D.rechunk((10, 4)))}[name]
    assert n_rows(D) == N and row_keys(D) == row_keys(X)
    np.testing.assert_array_equal(np.vstack([block for _, block in row_blocks(D, 6)]), X)
    np.testing.assert_array_equal(np.asarray(take_rows(D, [30, 4])), X[[30, 4]])


@pytest.mark.parametrize(
    "make", [np.array, torch.tensor, list, lambda X: X.tolist(), lambda X: pd.DataFrame(X, columns=COLUMNS)]
)
def test_stacking_computes(made, X, make):
    _, D = made
    part = take_rows(D, [12, 3, 40])
    in_memory = pd.DataFrame if hasattr(D, "columns") else np.ndarray
    below, above = stack_rows(make(X[:2]), part), stack_rows(part, make(X[:2]))
    assert type(below) is type(make(X)) and type(above) is in_memory
    np.testing.assert_array_equal(np.asarray(below), np.vstack([X[:2], X[[12, 3, 40]]]))
    np.testing.assert_array_equal(np.asarray(above), np.vstack([X[[12, 3, 40]], X[:2]]))
    assert type(stack_rows(part, part)) is in_memory


def mixed():
    return pd.DataFrame(
        {
            "number": np.arange(N) * 1.5,
            "kind": pd.Categorical(np.array(["u", "v", "w"])[np.arange(N) % 3]),
            "whole": np.arange(N),
            "text": [f"t{i % 5}" for i in range(N)],
        },
        index=np.arange(N)[::-1],
    )


def test_columns_keep_their_dtypes():
    P = mixed()
    D = Made(P).frame()
    part = take_rows(D, [40, 2])
    pd.testing.assert_frame_equal(read_rows(D, [40, 2]), P.iloc[[40, 2]])
    pd.testing.assert_frame_equal(part.compute(), P.iloc[[40, 2]])
    pd.testing.assert_frame_equal(stack_rows(P.iloc[:3], part), pd.concat([P.iloc[:3], P.iloc[[40, 2]]]))
    pd.testing.assert_series_equal(take_rows(D, 5), P.iloc[5])
    assert row_keys(D) == row_keys(P) and numbers_of(D) is None and flat_numeric(D) is None
    for row, same in zip(stack_rows([0], part)[1:], stack_rows([0], P.iloc[[40, 2]])[1:], strict=True):
        pd.testing.assert_series_equal(row, same)
    with pytest.raises(TypeError, match="whose column 'kind' holds no numbers"):
        as_dense(D, "It")


def test_polars_rows_get_those_of_dask():
    pl = pytest.importorskip("polars", reason="polars is not installed")
    P = mixed()[["number", "whole"]]
    first = pl.DataFrame({"number": [0.5], "whole": [3]})
    stacked = stack_rows(first, take_rows(Made(P).frame(), [40, 2]))
    assert stacked.rows() == [(0.5, 3), (60.0, 40), (3.0, 2)] and stacked.schema == first.schema


def test_missing_values(X):
    X[30, 1] = np.nan
    for name in MAKES:
        pool = Made(X)
        D = getattr(pool, name)()
        assert not is_finite(D) and 4 not in pool.computed  # the rest is not looked at
        where = " in the column 'b'" if name == "frame" else ""
        with pytest.raises(ValueError, match=f"^X contains NaN or infinity{where}\\.$"):
            check_finite(D)
    counts = Made(np.ones((N, 4), dtype=np.int64))
    assert is_finite(counts.array()) and is_finite(counts.frame()) and not counts.computed


@pytest.mark.parametrize("make", [lambda P: P["text"], lambda P: P["whole"]])
def test_labels(make):
    P = mixed().reset_index(drop=True)
    y = make(P)
    lazy = make(Made(P).frame())
    for first in (y[:3], y[:3].to_numpy(), y[:3].tolist()):
        below = label_rows(first, take_rows(lazy, [40, 2]), [0, 1])
        assert type(below) is type(first) and list(below) == [*y[:3], y[40], y[2]]


@pytest.mark.parametrize("make", ["bag", "delayed"])
def test_what_has_no_rows_is_refused(X, make):
    import dask.bag

    other = dask.bag.from_sequence(X.tolist()) if make == "bag" else dask.delayed(X)
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    learner = ActiveLearner(LogisticRegression(), MarginSampling(), X[:9], np.arange(9) % 2)
    words = r"^Samples of dask must be an Array or a DataFrame\. Got (Bag|Delayed.*): call "
    for call in (
        lambda: n_rows(other),
        lambda: take_rows(other, [0]),
        lambda: stack_rows(X, other),
        lambda: stack_rows(pd.DataFrame(X), other),
        lambda: MarginSampling().select(model, other, 1),
        lambda: learner.query(other),
        lambda: learner.teach(other, [0]),
        lambda: ActiveLearner(LogisticRegression(), MarginSampling(), other, [0]),
    ):
        with pytest.raises(TypeError, match=words):
            call()


def test_what_is_no_pool(X):
    with pytest.raises(TypeError, match="Got a scalar dask Array"):
        n_rows(da.from_array(X).sum())
    with pytest.raises(ValueError, match="known number of features. Got a dask Array without"):
        feature_shape(da.from_array(X.T)[:, da.from_array(X[:, 0]) > 0])


def test_a_pass_of_the_model_never_holds_the_whole(made, X):
    pool, D = made
    seen = []

    class Watched(LogisticRegression):
        def predict_proba(self, X):
            seen.append(len(X))
            return super().predict_proba(X)

    model = Watched().fit(pool.values[:20] if hasattr(D, "columns") else X[:20], X[:20, 0] > 0)
    view = view_pool(model, D)
    view.check()
    pool.computed.clear(), seen.clear()
    proba = np.vstack([outputs.proba for _, outputs in view.iter_outputs(("proba",), 8)])
    assert max(seen) == 8 and set(pool.computed.values()) == {1}
    np.testing.assert_allclose(proba, model.predict_proba(pool.values), rtol=1e-6)


def small_net():
    shape = {"module__in_features": 4, "module__out_features": 2}
    return DeepClassifier(torch.nn.Linear, **shape, max_epochs=2, batch_size=8, train_split=None, random_state=0)


@pytest.mark.parametrize("make", [LogisticRegression, small_net])
@pytest.mark.parametrize("begin", ["memory", "dask"])
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_learner_queries_and_is_taught(made, X, make, begin):
    pool, D = made
    y = (X[:, 0] > 0).astype(np.int64)
    values = pool.values if hasattr(D, "columns") else X
    first = take_rows(D, slice(0, 12)) if begin == "dask" else take_rows(values, slice(0, 12))
    plain = ActiveLearner(make(), MarginSampling(), X[:12], y[:12])
    learner = ActiveLearner(make(), MarginSampling(), first, y[:12])
    rest_D, rest = drop_rows(D, np.arange(12)), np.arange(12, N)
    for _ in range(2):
        idx, rows = learner.query(rest_D, n_instances=3)
        same, _ = plain.query(X[rest], n_instances=3)
        np.testing.assert_array_equal(idx, same)
        learner.teach(rows, y[rest[idx]])
        plain.teach(X[rest[same]], y[rest[same]])
        rest_D, rest = drop_rows(rest_D, idx), np.delete(rest, idx)
    assert type(learner.X_training) in (np.ndarray, pd.DataFrame)
    np.testing.assert_array_equal(np.asarray(learner.X_training), plain.X_training)


def test_a_pipeline_of_columns_gets_pandas_blocks():
    P = mixed()
    y = (P["number"] > 40).to_numpy()
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["kind", "text"]), remainder="passthrough"),
        LogisticRegression(max_iter=1000),
    ).fit(P, y)
    blocks = view_pool(model, Made(P).frame()).iter_outputs(("proba",), 9)
    np.testing.assert_allclose(np.vstack([outputs.proba for _, outputs in blocks]), model.predict_proba(P))


def test_dask_is_not_imported_before_it_is_met():
    code = "import sys, skal.rows, skal.learners; assert 'dask' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
