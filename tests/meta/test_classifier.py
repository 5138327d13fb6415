"""ActiveLearningClassifier: the loop, scikit-learn's checks, searches, inputs, errors."""

import copy
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
import torch
from modAL.uncertainty import entropy_sampling as modal_entropy_sampling
from modAL.uncertainty import margin_sampling as modal_margin_sampling
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris, make_blobs
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.metadata_routing import get_routing_for_object
from skorch import NeuralNetClassifier
from torch import nn

from skal.exceptions import ColdStartWarning
from skal.learners import ActiveLearner
from skal.meta import ActiveLearningClassifier
from skal.strategies import (
    DECERN,
    EntropySampling,
    LeastConfidence,
    MarginSampling,
    RandomSampling,
    decern_sampling,
    margin_sampling,
)
from skal.utils._compat import STRATEGIES_RETURN_PAIRS

X_IRIS, Y_IRIS = load_iris(return_X_y=True)


def logistic():
    return LogisticRegression(C=1.0, max_iter=1000)


def loop(estimator=None, query_strategy=None, **params):
    params = {"n_initial": 12, "n_instances": 4, "n_queries": 3, "random_state": 0, **params}
    return ActiveLearningClassifier(
        logistic() if estimator is None else estimator,
        MarginSampling() if query_strategy is None else query_strategy,
        **params,
    )


def answer(idx):
    """What the installed modAL expects of a strategy."""
    idx = np.asarray(idx)
    return (idx, np.zeros(len(idx))) if STRATEGIES_RETURN_PAIRS else idx


def first_rows(classifier, X, n_instances=1):
    return answer(np.arange(n_instances))


def last_rows(classifier, X, n_instances=1):
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    return answer(np.arange(n)[::-1][:n_instances])


class Spy(ClassifierMixin, BaseEstimator):
    """Keeps what every fit was given, in a list that its clones share."""

    calls: list = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None, groups=None, note=None):
        Spy.calls.append({"X": X, "y": y, "sample_weight": sample_weight, "groups": groups, "note": note})
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.fixture
def spy():
    Spy.calls = []
    return Spy()


# -- scikit-learn's own checks: all of them, no exception list -------------------------------------


@parametrize_with_checks(
    [
        ActiveLearningClassifier(LogisticRegression(), strategy)
        for strategy in (RandomSampling(), MarginSampling(), DECERN())
    ]
)
def test_sklearn_checks(estimator, check):
    check(estimator)


# -- the loop --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("n_instances", [1, 5])
def test_equals_the_loop_written_out(seed, n_instances):
    """The same run by hand, with a plain margin computed from predict_proba, and lists instead of arrays."""
    # Two flowers of iris are equal to the last digit: no ties here.
    X = X_IRIS + np.random.default_rng(seed).normal(scale=0.01, size=X_IRIS.shape)
    al = loop(n_instances=n_instances, n_queries=4, random_state=seed).fit(X, Y_IRIS)

    labelled = [int(i) for i in al.queried_idx_[:12]]
    assert_array_equal(al.query_round_[labelled], 0)
    for round_ in range(1, 5):
        model = logistic().fit(X[labelled], Y_IRIS[labelled])
        margins = []
        for i in range(len(X)):
            if i not in labelled:
                low, high = np.sort(model.predict_proba(X[[i]])[0])[-2:]
                margins.append((high - low, i))
        wanted = [i for _, i in sorted(margins)[:n_instances]]
        assert set(np.flatnonzero(al.query_round_ == round_)) == set(wanted)
        assert_array_equal(al.queried_idx_[len(labelled) : len(labelled) + n_instances], wanted)
        labelled += wanted
    model = logistic().fit(X[labelled], Y_IRIS[labelled])

    assert_allclose(al.predict_proba(X), model.predict_proba(X), atol=1e-12)
    assert_array_equal(al.predict(X), model.predict(X))
    assert_allclose(al.decision_function(X), model.decision_function(X), atol=1e-10)
    assert al.score(X, Y_IRIS) == accuracy_score(Y_IRIS, model.predict(X))
    assert al.n_labels_ == len(labelled) == np.sum(al.query_round_ >= 0)
    assert al.query_round_.dtype == al.queried_idx_.dtype == np.int64


def test_what_the_model_sees(spy):
    X, y = np.arange(20.0).reshape(10, 2), np.array([0, 1] * 5)
    al = loop(spy, last_rows, init_strategy=first_rows, n_initial=2, n_instances=3, n_queries=2).fit(X, y)
    expected = [0, 1, 9, 8, 7, 6, 5, 4]
    assert_array_equal(al.queried_idx_, expected)
    assert_array_equal(al.query_round_, [0, 0, -1, -1, 2, 2, 2, 1, 1, 1])
    for call, n in zip(Spy.calls, (2, 5, 8), strict=True):
        assert_array_equal(call["X"], X[expected[:n]])
        assert_array_equal(call["y"], y[expected[:n]])


