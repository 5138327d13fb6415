"""DECERN: the official vectors, a slow loop, the limits."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import skew
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from skal.exceptions import PoolCapabilityError
from skal.strategies import DECERN
from skal.strategies._decern import _Bins, _most_representative, _threshold
from skal.testing import FakePool
from skal.utils._arrays import l2_normalize


class LinearModel:
    """A classifier with known weights: embeddings are its input."""

    def __init__(self, weight, bias=None):
        self.coef_ = np.asarray(weight, dtype=float)
        self.intercept_ = np.zeros(len(self.coef_)) if bias is None else np.asarray(bias, dtype=float)
        self.classes_ = np.arange(len(self.coef_))

    def logits(self, X):
        return np.asarray(X) @ self.coef_.T + self.intercept_

    def predict_proba(self, X):
        return softmax(self.logits(X), axis=1)


class NonlinearModel:
    """A classifier with a two-layer head: embeddings are its input."""

    def __init__(self, d, n_classes, rng):
        self.first, self.second = rng.standard_normal((7, d)) / np.sqrt(d), rng.standard_normal((n_classes, 7))
        self.classes_ = np.arange(n_classes)

    def embed(self, X):
        return np.asarray(X)

    def head(self, Z):
        return torch.tanh(Z @ torch.from_numpy(self.first).T.to(Z)) @ torch.from_numpy(self.second).T.to(Z)

    def logits(self, X):
        return self.head(torch.as_tensor(np.asarray(X), dtype=torch.float64)).numpy()

    def predict_proba(self, X):
        return softmax(self.logits(X), axis=1)


def slow_mask(g, mask_ratio=0.1, n_bins=100):
    d = len(g)
    if d < n_bins:
        mask = np.zeros(d)
        mask[np.argsort(-g, kind="stable")[: max(1, round(mask_ratio * d))]] = 1
        return mask
    pooled = [g[i * d // n_bins : -(-(i + 1) * d // n_bins)].mean() for i in range(n_bins)]
    top = set(np.argsort(-np.array(pooled), kind="stable")[: max(1, round(mask_ratio * n_bins))].tolist())
    return np.array([1.0 if (n_bins * k) // d in top else 0.0 for k in range(d)])


def slow_gradient(model, z):
    z = torch.tensor(z[None], dtype=torch.float64, requires_grad=True)
    if isinstance(model, LinearModel):
        logits = z @ torch.from_numpy(model.coef_).T + torch.from_numpy(model.intercept_)
    else:
        logits = model.head(z)
    torch.nn.functional.cross_entropy(logits, logits.argmax(dim=1)).backward()
    return z.grad[0].numpy()


def slow_scores(model, X, X_labeled, y_labeled, clip=1 / 64, **mask_params):
    """Eq. 9, one sample and one class at a time, the head on each mixed feature."""
    n_classes = len(model.classes_)
    p_labeled = model.predict_proba(X_labeled)
    z_a, p_a = [], []
    for j in range(n_classes):
        of_class = y_labeled == j if (y_labeled == j).any() else np.ones(len(y_labeled), bool)
        z_a.append(X_labeled[of_class].mean(axis=0))
        p_a.append(p_labeled[of_class].mean(axis=0))
    scores = []
    for z in X:
        p_u = model.predict_proba(z[None])[0]
        mask = slow_mask(slow_gradient(model, z), **mask_params)
        R = mask.mean()
        total = 0.0
        for j in range(n_classes):
            alpha = np.clip(p_u[j], clip, 1 - clip)
            mixed = (1 - mask) * z + mask * ((1 - alpha) * z + alpha * z_a[j])
            p_m = model.predict_proba(mixed[None])[0]
            norms = max(np.linalg.norm(z), 1e-8) * max(np.linalg.norm(z_a[j]), 1e-8)
            beta = np.clip(1 - (1 + z @ z_a[j] / norms) / 2, 0, 1)
            p_b = (1 - alpha) * p_u + alpha * p_a[j]
            p_w = (1 - R * alpha) * p_u + R * alpha * p_a[j]
            log_p = np.log(p_m + 1e-10)
            H = max(-(p_m * log_p).sum(), 0)

            def s_dc(q, H=H, log_p=log_p, beta=beta):
                return H ** (1 - beta) + max(-(q * log_p).sum(), 0) ** beta

            total += (1 - R) * s_dc(p_u) + R * s_dc(p_b) + s_dc(p_w)
        scores.append(total / n_classes)
    return np.array(scores)


def test_vector_a():
    model = LinearModel(np.eye(2))
    scores = DECERN().score_samples(
        model, np.array([[2.0, 1.0]]), X_training=np.array([[3.0, 0.0], [0.0, 2.0]]), y_training=[0, 1]
    )
    np.testing.assert_allclose(scores, [3.008537057024], atol=1e-9)


def test_vector_a2_takes_the_signed_gradient():
    weight = np.array([[1.0, 1.0], [-1.0, 0.0]])
    scores = DECERN().score_samples(
        LinearModel(weight), np.array([[1.0, 0.5]]), X_training=np.array([[2.0, 1.0], [-1.0, 0.5]]), y_training=[0, 1]
    )
    np.testing.assert_allclose(scores, [2.384855222945], atol=1e-9)


@pytest.mark.parametrize(
    ("scores", "gamma", "threshold", "candidates"),
    [
        ([1, 1.1, 1.2, 1.3, 2.2, 3], 0.5, 1.981617647059, [4, 5]),
        ([1, 1.1, 1.2, 1.3, 2.2, 3], 1.0, 2.329901960784, [5]),
        ([1, 2.7, 2.8, 2.9, 3, 3.1], 0.5, 1.985656836461, [1, 2, 3, 4, 5]),
    ],
)
def test_vector_b(scores, gamma, threshold, candidates):
    scores = np.array(scores, dtype=float)
    assert _threshold(scores, gamma) == pytest.approx(threshold, abs=1e-9)
    assert np.flatnonzero(scores > _threshold(scores, gamma)).tolist() == candidates


@pytest.mark.parametrize("normalize", ["raw", "minmax"])
@pytest.mark.parametrize(("xi", "picked"), [(0.8, 1), (0.4, 2), (0.0, 2), (1.0, 1)])
def test_vector_c(xi, picked, normalize):
    to_center = np.array([0.2366137146, 0.0017256268, 0.3540577585])
    to_anchor = np.array([0.0194193243, 0.0978657784, 0.8038838649])
    assert _most_representative(to_center, to_anchor, xi, normalize) == picked


def test_vector_c2_separates_the_readings():
    to_center, to_anchor = np.array([0.01, 0.03, 0.05]), np.array([0.1, 0.4, 0.2])
    assert _most_representative(to_center, to_anchor, 0.8, "raw") == 1
    assert _most_representative(to_center, to_anchor, 0.8, "minmax") == 0


def test_vector_d():
    g = np.random.default_rng(0).standard_normal(250)
    bins = _Bins(250, 100, 0.1)
    chosen = bins.largest(bins.pool(torch.from_numpy(g[None])))
    mask = chosen[:, bins.of_feature][0].numpy()
    ones = [*range(5, 8), *range(43, 50), *range(65, 68), 78, 79, *range(85, 88), 118, 119]
    ones += [*range(135, 138), *range(245, 248)]
    assert np.flatnonzero(mask).tolist() == ones
    assert bins.share(chosen).item() == pytest.approx(0.104)
    np.testing.assert_array_equal(mask, slow_mask(g))


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
@pytest.mark.parametrize(("n", "d", "n_classes"), [(1, 2, 2), (7, 16, 3), (9, 100, 5), (5, 130, 4), (4, 257, 11)])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_equals_the_slow_loop(kind, n, d, n_classes, scale, monkeypatch):
    """With an empty class, duplicates and (at scale 30) saturated probabilities; in blocks of every kind."""
    monkeypatch.setattr("skal.strategies._decern._ROWS", 4)
    monkeypatch.setattr("skal.strategies._decern._ANCHOR_BLOCK", 2 * n_classes)
    monkeypatch.setattr("skal.strategies._decern._BLOCK", 4 * n_classes)
    rng = np.random.default_rng([n, d, n_classes])
    if kind == "linear":
        model = LinearModel(scale * rng.standard_normal((n_classes, d)) / np.sqrt(d), rng.standard_normal(n_classes))
    else:
        model = NonlinearModel(d, n_classes, rng)
        model.second *= scale
    X = rng.standard_normal((n, d))
    X[-1] = X[0]
    X_labeled = rng.standard_normal((6, d))
    y_labeled = rng.integers(0, n_classes - 1, size=6)  # the last class has no sample
    fast = DECERN().score_samples(model, X, X_training=X_labeled, y_training=y_labeled)
    np.testing.assert_allclose(fast, slow_scores(model, X, X_labeled, y_labeled), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "params", [{"mask_ratio": 0.5}, {"n_bins": 7}, {"alpha_clip": 0.2}, {"n_bins": 20, "mask_ratio": 1.0}]
)
def test_parameters_of_the_score(params):
    rng = np.random.default_rng(3)
    model = LinearModel(rng.standard_normal((4, 40)))
    X, X_labeled, y_labeled = rng.standard_normal((6, 40)), rng.standard_normal((8, 40)), np.arange(8) % 4
    fast = DECERN(**params).score_samples(model, X, X_training=X_labeled, y_training=y_labeled)
    slow_params = {"clip" if key == "alpha_clip" else key: value for key, value in params.items()}
    np.testing.assert_allclose(fast, slow_scores(model, X, X_labeled, y_labeled, **slow_params), atol=1e-9)


def test_zero_and_parallel_features_are_finite():
    model = LinearModel(np.eye(3))
    X = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [3.0, 0.0, 0.0]])
    labeled = {"X_training": np.array([[1.0, 0, 0], [0.0, 0, 0], [1.0, 1, 1]]), "y_training": [0, 1, 2]}
    scores = DECERN().score_samples(model, X, **labeled)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, slow_scores(model, X, labeled["X_training"], np.array([0, 1, 2])), atol=1e-9)


def test_selection_follows_the_paper():
    """Threshold, weighted k-means on the unit sphere and the pick of each cluster, written out."""
    rng = np.random.default_rng(0)
    model = LinearModel(rng.standard_normal((3, 12)))
    X, X_labeled, y_labeled = rng.standard_normal((80, 12)), rng.standard_normal((9, 12)), np.arange(9) % 3
    strategy = DECERN(random_state=np.random.RandomState(5), gamma=0.0)
    query_idx, scores = strategy.select(model, X, 6, X_training=X_labeled, y_training=y_labeled)

    S = slow_scores(model, X, X_labeled, y_labeled)
    candidates = np.flatnonzero(S.mean() < S)
    words = np.random.RandomState(5).randint(2**31 - 1, size=4)
    seed = int(np.random.default_rng([int(w) for w in words]).integers(2**31 - 1))
    unit = l2_normalize(X[candidates])
    kmeans = KMeans(6, n_init="auto", random_state=seed).fit(unit, sample_weight=S[candidates])
    centers = l2_normalize(kmeans.cluster_centers_)
    anchors = l2_normalize(np.array([X_labeled[y_labeled == j].mean(axis=0) for j in range(3)]))
    expected = []
    for k in range(6):
        members = np.flatnonzero(kmeans.labels_ == k)
        u = 1 - unit[members] @ centers[k]
        a = np.array([1 - max(unit[i] @ anchor for anchor in anchors) for i in members])
        u, a = (u - u.min()) / (np.ptp(u) + 1e-10), (a - a.min()) / (np.ptp(a) + 1e-10)
        expected.append(candidates[members[np.argmin(0.8 * u - 0.2 * a)]])
    assert sorted(query_idx.tolist()) == sorted(int(i) for i in expected)
    np.testing.assert_allclose(scores, np.sort(S[expected])[::-1], atol=1e-9)


def test_few_candidates_give_the_highest_scores():
    rng = np.random.default_rng(1)
    model = LinearModel(rng.standard_normal((3, 12)))
    X, X_labeled, y_labeled = rng.standard_normal((30, 12)), rng.standard_normal((9, 12)), np.arange(9) % 3
    query_idx, _ = DECERN(random_state=0).select(model, X, 25, X_training=X_labeled, y_training=y_labeled)
    S = slow_scores(model, X, X_labeled, y_labeled)
    assert (S.mean() + 0.5 * skew(S) * S.std() < S).sum() < 25
    assert query_idx.tolist() == np.argsort(-S, kind="stable")[:25].tolist()


def test_equal_scores_go_by_position():
    model = LinearModel(np.eye(3))
    X = np.tile([[1.0, 0.5, 0.2]], (6, 1))
    query_idx, _ = DECERN().select(model, X, 3, X_training=np.eye(3), y_training=[0, 1, 2])
    assert query_idx.tolist() == [0, 1, 2]


def test_empty_clusters_are_filled_at_random():
    """Candidates that are all alike make one cluster; the rest of the batch is still unique."""
    rng = np.random.default_rng(0)
    X = np.vstack([np.tile([[0.1, 0.0]], (10, 1)), np.tile([[8.0, 0.0]], (30, 1))])
    model = LinearModel(np.eye(2))
    X_labeled = rng.standard_normal((4, 2))
    query_idx, _ = DECERN(random_state=0, gamma=0.0).select(model, X, 5, X_training=X_labeled, y_training=[0, 1, 0, 1])
    assert len(set(query_idx.tolist())) == 5


def test_real_classifiers_with_a_head():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    for model in (
        LogisticRegression(max_iter=300).fit(X[:200], y[:200]),
        LogisticRegression(max_iter=300).fit(X[:200], y[:200] % 2),
        MLPClassifier((20,), max_iter=150, random_state=0).fit(X[:200], y[:200]),
    ):
        labels = model.predict(X[:200])
        labels[: len(model.classes_)] = model.classes_
        query_idx, scores = DECERN(random_state=0).select(model, X[200:], 20, X_training=X[:200], y_training=labels)
        assert len(set(query_idx.tolist())) == 20
        assert (np.diff(scores) <= 0).all()


def test_no_head_is_a_clear_error():
    X, y = load_digits(return_X_y=True)
    forest = RandomForestClassifier(5, random_state=0).fit(X[:100], y[:100])
    with pytest.raises(
        PoolCapabilityError, match=r"DECERN needs a differentiable `head`, which RandomForestClassifier"
    ):
        DECERN().select(forest, X[100:], 2, X_training=X[:100], y_training=y[:100])


def test_no_labelled_data_is_a_clear_error():
    X, y = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=300).fit(X[:200], y[:200])
    with pytest.raises(PoolCapabilityError, match=r"DECERN needs the labelled data.*X_training="):
        DECERN().select(model, X[200:], 2)


def test_unknown_label_is_a_clear_error():
    with pytest.raises(ValueError, match=r"labels that LinearModel has no output for: \[7\]"):
        DECERN().select(LinearModel(np.eye(2)), np.ones((3, 2)), X_training=np.eye(2), y_training=[0, 7])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"xi": 2}, r"The 'xi' parameter of DECERN must be a float in the range \[0.0, 1.0\]. Got 2 instead."),
        ({"mask_ratio": 0}, "'mask_ratio' parameter of DECERN must be a float in the range"),
        ({"n_bins": 0}, "'n_bins' parameter of DECERN must be an int in the range"),
        ({"gamma": -1}, "'gamma' parameter of DECERN must be a float in the range"),
        ({"alpha_clip": 0.6}, "'alpha_clip' parameter of DECERN must be a float in the range"),
        ({"normalize": "l2"}, "'normalize' parameter of DECERN must be a str among"),
        ({"n_init": 0}, "'n_init' parameter of DECERN must be"),
        ({"random_state": "x"}, "'random_state' parameter of DECERN must be"),
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        DECERN(**params).select(LinearModel(np.eye(2)), np.ones((3, 2)), X_training=np.eye(2), y_training=[0, 1])


def test_a_score_on_the_threshold_is_no_candidate(monkeypatch):
    """The mean of 1, 2, 3 is 2: with gamma=0 one exceeds it, and the sample on it, far from the anchors, does not."""
    monkeypatch.setattr(DECERN, "_score", lambda self, pool, rng: np.array([1.0, 2.0, 3.0]))
    fake = FakePool(
        embeddings=[[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]],
        head=(np.eye(2), np.zeros(2)),
        labeled=FakePool(embeddings=[[1.0, 0.0], [1.0, 0.2]], head=(np.eye(2), np.zeros(2)), y=[0, 1]),
    )
    assert _threshold(np.array([1.0, 2.0, 3.0]), 0.0) == 2.0
    assert DECERN(gamma=0.0, xi=0.0, random_state=0).select(fake, fake.X, 1)[0].tolist() == [2]


@pytest.mark.parametrize(("d", "n"), [(99, 99), (100, 100), (101, 100), (2, 2)])
def test_there_are_as_many_bins_as_features_allow(d, n):
    bins = _Bins(d, 100, 0.1)
    assert (bins.n, bins.n_chosen, int(bins.sizes.sum())) == (n, max(1, round(0.1 * n)), d)
