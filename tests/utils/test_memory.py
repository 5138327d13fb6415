"""What outlives a query: found again by owner and settings, kept by the learner, forgotten where a query fails."""

import gc
import pickle
import weakref
from functools import partial

import numpy as np
import pytest
from modAL.models import ActiveLearner as ModALActiveLearner
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from skal.learners import ActiveLearner
from skal.pool import view_pool
from skal.strategies import BAL, UFFM, bal_sampling, uffm_sampling
from skal.utils._memory import Memory

X = np.random.default_rng(0).normal(size=(90, 4)) + np.arange(90)[:, None] % 3
Y = np.arange(90) % 3
FITS = []


class Descriptor(TransformerMixin, BaseEstimator):
    """Counts its fits, and raises what it is told to."""

    raises = None

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y=None):
        FITS.append(len(X))
        self.scale_ = self.scale
        return self

    def transform(self, X):
        if Descriptor.raises is not None:
            raise Descriptor.raises
        return self.scale_ * np.asarray(X)


@pytest.fixture(autouse=True)
def fits(monkeypatch):
    FITS.clear()
    monkeypatch.setattr(Descriptor, "raises", None)
    return FITS


def learner(strategy):
    return ActiveLearner(LogisticRegression(max_iter=300), strategy, X[:30], Y[:30])


def run(active, n_queries=3, **per_call):
    pool, y = X[30:], Y[30:]
    for _ in range(n_queries):
        idx, rows = active.query(pool, n_instances=5, **per_call)
        active.teach(rows, y[idx])
        pool, y = np.delete(pool, idx, axis=0), np.delete(y, idx)


# -- the memory itself -------------------------------------------------------------------------------------------


def test_found_by_owner_and_settings():
    memory, made = Memory(), []

    def make():
        made.append(object())
        return made[-1]

    first = memory.recall("A", {"n": 1}, make)
    assert memory.recall("A", {"n": 1}, make) is first
    assert memory.recall("B", {"n": 1}, make) is not first
    assert memory.recall("A", {"n": 2}, make) is not first
    assert memory.recall("A", {"n": True}, make) is not first
    assert memory.recall("A", {}, make) is not first
    assert memory.recall("A", {"n": 1}, make, serves=lambda value: value is first) is first
    assert memory.recall("A", {"n": 1}, make, serves=lambda value: False) is not first


def test_settings_equal_in_content():
    memory = Memory()
    memory.keep("A", {"of": PCA(2), "values": np.arange(3)}, "kept")
    found = pickle.loads(pickle.dumps(memory)).recall("A", {"of": PCA(2), "values": np.arange(3)}, lambda: "new")
    assert found == "kept"
    assert memory.recall("A", {"of": PCA(3), "values": np.arange(3)}, lambda: "new") == "new"


def test_settings_that_cannot_be_pickled_are_found_as_the_same_object():
    memory, one = Memory(), lambda: 0
    memory.keep("A", {"of": one}, "kept")
    assert memory.recall("A", {"of": one}, lambda: "new") == "kept"
    assert memory.recall("A", {"of": lambda: 0}, lambda: "new") == "new"


def test_one_owner_keeps_its_newest_settings():
    memory = Memory()
    for n in range(20):
        memory.keep("A", {"n": n}, n)
    assert memory.recall("A", {"n": 19}, lambda: "new") == 19
    assert memory.recall("A", {"n": 0}, lambda: "new") == "new"


def test_nothing_is_kept_of_a_block_that_fails():
    memory = Memory()
    memory.keep("A", {}, "before")
    with pytest.raises(KeyboardInterrupt), memory.unchanged_on_error():
        memory.keep("A", {}, "after")
        memory.keep("B", {}, "after")
        raise KeyboardInterrupt
    assert memory.recall("A", {}, lambda: "new") == "before"
    assert memory.recall("B", {}, lambda: "new") == "new"


def test_a_memory_that_keeps_nothing():
    memory = Memory(keeps=False)
    assert [memory.recall("A", {}, lambda n=n: n) for n in range(2)] == [0, 1]


