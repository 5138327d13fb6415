"""BALD: a slow loop, hand-worked values, the limits."""

import numpy as np
import pytest
import torch
from modAL.models import Committee
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from skal.exceptions import PoolCapabilityError
from skal.learners import ActiveLearner
from skal.pool import view_pool
from skal.strategies import BALD, QueryByCommittee
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
    learners = [ActiveLearner(Member(proba), X_training=X, y_training=y) for proba in probas]
    committee = Committee(learners)
    committee.classes_ = np.arange(len(probas[0][0]))
    return committee


def slow_bald(probas):
    """Mutual information, one sample, one member and one class at a time."""
    n_members, n, n_classes = np.shape(probas)
    scores = []
    for i in range(n):
        mean = [sum(probas[t][i][c] for t in range(n_members)) / n_members for c in range(n_classes)]
        total = -sum(p * np.log(p) for p in mean if p > 0)
        for t in range(n_members):
            total -= -sum(p * np.log(p) for p in probas[t][i] if p > 0) / n_members
        scores.append(total)
    return np.array(scores)


@pytest.mark.parametrize(("n", "n_members", "n_classes"), [(1, 2, 2), (20, 3, 4), (33, 10, 7)])
@pytest.mark.parametrize("concentration", [0.05, 1.0])
def test_equals_the_slow_loop(n, n_members, n_classes, concentration):
    rng = np.random.default_rng([n, n_members])
    probas = rng.dirichlet(np.full(n_classes, concentration), size=(n_members, n))
    scores = BALD(random_state=0).score_samples(committee_of(probas), np.arange(n)[:, None])
    np.testing.assert_allclose(scores, slow_bald(probas), atol=1e-12)


def test_by_hand():
    """Two sure members that disagree know log 2; two unsure ones that agree know nothing."""
    probas = [[[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]]
    scores = BALD().score_samples(committee_of(probas), np.arange(3)[:, None])
    np.testing.assert_allclose(scores, [np.log(2), 0, 0], atol=1e-15)
    query_idx, _ = BALD(random_state=0).select(committee_of(probas), np.arange(3)[:, None])
    assert query_idx.tolist() == [0]


def test_opinions_that_agree_score_exactly_0():
    proba = np.random.default_rng(0).dirichlet(np.ones(5), size=30)
    scores = BALD().score_samples(committee_of([proba] * 7), np.arange(30)[:, None])
    np.testing.assert_array_equal(scores, 0)


def test_kl_of_a_committee_is_bald():
    probas = np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 25))
    X = np.arange(25)[:, None]
    np.testing.assert_allclose(
        BALD().score_samples(committee_of(probas), X),
        QueryByCommittee(measure="kl").score_samples(committee_of(probas), X),
        atol=1e-13,
    )


def test_dropout(data, dropout_net):
    net, pool = dropout_net, data[2]
    scores = BALD(n_samples=6, random_state=3).score_samples(net, pool)
    samples = list(view_pool(net, pool).iter_proba_samples(6, make_generator(3, 0, 0)))
    np.testing.assert_allclose(scores, slow_bald(samples), atol=1e-6)
    assert (scores > 0).all()
    state = torch.get_rng_state()
    BALD().select(net, pool, 3)
    assert torch.equal(state, torch.get_rng_state())


def test_forest_members_and_no_more(data):
    X, y, pool = data
    forest = RandomForestClassifier(12, random_state=0).fit(X, y)
    scores = BALD(random_state=0).score_samples(forest, pool)
    np.testing.assert_allclose(scores, slow_bald([tree.predict_proba(pool) for tree in forest.estimators_]), atol=1e-12)
    assert not np.allclose(BALD(n_samples=4, random_state=0).score_samples(forest, pool), scores)


def test_source(data):
    X, y, pool = data
    labeled = {"X_training": X, "y_training": y}
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    logistic = LogisticRegression(max_iter=500).fit(X, y)
    own = BALD(source="own", random_state=0).score_samples(forest, pool)
    np.testing.assert_array_equal(BALD(random_state=0).score_samples(forest, pool), own)
    clones = BALD(source="clones", random_state=0).score_samples(forest, pool, **labeled)
    assert not np.allclose(own, clones)
    trained = BALD(source="clones", n_members=3, random_state=0).score_samples(logistic, pool, **labeled)
    np.testing.assert_array_equal(BALD(n_members=3, random_state=0).score_samples(logistic, pool, **labeled), trained)
    assert trained.max() > 0.01
    with pytest.raises(
        PoolCapabilityError,
        match="BALD needs several opinions of the classifier, which LogisticRegression does not supply. Use a skorch",
    ):
        BALD(source="own").select(logistic, pool, **labeled)
    with pytest.raises(PoolCapabilityError, match="BALD needs the labelled data"):
        BALD().select(logistic, pool)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_samples": 1}, r"The 'n_samples' parameter of BALD must be an int in the range \[2, inf\). Got 1 instead."),
        ({"n_members": 1}, "'n_members' parameter of BALD must be an int"),
        ({"source": "dropout"}, "'source' parameter of BALD must be a str among"),
        ({"random_state": "x"}, "'random_state' parameter of BALD must be"),
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        BALD(**params).select(Member([[0.5, 0.5]]), np.zeros((1, 1)))
