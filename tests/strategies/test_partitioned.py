"""Partitioned: two rounds that equal a slow reference, what is exact, what is proved, what is read and held."""

import functools
import gc
import weakref
from itertools import combinations
from typing import ClassVar

import numpy as np
import pytest
from modAL.models import ActiveLearner as ModALActiveLearner
from modAL.uncertainty import margin_sampling as modal_margin_sampling
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from torch import nn
from torch.utils.data import Dataset

from skal.base import QueryStrategy
from skal.exceptions import ColdStartWarning, PoolCapabilityError
from skal.learners import ActiveLearner
from skal.meta import ActiveLearningClassifier
from skal.nets import DeepClassifier
from skal.strategies import (
    BADGE,
    BAL,
    DECERN,
    DM2,
    PT4AL,
    UFFM,
    CoreSet,
    DetectionEntropy,
    EntropySampling,
    KMeansSampling,
    LeastConfidence,
    MarginSampling,
    NoiseStability,
    Partitioned,
    PatraBruzzone,
    Prefilter,
    ProbCover,
    RandomSampling,
    TypiClust,
    margin_sampling,
    partitioned_sampling,
    usable_with,
)
from skal.testing import FakePool, check_strategy
from skal.utils._arrays import top_k


@pytest.fixture(scope="module")
def data():
    X, y = make_blobs(120, centers=3, n_features=4, cluster_std=4.0, random_state=1)
    return X[:20], y[:20], X[20:], y[20:]


@pytest.fixture
def learner(data):
    return ActiveLearner(LogisticRegression(max_iter=500), MarginSampling(), *data[:2])


class Seen(QueryStrategy):
    """Takes the last samples it is shown, and leaves what it has seen in a list of the test's."""

    def __init__(self, *, log=None, random_state=None):
        self.log, self.random_state = log, random_state

    _parameter_constraints: ClassVar = {"log": [list], "random_state": ["random_state"]}

    def __sklearn_clone__(self):
        return self

    def _query(self, pool, n_instances, rng):
        self.log.append((pool, pool.X.copy(), self.random_state))
        return np.arange(len(pool))[-n_instances:], np.arange(n_instances)[::-1].astype(float)


def places_of(rows, pool):
    position = {row.tobytes(): i for i, row in enumerate(pool)}
    return [position[row.tobytes()] for row in rows]


def parts_of(n_parts, n_instances, learner, X, seed=0):
    """Positions of the parts that Partitioned draws, and of the union, as a strategy is shown them."""
    log = []
    Partitioned(Seen(log=log), n_parts=n_parts, random_state=seed).select(learner, X, n_instances)
    return [places_of(rows, X) for _, rows, _ in log]


# -- the two rounds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_parts", [2, 3, 7, 16])
def test_parts_are_balanced_disjoint_and_in_the_order_of_the_pool(n_parts, learner, data):
    *parts, union = parts_of(n_parts, 4, learner, data[2])
    assert len(parts) == n_parts
    assert sorted(i for part in parts for i in part) == list(range(100))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert all(part == sorted(part) for part in parts)
    assert parts != parts_of(n_parts, 4, learner, data[2], seed=1)[:-1]
    assert union == sorted(i for part in parts for i in part[-4:])


def test_parts_are_uniform_and_new_in_each_round(learner, data):
    """Of 200 rounds, 0 and 1 are together in a third, and the parts never repeat."""
    together, draws = 0, set()
    for learner.round in range(200):
        parts = parts_of(3, 4, learner, data[2], seed=3)[:-1]
        together += any({0, 1} <= set(part) for part in parts)
        draws.add(str(parts))
    assert len(draws) == 200
    # A deviation of 6.6 from 66.
    assert 40 < together < 92