def test_hidden_labels_decide_nothing():
    """Labels that are never revealed may be anything."""
    al = loop(query_strategy=EntropySampling()).fit(X_IRIS, Y_IRIS)
    other = np.where(al.query_round_ >= 0, Y_IRIS, (Y_IRIS + 1) % 3)
    again = clone(al).fit(X_IRIS, other)
    assert_array_equal(al.queried_idx_, again.queried_idx_)
    assert_array_equal(al.predict_proba(X_IRIS), again.predict_proba(X_IRIS))


@pytest.mark.parametrize(
    ("n_initial", "n_instances", "n_queries", "expected"),
    [
        (0.1, 0.05, 3, [15, 23, 31, 39]),
        (10, 5, 0, [10]),
        (10, 0.1, 2, [10, 25, 40]),
        (1.0, 1, 5, [150]),
        (1000, 1, 5, [150]),
        (100, 40, 5, [100, 140, 150]),
        (np.int64(10), np.float64(0.5), 2, [10, 85, 150]),
    ],
)
def test_counts(n_initial, n_instances, n_queries, expected):
    al = loop(DecisionTreeClassifier(), n_initial=n_initial, n_instances=n_instances, n_queries=n_queries)
    al.fit(X_IRIS, Y_IRIS)
    assert [step["n_labels"] for step in al.history_] == expected
    assert [step["round"] for step in al.history_] == list(range(len(expected)))
    assert len(set(al.queried_idx_)) == al.n_labels_ == expected[-1]


def test_history_and_eval_set():
    X_val, y_val = X_IRIS[::3], Y_IRIS[::3]
    seen = []

    def spying(classifier, X, n_instances=1):
        seen.append(accuracy_score(y_val, classifier.predict(X_val)))
        return first_rows(classifier, X, n_instances)

    al = loop(query_strategy=spying).fit(X_IRIS, Y_IRIS, eval_set=(X_val, y_val))
    scores = [step["score"] for step in al.history_]
    assert_allclose(scores, [*seen, al.score(X_val, y_val)])
    for step in al.history_:
        assert set(step) == {"round", "n_labels", "query_seconds", "fit_seconds", "score"}
        assert step["query_seconds"] >= 0 and step["fit_seconds"] > 0
    assert "score" not in al.fit(X_IRIS, Y_IRIS).history_[0]
    with pytest.raises(TypeError, match="eval_set must be a pair"):
        al.fit(X_IRIS, Y_IRIS, eval_set=X_val)
    with pytest.raises(ValueError, match=r"must have the shape \(4,\) of those in X. Got \(3,\)"):
        al.fit(X_IRIS, Y_IRIS, eval_set=(X_val[:, :3], y_val))


# -- the initial set -------------------------------------------------------------------------------


def test_one_class_goes_on_until_there_are_two():
    y = np.r_[np.zeros(45, int), np.ones(5, int)]
    X = np.random.default_rng(0).normal(size=(50, 2)) + y[:, None]
    lengths = set()
    for seed in range(20):
        al = loop(n_initial=2, n_instances=1, n_queries=1, random_state=seed).fit(X, y)
        n_start = al.history_[0]["n_labels"]
        start = al.queried_idx_[:n_start]
        assert_array_equal(al.query_round_[start], 0)
        assert len(set(y[start])) == 2
        if n_start > 2:
            # The last one labelled is the only one of its class.
            assert len(set(y[start[:-1]])) == 1
        lengths.add(n_start)
        assert_array_equal(clone(al).fit(X, y).queried_idx_, al.queried_idx_)
    assert min(lengths) == 2 and max(lengths) > 5


def test_y_of_one_class_is_left_alone():
    al = loop(DecisionTreeClassifier(), RandomSampling(), n_initial=3, n_instances=2, n_queries=2)
    al.fit(X_IRIS[:20], np.zeros(20, int))
    assert [step["n_labels"] for step in al.history_] == [3, 5, 7]
    assert_array_equal(al.predict_proba(X_IRIS[:4]), np.ones((4, 1)))


def test_init_strategy_is_called_with_a_learner_without_data():
    seen = []

    def start(classifier, X, n_instances=1):
        seen.append((classifier.X_training, classifier.round, classifier.n_rounds, X.shape, n_instances))
        return answer([0, 60, 120])

    al = loop(init_strategy=start, n_initial=3).fit(X_IRIS, Y_IRIS)
    assert seen == [(None, 0, 4, (150, 4), 3)]
    assert_array_equal(al.queried_idx_[:3], [0, 60, 120])
    assert isinstance(al.learner_, ActiveLearner)
    assert al.estimator_ is al.learner_.estimator
    assert_array_equal(al.learner_.X_training, X_IRIS[al.queried_idx_])


