"""DM2: the vectors, a slow loop, the limits, what cannot be mixed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.special import softmax
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn
from torch.utils.data import Dataset, Subset, TensorDataset

from skal.learners import ActiveLearner
from skal.models import EmbeddingModel, register_model
from skal.nets import DeepClassifier
from skal.pool import view_pool
from skal.rows import read_rows
from skal.strategies import DM2, LeastConfidence, _dm2

# PAPERS 4.5: features, raw inputs and a linear model of three classes.
FEATURES = np.array([(3, 4), (1, 0), (0, 2), (6, 7.9), (5, 1.0)])
INPUTS = np.array([(0.2, 0.8), (0.9, 0.1), (0, 0.95), (0.3, 0.7), (0.8, 0.3)])
WEIGHT = np.array([[2, -1], [-1, 2], [0.5, 0.5]])


class Known:
    """Probabilities from the raw inputs; embeddings, of the samples it knows, as given. Remembers what it was shown."""

    def __init__(self, inputs, features, weight=WEIGHT):
        self.features = {np.asarray(x, dtype=float).tobytes(): f for x, f in zip(inputs, features)}
        self.weight, self.classes_, self.shown = weight, np.arange(len(weight)), []

    def embed(self, X):
        return np.array([self.features[np.asarray(x, dtype=float).tobytes()] for x in X])

    def head(self, Z):
        return torch.zeros((len(Z), len(self.weight)), dtype=Z.dtype)

    def predict_proba(self, X):
        self.shown.append(np.array(X))
        return softmax(np.asarray(X).reshape(len(X), -1) @ self.weight.T, axis=1)


class KnownModel(EmbeddingModel):
    """The probabilities of a model with embeddings are those of its head; `Known` has its own."""

    def outputs(self, X, want):
        proba = np.asarray(self.estimator.predict_proba(X)) if "proba" in want else None
        return replace(super().outputs(X, set(want) - {"proba"}), proba=proba)


register_model(lambda estimator: isinstance(estimator, Known), KnownModel)


def known_scores(model, X, **params):
    return DM2(**params).score_samples(model, X)


@pytest.mark.parametrize(
    ("params", "mixed", "confidence", "order"),
    [
        (
            {"n_neighbors": 2},
            [(0.18, 0.81), (0.76, 0.26), (0.10, 0.87), (0.22, 0.77), (0.72, 0.34)],
            [0.649455498569, 0.589797663657, 0.707054172056, 0.613389720615, 0.530407053429],
            [4, 1, 3, 0, 2],
        ),
        (
            {"n_neighbors": 1, "mixing": "mixup", "alpha": None},
            [(0.24, 0.76), (0.86, 0.18), (0.08, 0.89), (0.26, 0.74), (0.84, 0.22)],
            [0.599325609156, 0.670860145882, 0.722153657368, 0.580154083998, 0.645067093572],
            [3, 0, 4, 1, 2],
        ),
    ],
)
def test_vectors(params, mixed, confidence, order):
    model = Known(INPUTS, FEATURES)
    scores = known_scores(model, INPUTS, mixing_weight=0.6, **params)
    np.testing.assert_allclose(model.shown[-1], mixed, atol=5.1e-3)
    np.testing.assert_allclose(1 - scores, confidence, atol=1e-12)
    idx, chosen = DM2(mixing_weight=0.6, **params).select(model, INPUTS, 5)
    assert idx.tolist() == order
    np.testing.assert_array_equal(chosen, scores[order])


def test_vector_of_least_confidence():
    """lambda = 1, on a model whose embeddings are the inputs."""
    clf = LogisticRegression()
    clf.coef_, clf.intercept_, clf.classes_ = WEIGHT, np.zeros(3), np.arange(3)
    clf.n_features_in_ = 2
    idx, scores = DM2(mixing_weight=1.0).select(clf, INPUTS, 5)
    assert idx.tolist() == [3, 4, 0, 1, 2]
    np.testing.assert_allclose(
        1 - scores, [0.540538831852, 0.589797663657, 0.636185513920, 0.718436137711, 0.770206689784], atol=1e-12
    )


def slow_scores(predict_proba, X, features, k, weight, metric, neighbor_weights="uniform"):
    """Eqs. 4-11, one sample at a time, in float64; neighbours alike, or by their inverse distances."""
    unit = []
    for f in features.astype(np.float64):
        norm = np.sqrt((f**2).sum())
        unit.append(f / norm if norm else f)
    scores = []
    for i in range(len(X)):
        distances = []
        for j in range(len(X)):
            difference = unit[i] - unit[j]
            d_e, d_m = np.sqrt((difference**2).sum()) / len(difference), np.abs(difference).sum() / len(difference)
            value = {"combined": (d_e + d_m) / 2, "euclidean": d_e, "manhattan": d_m}[metric]
            distances.append(np.inf if i == j else value)
        nearest = np.argsort(distances, kind="stable")[: min(k, len(X) - 1)]
        shares = [1.0 for j in nearest]
        if neighbor_weights == "distance":
            at_zero = [distances[j] == 0 for j in nearest]
            shares = [float(zero) for zero in at_zero] if any(at_zero) else [1 / distances[j] for j in nearest]
        others = np.zeros(X.shape[1:])
        for j, share in zip(nearest, shares):
            others = others + share / sum(shares) * X[j].astype(np.float64)
        mixed = weight * X[i].astype(np.float64) + (1 - weight) * others
        scores.append(1 - predict_proba(mixed[None])[0].max())
    return np.array(scores)


@pytest.mark.parametrize("metric", ["combined", "euclidean", "manhattan"])
@pytest.mark.parametrize(("n", "k", "weight"), [(2, 1, 0.5), (40, 3, 0.0), (40, 7, 0.9), (12, 30, 0.3)])
def test_equals_a_slow_loop(metric, n, k, weight):
    rng = np.random.default_rng(n + k)
    X, y = rng.standard_normal((n + 30, 6)), rng.integers(3, size=n + 30)
    clf = LogisticRegression().fit(X[n:], y[n:])
    scores = DM2(n_neighbors=k, mixing_weight=weight, metric=metric).score_samples(clf, X[:n])
    np.testing.assert_allclose(scores, slow_scores(clf.predict_proba, X[:n], X[:n], k, weight, metric), atol=1e-12)


@pytest.mark.parametrize("metric", ["combined", "euclidean", "manhattan"])
@pytest.mark.parametrize(("n", "k"), [(2, 1), (40, 1), (40, 6), (12, 30)])
def test_nearer_neighbours_count_more(metric, n, k):
    """By their inverse distances; some rows have copies, whose distance is 0, and one row is 0 itself."""
    rng = np.random.default_rng(n + k)
    X, y = rng.standard_normal((n + 30, 6)), rng.integers(3, size=n + 30)
    if n == 12:
        X[1], X[5], X[6], X[8] = X[0], X[4], X[4], 0
    clf = LogisticRegression().fit(X[n:], y[n:])
    params = {"n_neighbors": k, "mixing_weight": 0.3, "metric": metric}
    scores = DM2(**params, neighbor_weights="distance").score_samples(clf, X[:n])
    expected = slow_scores(clf.predict_proba, X[:n], X[:n], k, 0.3, metric, "distance")
    np.testing.assert_allclose(scores, expected, atol=1e-12)
    alike = DM2(**params).score_samples(clf, X[:n])
    assert np.allclose(alike, scores, rtol=0, atol=1e-14) == (k == 1)


def test_shares_of_near_and_far_neighbours():
    distance = DM2(neighbor_weights="distance")
    found = distance._shares(np.array([[1.0, 2.0, 4.0], [0.0, 0.0, 3.0], [5e-324, 1.0, 1e300], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, [[4 / 7, 2 / 7, 1 / 7], [0.5, 0.5, 0], [1, 0, 0], [1 / 3] * 3], atol=1e-15)
    np.testing.assert_array_equal(DM2()._shares(np.array([[1.0, 2.0, 4.0, 8.0]])), [[0.25] * 4])


@pytest.mark.parametrize("neighbor_weights", ["uniform", "distance"])
def test_mixup_draws_by_the_shares(neighbor_weights):
    strategy, n = DM2(mixing="mixup", neighbor_weights=neighbor_weights), 30_000
    neighbors = np.tile([7, 8, 9], (n, 1))
    shares = strategy._shares(np.tile([1.0, 2.0, 4.0], (n, 1)))
    drawn, own = strategy._drawn(neighbors, shares, np.random.default_rng(0))
    assert drawn.shape == own.shape == (n, 1)
    assert (own == 1).all()
    counts = np.bincount(drawn[:, 0], minlength=10)[7:]
    expected = n * shares[0]
    # Chi-squared of two degrees of freedom, 1 in 10,000.
    assert (counts.sum(), ((counts - expected) ** 2 / expected).sum() < 18.4) == (n, True)


@pytest.mark.parametrize("block", [1, 400, 2**25])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_equal_a_slow_loop_in_any_blocks(block, dtype, monkeypatch):
    """Features of another space than the images; pixels of any dtype; mixtures in blocks."""
    monkeypatch.setattr(_dm2, "_BLOCK", block)
    rng = np.random.default_rng(3)
    X, features = rng.integers(0, 256, size=(25, 1, 2, 3)).astype(dtype), rng.standard_normal((25, 8))
    features[4] = 0  # stays at zero
    weight = rng.standard_normal((4, 6)) / 200
    model = Known(X, features, weight)
    scores = known_scores(model, X, n_neighbors=4, mixing_weight=0.7)
    expected = slow_scores(model.predict_proba, X, features, 4, 0.7, "combined")
    np.testing.assert_allclose(scores, expected, atol=1e-12 if dtype == np.float64 else 1e-6)
    assert {shown.shape[1:] for shown in model.shown} == {(1, 2, 3)}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return LogisticRegression(max_iter=500).fit(X[:60], y[:60]), X[60:560]


@pytest.mark.parametrize("mixing", ["mean", "mixup"])
def test_weight_one_is_least_confidence(mixing, digits):
    clf, X = digits
    strategy = DM2(mixing=mixing, mixing_weight=1.0, alpha=None, random_state=0)
    np.testing.assert_array_equal(strategy.score_samples(clf, X), LeastConfidence(random_state=0).score_samples(clf, X))
    np.testing.assert_array_equal(strategy.select(clf, X, 20)[0], LeastConfidence(random_state=0).select(clf, X, 20)[0])


def test_pool_of_one_is_scored_unmixed(digits):
    clf, X = digits
    np.testing.assert_array_equal(DM2().score_samples(clf, X[:1]), LeastConfidence().score_samples(clf, X[:1]))


def test_more_neighbours_than_the_pool_has(digits):
    clf, X = digits
    np.testing.assert_array_equal(
        DM2(n_neighbors=50).score_samples(clf, X[:8]), DM2(n_neighbors=7).score_samples(clf, X[:8])
    )


def test_the_originals_are_queried_and_the_pool_stays_as_it_was(digits):
    clf, X = digits
    before = X.copy()
    learner = ActiveLearner(clf, DM2(random_state=0))
    idx, instances = learner.query(X, n_instances=6)
    np.testing.assert_array_equal(instances, before[idx])
    np.testing.assert_array_equal(X, before)


def test_mixup_draws_one_of_the_neighbours_and_a_weight_of_its_own():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 2))
    model = Known(X, X)
    known_scores(model, X, mixing="mixup", n_neighbors=3, random_state=0)
    neighbors = DM2(n_neighbors=3)._neighbors(_pool(model, X)).idx
    drawn, weights = [], []
    for i, mixed in enumerate(model.shown[-1]):
        # mixed = w x_i + (1 - w) x_j for exactly one j
        fits = []
        for place, j in enumerate(neighbors[i]):
            step = X[i] - X[j]
            w = (mixed - X[j]) @ step / (step @ step)
            if np.allclose(w * X[i] + (1 - w) * X[j], mixed, atol=1e-12):
                fits.append((place, w))
        assert len(fits) == 1
        drawn.append(fits[0][0])
        weights.append(fits[0][1])
    assert set(drawn) == {0, 1, 2}
    assert 0 <= min(weights) < 0.5 < max(weights) <= 1


def test_alpha_draws_the_weights_from_beta():
    weights = DM2(mixing="mixup", alpha=4.0)._weights(20_000, np.random.default_rng(0))
    assert weights.mean() == pytest.approx(0.5, abs=0.01)
    assert weights.var() == pytest.approx(1 / (4 * (2 * 4.0 + 1)), rel=0.05)
    assert set(DM2(alpha=4.0, mixing_weight=0.3)._weights(5, np.random.default_rng(0))) == {0.3}


def test_mixup_repeats_with_a_seed_and_differs_without(digits):
    clf, X = digits
    scores = [DM2(mixing="mixup", random_state=seed).score_samples(clf, X) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def _pool(model, X):
    return view_pool(model, X)


def test_mixing_is_on_raw_inputs_before_a_transformer_that_is_not_linear(digits):
    """sqrt of a mean is not the mean of square roots: the mixture must pass through the whole pipeline."""
    X, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(FunctionTransformer(np.sqrt), LogisticRegression(max_iter=500)).fit(X[:60], y[:60])
    pool = X[60:110]
    expected = slow_scores(pipeline.predict_proba, pool, np.sqrt(pool), 5, 0.5, "combined")
    np.testing.assert_allclose(DM2().score_samples(pipeline, pool), expected, atol=1e-10)


@pytest.mark.parametrize("kind", ["frame", "list", "tensor", "bytes"])
def test_containers(kind, digits):
    X, y = load_digits(return_X_y=True)
    columns = [f"pixel {i}" for i in range(64)]
    make = {
        "frame": lambda A: pd.DataFrame(A, columns=columns),
        "list": lambda A: A.tolist(),
        "tensor": lambda A: torch.from_numpy(A),
        "bytes": lambda A: A.astype(np.uint8),
    }[kind]
    if kind == "tensor":
        model = DeepClassifier(nn.Linear(64, 10), max_epochs=2, random_state=0).fit(X[:60], y[:60])
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(make(X[:60]), y[:60])
    expected = DM2().score_samples(model, X[60:100] if kind != "frame" else make(X[60:100]))
    if kind == "frame":
        plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X[:60], y[:60])
        expected = DM2().score_samples(plain, X[60:100])
    np.testing.assert_allclose(DM2().score_samples(model, make(X[60:100])), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda X: sp.csr_matrix(X), r"must be dense\. Got a sparse csr_matrix: use X.toarray\(\)"),
        (lambda X: sp.coo_array(X), "must be dense. Got a sparse coo_array"),
    ],
)
def test_sparse_pools_are_refused(make, message, digits):
    clf, X = digits
    with pytest.raises(TypeError, match=f"DM2 computes with raw samples, which {message}"):
        DM2().select(clf, make(X), 2)


def test_texts_are_refused():
    texts = ["red apple", "green pear", "red plum", "blue sky"] * 3
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [0, 0, 1, 1] * 3)
    with pytest.raises(TypeError, match=r"must be an array, tensor or DataFrame of numbers \(n, ...\). Got list."):
        DM2().select(pipeline, texts, 2)


def test_frames_with_other_columns_are_refused(digits):
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", "z"]})
    pipeline = make_pipeline(make_column_transformer(("passthrough", ["a"])), LogisticRegression()).fit(
        frame, [0, 1, 1]
    )
    with pytest.raises(TypeError, match="column 'b' holds no numbers: encode it first"):
        DM2().select(pipeline, frame, 1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_neighbors": 0}, r"The 'n_neighbors' parameter of DM2 must be an int in the range \[1, inf\)"),
        ({"mixing": "cutmix"}, "The 'mixing' parameter of DM2 must be a str among"),
        ({"mixing_weight": 1.5}, r"The 'mixing_weight' parameter of DM2 must be a float in the range \[0.0, 1.0\]"),
        ({"alpha": 0.0}, "The 'alpha' parameter of DM2 must be"),
        ({"neighbor_weights": "near"}, "The 'neighbor_weights' parameter of DM2 must be a str among"),
        ({"metric": "cosine"}, "The 'metric' parameter of DM2 must be a str among"),
        ({"n_candidates": 0}, "The 'n_candidates' parameter of DM2 must be"),
        ({"search": "tree"}, "The 'search' parameter of DM2 must be a str among"),
    ],
)
def test_bad_parameters(params, message, digits):
    with pytest.raises(ValueError, match=message):
        DM2(**params).select(*digits, 2)


def test_fewer_candidates_change_little(digits):
    """The preselection is what makes it fast; with few candidates most neighbours are still the right ones."""
    clf, X = digits
    exact, fast = (DM2(n_candidates=m)._neighbors(_pool(clf, X)) for m in (None, 60))
    assert np.mean([len(np.intersect1d(a, b)) / 5 for a, b in zip(exact, fast)]) > 0.99


# -- pools that are read when they are asked for -----------------------------------------------------------------------


class Reads(Dataset):
    """Samples that count how often each is read; pairs with a label, where there are `labels`."""

    def __init__(self, X, labels=None):
        self.X, self.labels, self.counts = X, labels, np.zeros(len(X), dtype=int)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        self.counts[i] += 1
        return self.X[i] if self.labels is None else (self.X[i], self.labels[i])


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 1, 3, 4)).astype(np.float32)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 3))
    return DeepClassifier(module, max_epochs=3, lr=0.1, random_state=0).fit(X[:20], np.arange(20) % 3), X[20:]


@pytest.mark.parametrize("mixing", ["mean", "mixup"])
@pytest.mark.parametrize(
    "kind", ["arrays", "tensors", "pairs", "Subset", "TensorDataset", "list of tensors", "memory map"]
)
def test_any_container_equals_the_array(kind, mixing, net, tmp_path, monkeypatch):
    monkeypatch.setattr(_dm2, "_BLOCK", 8 * 12 * 7)
    clf, X = net
    strategy = DM2(mixing=mixing, n_neighbors=3, random_state=0)
    expected = strategy.select(clf, X, 9)
    tensors = torch.from_numpy(X)
    if kind == "memory map":
        np.save(tmp_path / "pool.npy", X)
    pool = {
        "arrays": lambda: Reads(X),
        "tensors": lambda: Reads(tensors),
        "pairs": lambda: Reads(X, np.arange(len(X))),
        "Subset": lambda: Subset(Reads(np.concatenate([X[:5] + 9, X])), range(5, 5 + len(X))),
        "TensorDataset": lambda: TensorDataset(tensors),
        "list of tensors": lambda: list(tensors),
        "memory map": lambda: np.load(tmp_path / "pool.npy", mmap_mode="r"),
    }[kind]()
    found = strategy.select(clf, pool, 9)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


@pytest.mark.parametrize(("mixing", "others"), [("mean", 3), ("mixup", 1)])
def test_how_often_a_dataset_is_read(mixing, others, net):
    """Once to be embedded, once as itself, and as often as it is a neighbour; the first once more to see what it is."""
    clf, X = net
    pool = Reads(X)
    DM2(mixing=mixing, n_neighbors=3, random_state=0).score_samples(clf, pool)
    assert pool.counts.sum() == (2 + others) * len(X) + 1
    assert pool.counts.min() >= 2


def test_weight_one_reads_a_dataset_once(net):
    clf, X = net
    pool = Reads(X)
    scores = DM2(mixing_weight=1.0).score_samples(clf, pool)
    np.testing.assert_allclose(scores, LeastConfidence().score_samples(clf, X), atol=1e-6)
    assert pool.counts.sum() == len(X) + 1


@pytest.mark.parametrize("n", [1, 5, 40])
def test_embeddings_in_blocks_equal_the_whole(n, net, monkeypatch):
    monkeypatch.setattr(_dm2, "_ROWS", n)
    clf, X = net
    pool, shown = _pool(clf, X), []
    monkeypatch.setattr(pool, "_pass", lambda X, want, run=pool._pass: shown.append((len(X), want)) or run(X, want))
    unit = _dm2._unit_embeddings(pool)
    expected = _pool(clf, X).embeddings
    np.testing.assert_allclose(unit, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    assert unit.dtype == expected.dtype
    assert {tuple(want) for _, want in shown} == {("embeddings",)}
    assert max(size for size, _ in shown) == n
    assert not pool._found, "nothing of the model's is kept"


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([{"a": np.zeros(12, "f4")}] * 40, "Got a Reads of dict."),
        (["a text"] * 40, "Got a Reads of str."),
    ],
)
def test_datasets_of_other_things_are_refused(samples, message, net):
    words = "DM2 computes with raw samples, which must be arrays or tensors of numbers, all of one shape. "
    with pytest.raises(TypeError, match=words + message):
        DM2().select(net[0], Reads(samples), 2)


def test_no_more_than_a_block_is_read_at_once(net, monkeypatch):
    clf, X = net
    sizes = []

    def read(X, rows):
        samples = read_rows(X, rows)
        sizes.append(len(samples))
        return samples

    monkeypatch.setattr(_dm2, "read_rows", read)
    monkeypatch.setattr(_dm2, "_BLOCK", 8 * 12 * 7)
    DM2().score_samples(clf, Reads(X))
    assert max(sizes) == 7
