"""modAL's own query strategies in skal's learners, with either modAL: what they choose when called by themselves."""

import importlib
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from modAL.batch import uncertainty_batch_sampling
from modAL.density import information_density
from modAL.uncertainty import (
    classifier_margin,
    classifier_uncertainty,
    entropy_sampling,
    margin_sampling,
    uncertainty_sampling,
)
from modAL.utils.combination import make_linear_combination, make_product, make_query_strategy
from modAL.utils.selection import multi_argmax
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from skal.learners import ActiveLearner, Committee, DeepActiveLearner
from skal.nets import DeepClassifier
from skal.utils._compat import STRATEGIES_RETURN_PAIRS

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
POOL = X[24:]


def dense(classifier, X_pool):
    return classifier_uncertainty(classifier, X_pool) * information_density(np.asarray(X_pool), "euclidean")


STRATEGIES = {
    "uncertainty": uncertainty_sampling,
    "margin": margin_sampling,
    "entropy": entropy_sampling,
    "batch": partial(uncertainty_batch_sampling, n_instances=5),
    "sum": make_query_strategy(
        make_linear_combination(classifier_uncertainty, classifier_margin, weights=[1.0, 0.5]), multi_argmax
    ),
    "product": make_query_strategy(make_product(classifier_uncertainty, classifier_margin), multi_argmax),
    "density": make_query_strategy(dense, multi_argmax),
}


def indices(answer):
    return np.ravel(answer[0] if isinstance(answer, tuple) else answer)


def learner(kind=np.asarray, strategy=uncertainty_sampling, estimator=None, **params):
    return ActiveLearner(estimator or LogisticRegression(), strategy, kind(X[:24]), Y[:24], **params)


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, lambda A: pd.DataFrame(A, columns=list("abcd"))])
@pytest.mark.parametrize("name", STRATEGIES)
def test_what_they_choose_by_themselves(name, kind):
    expected = indices(STRATEGIES[name](learner(), POOL))
    made = learner(kind, STRATEGIES[name])
    pool = kind(POOL)
    idx, rows = made.query(pool)
    np.testing.assert_array_equal(np.ravel(idx), expected)
    assert type(rows) is type(pool)
    np.testing.assert_array_equal(np.asarray(rows).reshape(-1, 4), POOL[expected])
    made.teach(rows, Y[24:][expected])
    assert len(made.y_training) == 24 + len(expected)


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, sp.lil_matrix])
@pytest.mark.parametrize("name", ["uncertainty", "margin", "entropy"])
def test_sparse_pools(name, kind):
    expected = indices(STRATEGIES[name](learner(), POOL))
    np.testing.assert_array_equal(learner(kind, STRATEGIES[name]).query(kind(POOL))[0], expected)


class TestRankedBatch:
    """Distances on the numbers of a frame, whatever the estimator does with it."""

    expected = indices(uncertainty_batch_sampling(learner(), POOL, n_instances=6))

    def test_of_one_class_of_frames(self):
        for strategy in (uncertainty_batch_sampling, partial(uncertainty_batch_sampling, metric="euclidean")):
            found = learner(pd.DataFrame, strategy).query(pd.DataFrame(POOL), n_instances=6)[0]
            np.testing.assert_array_equal(found, self.expected)

    def test_of_lists_and_tensors(self):
        for kind in (lambda A: A.tolist(), torch.tensor):
            found = learner(kind, uncertainty_batch_sampling).query(kind(POOL), n_instances=6)[0]
            np.testing.assert_array_equal(found, self.expected)

    @pytest.mark.parametrize("on_transformed", [False, True])
    def test_behind_a_pipeline(self, on_transformed):
        pipeline = make_pipeline(StandardScaler(), LogisticRegression()).set_output(transform="pandas")
        expected = learner(estimator=pipeline, strategy=uncertainty_batch_sampling, on_transformed=on_transformed)
        frames = learner(pd.DataFrame, uncertainty_batch_sampling, pipeline, on_transformed=on_transformed)
        wanted = expected.query(POOL, n_instances=6)[0]
        np.testing.assert_array_equal(frames.query(pd.DataFrame(POOL), n_instances=6)[0], wanted)
        assert frames.on_transformed is on_transformed and "transform_without_estimating" not in vars(frames)

    def test_a_frame_with_text(self):
        frame = pd.DataFrame({"size": X[:, 0], "kind": np.where(X[:, 1] > 0, "round", "flat")})
        estimator = make_pipeline(
            make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough"), LogisticRegression()
        )
        made = ActiveLearner(estimator, uncertainty_batch_sampling, frame[:24], Y[:24])
        with pytest.raises(
            TypeError, match=r"measures distances between numbers.* \(DataFrame\): pass on_transformed="
        ):
            made.query(frame[24:])
        made.on_transformed = True
        assert len(made.query(frame[24:], n_instances=3)[0]) == 3

    def test_of_a_learner_that_keeps_no_data(self):
        net = DeepClassifier(nn.Linear(4, 3), max_epochs=1, random_state=0)
        made = DeepActiveLearner(net, uncertainty_batch_sampling)
        made.teach(X[:24], Y[:24])
        idx = made.query(POOL, n_instances=3)[0]
        assert len(idx) == 3 and not hasattr(made, "X_training")
        found = made.query(torch.tensor(POOL), n_instances=3)[0]
        np.testing.assert_array_equal(found, idx)

    def test_in_a_committee(self):
        made = Committee([learner(), learner()], uncertainty_batch_sampling)
        expected = made.query(POOL, n_instances=4)[0]
        frames = Committee([learner(pd.DataFrame), learner(pd.DataFrame)], uncertainty_batch_sampling)
        np.testing.assert_array_equal(frames.query(pd.DataFrame(POOL), n_instances=4)[0], expected)


@pytest.mark.skipif(not STRATEGIES_RETURN_PAIRS, reason="modAL 0.4.1 has no modAL.dropout")
@pytest.mark.parametrize("name", ["bald", "mean_st", "max_entropy", "max_variationRatios"])
def test_dropout(name):
    strategy = getattr(importlib.import_module("modAL.dropout"), f"mc_dropout_{name}")
    body = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    made = DeepActiveLearner(DeepClassifier(body, max_epochs=1, random_state=0), partial(strategy, num_cycles=3))
    X32 = torch.tensor(X, dtype=torch.float32)
    made.teach(X32[:24], Y[:24])
    idx, rows = made.query(X32[24:], n_instances=4)
    assert len(idx) == 4 and rows.shape == (4, 4)
