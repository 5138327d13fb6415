"""BAL: the paper's vectors, a slow loop over whole schedules, how a run is remembered, the errors."""

import functools
import pickle
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from modAL.models import ActiveLearner as ModALActiveLearner
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from torch import nn

from skal.exceptions import PoolCapabilityError
from skal.learners import ActiveLearner
from skal.meta import ActiveLearningClassifier
from skal.nets import DeepClassifier
from skal.pool import view_pool
from skal.strategies import (
    BAL,
    PT4AL,
    KMeansSampling,
    RandomSampling,
    bal_sampling,
    cluster_distance_difference,
    sub_pool_bounds,
)
from skal.utils._random import make_generator, sklearn_seed

POINTS = np.array([[0, 0], [1, 0], [2, 0], [3.5, 0], [2, 3]])
LOGITS = np.array([[10, 1, 0], [0.5, 0, 0], [2, 1.9, -3], [0.6, 0.5, 0.4]])
BETAS = (0.5, 1.0, 1.4, 2.0)
PAPER = {
    0.5: [(0, 5), (12, 17), (22, 27), (32, 37), (45, 50)],
    1.0: [(0, 10), (10, 20), (20, 30), (30, 40), (40, 50)],
    1.4: [(0, 14), (8, 22), (18, 32), (28, 42), (36, 50)],
    2.0: [(0, 20), (5, 25), (15, 35), (25, 45), (30, 50)],
}
REPOSITORY = {
    0.5: [(0, 5), (22, 27), (32, 37), (42, 47), (45, 50)],
    1.0: [(0, 10), (20, 30), (30, 40), (40, 50), (40, 50)],
    1.4: [(0, 14), (18, 32), (28, 42), (38, 52), (36, 50)],
    2.0: [(0, 20), (15, 35), (25, 45), (35, 55), (30, 50)],
}


class Known(ClassifierMixin, BaseEstimator):
    """Ten classes; the largest probability of a sample is its second feature."""

    def fit(self, X, y):
        self.classes_ = np.arange(10)
        return self

    def predict_proba(self, X):
        rest = np.repeat((1 - X[:, 1:2]) / 9, 9, axis=1)
        return np.hstack([X[:, 1:2], rest])


class Linear:
    """Logits are the samples themselves."""

    def __init__(self, d):
        self.coef_, self.intercept_, self.classes_ = np.eye(d), np.zeros(d), np.arange(d)

    def predict_proba(self, X):
        return softmax(np.asarray(X), axis=1)


class Counting(TransformerMixin, BaseEstimator):
    """Passes features on, and counts fits over all clones."""

    fits = 0

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y=None):
        Counting.fits += 1
        self.fitted_ = True
        return self

    def transform(self, X):
        return self.scale * np.asarray(X, dtype=float)


@pytest.fixture
def fits():
    Counting.fits = 0
    return lambda: Counting.fits


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(120, centers=4, n_features=5, cluster_std=3.0, random_state=1)


def logistic():
    return LogisticRegression(max_iter=500)


# -- the two helpers ---------------------------------------------------------------------------------------------


def test_cdd_vectors():
    two = cluster_distance_difference(POINTS, [[0, 0], [4, 0]])
    np.testing.assert_array_equal(two, [4, 2, 0, 3, 0])
    assert np.argsort(two, kind="stable").tolist() == [2, 4, 1, 3, 0]
    three = cluster_distance_difference(POINTS, [[0, 0], [4, 0], [2, 4]])
    np.testing.assert_allclose(three, [4, 2, 0, 3, 2.605551275464], atol=1e-11)
    assert np.argsort(three, kind="stable").tolist() == [2, 1, 4, 3, 0]


def slow_cdd(X, centers):
    values = []
    for x in np.asarray(X, dtype=np.float64):
        first, second = sorted(float(np.sqrt(((x - c) ** 2).sum())) for c in np.asarray(centers, dtype=np.float64))[:2]
        values.append(second - first)
    return np.array(values)


@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 2), (7, 3, 2), (23, 40, 9), (11, 2, 30)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cdd_equals_the_slow_loop_in_blocks(n, d, k, dtype, monkeypatch):
    monkeypatch.setattr("skal.strategies._parts._sub_pools._BLOCK", 3 * max(d, k))
    rng = np.random.default_rng([n, d, k])
    # Far from the origin, where squares would lose their digits.
    X, centers = (rng.normal(1000, 1, (m, d)).astype(dtype) for m in (n, k))
    fast = cluster_distance_difference(X, centers)
    assert fast.dtype == np.float64 and (fast >= 0).all()
    np.testing.assert_allclose(fast, slow_cdd(X, centers), atol=1e-9)


@pytest.mark.parametrize(
    ("X", "centers", "message"),
    [
        (POINTS, [[0.0, 0.0]], "needs at least two centers. Got 1"),
        (POINTS, [[0.0], [1.0]], r"shapes \(n, d\) and \(k, d\). Got \(5, 2\) and \(2, 1\)"),
        (POINTS[0], [[0.0], [1.0]], "shapes"),
        ([[np.nan, 0.0]], [[0.0, 1.0], [1.0, 1.0]], "must be finite"),
    ],
)
def test_cdd_errors(X, centers, message):
    with pytest.raises(ValueError, match=message):
        cluster_distance_difference(X, centers)


@pytest.mark.parametrize("beta", BETAS)
def test_bounds_vectors(beta):
    assert [sub_pool_bounds(i, 50, 5, beta) for i in range(5)] == PAPER[beta]
    assert [sub_pool_bounds(i, 50, 5, beta, indexing="repository") for i in range(5)] == REPOSITORY[beta]


