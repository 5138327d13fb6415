"""ALFA-Mix: mixes written out one sample, anchor and cap at a time, the limits, the errors."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier

from skal.exceptions import PoolCapabilityError
from skal.strategies import ALFAMix
from skal.strategies._alfa_mix import exact_caps
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

    def gradient(self, z):
        p = softmax(self.logits(z))
        return (p - np.eye(len(p))[p.argmax()]) @ self.coef_

    def predict_proba(self, X):
        return softmax(self.logits(X), axis=1)


class SameByModule(LinearModel):
    """The same head, which does not say that it is linear."""

    def __init__(self, weight, bias=None):
        super().__init__(weight, bias)
        self.weight, self.bias = self.coef_, self.intercept_
        del self.coef_, self.intercept_

    def embed(self, X):
        return np.asarray(X)

    def head(self, Z):
        return Z @ torch.from_numpy(self.weight).T + torch.from_numpy(self.bias)

    def predict_proba(self, X):
        return softmax(self.head(torch.as_tensor(X)).numpy(), axis=1)


def anchors_of(X_labeled, y_labeled, n_classes):
    means = []
    for j in range(n_classes):
        of_class = X_labeled[y_labeled == j]
        means.append((of_class if len(of_class) else X_labeled).mean(axis=0))
    return np.array(means)


def is_changed(model, z, anchor, cap):
    """Eq. 7 and the mixture; where nothing can be mixed, nothing is."""
    g, difference = model.gradient(z), anchor - z
    if not g.any():
        return False
    step = cap / np.sqrt(len(z)) * np.linalg.norm(difference) * g / np.linalg.norm(g)
    alpha = np.array([s / x if x != 0 else 0.0 for s, x in zip(step, difference)])
    mixed = (1 - alpha) * z + alpha * anchor
    return model.logits(mixed).argmax() != model.logits(z).argmax()


def problem(n, d, n_classes, relu, scale=1.0):
    rng = np.random.default_rng([n, d, n_classes])
    model = LinearModel(scale * rng.standard_normal((n_classes, d)) / np.sqrt(d), 0.1 * rng.standard_normal(n_classes))
    X, X_labeled = rng.standard_normal((n, d)), rng.standard_normal((2 * n_classes, d))
    y_labeled = rng.integers(0, max(1, n_classes - 1), size=2 * n_classes)  # the last class has no sample
    if relu:
        X, X_labeled = np.maximum(X, 0), np.maximum(X_labeled, 0)
        X[0, : d // 2] = X_labeled[y_labeled == y_labeled[0]].mean(axis=0)[: d // 2]  # equal, and not 0
    return model, X, X_labeled, y_labeled


@pytest.mark.parametrize(("n", "d", "n_classes"), [(1, 2, 2), (30, 6, 3), (25, 40, 5), (12, 9, 11)])
@pytest.mark.parametrize("relu", [False, True])
def test_exact_caps_are_where_the_prediction_first_changes(n, d, n_classes, relu, monkeypatch):
    monkeypatch.setattr("skal.strategies._alfa_mix._ROWS", 7)
    model, X, X_labeled, y_labeled = problem(n, d, n_classes, relu)
    anchors = anchors_of(X_labeled, y_labeled, n_classes)
    caps = exact_caps(X, model.logits(X), model.coef_, anchors)
    for z, cap in zip(X, caps):
        if np.isinf(cap):
            assert not any(is_changed(model, z, anchor, 100.0) for anchor in anchors)
        else:
            assert not any(is_changed(model, z, anchor, cap * (1 - 1e-6)) for anchor in anchors)
            assert any(is_changed(model, z, anchor, cap * (1 + 1e-6)) for anchor in anchors)
    if n > 1:
        assert np.isfinite(caps).any()
    if relu and d > 2:
        # The features that cannot be mixed matter.
        shifted = exact_caps(X, model.logits(X), model.coef_, anchors + 1e-9)
        assert not np.allclose(caps, shifted, rtol=1e-3)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("kind", [LinearModel, SameByModule])
def test_scores_equal_the_slow_loop(kind, relu):
    model, X, X_labeled, y_labeled = problem(30, 6, 4, relu)
    anchors = anchors_of(X_labeled, y_labeled, 4)
    step = 1 / 16
    expected = np.full(30, np.inf)
    for i, z in enumerate(X):
        for k in range(1, 17):
            if any(is_changed(model, z, anchor, k * step) for anchor in anchors):
                expected[i] = k * step
                break
    twin = kind(model.coef_, model.intercept_)
    scores = ALFAMix(cap_step=step).score_samples(twin, X, X_training=X_labeled, y_training=y_labeled)
    caps = np.where(scores > 0, 1 / np.where(scores > 0, scores, 1) - 1, np.inf)
    np.testing.assert_allclose(np.where(np.isinf(caps), np.inf, np.ceil(caps / step - 1e-9) * step), expected)
    assert len(set(expected.tolist())) > 3


def test_selection_follows_the_paper():
    """The first cap with more candidates than asked for, k-means on the unit sphere, the nearest to each centre."""
    model, X, X_labeled, y_labeled = problem(200, 8, 3, relu=False)
    labeled = {"X_training": X_labeled, "y_training": y_labeled}
    scores = ALFAMix().score_samples(model, X, **labeled)
    query_idx, chosen_scores = ALFAMix(random_state=np.random.RandomState(5)).select(model, X, 6, **labeled)
    np.testing.assert_allclose(chosen_scores, scores[query_idx])
    assert (np.diff(chosen_scores) <= 0).all()
    cap = next(k / 32 for k in range(1, 33) if (scores >= 1 / (1 + k / 32)).sum() > 6)
    candidates = np.flatnonzero(scores >= 1 / (1 + cap))
    words = np.random.RandomState(5).randint(2**31 - 1, size=4)
    seed = int(np.random.default_rng([int(word) for word in words]).integers(2**31 - 1))
    unit = l2_normalize(X[candidates])
    kmeans = KMeans(6, n_init="auto", random_state=seed).fit(unit)
    distances = np.linalg.norm(unit - kmeans.cluster_centers_[kmeans.labels_], axis=1)
    expected = [candidates[min(np.flatnonzero(kmeans.labels_ == k), key=lambda i: distances[i])] for k in range(6)]
    assert {(unit[candidates == i] @ kmeans.cluster_centers_.T).argmax() for i in query_idx} == {
        (unit[candidates == i] @ kmeans.cluster_centers_.T).argmax() for i in expected
    }
    np.testing.assert_allclose(
        sorted(distances[candidates == i][0] for i in query_idx),
        sorted(distances[candidates == i][0] for i in expected),
    )


def test_few_candidates_are_all_taken_and_the_rest_is_random():
    model = LinearModel(np.eye(2))
    X = np.vstack([[[1.0, 0.9]], np.tile([[100.0, 0.0]], (30, 1))])
    labeled = {"X_training": np.array([[2.0, 0.0], [1.5, 1.6]]), "y_training": [0, 1]}
    picks = set()
    for seed in range(6):
        query_idx, scores = ALFAMix(random_state=seed).select(model, X, 5, **labeled)
        assert query_idx[0] == 0
        assert scores[0] > 0.5
        assert (scores[1:] == 0).all()
        assert len(set(query_idx.tolist())) == 5
        picks.add(tuple(query_idx.tolist()))
    assert len(picks) == 6


def test_a_sample_equal_to_every_anchor_never_changes():
    model = LinearModel(np.eye(2))
    scores = ALFAMix().score_samples(
        model, np.array([[1.0, 0.5], [1.0, 0.6]]), X_training=np.array([[1.0, 0.5]] * 2), y_training=[0, 1]
    )
    assert scores[0] == 0


def test_confidence_does_not_matter_with_two_classes():
    """The ray is the same whatever the gradient's length, even where it underflows."""
    model, X, X_labeled, y_labeled = problem(30, 6, 2, relu=True)
    model.intercept_ = np.zeros(2)
    anchors = anchors_of(X_labeled, y_labeled, 2)
    caps = exact_caps(X, model.logits(X), model.coef_, anchors)
    confident = exact_caps(X, 300 * model.logits(X), 300 * model.coef_, anchors)
    assert np.abs(300 * np.diff(model.logits(X))).max() > 750
    np.testing.assert_allclose(confident, caps, rtol=1e-9)


