"""BALQUE: a slow loop over networks trained for fewer epochs, the limits."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import EarlyStopping
from skorch.utils import noop
from torch import nn

from skal.exceptions import PoolCapabilityError
from skal.nets import DeepClassifier
from skal.strategies import BALQUE


class Net(nn.Module):
    def __init__(self, n_classes=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, n_classes))

    def forward(self, X):
        return self.layers(X)


@pytest.fixture(scope="module")
def data(data):
    X, y, pool = data
    return X.astype(np.float32), y, pool.astype(np.float32)


@pytest.fixture(scope="module")
def net(data):
    return DeepClassifier(Net, max_epochs=6, lr=0.1, batch_size=8, random_state=0).fit(*data[:2])


def slow_scores(predictions):
    """Entropy of the frequencies of the predicted labels, `(snapshots, n)`, one sample at a time."""
    scores = []
    for labels in np.transpose(predictions):
        shares = [list(labels).count(label) / len(labels) for label in set(labels.tolist())]
        scores.append(-sum(share * np.log(share) for share in shares))
    return np.array(scores)


@pytest.mark.parametrize(("n_snapshots", "epochs"), [(2, [3, 6]), (3, [2, 4, 6]), (50, [1, 2, 3, 4, 5, 6])])
def test_equals_networks_trained_for_fewer_epochs(net, data, n_snapshots, epochs):
    X, y, pool = data
    scores = BALQUE(n_snapshots=n_snapshots).score_samples(net, pool, X_training=X, y_training=y)
    predictions = [clone(net).set_params(max_epochs=n).fit(X, y).predict(pool) for n in epochs]
    np.testing.assert_allclose(scores, slow_scores(predictions), atol=1e-12)
    assert scores.max() > 0


@pytest.mark.parametrize(("stop", "epochs"), [(1, [1]), (2, [2]), (4, [3, 4])])
def test_training_that_a_callback_ends(net, data, stop, epochs):
    X, y, pool = data
    # The number of the epoch never gets smaller: the patience runs out.
    stopper = EarlyStopping(monitor="epoch", patience=stop - 1, sink=noop)
    stopped = clone(net).set_params(callbacks=[("stop", stopper)]).fit(X, y)
    assert len(stopped.history) == stop
    scores = BALQUE(n_snapshots=2).score_samples(stopped, pool, X_training=X, y_training=y)
    predictions = [clone(net).set_params(max_epochs=n).fit(X, y).predict(pool) for n in epochs]
    np.testing.assert_allclose(scores, slow_scores(predictions), atol=1e-12)


def test_string_labels(net, data):
    X, y, pool = data
    words = np.array(["ant", "bee", "cat"])[y]
    with_words = clone(net).fit(X, words)
    np.testing.assert_array_equal(
        BALQUE().score_samples(with_words, pool, X_training=X, y_training=words),
        BALQUE().score_samples(net, pool, X_training=X, y_training=y),
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_iterations_of_a_solver(data):
    X, y, pool = data
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    n_iter = int(fitted.n_iter_[0])
    scores = BALQUE(n_snapshots=5).score_samples(fitted, pool, X_training=X, y_training=y)
    points = [max(1, round(n_iter * k / 5)) for k in range(1, 6)]
    predictions = [LogisticRegression(max_iter=point).fit(X, y).predict(pool) for point in points]
    np.testing.assert_allclose(scores, slow_scores(predictions), atol=1e-12)


def test_the_net_stays_as_it_was(net, data):
    X, y, pool = data
    before, history = net.predict_proba(pool), len(net.history)
    BALQUE().select(net, pool, 3, X_training=X, y_training=y)
    np.testing.assert_array_equal(net.predict_proba(pool), before)
    assert len(net.history) == history
    assert net.callbacks is None


def test_one_epoch_or_one_class_scores_0(net, data):
    X, y, pool = data
    once = clone(net).set_params(max_epochs=1).fit(X, y)
    np.testing.assert_array_equal(BALQUE().score_samples(once, pool, X_training=X, y_training=y), 0)
    labeled = {"X_training": X[y == 2], "y_training": y[y == 2]}
    np.testing.assert_array_equal(BALQUE().score_samples(net, pool, **labeled), 0)


def test_what_is_not_trained_in_steps_is_a_clear_error(data):
    X, y, pool = data
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    with pytest.raises(
        PoolCapabilityError,
        match="BALQUE needs a training in steps, which RandomForestClassifier does not supply. Use a skorch",
    ):
        BALQUE().select(forest, pool, X_training=X, y_training=y)
    with pytest.raises(PoolCapabilityError, match="BALQUE needs the labelled data"):
        BALQUE().select(forest, pool)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_snapshots": 1}, r"The 'n_snapshots' parameter of BALQUE must be an int in the range \[2, inf\). Got 1"),
        ({"random_state": "x"}, "'random_state' parameter of BALQUE must be"),
    ],
)
def test_parameters_out_of_range(params, message, net, data):
    with pytest.raises(ValueError, match=message):
        BALQUE(**params).select(net, data[2])
