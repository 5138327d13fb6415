"""Stopping criteria: hand-worked values, slow loops, limits, errors, and what they leave as it was."""

import copy
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from modAL.models import ActiveLearner as ModALLearner
from modAL.models import Committee
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skal.exceptions import PoolCapabilityError
from skal.labeling import (
    AllOf,
    AnyOf,
    ClassificationChange,
    ExpectedGain,
    OverallUncertainty,
    StabilizedPredictions,
    StoppingCriterion,
    StoppingReport,
)
from skal.learners import ActiveLearner, simulate
from skal.nets import DeepClassifier
from skal.strategies import MarginSampling
from skal.testing import FakePool

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])


class Known(ClassifierMixin, BaseEstimator):
    """Predicts what it is told, by the number of the sample, in whatever order the samples come."""

    def __init__(self, labels):
        self.labels = labels
        self.classes_ = np.unique(labels)

    def predict(self, X):
        return np.asarray(self.labels)[np.asarray(X)[:, 0].astype(int)]

    def __sklearn_is_fitted__(self):
        return True


def pool_of(*numbers):
    return np.array(numbers, dtype=float)[:, None]


def learner_of(step=10, estimator=None, y=Y):
    estimator = LogisticRegression(max_iter=1000) if estimator is None else estimator
    return ActiveLearner(estimator, MarginSampling(random_state=0), X_training=X[::step], y_training=y[::step])


def criteria():
    return [
        OverallUncertainty(),
        OverallUncertainty(measure="margin", threshold=0.3),
        ClassificationChange(),
        StabilizedPredictions(n_stop=40, window=2, random_state=0),
        ExpectedGain(min_rounds=3, cv=3, random_state=0),
        AnyOf([OverallUncertainty(), ClassificationChange(patience=2)]),
        AllOf([StabilizedPredictions(n_stop=40, random_state=0), AnyOf([ExpectedGain(cv=2, random_state=0)])]),
    ]


IDS = [f"{i}-{type(one).__name__}" for i, one in enumerate(criteria())]


def run(criterion, container=lambda X: X, estimator=None, n_queries=5):
    """Reports of a criterion that watches a simulation, with a pool that shrinks."""
    estimator = LogisticRegression(max_iter=1000) if estimator is None else estimator
    learner, reports = ActiveLearner(estimator, MarginSampling(random_state=0)), []
    for step in simulate(learner, X, Y, n_initial=12, n_instances=8, n_queries=n_queries, random_state=1):
        rest = np.setdiff1d(np.arange(len(X)), step.labeled)
        reports.append(criterion.update(learner, container(X[rest])))
    return reports


def same(first, second):
    """Equality of reports, or lists of them, whose value may be NaN."""
    first, second = (
        [tuple(report) for report in given] if isinstance(given, list) else tuple(given) for given in (first, second)
    )
    return repr(first) == repr(second)


# -- overall uncertainty -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        # Two classes: sure, and (0.75, 0.25).
        ("entropy", (0.75 * np.log2(4 / 3) + 0.25 * 2) / 2),
        ("least_confidence", 0.25),
        ("margin", 0.25),
    ],
)
def test_overall_uncertainty_by_hand(measure, value):
    fake = FakePool(proba=[[1, 0], [0.75, 0.25]], classes=["a", "b"])
    report = OverallUncertainty(measure=measure, threshold=0.5).update(fake, fake.X)
    assert_allclose(report.value, value)
    assert report.stop is True
    assert report.reason == f"The mean uncertainty of the pool is {value:.4g}, below 0.5."