def test_query_strategy_may_begin_by_itself():
    rounds = []

    class Own(RandomSampling):
        def select(self, classifier, X, n_instances=1, **kwargs):
            rounds.append((id(self), classifier.round, classifier.n_rounds))
            return super().select(classifier, X, n_instances, **kwargs)

    loop(query_strategy=Own(), init_strategy="query_strategy").fit(X_IRIS, Y_IRIS)
    assert [r[1:] for r in rounds] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert len({r[0] for r in rounds}) == 1
    rounds.clear()
    loop(query_strategy=Own()).fit(X_IRIS, Y_IRIS)
    assert [r[1:] for r in rounds] == [(1, 4), (2, 4), (3, 4)]


def test_a_strategy_without_a_start_of_its_own_warns():
    with pytest.warns(ColdStartWarning, match="MarginSampling chooses uniformly at random"):
        al = loop(init_strategy=MarginSampling()).fit(X_IRIS, Y_IRIS)
    assert al.history_[0]["n_labels"] == 12


# -- randomness ------------------------------------------------------------------------------------


def test_same_seed_same_run_and_paired_starts():
    forest = RandomForestClassifier(n_estimators=5)
    runs = [
        loop(forest, strategy, random_state=seed).fit(X_IRIS, Y_IRIS)
        for seed in (0, 0, 1)
        for strategy in (RandomSampling(), EntropySampling())
    ]
    for first, second in zip(runs[:2], runs[2:4], strict=True):
        assert_array_equal(first.queried_idx_, second.queried_idx_)
        assert_array_equal(first.predict_proba(X_IRIS), second.predict_proba(X_IRIS))
    assert_array_equal(runs[0].queried_idx_[:12], runs[1].queried_idx_[:12])
    assert not np.array_equal(runs[0].queried_idx_, runs[1].queried_idx_)
    assert runs[0].estimator_.random_state == runs[1].estimator_.random_state
    assert set(runs[4].queried_idx_[:12]) != set(runs[0].queried_idx_[:12])
    # Successive draws of one run differ, too.
    picks = runs[0].queried_idx_.reshape(-1, 4)
    assert len({tuple(pick) for pick in picks}) == len(picks)


def test_random_state_instance_and_none():
    state = np.random.RandomState(3)
    first = loop(query_strategy=RandomSampling(), random_state=state).fit(X_IRIS, Y_IRIS)
    again = loop(query_strategy=RandomSampling(), random_state=np.random.RandomState(3)).fit(X_IRIS, Y_IRIS)
    assert_array_equal(first.queried_idx_, again.queried_idx_)
    free = [loop(random_state=None).fit(X_IRIS, Y_IRIS) for _ in range(2)]
    assert not np.array_equal(free[0].queried_idx_[:12], free[1].queried_idx_[:12])
    assert free[0].estimator_.random_state is None


def test_seeds_reach_only_what_has_none():
    pipeline = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss"))
    al = loop(pipeline, partial(RandomSampling(), n_instances=4)).fit(X_IRIS, Y_IRIS)
    assert isinstance(al.estimator_.named_steps["sgdclassifier"].random_state, int)
    assert isinstance(al.learner_.query_strategy.func.random_state, int)
    assert pipeline.named_steps["sgdclassifier"].random_state is None
    kept = loop(SGDClassifier(loss="log_loss", random_state=7), RandomSampling(random_state=8))
    kept.fit(X_IRIS, Y_IRIS)
    assert kept.estimator_.random_state == 7
    assert kept.learner_.query_strategy.random_state == 8


@pytest.mark.parametrize("random_state", [0, None])
def test_global_generators_and_inputs_untouched(random_state):
    np_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    X, y = X_IRIS.copy(), Y_IRIS.copy()
    loop(query_strategy=DECERN(), random_state=random_state).fit(X, y).predict_proba(X)
    after = np.random.get_state()  # noqa: NPY002
    assert np_state[2] == after[2] and np.array_equal(np_state[1], after[1])
    assert torch.equal(torch_state, torch.get_rng_state())
    assert_array_equal(X, X_IRIS)
    assert_array_equal(y, Y_IRIS)


def test_parameters_stay_as_they_were():
    al = loop(query_strategy=DECERN())
    before = {name: repr(value) for name, value in al.get_params().items()}
    estimator, strategy = al.estimator, al.query_strategy
    al.fit(X_IRIS, Y_IRIS)
    assert al.estimator is estimator and al.query_strategy is strategy
    assert not hasattr(estimator, "coef_")
    assert {name: repr(value) for name, value in al.get_params().items()} == before