def slow_bounds(i, n, n_rounds, beta, indexing="paper"):
    """Eq. 6 in exact fractions."""
    beta, share = Fraction(str(beta)), Fraction(n, n_rounds)
    if i == 0:
        low, high = Fraction(0), beta * share
    elif i == n_rounds - 1:
        low, high = n - beta * share, Fraction(n)
    else:
        place = i if indexing == "paper" else i + 1
        half = (beta - 1) * share / 2
        low, high = place * share - half, (place + 1) * share + half
    low, high = max(0, low.__floor__()), high.__floor__()
    return low, min(high, n) if indexing == "paper" or i in (0, n_rounds - 1) else high


@pytest.mark.parametrize("indexing", ["paper", "repository"])
def test_bounds_are_exact(indexing):
    for n in (1, 7, 30, 100, 50_000):
        for n_rounds in (1, 2, 3, 7, 10):
            for beta in (0.1, 0.3, 0.7, 1.0, 1.1, 1.3, 2.5, 9.0, 40.0):
                for i in range(n_rounds):
                    expected = slow_bounds(i, n, n_rounds, beta, indexing)
                    assert sub_pool_bounds(i, n, n_rounds, beta, indexing) == expected, (i, n, n_rounds, beta)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((0, 50, 5, 0), ValueError, r"The 'beta' of sub_pool_bounds must be a float in \(0.0, inf\). Got 0 instead."),
        ((0, 50, 5, -1.0), ValueError, "'beta'"),
        ((0, 50, 5, np.nan), ValueError, "'beta'"),
        ((5, 50, 5, 1.0), ValueError, "must be below n_rounds=5: the schedule is over by then. Got 5 instead."),
        ((-1, 50, 5, 1.0), ValueError, "'round' of sub_pool_bounds must be at least 0. Got -1"),
        ((0, 0, 5, 1.0), ValueError, "'n_samples' of sub_pool_bounds must be at least 1. Got 0"),
        ((0, 50, 0, 1.0), ValueError, "'n_rounds' of sub_pool_bounds must be at least 1. Got 0"),
        ((0, 50, 2.5, 1.0), TypeError, "'n_rounds' of sub_pool_bounds must be an integer. Got 2.5"),
        ((True, 50, 2, 1.0), TypeError, "'round' of sub_pool_bounds must be an integer. Got True"),
        ((0, 50, 5, 1.0, "code"), ValueError, "must be 'paper' or 'repository'. Got 'code'"),
    ],
)
def test_bounds_errors(args, error, message):
    with pytest.raises(error, match=message):
        sub_pool_bounds(*args)


# -- selection ---------------------------------------------------------------------------------------------------


def test_whole_pass_vector(monkeypatch):
    """Ten items, five rounds of one: the order is that of the first feature."""
    order = [3, 7, 0, 9, 1, 5, 8, 2, 6, 4]
    confidence = [0.9, 0.3, 0.6, 0.8, 0.7, 0.5, 0.95, 0.4, 0.55, 0.85]
    X = np.column_stack([np.argsort(order), confidence])
    monkeypatch.setattr(BAL, "_order_values", lambda self, X, pool: X[:, 0])
    learner = ActiveLearner(Known(), BAL(beta=1.5, n_rounds=5))
    items, picks = np.arange(10), []
    for _ in range(5):
        query_idx, _ = learner.query(X[items])
        picks.append(int(items[query_idx[0]]))
        learner.teach(X[items[query_idx]], [0])
        items = np.delete(items, query_idx)
    assert picks == [3, 7, 1, 5, 2]


def test_confidence_vectors():
    """After the schedule the whole pool is ranked: by probabilities, and by softmax of the unit logits."""
    plain = BAL(n_rounds=1, n_clusters=2, random_state=0).select(Linear(3), LOGITS, 4)
    assert plain[0].tolist() == [3, 1, 2, 0]
    largest = [0.999831218758, 0.451862761878, 0.523128733657, 0.367165401111]
    np.testing.assert_allclose(plain[1], 1 - np.array(largest)[plain[0]], atol=1e-11)
    unit = BAL(n_rounds=1, n_clusters=2, normalize_logits=True, random_state=0).select(Linear(3), LOGITS, 4)
    assert unit[0].tolist() == [3, 2, 0, 1]
    largest = [0.562398264267, 0.576116884766, 0.440726304327, 0.371957365467]
    np.testing.assert_allclose(unit[1], 1 - np.array(largest)[unit[0]], atol=1e-11)


def slow_places(X, n_clusters, seed, descending):
    """Place of each row of `X` in the order."""
    kmeans = KMeans(n_clusters, n_init="auto", random_state=sklearn_seed(make_generator(seed))).fit(X)
    cdd = slow_cdd(X, kmeans.cluster_centers_)
    order = sorted(range(len(X)), key=lambda i: cdd[i])
    if descending:
        order.reverse()
    return {i: place for place, i in enumerate(order)}


def slow_pick(places, left, confidence, start, stop, k):
    """Least confident of the sub-pool; where it runs short, then the nearest outside it."""
    inside = [i for i in left if start <= places[i] < stop]
    inside.sort(key=lambda i: confidence[i])
    picked = inside[:k]
    outside = [i for i in left if i not in inside]
    outside.sort(key=lambda i: (start - places[i] if places[i] < start else places[i] - stop + 1, confidence[i]))
    picked += outside[: k - len(picked)]
    return sorted(picked, key=lambda i: confidence[i])