@pytest.mark.filterwarnings("error")
def test_zeros_ties_and_saturated_predictions_are_finite():
    model = LinearModel(1e4 * np.eye(3))
    X = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [3.0, 0.0, 0.0], [-5.0, 0.0, 0.0]])
    scores = ALFAMix().score_samples(model, X, X_training=np.eye(3), y_training=[0, 1, 2])
    assert np.isfinite(scores).all()
    assert scores[1] == pytest.approx(1)  # between classes: any mixing changes it


@pytest.mark.parametrize("kind", [LinearModel, SameByModule])
def test_optimised_alpha_equals_the_slow_loop(kind):
    """Sign steps on every strength, written out with the same draws."""
    model, X, X_labeled, y_labeled = problem(12, 5, 3, relu=False, scale=0.6)
    anchors, n_steps, rate, l2 = anchors_of(X_labeled, y_labeled, 3), 4, 0.05, 0.02
    words = np.random.RandomState(2).randint(2**31 - 1, size=4)
    rng = np.random.default_rng([int(word) for word in words])
    expected = np.full(12, np.inf)
    for cap in (0.25, 0.5, 0.75, 1.0):
        left = [i for i in range(12) if np.isinf(expected[i])]
        for anchor in anchors:
            left = [i for i in left if np.isinf(expected[i])]
            if not left:
                break
            start = rng.normal(cap / 2, cap / 2, size=(len(left), 5)).clip(1e-8, cap)
            for i, alpha in zip(left, start):
                y = model.logits(X[i]).argmax()
                for step in range(n_steps):
                    mixed = (1 - alpha) * X[i] + alpha * anchor
                    if model.logits(mixed).argmax() != y:
                        expected[i] = cap
                    error = softmax(model.logits(mixed)) - np.eye(3)[y]
                    gradient = -(error @ model.coef_) * (anchor - X[i]) + l2 * alpha / np.linalg.norm(alpha)
                    length = rate if step < n_steps * 2 / 3 else rate / 10
                    alpha = (alpha - length * gradient / (np.abs(gradient) + 1e-8)).clip(1e-8, cap)
    strategy = ALFAMix(
        alpha="optimised", cap_step=0.25, n_steps=n_steps, learning_rate=rate, l2=l2,
        random_state=np.random.RandomState(2),
    )  # fmt: skip
    scores = strategy.score_samples(kind(model.coef_, model.intercept_), X, X_training=X_labeled, y_training=y_labeled)
    np.testing.assert_allclose(scores, 1 / (1 + expected))
    assert len(set(expected.tolist())) > 2


