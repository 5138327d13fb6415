"""BayesianEntropy: a slow loop, hand-worked values, the limits."""

import numpy as np
import pytest
from modAL.models import Committee
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from skal.exceptions import PoolCapabilityError
from skal.learners import ActiveLearner
from skal.pool import view_pool
from skal.strategies import BALD, BayesianEntropy, EntropySampling
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


def slow_entropy(probas):
    n_members, n, n_classes = np.shape(probas)
    scores = []
    for i in range(n):
        mean = [sum(probas[t][i][c] for t in range(n_members)) / n_members for c in range(n_classes)]
        scores.append(-sum(p * np.log(p) for p in mean if p > 0))
    return np.array(scores)


@pytest.mark.parametrize(("n", "n_members", "n_classes"), [(1, 2, 2), (20, 3, 4), (33, 10, 7)])
def test_equals_the_slow_loop(n, n_members, n_classes):
    probas = np.random.default_rng(n).dirichlet(np.full(n_classes, 0.2), size=(n_members, n))
    scores = BayesianEntropy().score_samples(committee_of(probas), np.arange(n)[:, None])
    np.testing.assert_allclose(scores, slow_entropy(probas), atol=1e-12)


def test_by_hand():
    """Disagreement and doubt count alike: what BALD tells apart."""
    probas = [[[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]]
    X = np.arange(3)[:, None]
    np.testing.assert_allclose(
        BayesianEntropy().score_samples(committee_of(probas), X), [np.log(2), np.log(2), 0], atol=1e-15
    )


def test_opinions_that_agree_give_plain_entropy():
    proba = np.random.default_rng(0).dirichlet(np.ones(5), size=30)
    X = np.arange(30)[:, None]
    np.testing.assert_array_equal(
        BayesianEntropy().score_samples(committee_of([proba] * 6), X), EntropySampling().score_samples(Member(proba), X)
    )


def test_dropout_forest_and_clones(data, dropout_net):
    X, y, pool = data
    scores = BayesianEntropy(n_samples=6, random_state=3).score_samples(dropout_net, pool)
    samples = list(view_pool(dropout_net, pool).iter_proba_samples(6, make_generator(3, 0, 0)))
    np.testing.assert_allclose(scores, slow_entropy(samples), atol=1e-6)
    # Never less than the part of it that is disagreement.
    assert (scores >= BALD(n_samples=6, random_state=3).score_samples(dropout_net, pool)).all()

    forest = RandomForestClassifier(12, random_state=0).fit(X, y)
    np.testing.assert_allclose(
        BayesianEntropy().score_samples(forest, pool), slow_entropy([forest.predict_proba(pool)]), atol=1e-12
    )

    logistic = LogisticRegression(max_iter=500).fit(X, y)
    scores = BayesianEntropy(n_members=3, random_state=1).score_samples(logistic, pool, X_training=X, y_training=y)
    view = view_pool(logistic, pool, X_training=X, y_training=y)
    members = list(view.iter_clone_samples(3, make_generator(1, 0, 30)))
    np.testing.assert_allclose(scores, slow_entropy(members), atol=1e-12)
    with pytest.raises(PoolCapabilityError, match="BayesianEntropy needs several opinions"):
        BayesianEntropy(source="own").select(logistic, pool)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_samples": 1}, r"'n_samples' parameter of BayesianEntropy must be an int in the range \[2, inf\). Got 1"),
        ({"n_members": 0}, "'n_members' parameter of BayesianEntropy must be an int"),
        ({"source": None}, "'source' parameter of BayesianEntropy must be a str among"),
        ({"random_state": "x"}, "'random_state' parameter of BayesianEntropy must be"),
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        BayesianEntropy(**params).select(Member([[0.5, 0.5]]), np.zeros((1, 1)))
