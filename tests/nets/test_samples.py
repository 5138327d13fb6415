"""DeepClassifier on samples, modules and outputs as people have them: right answers, or one clear error."""

from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.helper import SliceDict
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from skal.exceptions import TrainingDivergedError
from skal.learners import ActiveLearner
from skal.nets import DeepClassifier
from skal.strategies import CoreSet, EntropySampling, MarginSampling

RNG = np.random.default_rng(0)
Y = np.arange(60) % 3
X = (RNG.normal(size=(60, 4)) + Y[:, None]).astype("f4")


def make(module=None, **kwargs):
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)) if module is None else module
    return DeepClassifier(module, **{"max_epochs": 3, "lr": 0.1, "random_state": 0, **kwargs})


class Samples(Dataset):
    def __init__(self, X, y=None):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i] if self.y is None else (self.X[i], self.y[i])


class TestColumns:
    frame = pd.DataFrame(X, columns=list("abcd"))

    def test_names_are_remembered(self):
        net = make().fit(self.frame, Y)
        assert net.feature_names_in_.tolist() == list("abcd") and net.n_features_in_ == 4
        assert not hasattr(net.fit(X, Y), "feature_names_in_")

    @pytest.mark.parametrize("columns", [list("dcba"), list("abcx")])
    def test_other_columns_are_refused(self, columns):
        learner = ActiveLearner(make(), MarginSampling(), self.frame[:30], Y[:30])
        other = self.frame[30:].set_axis(columns, axis=1)
        net = learner.estimator
        for ask in (net.predict, net.predict_proba, net.embed, net.decision_function, learner.query):
            with pytest.raises(ValueError, match="feature names should match|lacks the column 'd'"):
                ask(other)
        with pytest.raises(ValueError, match="feature names should match"):
            net.partial_fit(other, Y[30:])
        np.testing.assert_array_equal(net.predict_proba(self.frame), net.predict_proba(X))


class TestMissing:
    bad = X[30:].copy()
    bad[7, 1] = np.nan

    @pytest.mark.parametrize("strategy", [EntropySampling(), MarginSampling(), CoreSet(random_state=0)])
    @pytest.mark.parametrize("freeze", [None, "backbone"])
    def test_a_sample_of_a_dataset(self, strategy, freeze):
        learner = ActiveLearner(make(freeze=freeze), strategy, X[:30], Y[:30])
        with pytest.raises(ValueError, match="X contains NaN or infinity: DeepClassifier takes samples"):
            learner.query(Samples(torch.from_numpy(self.bad)), n_instances=2)

    def test_in_training(self):
        with pytest.raises(ValueError, match="X contains NaN or infinity"):
            make().fit(Samples(torch.from_numpy(self.bad), Y[30:]))

    def test_too_large_in_a_dataset(self):
        net = make().fit(X, Y)
        with pytest.raises(ValueError, match="range of the network's float32"):
            net.predict_proba(Samples(np.where(np.isnan(self.bad), 1e300, self.bad.astype("f8"))))


def test_a_training_that_diverges_leaves_the_net_as_it_was():
    net = make().fit(X, Y)
    before = net.predict_proba(X)
    with pytest.raises(
        TrainingDivergedError, match=r"loss of DeepClassifier must be finite\. Got nan in epoch \d+: lower"
    ):
        net.set_params(lr=1e9, max_epochs=20, warm_start=True).fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("freeze", [None, "backbone"])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy, lambda X: Samples(torch.from_numpy(X)), pd.DataFrame])
