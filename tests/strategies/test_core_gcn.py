"""CoreGCN: CoreSet on the network's features, what it prefers, the limits, the errors."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skal.exceptions import ColdStartWarning, PoolCapabilityError
from skal.learners import ActiveLearner
from skal.nets import DeepClassifier, GraphSelector
from skal.strategies import CoreGCN, CoreSet
from skal.strategies._parts._helpers import helper_device
from skal.testing import FakePool
from skal.utils._random import make_generator, sklearn_seed


def random_pool(n=60, m=8, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return FakePool(
        embeddings=abs(rng.standard_normal((n, d))),
        labeled=FakePool(embeddings=abs(rng.standard_normal((m, d))), y=np.zeros(m, dtype=int)),
    )


@pytest.mark.parametrize("params", [{}, {"hidden": 7, "dropout": 0.0, "lr": 0.01, "max_epochs": 20}])
def test_equals_core_set_on_the_features_of_the_network(params):
    pool = random_pool()
    picks, scores = CoreGCN(**params, random_state=5).select(pool, pool.X, 12)
    X = np.vstack([pool.embeddings, pool.labeled.embeddings])
    seed = sklearn_seed(make_generator(5, pool.round, pool.n_labeled))
    net = GraphSelector(**params, device="cpu", random_state=seed).fit(X, np.arange(68) >= 60)
    features = net.transform(X)
    twin = FakePool(embeddings=features[:60], labeled=FakePool(embeddings=features[60:], y=np.zeros(8, dtype=int)))
    expected, expected_scores = CoreSet(random_state=5).select(twin, twin.X, 12)
    assert picks.tolist() == expected.tolist()
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-10)


def test_the_region_without_labels_comes_first():
    rng = np.random.default_rng(0)
    centers = np.eye(3)
    X = np.vstack([center + 0.2 * rng.standard_normal((40, 3)) for center in centers])
    labeled = np.vstack([center + 0.2 * rng.standard_normal((10, 3)) for center in centers[:2]])
    pool = FakePool(embeddings=X, labeled=FakePool(embeddings=labeled, y=np.zeros(20, dtype=int)))
    for seed in range(3):
        picks, _ = CoreGCN(random_state=seed).select(pool, X, 5)
        assert picks[0] >= 80
        assert (picks >= 80).sum() >= 3


def test_a_part_of_the_pool_trains_and_all_of_it_is_chosen_from():
    pool = random_pool(n=80)
    all_of_it = CoreGCN(random_state=0, n_train=80).select(pool, pool.X, 5)
    assert CoreGCN(random_state=0).select(pool, pool.X, 5)[0].tolist() == all_of_it[0].tolist()
    picks, _ = CoreGCN(random_state=0, n_train=10).select(pool, pool.X, 80)
    assert sorted(picks.tolist()) == list(range(80))
    # Other samples in another round.
    later = random_pool(n=80)
    later.round = 1
    first = CoreGCN(random_state=0, n_train=10).select(pool, pool.X, 5)
    assert not np.allclose(first[1], CoreGCN(random_state=0, n_train=10).select(later, later.X, 5)[1])


def test_nothing_labelled_is_random_in_a_learner_and_the_mean_otherwise():
    X = np.random.default_rng(0).standard_normal((30, 2))
    with pytest.warns(ColdStartWarning, match="CoreGCN chooses uniformly at random"):
        assert len(ActiveLearner(LogisticRegression(), CoreGCN()).query(X, n_instances=3)[0]) == 3
    clf = LogisticRegression().fit(X, X[:, 0] > 0)
    assert len(CoreGCN(max_epochs=2).select(clf, X, 3, X_training=X[:0], y_training=[])[0]) == 3


def test_no_labelled_data_is_a_clear_error():
    X = np.eye(3)
    with pytest.raises(PoolCapabilityError, match="CoreGCN needs the labelled data"):
        CoreGCN().select(LogisticRegression().fit(X, [0, 1, 1]), X)


def test_the_network_lies_where_the_classifiers_is():
    from torch import nn

    from skal.pool import view_pool

    X = np.eye(4, dtype=np.float32)
    net = DeepClassifier(nn.Linear(4, 2), max_epochs=1, device="cpu", random_state=0).fit(X, [0, 1, 0, 1])
    assert helper_device(view_pool(net, X)) == "cpu"
    net.device = "meta"
    assert helper_device(view_pool(net, X)) == "meta"
    net.device = None
    assert helper_device(view_pool(net, X)) == "cpu"
    assert helper_device(view_pool(LogisticRegression().fit(X, [0, 1, 0, 1]), X)) == "cpu"


def test_progress_is_the_learners(capsys):
    X = np.random.default_rng(0).standard_normal((30, 2))
    learner = ActiveLearner(LogisticRegression(), CoreGCN(max_epochs=2), X[:10], X[:10, 0] > 0)
    learner.query(X[10:])
    assert "graph" not in capsys.readouterr().err
    learner.verbose = True
    learner.query(X[10:])
    assert "graph" in capsys.readouterr().err


@pytest.mark.parametrize(
    "params", [{"hidden": 0}, {"dropout": 1.0}, {"unlabeled_weight": -1}, {"lr": 0}, {"weight_decay": -1},
               {"max_epochs": 0}, {"n_train": 0}]
)  # fmt: skip
def test_parameters(params):
    pool = random_pool()
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter of CoreGCN must be"):
        CoreGCN(**params).select(pool, pool.X)