# -- classes that were never revealed --------------------------------------------------------------


def start_with_two_classes(classifier, X, n_instances=1):
    return answer([50, 51, 100, 101])


def test_unrevealed_class_gets_probability_zero():
    al = loop(init_strategy=start_with_two_classes, n_initial=4, n_queries=0).fit(X_IRIS, Y_IRIS)
    assert_array_equal(al.estimator_.classes_, [1, 2])
    assert_array_equal(al.classes_, [0, 1, 2])
    proba = al.predict_proba(X_IRIS)
    assert proba.shape == (150, 3)
    assert_array_equal(proba[:, 0], 0)
    assert_allclose(proba[:, 1:], al.estimator_.predict_proba(X_IRIS))
    with np.errstate(all="raise"):
        log_proba = al.predict_log_proba(X_IRIS)
    assert np.isneginf(log_proba[:, 0]).all()
    assert_allclose(np.exp(log_proba), proba)
    values = al.decision_function(X_IRIS)
    raw = al.estimator_.decision_function(X_IRIS)
    assert np.isneginf(values[:, 0]).all()
    assert_array_equal(values[:, 1:], np.column_stack([-raw, raw]))
    assert_array_equal(al.classes_[values.argmax(axis=1)], al.predict(X_IRIS))


def test_unrevealed_class_of_several():
    X, y = make_blobs(40, centers=4, random_state=0)
    names = np.array(["d", "a", "c", "b"])[y]
    known = [np.flatnonzero(names == name)[0] for name in "bad"]
    al = loop(init_strategy=lambda c, X, n_instances=1: answer(known), n_queries=0).fit(X, names)
    assert_array_equal(al.classes_, list("abcd"))
    assert_allclose(al.predict_proba(X)[:, [0, 1, 3]], al.estimator_.predict_proba(X))
    assert_array_equal(al.predict_proba(X)[:, 2], 0)
    assert_array_equal(al.decision_function(X)[:, [0, 1, 3]], al.estimator_.decision_function(X))


class TinyNet(nn.Module):
    def __init__(self, n_outputs=5):
        super().__init__()
        torch.manual_seed(0)
        self.stack = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, n_outputs))

    def forward(self, X):
        return self.stack(X)


def tiny_net():
    return NeuralNetClassifier(
        TinyNet, criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=3, lr=0.1, verbose=0
    )


def test_a_network_wider_than_its_labels():
    """skorch's classes_ are the labels seen, its columns those of the module."""
    with torch.random.fork_rng():
        # float64 samples, which the network alone would refuse.
        al = loop(tiny_net(), n_initial=4, n_queries=1, init_strategy=start_with_two_classes)
        al.fit(X_IRIS, Y_IRIS)
        assert_array_equal(al.classes_, range(5))
        assert_allclose(al.predict_proba(X_IRIS).sum(axis=1), 1, atol=1e-6)
        assert_array_equal(al.predict_proba(X_IRIS).argmax(axis=1), al.predict(X_IRIS))


# -- searches, pipelines, plain functions ----------------------------------------------------------


def test_grid_search_over_everything():
    grid = [
        {"query_strategy": [DECERN()], "query_strategy__xi": [0.2, 0.8], "n_instances": [2, 4]},
        {"query_strategy": [RandomSampling(), EntropySampling()], "estimator__C": [0.1, 10.0]},
        {"query_strategy": [modal_margin_sampling, margin_sampling], "n_queries": [1]},
        {"estimator": [DecisionTreeClassifier()], "query_strategy": [RandomSampling()]},
    ]
    search = GridSearchCV(loop(n_queries=2), grid, cv=2, error_score="raise").fit(X_IRIS, Y_IRIS)
    assert len(search.cv_results_["params"]) == 4 + 4 + 2 + 1
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > 0.8
    best = clone(search.estimator).set_params(**search.best_params_).fit(X_IRIS, Y_IRIS)
    assert_array_equal(best.queried_idx_, search.best_estimator_.queried_idx_)


def test_nested_parameter_reaches_the_strategy():
    al = loop(query_strategy=DECERN()).set_params(query_strategy__xi=0.25).fit(X_IRIS, Y_IRIS)
    assert al.learner_.query_strategy.xi == 0.25


def test_cross_validate():
    result = cross_validate(
        loop(),
        X_IRIS,
        Y_IRIS,
        cv=3,
        scoring=["accuracy", "neg_log_loss", "roc_auc_ovr"],
        return_estimator=True,
        params={"sample_weight": np.ones(150)},
        error_score="raise",
    )
    assert result["test_accuracy"].mean() > 0.8
    assert [len(al.query_round_) for al in result["estimator"]] == [100] * 3