def test_each_part_is_a_part_of_the_pool_and_has_the_same_seed(learner, data):
    log = []
    Partitioned(Seen(log=log), n_parts=5, random_state=0).select(learner, data[2], 3)
    assert {(pool.round, pool.n_labeled, len(pool.whole)) for pool, _, _ in log} == {(0, 20, 100)}
    assert len({seed for _, _, seed in log}) == 1
    bare = LogisticRegression(max_iter=500).fit(*data[:2])
    for _ in range(2):
        log.clear()
        Partitioned(Seen(log=log), n_parts=5).select(bare, data[2], 3)
        assert len({seed for _, _, seed in log}) == 1, "also where nothing is kept between queries"
    Partitioned(Seen(log=log, random_state=7), n_parts=5).select(bare, data[2], 3)
    assert log[-1][2] == 7


def slow(strategy, parts, learner, X, n_instances):
    """Each part, and then the union, as a pool of its own, cut out row by row."""
    union = []
    for part in parts:
        rows = np.array([X[i] for i in part])
        if len(part) <= n_instances:
            union.extend(part)
        else:
            union.extend(part[i] for i in strategy.select(learner, rows, n_instances)[0])
    union.sort()
    idx, scores = strategy.select(learner, np.array([X[i] for i in union]), n_instances)
    return [union[i] for i in idx], scores


