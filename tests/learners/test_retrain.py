"""`retrain`: labels that somebody else keeps, taken anew each time, beside what the learner has of its own."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import nn

from skal.learners import ActiveLearner, DM2ATLearner
from skal.nets import DeepClassifier
from skal.strategies import MarginSampling


class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.head = nn.Linear(4, n_classes)

    def forward(self, x):
        return self.head(x)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(60, 4)).astype(np.float32)
    return X, (3 * X[:, 0] * 0.999).astype(int)


def learner_of(data, n=10, **params):
    X, y = data
    given = {"X_training": X[:n], "y_training": y[:n]} if n else {}
    return ActiveLearner(LogisticRegression(), MarginSampling(), **given, **params)


def test_in_the_place_of_what_the_source_gave_before_and_behind_what_the_learner_has(data):
    X, y = data
    learner = learner_of(data)
    learner.query(X[30:])
    learner.teach(X[10:12], y[10:12])
    learner.round = 7
    learner.memory.keep("a", {}, 1)
    learner.retrain(X[20:25], y[20:25], source="a")
    learner.retrain(X[30:32], y[30:32], source="b")
    learner.retrain(X[40:43], y[40:43], source="a")
    rows = [*range(12), 30, 31, 40, 41, 42]
    np.testing.assert_array_equal(learner.X_training, X[rows])
    np.testing.assert_array_equal(learner.y_training, y[rows])
    expected = LogisticRegression().fit(X[rows], y[rows])
    np.testing.assert_array_equal(learner.predict_proba(X), expected.predict_proba(X))
    assert learner.round == 7
    assert learner.memory.recall("a", {}, lambda: 2) == 1
    learner.retrain(source="a")
    learner.retrain(source="b")
    np.testing.assert_array_equal(learner.X_training, X[:12])
    np.testing.assert_array_equal(learner.predict(X), LogisticRegression().fit(X[:12], y[:12]).predict(X))


def test_undo_does_not_reach_behind_it(data):
    X, y = data
    learner = learner_of(data)
    learner.retrain(X[20:25], y[20:25], source="a")
    with pytest.raises(ValueError, match="nothing to undo"):
        learner.undo()


@pytest.mark.parametrize("estimator", [LogisticRegression(), RandomForestClassifier(3, random_state=0)])
def test_one_class_alone_is_not_taken(estimator, data):
    X, _ = data
    learner = ActiveLearner(estimator, MarginSampling(), cold_start="random", random_state=0)
    learner.retrain(X[:4], ["a", "b", "b", "b"], source="s")
    assert learner.predict(X[:1]) in ("a", "b")
    learner.retrain(X[:4], ["b", "b", "b", "b"], source="s")
    assert learner.X_training is None
    with pytest.raises(NotFittedError):
        learner.predict(X[:1])
    assert len(learner.query(X, n_instances=3)[0]) == 3
    learner.retrain(X[:4], np.array([1, 1, 1, 0]), source="s")
    assert learner.predict(X).shape == (60,)


def test_one_value_is_enough_for_a_regression_and_beside_own_labels(data):
    X, _ = data
    regression = ActiveLearner(LinearRegression(), lambda model, X, n_instances=1: np.arange(n_instances))
    regression.retrain(X[:4], [2.5, 2.5, 2.5, 2.5], source="s")
    np.testing.assert_allclose(regression.predict(X), 2.5, atol=1e-6)
    learner = learner_of(data)
    learner.retrain(X[20:22], [1, 1], source="s")
    assert len(learner.X_training) == 12


@pytest.mark.parametrize(
    ("X_new", "y_new", "error"),
    [(slice(20, 22), [1], ValueError), (slice(20, 22), ["a", "b"], ValueError), (slice(20, 22), [9, 1], ValueError)],
)
def test_what_fails_leaves_the_learner_as_it_was(X_new, y_new, error, data):
    X, y = data
    learner = learner_of(data, classes=[0, 1, 2])
    learner.retrain(X[30:34], y[30:34], source="s")
    before = learner.predict_proba(X)
    with pytest.raises(error):
        learner.retrain(X[X_new], y_new, source="s")
    np.testing.assert_array_equal(learner.X_training, X[[*range(10), *range(30, 34)]])
    np.testing.assert_array_equal(learner.predict_proba(X), before)


def test_adversarial_copies_do_not_depend_on_how_the_labels_came_in(data):
    X, y = data

    def made():
        net = DeepClassifier(Net, max_epochs=5, lr=0.5, classes=[0, 1, 2], random_state=0)
        return DM2ATLearner(net, X_training=X[:10], y_training=y[:10], epsilon=0.1)

    step_by_step, at_once = made(), made()
    step_by_step.retrain(X[20:25], y[20:25], source="s")
    step_by_step.retrain(X[20:30], y[20:30], source="s")
    at_once.retrain(X[20:30], y[20:30], source="s")
    assert len(at_once.X_adversarial) == 10
    assert np.abs(at_once.X_adversarial - X[20:30]).max() > 0.05
    np.testing.assert_array_equal(step_by_step.X_adversarial, at_once.X_adversarial)
    np.testing.assert_array_equal(step_by_step.predict_proba(X), at_once.predict_proba(X))
