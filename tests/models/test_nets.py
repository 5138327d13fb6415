"""Torch plumbing: generators, inputs, and the one forward pass over plain skorch nets."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn
from torch.utils.data import TensorDataset

from skal.models import is_skorch, net_head, net_outputs
from skal.rows import net_input
from skal.utils._torch import torch_rng


class Net(nn.Module):
    """Body, batch normalization, dropout; ends in logits, in probabilities or in log-probabilities."""

    def __init__(self, last="linear", d=4, n_classes=3, dtype=torch.float32):
        super().__init__()
        self.head = nn.Linear(6, n_classes)  # registered before the body: order of use counts
        self.body = nn.Sequential(nn.Linear(d, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5))
        self.last = last
        self.to(dtype)

    def forward(self, x):
        z = self.head(self.body(x))
        return {"linear": z, "softmax": z.softmax(-1), "log": z.log_softmax(-1), "scaled": 2 * z}[self.last]


class TwoOutputs(Net):
    def forward(self, x):
        features = self.body(x)
        return self.head(features), features


class TwoHeads(Net):
    def __init__(self):
        super().__init__()
        self.other = nn.Linear(6, 3)

    def forward(self, x):
        features = self.body(x)
        return self.head(features) + self.other(features)


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 3)

    def forward(self, x):
        return self.head(x.reshape(len(x), 2, 2)).mean(1)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(37, 4)).astype(np.float32), np.arange(37) % 3


def fitted(module, data, criterion=nn.CrossEntropyLoss, **kwargs):
    net = NeuralNetClassifier(
        module, criterion=criterion, train_split=None, verbose=0, max_epochs=2, batch_size=16, **kwargs
    )
    with torch_rng(0):
        net.fit(*data)
    return net


def head_by_hand(net, X):
    """float64, sample by sample, in eval mode."""
    module = net.module_.eval().double()
    rows = []
    with torch.no_grad():
        for x in X:
            features = module.body(torch.tensor(x, dtype=torch.float64)[None])
            rows.append((features[0].numpy(), module.head(features)[0].numpy()))
    module.float()
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


class TestNetOutputs:
    @pytest.mark.parametrize(
        ("last", "criterion"),
        [("linear", nn.CrossEntropyLoss), ("softmax", nn.NLLLoss), ("log", nn.CrossEntropyLoss)],
    )
    def test_equals_slow_loop(self, data, last, criterion):
        net = fitted(Net, data, criterion, module__last=last)
        outputs = net_outputs(net, data[0])
        embeddings, logits = head_by_hand(net, data[0])
        np.testing.assert_allclose(outputs.embeddings, embeddings, atol=1e-5)
        np.testing.assert_allclose(outputs.logits, logits, atol=1e-5)
        expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        np.testing.assert_allclose(outputs.proba, expected, atol=1e-5)
        assert net_head(net) is net.module_.head

    @pytest.mark.parametrize("module", [TwoHeads, Sequence])
    def test_no_single_head(self, data, module):
        net = fitted(module, data)
        outputs = net_outputs(net, data[0])
        assert outputs.embeddings is None and outputs.logits is None
        np.testing.assert_array_equal(outputs.proba, net.predict_proba(data[0]))

    def test_scaled_output_has_no_head(self, data):
        assert net_outputs(fitted(Net, data, module__last="scaled"), data[0]).embeddings is None

    def test_first_of_several_outputs(self, data):
        net = NeuralNetClassifier(TwoOutputs, criterion=nn.CrossEntropyLoss, verbose=0).initialize()
        outputs = net_outputs(net, data[0])
        embeddings, _ = head_by_hand(net, data[0])
        np.testing.assert_allclose(outputs.embeddings, embeddings, atol=1e-5)

    def test_sigmoid_output(self, data):
        net = NeuralNetBinaryClassifier(Net, module__n_classes=1, verbose=0).initialize()
        outputs = net_outputs(net, data[0])
        assert outputs.embeddings is None and outputs.proba.shape == (37, 2)

    def test_one_forward_pass(self, data):
        net = fitted(Net, data)
        rows = []
        net.module_.body.register_forward_hook(lambda part, args, output: rows.append(len(args[0])))
        net_outputs(net, data[0])
        assert sum(rows) == 37

    def test_leaves_no_trace(self, data):
        net = fitted(Net, data)
        net.module_.train()
        net.module_.body[1].eval()
        modes = [part.training for part in net.module_.modules()]
        state = {key: value.clone() for key, value in net.module_.state_dict().items()}
        generator = torch.get_rng_state()
        net_outputs(net, data[0])
        assert [part.training for part in net.module_.modules()] == modes
        assert all(torch.equal(value, state[key]) for key, value in net.module_.state_dict().items())
        assert torch.equal(torch.get_rng_state(), generator)
        assert not any(part._forward_hooks for part in net.module_.modules())

    def test_leaves_no_trace_after_an_error(self, data):
        net = fitted(Net, data)
        net.module_.train()
        with pytest.raises(RuntimeError):
            net_outputs(net, data[0][:, :2])
        assert all(part.training for part in net.module_.modules())
        assert not any(part._forward_hooks for part in net.module_.modules())

    def test_float64_module_stays_float64(self, data):
        net = fitted(Net, (data[0].astype(np.float64), data[1]), module__dtype=torch.float64)
        outputs = net_outputs(net, data[0])
        for array in (outputs.proba, outputs.logits, outputs.embeddings):
            assert array.dtype == np.float64

    def test_unfitted_and_empty(self, data):
        with pytest.raises(NotFittedError):
            net_outputs(NeuralNetClassifier(Net), data[0])
        with pytest.raises(ValueError, match="at least one sample"):
            net_outputs(fitted(Net, data), data[0][:0])

    def test_named_head(self, data):
        net = fitted(Net, data)
        net.embedding_layer = "nowhere"
        with pytest.raises(ValueError, match="'head', 'body'.* Got 'nowhere'"):
            net_outputs(net, data[0])


class TestAsNetInput:
    X = np.arange(12).reshape(4, 3) / 8

    @pytest.mark.parametrize(
        "make",
        [
            lambda X: X,
            lambda X: X[::-1][::-1],
            lambda X: X.astype(np.float32),
            lambda X: X.astype(">f8"),
            lambda X: X.astype(object),
            lambda X: X.tolist(),
            lambda X: list(X),
            lambda X: [torch.tensor(row) for row in X],
            pd.DataFrame,
            lambda X: pd.DataFrame(X).convert_dtypes(),
            sp.csr_matrix,
            sp.csr_array,
        ],
    )
    def test_numbers_become_float32(self, make):
        result = net_input(make(self.X))
        assert result.dtype == np.float32 and result.flags.c_contiguous
        np.testing.assert_array_equal(result, self.X.astype(np.float32))

    def test_integers_are_not_scaled(self):
        images = np.array([[0, 255]], dtype=np.uint8)
        np.testing.assert_array_equal(net_input(images), np.array([[0, 255]], dtype=np.float32))

    def test_no_copy_where_it_fits(self):
        X = np.ones((3, 2), dtype=np.float32)
        tensor = torch.ones(3, 2)
        dataset = TensorDataset(tensor)
        assert np.shares_memory(net_input(X), X)
        assert net_input(tensor) is tensor and net_input(dataset) is dataset

    def test_dict_and_tokens(self):
        module = nn.ModuleList([nn.Embedding(5, 2), nn.Linear(2, 2)])
        result = net_input({"tokens": np.arange(3, dtype=np.int32), "x": np.ones(3)}, module)
        assert result["tokens"].dtype == np.int64 and result["x"].dtype == np.float32

    @pytest.mark.parametrize("X", [["a", "b"], np.array(["a"]), [np.ones(2), np.ones(3)], pd.DataFrame({"a": ["x"]})])
    def test_no_numbers(self, X):
        with pytest.raises(TypeError, match="X must"):
            net_input(X)


def test_torch_rng():
    before = torch.get_rng_state()
    with torch_rng(3):
        first = torch.rand(4)
    with torch_rng(3):
        torch.testing.assert_close(torch.rand(4), first, rtol=0, atol=0)
    with torch_rng():
        torch.rand(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_is_skorch():
    assert is_skorch(NeuralNetClassifier(Net))
    assert not is_skorch(NeuralNetClassifier) and not is_skorch(LogisticRegression()) and not is_skorch(Net())


class Shorter(Net):
    """Loses a row of each batch."""

    def forward(self, x):
        return super().forward(x)[1:]


class Longer(Net):
    """Gives the last row of each batch twice."""

    def forward(self, x):
        return super().forward(torch.cat([x, x[-1:]]))


@pytest.mark.parametrize(
    ("module", "params", "n_given"),
    [(Net, {"iterator_valid__drop_last": True}, 20), (Shorter, {}, 20), (Longer, {}, 26)],
)
def test_a_pass_that_gives_other_rows_than_the_samples_is_an_error(module, params, n_given):
    """What no row was written to is whatever the memory held."""
    X = np.zeros((23, 4), dtype=np.float32)
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, batch_size=10, **params).initialize()
    with pytest.raises(ValueError, match=f"one row for each sample in prediction. Got {n_given} rows for 23 samples"):
        net_outputs(net, X, {"proba"})
