"""Neighbour search and the combined distance: the vectors, a slow loop, scikit-learn's metrics."""

import builtins

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from skal.metrics import combined_distances
from skal.strategies._parts import _neighbors
from skal.strategies._parts._neighbors import nearest_neighbors
from skal.utils._arrays import l2_normalize

FEATURES = np.array([(3, 4), (1, 0), (0, 2), (6, 7.9), (5, 1.0)])


def slow_combined(X, Y):
    """Eqs. 4-6, one pair and one feature at a time."""
    out = np.zeros((len(X), len(Y)))
    for i, x in enumerate(X):
        for j, y in enumerate(Y):
            norm_x = sum(float(v) ** 2 for v in x) ** 0.5 or 1.0
            norm_y = sum(float(v) ** 2 for v in y) ** 0.5 or 1.0
            difference = [float(a) / norm_x - float(b) / norm_y for a, b in zip(x, y)]
            d_e = sum(v**2 for v in difference) ** 0.5 / len(x)
            d_m = sum(abs(v) for v in difference) / len(x)
            out[i, j] = (d_e + d_m) / 2
    return out


def slow_neighbors(X, k, metric="combined"):
    """All other rows by distance, the first of equals first."""
    if metric == "combined":
        distances = slow_combined(X, X)
    else:
        p = 2 if metric == "euclidean" else 1
        distances = np.array([[np.linalg.norm(x - y, ord=p) for y in X] for x in X])
    idx = []
    for i in range(len(X)):
        others = [j for j in range(len(X)) if j != i]
        idx.append(sorted(others, key=lambda j, i=i: (distances[i, j], j))[:k])
    return np.array(idx), np.take_along_axis(distances, np.array(idx), axis=1)


def clustered(n, d, n_clusters, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((n_clusters, d))
    return l2_normalize(np.maximum(centers[rng.integers(n_clusters, size=n)] + rng.standard_normal((n, d)), 0))


def test_vector_of_one_pair():
    assert combined_distances([[3, 4]], [[1, 0]])[0, 0] == pytest.approx(0.523606797750, abs=1e-12)


def test_vector_of_five_features():
    expected = [
        0.523606797750, 0.358113883008, 0.003629887343, 0.424567349226, 0.853553390593,
        0.520135522021, 0.103152673845, 0.361665452580, 0.763110587941, 0.421036228673,
    ]  # fmt: skip
    distances = combined_distances(FEATURES)
    np.testing.assert_allclose(distances[np.triu_indices(5, 1)], expected, atol=1e-12)
    np.testing.assert_array_equal(distances, distances.T)
    np.testing.assert_array_equal(np.diag(distances), 0)


@pytest.mark.parametrize("n_candidates", [None, 1, 2, 256])
def test_vector_of_the_neighbour_lists(n_candidates):
    found = nearest_neighbors(l2_normalize(FEATURES), 2, metric="combined", n_candidates=n_candidates)
    np.testing.assert_array_equal(found.idx, [[3, 2], [4, 3], [0, 3], [0, 2], [1, 3]])


@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (4, 7, 3), (9, 2, 20)])
def test_combined_distances_equal_a_slow_loop(n, m, d):
    rng = np.random.default_rng(n)
    X, Y = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    X[0] = 0
    np.testing.assert_allclose(combined_distances(X, Y), slow_combined(X, Y), atol=1e-14)
    np.testing.assert_allclose(combined_distances(X), slow_combined(X, X), atol=1e-14)


def test_combined_distances_in_blocks(monkeypatch):
    X = np.random.default_rng(0).standard_normal((23, 5))
    expected = combined_distances(X)
    monkeypatch.setattr(_neighbors, "_BLOCK", 3 * 23 * 8)
    np.testing.assert_array_equal(combined_distances(X), expected)


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        (
            [1.0, 2.0],
            None,
            r"'X' of combined_distances must be a finite array of shape \(n, d\), not empty. Got shape \(2,\)",
        ),
        ([[1.0, np.nan]], None, "with NaN or infinity"),
        ([[1.0]], [[1.0, 2.0]], "must have the same number of features. Got 1 and 2"),
        ([[]], None, "Got shape"),
    ],
)
def test_combined_distances_refuse(X, Y, message):
    with pytest.raises(ValueError, match=message):
        combined_distances(X, Y)


