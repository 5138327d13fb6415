"""modAL's DeepActiveLearner with either modAL: training that goes on, nothing kept, all or nothing."""

import copy
import pickle

import numpy as np
import pytest
import torch
from modAL.uncertainty import entropy_sampling as modals_entropy_sampling
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch import NeuralNetClassifier
from torch import nn

from skal.exceptions import ColdStartWarning, PoolCapabilityError
from skal.learners import ActiveLearner, Committee, DeepActiveLearner
from skal.nets import DeepClassifier
from skal.strategies import BALD, CoreSet, EntropySampling, entropy_sampling
from skal.utils._compat import BaseLearner, ModALDeepActiveLearner

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 4)).astype("f4")
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
TEXT = np.array(["ant", "bee", "cat"])[Y]
torch.manual_seed(0)
BODY = nn.Sequential(nn.Dropout(0.2), nn.Linear(4, 3))


def plain(**params):
    torch.manual_seed(0)
    settings = {"criterion": nn.CrossEntropyLoss, "max_epochs": 2, "train_split": None, "verbose": 0, "lr": 0.1}
    return NeuralNetClassifier(copy.deepcopy(BODY), **settings | params)


def deep(**params):
    return DeepClassifier(copy.deepcopy(BODY), **{"max_epochs": 2, "random_state": 0, "lr": 0.1} | params)


def unpickles(net):
    """Whether skorch's own network can be had again, which version 1.1 cannot under torch 2.6 and later."""
    try:
        return bool(pickle.loads(pickle.dumps(net)))
    except pickle.UnpicklingError:
        return False


def weights(learner):
    return learner.estimator.module_[1].weight.detach().numpy().copy()


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
@pytest.mark.parametrize("make", [plain, deep])
def test_the_loop_of_modals_example(make, kind):
    learner = DeepActiveLearner(make(), query_strategy=entropy_sampling)
    assert isinstance(learner, (ModALDeepActiveLearner, BaseLearner)) and not hasattr(learner, "X_training")
    learner.teach(kind(X[:20]), kind(Y[:20]))
    before = weights(learner)
    idx, rows = learner.query(kind(X[20:]), n_instances=5)
    assert type(rows) is type(kind(X)) and rows.shape == (5, 4)
    learner.num_epochs, learner.batch_size = 4, 2
    learner.teach(rows, kind(Y[20:])[idx])
    assert learner.round == 1 and len(learner.estimator.history) == 6 and not np.array_equal(weights(learner), before)
    learner.teach(rows, kind(Y[20:])[idx], warm_start=False)
    assert len(learner.estimator.history) == 4 and (learner.num_epochs, learner.batch_size) == (4, 2)
    assert learner.fit(kind(X), kind(Y)) is learner and learner.round == 0
    assert learner.score(X, Y) == np.mean(learner.predict(X) == Y)


@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("warm_start", [False, True])
def test_teach_is_the_networks_own_training(warm_start, bootstrap):
    learner, net = DeepActiveLearner(deep(), random_state=4), deep()
    learner.teach(X[:20], TEXT[:20])
    net.fit(X[:20], TEXT[:20])
    np.testing.assert_array_equal(weights(learner), net.module_[1].weight.detach().numpy())
    rows = np.arange(20, 60)
    if bootstrap:
        rows = rows[np.random.default_rng([4, 0, 40]).integers(40, size=40)]
    learner.teach(X[20:60], TEXT[20:60], warm_start=warm_start, bootstrap=bootstrap)
    (net.partial_fit if warm_start else net.fit)(X[rows], TEXT[rows])
    np.testing.assert_array_equal(weights(learner), net.module_[1].weight.detach().numpy())


def test_before_it_is_taught():
    learner = DeepActiveLearner(plain(), modals_entropy_sampling)
    assert learner.estimator.initialized_ and learner.query(X, n_instances=2)[1].shape == (2, 4)
    learner = DeepActiveLearner(deep(), EntropySampling(random_state=0))
    with pytest.warns(ColdStartWarning):
        learner.query(X, n_instances=2)
    taught = plain().fit(X, Y)
    before = taught.module_[1].weight.detach().numpy().copy()
    np.testing.assert_array_equal(weights(DeepActiveLearner(taught)), before)


