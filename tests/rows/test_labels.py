"""Labels as scikit-learn reads them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from skal.learners import ActiveLearner
from skal.meta import ActiveLearningClassifier
from skal.rows import plain_labels
from skal.strategies import EntropySampling, QueryByCommittee

X = np.random.default_rng(0).normal(size=(60, 3))
Y = np.tile([0, 1, 2], 20)
# Texts without a fixed width came with NumPy 2.
WIDE = [lambda y: y.astype(str).astype(np.dtypes.StringDType())] if hasattr(np.dtypes, "StringDType") else []


@pytest.mark.parametrize(
    "given, read",
    [
        (np.array([1, 2], object), [1, 2]),
        (np.array([True, False], object), [True, False]),
        (pd.Series([1.0, 2.0], dtype=object), [1.0, 2.0]),
        (pd.DataFrame({"label": [1, 2]}, dtype=object), [[1], [2]]),
    ],
)
def test_objects_that_are_numbers(given, read):
    labels = plain_labels(given)
    assert labels.dtype.kind in "ifb" and labels.tolist() == read


@pytest.mark.parametrize(
    "y",
    [[1, 2], ["a"], np.array([1]), np.array(["a", "b"], object), pd.Series(["a"]), pd.Series([1]).astype("category")],
)
def test_what_scikit_learn_reads_is_returned_as_it_is(y):
    assert plain_labels(y) is y


@pytest.mark.parametrize("make", [lambda y: y.astype(object), lambda y: pd.Series(y, dtype=object), *WIDE])
def test_a_learner_takes_them(make):
    for strategy in (EntropySampling(random_state=0), QueryByCommittee(n_members=2, random_state=0)):
        asked = []
        for y in (make(Y), Y):
            learner = ActiveLearner(LogisticRegression(), strategy, X[:30], y[:30])
            idx, rows = learner.query(X[30:], n_instances=3)
            learner.teach(rows, np.asarray(y)[30:][idx])
            asked.append(
                [idx.tolist(), learner.query(X[30:], n_instances=3)[0].tolist(), learner.score(X[:30], y[:30])]
            )
            assert type(learner.y_training) is type(y) and learner.y_training.dtype == y.dtype
        assert asked[0] == asked[1]
    loop = ActiveLearningClassifier(LogisticRegression(), EntropySampling(), n_queries=2, random_state=0)
    np.testing.assert_array_equal(loop.fit(X, make(Y)).queried_idx_, loop.fit(X, Y).queried_idx_)
