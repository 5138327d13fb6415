"""modAL's BayesianOptimizer on today's stack: the largest value known, acquisition functions, the protocol."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from modAL.acquisition import max_EI, max_PI, max_UCB, optimizer_EI
from modAL.models import BayesianOptimizer as ModALBayesianOptimizer
from scipy.stats import norm
from sklearn.base import clone, is_regressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.exceptions import ColdStartWarning, PoolCapabilityError
from skal.learners import ActiveLearner, BayesianOptimizer
from skal.strategies import EntropySampling

X = np.linspace(0, 20, 81)[:, None]
Y = (np.sin(X) / 2 - (10 - X) ** 2 / 50 + 2).ravel()
START = [5, 40, 70]


def model():
    return GaussianProcessRegressor(kernel=Matern(length_scale=1.0), optimizer=None, alpha=1e-6)


def optimizer(strategy=max_EI, rows=START, **params):
    return BayesianOptimizer(model(), strategy, X[rows], Y[rows], **params)


def largest(made):
    """What the optimizer should say, by looking at each sample."""
    best = max(range(len(made.y_training)), key=lambda i: np.asarray(made.y_training)[i])
    return np.asarray(made.X_training)[best], np.asarray(made.y_training)[best]


def check(made):
    sample, value = largest(made)
    np.testing.assert_array_equal(np.ravel(made.X_max), np.ravel(sample))
    assert made.y_max == value and made.get_max()[1] == value


def test_the_largest_value_follows_what_is_known():
    made = optimizer()
    check(made)
    for rows in ([0, 1], [45, 3], [2]):
        made.teach(X[rows], Y[rows])
        check(made)
    made.teach(X[[40]], [99.0])
    assert made.y_max == 99
    made.undo()
    check(made)
    made.relabel(0, 98.0)
    assert made.y_max == 98 and made.X_max.tolist() == X[5].tolist()
    made.fit(X[:3], Y[:3])
    check(made)
    assert made.y_max < 1
    made.teach(X[3:5], Y[3:5], only_new=True)
    check(made)


def test_of_equal_values_the_first():
    made = BayesianOptimizer(model(), X_training=X[:3], y_training=[1.0, 2.0, 2.0])
    assert made.X_max.tolist() == X[1].tolist()
    made._set_max(X[9:10], [2.0])
    assert made.X_max.tolist() == X[1].tolist()
    made._set_max(X[9:11], [0.0, 3.0])
    assert made.X_max.tolist() == X[10].tolist() and made.y_max == 3
    made.teach(X[11:12], [4.0])
    assert made.y_max == 4


def test_before_there_is_any_value():
    made = BayesianOptimizer(model())
    assert made.X_max is None and made.y_max == -np.inf and made.get_max() == (None, -np.inf)
    made._set_max(X[:2], Y[:2])
    assert made.y_max == Y[:2].max()


@pytest.mark.parametrize(
    ("kind_x", "kind_y"),
    [
        (np.asarray, lambda y: y[:, None]),
        (pd.DataFrame, pd.Series),
        (pd.DataFrame, lambda y: pd.DataFrame({"value": y})),
        (lambda A: A.tolist(), lambda y: y.tolist()),
        (torch.tensor, torch.tensor),
    ],
)
def test_containers(kind_x, kind_y):
    made = BayesianOptimizer(model(), X_training=kind_x(X[START]), y_training=kind_y(Y[START]))
    idx = made.query(X)[0]
    made.teach(kind_x(X[idx]), kind_y(Y[idx]))
    assert np.ravel(made.y_max).tolist() == [max(*Y[START], *Y[idx])]
    assert made.y_max.shape == ((1,) if np.ndim(kind_y(Y)) == 2 else ())


@pytest.mark.parametrize("strategy", [max_EI, max_PI, max_UCB, partial(max_PI, tradeoff=0.1), partial(max_UCB, beta=3)])
def test_acquisition_functions(strategy):
    made, stock = optimizer(strategy), ModALBayesianOptimizer(model(), strategy, X[START], Y[START])
    expected = stock.query(X, n_instances=2)
    found = made.query(X, n_instances=2)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    for _ in range(12):
        idx, rows = made.query(X)
        made.teach(rows, Y[idx])
    if strategy in (max_EI, max_UCB):
        assert made.y_max == Y.max()


def test_expected_improvement_is_that_of_the_formula():
    made = optimizer()
    mean, std = made.estimator.predict(X, return_std=True)
    gain = mean - Y[START].max()
    expected = gain * norm.cdf(gain / std) + std * norm.pdf(gain / std)
    np.testing.assert_allclose(optimizer_EI(made, X), expected, atol=1e-12)


def test_a_failed_teach_leaves_it_as_it_was():
    made = optimizer()
    before = made.predict(X)
    with pytest.raises(ValueError):
        made.teach(X[:2], [5.0])
    with pytest.raises(ValueError, match="one value for each sample of BayesianOptimizer. Got values of shape"):
        made.teach(X[:2], np.ones((2, 2)))
    check(made)
    np.testing.assert_array_equal(made.predict(X), before)


def test_the_first_sample_is_a_random_one():
    found = {
        BayesianOptimizer(BayesianRidge(), partial(max_EI, tradeoff=0.1), random_state=seed).query(X)[0].item()
        for seed in range(6)
    }
    assert len(found) > 3
    made = BayesianOptimizer(BayesianRidge(), cold_start="random", random_state=0)
    idx, rows = made.query(X, n_instances=3)
    assert idx.shape == (3,) and rows.shape == (3, 1)
    made.teach(rows, Y[idx])
    assert made.query(X)[0].shape == (1,) and made.round == 1
    own = BayesianOptimizer(BayesianRidge(), lambda optimizer, X: [7])
    assert own.query(X)[0] == [7]
    with pytest.warns(ColdStartWarning):
        ActiveLearner(BayesianRidge(), EntropySampling()).query(X)


def test_skals_strategies_are_for_classifiers():
    with pytest.raises(PoolCapabilityError, match="EntropySampling needs class probabilities"):
        optimizer(EntropySampling()).query(X)


def test_scikit_learn():
    made = optimizer(max_PI, random_state=0)
    assert is_regressor(made) and isinstance(made, (ModALBayesianOptimizer, ActiveLearner))
    idx, rows = made.query(X)
    made.teach(rows, Y[idx])
    again = pickle.loads(pickle.dumps(made))
    assert again.y_max == made.y_max and again.round == 1
    np.testing.assert_array_equal(again.query(X)[0], made.query(X)[0])
    twin = clone(made)
    assert twin.X_training is None and twin.y_max == -np.inf and twin.query_strategy is max_PI
    assert "classes" not in made.get_params() and repr(made).startswith("BayesianOptimizer(")
    assert cross_val_score(made, X, Y, cv=3).shape == (3,)
    grid = GridSearchCV(made, {"estimator__alpha": [1e-6, 1e6]}, cv=[(np.arange(0, 81, 2), np.arange(1, 81, 2))])
    assert grid.fit(X, Y).best_params_ == {"estimator__alpha": 1e-6}
    piped = BayesianOptimizer(make_pipeline(StandardScaler(), model()), X_training=X[START], y_training=Y[START])
    assert piped.query(X)[0].shape == (1,)