def test_modules_of_any_precision(dtype, freeze, kind):
    net = make(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).to(dtype), freeze=freeze)
    net.fit(kind(X), Y)
    proba = net.predict_proba(kind(X))
    assert proba.dtype == (np.float64 if dtype == torch.float64 else np.float32) and proba.shape == (60, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(proba, net.predict_proba(X), atol=1e-6)
    assert net.embed(X).shape == (60, 8) and net.input_gradient(X, Y).shape == X.shape
    assert len(EntropySampling().select(net, kind(X), 3)[0]) == 3


Named = namedtuple("Named", "scores hidden")


class Wrapped(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.body, self.head, self.wrap = nn.Linear(4, 8), nn.Linear(8, 3), wrap

    def forward(self, x):
        hidden = torch.relu(self.body(x))
        return self.wrap(self.head(hidden), hidden)


class Output:
    def __init__(self, logits, hidden):
        self.loss, self.logits = None, logits


@pytest.mark.parametrize(
    "wrap",
    [
        lambda logits, hidden: (logits, hidden),
        lambda logits, hidden: Named(logits, hidden),
        lambda logits, hidden: {"hidden": hidden, "logits": logits},
        Output,
    ],
    ids=["tuple", "namedtuple", "dict", "attribute"],
)
def test_outputs_of_any_form(wrap):
    want = make(Wrapped(lambda logits, hidden: logits)).fit(X, Y)
    net = make(Wrapped(wrap))
    net.module.load_state_dict(want.module.state_dict())
    net.fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), want.predict_proba(X))
    np.testing.assert_array_equal(net.input_gradient(X, Y), want.input_gradient(X, Y))
    np.testing.assert_array_equal(net.embed(X), want.embed(X))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right, self.head = nn.Linear(3, 8), nn.Linear(1, 8), nn.Linear(8, 3)

    def forward(self, left, right):
        return self.head(torch.relu(self.left(left) + self.right(right)))


@pytest.mark.parametrize("kind", [SliceDict, dict])
@pytest.mark.parametrize("plain", [True, False])
def test_two_inputs(kind, plain):
    inputs = kind(left=X[:, :3], right=X[:, 3:])
    net = make(Two())
    if plain:
        net = NeuralNetClassifier(Two, criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=1, verbose=0)
    start = kind(**{key: inputs[key][:30] for key in inputs})
    learner = ActiveLearner(net, EntropySampling(), start, Y[:30])
    _, rows = learner.query(inputs, n_instances=2)
    learner.teach(rows, Y[:2])
    assert type(learner.X_training) is kind and len(learner.X_training["left"]) == 32
    assert learner.predict_proba(inputs).shape == (60, 3)


def test_a_list_of_dicts():
    inputs = [{"left": row[:3], "right": row[3:]} for row in X]
    net = make(Two()).fit(inputs, Y)
    np.testing.assert_array_equal(net.predict_proba(inputs), net.predict_proba({"left": X[:, :3], "right": X[:, 3:]}))


@pytest.mark.parametrize("paths", [["a.png", "b.png"], [Path("a"), Path("b")]])
def test_paths_are_refused(paths):
    with pytest.raises(TypeError, match="wrap them, skal.rows.ImageFiles"):
        make().fit(paths, [0, 1])


def test_labels_of_a_part_of_a_dataset():
    pairs = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    part = torch.utils.data.Subset(pairs, range(0, 60, 2))
    net = make(nn.Linear(4, 3))
    want = net.fit(X[::2], Y[::2]).predict_proba(X)
    np.testing.assert_array_equal(net.fit(part).predict_proba(X), want)


def test_log_probabilities_with_nll_loss():
    body = [nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)]
    with pytest.raises(ValueError, match="must output probabilities.*log-probabilities: use criterion=nn.CrossEntropy"):
        make(nn.Sequential(*body, nn.LogSoftmax(dim=1)), criterion=nn.NLLLoss).fit(X, Y)
    make(nn.Sequential(*body, nn.Softmax(dim=1)), criterion=nn.NLLLoss).fit(X, Y)
    make(nn.Sequential(*body, nn.LogSoftmax(dim=1))).fit(X, Y)
    with pytest.warns(UserWarning, match="should output logits"):
        make(nn.Sequential(*body, nn.Softmax(dim=1))).fit(X, Y)
