"""QueryByCommittee: slow loops of both measures, hand-worked values, the limits."""

import numpy as np
import pytest
from modAL.models import Committee
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skal.exceptions import PoolCapabilityError
from skal.learners import ActiveLearner
from skal.pool import view_pool
from skal.strategies import QueryByCommittee
from skal.utils._random import make_generator


class Member(ClassifierMixin, BaseEstimator):
    """A learner with known probabilities; its input is their row numbers."""

    def __init__(self, proba):
        self.proba = np.asarray(proba, dtype=float)
        self.classes_ = np.arange(self.proba.shape[1])

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return self.proba[np.asarray(X)[:, 0].astype(int)]


def committee_of(probas):
    X, y = np.zeros((2, 1)), np.array([0, len(probas[0][0]) - 1])
    committee = Committee([ActiveLearner(Member(proba), X_training=X, y_training=y) for proba in probas])
    committee.classes_ = np.arange(len(probas[0][0]))
    return committee


def slow_scores(probas, measure):
    n_members, n, n_classes = np.shape(probas)
    scores = []
    for i in range(n):
        total = 0.0
        if measure == "vote_entropy":
            votes = [0] * n_classes
            for t in range(n_members):
                votes[list(probas[t][i]).index(max(probas[t][i]))] += 1
            total = -sum(v / n_members * np.log(v / n_members) for v in votes if v)
        else:
            mean = [sum(probas[t][i][c] for t in range(n_members)) / n_members for c in range(n_classes)]
            for t in range(n_members):
                total += sum(p * np.log(p / m) for p, m in zip(probas[t][i], mean) if p > 0) / n_members
        scores.append(total)
    return np.array(scores)


@pytest.mark.parametrize("measure", ["vote_entropy", "kl"])
@pytest.mark.parametrize(("n", "n_members", "n_classes"), [(1, 2, 2), (20, 3, 4), (33, 10, 7)])
def test_equals_the_slow_loop(measure, n, n_members, n_classes):
    probas = np.random.default_rng(n).dirichlet(np.full(n_classes, 0.2), size=(n_members, n))
    scores = QueryByCommittee(measure=measure).score_samples(committee_of(probas), np.arange(n)[:, None])
    np.testing.assert_allclose(scores, slow_scores(probas, measure), atol=1e-12)


def test_by_hand():
    """Votes 2:1:0 and 1:1:1 of three members; the last sample ties, which goes to the first class."""
    probas = [
        [[0.8, 0.1, 0.1], [1, 0, 0], [0.5, 0.5, 0]],
        [[0.6, 0.2, 0.2], [0, 1, 0], [1, 0, 0]],
        [[0.1, 0.9, 0.0], [0, 0, 1], [1, 0, 0]],
    ]
    X = np.arange(3)[:, None]
    votes = QueryByCommittee().score_samples(committee_of(probas), X)
    np.testing.assert_allclose(votes, [np.log(3) - 2 / 3 * np.log(2), np.log(3), 0], atol=1e-12)
    kl = QueryByCommittee(measure="kl").score_samples(committee_of(probas), X)
    assert kl[1] == pytest.approx(np.log(3))
    assert kl[2] > 0


@pytest.mark.parametrize("measure", ["vote_entropy", "kl"])
def test_clones(data, measure):
    X, y, pool = data
    labeled = {"X_training": X, "y_training": y}
    fitted = GaussianNB().fit(X, y)
    scores = QueryByCommittee(n_members=4, measure=measure, random_state=2).score_samples(fitted, pool, **labeled)
    members = list(view_pool(fitted, pool, **labeled).iter_clone_samples(4, make_generator(2, 0, 30)))
    np.testing.assert_allclose(scores, slow_scores(members, measure), atol=1e-9)
    assert scores.max() > 0.1


def test_bootstrap(data):
    X, y, pool = data
    labeled = {"X_training": X, "y_training": y}
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    same = QueryByCommittee(bootstrap=False, measure="kl", random_state=0).score_samples(fitted, pool, **labeled)
    np.testing.assert_array_equal(same, 0)
    # A classifier with randomness of its own differs by its seeds.
    tree = DecisionTreeClassifier(max_features=1, random_state=0).fit(X, y)
    scores = QueryByCommittee(bootstrap=False, random_state=0).score_samples(tree, pool, **labeled)
    assert scores.max() > 0.1


def test_one_labelled_class_scores_0_everywhere(data):
    X, y, pool = data
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    labeled = {"X_training": X[y == 0], "y_training": y[y == 0]}
    for measure in ("vote_entropy", "kl"):
        scores = QueryByCommittee(measure=measure).score_samples(fitted, pool, **labeled)
        np.testing.assert_array_equal(scores, 0)


@pytest.mark.parametrize("measure", ["vote_entropy", "kl"])
def test_a_choice_at_random_is_told(data, measure):
    X, y = data[:2]
    strategy = QueryByCommittee(measure=measure, bootstrap=False, random_state=0)
    with pytest.warns(UserWarning, match="agree on every sample of the pool, so that its choice is random"):
        scores = strategy.select(LogisticRegression().fit(X, y), X, 2, X_training=X, y_training=y)[1]
    np.testing.assert_array_equal(scores, 0)


def test_no_labelled_data_is_a_clear_error(data):
    X, y, pool = data
    with pytest.raises(PoolCapabilityError, match="QueryByCommittee needs the labelled data"):
        QueryByCommittee().select(GaussianNB().fit(X, y), pool)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_members": 1}, r"'n_members' parameter of QueryByCommittee must be an int in the range \[2, inf\). Got 1"),
        ({"measure": "entropy"}, "'measure' parameter of QueryByCommittee must be a str among"),
        ({"bootstrap": "no"}, "'bootstrap' parameter of QueryByCommittee must be"),
        ({"random_state": "x"}, "'random_state' parameter of QueryByCommittee must be"),
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        QueryByCommittee(**params).select(Member([[0.5, 0.5]]), np.zeros((1, 1)))