def test_optimised_alpha_changes_whatever_random_alpha_changes():
    """With one step there is no ascent; more steps can only add changes."""
    model, X, X_labeled, y_labeled = problem(40, 6, 3, relu=False)
    labeled = {"X_training": X_labeled, "y_training": y_labeled}
    few, many = (
        ALFAMix(alpha="optimised", cap_step=1.0, n_steps=n, random_state=0).score_samples(model, X, **labeled) > 0
        for n in (1, 8)
    )
    assert many.sum() > few.sum()


@pytest.mark.parametrize("alpha", ["closed_form", "optimised"])
def test_a_query_does_not_try_caps_it_does_not_need(alpha, monkeypatch):
    model, X, X_labeled, y_labeled = problem(60, 6, 3, relu=False)
    twin, calls = SameByModule(model.coef_, model.intercept_), []
    original = SameByModule.head
    monkeypatch.setattr(SameByModule, "head", lambda self, Z: calls.append(1) or original(self, Z))
    labeled = {"X_training": X_labeled, "y_training": y_labeled}
    strategy = ALFAMix(alpha=alpha, random_state=0)
    scores = strategy.score_samples(twin, X, **labeled)
    n_all = len(calls)
    query_idx, chosen_scores = strategy.select(twin, X, 2, **labeled)
    assert len(calls) - n_all < n_all / 2
    np.testing.assert_allclose(chosen_scores, scores[query_idx])


