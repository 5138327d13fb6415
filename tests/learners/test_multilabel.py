"""Several labels at once: modAL's strategies run in the learner, skal's say that they cannot."""

import numpy as np
import pytest
from modAL import multilabel
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

from skal.learners import ActiveLearner
from skal.strategies import LeastConfidence

X, Y = make_multilabel_classification(80, n_features=6, n_classes=3, random_state=0)
STRATEGIES = ["SVM_binary_minimum", "max_loss", "mean_max_loss", "min_confidence", "avg_confidence", "max_score"]


@pytest.mark.filterwarnings("ignore")  # of SVC(probability=True), in newer scikit-learn
@pytest.mark.parametrize("name", [*STRATEGIES, "avg_score"])
def test_strategies_of_modal_run(name):
    estimator = OneVsRestClassifier(SVC(probability=True, random_state=0))
    learner = ActiveLearner(estimator, getattr(multilabel, name), X[:40], Y[:40])
    expected = getattr(multilabel, name)(learner, X[40:])
    idx, samples = learner.query(X[40:])
    expected = expected[0] if isinstance(expected, tuple) else expected
    np.testing.assert_array_equal(np.ravel(idx), np.ravel(expected))
    np.testing.assert_array_equal(np.reshape(samples, (1, -1)), X[40:][np.ravel(idx)])
    learner.teach(X[40:][np.ravel(idx)], Y[40:][np.ravel(idx)])
    assert learner.y_training.shape == (41, 3) and learner.predict(X[:2]).shape == (2, 3)


def test_one_label_a_sample_is_what_strategies_rank():
    learner = ActiveLearner(OneVsRestClassifier(LogisticRegression()), LeastConfidence(), X[:40], Y[:40])
    with pytest.raises(ValueError, match=r"classes that exclude each other.* modAL\.multilabel"):
        learner.query(X[40:])
