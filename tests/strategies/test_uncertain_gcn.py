"""UncertainGCN: the network's probabilities against the margin, what it prefers, the limits, the errors."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skal.exceptions import ColdStartWarning, PoolCapabilityError
from skal.learners import ActiveLearner
from skal.nets import GraphSelector
from skal.strategies import UncertainGCN
from skal.testing import FakePool
from skal.utils._random import make_generator, sklearn_seed


def two_regions(rng, n=60, m=15):
    """A pool of two regions, and labels in the first alone."""
    X = np.vstack([center + 0.2 * rng.standard_normal((n, 2)) for center in np.eye(2)])
    labeled = np.eye(2)[0] + 0.2 * rng.standard_normal((m, 2))
    return FakePool(embeddings=X, labeled=FakePool(embeddings=labeled, y=np.zeros(m, dtype=int)))


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.6])
def test_scores_follow_from_the_networks_probabilities(margin):
    pool = two_regions(np.random.default_rng(0))
    X = np.vstack([pool.embeddings, pool.labeled.embeddings])
    seed = sklearn_seed(make_generator(2, pool.round, pool.n_labeled))
    p = GraphSelector(device="cpu", random_state=seed).fit(X, np.arange(135) >= 120).predict_proba(X)[:120, 1]
    strategy = UncertainGCN(margin=margin, random_state=2)
    np.testing.assert_allclose(strategy.score_samples(pool, pool.X), -abs(p - margin), rtol=1e-12)
    picks, scores = strategy.select(pool, pool.X, 7)
    assert set(picks.tolist()) == set(np.argsort(abs(p - margin))[:7].tolist())
    assert (scores[:-1] >= scores[1:]).all()


def test_the_region_without_labels_is_preferred():
    for seed in range(4):
        pool = two_regions(np.random.default_rng(seed))
        picks, _ = UncertainGCN(random_state=seed).select(pool, pool.X, 20)
        assert (picks >= 60).all()


def test_standardised_features_do_no_harm():
    """Negative similarities, with columns of the graph that sum to nothing or less."""
    rng = np.random.default_rng(0)
    X = np.vstack([center + 0.5 * rng.standard_normal((60, 6)) for center in (-np.ones(6), np.ones(6))])
    labeled = FakePool(embeddings=X[:15], y=np.zeros(15, dtype=int))
    pool = FakePool(embeddings=X[15:], labeled=labeled)
    for seed in range(3):
        picks, _ = UncertainGCN(random_state=seed).select(pool, pool.X, 20)
        assert (picks >= 45).all()


def test_a_part_of_the_pool_trains_and_all_of_it_is_scored():
    pool = two_regions(np.random.default_rng(0))
    scores = UncertainGCN(n_train=20, random_state=0).score_samples(pool, pool.X)
    assert scores.shape == (120,)
    assert not np.allclose(scores, UncertainGCN(random_state=0).score_samples(pool, pool.X))
    picks, _ = UncertainGCN(n_train=20, random_state=0).select(pool, pool.X, 20)
    assert (picks >= 60).all()


def test_nothing_labelled_is_random():
    X = np.random.default_rng(0).standard_normal((30, 2))
    with pytest.warns(ColdStartWarning, match="UncertainGCN chooses uniformly at random"):
        assert len(ActiveLearner(LogisticRegression(), UncertainGCN()).query(X, n_instances=3)[0]) == 3


def test_no_labelled_data_is_a_clear_error():
    X = np.eye(3)
    with pytest.raises(PoolCapabilityError, match="UncertainGCN needs the labelled data"):
        UncertainGCN().select(LogisticRegression().fit(X, [0, 1, 1]), X)


@pytest.mark.parametrize("margin", [-0.1, 1.1, None])
def test_margin(margin):
    pool = two_regions(np.random.default_rng(0))
    with pytest.raises(ValueError, match="The 'margin' parameter of UncertainGCN must be a float in the range"):
        UncertainGCN(margin=margin).select(pool, pool.X)