def test_errors():
    X, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 2
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    with pytest.raises(PoolCapabilityError, match="ALFAMix needs a differentiable `head`, which RandomForest"):
        ALFAMix().select(forest, X, X_training=X, y_training=y)
    with pytest.raises(PoolCapabilityError, match=r"ALFAMix needs the labelled data.*X_training="):
        ALFAMix().select(LinearModel(np.eye(2)), X)
    with pytest.raises(ValueError, match=r"labels that LinearModel has no output for: \[7\]"):
        ALFAMix().select(LinearModel(np.eye(2)), X, X_training=X[:2], y_training=[0, 7])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": "open"}, "The 'alpha' parameter of ALFAMix must be a str among"),
        ({"cap_step": 0}, r"'cap_step' parameter of ALFAMix must be a float in the range \(0.0, 1.0\]. Got 0 instead."),
        ({"n_steps": 0}, "'n_steps' parameter of ALFAMix must be an int in the range"),
        ({"learning_rate": 0}, "'learning_rate' parameter of ALFAMix must be a float in the range"),
        ({"l2": -1}, "'l2' parameter of ALFAMix must be a float in the range"),
        ({"n_init": 0}, "'n_init' parameter of ALFAMix must be"),
        ({"random_state": "x"}, "'random_state' parameter of ALFAMix must be"),
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        ALFAMix(**params).select(LinearModel(np.eye(2)), np.ones((3, 2)), X_training=np.eye(2), y_training=[0, 1])


# -- caps at the edges ------------------------------------------------------------------------------------------------


def one_dimension(turn, *, linear):
    """A sample at 0 and the only anchor apart from it at 1: class 1 wins beyond `turn`, which so is the cap."""
    if linear:
        head = (np.array([[-1.0], [1.0]]), np.array([turn, -turn]))
    else:
        head = lambda z: torch.cat([turn - z, z - turn], dim=1)  # noqa: E731
    labeled = FakePool(embeddings=[[0.0], [1.0]], head=head, y=[0, 1])
    return FakePool(embeddings=[[0.0]], head=head, labeled=labeled)


@pytest.mark.parametrize(
    ("turn", "cap"), [(0.25, 0.3), (0.85, 0.9), (0.95, 1.0), (1.1, np.inf), (1.15, np.inf), (5.0, np.inf)]
)
def test_the_last_cap_is_1_whatever_the_step(turn, cap):
    fake = one_dimension(turn, linear=False)
    assert ALFAMix(cap_step=0.3).score_samples(fake, fake.X).tolist() == pytest.approx([1 / (1 + cap)])


@pytest.mark.parametrize(("turn", "score"), [(0.5, 2 / 3), (1.0, 0.5), (1.0 + 2**-40, 0.0)])
def test_a_cap_of_just_1_counts(turn, score):
    fake = one_dimension(turn, linear=True)
    assert ALFAMix().score_samples(fake, fake.X).tolist() == pytest.approx([score])


@pytest.mark.parametrize("linear", [True, False])
def test_as_many_candidates_as_instances_are_not_enough(linear):
    """Two change at the first cap, alike; a third, unlike them, at the second: it takes the place of one of the two."""
    X = np.array([[-1.0, 0.5], [-1.1, 0.55], [-3.0, -9.0], [-50.0, 0.0]])
    weight = np.array([[0.0, 0.0], [5.0, 0.0]])
    head = (weight, np.zeros(2)) if linear else lambda z: z @ torch.from_numpy(weight).T
    labeled = FakePool(embeddings=[[-10.0, 0.0], [10.0, 0.0]], head=head, y=[0, 1])
    fake = FakePool(embeddings=X, head=head, labeled=labeled)
    strategy = ALFAMix(cap_step=0.25, random_state=0)
    scores = strategy.score_samples(fake, fake.X)
    if not linear:
        np.testing.assert_allclose(scores, [0.8, 0.8, 2 / 3, 0])
    assert 2 in strategy.select(fake, fake.X, 2)[0].tolist()