@pytest.mark.parametrize(
    "strategy",
    [
        MarginSampling(random_state=1),
        BADGE(random_state=1),
        CoreSet(random_state=1),
        DECERN(random_state=1, gamma=0.0),
        DM2(random_state=1),
        KMeansSampling(random_state=1),
        TypiClust(random_state=1, min_cluster_size=0),
        ProbCover(random_state=1, delta=3.0),
        NoiseStability(random_state=1, n_samples=3),
        PatraBruzzone(MarginSampling(random_state=2), sampling_ratio=2, random_state=1),
        UFFM(sampling_ratio=1.5, random_state=1),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
@pytest.mark.parametrize("n_parts", [3, 12])
def test_equals_the_slow_reference(strategy, n_parts, learner, data):
    parts = parts_of(n_parts, 1, learner, data[2])[:n_parts]
    for n_instances in (1, 6, 9):
        found = Partitioned(strategy, n_parts=n_parts, random_state=0).select(learner, data[2], n_instances)
        expected = slow(strategy, parts, learner, data[2], n_instances)
        assert found[0].tolist() == expected[0]
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)


@pytest.mark.parametrize("strategy", [BADGE(random_state=4), CoreSet(), KMeansSampling(random_state=4)], ids=str)
@pytest.mark.parametrize("n_parts", [1, 100, 101, 10_000])
def test_one_part_and_as_many_as_samples_are_the_strategy_itself(strategy, n_parts, learner, data):
    expected = strategy.select(learner, data[2], 9)
    found = Partitioned(strategy, n_parts=n_parts).select(learner, data[2], 9)
    np.testing.assert_array_equal(found, expected)


def test_small_parts_give_all_their_rows(learner, data):
    """Of 100 samples in 30 parts, parts of 3 give all, parts of 4 three."""
    log = parts_of(30, 3, learner, data[2])
    assert [len(part) for part in log] == [4] * 10 + [90]


# -- what is exact and what is proved ----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [MarginSampling(), EntropySampling(), LeastConfidence()], ids=str)
@pytest.mark.parametrize("n_parts", [2, 9, 40])
def test_scores_of_a_sample_alone_give_the_same_picks(strategy, n_parts, learner, data):
    for n_instances in (1, 5, 60):
        found = Partitioned(strategy, n_parts=n_parts).select(learner, data[2], n_instances)
        expected = strategy.select(learner, data[2], n_instances)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_core_set_is_within_four_times_the_best_radius(seed):
    """The best three centres beside the labelled ones by trying all; clusters of unequal size make the parts differ."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((6, 2)) * 5
    X = centers[rng.choice(6, size=24, p=[0.5, 0.3, 0.1, 0.05, 0.03, 0.02])] + rng.standard_normal((24, 2))
    labeled = X[:2]
    pool = X[2:]
    base = cdist(pool, labeled).min(axis=1)
    distances = cdist(pool, pool)

    def radius(chosen):
        return np.minimum(base, distances[:, list(chosen)].min(axis=1)).max()

    best = min(radius(chosen) for chosen in combinations(range(len(pool)), 3))
    clf = LogisticRegression().fit(labeled, [0, 1])
    for n_parts, factor in ((1, 2), (2, 4), (5, 4)):
        strategy = Partitioned(CoreSet(), n_parts=n_parts, random_state=seed)
        chosen, _ = strategy.select(clf, pool, 3, X_training=labeled, y_training=[0, 1])
        assert radius(chosen) <= factor * best + 1e-12


# -- what is read and held ---------------------------------------------------------------------------------------------


class Counting(BaseEstimator):
    """Says how many rows each of its answers is about."""

    classes_ = np.arange(2)

    def __init__(self, log):
        self.log = log

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict_proba(self, X):
        self.log.append(("proba", len(X)))
        return softmax(np.column_stack([X[:, 0], X[:, 1]]), axis=1)

    def embed(self, X):
        self.log.append(("embeddings", len(X)))
        return np.asarray(X)


class Watched(CoreSet):
    """Leaves the views that it has had in the class's list."""

    views: ClassVar = []

    def _query(self, pool, n_instances, rng):
        self.views.append(pool)
        return super()._query(pool, n_instances, rng)


@pytest.mark.parametrize(("n_parts", "n_instances", "largest"), [(5, 2, 20), (20, 2, 40), (7, 3, 21)])
def test_no_more_than_a_part_or_the_union_is_embedded_at_once(n_parts, n_instances, largest, data):
    X, y, pool, _ = data
    log = []
    Watched.views.clear()
    strategy = Partitioned(Watched(), n_parts=n_parts, random_state=0)
    strategy.select(Counting(log), pool, n_instances, X_training=X, y_training=y % 2)
    assert {name for name, _ in log} == {"embeddings"}
    sizes = [n for _, n in log]
    assert max(sizes) == largest
    assert sum(sizes) == 100 + n_parts * n_instances + 20, "the labelled data are embedded once for all parts"
    assert len(Watched.views) == n_parts + 1
    assert not Watched.views[0].whole._found, "nothing of the model's is kept for the whole pool"


def test_transformers_see_one_part_at_a_time(data):
    X, y, pool, _ = data
    sizes = []

    def half(rows):
        sizes.append(len(rows))
        return rows / 2

    model = make_pipeline(FunctionTransformer(half), LogisticRegression(max_iter=500)).fit(X, y)
    sizes.clear()
    Partitioned(CoreSet(), n_parts=5).select(model, pool, 3, X_training=X, y_training=y)
    assert max(sizes) == 20
    assert sum(sizes) == 100 + 15 + 20


class Living(QueryStrategy):
    """Takes the first samples, and counts the views and copies of rows of earlier calls that are still there."""

    def __init__(self, *, log=None):
        self.log = log

    _parameter_constraints: ClassVar = {"log": [list]}

    def _query(self, pool, n_instances, rng):
        assert len(pool.labeled) == 20
        assert pool.embeddings.shape == (len(pool), 4)
        assert [ref for ref in self.log if ref() is not None] == []
        self.log.extend([weakref.ref(pool), weakref.ref(pool.X)])
        return np.arange(n_instances), np.zeros(n_instances)


def test_a_part_is_let_go_before_the_next(learner, data):
    """By counting references: the garbage collector does not know how large a part is."""
    log = []
    gc.disable()
    try:
        Partitioned(Living(log=log), n_parts=6).select(learner, data[2], 3)
    finally:
        gc.enable()
    assert len(log) == 2 * 7
    assert [ref for ref in log if ref() is not None] == []


class Reads(Dataset):
    """Samples that count how often each is read."""

    def __init__(self, X):
        self.X, self.counts = X, np.zeros(len(X), dtype=int)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        self.counts[i] += 1
        return self.X[i]


def test_a_dataset_is_read_once_and_what_is_chosen_twice(data):
    X, y, pool, _ = (np.asarray(part, dtype=np.float32 if i % 2 == 0 else np.int64) for i, part in enumerate(data))
    net = DeepClassifier(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)), max_epochs=2, random_state=0)
    net.fit(X, y)
    reads = Reads(pool)
    strategy = Partitioned(CoreSet(random_state=0), n_parts=4, random_state=0)
    idx, _ = strategy.select(net, reads, 5, X_training=X, y_training=y)
    assert sorted(np.unique(reads.counts, return_counts=True)[1].tolist()) == [20, 80]
    assert set(reads.counts.tolist()) == {1, 2}
    assert (reads.counts[idx] == 2).all()
    expected = strategy.select(net, pool, 5, X_training=X, y_training=y)[0]
    assert idx.tolist() == expected.tolist()


