"""ClusterMargin: round-robin by hand and by a loop, clusters that a run keeps, the limits."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.linear_model import LogisticRegression

from skal.learners import ActiveLearner
from skal.strategies import ClusterMargin, Prefilter, cluster_margin_sampling
from skal.strategies import _cluster_margin as module
from skal.strategies._cluster_margin import cluster, in_turn
from skal.testing import FakePool


def slow_in_turn(labels):
    groups = {}
    for i, label in enumerate(labels):
        groups.setdefault(label, []).append(i)
    queues = sorted(groups.values(), key=len)  # stable: of equals the one that comes first
    found = []
    while any(queues):
        found += [queue.pop(0) for queue in queues if queue]
    return found


def test_in_turn_by_hand():
    assert in_turn(np.array([7, 7, 3, 7, 3, 5])).tolist() == [5, 2, 0, 4, 1, 3]


@pytest.mark.parametrize("n", [1, 2, 10, 57])
@pytest.mark.parametrize("n_labels", [1, 3, 20])
def test_in_turn_equals_the_loop(n, n_labels):
    labels = np.random.default_rng([n, n_labels]).integers(n_labels, size=n)
    assert in_turn(labels).tolist() == slow_in_turn(labels.tolist())


def pool_of(margin, z):
    margin = np.asarray(margin, dtype=float)
    return FakePool(proba=np.column_stack([(1 + margin) / 2, (1 - margin) / 2]), embeddings=z)


def test_by_hand():
    """Two far clusters; the candidates are the four smallest margins, three in one and one in the other."""
    fake = pool_of([0.1, 0.2, 0.9, 0.3, 0.95, 0.4], [[0.0], [0.1], [0.2], [0.3], [9.0], [9.1]])
    picks, scores = ClusterMargin(candidate_factor=2, n_clusters=2).select(fake, fake.X, 2)
    assert picks.tolist() == [5, 0]
    np.testing.assert_allclose(scores, [-0.4, -0.1])
    assert ClusterMargin(candidate_factor=1, n_clusters=2).select(fake, fake.X, 2)[0].tolist() == [0, 1]


@pytest.mark.parametrize(("n", "k", "n_clusters", "factor"), [(30, 5, 4, 3), (60, 12, None, 2.5), (40, 40, 7, 1)])
def test_equals_the_slow_loop(n, k, n_clusters, factor):
    rng = np.random.default_rng(n)
    z, proba = rng.standard_normal((n, 3)), rng.dirichlet(np.ones(4), n)
    fake = FakePool(embeddings=z, proba=proba)
    strategy = ClusterMargin(candidate_factor=factor, n_clusters=n_clusters, random_state=0)
    picks, scores = strategy.select(fake, fake.X, k)
    margin = [a[-1] - a[-2] for a in np.sort(proba, axis=1)]
    ranked = sorted(range(n), key=lambda i: margin[i])[: min(n, int(np.ceil(factor * k)))]
    labels = fcluster(linkage(z, "average"), n_clusters or k, "maxclust")
    expected = [ranked[i] for i in slow_in_turn([labels[i] for i in ranked])][:k]
    assert picks.tolist() == expected
    np.testing.assert_allclose(scores, [-margin[i] for i in expected])


def test_one_column_and_duplicates():
    one = FakePool(proba=np.ones((5, 1)), embeddings=np.zeros((5, 2)))
    assert len(set(ClusterMargin().select(one, one.X, 5)[0].tolist())) == 5
    fake = pool_of(np.linspace(0, 0.9, 12), np.repeat([[0.0], [5.0], [9.0]], 4, axis=0))
    picks = ClusterMargin(n_clusters=9).select(fake, fake.X, 3)[0]
    assert len(set((picks // 4).tolist())) == 3


def test_large_pools_are_clustered_by_k_means(monkeypatch):
    monkeypatch.setattr(module, "_MOST_LINKED", 20)
    rng = np.random.default_rng(0)
    z = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 10, axis=0) + 0.1 * rng.standard_normal((30, 2))
    labels = cluster(z, 3, np.random.default_rng(0))
    assert [len(set(labels[i : i + 10].tolist())) for i in (0, 10, 20)] == [1, 1, 1]
    assert len(set(labels.tolist())) == 3


class Counted:
    def __init__(self, monkeypatch):
        self.sizes = []
        original = module.cluster
        monkeypatch.setattr(module, "cluster", lambda z, *args: self.sizes.append(len(z)) or original(z, *args))


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 4))
    return X, (X[:, 0] > 0).astype(int)


def test_clusters_are_made_once_in_a_run(run, monkeypatch):
    X, y = run
    seen = Counted(monkeypatch)
    learner = ActiveLearner(LogisticRegression(), ClusterMargin(n_clusters=6, random_state=0), X[:10], y[:10])
    rest = np.arange(10, 90)
    for step in range(3):
        # Neither order nor size nor the batch's size matter.
        rest = np.random.default_rng(step).permutation(rest)
        idx, rows = learner.query(X[rest], n_instances=4 + step)
        learner.teach(rows, y[rest[idx]])
        rest = np.delete(rest, idx)
    assert seen.sizes == [80]
    learner.query(X[rest], n_instances=3, n_clusters=5)
    assert seen.sizes == [80, len(rest)]
    learner.query(np.concatenate([X[rest], X[:1] + 1]), n_instances=3)  # a new sample
    assert seen.sizes == [80, len(rest), len(rest) + 1]


def test_a_bare_classifier_keeps_nothing(run, monkeypatch):
    X, y = run
    seen = Counted(monkeypatch)
    fitted = LogisticRegression().fit(X, y)
    for _ in range(2):
        ClusterMargin().select(fitted, X, 5)
    assert seen.sizes == [90, 90]


def test_behind_a_filter_the_whole_pool_is_clustered_once(run, monkeypatch):
    X, y = run
    seen = Counted(monkeypatch)
    strategy = Prefilter(ClusterMargin(n_clusters=6), n_candidates=30, random_state=0)
    learner = ActiveLearner(LogisticRegression(), strategy, X[:10], y[:10])
    for _ in range(3):
        idx, rows = learner.query(X[10:], n_instances=4)
        learner.teach(rows, y[10:][idx])
    assert seen.sizes == [80]


@pytest.mark.parametrize(("name", "value"), [("candidate_factor", 0.5), ("n_clusters", 0)])
def test_errors(name, value):
    fake = pool_of([0.1, 0.2], [[0.0], [1.0]])
    with pytest.raises(ValueError, match=f"'{name}' parameter of ClusterMargin must be"):
        cluster_margin_sampling.select(fake, fake.X, **{name: value})
