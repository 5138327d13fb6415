"""The forecast of the next batch's gain: known curves, a slow loop, coverage, scores and errors."""

import pickle

import numpy as np
import pytest
import torch
from modAL.models import ActiveLearner as ModALLearner
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_score

from skal.labeling import ExpectedGain
from skal.labeling._forecast import forecast_gain
from skal.learners import ActiveLearner
from skal.nets import DeepClassifier
from skal.utils._random import make_generator, sklearn_seed

X, Y = load_iris(return_X_y=True)
ORDER = np.random.default_rng(0).permutation(150)
X, Y = X[ORDER], Y[ORDER]
N = np.arange(20.0, 320, 20)


def learner_of(n, estimator=None):
    estimator = LogisticRegression(max_iter=1000) if estimator is None else estimator
    return ActiveLearner(estimator, X_training=X[:n], y_training=Y[:n])


def scripted(criterion, n_labels, scores):
    """Reports of a criterion that sees these scores."""
    given, reports = iter(scores), []
    criterion.set_params(scoring=lambda estimator, X, y: next(given))
    for n in n_labels:
        reports.append(criterion.update(learner_of(n), X, X_eval=X, y_eval=Y))
    return reports


# -- the forecast --------------------------------------------------------------------------------------------------


def test_curves_of_each_family_are_continued():
    for exponent in np.geomspace(0.05, 4, 32)[[5, 20]]:
        scores = 0.9 - 0.4 * (N / 20) ** -exponent
        truth = 0.4 * ((300 / 20) ** -exponent - (320 / 20) ** -exponent)
        assert_allclose(forecast_gain(N, scores, 20, 0.95).families["power law"], truth, rtol=1e-6)
    for rate in np.geomspace(0.05, 20, 32)[[5, 16]]:
        scores = 0.9 - 0.4 * np.exp(-rate * (N - 20) / 280)
        truth = 0.4 * (np.exp(-rate) - np.exp(-rate * 300 / 280))
        assert_allclose(forecast_gain(N, scores, 20, 0.95).families["exponential"], truth, rtol=1e-6)


def test_a_line_by_hand():
    """What rises by 0.01 a batch: the slowest exponential is all but a line, and the power law bends below it."""
    found = forecast_gain(N, 0.5 + 0.01 * np.arange(15), 20, 0.95)
    assert_allclose(found.families["exponential"], 0.01, rtol=0.05)
    assert found.families["power law"] < found.families["exponential"]
    assert_allclose(found.gain, np.mean(list(found.families.values())))
    assert found.low < found.families["power law"]
    assert found.high > found.families["exponential"]


def test_a_flat_curve_gains_nothing_and_a_falling_one_less():
    flat = forecast_gain(N, np.full(15, 0.8), 20, 0.95)
    assert_allclose([flat.gain, flat.low, flat.high], 0, atol=1e-9)
    assert forecast_gain(N, 0.8 - 0.001 * np.arange(15), 20, 0.95).high < 0


def test_the_families_spread_is_in_the_interval_of_a_curve_without_noise():
    scores = 0.9 - 0.4 * (N / 20) ** -np.geomspace(0.05, 4, 32)[15]
    found = forecast_gain(N, scores, 20, 0.95)
    power, exponential = found.families["power law"], found.families["exponential"]
    assert power > 1.5 * exponential
    assert found.low < exponential < power <= found.high * (1 + 1e-6)


def test_forecast_equals_a_slow_loop():
    rng = np.random.default_rng(0)
    for n_points, step, confidence in ((3, 10, 0.8), (6, 20, 0.95), (12, 5, 0.5)):
        n = np.cumsum(rng.integers(5, 30, size=n_points)).astype(float)
        scores = 0.9 - 0.5 * (n / n[0]) ** -0.7 + rng.normal(0, 0.02, size=n_points)
        parts = []
        for family in ("power", "exponential"):
            curves = []
            for parameter in np.geomspace(0.05, 4 if family == "power" else 20, 32):

                def shape(at, family=family, parameter=parameter, n=n):
                    if family == "power":
                        return -((at / n[0]) ** -parameter)
                    return -np.exp(-parameter * (at - n[0]) / (n[-1] - n[0]))

                fit = stats.linregress(shape(n), scores)
                errors = np.sum((scores - fit.intercept - fit.slope * shape(n)) ** 2)
                ahead = shape(n[-1] + step) - shape(n[-1])
                curves.append((errors ** (-n_points / 2), fit.slope * ahead, fit.stderr * ahead))
            total = sum(weight for weight, _, _ in curves)
            parts += [(weight / total / 2, gain, sd) for weight, gain, sd in curves]
        found = forecast_gain(n, scores, step, confidence)
        assert_allclose(found.gain, sum(weight * gain for weight, gain, _ in parts), rtol=1e-5)
        for end, q in ((found.low, (1 - confidence) / 2), (found.high, (1 + confidence) / 2)):
            below = sum(weight * stats.t.cdf((end - gain) / sd, n_points - 2) for weight, gain, sd in parts)
            assert_allclose(below, q, atol=1e-4)