def test_what_needs_the_labelled_data_gets_them_with_the_query():
    learner = DeepActiveLearner(deep(), CoreSet())
    learner.teach(X[:20], TEXT[:20])
    with pytest.raises(PoolCapabilityError, match="CoreSet needs the labelled data"):
        learner.query(X[20:], n_instances=3)
    found = learner.query(X[20:], n_instances=3, X_training=X[:20], y_training=TEXT[:20])[0]
    np.testing.assert_array_equal(
        found, CoreSet().select(learner.estimator, X[20:], 3, X_training=X[:20], y_training=TEXT[:20])[0]
    )
    learner.query_strategy = BALD(random_state=0)
    assert len(learner.query(X[20:], n_instances=3)[0]) == 3


@pytest.mark.parametrize("make", [plain, deep])
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_failed_teach_leaves_the_network(make, warm_start):
    from skorch.callbacks import Callback

    class Stop(Callback):
        on = False

        def on_batch_end(self, net, **kwargs):
            if Stop.on:
                raise KeyboardInterrupt

    learner = DeepActiveLearner(make(callbacks=[("stop", Stop)]))
    learner.teach(X[:20], Y[:20])
    before, epochs = weights(learner), len(learner.estimator.history)
    learner.query(X)
    Stop.on = True
    with pytest.raises(KeyboardInterrupt):
        learner.teach(X, Y, warm_start=warm_start)
    Stop.on = False
    np.testing.assert_array_equal(weights(learner), before)
    assert len(learner.estimator.history) == epochs and learner.round == 0
    for X_new, y_new in ((X[:3], Y[:2]), (X[:3] * np.nan, Y[:3]), (X[:3], 1)):
        with pytest.raises(ValueError):
            learner.teach(X_new, y_new)
    np.testing.assert_array_equal(weights(learner), before)


def test_global_generators_are_left_alone():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(1), np.random.random()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    learner = DeepActiveLearner(deep(), EntropySampling(random_state=0))
    learner.teach(X, Y, bootstrap=True)
    learner.query(X)
    assert (torch.rand(1), np.random.random()) == expected  # noqa: NPY002


@pytest.mark.parametrize("make", [plain, deep])
def test_scikit_learn(make):
    learner = DeepActiveLearner(make(), EntropySampling(random_state=0))
    learner.n_rounds = 3
    learner.teach(X, Y)
    assert is_classifier(learner) and learner.n_features_in_ == 4 if make is deep else is_classifier(learner)
    if make is deep or unpickles(learner.estimator):
        again = pickle.loads(pickle.dumps(learner))
        np.testing.assert_array_equal(again.predict_proba(X), learner.predict_proba(X))
    twin = clone(learner)
    assert twin.estimator is not learner.estimator and twin.n_rounds == 3 and twin.round == 0
    assert repr(learner).startswith("DeepActiveLearner(estimator=")
    assert cross_val_score(DeepActiveLearner(make()), X, Y, cv=2).shape == (2,)
    grid = GridSearchCV(DeepActiveLearner(make()), {"estimator__lr": [1e-9, 0.5], "estimator__max_epochs": [30]}, cv=2)
    assert grid.fit(X, Y).best_params_["estimator__lr"] == 0.5


def test_in_a_committee():
    committee = Committee([DeepActiveLearner(deep()), ActiveLearner(LogisticRegression())])
    committee.teach(X[:40], TEXT[:40])
    idx, rows = committee.query(X[40:], n_instances=20)
    committee.teach(rows, TEXT[40:][idx], only_new=True)
    assert len(committee.learner_list[1].X_training) == 60 and committee.predict(X).shape == (80,)
    with pytest.raises(ValueError, match="rebag needs members that hold labelled data. Got DeepActiveLearner"):
        committee.rebag()


@pytest.mark.parametrize("name", ["num_epochs", "batch_size"])
def test_numbers_that_are_none(name):
    learner = DeepActiveLearner(deep())
    for value, error, words in (
        (0, ValueError, "at least 1. Got 0"),
        (1.5, TypeError, "integer. Got 1.5"),
        (True, TypeError, "Got True"),
    ):
        with pytest.raises(error, match=f"{name} must be .*{words}"):
            setattr(learner, name, value)
    setattr(learner, name, np.int64(3))
    assert getattr(learner, name) == 3


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((LogisticRegression(),), {}, r"needs a network with initialize and partial_fit.*Got LogisticRegression\(\)"),
        ((DeepClassifier,), {}, "must be an instance, not a class"),
        ((deep(), "entropy"), {}, "query_strategy must be callable"),
        ((deep(),), {"force_all_finite": 1}, "force_all_finite must be a bool. Got 1"),
        ((deep(),), {"query_strat": 1}, "has no parameter 'query_strat'"),
    ],
)
def test_what_is_refused(args, kwargs, words):
    with pytest.raises(TypeError, match=words):
        DeepActiveLearner(*args, **kwargs)