@pytest.mark.parametrize("cold", [True, False])
@pytest.mark.parametrize("reorder", [True, False])
@pytest.mark.parametrize(
    ("beta", "k", "indexing", "order"),
    [
        (1.0, 6, "paper", "ascending"),
        (0.3, 14, "paper", "ascending"),
        (1.7, 9, "repository", "ascending"),
        (1.2, 15, "paper", "descending"),
        (4.0, 11, "paper", "ascending"),
    ],
)
def test_equals_the_slow_loop_over_a_whole_schedule(cold, reorder, beta, k, indexing, order):
    """The pool shrinks by np.delete, or is shuffled between queries as well; two rounds run past the schedule."""
    X, y = make_blobs(120, centers=4, n_features=5, cluster_std=3.0, random_state=3)
    n_rounds, rng = 5, np.random.default_rng(0)
    strategy = BAL(n_clusters=4, beta=beta, n_rounds=n_rounds, indexing=indexing, order=order, random_state=7)
    start = [] if cold else list(range(100, 112))
    items = np.array([i for i in range(120) if i not in start])
    # The run begins with the pool on top and the labelled data below.
    rows = [*items.tolist(), *start]
    by_row = slow_places(X[rows], 4, 7, order == "descending")
    places = {item: by_row[row] for row, item in enumerate(rows)}
    learner = ActiveLearner(logistic(), strategy, *((X[start], y[start]) if start else ()))
    rounds = range(0, 7) if cold else range(1, 7)
    for cycle in rounds:
        if len(items) < k:
            break
        query_idx, scores = strategy.select(learner, X[items], k)
        picked = items[query_idx].tolist()
        if cycle == 0:
            assert picked == sorted(items.tolist(), key=lambda i: places[i])[:k]
        else:
            confidence = dict(zip(items.tolist(), learner.predict_proba(X[items]).max(axis=1)))
            bounds = slow_bounds(cycle, 120, n_rounds, beta, indexing) if cycle < n_rounds else (0, 120)
            assert picked == slow_pick(places, items.tolist(), confidence, *bounds, k), cycle
            np.testing.assert_allclose(scores, [1 - confidence[i] for i in picked])
        learner.query(X[items], n_instances=k)
        learner.teach(X[picked], y[picked])
        items = np.delete(items, query_idx)
        if reorder:
            rng.shuffle(items)
    assert cycle >= n_rounds or len(items) < k


def order_of(strategy, X):
    """All samples as a cold run of one round hands them out, and their scores."""
    return strategy.set_params(n_rounds=1).select(ActiveLearner(logistic()), X, len(X))


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_other_orders(order, blobs):
    """The distance to the nearest centre, and the loss of the pretext; by default CDD."""
    X, _ = blobs
    sign = 1 if order == "ascending" else -1
    kmeans = KMeans(4, n_init="auto", random_state=sklearn_seed(make_generator(7))).fit(X)
    nearest = [min(np.sqrt(((x - c) ** 2).sum()) for c in kmeans.cluster_centers_) for x in X]
    params = {"n_clusters": 4, "order": order, "random_state": 7}
    picked, scores = order_of(BAL(order_by="distance", **params), X)
    assert picked.tolist() == sorted(range(len(X)), key=lambda i: sign * nearest[i])
    np.testing.assert_allclose(scores, -sign * np.array(nearest)[picked], atol=1e-9)

    pretext = PCA(2, random_state=0)
    loss = -PCA(2, random_state=0).fit(X).score_samples(X)
    picked, scores = order_of(BAL(order_by="loss", pretext=pretext, **params), X)
    assert picked.tolist() == sorted(range(len(X)), key=lambda i: -sign * loss[i])
    np.testing.assert_allclose(scores, sign * loss[picked])

    cdd = slow_cdd(X, kmeans.cluster_centers_)
    assert order_of(BAL(**params), X)[0].tolist() == sorted(range(len(X)), key=lambda i: sign * cdd[i])


@pytest.mark.parametrize("order_by", ["cdd", "distance"])
def test_orders_far_from_the_origin_and_of_large_numbers_in_float32(order_by, blobs):
    """The squares lose nothing: neither digits, far away, nor the numbers themselves, beyond float32's range."""
    X, _ = blobs
    strategy = BAL(order_by=order_by, n_clusters=4, random_state=7)
    picked, scores = order_of(strategy, X)
    far = order_of(strategy, X + 1e7)
    assert far[0].tolist() == picked.tolist()
    np.testing.assert_allclose(far[1], scores, atol=1e-7)
    scale = 2.0**80
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        large = order_of(strategy, (X * scale).astype(np.float32))
    np.testing.assert_allclose(large[1] / scale, scores, atol=1e-5)