@pytest.mark.parametrize("measure", ["entropy", "least_confidence", "margin"])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_overall_uncertainty_is_one_for_a_model_that_knows_nothing_and_zero_for_one_that_is_sure(measure, n_classes):
    for proba, value in ((np.full((4, n_classes), 1 / n_classes), 1.0), (np.eye(n_classes), 0.0)):
        fake = FakePool(proba=proba)
        assert_allclose(OverallUncertainty(measure=measure).update(fake, fake.X).value, value, atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_overall_uncertainty_equals_a_slow_loop(n_classes):
    proba = np.random.default_rng(0).dirichlet(np.full(n_classes, 0.3), size=70_000)
    proba[:5] = np.eye(n_classes)[0]
    fake, total = FakePool(proba=proba), {"entropy": 0.0, "least_confidence": 0.0, "margin": 0.0}
    for row in proba.tolist():
        first, second = sorted(row, reverse=True)[:2]
        total["entropy"] -= sum(p * np.log(p) for p in row if p > 0) / np.log(n_classes)
        total["least_confidence"] += (1 - first) / (1 - 1 / n_classes)
        total["margin"] += 1 - (first - second)
    for measure, value in total.items():
        assert_allclose(OverallUncertainty(measure=measure).update(fake, fake.X).value, value / len(proba))


def test_overall_uncertainty_stops_below_its_threshold_and_not_at_it():
    fake = FakePool(proba=[[0.75, 0.25]], classes=["a", "b"])
    at, above = (OverallUncertainty(measure="margin", threshold=t).update(fake, fake.X) for t in (0.5, 0.51))
    assert (at.stop, above.stop) == (False, True)
    assert at.reason == "The mean uncertainty of the pool is 0.5, not below 0.5."


def test_overall_uncertainty_names_itself_where_there_are_no_probabilities():
    with pytest.raises(PoolCapabilityError, match="^OverallUncertainty needs class probabilities, which LinearSVC"):
        OverallUncertainty().update(learner_of(estimator=LinearSVC()), X)


# -- classification change -----------------------------------------------------------------------------------------


def test_classification_change_compares_the_samples_of_both_pools():
    criterion = ClassificationChange()
    first = criterion.update(Known(list("aabbab")), pool_of(0, 1, 2, 3, 4))
    assert same(first, (False, np.nan, "This is the first round: there is nothing to compare with."))
    # 1 has left, 5 is new, 4 is another now; the order does not count.
    second = criterion.update(Known(list("abbbba")), pool_of(5, 4, 3, 2, 0))
    assert second == StoppingReport(False, 1 / 4, "1 of 4 predictions has changed since the last round.")
    # 0 is another.
    third = criterion.update(Known(list("bbbbba")), pool_of(0, 2, 4))
    assert third == (False, 1 / 3, "1 of 3 predictions has changed since the last round.")
    assert criterion.update(Known(list("bbbaba")), pool_of(0, 2)) == (
        True, 0.0, "No prediction has changed since the last round.",
    )  # fmt: skip


def test_tolerance_and_patience_of_classification_change():
    labels = ["abab", "abaa", "abab", "abab", "bbbb"]
    criterion = ClassificationChange(tolerance=0.25, patience=2)
    reports = [criterion.update(Known(list(row)), pool_of(0, 1, 2, 3)) for row in labels[:4]]
    assert [report.stop for report in reports] == [False, False, True, True]
    assert reports[1].reason == ("1 of 4 predictions has changed since the last round, 1 of 2 rounds without a change.")
    # More than the tolerance begins the count anew.
    assert criterion.update(Known(list("babb")), pool_of(0, 1, 2, 3)).reason == (
        "3 of 4 predictions have changed since the last round, 0 of 2 rounds without a change."
    )
    assert not criterion.update(Known(list("babb")), pool_of(0, 1, 2, 3)).stop
    assert criterion.update(Known(list("babb")), pool_of(0, 1, 2, 3)).stop


def test_classification_change_counts_duplicates_once_and_says_where_nothing_is_shared():
    criterion = ClassificationChange()
    criterion.update(Known(list("ab")), pool_of(0, 0, 0, 1))
    assert criterion.update(Known(list("aab")), pool_of(0, 0, 1)).value == 0.5
    report = criterion.update(Known(list("aab")), pool_of(2))
    assert same(report, (False, np.nan, "The pool shares no sample with that of the last round."))


def test_classification_change_equals_a_slow_loop():
    rng, criterion, last = np.random.default_rng(0), ClassificationChange(), {}
    for _ in range(20):
        labels, numbers = rng.integers(0, 3, size=50), rng.choice(50, size=rng.integers(20, 50), replace=False)
        report = criterion.update(Known(labels), pool_of(*numbers))
        now = {number: labels[number] for number in numbers}
        shared = [number for number in now if number in last]
        changed = sum(now[number] != last[number] for number in shared)
        if shared:
            assert report.value == changed / len(shared)
        last = now


# -- stabilized predictions ----------------------------------------------------------------------------------------


def test_kappa_by_hand():
    """Three of four agree; by chance (1/2 * 3/4 + 1/2 * 1/4) would: (3/4 - 1/2) / (1 - 1/2)."""
    criterion = StabilizedPredictions(window=1, threshold=0.5)
    criterion.update(Known(list("aabb")), pool_of(0, 1, 2, 3))
    report = criterion.update(Known(list("aaab")), pool_of(0))
    assert report == (True, 0.5, "The mean kappa of the last 1 rounds is 0.5, which reaches 0.5.")
    assert criterion.kappas_ == [0.5]


def test_kappa_equals_that_of_scikit_learn_and_a_window_is_averaged():
    rng, criterion = np.random.default_rng(1), StabilizedPredictions(window=3, threshold=0.3, random_state=0)
    labels = [rng.choice(["x", "yy", "z"], size=60, p=[0.6, 0.3, 0.1]) for _ in range(7)]
    reports = [criterion.update(Known(row), pool_of(*range(60))) for row in labels]
    kappas = [cohen_kappa_score(a, b) for a, b in itertools.pairwise(labels)]
    assert_allclose(criterion.kappas_, kappas)
    assert_allclose([report.value for report in reports], [np.nan] * 3 + [np.mean(kappas[i : i + 3]) for i in range(4)])
    assert reports[2].reason == "2 of the 3 agreements between successive models that it takes are there."
    assert reports[6].reason == f"The mean kappa of the last 3 rounds is {reports[6].value:.4g}, below 0.3."


@pytest.mark.parametrize(
    ("before", "after", "kappa"), [("abab", "abab", 1), ("abab", "baba", -1), ("aaaa", "aaaa", 0), ("aaaa", "bbbb", 0)]
)
def test_limits_of_kappa(before, after, kappa):
    criterion = StabilizedPredictions(window=1, threshold=1)
    # A fifth sample that is not in the stop set lets the models know two classes.
    criterion.update(Known([*before, "a", "b"]), pool_of(0, 1, 2, 3))
    report = criterion.update(Known([*after, "a", "b"]), pool_of(0))
    assert report.value == kappa
    assert report.stop == (kappa == 1)


def test_the_stop_set_is_drawn_once_and_its_samples_stay_whatever_leaves_the_pool():
    criterion = StabilizedPredictions(n_stop=10, window=1, random_state=3)
    pool = pool_of(*range(40))
    criterion.update(Known([0, 1] * 20), pool)
    drawn = criterion.stop_set_.copy()
    assert len(np.unique(drawn)) == 10
    assert set(drawn[:, 0]) != set(range(10))
    pool[:] = -1  # the rows are a copy
    flipped = np.array([0, 1] * 20)
    flipped[int(drawn[4, 0])] ^= 1
    report = criterion.update(Known(flipped), pool_of(0, 1))
    assert np.array_equal(criterion.stop_set_, drawn)
    before, after = (np.asarray(labels)[drawn[:, 0].astype(int)] for labels in ([0, 1] * 20, flipped))
    assert_allclose(report.value, cohen_kappa_score(before, after))
    other = StabilizedPredictions(n_stop=10, random_state=4)
    other.update(Known([0, 1] * 20), pool_of(*range(40)))
    assert set(other.stop_set_[:, 0]) != set(drawn[:, 0])
    whole = StabilizedPredictions(random_state=0)
    whole.update(Known([0, 1] * 20), pool_of(*range(40)))
    assert len(whole.stop_set_) == 40


# -- any of, all of ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thresholds", "any_", "all_"), [((0.1, 0.2), False, False), ((0.1, 0.6), True, False), ((0.6, 0.7), True, True)]
)
def test_any_and_all(thresholds, any_, all_):
    fake = FakePool(proba=[[0.75, 0.25]], classes=["a", "b"])
    parts = [OverallUncertainty(measure="margin", threshold=threshold) for threshold in thresholds]
    n_stops = sum(threshold > 0.5 for threshold in thresholds)
    for criterion, stop in ((AnyOf(parts), any_), (AllOf(parts), all_)):
        report = criterion.update(fake, fake.X)
        assert report[:2] == (stop, n_stops / 2)
        assert report.reason == f"{n_stops} of 2 criteria say stop. " + " ".join(
            f"OverallUncertainty: {part.reason}" for part in criterion.reports_
        )
    assert fake.asked["proba"] == 1


