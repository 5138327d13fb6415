"""ProbCover: the graph written out, the purity on every radius, the limits, the errors."""

import numpy as np
import pytest

from skal.exceptions import PoolCapabilityError
from skal.strategies import ProbCover, _prob_cover
from skal.strategies._prob_cover import purity_radius


class Plain:
    """A classifier without a head: embeddings are its input."""

    def __init__(self, n_classes=2):
        self.classes_ = np.arange(n_classes)

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "d", "n_labeled", "k"), [(1, 2, 1, 1), (60, 2, 3, 20), (80, 30, 5, 80)])
@pytest.mark.parametrize("delta", [0.05, 0.6, 1.2, 3.0])
@pytest.mark.parametrize("normalize", [True, False])
def test_equals_the_slow_loop(n, d, n_labeled, k, delta, normalize, monkeypatch):
    """Picks are checked one by one, since equals are drawn."""
    monkeypatch.setattr("skal.strategies._prob_cover._BLOCK", 300)
    rng = np.random.default_rng([n, d])
    X, labeled = rng.standard_normal((n, d)), rng.standard_normal((n_labeled, d))
    strategy = ProbCover(delta=delta, normalize=normalize, random_state=0)
    query_idx, scores = strategy.select(Plain(), X, k, X_training=labeled, y_training=np.zeros(n_labeled, int))
    check(query_idx, scores, *((unit(X), unit(labeled)) if normalize else (X, labeled)), delta)


def check(query_idx, scores, Z, L, delta):
    """Each pick newly covers as many as any other could."""
    n = len(Z)
    covers = np.array([[np.linalg.norm(a - b) < delta for b in Z] for a in Z])
    covered = np.array([any(np.linalg.norm(z - a) < delta for a in L) for z in Z])
    for step, (pick, score) in enumerate(zip(query_idx, scores)):
        gains = [(covers[i] & ~covered).sum() for i in range(n) if i not in query_idx[:step]]
        assert score == max(gains) == (covers[pick] & ~covered).sum()
        covered |= covers[pick]


@pytest.mark.parametrize("delta", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("d", [1, 2])
def test_balls_are_open(d, delta):
    """On a grid of whole numbers many samples lie at just the radius from each other, and from what is labelled."""
    side = np.arange(7.0)
    X = side[:, None] if d == 1 else np.array([[a, b] for a in side for b in side])
    labeled = X[:1]
    for seed in range(3):
        strategy = ProbCover(delta=delta, normalize=False, random_state=seed)
        query_idx, scores = strategy.select(Plain(), X, len(X), X_training=labeled, y_training=[0])
        check(query_idx, scores, X, labeled, delta)


@pytest.mark.parametrize("n", [2, 40])
@pytest.mark.parametrize("purity", [0.5, 0.9, 0.95, 1.0])
def test_purity_radius_is_the_largest_with_enough_pure_balls(n, purity, monkeypatch):
    monkeypatch.setattr("skal.strategies._prob_cover._BLOCK", 300)
    rng = np.random.default_rng(n)
    Z, labels = rng.standard_normal((n, 3)), np.arange(n) % 2
    delta = purity_radius(Z, labels, purity, rng)

    def pure(radius):
        balls = [[labels[j] == labels[i] for j in range(n) if np.linalg.norm(Z[i] - Z[j]) < radius] for i in range(n)]
        return np.mean([all(ball) for ball in balls])

    assert pure(delta * (1 - 1e-9)) >= purity
    assert pure(delta * (1 + 1e-9)) < purity


def test_purity_is_estimated_from_a_sample_of_a_large_pool(monkeypatch):
    rng = np.random.default_rng(0)
    Z, labels = rng.standard_normal((3000, 2)), np.arange(3000) % 2
    exact = purity_radius(Z, labels, 0.5, rng)
    monkeypatch.setattr("skal.strategies._prob_cover._PURITY_SAMPLES", 1000)
    estimates = [purity_radius(Z, labels, 0.5, np.random.default_rng(seed)) for seed in range(3)]
    assert len(set(estimates)) > 1
    np.testing.assert_allclose(estimates, exact, rtol=0.15)


@pytest.mark.parametrize("delta", [0.3, "auto"])
@pytest.mark.parametrize("most", [0, 10, 60, 2000])
def test_too_many_pairs_are_counted_instead_and_the_picks_are_the_same(delta, most, monkeypatch):
    monkeypatch.setattr("skal.strategies._prob_cover._BLOCK", 300)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5, 6))[rng.integers(5, size=90)] + 0.2 * rng.standard_normal((90, 6))
    labeled = {"X_training": X[:1], "y_training": [0]}
    strategy = ProbCover(delta=delta, random_state=0, n_clusters=5, purity=0.7)
    expected = strategy.select(Plain(), X, 40, **labeled)
    monkeypatch.setattr("skal.strategies._prob_cover._PAIRS", most)
    lists = []
    cover_lists = _prob_cover.cover_lists
    monkeypatch.setattr(_prob_cover, "cover_lists", lambda *args: lists.append(1) or cover_lists(*args))
    found = strategy.select(Plain(), X, 40, **labeled)
    np.testing.assert_array_equal(found, expected)
    assert len(lists) == (most == 2000)


