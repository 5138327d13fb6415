"""NoiseStability: a slow loop, hand-worked picks, the limits."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skal.exceptions import PoolCapabilityError
from skal.nets import DeepClassifier
from skal.pool import view_pool
from skal.strategies import NoiseStability
from skal.strategies._noise_stability import _farthest_first
from skal.utils._random import make_generator


def slow_picks(vectors, n_picks):
    """Farthest-first from the origin, one distance at a time, in float64."""
    vectors = np.asarray(vectors, dtype=float)
    centers, picks, distances = [np.zeros(vectors.shape[1])], [], []
    for _ in range(n_picks):
        best, best_distance = None, -1.0
        for i, vector in enumerate(vectors):
            distance = min(np.sqrt(((vector - center) ** 2).sum()) for center in centers)
            if i not in picks and distance > best_distance:
                best, best_distance = i, distance
        picks.append(best)
        distances.append(best_distance)
        centers.append(vectors[best])
    return picks, distances


def picks_of(vectors, n_picks, rng, n_held=10**6, log=None):
    """The fast picks from vectors that are known, of which `n_held` are held."""

    def vectors_of(idx):
        assert len(idx) <= max(n_held, 1)
        if log is not None:
            log.append(len(idx))
        return vectors[idx]

    return _farthest_first(vectors_of, len(vectors), n_held, n_picks, rng)


def slow_vectors(fitted, pool, n_samples, scale, rng):
    proba = fitted.predict_proba(pool)
    vectors = [[] for _ in pool]
    for _ in range(n_samples):
        twin = copy.deepcopy(fitted)
        noise = rng.standard_normal(fitted.coef_.shape)
        twin.coef_ = fitted.coef_ + scale * np.linalg.norm(fitted.coef_) / np.linalg.norm(noise) * noise
        noisy = twin.predict_proba(pool)
        for i in range(len(pool)):
            vectors[i].extend((noisy[i] - proba[i]) / np.linalg.norm(proba[i]))
    return np.array(vectors)


@pytest.fixture(scope="module")
def data():
    X, y = make_blobs(80, centers=4, n_features=5, cluster_std=4.0, random_state=0)
    return X[:30], y[:30], X[30:]


@pytest.mark.parametrize(("n_samples", "scale", "n_classes"), [(1, 0.001, 2), (5, 0.01, 4), (8, 0.5, 3)])
def test_equals_the_slow_loop(data, n_samples, scale, n_classes, monkeypatch):
    monkeypatch.setattr("skal.strategies._noise_stability._ROWS", 7)
    X, y, pool = data
    fitted = LogisticRegression(max_iter=500).fit(X, y % n_classes)
    strategy = NoiseStability(n_samples=n_samples, noise_scale=scale, random_state=3)
    query_idx, scores = strategy.select(fitted, pool, 12)
    vectors = slow_vectors(fitted, pool, n_samples, scale, make_generator(3, 0, 0))
    picks, distances = slow_picks(vectors, 12)
    assert query_idx.tolist() == picks
    np.testing.assert_allclose(scores, distances, rtol=1e-4)
    assert (np.diff(scores) <= 0).all()


def test_picks_by_hand():
    """The longest first; then the opposite one, which is far from the origin and from the first."""
    vectors = np.array([[3.0, 0], [4.0, 0], [-3.5, 0], [0, 1.0], [0, 0]], dtype=np.float32)
    picks, distances = picks_of(vectors, 5, np.random.default_rng(0))
    assert picks.tolist() == [1, 2, 0, 3, 4] or picks.tolist() == [1, 2, 3, 0, 4]
    np.testing.assert_allclose(distances, [4, 3.5, 1, 1, 0])


def test_alike_samples_come_last_and_once():
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.standard_normal((3, 6)), 5, axis=0).astype(np.float32)
    picks, distances = picks_of(vectors, 15, rng)
    assert sorted(picks.tolist()) == list(range(15))
    assert sorted({int(pick) // 5 for pick in picks[:3]}) == [0, 1, 2]
    np.testing.assert_array_equal(distances[3:], 0)


@pytest.mark.parametrize("n_held", [1, 2, 7, 39, 40])
@pytest.mark.parametrize("kind", ["normal", "alike", "zero", "one norm", "integers"])
def test_few_that_are_held_give_the_same_picks(kind, n_held):
    """Ties included, and the same draws: the answer does not know what was held."""
    rng = np.random.default_rng(1)
    vectors = {
        "normal": rng.standard_normal((40, 5)) * rng.exponential(size=(40, 1)),
        "alike": np.repeat(rng.standard_normal((8, 5)), 5, axis=0),
        "zero": np.zeros((40, 5)),
        "one norm": rng.standard_normal((40, 5)),
        "integers": rng.integers(-1, 2, size=(40, 3)),
    }[kind].astype(np.float32)
    if kind == "one norm":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for n_picks in (1, 10, 40):
        expected = picks_of(vectors, n_picks, np.random.default_rng(3))
        found = picks_of(vectors, n_picks, np.random.default_rng(3), n_held)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(expected[1], slow_picks(vectors, n_picks)[1] if kind == "normal" else expected[1])


def test_what_cannot_be_picked_is_made_once():
    """100 of 10,000 vectors are long: after one round of all, only those are made again."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((10_000, 6)).astype(np.float32) * 0.001
    vectors[::100] *= 1000
    log = []
    picks_of(vectors, 20, rng, n_held=500, log=log)
    assert sum(log) <= 10_000 + 500 + 20


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: make_pipeline(StandardScaler(), model)])
def test_in_blocks_equals_in_one_piece(data, wrap, monkeypatch):
    """The same noise for all blocks, few rows at a time, and the same draws afterwards."""
    X, y, pool = data
    pool = np.concatenate([pool, pool[:10]])
    fitted = wrap(LogisticRegression(max_iter=500)).fit(X, y)
    strategy = NoiseStability(n_samples=4, random_state=5)
    expected = strategy.select(fitted, pool, 20)
    sizes = []
    deviations = NoiseStability._deviations
    monkeypatch.setattr(
        NoiseStability, "_deviations", lambda self, part, rng: sizes.append(len(part)) or deviations(self, part, rng)
    )
    monkeypatch.setattr("skal.strategies._noise_stability._HELD", 4 * 4 * 4 * 12)
    monkeypatch.setattr("skal.strategies._noise_stability._ROWS", 5)
    found = strategy.select(fitted, pool, 20)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5)
    assert max(sizes) == 5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noisy_weights_keep_their_dtype(data, dtype):
    """In a wider one each pass would copy the pool to that."""
    X, y, pool = data
    fitted = LogisticRegression(max_iter=500).fit(X.astype(dtype), y)
    # Which scikit-learn 1.6 makes float64.
    fitted.coef_, fitted.intercept_ = fitted.coef_.astype(dtype), fitted.intercept_.astype(dtype)
    network = MLPClassifier((4,), max_iter=3, random_state=0).fit(X.astype(dtype), y)
    for model in (fitted, network):
        view = view_pool(model, pool.astype(dtype))
        assert {proba.dtype for proba in view.iter_noisy_samples(3, 0.1, make_generator(0, 0, 0))} == {np.dtype(dtype)}


