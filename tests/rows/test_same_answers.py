"""One pool in every kind of container: the same answers, and the same queries."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.learners import ActiveLearner, simulate
from skal.nets import DeepClassifier
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
    write_shards,
)
from skal.strategies import BADGE, DECERN, CoreSet, MarginSampling, Prefilter, RandomSampling

da = pytest.importorskip("dask.array", reason="dask is not installed")
dd = pytest.importorskip("dask.dataframe", reason="dask[dataframe] is not installed")

N, COLUMNS = 120, ["a", "b", "c", "d", "e"]
KINDS = {
    "memmap": lambda X, folder: np.memmap(folder / "m", dtype=X.dtype, mode="w+", shape=X.shape),
    "shards": lambda X, folder: write_shards(folder / "s", [X[:50], X[50:]], dtype=X.dtype),
    "part of shards": lambda X, folder: take_rows(
        write_shards(folder / "p", [X[::-1]], ids=range(1000, 1000 + N), dtype=X.dtype), slice(None, None, -1)
    ),
    "dask array": lambda X, folder: da.from_array(X, chunks=(50, 3)),
    "dask array of unknown lengths": lambda X, folder: dd.from_pandas(frame(X), npartitions=3).values,
    "dask frame": lambda X, folder: dd.from_pandas(frame(X), npartitions=3),
}


def frame(X):
    return pd.DataFrame(X, columns=COLUMNS)


@pytest.fixture(params=["plain", "rounded"])
def X(request):
    """Plain rows, and some that are equal."""
    X = np.random.default_rng(0).normal(size=(N, 5))
    return X if request.param == "plain" else np.round(X)


@pytest.fixture(params=KINDS)
def other(request, X, tmp_path, monkeypatch):
    monkeypatch.setattr("skal.rows._write_shards._SHARD_BYTES", 40 * 17)
    found = KINDS[request.param](X, tmp_path)
    if request.param == "memmap":
        found[:] = X
    return found


def test_the_generics(X, other):
    assert (n_rows(other), feature_shape(other), is_finite(other)) == (N, (5,), True)
    assert row_keys(other) == row_keys(X)
    rng = np.random.default_rng(1)
    for idx in (rng.permutation(N), rng.integers(N, size=7), rng.random(N) < 0.3, slice(100, 2, -3), slice(10, 60)):
        np.testing.assert_array_equal(np.asarray(take_rows(other, idx)), X[idx])
        np.testing.assert_array_equal(stack_rows(X, take_rows(other, idx)), np.vstack([X, X[idx]]))
        np.testing.assert_array_equal(np.asarray(drop_rows(other, idx)), np.delete(X, idx, axis=0))
    for size in (1, 16, 17, 1000):
        parts = list(row_blocks(other, size))
        assert [rows.start for rows, _ in parts] == [0, *(rows.stop for rows, _ in parts[:-1])]
        assert max(len(block) for _, block in parts) <= size
        np.testing.assert_array_equal(np.concatenate([np.asarray(block) for _, block in parts]), X)
    for function in (flat_numeric, net_input):
        np.testing.assert_array_equal(function(other), function(X))


MODELS = {
    "linear": lambda: LogisticRegression(),
    "pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "net": lambda: DeepClassifier(
        torch.nn.Linear, module__in_features=5, module__out_features=3, max_epochs=3, train_split=None, random_state=0
    ),
}
STRATEGIES = [
    MarginSampling(),
    CoreSet(random_state=0),
    RandomSampling(random_state=0),
    BADGE(random_state=0),
    DECERN(random_state=0),
    Prefilter(CoreSet(random_state=0), first=MarginSampling(), n_candidates=30),
]


# Among equal rows the last bit of a product decides, which differs by where an array lies.
@pytest.mark.parametrize("X", ["plain"], indirect=True)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names", "ignore:The `numpy.may_share_memory`")
def test_select(X, other, model, strategy):
    y = np.argmax(X[:, :3], axis=1)
    fitted = MODELS[model]().fit(X[:40], y[:40])
    known = {"X_training": X[:40], "y_training": y[:40]}
    idx, scores = strategy.select(fitted, X, 6, **known)
    found, same = strategy.select(fitted, other, 6, **known)
    np.testing.assert_array_equal(found, idx)
    # The columns of a frame lie one behind another, and sums in another order.
    np.testing.assert_allclose(same, scores, rtol=1e-12)


@pytest.mark.parametrize("X", ["plain"], indirect=True)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names", "ignore:The `numpy.may_share_memory`")
def test_a_whole_run(X, other):
    y = (X[:, 0] > 0).astype(int)

    def run(X):
        learner = ActiveLearner(LogisticRegression(), MarginSampling(), take_rows(X, slice(0, 20)), y[:20])
        rounds = simulate(learner, take_rows(X, slice(20, None)), y[20:], n_instances=7, n_queries=3)
        return [found.queried.tolist() for found in rounds], np.asarray(learner.X_training)

    for found, plain in zip(run(other), run(X), strict=True):
        np.testing.assert_array_equal(found, plain)
