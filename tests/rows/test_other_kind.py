"""A kind of container that the package has never heard of."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skal.learners import ActiveLearner
from skal.rows import (
    check_training_data,
    drop_rows,
    feature_shape,
    flat_numeric,
    is_finite,
    n_rows,
    row_blocks,
    row_keys,
    stack_rows,
    take_rows,
)
from skal.strategies import EntropySampling


class Recordings:
    """Sounds by channel: the samples are the second axis, and nothing says so."""

    def __init__(self, channels):
        self.channels = channels


# All that a package with containers of its own has to write.
n_rows.register(Recordings, lambda X: X.channels.shape[1])
take_rows.register(Recordings, lambda X, idx: Recordings(X.channels[:, idx]))
stack_rows.register(Recordings, lambda first, second: Recordings(np.hstack([first.channels, second.channels])))


def test_three_answers_are_enough():
    X = Recordings(np.arange(12.0).reshape(2, 6))
    assert n_rows(drop_rows(X, [0, 5])) == 4 and n_rows(stack_rows(X, X)) == 12
    assert [block.channels[0].tolist() for _, block in row_blocks(X, 4)] == [[0, 1, 2, 3], [4, 5]]
    assert is_finite(X) and feature_shape(X) is None and flat_numeric(X) is None
    keys = row_keys(stack_rows(X, X))
    assert keys[:6] == keys[6:] and len(set(keys)) == 6
    check_training_data(X, range(6))


def test_a_learner_keeps_them():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2, 60)), np.tile([0, 1], 30)
    model = make_pipeline(FunctionTransformer(lambda X: X.channels.T), LogisticRegression())
    learner = ActiveLearner(model, EntropySampling(), Recordings(X[:, :20]), y[:20])
    idx, rows = learner.query(Recordings(X[:, 20:]), n_instances=3)
    learner.teach(rows, y[20:][idx])
    assert isinstance(learner.X_training, Recordings) and n_rows(learner.X_training) == 23
    np.testing.assert_array_equal(learner.X_training.channels[:, 20:], X[:, 20 + idx])
    same = ActiveLearner(make_pipeline(LogisticRegression()), EntropySampling(), X.T[:20], y[:20]).query(X.T[20:], 3)[0]
    np.testing.assert_array_equal(idx, same)


class Protocol:
    """A first axis and `__getitem__`, such as other packages' arrays have."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape = self.values.shape

    def __len__(self):
        return len(self.values)

    def __getitem__(self, idx):
        return Protocol(self.values[idx])

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)


def test_what_nobody_registered_is_served_by_protocol():
    X = Protocol(np.arange(6.0).reshape(3, 2))
    assert n_rows(X) == 3 and type(take_rows(X, [2, 0])) is Protocol
    assert np.asarray(drop_rows(X, 1)).tolist() == [[0, 1], [4, 5]]
    assert stack_rows(X, np.ones((1, 2))).shape == (4, 2) and flat_numeric(X).shape == (3, 2)
    assert is_finite(X) and not is_finite(Protocol([[1.0], [np.nan]]))
    assert row_keys(X) == row_keys(Protocol(np.arange(6).reshape(3, 2)))


def test_a_sequence_of_anything():
    class Sequence:
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return "abc"[i]

    assert take_rows(Sequence(), [2, 0]) == ["c", "a"] and take_rows(Sequence(), slice(0, 2)) == ["a", "b"]
    with pytest.raises(TypeError, match="cannot be added to Sequence"):
        stack_rows(Sequence(), ["d"])


def test_no_collection():
    for X in (3, None, iter([1]), np.float64(1), np.array(1)):
        with pytest.raises(TypeError, match="collection of samples"):
            n_rows(X)