def test_missing_values_anywhere_are_found(learner, data):
    for n_parts in (3, 50):
        for place in (0, 57, 99):
            pool = data[2].copy()
            pool[place, 1] = np.nan
            with pytest.raises(ValueError, match="NaN"):
                Partitioned(CoreSet(), n_parts=n_parts).select(learner, pool, 5)


# -- what is kept between queries --------------------------------------------------------------------------------------


def test_the_order_of_bal_is_that_of_the_whole_pool(data):
    """The least confident of the round's stretch are found in parts as in the whole."""
    X, y, pool, y_pool = data
    bal = BAL(pretext=PCA(2), n_rounds=4, n_clusters=3, beta=2.0, random_state=0)
    runs = []
    for strategy in (bal, Partitioned(bal, n_parts=3, random_state=5)):
        loop, rest, run = ActiveLearner(LogisticRegression(max_iter=500), strategy, X, y), np.arange(100), []
        for _ in range(3):
            idx, _ = loop.query(pool[rest], n_instances=4)
            run.append(rest[idx].tolist())
            loop.teach(pool[rest[idx]], y_pool[rest[idx]])
            rest = np.delete(rest, idx)
        runs.append(run)
    assert runs[0] == runs[1]


def test_pt4al_on_a_bare_classifier(data):
    X, y, pool, _ = data
    model = LogisticRegression(max_iter=500).fit(X, y)
    pt4al = PT4AL(pretext=PCA(2), n_rounds=3)
    with pytest.warns(UserWarning, match="bare classifier has nowhere to keep it"):
        found = Partitioned(pt4al, n_parts=3).select(model, pool, 5, X_training=X, y_training=y)
    np.testing.assert_array_equal(found, pt4al.select(model, pool, 5, X_training=X, y_training=y))


class Centred(PCA):
    """Says what it is fitted on."""

    log: ClassVar = []

    def fit(self, X, y=None):
        self.log.append(len(X))
        return super().fit(X)


def test_the_descriptor_of_uffm_is_fitted_once_on_the_whole_pool(data):
    X, y, pool, y_pool = data
    Centred.log.clear()
    strategy = Partitioned(UFFM(descriptor=Centred(2), sampling_ratio=2), n_parts=3, random_state=0)
    learner = ActiveLearner(LogisticRegression(max_iter=500), strategy, X, y)
    for _ in range(3):
        idx, rows = learner.query(pool, n_instances=5)
        learner.teach(rows, y_pool[idx])
        pool, y_pool = np.delete(pool, idx, axis=0), np.delete(y_pool, idx)
    assert Centred.log == [100]


# -- before there are labels -------------------------------------------------------------------------------------------


