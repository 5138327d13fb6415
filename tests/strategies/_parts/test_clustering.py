"""k-means++ and k-centre on inner products against loops over the vectors; the samples nearest to centres."""

import warnings

import numpy as np
import pytest
from sklearn.cluster import KMeans

from skal.strategies._parts._clustering import (
    fit_kmeans,
    k_center_greedy,
    kmeans_plus_plus,
    nearest_of_clusters,
    nearest_squared_distances,
    squared_distances,
)
from skal.utils._random import sklearn_seed


def sq(X):
    return np.einsum("ij,ij->i", X, X)


def slow_kmeans_plus_plus(X, n_picks, rng):
    """The definition with dense vectors and the same draws."""
    picks = [int(rng.choice([i for i in range(len(X)) if X[i] @ X[i] == max(x @ x for x in X)]))]
    values = [X[picks[0]] @ X[picks[0]]]
    while len(picks) < n_picks:
        nearest = np.array([min(((x - X[j]) ** 2).sum() for j in picks) for x in X])
        target = rng.random() * nearest.sum()
        picks.append(next(i for i in range(len(X)) if nearest[: i + 1].sum() > target))
        values.append(nearest[picks[-1]])
    return picks, values


@pytest.mark.parametrize(("n", "d", "n_picks"), [(1, 1, 1), (7, 2, 7), (30, 5, 12)])
def test_kmeans_plus_plus_equals_the_slow_loop(n, d, n_picks):
    X = np.random.default_rng([n, d]).standard_normal((n, d))
    picks, values = kmeans_plus_plus(sq(X), lambda i: X @ X[i], n_picks, np.random.default_rng(3))
    expected = slow_kmeans_plus_plus(X, n_picks, np.random.default_rng(3))
    assert picks.tolist() == expected[0]
    np.testing.assert_allclose(values, expected[1], atol=1e-9)


def test_kmeans_plus_plus_draws_in_proportion_to_the_squared_distance():
    X = np.array([[10.0], [9.0], [8.0], [7.0]])  # squared distances from the first: 1, 4, 9
    counts = np.zeros(4)
    for seed in range(1400):
        counts[kmeans_plus_plus(sq(X), lambda i: X @ X[i], 2, np.random.default_rng(seed))[0][1]] += 1
    # 100, 400 and 900 expected; four standard deviations
    assert counts[0] == 0
    assert (np.abs(counts[1:] - [100, 400, 900]) < [39, 68, 72]).all()


@pytest.mark.parametrize("d", [3, 300])
def test_kmeans_plus_plus_never_picks_twice(d):
    """Duplicates, whose distances are rounding: each distinct vector comes before any second copy."""
    rng = np.random.default_rng(0)
    X = np.repeat(1000 * rng.standard_normal((3, d)), 20, axis=0)[rng.permutation(60)]
    picks, values = kmeans_plus_plus(sq(X), lambda i: X @ X[i], 60, rng)
    assert sorted(picks.tolist()) == list(range(60))
    assert len(np.unique(X[picks[:3]], axis=0)) == 3
    assert (values[3:] == 0).all()


def test_kmeans_plus_plus_of_zeros_is_uniform():
    X, counts = np.zeros((5, 2)), np.zeros(5)
    for seed in range(500):
        counts[kmeans_plus_plus(sq(X), lambda i: X @ X[i], 2, np.random.default_rng(seed))[0]] += 1
    assert np.abs(counts - 200).max() < 45  # four standard deviations


@pytest.mark.parametrize("farthest", [1, 64])
@pytest.mark.parametrize(("n", "d", "n_centers"), [(1, 1, 1), (12, 2, 3), (40, 6, 1)])
def test_k_center_equals_the_slow_loop(n, d, n_centers, farthest, monkeypatch):
    monkeypatch.setattr("skal.strategies._parts._clustering._FARTHEST", farthest)
    monkeypatch.setattr("skal.strategies._parts._clustering._ROWS", 5)
    rng = np.random.default_rng([n, d])
    X, centers = rng.standard_normal((n, d)), list(rng.standard_normal((n_centers, d)))
    closest = np.array([min(((x - c) ** 2).sum() for c in centers) for x in X])
    before = closest.copy()
    picks, radii = k_center_greedy(X, closest, n, rng)
    np.testing.assert_array_equal(closest, before)
    assert sorted(picks.tolist()) == list(range(n))
    for pick, radius in zip(picks, radii):
        distances = [min(((x - c) ** 2).sum() for c in centers) for x in X]
        assert distances[pick] == pytest.approx(max(distances), abs=1e-9)
        assert radius == pytest.approx(max(distances), abs=1e-9)
        centers.append(X[pick])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_k_center_takes_what_is_only_rounding_for_a_tie(dtype):
    """Copies of a row are equally far whatever block they are compared in, and one of them is drawn."""
    rng = np.random.default_rng(0)
    X = np.tile(rng.standard_normal((1, 300)), (40, 1)).astype(dtype)
    closest = 5 + 1e-15 * rng.standard_normal(40)
    first = {int(k_center_greedy(X, closest, 1, np.random.default_rng(seed))[0][0]) for seed in range(30)}
    assert len(first) > 10
    picks, radii = k_center_greedy(X, closest, 40, rng)
    assert sorted(picks.tolist()) == list(range(40))
    assert radii[0] == closest.max() and (radii[1:] == 0).all()


