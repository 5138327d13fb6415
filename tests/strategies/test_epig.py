"""EPIG: mutual information by hand and by a loop, who the versions are, targets of one's own."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.learners import ActiveLearner
from skal.pool import view_pool
from skal.strategies import BALD, EPIG, epig_sampling
from skal.strategies import _epig as module
from skal.strategies._epig import mean_information
from skal.testing import FakePool, check_strategy


def slow(samples, targets):
    """The divergence of the joint distribution from the product of its margins, pair by pair."""
    found = np.zeros(samples.shape[1])
    for i in range(samples.shape[1]):
        for t in range(targets.shape[1]):
            joint = np.mean([np.outer(p[i], q[t]) for p, q in zip(samples, targets, strict=True)], axis=0)
            alone = np.outer(joint.sum(axis=1), joint.sum(axis=0))
            inside = joint > 0
            found[i] += (joint[inside] * np.log(joint[inside] / alone[inside])).sum() / targets.shape[1]
    return found


@pytest.mark.parametrize(("n_versions", "n", "n_targets", "n_classes"), [(2, 1, 1, 2), (5, 20, 7, 3), (3, 9, 30, 10)])
@pytest.mark.parametrize("block", [1, 5000, 2**25])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_slow_loop(n_versions, n, n_targets, n_classes, block, dtype, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", block)
    rng = np.random.default_rng([n, n_classes])
    samples, targets = (rng.dirichlet(np.ones(n_classes), (n_versions, m)).astype(dtype) for m in (n, n_targets))
    np.testing.assert_allclose(
        mean_information(samples, targets), slow(samples.astype(float), targets.astype(float)), atol=1e-6
    )


def test_by_hand():
    """Two versions that are sure of opposite classes."""
    samples = np.array([[[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]])
    np.testing.assert_allclose(mean_information(samples, samples[:, :1]), [np.log(2), 0, 0])
    # A target about which the versions agree tells nothing.
    np.testing.assert_allclose(mean_information(samples, samples[:, [0, 2]]), [np.log(2) / 2, 0, 0])


def test_what_the_targets_do_not_hang_on_is_worth_nothing():
    """The versions disagree about the first half of the pool, by one question, and about the rest by another."""
    sure, other = np.array([0.95, 0.05]), np.array([0.05, 0.95])
    opinions = [
        np.array([first] * 3 + [second] * 3)
        for first, second in ((sure, sure), (sure, other), (other, sure), (other, other))
    ]
    fake = FakePool(opinions=opinions)
    assert np.ptp(BALD().score_samples(fake, fake.X)) < 1e-12
    scores = mean_information(np.stack(opinions), np.stack(opinions)[:, :1])
    assert (scores[:3] > 0.3).all() and (scores[3:] == 0).all()
    assert EPIG(random_state=0).select(fake, fake.X, 6)[1].min() > 0


def test_targets_are_a_random_part_of_the_pool(monkeypatch):
    rng = np.random.default_rng(0)
    fake = FakePool(opinions=[rng.dirichlet([1, 1], 30) for _ in range(4)])
    seen = []
    original = module.mean_information
    monkeypatch.setattr(module, "mean_information", lambda a, b: seen.append(b) or original(a, b))
    for seed in (0, 0, 1):
        EPIG(n_passes=4, n_targets=5, random_state=seed).select(fake, fake.X)
    EPIG(n_passes=3, n_targets=1000).select(fake, fake.X)
    assert [b.shape for b in seen] == [(4, 5, 2)] * 3 + [(3, 30, 2)]
    assert np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[0], seen[2])
    whole = np.stack(list(fake.model.several("opinions", 4)))
    assert all((whole[0] == row).all(axis=1).any() for row in seen[0][0])


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 4))
    return X, (X[:, 0] + 0.3 * rng.standard_normal(120) > 0).astype(int)


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame])
def test_targets_of_ones_own_are_seen_by_the_same_members(table, kind):
    X, y = table
    model = make_pipeline(StandardScaler(), RandomForestClassifier(6, max_depth=3, random_state=0))
    forest = model.fit(X[:40], y[:40])
    scores = EPIG(X_target=kind(X[100:]), random_state=0).score_samples(forest, kind(X[40:100]))
    members = [tree.predict_proba(forest[0].transform(X[40:])) for tree in forest[1].estimators_]
    samples = np.stack(members)
    np.testing.assert_allclose(scores, slow(samples[:, :60], samples[:, 60:]), atol=1e-9)


def test_targets_of_ones_own_are_seen_by_the_same_clones(table):
    X, y = table
    labels = {"X_training": X[:30], "y_training": y[:30]}
    fitted = LogisticRegression().fit(X[:30], y[:30])
    strategy = EPIG(n_passes=4, X_target=X[100:])
    scores = strategy._score(view_pool(fitted, X[30:100], **labels), np.random.default_rng(3))
    clones = view_pool(fitted, X[30:], **labels).iter_clone_samples(4, np.random.default_rng(3))
    samples = np.stack(list(clones))
    np.testing.assert_allclose(scores, slow(samples[:, :70], samples[:, 70:]), atol=1e-9)


def test_dropout_masks_are_no_versions(dropout_net):
    """One sample, twice, gets two masks, so that the two know nothing of each other; clones see them alike."""
    X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    twice = view_pool(dropout_net, np.repeat(X[:1], 2, axis=0), X_training=X, y_training=np.arange(6) % 3)
    masked = np.stack(list(twice.iter_proba_samples(50, np.random.default_rng(0))))
    assert not np.allclose(masked[:, 0], masked[:, 1])
    versions = EPIG(n_passes=3)._versions(twice, np.random.default_rng(0))
    np.testing.assert_allclose(versions[:, 0], versions[:, 1], rtol=1e-5)
    assert not np.allclose(versions[0], versions[1])


@pytest.mark.parametrize(
    ("X_target", "words"),
    [
        (np.ones((3, 7)), "X has 7 features per sample"),
        (np.full((3, 4), np.nan), "NaN"),
        (np.ones((0, 4)), "There is no sample"),
        (3.0, ""),
        ("text", ""),
    ],
)
def test_targets_unlike_the_pool(table, X_target, words):
    X, y = table
    learner = ActiveLearner(LogisticRegression(), EPIG(), X[:30], y[:30])
    with pytest.raises(ValueError, match=f"(?s)'X_target' parameter of EPIG must hold samples like those.*{words}"):
        EPIG(X_target=X_target).select(learner, X[30:], 2)


def test_errors():
    fake = FakePool(opinions=[[[0.5, 0.5]], [[0.1, 0.9]]])
    for name in ("n_passes", "n_targets"):
        with pytest.raises(ValueError, match=f"'{name}' parameter of EPIG must be an int"):
            epig_sampling.select(fake, fake.X, **{name: 0})


def test_rules_with_few_targets():
    check_strategy(EPIG(n_passes=3, n_targets=4))