def test_before_there_are_labels_samples_are_random(data):
    strategy = Partitioned(MarginSampling(), n_parts=5, random_state=0)
    with pytest.warns(ColdStartWarning, match="Partitioned chooses uniformly at random"):
        idx, _ = ActiveLearner(LogisticRegression(), strategy).query(data[2], n_instances=5)
    assert len(set(idx.tolist())) == 5


def test_embeddings_alone_choose_the_first_labels(data):
    """Behind transformers that are fitted on the whole pool, not on each part."""
    pool = data[2] * [1, 100, 1, 1]
    kmeans = TypiClust(random_state=0, min_cluster_size=0)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    found = ActiveLearner(model, Partitioned(kmeans, n_parts=3, random_state=2)).query(pool, n_instances=4)[0]
    scaled = StandardScaler().fit_transform(pool)
    strategy = Partitioned(kmeans, n_parts=3, random_state=2)
    again = ActiveLearner(LogisticRegression(), strategy).query(scaled, n_instances=4)[0]
    assert found.tolist() == again.tolist()


# -- parameters, errors, other places ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_parts": 0}, ValueError, "'n_parts' parameter of Partitioned must be an int in the range \\[1, inf"),
        ({"n_parts": 2.0}, ValueError, "'n_parts' parameter of Partitioned must be an int"),
        ({"strategy": "decern"}, ValueError, "'strategy' parameter of Partitioned must be an object implementing"),
        ({"strategy": None}, ValueError, "'strategy' parameter of Partitioned"),
        ({"random_state": "x"}, ValueError, "'random_state' parameter of Partitioned"),
        (
            {"strategy": DECERN},
            TypeError,
            "'strategy' parameter of Partitioned must be a strategy or .*DECERN.*: call it",
        ),
        (
            {"strategy": lambda learner, X, n_instances: np.arange(50, 50 + n_instances)},
            ValueError,
            "The strategy of Partitioned must return 2 unique positions in a pool of 20. <lambda> returned int64 of",
        ),
    ],
)
def test_errors(params, error, message, learner, data):
    with pytest.raises(error, match=message):
        Partitioned(**{"strategy": MarginSampling(), "n_parts": 5, **params}).select(learner, data[2], 2)


def test_more_instances_than_samples(learner, data):
    strategy = Partitioned(MarginSampling(), n_parts=3)
    assert sorted(strategy.select(learner, data[2][:7], 7)[0].tolist()) == list(range(7))
    with pytest.raises(ValueError, match="n_instances must be at most the size of the pool, 7. Got 8 instead."):
        strategy.select(learner, data[2][:7], 8)


@pytest.mark.parametrize("strategy", [BADGE(), UFFM(BADGE()), Prefilter(BADGE(), n_candidates=5)], ids=str)
def test_what_is_missing_is_told_before_anything_is_run(strategy, data):
    X, y, pool, _ = data
    log = []
    with pytest.raises(PoolCapabilityError, match=f"{type(strategy).__name__} needs"):
        Partitioned(strategy, n_parts=3).select(Counting(log), pool, 2, X_training=X, y_training=y % 2)
    assert log == []


def test_requires_is_what_the_strategy_requires():
    assert Partitioned(BADGE(), n_parts=3).requires == BADGE.requires
    assert Partitioned(functools.partial(margin_sampling), n_parts=3).requires == ("proba",)
    assert Partitioned(modal_margin_sampling, n_parts=3).requires == ()
    assert Partitioned.requires == ()
    assert not Partitioned.one_pass
    assert "Partitioned" in usable_with(SVC())


def test_parameters_of_the_strategy_are_searched_and_overridden(learner, data):
    strategy = Partitioned(DECERN(xi=0.8), n_parts=4)
    loop = ActiveLearningClassifier(LogisticRegression(), strategy)
    loop.set_params(query_strategy__strategy__xi=0.3)
    assert loop.query_strategy.strategy.xi == 0.3
    assert clone(loop).query_strategy.strategy.xi == 0.3
    found = strategy.select(learner, data[2], 4, strategy__gamma=5.0, random_state=1, n_parts=3)
    expected = Partitioned(DECERN(xi=0.3, gamma=5.0), n_parts=3, random_state=1).select(learner, data[2], 4)
    np.testing.assert_array_equal(found, expected)
    assert (strategy.strategy.gamma, strategy.n_parts) == (0.5, 4)


