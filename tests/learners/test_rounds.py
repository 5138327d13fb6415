"""Rounds, bootstraps and what a failure takes back, one by one."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from torch import nn

from skal.learners import ActiveLearner, DM2ATLearner, simulate
from skal.nets import DeepClassifier
from skal.strategies import RandomSampling
from skal.utils._random import make_generator

X = np.random.default_rng(0).uniform(size=(60, 3))
Y = np.arange(60) % 3


class Recorder(ClassifierMixin, BaseEstimator):
    """Remembers the rows that it was trained on."""

    def fit(self, X, y):
        self.seen_, self.classes_ = X, np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def rows_of(seen, data):
    """Positions in `data` of each of the rows `seen`."""
    return [next(i for i, row in enumerate(data) if np.allclose(row, one)) for one in seen]


def taught(**kwargs):
    return ActiveLearner(Recorder(), RandomSampling(random_state=0), X[:12], Y[:12], **kwargs)


def step(learner, n=3, **kwargs):
    idx, rows = learner.query(X[12:], n_instances=n)
    learner.teach(rows, Y[12:][idx], **kwargs)


# -- rounds ------------------------------------------------------------------------------------------------------------


def test_a_round_is_a_query_that_was_answered():
    learner = taught()
    assert learner.round == 0
    step(learner)
    assert learner.round == 1
    learner.teach(X[50:52], Y[50:52])
    assert learner.round == 1, "nobody asked for these"
    learner.query(X[12:])
    learner.query(X[12:])
    assert learner.round == 1, "not answered yet"
    learner.teach(X[52:53], Y[52:53])
    assert learner.round == 2


def test_undo_takes_the_round_back():
    learner = taught()
    step(learner)
    step(learner)
    learner.undo()
    assert learner.round == 1
    learner.teach(X[52:53], Y[52:53])
    assert learner.round == 2, "the query is open again"


def test_fit_begins_anew():
    learner = taught()
    step(learner)
    learner.query(X[12:])
    learner.memory.keep("mine", {}, 1)
    learner.fit(X[:20], Y[:20])
    assert learner.round == 0
    assert learner.memory.recall("mine", {}, lambda: 2) == 2
    learner.teach(X[20:22], Y[20:22])
    assert learner.round == 0, "the query before fit is forgotten"


def test_fit_repeats_a_run():
    learner = taught()
    first = learner.query(X[12:], n_instances=5)[0].tolist()
    step(learner)
    learner.fit(X[:12], Y[:12])
    assert learner.query(X[12:], n_instances=5)[0].tolist() == first


def test_a_clone_keeps_the_number_of_rounds():
    learner = taught()
    learner.n_rounds = 7
    assert clone(learner).n_rounds == 7


# -- bootstraps --------------------------------------------------------------------------------------------------------


def test_a_bootstrap_is_drawn_anew_for_each_round_and_size():
    learner = taught(bootstrap_init=True, random_state=4)

    def expected(round_, n):
        return np.random.default_rng([4, round_, n]).integers(n, size=n).tolist()

    assert rows_of(learner.estimator.seen_, X[:12]) == expected(0, 12)
    step(learner, bootstrap=True)
    # Trained before the query counts as answered.
    assert rows_of(learner.estimator.seen_, learner.X_training) == expected(0, 15)
    step(learner, bootstrap=True)
    assert rows_of(learner.estimator.seen_, learner.X_training) == expected(1, 18)
    learner.round = 5
    learner.relabel(0, Y[0], bootstrap=True)
    assert rows_of(learner.estimator.seen_, learner.X_training) == expected(5, 18)


class Net(DeepClassifier):
    """Remembers the rows that it was trained on."""

    def fit(self, X, y=None, sample_weight=None, **fit_params):
        super().fit(X, y, sample_weight=sample_weight, **fit_params)
        self.seen_, self.weight_ = np.asarray(X), sample_weight
        return self


def test_a_bootstrap_with_copies_is_drawn_anew_for_each_round_and_size():
    net = Net(nn.Linear(3, 3), max_epochs=1, random_state=0)
    learner = DM2ATLearner(net, RandomSampling(random_state=0), X[:12], Y[:12], epsilon=0.05, random_state=4)
    step(learner)

    def check(round_):
        drawn = np.random.default_rng([4, round_, 15]).integers(15, size=15)
        np.testing.assert_allclose(learner.estimator.seen_[:15], learner.X_training[drawn], rtol=1e-6)
        copies = drawn[drawn >= 12] - 12
        np.testing.assert_allclose(learner.estimator.seen_[15:], np.asarray(learner.X_adversarial)[copies], rtol=1e-6)

    for round_ in (1, 2, 6):
        learner.round = round_
        learner.relabel(0, Y[0], bootstrap=True)
        check(round_)


# -- the second class of an initial set --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_further_samples_of_an_initial_set_come_in_random_order(seed):
    """One sample of another class among many of one: those labelled on the way are a random sequence up to it."""
    y = np.zeros(60, dtype=int)
    y[41] = 1
    (first,) = simulate(
        ActiveLearner(LogisticRegression(), RandomSampling(random_state=0)), X, y,
        n_initial=3, n_queries=0, init_strategy=lambda learner, X, n_instances: np.arange(3), random_state=seed,
    )  # fmt: skip
    order = make_generator(seed, 1, 1).permutation(np.arange(3, 60)).tolist()
    assert first.queried.tolist() == [0, 1, 2, *order[: 1 + order.index(41)]]


# -- failures ----------------------------------------------------------------------------------------------------------


class Failing(ActiveLearner):
    """Learns something of its own, and fails."""

    def _fit_to_known(self, bootstrap=False, **fit_kwargs):
        if len(self.X_training) > 12:
            self.extra = 1
            raise RuntimeError("no room")
        return super()._fit_to_known(bootstrap, **fit_kwargs)


def test_a_failure_leaves_no_attribute_behind():
    learner = Failing(Recorder(), RandomSampling(random_state=0), X[:12], Y[:12])
    before = set(vars(learner))
    with pytest.raises(RuntimeError, match="no room"):
        learner.teach(X[12:14], Y[12:14])
    assert set(vars(learner)) == before
    assert len(learner.X_training) == 12


class InPlace(Recorder):
    """Two names for one list, to which each training adds, and which is too long at three."""

    def fit(self, X, y):
        if not hasattr(self, "steps_"):
            self.steps_ = self.same_ = []
        self.steps_.append(len(X))
        if len(self.steps_) > 2:
            raise RuntimeError("too long")
        return super().fit(X, y)


def test_what_is_shared_is_shared_after_a_failure():
    learner = ActiveLearner(InPlace(), RandomSampling(random_state=0), X[:12], Y[:12])
    learner.teach(X[12:14], Y[12:14])
    with pytest.raises(RuntimeError, match="too long"):
        learner.teach(X[14:16], Y[14:16])
    assert learner.estimator.steps_ == [12, 14]
    assert learner.estimator.same_ is learner.estimator.steps_
