"""What is left of a memory map: rows that are not read before they are looked at."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skal.labeling import LabelingSession
from skal.learners import ActiveLearner, simulate
from skal.pool import view_pool
from skal.rows import (
    drop_rows,
    feature_shape,
    flat_numeric,
    is_finite,
    lazy_rows,
    n_rows,
    opener,
    read_rows,
    row_blocks,
    row_keys,
    stack_rows,
    take_rows,
)
from skal.rows._map_part import MapPart
from skal.strategies import BADGE, CoreSet, MarginSampling

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 5))
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 1)
PLACES = RNG.permutation(600)[:400]


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    monkeypatch.setattr("skal.rows._map_part._LARGE", 1_000)
    X.tofile(tmp_path / "X")
    return np.memmap(tmp_path / "X", float, "r", shape=X.shape)


def test_it_is_those_rows(mapped):
    part = lazy_rows(mapped, PLACES)
    assert type(part) is MapPart and n_rows(part) == 400 and feature_shape(part) == (5,)
    expected = X[PLACES]
    np.testing.assert_array_equal(np.asarray(part), expected)
    np.testing.assert_array_equal(np.asarray(part, dtype=np.float32), expected.astype(np.float32))
    np.testing.assert_array_equal(flat_numeric(part), expected)
    np.testing.assert_array_equal(part[3], expected[3])
    np.testing.assert_array_equal(take_rows(part, 3), expected[3])
    np.testing.assert_array_equal(read_rows(part, slice(5, 300)), expected[5:300])
    for idx in (slice(5, 300), [4, 2, -1], np.arange(400) % 2 == 0):
        np.testing.assert_array_equal(np.asarray(take_rows(part, idx)), expected[idx])
    assert type(take_rows(part, [4, 2])) is np.ndarray and type(take_rows(part, slice(5, 300))) is MapPart
    np.testing.assert_array_equal(np.asarray(drop_rows(part, [0, 1])), expected[2:])
    assert row_keys(part) == row_keys(expected)
    blocks = [(rows, block.copy()) for rows, block in row_blocks(part, 150)]
    assert [rows.stop for rows, _ in blocks] == [150, 300, 400]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), expected)
    np.testing.assert_array_equal(stack_rows(X[:2], part), np.vstack([X[:2], expected]))
    np.testing.assert_array_equal(stack_rows(part, X[:2]), np.vstack([expected, X[:2]]))
    assert is_finite(part)
    with pytest.raises(ValueError, match="must be copied"):
        np.array(part, copy=False)
    sent = pickle.dumps(opener(part))
    assert len(sent) < 400 * 8 + 1_000
    np.testing.assert_array_equal(pickle.loads(sent)(), expected)


def test_what_is_small_or_no_map_is_taken(mapped):
    assert type(lazy_rows(X, PLACES)) is np.ndarray
    assert type(lazy_rows(mapped, PLACES[:10])) is np.ndarray
    assert type(lazy_rows(np.memmap(mapped.filename, float, "c", shape=X.shape), PLACES)) is np.ndarray
    assert type(lazy_rows(X.tolist(), PLACES)) is list
    wrong = mapped.copy()
    wrong[3, 3] = np.nan
    wrong.tofile(mapped.filename)
    assert not is_finite(lazy_rows(mapped, np.arange(400)))


@pytest.mark.parametrize("strategy", [MarginSampling(), CoreSet(), BADGE()], ids=repr)
def test_queries_and_runs_choose_the_same(strategy, mapped, tmp_path):
    strategy.set_params(random_state=0)
    model = LogisticRegression(max_iter=300).fit(X[:40], Y[:40])
    part = lazy_rows(mapped, PLACES)
    expected = strategy.select(model, X[PLACES], 9, X_training=X[:40], y_training=Y[:40])[0]
    for size in (64, 1_000):
        view = view_pool(model, part, X_training=X[:40], y_training=Y[:40])
        view.block_size = size
        np.testing.assert_array_equal(strategy.select(view, part, 9)[0], expected)

    def run(samples):
        learner = ActiveLearner(LogisticRegression(max_iter=300), strategy)
        rounds = simulate(learner, samples, Y, initial=np.arange(40), n_queries=3, n_instances=5)
        return [each.queried.tolist() for each in rounds]

    assert run(mapped) == run(X)

    def session(samples, path):
        with LabelingSession(ActiveLearner(LogisticRegression(), strategy, X[:40], Y[:40]), samples, journal=path) as s:
            batches = [s.query(4)]
            s.label(batches[0], Y[batches[0]])
            return [*batches, s.query(4)]

    assert session(mapped, tmp_path / "a.jsonl") == session(X, tmp_path / "b.jsonl")