# -- in the learner's keeping --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "per_call", "expected"),
    [
        (UFFM(descriptor=Descriptor(), random_state=0), {}, 1),
        (UFFM(descriptor=Descriptor()), {}, 1),
        (partial(uffm_sampling, descriptor=Descriptor(), random_state=0), {}, 1),
        (partial(UFFM(random_state=0), descriptor=Descriptor()), {}, 1),
        (uffm_sampling, {"descriptor": Descriptor(), "random_state": 0}, 1),
        (UFFM(random_state=0), {"descriptor": Descriptor()}, 1),
        (UFFM(UFFM(descriptor=Descriptor()), descriptor=Descriptor(2.0), random_state=0), {}, 2),
        (BAL(pretext=Descriptor(), n_clusters=3, n_rounds=5), {}, 1),
        (UFFM(BAL(pretext=Descriptor(), n_clusters=3, n_rounds=5, random_state=0)), {}, 1),
        (UFFM(BAL(pretext=Descriptor(), n_clusters=3, n_rounds=5), random_state=0), {}, 1),
        (UFFM(partial(bal_sampling, pretext=Descriptor(), n_clusters=3, n_rounds=5, random_state=0)), {}, 1),
    ],
)
def test_fitted_once_in_a_run_however_it_is_written(strategy, per_call, expected, fits):
    run(learner(strategy), **per_call)
    assert len(fits) == expected


def test_learners_that_share_a_strategy_share_no_memory(fits):
    strategy = UFFM(descriptor=Descriptor(), random_state=0)
    state = dict(vars(strategy))
    run(learner(strategy))
    run(learner(strategy))
    assert len(fits) == 2
    assert vars(strategy) == state


def test_pickled_with_the_learner_and_dropped_by_clone_and_fit(fits):
    active = learner(UFFM(descriptor=Descriptor(), random_state=0))
    run(active, 1)
    run(pickle.loads(pickle.dumps(active)), 1)
    assert len(fits) == 1
    run(clone(active).fit(X[:30], Y[:30]), 1)
    assert len(fits) == 2
    active.fit(X[:30], Y[:30])
    run(active, 1)
    assert len(fits) == 3


def test_undo_keeps_it(fits):
    active = learner(BAL(pretext=Descriptor(), n_clusters=3, n_rounds=5, random_state=0))
    idx, rows = active.query(X[30:], n_instances=5)
    active.teach(rows, Y[30:][idx])
    again, _ = active.undo().query(X[30:], n_instances=5)
    np.testing.assert_array_equal(again, idx)
    assert len(fits) == 1


def test_another_strategy_of_the_same_settings_finds_it(fits):
    active = learner(UFFM(descriptor=Descriptor(), random_state=0))
    run(active, 1)
    active.query_strategy = UFFM(descriptor=Descriptor(), random_state=0)
    run(active, 1)
    assert len(fits) == 1
    active.query_strategy = UFFM(descriptor=Descriptor(3.0), random_state=0)
    run(active, 1)
    assert len(fits) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no signal")])
@pytest.mark.parametrize(
    "strategy",
    [
        UFFM(descriptor=Descriptor(), random_state=0),
        BAL(pretext=Descriptor(), n_clusters=3, n_rounds=5, random_state=0),
        UFFM(BAL(n_clusters=3, n_rounds=5), descriptor=Descriptor(), random_state=0),
    ],
)
def test_a_query_that_fails_leaves_nothing(strategy, error, monkeypatch):
    active = learner(strategy)
    before = pickle.dumps(active)
    monkeypatch.setattr(Descriptor, "raises", error)
    with pytest.raises(type(error)):
        active.query(X[30:], n_instances=5)
    assert pickle.dumps(active) == before


def test_modals_own_learner_has_one_for_as_long_as_it_lives(fits):
    active = ModALActiveLearner(
        LogisticRegression(max_iter=300), UFFM(descriptor=Descriptor(), random_state=0), X[:30], Y[:30]
    )
    for _ in range(2):
        active.query(X[30:], n_instances=5)
    assert len(fits) == 1
    memory, owner = weakref.ref(view_pool(active, X).memory), weakref.ref(active)
    del active
    gc.collect()
    assert owner() is None
    assert memory() is None
