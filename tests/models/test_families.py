"""What each family tells: what was wanted and no more, whatever the head of a network is made of."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skal.exceptions import PoolCapabilityError
from skal.models import EmbeddingModel, LinearModel, MLPModel, PlainModel, model_for
from skal.nets import DeepClassifier
from skal.pool import view_pool
from skal.strategies import BADGE, BALD, DECERN, CoreSet, QueryByCommittee
from skal.utils._torch import torch_rng

ALL = ("proba", "logits", "embeddings")


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(36, 4)).astype(np.float32), np.arange(36) % 3


def fitted(module, data, cls=NeuralNetClassifier, criterion=nn.CrossEntropyLoss, **kwargs):
    net = cls(module, criterion=criterion, train_split=None, verbose=0, max_epochs=2, batch_size=16, lr=0.05, **kwargs)
    with torch_rng(0):
        return net.fit(*data)


# -- only what is wanted -----------------------------------------------------------------------------------------


class NoProba:
    """Its probabilities must not be asked for."""

    def predict_proba(self, X):
        raise AssertionError("predict_proba was called")


class QuietLinear(NoProba, LogisticRegression):
    pass


class QuietPlain(NoProba, GaussianNB):
    pass


@pytest.mark.parametrize("model", [QuietLinear(), QuietPlain()], ids=lambda model: type(model).__name__)
def test_embeddings_need_no_probabilities(model, data):
    X, y = data
    view = view_pool(model.fit(X, y), X, X_training=X, y_training=y)
    np.testing.assert_array_equal(view.embeddings, X)
    assert len(CoreSet(random_state=0).select(model, X + 1, 3, X_training=X, y_training=y)[0]) == 3


@pytest.mark.parametrize("wanted", [("proba",), ("logits",), ("embeddings",), ("proba", "embeddings"), ALL], ids=str)
@pytest.mark.parametrize("family", ["net", "embedding", "linear", "mlp"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_outputs_hold_what_was_wanted(family, wanted, data):
    class Known:
        def embed(self, X):
            return np.asarray(X)

        def head(self, Z):
            return torch.tanh(Z)

    models = {
        "net": lambda: fitted(nn.Linear(4, 3), data),
        "embedding": Known,
        "linear": lambda: LogisticRegression().fit(*data),
        "mlp": lambda: MLPClassifier((5,), max_iter=5, random_state=0).fit(*data),
    }
    model = models[family]()
    found = model_for(model).outputs(data[0], set(wanted))
    assert all(getattr(found, member) is not None for member in wanted)
    assert all(getattr(found, member) is None for member in ALL if member not in wanted)


def test_families(data):
    assert type(model_for(LogisticRegression())) is LinearModel
    assert type(model_for(MLPClassifier())) is MLPModel
    assert type(model_for(GaussianNB())) is PlainModel
    assert type(model_for(DeepClassifier(nn.Linear))).__name__ == "SkorchModel"
    assert type(model_for(type("Own", (), {"embed": lambda self, X: X})())) is EmbeddingModel


# -- heads of all kinds ------------------------------------------------------------------------------------------


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
        self.make()

    def make(self):
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.body(x))


class Spectral(Body):
    def make(self):
        self.head = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 3))


class WeightNorm(Body):
    def make(self):
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(6, 3))


class Lazy(Body):
    def make(self):
        self.head = nn.LazyLinear(3)


class Cosine(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 6))

    def forward(self, z):
        return 5 * nn.functional.linear(nn.functional.normalize(z, dim=1), nn.functional.normalize(self.weight, dim=1))


class WithCosine(Body):
    def make(self):
        self.head = Cosine()


class SecondHeadLast(Body):
    """The head of another task runs after that of the classes."""

    def make(self):
        self.head, self.other = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x):
        z = self.body(x)
        return self.head(z), self.other(z)


class Temperature(Body):
    def forward(self, x):
        return self.head(self.body(x)) / 2


class Bilinear(Body):
    def make(self):
        self.head = nn.Bilinear(6, 6, 3)

    def forward(self, x):
        z = self.body(x)
        return self.head(z, z)


class Conv(Body):
    def make(self):
        self.head = nn.Conv2d(6, 3, 1)

    def forward(self, x):
        return self.head(self.body(x)[:, :, None, None])[:, :, 0, 0]


class MeanOverSteps(Body):
    def forward(self, x):
        steps = self.body(x)[:, None].expand(-1, 4, -1) * torch.arange(1, 5)[:, None]
        return self.head(steps).mean(1)


@pytest.mark.parametrize("module", [Spectral, WeightNorm, Lazy, WithCosine, SecondHeadLast])
@pytest.mark.parametrize("cls", [NeuralNetClassifier, DeepClassifier])
def test_a_head_is_found_and_explains_the_probabilities(module, cls, data):
    net = fitted(module, data, criterion=FirstLoss if module is SecondHeadLast else nn.CrossEntropyLoss) if (
        cls is NeuralNetClassifier
    ) else DeepClassifier(module, max_epochs=2, random_state=0).fit(*data)  # fmt: skip
    view = view_pool(net, data[0], X_training=data[0], y_training=data[1])
    assert view.embeddings.shape == (36, 6)
    logits = view.head(torch.from_numpy(view.embeddings).double()).detach().numpy()
    np.testing.assert_allclose(softmax(logits, axis=1), net.predict_proba(data[0]), atol=1e-5)
    np.testing.assert_allclose(view.logits, logits, atol=1e-4)
    assert len(DECERN(random_state=0).select(net, data[0], 3, X_training=data[0], y_training=data[1])[0]) == 3
    if module is WithCosine:
        with pytest.raises(PoolCapabilityError, match="BADGE needs a linear `head`"):
            BADGE().select(net, data[0], 1)
    else:
        assert view.linear_head.weight.shape == (3, 6)


class FirstLoss(nn.CrossEntropyLoss):
    def forward(self, outputs, y):
        return super().forward(outputs[0] if isinstance(outputs, tuple) else outputs, y)


@pytest.mark.parametrize("module", [Temperature, Bilinear, Conv, MeanOverSteps])
def test_what_is_no_head_says_how_to_name_one(module, data):
    net = fitted(module, data)
    with pytest.raises(
        PoolCapabilityError, match=r"BADGE needs .* which NeuralNetClassifier .*skal.nets.DeepClassifier"
    ):
        BADGE().select(net, data[0], 1)
    net = DeepClassifier(module, max_epochs=1, random_state=0).fit(*data)
    with pytest.raises(PoolCapabilityError, match="BADGE needs .* which DeepClassifier does not .*embedding_layer="):
        BADGE().select(net, data[0], 1)
    # All that needs no head works.
    assert view_pool(net, data[0]).proba.shape == (36, 3)


@pytest.mark.parametrize("cls", [NeuralNetClassifier, DeepClassifier])
def test_a_compiled_net_shows_its_head(cls, data):
    compiled = {"compile": True, "compile__backend": "eager"}
    net = (
        fitted(Body, data, **compiled)
        if cls is NeuralNetClassifier
        else DeepClassifier(Body, max_epochs=1, random_state=0, **compiled).fit(*data)
    )
    view = view_pool(net, data[0])
    np.testing.assert_allclose(softmax(view.logits, axis=1), net.predict_proba(data[0]), atol=1e-5)
    assert view.linear_head.weight.shape == (3, 6)
    assert len(BADGE(random_state=0).select(net, data[0], 3)[0]) == 3


Answer = namedtuple("Answer", ["logits", "features"])


class Holder:
    def __init__(self, logits):
        self.logits = logits


@pytest.mark.parametrize("kind", ["tuple", "namedtuple", "dict", "attribute"])
def test_outputs_of_every_form(kind, data):
    class Net(Body):
        def forward(self, x):
            z = self.body(x)
            logits = self.head(z)
            forms = {"tuple": (logits, z), "namedtuple": Answer(logits, z), "dict": {"z": z, "logits": logits}}
            return forms.get(kind, Holder(logits))

    net = DeepClassifier(Net, max_epochs=3, lr=0.1, random_state=0).fit(*data)
    proba, embeddings = net.predict_proba(data[0]), net.embed(data[0])
    assert (proba.shape, embeddings.shape) == ((36, 3), (36, 6))
    view = view_pool(net, data[0], X_training=data[0], y_training=data[1])
    np.testing.assert_allclose(view.embeddings, embeddings, atol=1e-6)
    np.testing.assert_allclose(softmax(view.logits, axis=1), proba, atol=1e-5)
    assert net.predict(data[0]).shape == (36,)
    assert net.input_gradient(data[0], data[1]).shape == data[0].shape
    assert len(BADGE(random_state=0).select(net, data[0], 2)[0]) == 2


# -- clones of other nets ----------------------------------------------------------------------------------------


class Binary(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 1), nn.Flatten(0))


class Probabilities(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 3), nn.Softmax(dim=-1))


@pytest.mark.parametrize("strategy", [QueryByCommittee(n_members=2), BALD(source="clones", n_members=2)], ids=str)
def test_clones_of_a_binary_net(strategy, data):
    X, y = data[0], (data[1] > 0).astype(np.float32)
    net = NeuralNetBinaryClassifier(Binary, max_epochs=1, verbose=0, train_split=None).fit(X, y)
    query_idx, scores = strategy.select(net, X, 3, X_training=X, y_training=y)
    assert len(set(query_idx.tolist())) == 3
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("strategy", [QueryByCommittee(n_members=2), BALD(source="clones", n_members=2)], ids=str)
def test_clones_of_a_bare_net(strategy, data):
    class Net(NeuralNet):
        """Outputs are probabilities; it knows nothing of classes."""

        def predict_proba(self, X):
            return super().predict_proba(X)

    net = Net(Probabilities, criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0, train_split=None)
    net.fit(data[0], data[1])
    query_idx, _ = strategy.select(net, data[0], 3, X_training=data[0], y_training=data[1])
    assert len(set(query_idx.tolist())) == 3


@pytest.mark.parametrize("dtype", [np.int32, np.int16, np.uint8, bool])
@pytest.mark.parametrize("samples", [np.float64, np.float32])
def test_clones_take_labels_and_samples_of_any_dtype(dtype, samples, data):
    X, y = data[0].astype(samples), data[1] % 2
    net = NeuralNetClassifier(
        Body, criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0, train_split=None, optimizer__lr=0.1
    ).fit(data[0], y)
    for strategy in (QueryByCommittee(n_members=2), BALD(source="clones", n_members=2)):
        query_idx, _ = strategy.select(net, X, 3, X_training=X, y_training=y.astype(dtype))
        assert len(set(query_idx.tolist())) == 3


def test_reading_a_spectral_head_changes_nothing(data):
    net = fitted(Spectral, data)
    net.module_.train()
    before = {name: value.clone() for name, value in net.module_.state_dict().items()}
    view = view_pool(net, data[0])
    first, second = view.linear_head.weight, model_for(net).head().weight
    np.testing.assert_array_equal(first, second)
    assert net.module_.head.training
    for name, value in net.module_.state_dict().items():
        assert torch.equal(value, before[name]), name
