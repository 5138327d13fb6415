"""AdversarialClassifier: FGSM against the vectors, the training step against a slow one, scikit-learn's protocol."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from torch import nn

from skal.learners import ActiveLearner
from skal.nets import AdversarialClassifier, DeepClassifier
from skal.strategies import DM2

# PAPERS 4.5.
WEIGHT = np.array([[2, -1], [-1, 2], [0.5, 0.5]])
X0 = np.array([[0.2, 0.8]])


class Linear(nn.Module):
    """The vectors' model, in float64."""

    def __init__(self, weight=WEIGHT):
        super().__init__()
        self.head = nn.Linear(2, len(weight), bias=False, dtype=torch.float64)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor(weight))

    def forward(self, x):
        return self.head(x)


class Net(nn.Module):
    def __init__(self, n_features=5, n_classes=3, dropout=0.0, norm=False):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(n_features, 8),
            nn.BatchNorm1d(8) if norm else nn.Identity(),
            nn.Tanh(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


def known(**params):
    return AdversarialClassifier(Linear(), classes=[0, 1, 2], device="cpu", **params).initialize()


def cross_entropy(x, label):
    return -np.log(softmax(x @ WEIGHT.T, axis=1)[0, label])


def data(n=40, d=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(n, d))
    return X, (3 * X[:, 0]).astype(int)


@pytest.mark.parametrize(
    ("epsilon", "copy", "proba"),
    [
        (8 / 255, (0.231372549020, 0.768627450980), (0.121207442779, 0.607448979119, 0.271343578103)),
        (0.05, (0.25, 0.75), None),
        (0.3, (0.5, 0.5), (1 / 3, 1 / 3, 1 / 3)),
    ],
)
def test_vectors_of_fgsm(epsilon, copy, proba):
    net = known(epsilon=epsilon)
    np.testing.assert_allclose(net.predict_proba(X0)[0], (0.105160758154, 0.636185513920, 0.258653727926), atol=1e-12)
    assert net.predict(X0).tolist() == [1]
    np.testing.assert_allclose(net.input_gradient(X0, [1])[0], (0.70346286635, -0.70346286635), atol=1e-7)
    copies = net.fgsm(X0)
    np.testing.assert_allclose(copies, [copy], atol=1e-12)
    np.testing.assert_array_equal(copies, net.fgsm(X0, [1]))
    if proba is not None:
        np.testing.assert_allclose(net.predict_proba(copies)[0], proba, atol=1e-12)


def test_vectors_of_the_losses_and_of_the_true_label():
    net = known()
    assert cross_entropy(X0, 0) == pytest.approx(2.252265069621, abs=1e-12)
    assert cross_entropy(net.fgsm(X0), 0) == pytest.approx(2.110251798167, abs=1e-12)
    np.testing.assert_allclose(net.input_gradient(X0, [0])[0], (-2.29653713365, 2.29653713365), atol=1e-6)
    np.testing.assert_allclose(net.fgsm(X0, [0]), [(0.168627450980, 0.831372549020)], atol=1e-12)


@pytest.mark.parametrize(("weight", "expected"), [(0.5, 2.181258433894), (0.0, 2.252265069621), (1.0, 2.110251798167)])
def test_vector_of_the_mixed_loss(weight, expected):
    """Pseudo-label copy, true label in the loss, as `recraft="once"` trains on what `fgsm` returned."""
    net = known(adversarial_weight=weight)
    copies = net.fgsm(X0)
    mixed = (1 - weight) * cross_entropy(X0, 0) + weight * cross_entropy(copies, 0)
    assert mixed == pytest.approx(expected, abs=1e-12)
    trained = DeepClassifier(Linear(), classes=[0, 1, 2], max_epochs=1, lr=0.0, device="cpu")
    trained.fit(np.vstack([X0, copies]), [0, 0], sample_weight=[1 - weight, weight])
    # The weighted mean over the two rows is the mixed loss.
    assert trained.history[-1]["train_loss"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("weight", [0.3, 1.0])
@pytest.mark.parametrize("sample_weight", [None, [1.0, 3.0] * 20])
def test_training_equals_a_slow_loop(weight, sample_weight):
    """Full-batch gradient descent on eq. 14, the copies crafted anew in each step."""
    X, y = data()
    net = AdversarialClassifier(
        Net, epsilon=0.1, adversarial_weight=weight, max_epochs=4, lr=0.5, batch_size=-1, random_state=0, device="cpu",
        iterator_train__shuffle=False,
    ).fit(X, y, sample_weight=sample_weight)  # fmt: skip
    module = Net()
    start = DeepClassifier(Net, max_epochs=0, random_state=0, device="cpu").fit(X, y)
    module.load_state_dict(start.module_.state_dict())
    x, target = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    w = torch.ones(len(y)) if sample_weight is None else torch.tensor(sample_weight)
    w = w / w.mean()
    for epoch in range(4):
        leaf = x.clone().requires_grad_(True)
        nn.functional.cross_entropy(module(leaf), target, reduction="sum").backward()
        copies = (x + 0.1 * leaf.grad.sign()).clamp(0, 1)
        module.zero_grad()
        clean = (w * nn.functional.cross_entropy(module(x), target, reduction="none")).mean()
        adversarial = (w * nn.functional.cross_entropy(module(copies), target, reduction="none")).mean()
        loss = (1 - weight) * clean + weight * adversarial
        loss.backward()
        assert net.history[epoch]["train_loss"] == pytest.approx(loss.item(), abs=1e-5)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter -= 0.5 * parameter.grad
    for name, value in module.state_dict().items():
        torch.testing.assert_close(net.module_.state_dict()[name], value, atol=1e-5, rtol=1e-4)


def test_weight_zero_is_a_plain_network():
    X, y = data()
    params = {"max_epochs": 3, "random_state": 0, "module__dropout": 0.4, "batch_size": 8}
    plain = DeepClassifier(Net, **params).fit(X, y)
    for recraft in ("every_step", "once"):
        net = AdversarialClassifier(Net, adversarial_weight=0.0, recraft=recraft, **params).fit(X, y)
        np.testing.assert_array_equal(net.predict_proba(X), plain.predict_proba(X))


def test_once_trains_on_the_copies_of_a_clean_network():
    X, y = data()
    params = {"max_epochs": 3, "random_state": 0, "batch_size": 8}
    net = AdversarialClassifier(Net, recraft="once", adversarial_weight=0.25, epsilon=0.2, **params).fit(X, y)
    clean = AdversarialClassifier(Net, adversarial_weight=0.0, epsilon=0.2, **params).fit(X, y)
    both = np.vstack([X, clean.fgsm(X, y)])
    by_hand = DeepClassifier(Net, **params).fit(both, np.tile(y, 2), sample_weight=[0.75] * 40 + [0.25] * 40)
    np.testing.assert_array_equal(net.predict_proba(X), by_hand.predict_proba(X))


@pytest.mark.parametrize("recraft", ["every_step", "once"])
def test_a_second_fit_begins_anew(recraft):
    X, y = data()
    net = AdversarialClassifier(Net, recraft=recraft, epsilon=0.2, max_epochs=2, random_state=0)
    first = net.fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(net.fit(X[:20], y[:20]).fit(X, y).predict_proba(X), first)


def test_once_and_partial_fit_craft_against_the_net_as_it_stands():
    X, y = data()
    net = AdversarialClassifier(Net, recraft="once", max_epochs=2, random_state=0, batch_size=8).fit(X, y)
    twin = pickle.loads(pickle.dumps(net))
    weights = np.repeat([0.5, 0.5], 40)
    DeepClassifier._train(
        twin.set_params(adversarial_weight=0.0), np.vstack([X, net.fgsm(X, y)]), np.tile(y, 2), None, weights, {},
        reset=False,
    )  # fmt: skip
    net.partial_fit(X, y)
    np.testing.assert_array_equal(net.predict_proba(X), twin.predict_proba(X))


def test_it_is_robust_where_a_plain_network_is_not():
    """Two features: one strong and small against epsilon, one weaker and beyond its reach."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    side = 2 * y - 1
    X = np.column_stack([0.5 + 0.04 * side, np.clip(0.5 + 0.3 * side + 0.2 * rng.standard_normal(400), 0, 1)])
    params = {"max_epochs": 150, "lr": 0.5, "optimizer__momentum": 0.9, "random_state": 0, "device": "cpu"}
    plain = DeepClassifier(Net, module__n_features=2, **params).fit(X, y)
    net = AdversarialClassifier(Net, module__n_features=2, epsilon=0.1, adversarial_weight=0.8, **params).fit(X, y)
    accuracy = {}
    for name, model in (("plain", plain), ("adversarial", net)):
        gradient = np.sign(model.input_gradient(X, y))
        accuracy[name] = model.score(np.clip(X + 0.1 * gradient, 0, 1), y)
    assert accuracy["adversarial"] > accuracy["plain"] + 0.1
    assert net.score(net.fgsm(X, y), y) == accuracy["adversarial"]


def test_crafting_moves_no_batch_statistics_and_ignores_dropout():
    X, y = data()
    net = AdversarialClassifier(
        Net, module__norm=True, module__dropout=0.5, max_epochs=1, batch_size=-1, random_state=0, device="cpu"
    ).fit(X, y)
    # Two batches, samples and copies; a crafting pass in training mode would make it three.
    assert int(net.module_.body[1].num_batches_tracked) == 2
    before = pickle.dumps(net.module_.state_dict())
    np.testing.assert_array_equal(net.fgsm(X), net.fgsm(X))
    assert pickle.dumps(net.module_.state_dict()) == before


def test_copies_stay_within_epsilon_and_the_range():
    X, y = data()
    X[0], X[1] = 0, 1
    net = AdversarialClassifier(Net, epsilon=0.3, max_epochs=1, random_state=0).fit(X, y)
    copies = net.fgsm(X, y)
    assert np.abs(copies - X).max() <= 0.3 + 1e-12
    assert 0 <= copies.min() <= copies.max() <= 1
    assert net.set_params(clip=None).fgsm(X, y).min() < 0
    np.testing.assert_array_equal(net.set_params(epsilon=0).fgsm(X, y), X)


@pytest.mark.parametrize("kind", ["float32", "bytes", "frame", "tensor"])
def test_containers_of_copies(kind):
    X, y = data()
    X = (255 * X).round()
    make = {
        "float32": lambda A: A.astype(np.float32),
        "bytes": lambda A: A.astype(np.uint8),
        "frame": lambda A: pd.DataFrame(A, columns=list("abcde")),
        "tensor": lambda A: torch.tensor(A, dtype=torch.uint8),
    }[kind]
    for recraft in ("every_step", "once"):
        net = AdversarialClassifier(Net, epsilon=0.5, clip=(0, 255), max_epochs=1, random_state=0, recraft=recraft)
        copies = net.fit(make(X), y).fgsm(make(X), y)
        assert type(copies) is type(make(X))
        moved = np.abs(np.asarray(copies) - X)
        assert np.all((moved < 1e-6) | (np.abs(moved - 0.5) < 1e-6))
        assert moved.max() == 0.5
    if kind == "frame":
        assert list(copies.columns) == list("abcde")
    else:
        assert str(copies.dtype).endswith("float32")


def test_in_pipeline_grid_search_and_learner():
    X, y = load_digits(return_X_y=True)
    X, y = X[:200], np.array([f"digit {label}" for label in y[:200]])
    net = AdversarialClassifier(nn.Linear(64, 10), max_epochs=3, lr=0.5, random_state=0)
    pipeline = make_pipeline(MinMaxScaler(clip=True), net)
    search = GridSearchCV(pipeline, {"adversarialclassifier__epsilon": [0.0, 0.1]}, cv=2, error_score="raise")
    assert search.fit(X, y).best_score_ > 0.5
    learner = ActiveLearner(clone(pipeline), DM2(random_state=0), X[:50], y[:50])
    idx, queried = learner.query(X[50:], n_instances=5)
    learner.teach(queried, y[50:][idx])
    assert len(learner.X_training) == 55


def test_clone_pickle_and_repeat():
    X, y = data()
    net = AdversarialClassifier(
        Net, epsilon=0.07, clip=None, adversarial_weight=0.4, recraft="once", max_epochs=2, random_state=1
    )
    twin = clone(net)
    assert {key: twin.get_params()[key] for key in ("epsilon", "clip", "adversarial_weight", "recraft")} == {
        "epsilon": 0.07, "clip": None, "adversarial_weight": 0.4, "recraft": "once",
    }  # fmt: skip
    proba = net.fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(twin.fit(X, y).predict_proba(X), proba)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net)).predict_proba(X), proba)


def test_global_generators_are_untouched():
    X, y = data()
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    for recraft in ("every_step", "once"):
        net = AdversarialClassifier(Net, max_epochs=1, module__dropout=0.5, recraft=recraft).fit(X, y)
        net.fgsm(X)
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"epsilon": -0.1}, "'epsilon' parameter of AdversarialClassifier must be a finite number of 0 or more. Got -"),
        ({"epsilon": np.inf}, "must be a finite number of 0 or more"),
        ({"epsilon": "big"}, "must be a finite number of 0 or more. Got 'big'"),
        ({"clip": (1, 0)}, r"must be None or a pair \(low, high\) of numbers with low < high. Got \(1, 0\)"),
        ({"clip": 1.0}, "The 'clip' parameter of AdversarialClassifier must be None or a pair"),
        ({"adversarial_weight": 1.5}, r"'adversarial_weight' .* in the range \[0.0, 1.0\]. Got 1.5"),
        ({"recraft": "never"}, "The 'recraft' parameter of AdversarialClassifier must be 'every_step' or 'once'"),
        ({"freeze": "backbone"}, "The 'freeze' parameter of AdversarialClassifier must be None. Got 'backbone'"),
    ],
)
def test_bad_parameters(params, message):
    X, y = data()
    with pytest.raises(ValueError, match=message):
        AdversarialClassifier(Net, **params).fit(X, y)


@pytest.mark.parametrize("recraft", ["every_step", "once"])
def test_samples_outside_the_range_are_an_error_and_the_net_stays(recraft):
    X, y = data()
    net = AdversarialClassifier(Net, max_epochs=1, random_state=0, recraft=recraft).fit(X, y)
    before = net.predict_proba(X)
    message = r"Samples must lie in clip=\(0.0, 1.0\) of AdversarialClassifier. Got values from -3 to 3: scale the"
    bad = X.copy()
    bad[0, :2] = -3, 3
    for call in (lambda: net.fit(bad, y), lambda: net.partial_fit(bad, y), lambda: net.fgsm(bad)):
        with pytest.raises(ValueError, match=message):
            call()
    np.testing.assert_array_equal(net.predict_proba(X), before)
    AdversarialClassifier(Net, max_epochs=1, clip=None, recraft=recraft).fit(bad, y)


def test_what_has_no_gradient_is_refused():
    X, y = data()
    tokens = AdversarialClassifier(nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3)), clip=None)
    with pytest.raises(TypeError, match="needs a module that takes real numbers. Got one that takes torch.int64"):
        tokens.fit(np.ones((40, 5), dtype=int), y)
    with pytest.raises(TypeError, match="must be an array, tensor or DataFrame of numbers"):
        AdversarialClassifier(Net).fit({"x": X}, y)
    with pytest.raises(TypeError, match="crafts copies of samples, which must be an array. Got a TensorDataset"):
        AdversarialClassifier(Net).fit(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(y)))
