"""simulate: equal to the loop written out; what it hands on; starts; nothing left behind by a failing round."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from modAL.models import Committee
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skal.learners import ActiveLearner, Round, simulate
from skal.meta import ActiveLearningClassifier
from skal.strategies import BAL, EntropySampling, MarginSampling, RandomSampling, TypiClust
from skal.utils._compat import STRATEGIES_RETURN_PAIRS

X, Y = load_iris(return_X_y=True)


def logistic():
    return LogisticRegression(max_iter=500)


def answer(idx):
    """What the installed modAL expects of a strategy."""
    return (idx, None) if STRATEGIES_RETURN_PAIRS else idx


def first_rows(classifier, X, n_instances=1):
    return answer(np.arange(n_instances))


class Spy(ClassifierMixin, BaseEstimator):
    """Keeps what every fit was given."""

    def fit(self, X, y, sample_weight=None, groups=None, note=None):
        given = {"X": X, "y": y, "sample_weight": sample_weight, "groups": groups, "note": note}
        self.calls_ = [*getattr(self, "calls_", []), given]
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_loop_written_out(seed):
    strategy, own = EntropySampling(random_state=seed), EntropySampling(random_state=seed)
    start = np.random.default_rng(seed).choice(150, 10, replace=False)
    learner = ActiveLearner(logistic(), strategy)
    steps = list(simulate(learner, X, Y, initial=start, n_instances=4, n_queries=3))

    other = ActiveLearner(logistic(), own, X[start], Y[start])
    labeled, rest = start.tolist(), [i for i in range(150) if i not in start]
    for step in steps:
        assert isinstance(step, Round) and step.learner is learner
        if step.round > 0:
            idx, rows = other.query(X[rest], n_instances=4)
            chosen = [rest[i] for i in idx]
            other.teach(rows, Y[chosen])
            labeled, rest = labeled + chosen, [i for i in rest if i not in chosen]
            assert step.queried.tolist() == chosen
        assert step.labeled.tolist() == labeled
        assert step.queried.dtype == step.labeled.dtype == np.int64
        assert np.isnan(step.query_seconds) == (step.round == 0)
        assert step.fit_seconds > 0
    assert [step.round for step in steps] == [0, 1, 2, 3]
    np.testing.assert_array_equal(learner.predict_proba(X), other.predict_proba(X))
    np.testing.assert_array_equal(learner.X_training, other.X_training)
    assert learner.round == other.round == 3


def test_each_round_is_yielded_when_it_is_done():
    steps = simulate(ActiveLearner(logistic(), MarginSampling()), X, Y, n_initial=20, n_instances=5, n_queries=9)
    step = next(steps)
    assert step.round == 0 and len(step.learner.X_training) == 20 and step.learner.score(X, Y) > 0.5
    assert len(next(steps).learner.X_training) == 25
    steps.close()
    assert len(step.learner.X_training) == 25


# -- where it begins -----------------------------------------------------------------------------------------------


def test_the_random_start_is_that_of_the_classifier():
    for seed in (0, 3):
        al = ActiveLearningClassifier(
            logistic(), MarginSampling(random_state=5), n_initial=12, n_instances=3, n_queries=2, random_state=seed
        ).fit(X, Y)
        learner = ActiveLearner(logistic(), MarginSampling(random_state=5))
        *_, last = simulate(learner, X, Y, n_initial=12, n_instances=3, n_queries=2, random_state=seed)
        np.testing.assert_array_equal(last.labeled, al.queried_idx_)
    free = [next(simulate(ActiveLearner(logistic()), X, Y)).labeled.tolist() for _ in range(2)]
    assert free[0] != free[1] and len(free[0]) >= 10


def test_a_learner_that_has_data_begins_with_its_first_query():
    learner = ActiveLearner(logistic(), MarginSampling(random_state=0), X[::10], Y[::10])
    pool = np.setdiff1d(np.arange(150), np.arange(0, 150, 10))
    steps = list(simulate(learner, X, Y, pool=pool, n_instances=5, n_queries=2))
    assert [step.round for step in steps] == [1, 2]
    assert len(learner.X_training) == 25
    assert np.isin(steps[-1].labeled, pool).all() and len(steps[-1].labeled) == 10
    # Asked to, it takes an initial set as well.
    assert [step.round for step in simulate(learner, X, Y, n_initial=3, n_queries=1)] == [0, 1]


@pytest.mark.filterwarnings("ignore::skal.exceptions.ColdStartWarning")
def test_a_strategy_may_choose_the_initial_set():
    seen = []

    def start(classifier, X, n_instances=1):
        seen.append((classifier.X_training, classifier.round, classifier.n_rounds, len(X), n_instances))
        return answer(np.array([0, 60, 120]))

    learner = ActiveLearner(logistic(), MarginSampling())
    own = learner.query_strategy
    steps = list(simulate(learner, X, Y, n_initial=3, init_strategy=start, n_queries=1))
    assert seen == [(None, 0, 2, 150, 3)]
    assert steps[0].queried.tolist() == [0, 60, 120]
    assert learner.query_strategy is own
    typical = ActiveLearner(logistic(), TypiClust(random_state=0))
    chosen = next(simulate(typical, X, Y, n_initial=6, init_strategy=typical.query_strategy)).queried
    assert len(chosen) >= 6


def test_a_schedule_is_told_to_the_learner_unless_it_has_one():
    learner = ActiveLearner(logistic(), BAL(n_clusters=3, random_state=0))
    steps = list(
        simulate(learner, X, Y, n_initial=10, init_strategy=learner.query_strategy, n_instances=10, n_queries=3)
    )
    assert learner.n_rounds == 4 and len(steps[-1].labeled) >= 40
    learner = ActiveLearner(logistic(), RandomSampling())
    learner.n_rounds = 9
    next(simulate(learner, X, Y))
    assert learner.n_rounds == 9


def test_one_class_goes_on_until_there_are_two():
    y = np.repeat([0, 1], [140, 10])
    for seed in range(5):
        step = next(
            simulate(ActiveLearner(GaussianNB()), X, y, n_initial=2, init_strategy=first_rows, random_state=seed)
        )
        assert y[step.queried].tolist() == [0] * (len(step.queried) - 1) + [1]
        assert step.queried[:2].tolist() == [0, 1]
        again = next(
            simulate(ActiveLearner(GaussianNB()), X, y, n_initial=2, init_strategy=first_rows, random_state=seed)
        )
        np.testing.assert_array_equal(step.queried, again.queried)

    def start(**params):
        learner = ActiveLearner(DecisionTreeClassifier(), RandomSampling())
        return next(simulate(learner, X, y, random_state=0, **params)).queried

    assert len(start(n_initial=2, init_strategy=first_rows, until_two_classes=False)) == 2
    assert start(initial=[3, 5, 7]).tolist() == [3, 5, 7]
    # There is no second class in this pool.
    assert len(start(n_initial=2, init_strategy=first_rows, pool=range(100))) == 2
    assert set(start(n_initial=2, init_strategy=first_rows, pool=[0, 1, 2, 149])) >= {0, 1, 149}


def test_it_ends_when_all_is_labelled():
    learner = ActiveLearner(DecisionTreeClassifier(), RandomSampling())
    steps = list(simulate(learner, X, Y, n_initial=100, n_instances=40, n_queries=5))
    assert [len(step.labeled) for step in steps] == [100, 140, 150]
    learner = ActiveLearner(DecisionTreeClassifier(), RandomSampling())
    assert [step.round for step in simulate(learner, X, Y, initial=range(150))] == [0]
    assert list(simulate(learner, X, Y, n_initial=0, n_queries=0)) == []


# -- what it hands on ----------------------------------------------------------------------------------------------


def test_the_pool_is_x_itself_as_long_as_nothing_is_labelled(tmp_path):
    seen = []

    def watching(classifier, X, n_instances=1):
        seen.append(X)
        return answer(np.arange(n_instances) * 60)

    file = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=np.float64, shape=X.shape)
    file[:] = X
    strategy = MarginSampling(random_state=0)
    for learner in (ActiveLearner(logistic(), strategy), ActiveLearner(logistic(), watching)):
        next(simulate(learner, file, Y, n_initial=3, init_strategy=watching, n_instances=3))
    assert all(pool is file for pool in seen)
    # The learner's own query, too, where no initial set comes before it.
    seen.clear()
    next(simulate(ActiveLearner(logistic(), watching), file, Y, n_initial=0, n_instances=3))
    assert seen[0] is file


@pytest.mark.parametrize("make", [list, pd.DataFrame, sp.csr_matrix, sp.coo_array], ids=lambda make: make.__name__)
def test_containers(make):
    rows, labels = (X.tolist(), Y.tolist()) if make is list else (make(X), pd.Series(Y))
    learner, plain = (ActiveLearner(GaussianNB() if make is not sp.csr_matrix else logistic()) for _ in range(2))
    if make in (sp.coo_array, sp.csr_matrix):
        learner, plain = ActiveLearner(logistic()), ActiveLearner(logistic())
    *_, last = simulate(learner, rows, labels, n_initial=12, n_queries=2, random_state=0)
    *_, expected = simulate(plain, X, Y, n_initial=12, n_queries=2, random_state=0)
    assert len(set(last.labeled.tolist()) & set(expected.labeled.tolist())) >= 28
    np.testing.assert_array_equal(np.asarray(learner.y_training), Y[last.labeled])


def test_targets_of_a_detector_are_only_handed_on():
    targets = [{"boxes": np.zeros((1, 4)), "labels": ["a"]} for _ in range(20)]

    class Detector(BaseEstimator):
        def fit(self, X, y):
            self.seen_ = y
            return self

        def predict(self, X):
            return [None] * len(X)

    images = [np.zeros((1, 3, 3)) for _ in range(20)]
    learner = ActiveLearner(Detector(), RandomSampling(random_state=0))
    *_, last = simulate(learner, images, targets, n_initial=4, n_instances=3, n_queries=2)
    assert all(one is targets[i] for one, i in zip(learner.estimator.seen_, last.labeled, strict=True))


def test_fit_params_are_cut_to_the_labelled_rows():
    learner = ActiveLearner(Spy(), first_rows)
    weight, groups = np.arange(150.0), [f"g{i}" for i in range(150)]
    steps = list(
        simulate(
            learner, X, Y, n_initial=5, n_instances=3, n_queries=2, random_state=0,
            fit_params={"sample_weight": weight, "groups": groups, "note": "as it is"},
        )
    )  # fmt: skip
    for call, step in zip(learner.estimator.calls_, steps, strict=True):
        np.testing.assert_array_equal(call["sample_weight"], weight[step.labeled])
        assert call["groups"] == [groups[i] for i in step.labeled]
        assert call["note"] == "as it is"


@pytest.mark.parametrize("form", ["scalar", "mask", "list"])
def test_other_answers_of_a_function(form):
    def strategy(classifier, X, n_instances=1):
        if form == "scalar":
            return (7, None) if STRATEGIES_RETURN_PAIRS else 7
        return answer(np.arange(len(X)) < n_instances if form == "mask" else list(range(n_instances)))

    learner = ActiveLearner(logistic(), strategy)
    steps = list(simulate(learner, X, Y, n_initial=12, n_instances=4, n_queries=2, random_state=0))
    assert len(steps[-1].labeled) == (14 if form == "scalar" else 20)
    assert len(set(steps[-1].labeled.tolist())) == len(steps[-1].labeled)


def test_modals_committee():
    members = [ActiveLearner(m, X_training=X[::10], y_training=Y[::10]) for m in (GaussianNB(), logistic())]
    committee = Committee(members)
    committee.n_rounds = None
    steps = list(simulate(committee, X, Y, n_initial=0, n_instances=2, n_queries=2))
    assert len(members[0].X_training) == 19 and len(steps[-1].labeled) == 4


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [[0, 0], [-1], [138], [0.5], [[0, 1]]])
def test_a_strategy_that_answers_nonsense(bad):
    learner = ActiveLearner(logistic(), lambda c, X, n_instances=1: answer(np.array(bad)))
    steps = simulate(learner, X, Y, n_initial=12, random_state=0)
    next(steps)
    n, before = len(learner.X_training), pickle.dumps(learner.estimator)
    # What is no position at all fails in the learner already, where it takes the rows.
    message = "The query strategy of ActiveLearner must return unique positions in its pool of 138|out of bounds|Rows"
    with pytest.raises((ValueError, IndexError), match=message):
        next(steps)
    assert len(learner.X_training) == n and learner.round == 1
    assert pickle.dumps(learner.estimator) == before
    assert learner._has_query is False


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["query", "fit"])
@pytest.mark.parametrize("round_", [0, 1])
def test_a_failing_round_leaves_the_learner_as_it_was(error, where, round_):
    class Fragile(GaussianNB):
        def fit(self, X, y):
            super().fit(X, y)
            if failing and where == "fit":
                raise error
            return self

    def strategy(classifier, X, n_instances=1):
        if failing and where == "query":
            raise error
        return answer(np.arange(n_instances) * 12)

    failing = round_ == 0
    learner = ActiveLearner(Fragile(), strategy)
    steps = simulate(learner, X, Y, n_initial=10, init_strategy=strategy, n_instances=4)
    if round_:
        next(steps)
    own, fitted = dict(vars(learner)), dict(vars(learner.estimator))
    failing = True
    with pytest.raises(error):
        next(steps)
    assert vars(learner) == own and learner.query_strategy is strategy
    assert vars(learner.estimator).keys() == fitted.keys()
    assert all(vars(learner.estimator)[name] is value for name, value in fitted.items())
    failing = False
    assert len(next(simulate(learner, X, Y, n_initial=12)).labeled) == 12


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_initial": -1}, r"The 'n_initial' of simulate must be an integer of at least 0. Got -1 instead"),
        ({"n_initial": 0.5}, r"The 'n_initial' of simulate must be an integer"),
        ({"n_instances": 0}, r"The 'n_instances' of simulate must be an integer of at least 1. Got 0 instead"),
        ({"n_queries": True}, r"The 'n_queries' of simulate must be an integer of at least 0. Got True instead"),
        (
            {"initial": [0, 150]},
            r"The 'initial' of simulate must hold unique positions in X, from 0 to 149. Got \[0, 15",
        ),
        ({"initial": []}, r"The 'initial' of simulate must hold unique positions"),
        ({"pool": [1, 1]}, r"The 'pool' of simulate must hold unique positions"),
        ({"pool": [0.5]}, r"The 'pool' of simulate must hold unique positions"),
        ({"initial": [0], "n_initial": 3}, r"simulate takes 'initial', or 'n_initial' and 'init_strategy'. Got both"),
        ({"y": Y[:10]}, r"X and y of simulate must have the same length. Got 150 and 10"),
    ],
)
def test_arguments_are_checked_at_the_call(params, message):
    with pytest.raises(ValueError, match=message):
        simulate(ActiveLearner(logistic()), **{"X": X, "y": Y, **params})