@pytest.mark.parametrize("metric", ["combined", "euclidean", "manhattan"])
@pytest.mark.parametrize(("n", "d", "k"), [(2, 3, 1), (30, 4, 5), (60, 16, 10)])
@pytest.mark.parametrize("n_candidates", [None, 256])
def test_neighbours_equal_a_slow_loop(metric, n, d, k, n_candidates):
    # Without zeros, which would make ties that rounding decides.
    X = l2_normalize(np.random.default_rng(d).standard_normal((n, d)))
    X[1] = X[0]  # a duplicate, at distance 0
    expected = slow_neighbors(X, k, metric)
    found = nearest_neighbors(X, k, metric=metric, n_candidates=n_candidates)
    np.testing.assert_array_equal(found.idx, expected[0])
    np.testing.assert_allclose(found.distances, expected[1], atol=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_metrics_agree_with_scikit_learn(metric):
    X = clustered(400, 12, 6)
    distances, idx = NearestNeighbors(n_neighbors=6, metric=metric).fit(X).kneighbors(X)
    found = nearest_neighbors(X, 5, metric=metric, n_candidates=None)
    np.testing.assert_array_equal(found.idx, idx[:, 1:])
    np.testing.assert_allclose(found.distances, distances[:, 1:], atol=1e-12)


@pytest.mark.parametrize("block", [1, 5_000, 2**26])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_preselection_with_all_rows_but_one_misses_nothing(dtype, block, monkeypatch):
    """Matrix products and re-ranking, whatever the blocks, against all pairs."""
    monkeypatch.setattr(_neighbors, "_BLOCK", block)
    monkeypatch.setattr(_neighbors, "_GATHER", block)
    X = clustered(90, 10, 5).astype(dtype)
    exact = nearest_neighbors(X, 4, metric="combined", n_candidates=None)
    fast = nearest_neighbors(X, 4, metric="combined", n_candidates=88)
    np.testing.assert_array_equal(fast.idx, exact.idx)
    np.testing.assert_array_equal(fast.distances, exact.distances)
    assert fast.idx.dtype == np.int64
    assert fast.distances.dtype == dtype


def test_recall_grows_with_the_candidates():
    X = clustered(1500, 64, 10).astype(np.float32)
    exact = nearest_neighbors(X, 5, metric="combined", n_candidates=None).idx
    recalls = []
    for n_candidates in (5, 20, 256):
        found = nearest_neighbors(X, 5, metric="combined", n_candidates=n_candidates).idx
        recalls.append(np.mean([len(np.intersect1d(a, b)) / 5 for a, b in zip(exact, found)]))
    assert recalls[0] < recalls[1] < recalls[2]
    assert recalls[2] > 0.999


def test_near_duplicates_far_from_the_origin_are_told_apart():
    """Products of the raw rows would lose the differences to cancellation."""
    rng = np.random.default_rng(0)
    X = 1000 + rng.standard_normal((300, 8))
    X[200:] = X[:100] + 1e-6 * rng.standard_normal((100, 8))
    found = nearest_neighbors(X, 1).idx[:, 0]
    np.testing.assert_array_equal(found[:100], np.arange(200, 300))


def test_duplicates_never_name_the_row_itself():
    X = np.repeat(np.eye(3), 100, axis=0)
    for n_candidates in (None, 7, 256):
        found = nearest_neighbors(X, 5, metric="combined", n_candidates=n_candidates)
        assert not np.any(found.idx == np.arange(300)[:, None])
        assert all(len(set(row)) == 5 for row in found.idx.tolist())
        np.testing.assert_array_equal(found.distances, 0)


def test_approximate_search():
    pytest.importorskip("faiss", reason="the optional extra skal[neighbors] is not installed")
    X = clustered(1200, 16, 8).astype(np.float32)
    X[600:620] = X[500]  # the graph need not return the row itself among its duplicates
    exact = nearest_neighbors(X, 5, metric="combined", n_candidates=None)
    found = nearest_neighbors(X, 5, metric="combined", search="approximate")
    again = nearest_neighbors(X, 5, metric="combined", search="approximate")
    np.testing.assert_array_equal(found.idx, again.idx)
    assert not np.any(found.idx == np.arange(1200)[:, None])
    assert all(len(set(row)) == 5 for row in found.idx.tolist())
    assert np.mean(np.abs(found.distances - exact.distances) < 1e-6) > 0.999


def test_approximate_search_among_hundreds_of_duplicates():
    """They take up each other's links in the graph, so that neighbours are missed; the contract holds."""
    pytest.importorskip("faiss", reason="the optional extra skal[neighbors] is not installed")
    X = clustered(800, 16, 8).astype(np.float32)
    X[400:] = X[0]
    found = nearest_neighbors(X, 5, metric="combined", search="approximate")
    assert not np.any(found.idx == np.arange(800)[:, None])
    assert all(len(set(row)) == 5 for row in found.idx.tolist())
    np.testing.assert_allclose(found.distances[400:], 0, atol=1e-7)


def test_approximate_search_fills_what_the_graph_does_not_find():
    torch = pytest.importorskip("torch")
    proposed = torch.tensor([[3, -1, 0], [2, 3, 4]])
    valid = torch.tensor([[True, False, False], [True, True, True]])
    filled = _neighbors._filled(proposed, valid, torch.tensor([[0], [1]]), 5)
    assert filled.tolist() == [[3, 1, 2], [2, 3, 4]]


def test_approximate_search_without_faiss(monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "faiss":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "skal\[neighbors\]"'):
        nearest_neighbors(clustered(300, 4, 2), 2, metric="combined", n_candidates=10, search="approximate")


@pytest.mark.parametrize("metric", ["combined", "manhattan", "euclidean"])
def test_equally_near_candidates_come_in_the_order_of_the_rows(metric):
    """Ten places far apart, twelve copies at each, in any order: all distances to a row's neighbours are equal."""
    rng = np.random.default_rng(0)
    X = np.repeat(100.0 * rng.integers(-50, 50, size=(10, 3)), 12, axis=0)[rng.permutation(120)]
    found = nearest_neighbors(X, 5, metric=metric, n_candidates=20)
    for i in range(120):
        copies = [j for j in range(120) if j != i and (X[j] == X[i]).all()]
        assert found.idx[i].tolist() == copies[:5]
    assert (found.distances == 0).all()


@pytest.mark.parametrize("scale", [1e-25, 1e25])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_squares_that_float32_does_not_hold(scale, dtype, metric):
    X = (np.random.default_rng(0).standard_normal((60, 4)) * scale).astype(dtype)
    found = nearest_neighbors(X, 5, metric=metric, n_candidates=30)
    idx, distances = slow_neighbors(X.astype(float), 5, metric)
    np.testing.assert_array_equal(found.idx, idx)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12)