@pytest.mark.parametrize("order_by", ["cdd", "distance"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of scikit-learn's k-means
def test_features_whose_squares_no_double_holds(order_by, blobs):
    with pytest.raises(ValueError, match="finite.*squares, too. Got .*values beyond 1e150"):
        order_of(BAL(order_by=order_by, n_clusters=4), np.sign(blobs[0]) * 1e200)


def test_an_order_by_loss_needs_no_clusters_and_equals_pt4al(blobs):
    X, y = blobs
    start = X[:12], y[:12]
    bal = ActiveLearner(logistic(), BAL(order_by="loss", pretext=PCA(2), beta=1.0, n_rounds=5), *start)
    pt4al = ActiveLearner(logistic(), PT4AL(pretext=PCA(2), n_rounds=5), *start)
    pool = np.arange(12, len(X))
    for _ in range(6):
        found = [learner.query(X[pool], n_instances=7)[0] for learner in (bal, pt4al)]
        np.testing.assert_array_equal(*found)
        for learner in (bal, pt4al):
            learner.teach(X[pool[found[0]]], y[pool[found[0]]])
        pool = np.delete(pool, found[0])


def test_a_constant_pool_has_an_order_by_distance_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picked, scores = order_of(BAL(order_by="distance", n_clusters=3, random_state=0), np.ones((9, 2)))
    assert sorted(picked) == list(range(9))
    assert (scores == 0).all()


@pytest.mark.parametrize("k", [4, 14])
@pytest.mark.parametrize("sampler", ["entropy", "kmeans", "random"])
def test_samplers_stay_in_the_sub_pool(sampler, k, blobs):
    """Entropy and k-means as if there were no more; of 14 samples, some come from outside, where 12 are inside."""
    X, y = blobs
    strategy = BAL(n_clusters=4, beta=0.5, n_rounds=5, sampler=sampler, random_state=7)
    start, pool = np.arange(8), np.arange(8, 120)
    learner = ActiveLearner(logistic(), strategy, X[start], y[start])
    rows = [*pool.tolist(), *start.tolist()]
    by_row = slow_places(X[rows], 4, 7, False)
    places = {item: by_row[row] for row, item in enumerate(rows)}
    low, high = slow_bounds(1, 120, 5, 0.5)
    inside = [i for i in pool.tolist() if low <= places[i] < high]
    query_idx, scores = strategy.select(learner, X[pool], k)
    picked = pool[query_idx].tolist()
    assert len(set(picked)) == k
    assert set(picked) <= set(inside) if k <= len(inside) else set(picked) >= set(inside)
    if k > len(inside):
        missed = [i for i in pool.tolist() if i not in picked]
        outside = [max(low - places[i], places[i] - high + 1) for i in picked if i not in inside]
        assert max(outside) <= min(max(low - places[i], places[i] - high + 1) for i in missed)
    proba = learner.predict_proba(X[picked])
    if sampler == "entropy":
        entropies = [-sum(p * np.log(p) for p in row if p > 0) for row in proba]
        np.testing.assert_allclose(scores, entropies)
        if k <= len(inside):
            all_entropies = -(learner.predict_proba(X[inside]) * np.log(learner.predict_proba(X[inside]))).sum(axis=1)
            assert picked == [inside[i] for i in np.argsort(-all_entropies, kind="stable")[:k]]
    elif sampler == "kmeans":
        assert (np.diff(scores) <= 0).all() and scores.max() <= 0
        if k < len(inside):
            # As if there were no more than the sub-pool.
            expected = KMeansSampling(random_state=7).select(learner, X[inside], k)
            assert picked == [inside[i] for i in expected[0]]
            np.testing.assert_array_equal(scores, expected[1])
        else:
            np.testing.assert_allclose(scores, 0, atol=1e-6)
    else:
        assert ((scores >= 0) & (scores < 1)).all()
        again = [strategy.set_params(random_state=seed).select(learner, X[pool], k)[0].tolist() for seed in (7, 7, 8)]
        assert again[0] == again[1] == query_idx.tolist() != again[2]


@pytest.mark.parametrize(
    ("params", "requires"),
    [
        ({}, ("proba",)),
        ({"normalize_logits": True}, ("logits",)),
        ({"sampler": "entropy"}, ("proba",)),
        ({"sampler": "entropy", "normalize_logits": True}, ("logits",)),
        ({"sampler": "kmeans"}, ("embeddings",)),
        ({"sampler": "random"}, ()),
    ],
)
def test_a_sampler_asks_only_for_what_it_reads(params, requires, blobs):
    assert BAL(**params).requires == requires
    assert BAL.requires == ("proba",)
    X, y = blobs
    if not requires:
        learner = ActiveLearner(SVC(), BAL(n_clusters=3, n_rounds=4, **params), X[:9], y[:9])
        assert len(learner.query(X[9:], n_instances=5)[0]) == 5


class WideOutput(LogisticRegression):
    """One column more than classes."""

    def predict_proba(self, X):
        return np.column_stack([0.9 * super().predict_proba(X), np.full(len(X), 0.1)])


def test_classes_are_asked_for_only_where_they_are_the_number_of_clusters(blobs):
    X, y = blobs
    labels = np.array(list("abcd"))[y]
    for sampler in ("confidence", "entropy"):
        strategy = BAL(n_clusters=4, n_rounds=4, sampler=sampler, random_state=0)
        learners = [ActiveLearner(model, strategy, X[:20], labels[:20]) for model in (WideOutput(), logistic())]
        assert [len(learner.query(X[20:], n_instances=5)[0]) for learner in learners] == [5, 5]
    bare = LinearRegression().fit(X[:20], X[:20, 0])
    with pytest.warns(UserWarning, match="a bare classifier has nowhere"):
        assert len(BAL(n_clusters=4, n_rounds=4, sampler="random").select(bare, X[20:], 5)[0]) == 5


@pytest.mark.parametrize("sampler", ["kmeans", "random"])
def test_the_labels_of_a_regressor_are_not_counted_as_classes(sampler, blobs):
    X, _ = blobs
    learner = ActiveLearner(LinearRegression(), BAL(n_rounds=4, sampler=sampler), X[:20], X[:20, 0])
    with pytest.raises(ValueError, match="BAL needs n_clusters while there is no model that knows"):
        learner.query(X[20:])
    assert len(learner.query(X[20:], n_instances=5, n_clusters=3)[0]) == 5


def test_cold_start_takes_the_hardest_and_scores_them(blobs):
    X, _ = blobs
    query_idx, scores = BAL(n_clusters=4, n_rounds=3, random_state=0).select(ActiveLearner(logistic()), X, 10)
    kmeans = KMeans(4, n_init="auto", random_state=sklearn_seed(make_generator(0))).fit(X)
    cdd = slow_cdd(X, kmeans.cluster_centers_)
    assert query_idx.tolist() == np.argsort(cdd, kind="stable")[:10].tolist()
    np.testing.assert_allclose(scores, -cdd[query_idx])
    easiest, scores = BAL(n_clusters=4, n_rounds=3, order="descending", random_state=0).select(
        ActiveLearner(logistic()), X, 10
    )
    assert sorted(easiest.tolist()) == sorted(np.argsort(cdd)[-10:].tolist())
    np.testing.assert_allclose(scores, cdd[easiest])


def test_pretext_gives_the_features(blobs):
    X, y = blobs
    learner = ActiveLearner(logistic(), RandomSampling(), X[:20], y[:20])
    pca = PCA(2, random_state=0)
    given = BAL(pretext=pca, n_rounds=4, random_state=0).select(learner, X[20:], 8)
    assert not hasattr(pca, "components_")
    places = slow_places(pca.fit_transform(np.vstack([X[20:], X[:20]])), 4, 0, False)
    confidence = learner.predict_proba(X[20:]).max(axis=1)
    assert given[0].tolist() == slow_pick(places, range(100), confidence, *slow_bounds(1, 120, 4, 1.2), 8)
    frozen = BAL(pretext=FrozenEstimator(pca), n_rounds=4, random_state=0).select(learner, X[20:], 8)
    np.testing.assert_array_equal(given[0], frozen[0])


# -- a run, and how it is remembered -----------------------------------------------------------------------------


def run(learner, X, y, k=6, n=3, strategy=None, shuffle=None, **params):
    """Query and teach; what was picked, by position in `X`."""
    items, picks = np.arange(len(X)), []
    for _ in range(n):
        if shuffle is not None:
            shuffle.shuffle(items)
        query_idx = learner.query(X[items], n_instances=k, **params)[0]
        picks.append(items[query_idx].tolist())
        learner.teach(X[items[query_idx]], y[items[query_idx]])
        items = np.delete(items, query_idx)
    return picks


def counting(**params):
    return BAL(pretext=Counting(), **{"n_clusters": 4, "n_rounds": 4, "random_state": 0, **params})


@pytest.mark.parametrize("cold", [True, False])
def test_the_pretext_is_fitted_once_in_a_run(cold, blobs, fits):
    X, y = blobs
    expected = None
    twin = functools.partial(bal_sampling, pretext=Counting(), n_clusters=4, n_rounds=4, random_state=0)
    for strategy in (counting(), twin):
        Counting.fits = 0
        learner = ActiveLearner(logistic(), strategy, *(() if cold else (X[:10], y[:10])))
        picks = run(learner, X[10:], y[10:])
        assert fits() == 1
        assert expected is None or picks == expected
        expected = picks


def kept_run(learner):
    """The run in the learner's memory, begun by a query where there is none."""
    strategy = learner.query_strategy
    settings = {
        name: value
        for name, value in strategy.get_params(deep=True).items()
        if name.split("__")[0] in ("pretext", "n_clusters", "order_by", "random_state")
    }
    return learner.memory.recall("BAL", settings, lambda: None)


def test_learner_data_are_the_first_selection(blobs):
    """What is queried after a given start equals what is queried after a first round that chose it."""
    X, y = blobs
    cold = ActiveLearner(logistic(), counting())
    first = cold.query(X, n_instances=10)[0]
    cold.teach(X[first], y[first])
    rest = np.delete(np.arange(120), first)
    warm = ActiveLearner(logistic(), counting(), X[first], y[first])
    # The same rows in another order: k-means may begin elsewhere, so only the sub-pools are compared.
    cold.query(X[rest], n_instances=5)
    warm.query(X[rest], n_instances=5)
    for learner in (cold, warm):
        assert kept_run(learner).cycle(view_pool(learner, X[rest]), ()) == 1


def test_a_round_is_not_counted_twice(blobs):
    X, y = blobs
    learner = ActiveLearner(logistic(), counting(), X[:10], y[:10])
    first = learner.query(X[10:], n_instances=5)[0]
    np.testing.assert_array_equal(first, learner.query(X[10:], n_instances=5)[0])


@pytest.mark.parametrize("kind", ["class", "twin"])
def test_sizes_tell_the_round_of_a_learner_that_does_not_count(kind, blobs, fits):
    X, y = blobs
    expected = run(ActiveLearner(logistic(), counting(), X[:10], y[:10]), X[10:], y[10:], n=4)
    Counting.fits = 0
    strategy, pretext = counting(), Counting()
    stock, items, picks = ModALActiveLearner(logistic(), X_training=X[:10], y_training=y[:10]), np.arange(110), []
    for _ in range(4):
        stock.estimator.fit(stock.X_training, stock.y_training)
        if kind == "class":
            query_idx = strategy.select(stock, X[10:][items], 6)[0]
        else:
            query_idx, _ = bal_sampling.select(
                stock, X[10:][items], 6, pretext=pretext, n_clusters=4, n_rounds=4, random_state=0
            )
        picks.append(items[query_idx].tolist())
        # modAL's own teach does not run on every scikit-learn.
        stock.X_training = np.vstack([stock.X_training, X[10:][items[query_idx]]])
        stock.y_training = np.concatenate([stock.y_training, y[10:][items[query_idx]]])
        items = np.delete(items, query_idx)
    assert picks == expected
    assert fits() == 1


@pytest.mark.parametrize("counts_rounds", [True, False])
@pytest.mark.parametrize("rounds", [(2,), (2, 3, 4), (1, 4)])
def test_the_schedule_goes_on_in_another_order(rounds, counts_rounds, blobs, monkeypatch):
    """Whether the order is changed for one query or from then on."""
    X, y = blobs
    cycles = []

    def bounds(self, cycle, n_samples, n_rounds):
        cycles.append(cycle)
        return 0, n_samples

    monkeypatch.setattr(BAL, "_bounds", bounds)
    kind = ActiveLearner if counts_rounds else ModALActiveLearner
    # modAL's own fit and teach do not run on every scikit-learn.
    model = logistic().fit(X[:10], y[:10])
    learner, pool = kind(model, X_training=X[:10], y_training=y[:10]), np.arange(10, 120)
    strategy = BAL(n_clusters=4, n_rounds=9, random_state=0)
    if counts_rounds:
        learner.query_strategy = strategy
    for i in range(5):
        overrides = {"order_by": "distance"} if i in rounds else {}
        if counts_rounds:
            query_idx, queried = learner.query(X[pool], n_instances=4, **overrides)
            learner.teach(queried, y[pool[query_idx]])
        else:
            query_idx = strategy.select(learner, X[pool], 4, **overrides)[0]
            learner.X_training = np.vstack([learner.X_training, X[pool[query_idx]]])
            learner.y_training = np.concatenate([learner.y_training, y[pool[query_idx]]])
        pool = np.delete(pool, query_idx)
    assert cycles == [1, 2, 3, 4, 5]
    if not counts_rounds:
        # Other samples are another run.
        strategy.select(learner, X[:50] + 1, 4)
        assert cycles[-1] == 1


def test_a_bare_classifier_remembers_nothing_and_is_told_once(blobs, fits):
    X, y = blobs
    model = logistic().fit(X[:10], y[:10])
    labeled = {"X_training": X[:10], "y_training": y[:10]}
    with pytest.warns(UserWarning, match="BAL keeps the order of a run with the learner") as caught:
        first = counting().select(model, X[10:], 6, **labeled)[0]
        again = counting().select(model, X[10:], 6, **labeled)[0]
    assert len(caught) == 1
    assert fits() == 2
    np.testing.assert_array_equal(first, again)


def test_overrides_for_one_call_keep_the_order(blobs, fits):
    X, y = blobs
    learner = ActiveLearner(logistic(), counting(), X[:10], y[:10])
    learner.query(X[10:], n_instances=5, beta=2.0)
    wide = learner.query(X[10:], n_instances=40, beta=4.0)[0]
    narrow = learner.query(X[10:], n_instances=40, beta=0.4)[0]
    assert fits() == 1
    assert set(wide.tolist()) != set(narrow.tolist())


def test_another_run_gets_its_own_order(blobs, fits):
    """Neither the next run of the same strategy nor one at the same time sees what another left."""
    X, y = blobs
    A, B = slice(0, 70), slice(50, 120)
    alone = [run(ActiveLearner(logistic(), counting()), X[part], y[part]) for part in (A, B)]
    strategy = counting()
    assert [run(ActiveLearner(logistic(), strategy), X[part], y[part]) for part in (A, B)] == alone
    # A part of the same data is another run, too.
    part = slice(0, 40)
    expected = run(ActiveLearner(logistic(), counting()), X[part], y[part])
    assert run(ActiveLearner(logistic(), strategy), X[part], y[part]) == expected
    Counting.fits = 0
    learners = [ActiveLearner(logistic(), strategy) for _ in range(2)]
    left = [np.arange(70), np.arange(70)]
    picks = [[], []]
    for _ in range(3):
        for i, part in enumerate((A, B)):
            query_idx = learners[i].query(X[part][left[i]], n_instances=6)[0]
            picks[i].append(left[i][query_idx].tolist())
            learners[i].teach(X[part][left[i][query_idx]], y[part][left[i][query_idx]])
            left[i] = np.delete(left[i], query_idx)
    assert picks == alone
    assert fits() == 2


def test_new_samples_and_new_settings_make_the_order_anew(blobs, fits):
    X, y = blobs
    learner = ActiveLearner(logistic(), counting(), X[:10], y[:10])
    run(learner, X[10:80], y[10:80], n=2)
    assert fits() == 1
    learner.query(X[20:100], n_instances=2)
    assert fits() == 2
    learner.query(X[30:90], n_instances=2)  # all of them known
    assert fits() == 2
    learner.query_strategy.set_params(pretext__scale=2.0)
    learner.query(X[30:90], n_instances=2)
    assert fits() == 3
    learner.query_strategy.set_params(n_clusters=3)
    learner.query(X[30:90], n_instances=2)
    assert fits() == 4
    learner.query_strategy.set_params(beta=1.0, normalize_logits=True, order="descending", n_rounds=9)
    learner.query(X[30:90], n_instances=2)
    assert fits() == 4


def test_foreign_samples_among_the_labelled_do_not_matter(blobs, fits):
    """As a learner has them that adds adversarial copies."""
    X, y = blobs
    learner = ActiveLearner(logistic(), counting(), X[:10], y[:10])
    learner.query(X[10:], n_instances=5)
    learner.teach(np.vstack([X[10:15], X[10:15] + 0.01]), np.tile(y[10:15], 2))
    learner.query(X[15:], n_instances=5)
    assert fits() == 1


def test_pickle_keeps_the_run_and_clone_drops_it(blobs, fits):
    X, y = blobs
    learner = ActiveLearner(logistic(), counting(), X[:10], y[:10])
    expected = run(learner, X[10:], y[10:], n=3)
    learner = ActiveLearner(logistic(), counting(), X[:10], y[:10])
    assert run(learner, X[10:], y[10:], n=1) == expected[:1]
    again, before = pickle.loads(pickle.dumps(learner)), fits()
    rest = np.delete(np.arange(110), expected[0])
    query_idx = again.query(X[10:][rest], n_instances=6)[0]
    assert rest[query_idx].tolist() == expected[1]
    assert fits() == before
    learner = ActiveLearner(logistic(), counting(random_state=None), X[:10], y[:10])
    run(learner, X[10:], y[10:], n=1)
    again = pickle.loads(pickle.dumps(learner))
    left = X[10:][~(X[10:, None] == learner.X_training).all(axis=2).any(axis=1)]
    np.testing.assert_array_equal(again.query(left, n_instances=6)[0], learner.query(left, n_instances=6)[0])
    before = fits()
    clone(learner).fit(X[:10], y[:10]).query(X[10:], n_instances=6)
    assert fits() == before + 1


def test_float32_copies_are_the_same_samples(blobs, fits):
    X, y = blobs
    learner = ActiveLearner(logistic(), counting(), X[:10].astype(np.float32), y[:10])
    run(learner, X[10:], y[10:])
    assert learner.X_training.dtype == np.float32
    assert fits() == 1


@pytest.mark.parametrize("container", [pd.DataFrame, torch.tensor, lambda X: [row.tolist() for row in X]])
def test_containers(container, blobs, fits):
    X, y = blobs
    expected = run(ActiveLearner(logistic(), counting(), X[:10], y[:10]), X[10:], y[10:])
    Counting.fits = 0
    learner, items, picks = ActiveLearner(logistic(), counting(), container(X[:10]), y[:10]), np.arange(110), []
    for _ in range(3):
        query_idx = learner.query(container(X[10:][items]), n_instances=6)[0]
        picks.append(items[query_idx].tolist())
        learner.teach(container(X[10:][items[query_idx]]), y[10:][items[query_idx]])
        items = np.delete(items, query_idx)
    assert (picks, fits()) == (expected, 1)


def test_pipeline_is_refitted_and_the_order_stays(blobs, fits):
    X, y = blobs
    model = make_pipeline(StandardScaler(), logistic())
    for start in ((), (X[:10], y[:10])):
        Counting.fits = 0
        run(ActiveLearner(clone(model), counting(), *start), X[10:], y[10:])
        assert fits() == 1


def test_duplicates_share_a_place():
    X = np.vstack([np.repeat([[0.0, 0.0]], 6, axis=0), np.random.default_rng(0).normal(5, 1, (30, 2))])
    learner = ActiveLearner(logistic(), counting(n_clusters=3), X[-4:], [0, 1, 0, 1])
    learner.query(X[:-4], n_instances=3)
    places = kept_run(learner).places
    assert len(places) == 31 and max(places.values()) <= 35
    assert len(set(learner.query(X[:-4], n_instances=32)[0].tolist())) == 32


def test_texts_with_a_pretext(fits):
    texts = [f"{a} {b} {c}" for a in ("red", "blue") for b in ("cat", "dog", "cow") for c in ("runs", "sleeps", "eats")]
    y = np.array([text.startswith("red") for text in texts])
    vectorizer = make_pipeline(TfidfVectorizer(), PCA(3, random_state=0))
    model = make_pipeline(TfidfVectorizer(), logistic())
    learner = ActiveLearner(model, BAL(pretext=None, n_rounds=4), texts[:4] + texts[-4:], np.r_[y[:4], y[-4:]])
    assert len(learner.query(texts[4:-4], n_instances=3)[0]) == 3
    with pytest.raises(ValueError, match=r"BAL needs samples that are numbers.*pass BAL\(pretext=...\)"):
        ActiveLearner(RandomForestClassifier(), BAL(n_clusters=2, n_rounds=3)).query(texts)
    cold = ActiveLearner(RandomForestClassifier(), BAL(pretext=vectorizer, n_clusters=2, n_rounds=3))
    assert len(cold.query(texts, n_instances=3)[0]) == 3


# -- in the loop -------------------------------------------------------------------------------------------------


def test_the_loop_knows_its_rounds(blobs):
    X, y = blobs
    loops = [
        ActiveLearningClassifier(
            logistic(), BAL(n_clusters=4, n_rounds=n_rounds), init_strategy="query_strategy", n_initial=12,
            n_instances=6, n_queries=3, random_state=0,
        ).fit(X, y)
        for n_rounds in (None, 4, 9)
    ]  # fmt: skip
    assert loops[0].queried_idx_.tolist() == loops[1].queried_idx_.tolist() != loops[2].queried_idx_.tolist()


def test_random_start_in_the_loop_counts_as_the_first_round(blobs):
    """The strategy first meets such a run at its round 1, which is the schedule's."""
    X, y = blobs
    al = ActiveLearningClassifier(logistic(), counting(), n_initial=12, n_instances=6, n_queries=3, random_state=0)
    al.fit(X, y)
    warm = ActiveLearner(logistic(), counting(), X[al.queried_idx_[:12]], y[al.queried_idx_[:12]])
    rest = np.delete(np.arange(120), al.queried_idx_[:12])
    rest.sort()
    picks = run(warm, X[rest], y[rest], n=3)
    assert rest[np.concatenate(picks)].tolist() == al.queried_idx_[12:].tolist()


def test_grid_search_over_beta(blobs):
    X, y = blobs
    al = ActiveLearningClassifier(
        logistic(), BAL(pretext=PCA(2)), n_initial=12, n_instances=6, n_queries=2, random_state=0
    )
    grid = {"query_strategy__beta": [0.5, 2.0], "query_strategy__pretext__n_components": [2, 3]}
    search = GridSearchCV(al, grid, cv=2)
    assert search.fit(X, y).best_estimator_.n_labels_ == 24


def test_cold_network_tells_its_classes(blobs):
    X, y = blobs
    net = DeepClassifier(nn.Linear(5, 4), classes=range(4), max_epochs=2, random_state=0)
    strategy = BAL(n_rounds=3, random_state=0)
    picks = run(ActiveLearner(net, strategy), X, y, n=3)
    assert picks == run(ActiveLearner(clone(net), clone(strategy).set_params(n_clusters=4)), X, y, n=3)


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [BAL(n_clusters=2), PT4AL(pretext=PCA(1))])
@pytest.mark.parametrize("cold", [True, False])
def test_no_number_of_rounds(strategy, cold, blobs):
    X, y = blobs
    learner = ActiveLearner(logistic(), strategy, *(() if cold else (X[:10], y[:10])))
    name = type(strategy).__name__
    message = rf"{name} needs the number of rounds.*{name}\(n_rounds=...\).*learner.n_rounds"
    with pytest.raises(ValueError, match=message):
        learner.query(X[10:])
    learner.n_rounds = 4
    assert len(learner.query(X[10:])[0]) == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"beta": 0}, r"The 'beta' parameter of BAL must be a float in the range \(0.0, inf\). Got 0 instead."),
        ({"beta": -1.5}, "'beta' parameter of BAL must be"),
        ({"beta": "x"}, "'beta' parameter of BAL must be"),
        ({"n_clusters": 1}, "'n_clusters' parameter of BAL must be"),
        ({"n_rounds": 0}, "'n_rounds' parameter of BAL must be"),
        ({"indexing": "code"}, "'indexing' parameter of BAL must be a str among"),
        ({"order": "up"}, "'order' parameter of BAL must be a str among"),
        ({"order_by": "margin"}, "'order_by' parameter of BAL must be a str among"),
        ({"sampler": "margin"}, "'sampler' parameter of BAL must be a str among"),
        ({"order_by": "loss"}, r'BAL\(order_by="loss"\) needs .*\(target="rotation"\). Got None instead.'),
        ({"order_by": "loss", "pretext": FunctionTransformer()}, "with score_samples, .* Got FunctionTransformer"),
        ({"normalize_logits": 3}, "'normalize_logits' parameter of BAL must be"),
        ({"pretext": 3}, "'pretext' parameter of BAL must be an object implementing 'fit' and 'transform'"),
        ({"random_state": "x"}, "'random_state' parameter of BAL must be"),
    ],
)
def test_parameters_out_of_range(params, message, blobs):
    X, y = blobs
    learner = ActiveLearner(logistic(), BAL(**{"n_rounds": 3, **params}), X[:10], y[:10])
    with pytest.raises(ValueError, match=message):
        learner.query(X[10:])