def test_combined_criteria_keep_the_rounds_in_clones():
    part = ClassificationChange()
    criterion = AnyOf([part])
    for _ in range(2):
        report = criterion.update(Known(list("ab")), pool_of(0, 1))
    assert report.stop
    assert vars(part) == {"tolerance": 0.0, "patience": 1}
    assert criterion.criteria_[0].n_unchanged_ == 1
    assert not clone(criterion).update(Known(list("ab")), pool_of(0, 1)).stop


def test_a_criterion_that_fails_takes_no_round_from_the_others():
    criterion = AnyOf([ClassificationChange(), OverallUncertainty()])
    learner = learner_of()
    criterion.update(learner, X)
    before = pickle.dumps(criterion)
    with pytest.raises(PoolCapabilityError):
        criterion.update(learner_of(9, LinearSVC()), X)
    assert pickle.dumps(criterion) == before


# -- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", criteria(), ids=IDS)
def test_a_run_repeats_and_clone_and_pickle_behave(criterion):
    params = copy.deepcopy(criterion.get_params(deep=False))
    reports = run(criterion)
    assert all(isinstance(report, StoppingReport) and bool(report) is report.stop for report in reports)
    assert all(isinstance(report.value, float) and report.reason.endswith(".") for report in reports)
    assert repr(criterion.get_params(deep=False)) == repr(params)
    fresh = clone(criterion)
    assert not [name for name in vars(fresh) if name.endswith("_")]
    assert same(run(fresh), reports)
    # Half of a run, then a copy from disk, then the rest.
    learner, halves, one = (
        ActiveLearner(LogisticRegression(max_iter=1000), MarginSampling(random_state=0)),
        [],
        clone(criterion),
    )
    for step in simulate(learner, X, Y, n_initial=12, n_instances=8, n_queries=5, random_state=1):
        one = pickle.loads(pickle.dumps(one))
        halves.append(one.update(learner, X[np.setdiff1d(np.arange(len(X)), step.labeled)]))
    assert same(halves, reports)