@pytest.mark.parametrize("family", ["power law", "exponential"])
def test_the_interval_holds_the_true_gain_as_often_as_it_says(family):
    """Noisy curves of either family; the interval is meant to be the wider for not knowing which."""
    rng, hits = np.random.default_rng(0), 0
    at = np.append(N, 320)
    curve = 0.9 - 0.5 * ((at / 20) ** -0.6 if family == "power law" else np.exp(-(at - 20) / 100))
    for _ in range(200):
        found = forecast_gain(N, curve[:-1] + rng.normal(0, 0.01, size=15), 20, 0.9)
        hits += found.low <= curve[-1] - curve[-2] <= found.high
    assert hits >= 0.85 * 200


def test_more_noise_and_more_confidence_widen_the_interval():
    noise = np.random.default_rng(0).normal(0, 1, size=15)
    curve = 0.9 - 0.5 * (N / 20) ** -0.6
    widths = [
        found.high - found.low
        for scale, confidence in ((0.002, 0.9), (0.02, 0.9), (0.02, 0.99))
        for found in [forecast_gain(N, curve + scale * noise, 20, confidence)]
    ]
    assert widths[0] < widths[1] < widths[2]


# -- the criterion -------------------------------------------------------------------------------------------------


def test_reports_state_and_threshold():
    n_labels, scores = [30, 40, 50, 60, 70], [0.5, 0.8, 0.86, 0.88, 0.89]
    criterion = ExpectedGain(min_rounds=4, threshold=1.0)
    reports = scripted(criterion, n_labels, scores)
    assert [report.stop for report in reports] == [False, False, False, True, True]
    assert reports[2].reason == "3 of the 4 rounds that a forecast takes are there."
    found = forecast_gain(np.array(n_labels, float), np.array(scores), 10, 0.95)
    assert reports[4].value == found.gain
    assert criterion.interval_ == (found.low, found.high)
    assert criterion.forecasts_ == found.families
    assert (criterion.n_labels_, criterion.scores_, criterion.held_out_) == (n_labels, scores, True)
    assert reports[4].reason == (
        f"The next 10 labels are forecast to bring {found.gain:+.4f}, from {found.low:+.4f} to {found.high:+.4f}: "
        "below 1."
    )
    # It is the upper end that counts, not the forecast itself.
    threshold = (found.gain + found.high) / 2
    careful = scripted(ExpectedGain(min_rounds=4, threshold=threshold), n_labels, scores)[-1]
    assert not careful.stop
    assert careful.reason.endswith(f": not surely below {threshold:g}.")


def test_the_next_batch_is_the_last_one_or_what_is_given():
    n_labels, scores = [30, 40, 55, 80], [0.5, 0.7, 0.8, 0.85]
    for n_instances, step in ((None, 25), (7, 7)):
        report = scripted(ExpectedGain(min_rounds=4, n_instances=n_instances), n_labels, scores)[-1]
        assert report.value == forecast_gain(np.array(n_labels, float), np.array(scores), step, 0.95).gain


def test_rounds_that_were_taken_back_are_forgotten():
    criterion = ExpectedGain()
    scripted(criterion, [30, 40, 50, 40, 45], [0.1, 0.2, 0.3, 0.4, 0.5])
    assert (criterion.n_labels_, criterion.scores_) == ([30, 40, 45], [0.1, 0.4, 0.5])


def test_scores_are_those_of_a_cross_validation():
    criterion = ExpectedGain(cv=4, random_state=0, scoring="balanced_accuracy")
    criterion.update(learner_of(60), X)
    folds = StratifiedKFold(4, shuffle=True, random_state=sklearn_seed(make_generator(0, 60)))
    scores = cross_val_score(LogisticRegression(max_iter=1000), X[:60], Y[:60], scoring="balanced_accuracy", cv=folds)
    assert criterion.scores_ == [scores.mean()]
    again, other = clone(criterion), clone(criterion).set_params(random_state=4)
    for one in (again, other):
        one.update(learner_of(60), X)
    assert again.scores_ == criterion.scores_
    assert other.scores_ != criterion.scores_


def test_a_curve_of_cross_validation_is_that_of_the_labels_of_each_round_on_the_same_folds():
    criterion, n_labels = ExpectedGain(cv=3, n_points=3, random_state=0, min_rounds=5), [20, 30, 40, 50, 60]
    for n in n_labels:
        criterion.update(learner_of(n), X)
    assert criterion.n_labels_ == n_labels
    # Three of five rounds: the first, the middle, the last.
    assert np.isfinite(criterion.scores_).tolist() == [True, False, True, False, True]
    known = np.isfinite(criterion.scores_)
    found = forecast_gain(np.array(n_labels, float)[known], np.array(criterion.scores_)[known], 10, 0.95)
    assert criterion.interval_ == (found.low, found.high)
    folds = StratifiedKFold(3, shuffle=True, random_state=sklearn_seed(make_generator(0, 60)))
    for n, score in zip((20, 40, 60), np.array(criterion.scores_)[known], strict=True):
        of_folds = []
        for train, test in folds.split(X[:60], Y[:60]):
            seen = [i for i in train if i < n]
            of_folds.append(LogisticRegression(max_iter=1000).fit(X[seen], Y[seen]).score(X[test], Y[test]))
        assert score == np.mean(of_folds)