class Net(nn.Module):
    def __init__(self, n_classes=4):
        super().__init__()
        self.norm = nn.BatchNorm1d(5)
        self.layers = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, n_classes))

    def forward(self, X):
        return self.layers(self.norm(X))


def test_net_stays_as_it_was(data):
    X, y, pool = data
    net = DeepClassifier(Net, max_epochs=3, lr=0.1, random_state=0).fit(X, y)
    before = {key: value.clone() for key, value in net.module_.state_dict().items()}
    state = torch.get_rng_state()
    query_idx, scores = NoiseStability(n_samples=4, noise_scale=0.1, random_state=0).select(net, pool, 5)
    assert len(set(query_idx.tolist())) == 5
    assert scores.min() > 0
    assert torch.equal(state, torch.get_rng_state())
    for key, value in net.module_.state_dict().items():
        assert torch.equal(value, before[key])


def test_noise_in_proportion_gives_scores_in_proportion(data):
    """Small noise acts linearly."""
    X, y, pool = data
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    small, large = (NoiseStability(noise_scale=s, random_state=0).select(fitted, pool, 5) for s in (1e-4, 2e-4))
    np.testing.assert_array_equal(small[0], large[0])
    np.testing.assert_allclose(large[1], 2 * small[1], rtol=0.01)


def test_no_weights_is_a_clear_error(data):
    X, y, pool = data
    for estimator in (RandomForestClassifier(3, random_state=0), OneVsRestClassifier(LogisticRegression())):
        with pytest.raises(PoolCapabilityError, match=r"NoiseStability needs weights to perturb, which \w+ does not"):
            NoiseStability().select(estimator.fit(X, y), pool)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_samples": 0}, "'n_samples' parameter of NoiseStability must be an int in the range"),
        ({"noise_scale": 0}, r"'noise_scale' parameter of NoiseStability must be a float in the range \(0.0, inf\)"),
        ({"random_state": "x"}, "'random_state' parameter of NoiseStability must be"),
    ],
)
def test_parameters_out_of_range(params, message, data):
    with pytest.raises(ValueError, match=message):
        NoiseStability(**params).select(LogisticRegression(max_iter=500).fit(*data[:2]), data[2])