def test_copies_with_different_labels_in_float32():
    """Rounding may put a distance of 0 on either side of it; the radius is 0, and no ball holds anything else."""
    rng = np.random.default_rng(0)
    Z = unit(np.repeat(rng.standard_normal((40, 50)), 2, axis=0).astype(np.float32))
    delta = purity_radius(Z, np.arange(80) % 2, 0.95, rng)
    assert 0 <= delta < 1e-3


def test_auto_delta_separates_clusters():
    """One pick of each cluster, the largest first, and nothing of the one that is labelled."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(c, 0.02, size=(s, 2)) for c, s in (((1, 0), 30), ((0, 1), 40), ((-1, 0), 20))])
    labeled = {"X_training": np.array([[1.0, 0.0]]), "y_training": [0]}
    query_idx, scores = ProbCover(random_state=0).select(Plain(3), X, 2, **labeled)
    assert np.digitize(query_idx, [30, 70]).tolist() == [1, 2]
    assert scores.tolist() == [40.0, 20.0]


def test_once_all_is_covered_the_rest_is_random():
    X = np.random.default_rng(0).standard_normal((30, 2))
    labeled = {"X_training": np.zeros((1, 2)), "y_training": [0]}
    picks = set()
    for seed in range(6):
        strategy = ProbCover(delta=100.0, normalize=False, random_state=seed)
        query_idx, scores = strategy.select(Plain(), X, 5, **labeled)
        assert len(set(query_idx.tolist())) == 5
        assert (scores == 0).all()
        picks.add(tuple(query_idx.tolist()))
    assert len(picks) == 6


def test_one_distinct_sample():
    query_idx, _ = ProbCover(random_state=0).select(
        Plain(1), np.ones((8, 2)), 8, X_training=np.array([[-1.0, 0.0]]), y_training=[0]
    )
    assert sorted(query_idx.tolist()) == list(range(8))


def test_no_labelled_data_is_a_clear_error():
    with pytest.raises(PoolCapabilityError, match=r"ProbCover needs the labelled data.*X_training="):
        ProbCover().select(Plain(), np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"delta": 0}, "The 'delta' parameter of ProbCover must be"),
        ({"delta": "large"}, "'delta' parameter of ProbCover must be"),
        ({"purity": 0}, r"'purity' parameter of ProbCover must be a float in the range \(0.0, 1.0\]"),
        ({"n_clusters": 1}, "'n_clusters' parameter of ProbCover must be"),
        ({"normalize": None}, "'normalize' parameter of ProbCover must be"),
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        ProbCover(**params).select(Plain(), np.ones((3, 2)), X_training=np.eye(2), y_training=[0, 1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("normalize", [True, False])
def test_a_radius_whose_square_is_no_number_covers_all(dtype, normalize):
    X = np.random.default_rng(0).standard_normal((9, 3)).astype(dtype)
    strategy = ProbCover(delta=1e300, normalize=normalize, random_state=0)
    nothing = {"X_training": X[:0], "y_training": np.empty(0, int)}
    assert strategy.select(Plain(), X, 3, **nothing)[1].tolist() == [9, 0, 0]
    assert strategy.select(Plain(), X, 2, X_training=X[:1], y_training=[0])[1].tolist() == [0, 0]