def test_in_a_pipeline_and_around_one():
    around = loop(make_pipeline(StandardScaler(), logistic())).fit(X_IRIS, Y_IRIS)
    assert around.score(X_IRIS, Y_IRIS) > 0.85
    inside = make_pipeline(StandardScaler(), loop()).fit(X_IRIS, Y_IRIS)
    direct = loop().fit(StandardScaler().fit_transform(X_IRIS), Y_IRIS)
    assert_array_equal(inside[-1].queried_idx_, direct.queried_idx_)
    assert_array_equal(inside.predict(X_IRIS), direct.predict(StandardScaler().fit_transform(X_IRIS)))
    search = GridSearchCV(inside, {"activelearningclassifier__n_queries": [0, 2]}, cv=2, error_score="raise")
    assert search.fit(X_IRIS, Y_IRIS).best_params_


def test_around_a_grid_search():
    inner = GridSearchCV(logistic(), {"C": [0.1, 10.0]}, cv=2)
    al = loop(inner, EntropySampling(), n_initial=30).fit(X_IRIS, Y_IRIS)
    assert al.estimator_.best_params_["C"] in (0.1, 10.0)
    assert al.n_labels_ == 42


@pytest.mark.parametrize(
    "strategy",
    [
        modal_margin_sampling,
        modal_entropy_sampling,
        partial(modal_margin_sampling, n_instances=1),
        margin_sampling,
        partial(decern_sampling, xi=0.5, random_state=0),
        partial(DECERN(), xi=0.5),
        LeastConfidence(),
    ],
)
def test_functions_in_the_slot(strategy):
    al = loop(query_strategy=strategy).fit(X_IRIS, Y_IRIS)
    assert al.n_labels_ == 24
    copied = pickle.loads(pickle.dumps(clone(al).fit(X_IRIS, Y_IRIS)))
    assert_array_equal(copied.predict_proba(X_IRIS), al.predict_proba(X_IRIS))


def test_modal_function_equals_the_class():
    ours = loop(n_instances=1).fit(X_IRIS, Y_IRIS)
    theirs = loop(query_strategy=modal_margin_sampling, n_instances=1).fit(X_IRIS, Y_IRIS)
    assert_array_equal(ours.queried_idx_, theirs.queried_idx_)


@pytest.mark.parametrize("form", ["scalar", "mask", "list"])
def test_other_answers_of_a_function(form):
    def strategy(classifier, X, n_instances=1):
        if form == "scalar":
            return 7 if not STRATEGIES_RETURN_PAIRS else (7, 0.0)
        idx = np.arange(len(X)) < n_instances if form == "mask" else list(range(n_instances))
        return (idx, None) if STRATEGIES_RETURN_PAIRS else idx

    al = loop(query_strategy=strategy).fit(X_IRIS, Y_IRIS)
    assert al.n_labels_ == (15 if form == "scalar" else 24)
    assert len(set(al.queried_idx_)) == al.n_labels_


@pytest.mark.parametrize("bad", [[0, 0], [-1], [1000], [], [0.5], [[0, 1]]])
def test_a_strategy_that_answers_nonsense(bad):
    # What is no position at all fails in the learner already, where it takes the rows.
    message = "unique positions in its pool of 138 samples. Got|out of bounds|Rows are taken by"
    with pytest.raises((ValueError, IndexError), match=message):
        loop(query_strategy=lambda c, X, n_instances=1: answer(bad)).fit(X_IRIS, Y_IRIS)


def test_exceptions_of_a_strategy_pass_through():
    def interrupted(classifier, X, n_instances=1):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop(query_strategy=interrupted).fit(X_IRIS, Y_IRIS)


# -- what samples may be ---------------------------------------------------------------------------


def test_data_frames_keep_their_kind(spy):
    frame = pd.DataFrame(X_IRIS, columns=list("abcd"), index=np.arange(150)[::-1] + 1000)
    named = loop().fit(frame, pd.Series(Y_IRIS, index=frame.index))
    assert_array_equal(named.feature_names_in_, list("abcd"))
    assert named.n_features_in_ == 4
    assert_array_equal(named.queried_idx_, loop().fit(X_IRIS, Y_IRIS).queried_idx_)
    assert_array_equal(named.estimator_.feature_names_in_, list("abcd"))
    numbered = loop().fit(pd.DataFrame(X_IRIS), Y_IRIS)
    assert_array_equal(numbered.queried_idx_, named.queried_idx_)
    loop(spy, last_rows).fit(frame, Y_IRIS)
    assert all(isinstance(call["X"], pd.DataFrame) for call in Spy.calls)
    # A second fit without names forgets those of the first.
    assert not hasattr(clone(named).fit(frame, Y_IRIS).fit(X_IRIS, Y_IRIS), "feature_names_in_")
    images = X_IRIS.reshape(150, 1, 2, 2)
    al = loop(spy, last_rows).fit(frame, Y_IRIS).fit(images, Y_IRIS)
    assert not hasattr(al, "feature_names_in_") and not hasattr(al, "n_features_in_")


