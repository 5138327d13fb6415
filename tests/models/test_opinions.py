"""Several opinions of one classifier: the right ones, repeatable, and nothing changed on the way."""

import copy
import warnings

import numpy as np
import pytest
import torch
from modAL.models import Committee
from scipy.stats import entropy as slow_entropy
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skal.exceptions import PoolCapabilityError
from skal.learners import ActiveLearner
from skal.models import model_for
from skal.models._clones import _bootstrap, points, spread
from skal.nets import DeepClassifier
from skal.pool import view_pool
from skal.strategies._parts._opinions import mean_and_entropy
from skal.utils._random import make_generator, sklearn_seed


class Net(nn.Module):
    """Batch normalization, dropout before and in the middle, a linear head."""

    def __init__(self, n_classes=3, p=0.5):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.first = nn.Linear(6, 12)
        self.drop = nn.Dropout(p)
        self.head = nn.Linear(12, n_classes)

    def forward(self, X):
        return self.head(self.drop(torch.relu(self.first(self.norm(X)))))


class SequentialHead(nn.Module):
    """A frozen part with dropout of its own, and a head that begins with dropout."""

    def __init__(self, n_classes=3):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(12, n_classes))

    def forward(self, X):
        return self.head(self.body(X))


@pytest.fixture(scope="module")
def data():
    X, y = make_blobs(90, centers=3, n_features=6, cluster_std=4.0, random_state=0)
    X = X.astype(np.float32)
    return X[:40], y[:40], X[40:]


@pytest.fixture(scope="module")
def net(data):
    return DeepClassifier(Net, max_epochs=3, lr=0.05, batch_size=16, random_state=0).fit(*data[:2])


def state_of(net):
    return {key: value.clone() for key, value in net.module_.state_dict().items()}


def assert_same_state(net, before):
    for key, value in net.module_.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_dropout_samples_are_passes_in_eval_mode_with_dropout_on(net, data):
    samples = view_pool(net, data[2]).proba_samples(4, random_state=7)
    module = copy.deepcopy(net.module_).eval()
    module.drop.train()
    rng = make_generator(7)
    for sample in samples:
        seed = sklearn_seed(rng)
        with torch.random.fork_rng(), torch.no_grad():
            torch.default_generator.manual_seed(seed)
            expected = torch.softmax(module(torch.from_numpy(data[2])), dim=1).numpy()
        np.testing.assert_allclose(sample, expected, atol=1e-6)
    assert samples.shape == (4, len(data[2]), 3)
    assert np.abs(samples[0] - samples[1]).max() > 0.01


def test_dropout_samples_repeat_and_average_to_the_prediction_of_many(net, data):
    pool = view_pool(net, data[2])
    np.testing.assert_array_equal(pool.proba_samples(3, 1), pool.proba_samples(3, 1))
    assert np.abs(pool.proba_samples(3, 1) - pool.proba_samples(3, 2)).max() > 0.01
    np.testing.assert_array_equal(pool.proba_samples(3, 1)[:2], pool.proba_samples(2, 1))


@pytest.mark.parametrize("training", [True, False])
def test_dropout_samples_change_nothing(net, data, training):
    pool = view_pool(net, data[2])
    before = state_of(net)
    net.module_.train(training)
    net.module_.norm.eval()
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    expected = net.predict_proba(data[2])
    modes = {name: part.training for name, part in net.module_.named_modules()}
    pool.proba_samples(3, 0)
    assert_same_state(net, before)  # batch statistics, too
    assert modes == {name: part.training for name, part in net.module_.named_modules()}
    assert all(len(part._forward_pre_hooks) == 0 for part in net.module_.modules())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(net.predict_proba(data[2]), expected)


def test_an_error_in_a_pass_leaves_the_net_as_it_was(net, data, monkeypatch):
    modes = {name: part.training for name, part in net.module_.named_modules()}

    def broken(X):
        raise RuntimeError("no")

    monkeypatch.setattr(net.module_.head, "forward", broken)
    with pytest.raises(RuntimeError, match="no"):
        view_pool(net, data[2]).proba_samples(2, 0)
    assert modes == {name: part.training for name, part in net.module_.named_modules()}
    assert all(len(part._forward_pre_hooks) == 0 for part in net.module_.modules())