def test_k_center_asks_for_few_rows_at_once_and_says_what_it_knows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4))
    closest = (X**2).sum(axis=1)
    asked = []

    def rows_of(rows, bounds):
        assert (bounds <= closest + 1e-12).all()
        asked.append(rows.tolist())
        return X[rows]

    found = k_center_greedy(rows_of, closest, 20, np.random.default_rng(1), n_rows=3)
    expected = k_center_greedy(X, closest, 20, np.random.default_rng(1))
    np.testing.assert_array_equal(found[0], expected[0])
    assert max(map(len, asked)) == 3
    assert sum(map(len, asked)) < 20 * 200 / 2


@pytest.mark.parametrize("n_centers", [1, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest_squared_distances(n_centers, dtype, monkeypatch):
    monkeypatch.setattr("skal.strategies._parts._clustering._ROWS", 5)
    rng = np.random.default_rng(0)
    X, centers = rng.standard_normal((23, 4)).astype(dtype), rng.standard_normal((n_centers, 4)).astype(dtype)
    X[3] = centers[0]
    expected = [min(((x.astype(float) - c) ** 2).sum() for c in centers) for x in X]
    found = nearest_squared_distances(X, centers)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found.dtype == np.float64 and found[3] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weighted_kmeans_is_scikit_learns(dtype):
    rng = np.random.default_rng(0)
    X, weights = rng.standard_normal((80, 4)).astype(dtype), rng.exponential(size=80)
    labels, centers = fit_kmeans(X, 6, np.random.default_rng(1), sample_weight=weights)
    seed = sklearn_seed(np.random.default_rng(1))
    expected = KMeans(6, n_init=1, random_state=seed).fit(X, sample_weight=weights)
    np.testing.assert_array_equal(labels, expected.labels_)
    np.testing.assert_allclose(centers, expected.cluster_centers_, rtol=1e-4, atol=1e-5)


def test_squared_distances_of_copies_are_zero():
    rng = np.random.default_rng(0)
    X = 1e6 + rng.standard_normal((5, 200))
    twice = np.vstack([X, X])
    distances = squared_distances(twice @ X.T, sq(twice)[:, None], sq(X))
    assert (distances >= 0).all()
    assert (np.diag(distances) == 0).all()
    assert (np.diag(distances[5:]) == 0).all()


@pytest.mark.parametrize("batch_size", [None, 10])
def test_kmeans_is_seeded_and_quiet(batch_size):
    X = np.repeat(np.random.default_rng(0).standard_normal((3, 2)), 5, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = fit_kmeans(X, 6, np.random.default_rng(1), batch_size=batch_size)
        second = fit_kmeans(X, 6, np.random.default_rng(1), batch_size=batch_size)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1].shape == (6, 2)


def test_nearest_of_clusters(monkeypatch):
    monkeypatch.setattr("skal.strategies._parts._clustering._ROWS", 7)
    rng = np.random.default_rng(0)
    X, centers, labels = rng.standard_normal((40, 3)), rng.standard_normal((6, 3)), rng.integers(0, 5, size=40)
    nearest, distances = nearest_of_clusters(X, labels, centers)
    expected = [np.linalg.norm(x - centers[label]) for x, label in zip(X, labels)]
    np.testing.assert_allclose(distances, expected)
    assert sorted(nearest.tolist()) == sorted(
        min((i for i in range(40) if labels[i] == k), key=lambda i: expected[i]) for k in range(5)
    )


class Draws:
    """A generator whose `random` is a given number."""

    def __init__(self, number):
        self.number = number

    def random(self):
        return self.number

    def choice(self, values):
        return values[0]


def test_kmeans_plus_plus_picks_only_what_has_a_probability():
    """A draw of 0 falls to the first vector that is not picked, and not to one at a distance of 0 before it."""
    X = np.array([[5.0], [5.0], [4.0], [0.0]])
    picks, values = kmeans_plus_plus(sq(X), lambda i: X @ X[i], 2, Draws(0.0))
    assert picks.tolist() == [0, 2]
    assert values.tolist() == [25.0, 1.0]
    picks, _ = kmeans_plus_plus(sq(X), lambda i: X @ X[i], 2, Draws(np.nextafter(1, 0)))
    assert picks.tolist() == [0, 3]


def test_kmeans_plus_plus_stays_within_the_vectors_where_a_draw_is_rounded_up():
    """Of the smallest numbers 0.9 times 3 is 3: past the last vector that has a probability."""
    tiny = np.nextafter(0, 1)
    sq_norms = np.array([0.0, 3 * tiny, tiny])
    assert 0.9 * (3 * tiny) == 3 * tiny
    inner = np.array([0.0, 3 * tiny, 2 * tiny])  # with the second: the third lies where it does, the first does not
    picks, values = kmeans_plus_plus(sq_norms, lambda i: inner.copy(), 2, Draws(0.9))
    assert picks.tolist() == [1, 0]
    assert values.tolist() == [3 * tiny, 3 * tiny]


def test_first_centres_of_mini_batches_come_from_a_part_of_many_rows():
    X = np.random.default_rng(0).standard_normal((700, 3)).astype(np.float32)
    labels, centers = fit_kmeans(X, 60, np.random.default_rng(1), batch_size=100)
    assert labels.shape == (700,) and centers.shape == (60, 3)
    assert len(np.unique(labels)) > 50
