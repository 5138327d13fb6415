"""EMOC: the closed form equals steps of gradient descent by autograd, the blocks a loop, the limits, the errors."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from skal.exceptions import PoolCapabilityError
from skal.strategies import EMOC, _emoc
from skal.testing import FakePool


def random_pool(n=15, d=4, m=3, n_classes=3, seed=0, positive=False):
    rng = np.random.default_rng([n, d, m, seed])
    weight, bias = rng.standard_normal((n_classes, d)), rng.standard_normal(n_classes)
    z, labeled = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    if positive:
        z, labeled = abs(z), abs(labeled)
    head = {"head": (weight, bias)}
    known = FakePool(embeddings=labeled, y=np.zeros(m, dtype=int), **head)
    return FakePool(embeddings=z, labeled=known, **head), weight, bias


def brute_force(z, everyone, weight, bias, step_size, labels="all"):
    """Each candidate with each label: a step of gradient descent by autograd, and what it does to every output."""
    z, everyone = torch.from_numpy(z), torch.from_numpy(everyone)
    scores = []
    for h in z:
        proba = torch.softmax(h @ torch.from_numpy(weight).T + torch.from_numpy(bias), dim=0)
        expected = 0.0
        for label, p in enumerate(proba.tolist()):
            w = torch.tensor(weight, requires_grad=True)
            b = torch.tensor(bias, requires_grad=True)
            loss = torch.nn.functional.cross_entropy((h @ w.T + b)[None], torch.tensor([label]))
            of_w, of_b = torch.autograd.grad(loss, (w, b))
            before = everyone @ w.T + b
            after = everyone @ (w - step_size * of_w).T + b - step_size * of_b
            change = float((after - before).abs().sum(dim=1).mean().detach())
            if labels == "all":
                expected += p * change
            elif label == int(proba.argmax()):
                expected = change
        scores.append(expected)
    return np.array(scores)


@pytest.mark.parametrize("labels", ["all", "predicted"])
@pytest.mark.parametrize("step_size", [1.0, 0.03])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(("n", "d", "m", "n_classes"), [(1, 1, 1, 2), (15, 4, 3, 3), (9, 30, 0, 5)])
def test_equals_brute_force(n, d, m, n_classes, positive, step_size, labels):
    pool, weight, bias = random_pool(n, d, m, n_classes, positive=positive)
    everyone = np.vstack([pool.embeddings, pool.labeled.embeddings])
    expected = brute_force(pool.embeddings, everyone, weight, bias, step_size, labels)
    strategy = EMOC(step_size=step_size, labels=labels)
    scores = strategy.score_samples(pool, pool.X)
    np.testing.assert_allclose(scores, expected, rtol=1e-10, atol=1e-10)
    picks, selected = strategy.select(pool, pool.X, n)
    assert picks.tolist() == np.argsort(-expected, kind="stable").tolist()
    np.testing.assert_array_equal(selected, scores[picks])


@pytest.mark.parametrize("side", [1, 3, 7, 100])
@pytest.mark.parametrize("positive", [False, True])
def test_blocks_equal_the_whole(side, positive, monkeypatch):
    monkeypatch.setattr(_emoc, "_SIDE", side)
    rng = np.random.default_rng(0)
    z, others = rng.standard_normal((20, 3)), rng.standard_normal((11, 3))
    if positive:
        z, others = abs(z), abs(others)
    np.testing.assert_allclose(_emoc.similarity_sums(z), abs(z @ z.T + 1).sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(_emoc.similarity_sums(z, others), abs(z @ others.T + 1).sum(axis=1), rtol=1e-13)
    proba = softmax(rng.standard_normal((20, 4)), axis=1)
    np.testing.assert_allclose(_emoc.label_doubt(proba, "all"), 1 - (proba**2).sum(axis=1))
    np.testing.assert_allclose(_emoc.label_doubt(proba, "predicted"), 1 - proba.max(axis=1))


def test_signs_of_one_side_only():
    """What is not negative meets what is: the shortcut must not be taken."""
    z, others = np.array([[1.0, 2.0]]), np.array([[-3.0, -1.0], [1.0, 1.0]])
    assert _emoc.similarity_sums(z, others).tolist() == [4.0 + 4.0]
    assert _emoc.similarity_sums(others, z).tolist() == [4.0, 4.0]


@pytest.mark.parametrize("n_samples", [1, 7, 17])
def test_some_samples_stand_for_all(n_samples):
    pool, *_ = random_pool()
    everyone = np.vstack([pool.embeddings, pool.labeled.embeddings])
    p = pool.proba
    scores = EMOC(n_samples=n_samples, random_state=1).score_samples(pool, pool.X)
    found = scores / (2 * (1 - (p**2).sum(axis=1)))
    # The mean over some n_samples rows of pool and labelled together: found out where that is one, or all but one.
    products = abs(pool.embeddings @ everyone.T + 1)
    if n_samples == 17:
        missing = [(products.sum(axis=1) - products[:, i]) / 17 for i in range(18)]
        assert sum(np.allclose(found, each) for each in missing) == 1
    elif n_samples == 1:
        assert sum(np.allclose(found, products[:, i]) for i in range(18)) == 1
    again = EMOC(n_samples=n_samples, random_state=1).score_samples(pool, pool.X)
    np.testing.assert_array_equal(scores, again)
    assert not np.allclose(scores, EMOC(n_samples=n_samples, random_state=2).score_samples(pool, pool.X))


def test_all_samples_or_more_are_all():
    pool, *_ = random_pool()
    expected = EMOC().score_samples(pool, pool.X)
    for n_samples in (18, 1000):
        np.testing.assert_array_equal(EMOC(n_samples=n_samples).score_samples(pool, pool.X), expected)


def test_of_single_precision_no_more_is_made():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((50, 8))
    single = _emoc.similarity_sums(z.astype(np.float32))
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, _emoc.similarity_sums(z), rtol=1e-5)


def test_a_sure_classifier_expects_no_change():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((6, 2))
    head = {"head": (1e4 * np.array([[1.0, 0], [-1, 0]]), np.zeros(2))}
    pool = FakePool(embeddings=z, labeled=FakePool(embeddings=z, y=np.zeros(6, dtype=int), **head), **head)
    assert EMOC().score_samples(pool, z).tolist() == [0.0] * 6


def test_what_is_uncertain_and_in_the_midst_comes_first():
    rng = np.random.default_rng(0)
    X = np.vstack(
        [rng.normal((0, 2), 0.3, (50, 2)), rng.normal((0, -9), 0.3, (2, 2)), rng.normal((9, 2), 0.3, (50, 2))]
    )
    clf = LogisticRegression(C=1e3).fit([[-3, 0], [3, 0]], [0, 1])
    picks, _ = EMOC(random_state=0).select(clf, X, 10, X_training=X[:2], y_training=[0, 1])
    # The two lie as much between the classes, alone on their side.
    assert set(picks.tolist()) <= set(range(52))


@pytest.mark.parametrize(("dtype", "size"), [(np.float64, 1e80), (np.float32, 1e20)])
def test_embeddings_whose_products_overflow(dtype, size):
    class Huge:
        classes_ = np.arange(2)
        coef_, intercept_ = np.zeros((2, 2)), np.zeros(2)

        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    X = np.array([[size, 1], [1, 1]], dtype=dtype)
    with pytest.raises(ValueError, match=f"EMOC multiplies embeddings, which must be below .* in {np.dtype(dtype)}"):
        EMOC().select(Huge(), X, X_training=X, y_training=[0, 1])


def test_a_linear_head_and_labelled_data_are_needed():
    X = np.random.default_rng(0).standard_normal((20, 3))
    y = (X[:, 0] > 0).astype(int)
    with pytest.raises(PoolCapabilityError, match="EMOC needs a linear `head`"):
        EMOC().select(RandomForestClassifier(3).fit(X, y), X, X_training=X, y_training=y)
    with pytest.raises(PoolCapabilityError, match="EMOC needs the labelled data"):
        EMOC().select(LogisticRegression().fit(X, y), X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"step_size": 0}, "The 'step_size' parameter of EMOC must be a float in the range"),
        ({"n_samples": 0}, "The 'n_samples' parameter of EMOC must be an int in the range"),
        ({"labels": "none"}, "The 'labels' parameter of EMOC must be a str among"),
    ],
)
def test_parameters(params, message):
    pool, *_ = random_pool()
    with pytest.raises(ValueError, match=message):
        EMOC(**params).select(pool, pool.X)


def test_a_binary_classifier_of_one_output_counts_as_one_of_two():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 3))
    y = (X[:, 0] > 0).astype(int)
    clf = LogisticRegression().fit(X[:6], y[:6])
    query_idx, scores = EMOC(random_state=0).select(clf, X[6:], 6, X_training=X[:6], y_training=y[:6])
    for i, score in zip(query_idx, scores):
        expected = 0.0
        x, proba = X[6 + i], clf.predict_proba(X[6 + i : 7 + i])[0]
        for label in (0, 1):
            step = (proba[1] - label) * np.append(x, 1)
            expected += proba[label] * 2 * np.mean([abs(np.append(other, 1) @ step) for other in X])
        assert score == pytest.approx(expected)
