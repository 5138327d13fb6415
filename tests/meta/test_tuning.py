"""tune_balancing_factor: equal to the grid search, costs, ties, errors."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split

from skal.meta import ActiveLearningClassifier, tune_balancing_factor
from skal.strategies import BAL, RandomSampling

X, y = load_digits(return_X_y=True)
X, y = X[:400] / 16, y[:400]
BETAS = [0.5, 1.0, 2.5]
SIZES = {"n_initial": 40, "n_instances": 15}


class CountingPCA(PCA):
    fits = 0

    def fit(self, X, y=None):
        CountingPCA.fits += 1
        return super().fit(X)


def logistic():
    return LogisticRegression(max_iter=300)


@pytest.mark.parametrize("scoring", [None, "f1_macro"])
def test_equals_the_grid_search(scoring):
    strategy = BAL(pretext=CountingPCA(10, random_state=0), n_clusters=10, n_rounds=5)
    al = ActiveLearningClassifier(
        logistic(), strategy, init_strategy="query_strategy", n_queries=1, random_state=3, **SIZES
    )
    cv = StratifiedKFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(al, {"query_strategy__beta": BETAS}, scoring=scoring, cv=cv, refit=False).fit(X, y)
    CountingPCA.fits = 0
    found = tune_balancing_factor(
        logistic(), X, y, betas=BETAS, n_rounds=5, query_strategy=strategy, scoring=scoring, cv=cv, random_state=3,
        **SIZES,
    )  # fmt: skip
    assert CountingPCA.fits == 2
    splits = np.column_stack([search.cv_results_[f"split{i}_test_score"] for i in range(2)])
    np.testing.assert_allclose(found.split_scores, splits, rtol=1e-12)
    np.testing.assert_allclose(found.scores, search.cv_results_["mean_test_score"])
    assert found.best_beta == search.best_params_["query_strategy__beta"]
    assert len(set(found.scores.tolist())) > 1
    assert found.n_labels.tolist() == [30, 30, 30]


def test_validation_data_and_costs_by_hand():
    """One split: the labels of each candidate, those of all, and the scores, from loops written out."""
    X_pool, X_val, y_pool, y_val = train_test_split(X, y, random_state=0)
    found = tune_balancing_factor(
        logistic(), X_pool, y_pool, betas=BETAS[::-1], n_rounds=5, eval_set=(X_val, y_val), random_state=0, **SIZES
    )
    assert found.betas.tolist() == BETAS
    taken, scores = set(), []
    for beta in BETAS:
        al = ActiveLearningClassifier(
            logistic(), BAL(beta=beta, n_clusters=10, n_rounds=5), init_strategy="query_strategy", n_queries=1,
            random_state=0, **SIZES,
        ).fit(X_pool, y_pool)  # fmt: skip
        taken |= set(al.queried_idx_.tolist())
        scores.append(al.score(X_val, y_val))
    np.testing.assert_allclose(found.scores, scores)
    assert found.split_scores.shape == (3, 1)
    assert found.n_labels.tolist() == [15, 15, 15]
    assert found.n_labels_total == len(taken) < 40 + 3 * 15


def test_ties_take_the_smaller():
    """Nothing can be learned from all-zero samples, so every candidate scores alike."""
    labels = np.arange(60) % 3
    with pytest.warns(UserWarning, match="same features"):
        found = tune_balancing_factor(
            logistic(), np.zeros((60, 4)), labels, betas=[2.0, 0.5, 1.0], n_initial=6, n_instances=3, n_rounds=4,
            eval_set=(np.zeros((9, 4)), labels[:9]), random_state=0,
        )  # fmt: skip
    assert len(set(found.scores.tolist())) == 1
    assert found.best_beta == 0.5


def test_fractions_and_untouched_arguments():
    strategy, model = BAL(beta=1.7, n_rounds=9), logistic()
    found = tune_balancing_factor(
        model, X, y, betas=(b for b in (1.0,)), n_initial=0.1, n_instances=0.05, n_rounds=4, query_strategy=strategy,
        cv=2, random_state=0,
    )  # fmt: skip
    assert found.n_labels.tolist() == [20] and found.n_labels_total == 60
    assert strategy.get_params() == clone(strategy).get_params() == BAL(beta=1.7, n_rounds=9).get_params()
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"betas": []}, ValueError, r"'betas' of tune_balancing_factor must be one or more floats.*Got \[\]"),
        ({"betas": [1.0, 0]}, ValueError, r"one or more floats in \(0.0, inf\). Got 0 instead"),
        ({"betas": "12"}, ValueError, "one or more floats"),
        ({"n_rounds": 1}, ValueError, "'n_rounds' of tune_balancing_factor must be an integer >= 2. Got 1"),
        ({"n_rounds": 2.5}, ValueError, "must be an integer >= 2. Got 2.5"),
        ({"cv": 2, "eval_set": (X, y)}, ValueError, "takes 'cv' or 'eval_set'. Got both"),
        ({"eval_set": X}, TypeError, r"eval_set must be a pair \(X_val, y_val\)"),
        ({"query_strategy": RandomSampling()}, TypeError, "'query_strategy' of tune_balancing_factor must be a BAL"),
        ({"n_initial": 400, "eval_set": (X, y)}, ValueError, "must leave samples for a second. Got n_initial=400"),
        ({"n_initial": 0}, ValueError, "'n_initial' parameter of ActiveLearningClassifier"),
    ],
)
def test_errors(params, error, message):
    with pytest.raises(error, match=message):
        tune_balancing_factor(logistic(), X, y, **{"betas": [1.0], "n_rounds": 4, **SIZES, **params})
