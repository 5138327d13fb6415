"""Linear heads: what they are made of stays its owner's, and the bias counts in every block."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from torch import nn

from skal.models import Head
from skal.nets import DeepClassifier
from skal.pool import view_pool

X, Y = load_iris(return_X_y=True)


def test_a_head_is_no_view_of_the_models_weight():
    weight, bias = np.eye(2), np.zeros(2)
    head = Head(weight=weight, bias=bias)
    weight += 5
    bias += 5
    np.testing.assert_array_equal(head(torch.eye(2, dtype=torch.float64)), np.eye(2))


@pytest.mark.parametrize("rows", [7, 10**6])
@pytest.mark.parametrize("y", [Y, Y > 1], ids=["three classes", "two"])
def test_logits_in_blocks_are_those_of_the_whole(rows, y, monkeypatch):
    monkeypatch.setattr("skal.models._linear._ROWS", rows)
    model = LogisticRegression(max_iter=500).fit(X, y)
    logits = view_pool(model, X).logits
    np.testing.assert_allclose(softmax(logits, axis=1), model.predict_proba(X), atol=1e-12)
    scores = model.decision_function(X)
    np.testing.assert_allclose(logits if y is Y else logits[:, 1] - logits[:, 0], scores, atol=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("y", [Y, Y > 1], ids=["three classes", "two"])
def test_the_logits_of_a_perceptron_have_its_bias(y):
    model = MLPClassifier((4,), max_iter=30, random_state=0).fit(X, y)
    pool = view_pool(model, X)
    np.testing.assert_allclose(softmax(pool.logits, axis=1), model.predict_proba(X), atol=1e-12)
    np.testing.assert_allclose(pool.head(torch.from_numpy(pool.embeddings)), pool.logits, atol=1e-12)


def test_of_two_layers_that_give_the_logits_the_last_is_the_head():
    """The last one changes nothing, so that both outputs are the logits: what comes in there are the embeddings."""
    last = nn.Linear(3, 3)
    with torch.no_grad():
        last.weight.copy_(torch.eye(3))
        last.bias.zero_()
    net = DeepClassifier(nn.Sequential(nn.Linear(4, 3), last), max_epochs=1, lr=1e-30, random_state=0).fit(X, Y)
    pool = view_pool(net, X.astype(np.float32))
    np.testing.assert_allclose(pool.head.weight, np.eye(3), atol=1e-20)
    assert pool.embeddings.shape == (150, 3)
    np.testing.assert_allclose(pool.embeddings, pool.logits, atol=1e-6)