def test_rounds_whose_folds_hold_one_class_are_left_out():
    first = [*np.flatnonzero(Y == 0)[:6], *np.flatnonzero(Y == 1)[:1]]
    order = [*first, *np.setdiff1d(np.arange(150), first)]
    criterion = ExpectedGain(min_rounds=3, random_state=0)
    for n in (7, 30, 40):
        learner = ActiveLearner(LogisticRegression(max_iter=1000), X_training=X[order][:n], y_training=Y[order][:n])
        report = criterion.update(learner, X)
    # The first had no cross-validation of its own either.
    assert criterion.n_labels_ == [30, 40]
    criterion = ExpectedGain(min_rounds=3, random_state=0)
    criterion.n_labels_, criterion.scores_, criterion.held_out_ = [7, 30], [0.5, 0.5], False
    report = criterion.update(learner, X)
    assert np.isfinite(criterion.scores_).tolist() == [False, True, True]
    assert report.reason == "Fewer than three rounds have two classes in each fold."
    assert not report.stop


def test_models_of_the_folds_have_seeds():
    scores = []
    for _ in range(2):
        criterion = ExpectedGain(random_state=0)
        criterion.update(learner_of(60, RandomForestClassifier(2)), X)
        scores += criterion.scores_
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    "scoring", ["balanced_accuracy", lambda estimator, X, y: accuracy_score(y, estimator.predict(X))]
)
def test_scores_on_held_out_samples(scoring):
    learner = learner_of(20)
    criterion = ExpectedGain(scoring=scoring)
    criterion.update(learner, X[20:100], X_eval=X[100:], y_eval=Y[100:].tolist())
    score = balanced_accuracy_score if scoring == "balanced_accuracy" else accuracy_score
    assert criterion.scores_ == [score(Y[100:], learner.predict(X[100:]))]


def test_networks_and_modals_learner():
    net = DeepClassifier(torch.nn.Linear(4, 3), classes=range(3), max_epochs=2)
    learner = ActiveLearner(net, X_training=X[:40].astype(np.float32), y_training=Y[:40])
    scores, state = [], torch.get_rng_state()
    for _ in range(2):
        criterion = ExpectedGain(cv=2, random_state=0)
        criterion.update(learner, X.astype(np.float32))
        scores += criterion.scores_
    assert scores[0] == scores[1]
    assert torch.equal(state, torch.get_rng_state())
    criterion, other = ExpectedGain(random_state=0), ExpectedGain(random_state=0)
    criterion.update(ModALLearner(LogisticRegression(max_iter=1000), X_training=X[:40], y_training=Y[:40]), X)
    other.update(learner_of(40), X)
    assert criterion.scores_ == other.scores_


def test_too_few_labels_for_folds_are_no_round():
    criterion, first = ExpectedGain(random_state=0), [np.flatnonzero(label == Y)[0] for label in range(3)]
    learner = ActiveLearner(LogisticRegression(), X_training=X[first], y_training=Y[first])
    report = criterion.update(learner, X)
    assert not report.stop
    assert report.reason == "Two classes must have two labels or more each for a cross-validation."
    assert not hasattr(criterion, "scores_")
    # Two classes with two labels each are enough, and a third may have one.
    of_two = [*np.flatnonzero(Y == 0)[:2], *np.flatnonzero(Y == 1)[:2], first[2]]
    criterion.update(ActiveLearner(LogisticRegression(), X_training=X[of_two], y_training=Y[of_two]), X)
    assert criterion.n_labels_ == [5]


def test_errors():
    criterion, learner = ExpectedGain(random_state=0), learner_of(40)
    with pytest.raises(
        TypeError, match="^ExpectedGain must be given a learner that holds its labelled data, .* Got Log"
    ):
        criterion.update(LogisticRegression(max_iter=1000).fit(X, Y), X)
    criterion.update(learner, X)
    before = pickle.dumps(criterion)
    with pytest.raises(
        ValueError, match="^X_eval and y_eval of ExpectedGain must be given in every round or in none.$"
    ):
        criterion.update(learner_of(50), X, X_eval=X, y_eval=Y)
    for bad, shown in ((float("nan"), "nan"), ("good", "'good'")):
        criterion.set_params(scoring=lambda *args, bad=bad: bad)
        with pytest.raises(
            ValueError, match=f"^The 'scoring' of ExpectedGain must give a finite number. Got {shown} ins"
        ):
            criterion.update(learner_of(50), X)
    assert pickle.dumps(criterion.set_params(scoring="accuracy")) == before
    several = RandomForestClassifier(2)
    learner = ActiveLearner(several, X_training=X[:40], y_training=np.stack([Y, Y], axis=1)[:40])
    with pytest.raises(ValueError, match="^ExpectedGain cross-validates one label for each sample. "):
        ExpectedGain().update(learner, X)