@pytest.mark.parametrize("container", ["csr_matrix", "csc_array", "coo_array", "bsr_array", "lil_matrix"])
def test_sparse(container):
    al, dense = loop().fit(getattr(sp, container)(X_IRIS), Y_IRIS), loop().fit(X_IRIS, Y_IRIS)
    assert_array_equal(np.sort(al.queried_idx_), np.sort(dense.queried_idx_))
    assert_allclose(al.predict_proba(sp.csr_matrix(X_IRIS)), dense.predict_proba(X_IRIS), atol=1e-6)


def test_texts():
    texts = ["good film", "bad film", "good plot", "bad plot", "very good", "very bad"] * 5
    y = np.array(["pos", "neg"] * 15)
    al = loop(make_pipeline(CountVectorizer(), logistic()), n_initial=4, n_instances=2).fit(texts, y)
    assert al.n_labels_ == 10
    assert not hasattr(al, "n_features_in_")
    assert_array_equal(al.predict(["good good", "bad bad"]), ["pos", "neg"])


def test_lists_of_numbers():
    al = loop().fit(X_IRIS.tolist(), Y_IRIS.tolist())
    assert_array_equal(al.queried_idx_, loop().fit(X_IRIS, Y_IRIS).queried_idx_)


def test_tensors_and_dicts():
    tensor = torch.tensor(X_IRIS, dtype=torch.float32)
    with torch.random.fork_rng():
        runs = [loop(tiny_net(), n_initial=20).fit(X, Y_IRIS) for X in (X_IRIS, tensor, {"X": tensor})]
        for al, X in zip(runs, (X_IRIS, tensor, {"X": tensor}), strict=True):
            assert_array_equal(al.queried_idx_, runs[0].queried_idx_)
            assert_allclose(al.predict_proba(X), runs[0].predict_proba(X_IRIS), atol=1e-6)


def test_images(spy):
    images = X_IRIS.astype(np.float32).reshape(150, 1, 2, 2)
    al = loop(spy, last_rows).fit(images, Y_IRIS)
    assert_array_equal(Spy.calls[-1]["X"], images[al.queried_idx_])
    assert not hasattr(al, "n_features_in_")
    with torch.random.fork_rng():
        net = loop(tiny_net(), MarginSampling(), n_initial=30).fit(images, Y_IRIS)
        assert net.predict_proba(images).shape == (150, 5)
        search = GridSearchCV(net, {"estimator__lr": [0.01, 0.1]}, cv=2, error_score="raise")
        assert search.fit(images, Y_IRIS).best_params_


def test_string_labels():
    names = np.array(["setosa", "versicolor", "virginica"])[Y_IRIS]
    al = loop(query_strategy=DECERN()).fit(X_IRIS, names)
    assert_array_equal(al.classes_, np.unique(names))
    assert_array_equal(al.queried_idx_, loop(query_strategy=DECERN()).fit(X_IRIS, Y_IRIS).queried_idx_)
    assert al.score(X_IRIS, names) > 0.8
    objects = loop().fit(X_IRIS, names.astype(object))
    assert_array_equal(objects.predict(X_IRIS), loop().fit(X_IRIS, pd.Series(names)).predict(X_IRIS))


