"""K-means sampling: scikit-learn's k-means written out, the limits."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from skal.strategies import KMeansSampling


class Plain:
    """A classifier without a head: embeddings are its input."""

    classes_ = np.arange(2)

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (40, 3, 5), (60, 20, 17)])
def test_equals_the_slow_loop(n, d, k, dtype):
    X = (10 * np.random.default_rng([n, d]).standard_normal((n, d))).astype(dtype)
    query_idx, scores = KMeansSampling(random_state=np.random.RandomState(5)).select(Plain(), X, k)
    words = np.random.RandomState(5).randint(2**31 - 1, size=4)
    seed = int(np.random.default_rng([int(word) for word in words]).integers(2**31 - 1))
    kmeans = KMeans(k, n_init="auto", random_state=seed).fit(X)
    distances = [np.linalg.norm(x - kmeans.cluster_centers_[label]) for x, label in zip(X, kmeans.labels_)]
    assert sorted(kmeans.labels_[query_idx].tolist()) == list(range(k))
    for i in query_idx:  # both samples of a pair are nearest
        assert distances[i] <= min(distances[j] for j in range(n) if kmeans.labels_[j] == kmeans.labels_[i]) + 1e-5
    np.testing.assert_allclose(scores, [-distances[i] for i in query_idx], atol=1e-5)
    assert (np.diff(scores) <= 0).all()


def test_as_many_clusters_as_samples_takes_all():
    X = np.random.default_rng(0).standard_normal((9, 2))
    query_idx, scores = KMeansSampling(random_state=0).select(Plain(), X, 9)
    assert sorted(query_idx.tolist()) == list(range(9))
    np.testing.assert_allclose(scores, 0, atol=1e-12)


def test_fewer_distinct_samples_than_picks():
    """Each distinct sample comes first, the rest at random with the seed."""
    X = np.repeat([[0.0], [5.0], [9.0]], 20, axis=0)
    picks = set()
    for seed in range(5):
        query_idx, _ = KMeansSampling(random_state=seed).select(Plain(), X, 12)
        assert len(set(query_idx.tolist())) == 12
        assert set(X[query_idx[:3], 0]) == {0.0, 5.0, 9.0}
        picks.add(tuple(query_idx.tolist()))
    assert len(picks) == 5


@pytest.mark.parametrize("n_init", [0, "many"])
def test_parameters_out_of_range(n_init):
    with pytest.raises(ValueError, match="The 'n_init' parameter of KMeansSampling must be"):
        KMeansSampling(n_init=n_init).select(Plain(), np.zeros((3, 2)))