@pytest.mark.parametrize("criterion", criteria(), ids=IDS)
def test_learner_pool_and_global_generators_stay(criterion):
    learner, pool = learner_of(estimator=RandomForestClassifier(5)), X[1::2].copy()
    learner.teach(X[1:2], Y[1:2])
    np_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    before, data = pickle.dumps(learner), pool.copy()
    criterion.update(learner, pool)
    assert pickle.dumps(learner) == before
    assert np.array_equal(pool, data)
    assert all(np.array_equal(a, b) for a, b in zip(np_state, np.random.get_state()))  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())


@pytest.mark.parametrize("criterion", criteria(), ids=IDS)
@pytest.mark.parametrize("container", [pd.DataFrame, sp.csr_matrix, np.ndarray.tolist], ids=["frame", "sparse", "list"])
def test_containers_give_the_same_reports(criterion, container):
    plain, other = clone(criterion), clone(criterion)
    for step in (15, 10, 7, 5):
        if container is pd.DataFrame:
            learner = ActiveLearner(
                LogisticRegression(max_iter=1000), X_training=container(X[::step]), y_training=pd.Series(Y[::step])
            )
        elif container is sp.csr_matrix:
            learner = ActiveLearner(
                LogisticRegression(max_iter=1000), X_training=container(X[::step]), y_training=Y[::step]
            )
        else:
            learner = ActiveLearner(
                LogisticRegression(max_iter=1000), X_training=container(X[::step]), y_training=Y[::step].tolist()
            )
        one, two = plain.update(learner_of(step), X[1::2]), other.update(learner, container(X[1::2]))
        assert (one.stop, one.reason) == (two.stop, two.reason)
        assert_allclose(one.value, two.value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("criterion", criteria(), ids=IDS)
def test_names_of_classes_and_pipelines(criterion):
    other, estimator = clone(criterion), make_pipeline(StandardScaler(), LogisticRegression())
    for step in (15, 10, 7, 5):
        one = criterion.update(learner_of(step, clone(estimator)), X)
        two = other.update(learner_of(step, clone(estimator), NAMES[Y]), X)
        assert same(one, two)


@pytest.mark.parametrize("criterion", criteria()[:4], ids=IDS[:4])
@pytest.mark.parametrize("kind", ["estimator", "modal", "committee", "net"])
def test_other_models(criterion, kind):
    for step in (15, 10, 5):
        if kind == "estimator":
            model = LogisticRegression(max_iter=1000).fit(X[::step], Y[::step])
        elif kind == "modal":
            model = ModALLearner(LogisticRegression(max_iter=1000), X_training=X[::step], y_training=Y[::step])
        elif kind == "committee":
            model = Committee(
                [ModALLearner(RandomForestClassifier(3, random_state=0), X_training=X[::step], y_training=Y[::step])]
            )
        else:
            net = DeepClassifier(torch.nn.Linear(4, 3), classes=range(3), max_epochs=2, random_state=0)
            model = ActiveLearner(net, X_training=X[::step].astype(np.float32), y_training=Y[::step])
        report = criterion.update(model, torch.tensor(X, dtype=torch.float32) if kind == "net" else X)
    assert isinstance(report, StoppingReport)
    if isinstance(criterion, OverallUncertainty):
        assert 0 < report.value < 1
    if isinstance(criterion, ClassificationChange):
        labels = model.predict(X.astype(np.float32) if kind == "net" else X)
        assert np.array_equal(criterion.predictions_, labels)


@pytest.mark.parametrize("criterion", criteria(), ids=IDS)
def test_untrained_learners_one_class_and_empty_pools(criterion):
    cold = ActiveLearner(LogisticRegression(), MarginSampling())
    for learner in (cold, LogisticRegression()):
        assert same(criterion.update(learner, X), (False, np.nan, "LogisticRegression has not been trained yet."))
    one_class = ActiveLearner(RandomForestClassifier(3), X_training=X[:9], y_training=Y[:9])
    assert same(criterion.update(one_class, X), (False, np.nan, "RandomForestClassifier has seen one class only."))
    done = criterion.update(learner_of(), X[:0])
    assert same(done, (True, np.nan, "The pool is empty: there is nothing left to label."))
    assert not [name for name in vars(criterion) if name.endswith("_")]


@pytest.mark.parametrize("criterion", criteria()[2:5], ids=IDS[2:5])
def test_an_update_without_new_labels_is_no_round(criterion):
    learner = learner_of()
    reports = [criterion.update(learner, X) for _ in range(5)]
    assert same(reports, [reports[0]] * 5)
    assert not reports[0].stop


@pytest.mark.parametrize("criterion", criteria(), ids=IDS)
def test_bad_input_is_one_sentence_and_no_round(criterion):
    name, learner = type(criterion).__name__, learner_of()
    criterion.update(learner, X)
    before = pickle.dumps(criterion)
    with pytest.raises(ValueError, match=f"^X_eval and y_eval of {name} must be given together or not at all. Got one"):
        criterion.update(learner, X, X_eval=X)
    with pytest.raises(ValueError, match=f"^X_eval and y_eval of {name} must hold the same number.* Got 150 and 3.$"):
        criterion.update(learner, X, X_eval=X, y_eval=Y[:3])
    with pytest.raises(ValueError, match="at least one. Got 0 and 0.$"):
        criterion.update(learner, X, X_eval=X[:0], y_eval=Y[:0])
    with pytest.raises(ValueError, match="^X has 3 features per sample, but the labelled data has 4 features.$"):
        criterion.update(learner_of(9), X[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        criterion.update(learner_of(9), np.where(X > 7, np.nan, X))
    assert pickle.dumps(criterion) == before


@pytest.mark.parametrize(
    ("criterion", "words"),
    [
        (
            OverallUncertainty(threshold=2),
            "The 'threshold' parameter of OverallUncertainty must be a float in the range",
        ),
        (OverallUncertainty(measure="x"), "The 'measure' parameter of OverallUncertainty must be a str among"),
        (ClassificationChange(tolerance=1), "The 'tolerance' parameter of ClassificationChange must be a float"),
        (ClassificationChange(patience=0), "The 'patience' parameter of ClassificationChange must be an int"),
        (StabilizedPredictions(threshold=0), "The 'threshold' parameter of StabilizedPredictions must be a float"),
        (StabilizedPredictions(window=0), "The 'window' parameter of StabilizedPredictions must be an int"),
        (StabilizedPredictions(n_stop=0), "The 'n_stop' parameter of StabilizedPredictions must be an int"),
        (StabilizedPredictions(random_state="a"), "The 'random_state' parameter of StabilizedPredictions must be"),
        (ExpectedGain(threshold="a"), "The 'threshold' parameter of ExpectedGain must be a float"),
        (ExpectedGain(n_instances=0), "The 'n_instances' parameter of ExpectedGain must be an int"),
        (ExpectedGain(scoring="x"), "The 'scoring' parameter of ExpectedGain must be a str among"),
        (ExpectedGain(cv=1), "The 'cv' parameter of ExpectedGain must be an int"),
        (ExpectedGain(confidence=1), "The 'confidence' parameter of ExpectedGain must be a float"),
        (ExpectedGain(min_rounds=2), "The 'min_rounds' parameter of ExpectedGain must be an int"),
        (ExpectedGain(n_points=2), "The 'n_points' parameter of ExpectedGain must be an int"),
        (AnyOf("a"), "The 'criteria' parameter of AnyOf must be an instance of"),
        (AllOf([AnyOf([OverallUncertainty(threshold=2)])]), "The 'threshold' parameter of OverallUncertainty"),
    ],
)
def test_parameters_are_checked_before_anything_is_looked_at(criterion, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        criterion.update(None, None)


@pytest.mark.parametrize("criteria", [[], [1], [OverallUncertainty]])
def test_combined_criteria_must_hold_criteria(criteria):
    with pytest.raises(
        TypeError, match="^The 'criteria' parameter of AllOf must hold stopping criteria, at least one. "
    ):
        AllOf(criteria).update(None, None)


@pytest.mark.parametrize("criterion", [ClassificationChange(), StabilizedPredictions()])
def test_predictions_must_be_one_label_a_sample(criterion):
    name = type(criterion).__name__
    with pytest.raises(TypeError, match=f"^{name} must be given a classifier. Got LinearRegression, a regressor.$"):
        criterion.update(LinearRegression().fit(X, Y), X)
    several = RandomForestClassifier(3).fit(X, np.stack([Y, Y], axis=1))
    with pytest.raises(
        TypeError, match=f"^{name} must be given a classifier that predicts one label for each sample. "
    ):
        criterion.update(several, X)


def test_a_criterion_of_ones_own():
    class Enough(StoppingCriterion):
        def _judge(self, pool, X_eval, y_eval):
            return StoppingReport(pool.n_labeled >= 15, float(pool.n_labeled), "Enough.")

    assert Enough().update(learner_of(10), X)
    assert not Enough().update(learner_of(15), X)
    assert AnyOf([Enough()]).update(learner_of(10), X).stop
