"""Learners of whatever dtype and container samples come in: the picks of the same numbers in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from skal.learners import ActiveLearner
from skal.nets import DeepClassifier
from skal.strategies import BAL, DECERN, DM2, UFFM, EntropySampling, PatraBruzzone

X = np.random.default_rng(0).integers(0, 100, (60, 4)).astype(float)
X[X < 20] = 0
Y = np.array(["a", "b", "c"])[(X[:, 0] % 3).astype(int)]


def asked(estimator, strategy, make):
    learner = ActiveLearner(estimator, strategy, make(X[:20]), Y[:20])
    found = []
    for start in (20, 40):
        idx, rows = learner.query(make(X[start : start + 20]), n_instances=3)
        learner.teach(rows, Y[start : start + 20][idx])
        found.append(idx.tolist())
    return found


@pytest.mark.parametrize("strategy", [DECERN, PatraBruzzone, DM2, UFFM, EntropySampling])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "f2", "g", ">f8"])
def test_narrow_and_wide_numbers(strategy, dtype):
    estimator = LogisticRegression(max_iter=300)
    right = asked(estimator, strategy(random_state=0), np.asarray)
    assert asked(estimator, strategy(random_state=0), lambda A: A.astype(dtype)) == right
    if dtype == "u1":
        assert asked(estimator, strategy(random_state=0), lambda A: torch.tensor(A).to(torch.uint8)) == right
        assert asked(estimator, strategy(random_state=0), np.ma.array) == right


SPARSE = [lambda A: torch.tensor(A).to_sparse(), lambda A: torch.tensor(A).to_sparse_csr(), sp.dok_array, sp.csr_array]


@pytest.mark.parametrize("make", SPARSE)
def test_a_network_on_sparse_samples(make):
    torch.manual_seed(0)
    net = DeepClassifier(nn.Linear(4, 3), max_epochs=1, random_state=0)
    for strategy in (EntropySampling(random_state=0), BAL(n_rounds=3, random_state=0)):
        assert asked(net, strategy, make) == asked(net, strategy, np.asarray)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda A: torch.tensor(A).bfloat16(), r"a tensor of torch.bfloat16: pass X.float\(\)"),
        (lambda A: torch.tensor(A).requires_grad_(), r"a tensor that requires gradients: pass X.detach\(\)"),
        (lambda A: torch.tensor(A).to_sparse(), r"a sparse tensor: pass X.to_dense\(\)"),
        (lambda A: torch.tensor(A).to_sparse_csr(), r"a sparse tensor: pass X.to_dense\(\)"),
    ],
)
def test_tensors_that_scikit_learn_cannot_read(make, words):
    with pytest.raises(
        TypeError, match=f"^LogisticRegression reads samples by way of NumPy, which cannot read {words}"
    ):
        ActiveLearner(LogisticRegression(), EntropySampling(), make(X[:20]), Y[:20])
    learner = ActiveLearner(LogisticRegression(max_iter=300), EntropySampling(), X[:20], Y[:20])
    with pytest.raises(TypeError, match=words):
        learner.query(make(X[20:]), n_instances=2)
    with pytest.raises(TypeError, match=words):
        learner.predict(make(X[20:]))
    assert learner.round == 0 and len(learner.X_training) == 20