def test_fewer_samples_than_clusters(blobs):
    X, y = blobs
    learner = ActiveLearner(logistic(), BAL(n_rounds=3, n_clusters=21), X[:10], y[:10])
    with pytest.raises(ValueError, match="n_clusters of BAL must be at most the number of samples.*20. Got 21 instead"):
        learner.query(X[10:20])


def test_cold_without_a_number_of_clusters(blobs):
    with pytest.raises(ValueError, match=r"BAL needs n_clusters while there is no model.*BAL\(n_clusters=...\)"):
        ActiveLearner(logistic(), BAL(n_rounds=3)).query(blobs[0])


def test_all_features_equal():
    X = np.ones((20, 3))
    cold = ActiveLearner(logistic(), BAL(n_rounds=3, n_clusters=2))
    with pytest.warns(UserWarning, match="All samples have the same features"):
        query_idx, _ = cold.query(X, n_instances=4)
    assert query_idx.tolist() == [0, 1, 2, 3]
    cold.teach(X[:4], [0, 1, 0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(set(cold.query(X[4:], n_instances=10)[0].tolist())) == 10


def test_two_distinct_features_for_three_clusters():
    """A repeated centre would make all its samples look like the border."""
    X = np.repeat([[0.0], [1.0]], 5, axis=0)
    learner = ActiveLearner(logistic(), BAL(n_rounds=2, n_clusters=3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, scores = learner.query_strategy.select(learner, X, 10)
    np.testing.assert_allclose(scores, -1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_cold_pool_must_be_finite(bad, blobs):
    X = blobs[0].copy()
    X[3, 1] = bad
    learner = ActiveLearner(logistic(), BAL(n_rounds=3, n_clusters=2))
    with pytest.raises(ValueError, match="(?i)features of BAL contains nan|infinity"):
        learner.query(X)
    X[3, 1] = 0
    expected = ActiveLearner(logistic(), BAL(n_rounds=3, n_clusters=2, random_state=0)).query(X, n_instances=5)[0]
    np.testing.assert_array_equal(learner.query(X, n_instances=5, random_state=0)[0], expected)


def test_normalized_logits_need_logits(blobs):
    X, y = blobs
    learner = ActiveLearner(RandomForestClassifier(5), BAL(n_rounds=3, normalize_logits=True), X[:20], y[:20])
    with pytest.raises(PoolCapabilityError, match="BAL needs `logits`, which RandomForestClassifier"):
        learner.query(X[20:])


def test_no_probabilities(blobs):
    X, y = blobs
    learner = ActiveLearner(RidgeClassifier(), BAL(n_rounds=3), X[:20], y[:20])
    with pytest.raises(PoolCapabilityError, match="BAL needs class probabilities, which RidgeClassifier does"):
        learner.query(X[20:])


def test_a_failed_query_leaves_the_run(blobs, fits):
    X, y = blobs
    learner = ActiveLearner(logistic(), counting(), X[:10], y[:10])
    expected = learner.query(X[10:], n_instances=5)[0]
    with pytest.raises(ValueError, match="n_clusters of BAL"):
        learner.query(X[10:], n_instances=5, n_clusters=500)
    np.testing.assert_array_equal(learner.query(X[10:], n_instances=5)[0], expected)