def test_missing_values_where_the_estimator_takes_them():
    X = X_IRIS.copy()
    X[::7, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        loop(query_strategy=RandomSampling()).fit(X, Y_IRIS)
    trees = HistGradientBoostingClassifier(max_iter=3)
    imputing = make_pipeline(SimpleImputer(), logistic())
    searches = GridSearchCV(trees, {"max_iter": [2, 3]}, cv=2), GridSearchCV(imputing, {}, cv=2)
    for estimator in (trees, imputing, *searches):
        al = loop(estimator, MarginSampling(), n_initial=40, n_queries=1).fit(X, Y_IRIS)
        assert al.n_labels_ == 44


def test_mixed_columns():
    frame = pd.DataFrame({"size": X_IRIS[:, 2], "kind": np.where(X_IRIS[:, 3] > 1, "wide", "thin")})
    encoder = OneHotEncoder(handle_unknown="ignore")
    encode = make_column_transformer((encoder, ["kind"]), remainder="passthrough")
    al = loop(make_pipeline(encode, logistic())).fit(frame, Y_IRIS)
    assert al.score(frame, Y_IRIS) > 0.8


# -- keyword arguments of fit ----------------------------------------------------------------------


def test_fit_params_are_cut_to_the_labelled_rows(spy):
    weight, groups = np.arange(150.0), [f"g{i}" for i in range(150)]
    al = loop(spy, last_rows).fit(X_IRIS, Y_IRIS, sample_weight=weight, groups=groups, note="as it is")
    for call, step in zip(Spy.calls, al.history_, strict=True):
        labelled = al.queried_idx_[: step["n_labels"]]
        assert_array_equal(call["sample_weight"], weight[labelled])
        assert call["groups"] == [groups[i] for i in labelled]
        assert call["note"] == "as it is"


def test_sample_weight_counts():
    weight = np.where(Y_IRIS == 0, 1e-9, 1.0)
    al = loop(query_strategy=first_rows, n_initial=60).fit(X_IRIS, Y_IRIS, sample_weight=weight)
    assert al.predict_proba(X_IRIS)[:, 0].max() < 0.5
    plain = clone(al).fit(X_IRIS, Y_IRIS)
    assert plain.predict_proba(X_IRIS)[:, 0].max() > 0.9


def test_unknown_fit_parameter():
    with pytest.raises(TypeError, match="sampel_weight"):
        loop().fit(X_IRIS, Y_IRIS, sampel_weight=np.ones(150))


def test_metadata_routing(spy):
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
            loop(spy, last_rows).fit(X_IRIS, Y_IRIS, sample_weight=np.ones(150))
        asks = loop(Spy().set_fit_request(sample_weight=True), last_rows)
        assert "sample_weight" in get_routing_for_object(asks).consumes("fit", ["sample_weight", "other"])
        weight = np.arange(150.0)
        asks.fit(X_IRIS, Y_IRIS, eval_set=(X_IRIS, Y_IRIS), sample_weight=weight)
        assert_array_equal(Spy.calls[-1]["sample_weight"], weight[asks.queried_idx_])
        assert "score" in asks.history_[0]
        Spy.calls.clear()
        asks.set_score_request(sample_weight=False)
        search = GridSearchCV(asks, {"n_queries": [1]}, cv=2, error_score="raise")
        search.fit(X_IRIS, Y_IRIS, sample_weight=weight)
        assert len(Spy.calls) == 6 and all(call["sample_weight"] is not None for call in Spy.calls)


# -- protocol --------------------------------------------------------------------------------------


def test_clone_pickle_repr():
    al = loop(query_strategy=DECERN(xi=0.3))
    assert repr(al).startswith("ActiveLearningClassifier(estimator=LogisticRegression(")
    assert "DECERN(xi=0.3)" in repr(al)
    assert is_classifier(al)
    twin = clone(al)
    assert twin.query_strategy is not al.query_strategy and twin.query_strategy.xi == 0.3
    al.fit(X_IRIS, Y_IRIS)
    for again in (pickle.loads(pickle.dumps(al)), copy.deepcopy(al)):
        assert_array_equal(again.predict_proba(X_IRIS), al.predict_proba(X_IRIS))
        assert_array_equal(again.query_round_, al.query_round_)
    assert not hasattr(clone(al), "estimator_")


def test_methods_follow_the_estimator():
    svm = loop(LinearSVC(), RandomSampling())
    for al in (svm, clone(svm).fit(X_IRIS, Y_IRIS)):
        assert hasattr(al, "decision_function") and not hasattr(al, "predict_proba")
        assert not hasattr(al, "predict_log_proba")
    tree = loop(DecisionTreeClassifier())
    assert hasattr(tree, "predict_proba") and not hasattr(tree, "decision_function")
    with pytest.raises(AttributeError, match="predict_proba"):
        svm.predict_proba(X_IRIS)
    for method in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError, match="ActiveLearningClassifier"):
            getattr(tree, method)(X_IRIS)


def test_tags_follow_the_estimator():
    tags = sklearn.utils.get_tags(loop(HistGradientBoostingClassifier()))
    assert tags.input_tags.allow_nan and not tags.input_tags.sparse
    assert sklearn.utils.get_tags(loop()).input_tags.sparse
    assert tags.estimator_type == "classifier"


def test_progress_bar(capfd):
    loop(verbose=0).fit(X_IRIS, Y_IRIS)
    assert capfd.readouterr() == ("", "")
    loop(verbose=1).fit(X_IRIS, Y_IRIS)
    out, err = capfd.readouterr()
    assert out == "" and "4/4" in err and "labels=24" in err


# -- errors ----------------------------------------------------------------------------------------

NAN = np.where(np.arange(600).reshape(150, 4) == 5, np.nan, X_IRIS)
INF = np.where(np.arange(600).reshape(150, 4) == 5, np.inf, X_IRIS)