def test_in_a_grid_search(data):
    loop = ActiveLearningClassifier(
        LogisticRegression(max_iter=500),
        Partitioned(DECERN(), n_parts=2),
        n_initial=5,
        n_instances=2,
        n_queries=2,
        random_state=0,
    )
    grid = {"query_strategy__strategy__xi": [0.4, 0.8], "query_strategy__n_parts": [1, 2]}
    search = GridSearchCV(loop, grid, cv=2, error_score="raise").fit(data[2], data[3])
    assert len(search.cv_results_["params"]) == 4


@pytest.mark.parametrize("inner", [margin_sampling, functools.partial(margin_sampling, random_state=0)])
def test_twins_inside_and_outside(inner, learner, data):
    expected = MarginSampling().select(learner, data[2], 4)
    for found in (
        Partitioned(inner, n_parts=4).select(learner, data[2], 4),
        partitioned_sampling.select(learner, data[2], 4, strategy=inner, n_parts=4),
        Partitioned(modal_margin_sampling, n_parts=4).select(learner, data[2], 4),
    ):
        np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("cls", [ActiveLearner, ModALActiveLearner])
def test_in_learners(cls, data):
    X, y, pool, _ = data
    strategy = Partitioned(CoreSet(random_state=0), n_parts=4, random_state=0)
    model = LogisticRegression(max_iter=500).fit(X, y)
    learner = cls(model, query_strategy=strategy, X_training=X, y_training=y)
    idx, rows = learner.query(pool, n_instances=5)[:2]
    assert len(set(np.asarray(idx).tolist())) == 5
    np.testing.assert_array_equal(rows, pool[idx])


def test_parts_of_candidates_and_candidates_of_parts(learner, data):
    pool = data[2]
    found = Prefilter(Partitioned(CoreSet(), n_parts=3, random_state=1), first=MarginSampling(), n_candidates=40)
    candidates = np.sort(MarginSampling().select(learner, pool, 40)[0])
    expected = Partitioned(CoreSet(), n_parts=3, random_state=1).select(learner, pool[candidates], 4)
    assert found.select(learner, pool, 4)[0].tolist() == candidates[expected[0]].tolist()
    inner = Prefilter(CoreSet(random_state=1), first=MarginSampling(random_state=1), n_candidates=10)
    parts = parts_of(3, 1, learner, pool)[:3]
    found = Partitioned(inner, n_parts=3, random_state=0).select(learner, pool, 4)
    assert found[0].tolist() == slow(inner, parts, learner, pool, 4)[0]


def test_detectors():
    rng = np.random.default_rng(0)
    boxes = [softmax(rng.standard_normal((1 + i % 3, 4)), axis=1) for i in range(30)]
    fake = FakePool(boxes=boxes)
    idx, scores = Partitioned(DetectionEntropy(), n_parts=4).select(fake, fake.X, 3)
    entropies = np.array([-(box * np.log(box)).sum() for box in boxes])
    assert idx.tolist() == top_k(entropies, 3).tolist()
    np.testing.assert_allclose(scores, entropies[idx])


@pytest.mark.parametrize("n_parts", [3, 1000])
@pytest.mark.parametrize(
    "strategy",
    [
        CoreSet(),
        BADGE(),
        RandomSampling(),
        UFFM(MarginSampling()),
        DetectionEntropy(),
        BAL(n_clusters=3, n_rounds=4),
        Prefilter(BADGE(), n_candidates=200),
    ],
    ids=str,
)
def test_keeps_the_rules(strategy, n_parts):
    check_strategy(Partitioned(strategy, n_parts=n_parts))
