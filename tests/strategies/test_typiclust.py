"""TypiClust: typicality by sorting distances, the order of the clusters, the limits, the errors."""

import numpy as np
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans

from skal.exceptions import PoolCapabilityError
from skal.strategies import TypiClust
from skal.strategies._typiclust import typicality


class Plain:
    """A classifier without a head: embeddings are its input."""

    classes_ = np.arange(2)

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def slow_typicality(Z, n_neighbors):
    values = []
    for i, z in enumerate(Z):
        distances = sorted(np.linalg.norm(z - other) for j, other in enumerate(Z) if j != i)
        k = max(1, min(n_neighbors, len(Z) // 2))
        values.append(1 / (np.mean(distances[:k]) + 1e-5) if distances else 0.0)
    return np.array(values)


@pytest.mark.parametrize(("m", "d"), [(1, 3), (2, 1), (3, 2), (30, 5), (60, 100)])
@pytest.mark.parametrize("n_neighbors", [1, 20])
def test_typicality_equals_the_slow_loop(m, d, n_neighbors):
    Z = np.random.default_rng([m, d]).standard_normal((m, d))
    np.testing.assert_allclose(typicality(Z, n_neighbors), slow_typicality(Z, n_neighbors), rtol=1e-9)


@pytest.mark.parametrize(("n_labeled", "k", "normalize"), [(3, 1, True), (5, 8, False), (30, 25, True)])
def test_selection_follows_the_paper(n_labeled, k, normalize):
    """Cluster pool and labelled samples together; the largest clusters without a label give their most typical."""
    rng = np.random.default_rng([n_labeled, k])
    X, labeled = rng.standard_normal((150, 3)), rng.standard_normal((n_labeled, 3))
    strategy = TypiClust(n_neighbors=4, min_cluster_size=2, normalize=normalize, random_state=np.random.RandomState(5))
    query_idx, scores = strategy.select(Plain(), X, k, X_training=labeled, y_training=np.zeros(n_labeled, int))

    Z = np.vstack([labeled, X])
    if normalize:
        Z = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    words = np.random.RandomState(5).randint(2**31 - 1, size=4)
    seed = int(np.random.default_rng([int(word) for word in words]).integers(2**31 - 1))
    n_clusters = n_labeled + k
    if n_clusters <= 50:
        labels = KMeans(n_clusters, n_init="auto", random_state=seed).fit(Z).labels_
    else:
        labels = MiniBatchKMeans(n_clusters, n_init="auto", batch_size=5000, random_state=seed).fit(Z).labels_
    taken = list(range(n_labeled))
    for pick, score in zip(query_idx + n_labeled, scores):
        keys = []
        for c in range(n_clusters):
            members = np.flatnonzero(labels == c)
            if any(i not in taken for i in members):
                keys.append((len(members) <= 2, sum(i in taken for i in members), -len(members)))
        members = list(np.flatnonzero(labels == labels[pick]))
        # Of equally large clusters any may come first.
        assert (len(members) <= 2, sum(i in taken for i in members), -len(members)) == min(keys)
        free = [i for i in members if i not in taken]
        values = slow_typicality(Z[free], 4)
        assert values[free.index(pick)] == pytest.approx(values.max())
        assert score == pytest.approx(values.max())
        taken.append(pick)


def test_small_clusters_come_last_and_are_used_in_the_end():
    X = np.concatenate([np.linspace(0, 1, 20), np.linspace(50, 51, 20), [100.0, 100.5]])[:, None]
    labeled = {"X_training": np.array([[0.5], [50.4], [100.1]]), "y_training": [0, 0, 1]}
    strategy = TypiClust(max_clusters=3, min_cluster_size=4, normalize=False, random_state=0)
    query_idx, _ = strategy.select(Plain(), X, 42, **labeled)
    assert sorted(query_idx.tolist()) == list(range(42))
    assert set(query_idx[-2:].tolist()) == {40, 41}


def test_the_cluster_without_a_label_comes_first():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(c, 0.1, size=(size, 2)) for c, size in ((0, 30), (5, 20), (9, 10))])
    labeled = {"X_training": np.zeros((1, 2)), "y_training": [0]}
    query_idx, _ = TypiClust(max_clusters=3, normalize=False, random_state=0).select(Plain(), X, 3, **labeled)
    assert np.digitize(query_idx, [30, 50]).tolist() == [1, 2, 0]


def test_duplicates_are_most_typical_and_finite():
    X = np.concatenate([np.full((6, 2), 3.0), np.random.default_rng(0).standard_normal((20, 2))])
    labeled = {"X_training": np.full((1, 2), 100.0), "y_training": [0]}
    query_idx, scores = TypiClust(n_neighbors=3, max_clusters=1, normalize=False).select(Plain(), X, 26, **labeled)
    assert query_idx[0] < 6
    assert np.isfinite(scores).all()
    assert sorted(query_idx.tolist()) == list(range(26))


def test_no_labelled_data_is_a_clear_error():
    with pytest.raises(PoolCapabilityError, match=r"TypiClust needs the labelled data.*X_training="):
        TypiClust().select(Plain(), np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_neighbors": 0}, "The 'n_neighbors' parameter of TypiClust must be an int in the range"),
        ({"max_clusters": 0}, "'max_clusters' parameter of TypiClust must be an int in the range"),
        ({"min_cluster_size": -1}, "'min_cluster_size' parameter of TypiClust must be an int in the range"),
        ({"normalize": "yes"}, "'normalize' parameter of TypiClust must be"),
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        TypiClust(**params).select(Plain(), np.ones((3, 2)), X_training=np.eye(2), y_training=[0, 1])