@pytest.mark.parametrize(
    ("params", "X", "y", "error", "message"),
    [
        ({"n_initial": 0}, X_IRIS, Y_IRIS, ValueError, "'n_initial' parameter of ActiveLearningClass"),
        ({"n_initial": 1.5}, X_IRIS, Y_IRIS, ValueError, r"range \(0.*1.*\]. Got 1.5 instead"),
        ({"n_instances": 0.0}, X_IRIS, Y_IRIS, ValueError, "'n_instances' parameter of"),
        ({"n_instances": "5"}, X_IRIS, Y_IRIS, ValueError, "'n_instances' parameter of"),
        ({"n_queries": -1}, X_IRIS, Y_IRIS, ValueError, "'n_queries' parameter of"),
        ({"n_queries": 2.5}, X_IRIS, Y_IRIS, ValueError, "'n_queries' parameter of"),
        ({"random_state": "x"}, X_IRIS, Y_IRIS, ValueError, "'random_state' parameter of"),
        ({"verbose": -1}, X_IRIS, Y_IRIS, ValueError, "'verbose' parameter of"),
        ({"estimator": StandardScaler()}, X_IRIS, Y_IRIS, ValueError, "'estimator' parameter of"),
        ({"query_strategy": "margin"}, X_IRIS, Y_IRIS, ValueError, "'query_strategy' parameter of"),
        ({"query_strategy": DECERN}, X_IRIS, Y_IRIS, TypeError, r"Got the class DECERN; write DECERN\(\)"),
        ({"init_strategy": DECERN}, X_IRIS, Y_IRIS, TypeError, r"'init_strategy' parameter .* class DECERN"),
        ({"init_strategy": "random"}, X_IRIS, Y_IRIS, ValueError, "'init_strategy' parameter of"),
        ({"query_strategy": DECERN(xi=2)}, X_IRIS, Y_IRIS, ValueError, "'xi' parameter of DECERN"),
        ({}, NAN, Y_IRIS, ValueError, "contains NaN"),
        ({}, INF, Y_IRIS, ValueError, "infinity"),
        ({}, X_IRIS[:0], Y_IRIS[:0], ValueError, "at least one sample|0 sample"),
        ({}, X_IRIS[0], Y_IRIS[:4], ValueError, "Expected 2D array"),
        ({}, X_IRIS, Y_IRIS[:10], ValueError, r"150, 10|inconsistent"),
        ({}, X_IRIS, None, ValueError, "requires y to be passed"),
        ({}, X_IRIS, X_IRIS[:, 0], ValueError, "Unknown label type"),
        ({}, X_IRIS, np.eye(3)[Y_IRIS], ValueError, "1d array"),
        ({"estimator": RandomForestClassifier()}, X_IRIS, Y_IRIS, TypeError, "DECERN needs a differentiable"),
    ],
)
def test_errors(params, X, y, error, message):
    al = loop(query_strategy=DECERN()).fit(X_IRIS, Y_IRIS)
    before = {name: value for name, value in vars(al).items() if name.endswith("_")}
    al.set_params(**params)
    with pytest.raises(error, match=message):
        al.fit(X, y)
    after = {name: value for name, value in vars(al).items() if name.endswith("_")}
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)


def test_errors_when_predicting():
    al = loop().fit(pd.DataFrame(X_IRIS, columns=list("abcd")), Y_IRIS)
    with pytest.raises(ValueError, match="X has 3 features, but ActiveLearningClassifier is expecting 4"):
        loop().fit(X_IRIS, Y_IRIS).predict(X_IRIS[:, :3])
    with pytest.raises(ValueError, match="feature names should match"):
        al.predict(pd.DataFrame(X_IRIS, columns=list("abdc")))
    with pytest.raises(TypeError):
        ActiveLearningClassifier(logistic(), MarginSampling(), 10)


def test_decision_values_that_cannot_be_mapped():
    X, y = make_blobs(60, centers=5, random_state=0)
    known = [np.flatnonzero(y == label)[0] for label in range(4)]
    al = loop(SVC(decision_function_shape="ovo"), RandomSampling(), n_queries=0, n_initial=4)
    al.set_params(init_strategy=lambda c, X, n_instances=1: answer(known)).fit(X, y)
    with pytest.raises(ValueError, match="one column for each of its 4 classes"):
        al.decision_function(X)


def test_strategy_and_estimator_have_streams_of_their_own():
    """From one seed: equal seeds would tie the strategy's draws to the model's."""
    X, y = load_iris(return_X_y=True)
    loop = ActiveLearningClassifier(
        LogisticRegression(max_iter=200), RandomSampling(), n_initial=10, n_instances=5, n_queries=1, random_state=0
    ).fit(X, y)
    seeds = loop.estimator_.random_state, loop.learner_.query_strategy.random_state
    assert None not in seeds
    assert seeds[0] != seeds[1]
    again = clone(loop).fit(X, y)
    assert seeds == (again.estimator_.random_state, again.learner_.query_strategy.random_state)
