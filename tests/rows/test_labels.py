"""Labels as scikit-learn reads them, and those of known classes."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from skal.learners import ActiveLearner
from skal.meta import ActiveLearningClassifier
from skal.rows import check_classes, check_labels, plain_labels
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


@pytest.mark.parametrize(
    ("label", "classes", "nearest"),
    [
        (True, [0, 1], "1"),
        (1, [False, True], "True"),
        ("1", [0, 1], "1"),
        (1, ["0", "1"], "'1'"),
        (8, [0, 5, 9], "9"),
        (4.5, [0, 4, 9], "4"),
        ("Dog", ["cat", "dog"], "'dog'"),
        ("dgo", ["cat", "dog"], "'dog'"),
    ],
)
def test_a_label_of_another_kind_or_value_is_refused(label, classes, nearest):
    with pytest.raises(ValueError, match=re.escape(f"did you mean {nearest}?")):
        check_labels([classes[0], label], classes)


@pytest.mark.parametrize("label", [None, "", "  ", float("nan"), pd.NA, np.nan])
def test_a_missing_label_is_refused(label):
    with pytest.raises(ValueError, match="must hold one of the classes 'a', 'b' for each sample"):
        check_labels(["a", label], ["a", "b"])


def test_labels_of_a_class_in_any_container():
    for y in ([0, 1.0], np.array([1, 0], dtype=np.uint8), pd.Series([0, 1]), torch.tensor([1]), [{"labels": [0, 1]}]):
        check_labels(y, [0, 1])


@pytest.mark.parametrize("classes", [[], "ab", None, [0, 0], [0, None], ["a", ""], 3])
def test_classes_are_a_list_of_different_labels(classes):
    with pytest.raises(ValueError, match="The 'classes' parameter of Learner must be None or list different labels"):
        check_classes(classes, "Learner")
    assert check_classes(np.array([2, 1]), "Learner") == [2, 1]
    assert check_classes([0, False], "Learner") == [0, False]