def test_only_the_head_of_a_frozen_backbone_drops(data):
    frozen = DeepClassifier(
        SequentialHead, freeze="backbone", embedding_layer="head", max_epochs=2, lr=0.05, random_state=0
    ).fit(*data[:2])
    before = frozen.predict_proba(data[2])
    samples = view_pool(frozen, data[2]).proba_samples(5, 0)
    assert np.abs(samples[0] - samples[1]).max() > 0.01
    # What the backbone computed is stored: it must be what it is without dropout.
    np.testing.assert_array_equal(frozen.predict_proba(data[2]), before)
    body = copy.deepcopy(frozen.module_.body).eval()
    with torch.no_grad():
        hidden = body(torch.from_numpy(data[2])).numpy()
    np.testing.assert_allclose(frozen._features(data[2]).numpy(), hidden, atol=1e-6)

    without = DeepClassifier(Net, freeze="backbone", max_epochs=1, random_state=0).fit(*data[:2])
    assert not view_pool(without, data[2]).has_samples


def test_plain_skorch(data):
    X, y, pool = data
    with torch.random.fork_rng():
        plain = NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=2, verbose=0)
        plain.fit(X, y)
    torch_state = torch.get_rng_state()
    view = view_pool(plain, pool, X_training=X, y_training=y)
    samples = view.proba_samples(3, 0)
    np.testing.assert_allclose(samples.sum(axis=2), 1, atol=1e-5)
    members = list(view.iter_clone_samples(2, np.random.default_rng(0)))
    again = list(view.iter_clone_samples(2, np.random.default_rng(0)))
    np.testing.assert_array_equal(members, again)
    assert np.abs(members[0] - members[1]).max() > 1e-3
    assert torch.equal(torch_state, torch.get_rng_state())


def test_forest_members(data):
    X, y, pool = data
    forest = RandomForestClassifier(6, random_state=0).fit(X, np.array(["a", "b", "c"])[y])
    samples = view_pool(forest, pool).proba_samples(6)
    for sample, tree in zip(samples, forest.estimators_):
        np.testing.assert_array_equal(sample, tree.predict_proba(pool))
    np.testing.assert_allclose(samples.mean(axis=0), forest.predict_proba(pool))
    assert len(view_pool(forest, pool).proba_samples(50)) == 6
    some = view_pool(forest, pool).proba_samples(2, random_state=1)
    assert len(some) == 2
    assert all(any(np.array_equal(one, sample) for sample in samples) for one in some)


def test_bagging_members_with_features_and_missing_classes(data):
    X, y, pool = data
    member = KNeighborsClassifier(1)  # without sample weights, so that it gets few samples
    bagging = BaggingClassifier(member, 8, max_samples=4, max_features=3, random_state=0).fit(X, y + 5)
    samples = view_pool(bagging, pool).proba_samples(8)
    assert min(len(member.classes_) for member in bagging.estimators_) < 3
    np.testing.assert_allclose(samples.mean(axis=0), bagging.predict_proba(pool))


def test_voting_members(data):
    X, y, pool = data
    members = [("nb", GaussianNB()), ("lr", LogisticRegression(max_iter=500))]
    voting = VotingClassifier(members, voting="soft").fit(X, np.array(["x", "y", "z"])[y])
    samples = view_pool(voting, pool).proba_samples(9)
    np.testing.assert_array_equal(samples[0], GaussianNB().fit(X, y).predict_proba(pool))
    np.testing.assert_allclose(samples.mean(axis=0), voting.predict_proba(pool))


def test_committee_members_know_different_classes(data):
    X, y, pool = data
    few = ActiveLearner(make_pipeline(StandardScaler(), GaussianNB()), X_training=X[y < 2], y_training=y[y < 2])
    every = ActiveLearner(GaussianNB(), X_training=X, y_training=y)
    samples = view_pool(Committee([few, every]), pool).proba_samples(5)
    np.testing.assert_array_equal(samples[0][:, :2], few.predict_proba(pool))
    np.testing.assert_array_equal(samples[0][:, 2], 0)
    np.testing.assert_array_equal(samples[1], every.predict_proba(pool))


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        OneVsRestClassifier(LogisticRegression()),
        AdaBoostClassifier(n_estimators=3),
        MLPClassifier((3,), max_iter=5),
        DeepClassifier(Net, module__p=0.0, max_epochs=1),
        BaggingClassifier(make_pipeline(StandardScaler()), 2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_one_opinion_only_is_a_clear_error(data, estimator):
    if isinstance(estimator, BaggingClassifier):
        estimator = BaggingClassifier(OnlyLabels(), 2)
    fitted = clone(estimator).fit(*data[:2])
    pool = view_pool(fitted, data[2])
    name = type(fitted).__name__
    assert not pool.has_samples
    with pytest.raises(PoolCapabilityError, match=f"needs several opinions of the classifier, which {name} does not"):
        pool.proba_samples(3)


class OnlyLabels(GaussianNB):
    """A member without probabilities."""

    @property
    def predict_proba(self):
        raise AttributeError("predict_proba")


def test_number_of_samples(net, data):
    with pytest.raises(ValueError, match=r"n must be at least 1. Got 0 instead."):
        view_pool(net, data[2]).proba_samples(0)


# -- clones ----------------------------------------------------------------------------------------------------


def test_clones_are_trained_on_bootstrap_samples(data):
    X, y, pool = data
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    view = view_pool(forest, pool, X_training=X, y_training=y)
    found = list(view.iter_clone_samples(3, np.random.default_rng(5)))
    rng = np.random.default_rng(5)
    for proba in found:
        rows = _bootstrap(y, rng)
        seed = sklearn_seed(rng)
        sklearn_seed(rng)
        member = RandomForestClassifier(3, random_state=seed).fit(X[rows], y[rows])
        np.testing.assert_array_equal(proba, member.predict_proba(pool))


def test_clones_without_bootstrap_of_a_classifier_without_randomness_agree(data):
    X, y, pool = data
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    view = view_pool(fitted, pool, X_training=X, y_training=y)
    for proba in view.iter_clone_samples(2, np.random.default_rng(0), bootstrap=False):
        np.testing.assert_array_equal(proba, fitted.predict_proba(pool))
    first, second = view.iter_clone_samples(2, np.random.default_rng(0))
    assert np.abs(first - second).max() > 0.01


@pytest.mark.parametrize("labels", [np.array([3, 7, 9]), np.array(["a", "b", "c"])])
def test_clones_that_miss_a_class_keep_the_columns(data, labels):
    """Only one sample of the last class: a bootstrap sample without it gives it probability 0, or a small one."""
    X, y, pool = data
    keep = [*np.flatnonzero(y < 2)[:8].tolist(), int(np.flatnonzero(y == 2)[0])]
    X, y = X[keep], labels[y[keep]]
    fixed_width = nn.Sequential(nn.Linear(6, 3))  # three outputs, however many labels a clone sees
    nets = [DeepClassifier(module, max_epochs=1, random_state=0) for module in (Net, fixed_width)]
    for estimator in (GaussianNB(), *nets):
        view = view_pool(clone(estimator).fit(X, y), pool, X_training=X, y_training=y)
        members = np.array(list(view.iter_clone_samples(6, np.random.default_rng(0))))
        assert members.shape == (6, len(pool), 3)
        np.testing.assert_allclose(members.sum(axis=2), 1, atol=1e-5)
        if isinstance(estimator, GaussianNB):
            assert (members[:, :, 2] == 0).all(axis=1).any()


def test_bootstrap_has_two_classes():
    y = np.array([0, 1])
    for seed in range(20):
        rows = _bootstrap(y, np.random.default_rng(seed))
        assert sorted(rows.tolist()) == [0, 1]


def test_one_labelled_class_trains_nothing(data):
    X, y, pool = data
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    view = view_pool(fitted, pool, X_training=X[y == 1], y_training=y[y == 1])
    for proba in view.iter_clone_samples(2, np.random.default_rng(0)):
        np.testing.assert_array_equal(proba, np.tile([0.0, 1.0, 0.0], (len(pool), 1)))


def test_clones_need_labelled_data_that_the_classifier_knows(data):
    X, y, pool = data
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    with pytest.raises(PoolCapabilityError, match="needs the labelled data"):
        view_pool(fitted, pool).iter_clone_samples(2, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"LogisticRegression has no output for: \[6, 7, 8\]"):
        view_pool(fitted, pool, X_training=X, y_training=y + 6).iter_clone_samples(2, np.random.default_rng(0))

    class Bare:
        predict_proba, classes_ = fitted.predict_proba, fitted.classes_

    with pytest.raises(PoolCapabilityError, match="needs clones to train, which Bare does not supply"):
        view_pool(Bare(), pool, X_training=X, y_training=y).iter_clone_samples(2, np.random.default_rng(0))


# -- noisy weights ---------------------------------------------------------------------------------------------


def test_noise_in_a_linear_classifier(data):
    X, y, pool = data
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    before = fitted.coef_.copy()
    found = list(model_for(fitted).perturbed(pool, 3, 0.2, np.random.default_rng(4)))
    rng = np.random.default_rng(4)
    for proba in found:
        noise = rng.standard_normal(before.shape)
        noise *= 0.2 * np.linalg.norm(before) / np.linalg.norm(noise)
        twin = copy.deepcopy(fitted)
        twin.coef_ = (before + noise).astype(before.dtype)  # float32 stays float32
        np.testing.assert_allclose(proba, twin.predict_proba(pool), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(fitted.coef_, before)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_noise_in_every_layer_of_a_perceptron(data):
    X, y, pool = data
    fitted = MLPClassifier((5, 4), max_iter=20, random_state=0).fit(X, y)
    before = copy.deepcopy(fitted.coefs_)
    (proba,) = model_for(fitted).perturbed(pool, 1, 0.5, np.random.default_rng(4))
    rng = np.random.default_rng(4)
    twin = copy.deepcopy(fitted)
    for i, weight in enumerate(before):
        noise = rng.standard_normal(weight.shape)
        noisy = weight + noise * 0.5 * np.linalg.norm(weight) / np.linalg.norm(noise)
        twin.coefs_[i] = noisy.astype(weight.dtype)  # float32 stays float32
    np.testing.assert_allclose(proba, twin.predict_proba(pool), rtol=1e-5, atol=1e-6)
    for weight, old in zip(fitted.coefs_, before):
        np.testing.assert_array_equal(weight, old)


def test_noise_in_a_net(net, data):
    before, modes = state_of(net), {name: part.training for name, part in net.module_.named_modules()}
    found = list(model_for(net).perturbed(data[2], 3, 0.1, np.random.default_rng(4)))
    assert_same_state(net, before)
    assert modes == {name: part.training for name, part in net.module_.named_modules()}
    rng = np.random.default_rng(4)
    for proba in found:
        module = copy.deepcopy(net.module_).eval()
        with torch.no_grad():
            for layer in (module.norm, module.first, module.head):
                noise = rng.standard_normal(layer.weight.shape)
                noise *= 0.1 * float(layer.weight.double().norm()) / np.linalg.norm(noise)
                layer.weight += torch.from_numpy(noise).float()
            expected = torch.softmax(module(torch.from_numpy(data[2])), dim=1).numpy()
        np.testing.assert_allclose(proba, expected, atol=1e-5)


def test_a_frozen_backbone_gets_no_noise(data):
    frozen = DeepClassifier(Net, freeze="backbone", max_epochs=1, random_state=0).fit(*data[:2])
    (proba,) = model_for(frozen).perturbed(data[2], 1, 0.3, np.random.default_rng(4))
    noise = np.random.default_rng(4).standard_normal((3, 12))
    weight = frozen.module_.head.weight.detach().numpy()
    noise *= 0.3 * np.linalg.norm(weight) / np.linalg.norm(noise)
    logits = frozen.embed(data[2]) @ (weight + noise).T + frozen.module_.head.bias.detach().numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(proba, expected, atol=1e-5)


# -- training --------------------------------------------------------------------------------------------------


def test_watching_a_net_repeats_its_training(net, data):
    """The opinions are those of nets trained for so many epochs with the same seed; the last is the net's own."""
    X, y, pool = data
    seen = []
    view_pool(net, pool, X_training=X, y_training=y).watch_training(3, np.random.default_rng(0), seen.append)
    assert len(seen) == 3
    for epochs, proba in enumerate(seen, start=1):
        shorter = clone(net).set_params(max_epochs=epochs).fit(X, y)
        np.testing.assert_allclose(proba, shorter.predict_proba(pool), atol=1e-6)
    np.testing.assert_allclose(seen[-1], net.predict_proba(pool), atol=1e-6)


def test_watching_takes_spaced_epochs_and_keeps_the_users_callbacks(data):
    X, y, pool = data
    epochs = []

    class Count(Callback):
        def on_epoch_end(self, net, **kwargs):
            epochs.append(len(net.history))

    for callbacks, counted in (([("count", Count())], 10), ("disable", 0), (None, 0)):
        fitted = DeepClassifier(Net, max_epochs=10, random_state=0, callbacks=callbacks).fit(X, y)
        epochs.clear()
        seen = []
        view_pool(fitted, pool, X_training=X, y_training=y).watch_training(2, np.random.default_rng(0), seen.append)
        assert len(seen) == 2
        assert len(epochs) == counted


def test_watching_the_iterations_of_a_solver(data):
    X, y, pool = data
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    n_iter, seen = int(fitted.n_iter_[0]), []
    view_pool(fitted, pool, X_training=X, y_training=y).watch_training(4, np.random.default_rng(0), seen.append)
    assert n_iter > 8
    for k, proba in enumerate(seen, start=1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stopped = LogisticRegression(max_iter=round(n_iter * k / 4)).fit(X, y)
        np.testing.assert_allclose(proba, stopped.predict_proba(pool), atol=1e-10)
    np.testing.assert_allclose(seen[-1], fitted.predict_proba(pool), atol=1e-10)


def test_no_steps_is_a_clear_error(data):
    X, y, pool = data
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    with pytest.raises(PoolCapabilityError, match="needs a training in steps, which RandomForestClassifier does not"):
        view_pool(forest, pool, X_training=X, y_training=y).watch_training(3, np.random.default_rng(0), print)


# -- arithmetic ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("last", "n", "expected"), [(200, 10, range(20, 201, 20)), (3, 10, [1, 2, 3]), (1, 5, [1])])
def test_points(last, n, expected):
    assert points(last, n) == set(expected)


def test_mean_and_entropy_equal_the_slow_ones():
    samples = np.random.default_rng(0).dirichlet(np.ones(5) / 3, size=(7, 20))
    mean, mean_entropy = mean_and_entropy(iter(samples))
    np.testing.assert_allclose(mean, samples.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(mean_entropy, slow_entropy(samples, axis=2).mean(axis=0), atol=1e-13)


def test_equal_samples_average_exactly():
    proba = np.random.default_rng(0).dirichlet(np.ones(7), size=50)
    mean, _ = mean_and_entropy([proba] * 11)
    np.testing.assert_array_equal(mean, proba)


def test_spread():
    proba = np.array([[0.2, 0.8]])
    np.testing.assert_array_equal(spread(proba, np.array(["c", "a"]), np.array(["a", "b", "c"])), [[0.8, 0, 0.2]])
    assert spread(proba, np.array([0, 1]), np.array([0, 1])) is proba
