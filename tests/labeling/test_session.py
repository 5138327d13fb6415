"""LabelingSession: stable ids, nothing lost, and a resumed session that goes on as if nothing had happened."""

import copy
import json
import os
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from modAL.uncertainty import margin_sampling as modal_margin_sampling
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from torch import nn
from torch.utils.data import Dataset

from skal.exceptions import ColdStartWarning, JournalError, JournalLockedError
from skal.labeling import LabelingSession, LabelJournal
from skal.labeling import _session as labeling_session
from skal.learners import ActiveLearner, DM2ATLearner
from skal.nets import DeepClassifier
from skal.strategies import (
    BADGE,
    BAL,
    DECERN,
    DM2,
    UFFM,
    EntropySampling,
    LeastConfidence,
    MarginSampling,
    RandomSampling,
    TypiClust,
    margin_sampling,
)

N = 90
X = np.random.default_rng(0).normal(size=(N, 4)) + np.arange(N)[:, None] % 3
Y = np.arange(N) % 3
NAMES = ["ape", "bear", "cat"]


class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 6), nn.Linear(6, n_classes)

    def forward(self, x):
        return self.head(torch.relu(self.hidden(x)))


def net(**params):
    return DeepClassifier(Net, max_epochs=4, lr=0.1, classes=[0, 1, 2], random_state=0, **params)


def logistic():
    return LogisticRegression(max_iter=300)


def learner(strategy=None, estimator=None, n=0, **params):
    given = {"X_training": X[:n], "y_training": Y[:n]} if n else {}
    params = {"cold_start": "random", "random_state": 0, **params}
    strategy = MarginSampling() if strategy is None else strategy
    return ActiveLearner(logistic() if estimator is None else estimator, strategy, **given, **params)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.jsonl"


@pytest.fixture
def session(path):
    with LabelingSession(learner(), X, journal=path) as session:
        yield session


def answer(session, batch):
    session.label(batch, Y[batch])


# -- what is asked and answered ------------------------------------------------------------------------------------


def test_a_round(session, path):
    assert session.round == 0
    batch = session.query(6)
    assert len(set(batch)) == 6
    assert all(type(one) is int and 0 <= one < N for one in batch)
    answer(session, batch)
    assert session.labels_ == {one: one % 3 for one in batch}
    assert list(session.labels_) == batch
    assert (session.n_labels_, session.round, session.skipped_) == (6, 1, set())
    assert session.pool_ids_ == [i for i in range(N) if i not in batch]
    second = session.query(3)
    assert not {*second} & {*batch}
    expected = logistic().fit(X[batch], Y[batch])
    np.testing.assert_array_equal(session.learner.predict_proba(X), expected.predict_proba(X))
    assert session.learner.round == 1
    assert repr(session) == f"LabelingSession('{path}', 90 samples, 6 labels, 0 skipped, round 1)"


def test_what_is_asked_is_what_the_strategy_chooses_among_the_rest(session):
    labelled = [4, 8, 0, 1, 2]
    answer(session, labelled)
    session.skip([30, 31])
    pool = np.setdiff1d(np.arange(N), [*labelled, 30, 31])
    model = logistic().fit(X[labelled], Y[labelled])
    found, _ = MarginSampling().select(model, X[pool], 5)
    assert session.query(5) == pool[found].tolist()


def test_parameters_of_one_query(path):
    with LabelingSession(learner(RandomSampling(random_state=0), cold_start="random"), X, journal=path) as session:
        answer(session, [0, 1, 2])
        session.retrain()
        pool = np.array(session.pool_ids_)
        found = RandomSampling(random_state=5).select(session.learner, X[pool], 4)[0]
        assert session.query(4, random_state=5) == pool[found].tolist()


def test_a_query_that_was_not_answered_is_offered_again(session):
    batch = session.query(5)
    assert session.query(5) == batch
    assert session.query(2) == batch[:2]
    answer(session, batch[1:3])
    session.skip(batch[4])
    assert session.query(10) == [batch[0], batch[3]]
    assert session.round == 0
    answer(session, [batch[0]])
    session.skip([batch[3]])
    assert session.round == 1
    assert not {*session.query(5)} & {*batch}
    assert session.round == 1


def test_an_answer_that_is_taken_back_is_asked_for_again(session):
    batch = session.query(3)
    answer(session, batch)
    assert session.undo(2) == [batch[2], batch[1]]
    assert (session.round, session.n_labels_) == (0, 1)
    assert session.query(5) == batch[1:]


def test_skip_undo_relabel(session):
    session.label([5, 6], [0, 0])
    session.skip([7, 5])
    assert (session.labels_, session.skipped_) == ({6: 0}, {5, 7})
    assert session.undo() == [5]
    assert (session.labels_, session.skipped_) == ({5: 0, 6: 0}, {7})
    session.label(7, 2)
    assert (session.labels_, session.skipped_) == ({5: 0, 6: 0, 7: 2}, set())
    session.relabel([5, 7], [1, 1], by="ann")
    assert session.labels_ == {5: 1, 6: 0, 7: 1}
    assert session.undo(3) == [7, 5, 7]
    assert (session.labels_, session.skipped_) == ({5: 0, 6: 0}, {7})
    assert 7 not in session.pool_ids_
    assert session.journal.events()["by"].tolist().count("ann") == 2


def test_labels_of_samples_that_nobody_asked_for(session):
    batch = session.query(2)
    session.label(50, 1)
    assert session.query(5) == batch
    assert session.round == 0


def test_the_same_label_writes_nothing_and_another_one_is_an_error(session, path):
    session.label(3, 0)
    before = path.read_bytes()
    session.label(3, 0)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="3 is labelled 0 already. Got 1; use relabel"):
        session.label(3, 1)
    session.relabel(3, 0)
    assert len(path.read_bytes()) > len(before)


# -- training ------------------------------------------------------------------------------------------------------


FITS = []


class Counting(ClassifierMixin, BaseEstimator):
    """Remembers what it is trained on."""

    def fit(self, X, y):
        FITS.append((np.array(X), list(y)))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def test_trained_where_labels_are_new_and_only_there(path):
    FITS.clear()
    with LabelingSession(learner(LeastConfidence(), Counting()), X, journal=path) as session:
        session.query(3)
        assert FITS == []
        answer(session, session.query(3))
        session.label([7, 8], [1, 2])
        assert len(FITS) == 0
        batch = session.query(2)
        assert len(FITS) == 1
        session.query(2)
        session.skip(batch)
        session.skip(session.query(2))
        session.query(2)
        assert len(FITS) == 1
        answer(session, session.query(2))
        session.query(1)
        assert len(FITS) == 2
        session.skip(session.query(1))
        session.relabel(7, 0)
        session.query(1)
        assert len(FITS) == 3
        # The same labels in another order.
        session.skip([*session.query(1), 7])
        session.label(7, 0)
        session.query(1)
        rows, y = FITS[-1]
        order = list(session.labels_)
        assert order[-1] == 7
        np.testing.assert_array_equal(rows, X[order])
        assert y == [session.labels_[one] for one in order]


def test_behind_what_the_learner_has_of_its_own(path):
    active = learner(n=12)
    active.query(X[12:])
    active.teach(X[12:14], Y[12:14])
    with LabelingSession(active, X, journal=path) as session:
        answer(session, [40, 41])
        session.query(1)
        rows = [*range(14), 40, 41]
        np.testing.assert_array_equal(active.X_training, X[rows])
        assert session.undo(2) == [41, 40]
        session.skip(session.query(1))
        session.query(1)
        np.testing.assert_array_equal(active.X_training, X[:14])


def test_rounds_are_counted_from_the_learners(path):
    active = learner(n=12)
    active.query(X[12:])
    active.teach(X[12:13], Y[12:13])
    with LabelingSession(active, X, journal=path) as session:
        answer(session, session.query(2))
        assert session.round == 1
        session.query(2)
        assert active.round == 2


def test_one_class_waits_for_a_second(session):
    session.label([0, 3], [0, 0])
    batch = session.query(4)
    with pytest.raises(NotFittedError):
        session.learner.predict(X)
    expected = RandomSampling(random_state=0).select(session.learner, X[session.pool_ids_], 4)[0]
    assert batch == [session.pool_ids_[i] for i in expected]
    session.label(batch, [0, 0, 0, 1])
    session.query(1)
    assert session.learner.predict(X).shape == (N,)


def test_all_taken_back_is_untrained_again(session):
    first = session.query(3)
    answer(session, first)
    session.retrain()
    session.learner.predict(X)
    assert session.undo(3) == first[::-1]
    session.skip(first)
    session.query(1)
    with pytest.raises(NotFittedError):
        session.learner.predict(X)


def test_what_one_session_taught_is_the_learners_own_in_the_next(path):
    active = learner()
    with LabelingSession(active, X, journal=path) as session:
        answer(session, [0, 1, 2])
        session.retrain()
    with LabelingSession(active, X, journal=path.with_name("b.jsonl")) as session:
        answer(session, [50, 51])
        session.retrain()
        np.testing.assert_array_equal(active.X_training, X[[0, 1, 2, 50, 51]])


def test_retrain_by_hand(session):
    answer(session, [0, 1, 2, 50])
    session.retrain()
    expected = logistic().fit(X[[0, 1, 2, 50]], Y[[0, 1, 2, 50]])
    np.testing.assert_array_equal(session.learner.predict_proba(X), expected.predict_proba(X))


def test_a_regression(path):
    def farthest(model, X, n_instances=1):
        return np.argsort(-model.predict(X))[:n_instances]

    with LabelingSession(learner(farthest, Ridge(), cold_start="random"), X, journal=path) as session:
        session.label([0, 1], [0.5, 2])
        expected = Ridge().fit(X[:2], [0.5, 2.0])
        assert session.query(1) == [2 + int(np.argmax(expected.predict(X[2:])))]
        session.label(9, -1)
        assert session.labels_ == {0: 0.5, 1: 2, 9: -1}


# -- resumed -------------------------------------------------------------------------------------------------------

STRATEGIES = {
    "margin": lambda: learner(),
    "random": lambda: learner(RandomSampling(random_state=3)),
    "decern": lambda: learner(DECERN(random_state=0), n=9),
    "uffm": lambda: learner(UFFM(descriptor=PCA(2, svd_solver="randomized"), random_state=0), n=9),
    "bal": lambda: rounds(learner(BAL(pretext=PCA(2), n_clusters=3, random_state=0), n=9)),
    "badge": lambda: learner(BADGE(random_state=0), net()),
    "own cold start": lambda: learner(cold_start=TypiClust(random_state=0)),
    "modal": lambda: learner(modal_margin_sampling, n=9),
    "function": lambda: learner(partial(margin_sampling), GaussianNB(), n=9),
    "dm2-at": lambda: DM2ATLearner(net(), DM2(random_state=0), X[:9].astype("f4"), Y[:9], epsilon=0.1, clip=None),
}


def rounds(active):
    active.n_rounds = 4
    return active


def play(session, n_queries):
    """Queries and answers, with a skip, a correction and something taken back in each round."""
    for _ in range(n_queries):
        batch = session.query(6)
        session.label(batch[:5], Y[batch[:5]])
        session.skip(batch[5])
        session.relabel(batch[0], 0)
        session.undo()


@pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES)
@pytest.mark.parametrize("same_learner", [False, True], ids=["new", "same"])
def test_the_next_query_is_the_one_that_would_have_come(make, same_learner, tmp_path):
    data = X.astype("f4")
    with LabelingSession(make(), data, journal=tmp_path / "whole.jsonl") as session:
        play(session, 4)
        expected = [session.query(5), session.labels_, session.skipped_, session.round, session.pool_ids_]
        batches = session.journal.batches
    path, active = tmp_path / "parts.jsonl", make()
    LabelingSession(active, data, journal=path).close()
    for _ in range(4):
        active = active if same_learner else make()
        with LabelingSession.resume(path, active, data) as session:
            play(session, 1)
    active = active if same_learner else make()
    with LabelingSession.resume(path, active, data) as session:
        found = [session.query(5), session.labels_, session.skipped_, session.round, session.pool_ids_]
        assert session.journal.batches == batches
    assert found == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forks")
def test_processes_that_are_killed(tmp_path):
    script = [sys.executable, str(Path(__file__).with_name("kills_session.py"))]
    kills = os.environ.get("SKAL_KILLS", "12")
    found = []
    for name, n in (("whole", "0"), ("killed", kills)):
        done = subprocess.run([*script, str(tmp_path / name), n], capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    assert len(found[0][1]) == 40


@pytest.mark.parametrize("moment", ["before the memory", "before the journal"])
def test_a_crash_within_a_query_loses_nothing(moment, path, monkeypatch):
    def make():
        return learner(UFFM(descriptor=PCA(2, svd_solver="randomized"), random_state=0), n=9)

    with LabelingSession(make(), X, journal=path.with_name("whole.jsonl")) as session:
        answer(session, session.query(4))
        expected = session.query(4)
    session = LabelingSession(make(), X, journal=path)
    answer(session, session.query(4))
    what = "skal.labeling._session.keep_memory" if moment == "before the memory" else None
    if what:
        monkeypatch.setattr(what, raises(SystemExit))
        session.learner.memory.keep("other", {}, 1)
    else:
        monkeypatch.setattr(session.journal, "query", raises(SystemExit))
    with pytest.raises(SystemExit):
        session.query(4)
    monkeypatch.undo()
    session.close()
    with LabelingSession.resume(path, make(), X) as session:
        assert session.n_labels_ == 4
        assert session.query(4) == expected


def raises(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def test_an_open_query_outlives_the_end(path):
    with LabelingSession(learner(), X, journal=path) as session:
        batch = session.query(4)
        answer(session, batch[:1])
    with LabelingSession.resume(path, learner(), X) as session:
        assert session.query(9) == batch[1:]


def test_classes_and_cold_start_come_back(path):
    strategy = TypiClust(random_state=1)
    begun = LabelingSession(learner(), X, journal=path, classes=NAMES, cold_start=strategy)
    begun.close()
    with LabelingSession.resume(path, learner(), X) as session:
        assert session.classes == NAMES
        assert session.learner.cold_start == "random"
        first = session.query(5)
        assert session.learner.cold_start == "random"
        with pytest.raises(ValueError, match="did you mean 'bear'"):
            session.label(0, "baer")
    with LabelingSession(learner(cold_start=strategy), X, journal=path.with_name("b.jsonl")) as session:
        assert session.query(5) == first
    with LabelingSession(learner(), X, journal=path.with_name("c.jsonl")) as session:
        assert session.query(5) != first


def test_the_cold_start_of_the_session_goes_before_the_learners(path):
    with LabelingSession(learner(cold_start=TypiClust()), X, journal=path, cold_start="random") as session:
        assert session.query(4) == RandomSampling(random_state=0).select(session.learner, X, 4)[0].tolist()
    with LabelingSession.resume(path, learner(cold_start=TypiClust()), X) as session:
        assert session.cold_start == "random"
    assert not path.with_name("labels.jsonl.memory").exists()


def test_without_a_cold_start_the_learner_says_that_it_is_random(path):
    active = ActiveLearner(logistic(), MarginSampling(), random_state=0)
    with LabelingSession(active, X, journal=path) as session, pytest.warns(ColdStartWarning):
        session.query(2)


def test_more_samples_may_have_come(path):
    with LabelingSession(learner(), X[:60], journal=path) as session:
        answer(session, session.query(3))
    with LabelingSession.resume(path, learner(), X) as session:
        assert len(session.pool_ids_) == N - 3


def test_names_find_their_samples_in_any_order(path):
    names = [f"{i}.jpg" for i in range(N)]
    with LabelingSession(learner(), X, journal=path, ids=names) as session:
        batch = session.query(5)
        session.label(batch, [int(one[:-4]) % 3 for one in batch])
    order = np.random.default_rng(1).permutation(N)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with LabelingSession.resume(path, learner(), X[order], ids=[names[i] for i in order]) as session:
            session.query(1)
            rows = [int(one[:-4]) for one in session.labels_]
            np.testing.assert_array_equal(session.learner.X_training, X[rows])


def test_other_samples_are_told(path):
    LabelingSession(learner(), X, journal=path).close()
    with pytest.warns(
        UserWarning, match="16 of 16 samples that the journal .* remembers are not what they were, 0 for"
    ):
        LabelingSession.resume(path, learner(), X + 1).close()
    changed = X.copy()
    changed[0] += 1
    with pytest.warns(UserWarning, match="1 of 16 samples .* 0 for one") as said:
        LabelingSession.resume(path, learner(), changed).close()
    assert said[0].filename == __file__


def test_samples_that_are_augmented_are_not_compared(path):
    class Noisy(Dataset):
        rng = np.random.default_rng(0)

        def __len__(self):
            return 20

        def __getitem__(self, i):
            return torch.tensor(X[i] + self.rng.normal(size=4))

    LabelingSession(learner(), Noisy(), journal=path).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LabelingSession.resume(path, learner(), Noisy()).close()


def uffm():
    return learner(UFFM(descriptor=PCA(2), random_state=0), n=9)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:40]), "cannot be read"),
        (lambda file: file.write_bytes(b""), "cannot be read"),
    ],
)
def test_a_memory_that_is_gone_is_made_anew(spoil, words, path):
    with LabelingSession(uffm(), X, journal=path) as session:
        answer(session, session.query(3))
    spoil(path.with_name("labels.jsonl.memory"))
    with pytest.warns(UserWarning, match=f"labels.jsonl.memory' {words}.*are made anew.*no label is concerned") as said:
        session = LabelingSession.resume(path, uffm(), X)
    assert said[0].filename == __file__
    with session:
        assert session.n_labels_ == 3
        session.query(2)
    assert path.with_name("labels.jsonl.memory").stat().st_size > 100


def test_a_memory_is_written_down_where_it_is_new(path, monkeypatch):
    written = []
    real = labeling_session.keep_memory
    monkeypatch.setattr(labeling_session, "keep_memory", lambda *args: written.append(1) or real(*args))
    for make in (lambda: LabelingSession(uffm(), X, journal=path), lambda: LabelingSession.resume(path, uffm(), X)):
        with make() as session:
            for _ in range(2):
                answer(session, session.query(3))
    assert written == [1]


def test_the_memory_of_an_older_journal_of_this_name_is_left_alone(path):
    with LabelingSession(uffm(), X, journal=path) as session:
        session.query(3)
    path.unlink()
    with LabelingSession(uffm(), X, journal=path):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with LabelingSession.resume(path, uffm(), X) as session:
            assert session.learner.memory.changes == 0


def test_a_memory_that_cannot_be_written_down_is_told(path):
    active = learner(UFFM(descriptor=PCA(2), random_state=0), n=9)
    with LabelingSession(active, X, journal=path) as session:
        active.memory.keep("mine", {}, lambda: 0)
        with pytest.warns(UserWarning, match="What the strategy keeps cannot be written beside .* makes it anew"):
            batch = session.query(2)
        assert session.journal.batches == [batch]


# -- ids and containers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ids",
    [
        [f"photos/{i}.jpg" for i in range(N)],
        list(range(1000, 1000 + N)),
        np.arange(N)[::-1],
        pd.Index([f"r{i}" for i in range(N)]),
        [i if i % 2 else str(i) for i in range(N)],
    ],
    ids=["names", "numbers", "array", "index", "mixed"],
)
def test_ids(ids, path):
    plain = [one.item() if isinstance(one, np.generic) else one for one in ids]
    with LabelingSession(learner(), X, journal=path, ids=ids) as session:
        batch = session.query(4)
        assert {*batch} <= {*plain}
        positions = [plain.index(one) for one in batch]
        session.label(batch, Y[positions])
        session.skip(plain[50])
        assert session.pool_ids_ == [one for one in plain if one not in batch and one != plain[50]]
        expected = session.query(3)
        np.testing.assert_array_equal(session.learner.X_training, X[positions])
    with LabelingSession.resume(path, learner(), X, ids=ids) as session:
        assert session.query(3) == expected
        assert [type(one) for one in session.labels_] == [type(plain[i]) for i in positions]


class Rows(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, i):
        return torch.tensor(X[i], dtype=torch.float32)


def memmap_of(path):
    np.save(path, X)
    return np.load(path, mmap_mode="r")


TEXTS = [f"{NAMES[i % 3]} {NAMES[i % 3]} {i} word" for i in range(N)]
CONTAINERS = {
    "array": (lambda folder: X, logistic),
    "memmap": (lambda folder: memmap_of(folder / "X.npy"), logistic),
    "frame": (lambda folder: pd.DataFrame(X, columns=list("abcd"), index=np.arange(N) + 500), logistic),
    "sparse": (lambda folder: sp.csr_matrix(X), logistic),
    "list of texts": (lambda folder: TEXTS, lambda: make_pipeline(TfidfVectorizer(), LogisticRegression())),
    "tensor": (lambda folder: torch.tensor(X, dtype=torch.float32), net),
    "dict": (lambda folder: {"x": X.astype("f4")}, net),
    "Dataset": (lambda folder: Rows(), net),
}


@pytest.mark.parametrize(("make", "estimator"), CONTAINERS.values(), ids=CONTAINERS)
def test_containers(make, estimator, tmp_path):
    data = make(tmp_path)
    with LabelingSession(learner(EntropySampling(), estimator()), data, journal=tmp_path / "a.jsonl") as session:
        assert session.X is data
        batch = session.query(5)
        answer(session, batch)
        answer(session, session.query(5))
        expected = session.query(4)
        assert session.X is data
        assert len(session.pool_ids_) == N - 10
    active = learner(EntropySampling(), estimator())
    with LabelingSession.resume(tmp_path / "a.jsonl", active, make(tmp_path)) as session:
        assert session.query(4) == expected


def test_a_dataset_is_read_where_it_is_needed(path):
    read = []

    class Counted(Rows):
        def __getitem__(self, i):
            read.append(i)
            return super().__getitem__(i)

    with LabelingSession(learner(RandomSampling(random_state=0), net()), Counted(), journal=path) as session:
        assert len(set(read)) == 16
        read.clear()
        session.query(3)
        answer(session, [0, 1, 2])
        session.skip([5])
        session.undo()
    assert read == []


# -- labels --------------------------------------------------------------------------------------------------------


def test_classes(path):
    with LabelingSession(learner(), X, journal=path, classes=NAMES) as session:
        before = path.read_bytes()
        with pytest.raises(
            ValueError, match="among the classes 'ape', 'bear', 'cat'. Got 'Bear '; did you mean 'bear'"
        ):
            session.label([0, 1], ["ape", "Bear "])
        for bad in (1, True, 0.5):
            with pytest.raises(ValueError, match="among the classes"):
                session.label(0, bad)
        assert path.read_bytes() == before
        session.label([0, 1], ["ape", "bear"])
        with pytest.raises(ValueError, match="did you mean 'cat'"):
            session.relabel(0, "cta")
        session.query(1)
        assert session.learner.y_training.tolist() == ["ape", "bear"]


def test_the_classes_of_the_learner(path):
    with LabelingSession(learner(classes=[0, 1, 2]), X, journal=path) as session:
        assert session.classes == [0, 1, 2]
        with pytest.raises(ValueError, match="did you mean 2"):
            session.label(0, 3)
    with LabelingSession.resume(path, learner(), X) as session:
        assert session.classes == [0, 1, 2]
    with pytest.raises(ValueError, match="'classes' parameter of LabelingSession, .* Got 2; did you mean 1"):
        LabelingSession(learner(classes=[0, 1]), X, journal=path.with_name("b.jsonl"), classes=[0, 1, 2])
    with pytest.raises(ValueError, match="y_training of the learner must hold labels among .* Got 2; did you mean 1"):
        LabelingSession(learner(n=9), X, journal=path.with_name("b.jsonl"), classes=[0, 1])
    assert not path.with_name("b.jsonl").exists()


@pytest.mark.parametrize("empty", ["", "  ", None, float("nan"), pd.NA, np.nan])
def test_what_is_missing_is_no_label(empty, session, path):
    before = path.read_bytes()
    with pytest.raises((ValueError, TypeError), match="A label must"):
        session.label([0, 1], [0, empty])
    assert path.read_bytes() == before


@pytest.mark.parametrize(("first", "second"), [(0, "0"), ("a", 1), (1, True), (0.5, "b")])
def test_labels_of_another_kind(first, second, session):
    session.label(0, first)
    with pytest.raises(ValueError, match="Labels must be of one kind"):
        session.label(1, second)
    with pytest.raises(ValueError, match="Labels must be of one kind"):
        session.relabel(0, second)
    session.undo()
    session.label(1, second)


def test_labels_of_another_kind_than_the_learners(path):
    words = "Labels must be of one kind, here number. Got 'a'"
    with LabelingSession(learner(n=9), X, journal=path) as session, pytest.raises(ValueError, match=words):
        session.label(50, "a")


def test_labels_of_one_call_are_of_one_kind(session):
    with pytest.raises(ValueError, match="Labels must be of one kind, here number. Got 'b'"):
        session.label([0, 1], [1, "b"])
    assert session.labels_ == {}


# -- what fails ----------------------------------------------------------------------------------------------------


def state_of(session):
    active = session.learner
    parts = vars(active.estimator)
    return (
        session.journal.path.read_bytes(),
        session.labels_,
        session.skipped_,
        session.round,
        active.round,
        active.cold_start,
        copy.deepcopy({name: parts[name] for name in sorted(parts)}),
        None if active.X_training is None else active.X_training.tolist(),
        active.memory.changes,
    )


def same(first, second):
    return all(np.all(a == b) if not isinstance(a, dict) else repr(a) == repr(b) for a, b in zip(first, second))


def failing(error):
    def strategy(model, X, n_instances=1):
        raise error

    return strategy


class Stops(LogisticRegression):
    """A classifier that is interrupted in training, when told."""

    error = None

    def fit(self, X, y):
        super().fit(X, y)
        if Stops.error is not None:
            self.coef_ = self.coef_ + 1
            raise Stops.error
        return self


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")])
def test_what_stops_in_training_leaves_all_as_it_was(error, path, monkeypatch):
    with LabelingSession(learner(estimator=Stops(max_iter=300)), X, journal=path) as session:
        answer(session, session.query(5))
        batch = session.query(5)
        answer(session, batch)
        before = state_of(session)
        monkeypatch.setattr(Stops, "error", error)
        for call in (lambda: session.query(3), session.retrain):
            with pytest.raises(type(error)):
                call()
            assert same(state_of(session), before)
        monkeypatch.undo()
        found = session.query(3)
        assert session.learner.X_training.shape == (10, 4)
    with LabelingSession.resume(path, learner(estimator=Stops(max_iter=300)), X) as session:
        assert session.query(3) == found


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")])
def test_a_strategy_that_fails_leaves_all_as_it_was(error, path):
    with LabelingSession(learner(n=9), X, journal=path, cold_start="random") as session:
        answer(session, session.query(3))
        session.retrain()
        before = state_of(session)
        own, session.learner.query_strategy = session.learner.query_strategy, failing(error)
        with pytest.raises(type(error)):
            session.query(3)
        assert same(state_of(session), before)
        session.learner.query_strategy = own
        session.query(3)


def test_a_query_that_is_not_noted_leaves_no_memory(path, monkeypatch):
    with LabelingSession(uffm(), X, journal=path) as session:
        monkeypatch.setattr(session.journal, "query", raises(JournalError("full")))
        with pytest.raises(JournalError, match="full"):
            session.query(3)
        assert session.learner.memory._entries == {}
        monkeypatch.undo()
        session.query(3)
        assert session.learner.memory._entries != {}


def test_a_full_disk_in_a_query(path, monkeypatch):
    with LabelingSession(uffm(), X, journal=path) as session:
        answer(session, session.query(3))
        session.retrain()
        before = state_of(session)
        monkeypatch.setattr(os, "fsync", raises(OSError(28, "No space left on device")))
        with pytest.raises(JournalError, match="could not be written: No space left on device"):
            session.query(3)
        monkeypatch.undo()
        assert same(state_of(session), before)
        session.query(3)


@pytest.mark.parametrize(
    ("picks", "is_fine"),
    [
        (np.array([3, 1]), True),
        (np.arange(N) == 4, True),
        (np.array([1, 1]), False),
        (np.array([-1]), False),
        (np.array([N]), False),
        (np.array([0.5]), False),
        (np.array([[1, 2]]), False),
        (np.array([], dtype=int), False),
    ],
)
def test_what_a_foreign_strategy_returns(picks, is_fine, path):
    with LabelingSession(learner(lambda model, X, n_instances=1: picks, n=9), X, journal=path) as session:
        if is_fine:
            assert session.query(2) == (np.flatnonzero(picks).tolist() if picks.dtype == bool else picks.tolist())
        else:
            with pytest.raises((ValueError, IndexError)):
                session.query(2)
            assert session.journal.batches == []


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda s: s.query(0), ValueError, "n_instances must be at least 1. Got 0"),
        (lambda s: s.query(1.5), TypeError, "n_instances must be an integer. Got 1.5"),
        (lambda s: s.query(True), TypeError, "n_instances must be an integer. Got True"),
        (lambda s: s.query(89), ValueError, "at most 88, the number of samples left of 90. Got 89"),
        (lambda s: s.query(91), ValueError, "at most the size of the pool, 90. Got 91"),
        (lambda s: s.query(2, xi=1), TypeError, "xi"),
        (lambda s: s.label(90, 1), ValueError, r"An id must be a position in \[0, 90\). Got 90"),
        (lambda s: s.label(-1, 1), ValueError, "An id must be a position"),
        (lambda s: s.label("1", 1), ValueError, "An id must be a position"),
        (lambda s: s.label(1.0, 1), TypeError, "An id must be a str or an int"),
        (lambda s: s.label([1, 2], [0]), ValueError, "label needs one label for each of 2 ids. Got 1"),
        (lambda s: s.label([1, 1], [0, 0]), ValueError, "ids must be different"),
        (lambda s: s.skip([1, 99]), ValueError, "An id must be a position"),
        (lambda s: s.relabel([1], [0]), ValueError, "1 has no label yet"),
        (lambda s: s.relabel([0, 99], [0, 0]), ValueError, "An id must be a position"),
        (lambda s: s.undo(3), ValueError, "There are 2 answers to take back. Got n=3"),
        (lambda s: s.undo(0), ValueError, "'n' parameter of undo"),
    ],
)
def test_errors_leave_all_as_it_was(call, error, words, session):
    session.label(0, 0)
    session.skip(5)
    before = state_of(session)
    with pytest.raises(error, match=words):
        call(session)
    assert same(state_of(session), before)


def test_nothing_left(path):
    with LabelingSession(learner(), X[:3], journal=path) as session:
        session.label([0, 1, 2], [0, 1, 2])
        with pytest.raises(ValueError, match="n_instances must be at most 0, the number of samples left of 3. Got 1"):
            session.query(1)


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"learner": logistic()}, TypeError, "learner must be a skal.learners.ActiveLearner. Got LogisticRegression"),
        ({"journal": 5}, TypeError, "journal must be a str, a path or a LabelJournal. Got 5"),
        ({"X": X[:0]}, ValueError, "X must hold at least one sample"),
        ({"ids": ["a"]}, ValueError, "ids must name each of the 90 samples of X. Got 1 ids"),
        ({"ids": [0] * N}, ValueError, "ids must be different. Got 0 twice"),
        ({"ids": [0.5] * N}, TypeError, "An id must be a str or an int"),
        ({"classes": []}, ValueError, "'classes' parameter of LabelingSession must be None or list different labels"),
        ({"classes": ["a", "a"]}, ValueError, "'classes' parameter of LabelingSession"),
        ({"classes": ["a", 1]}, ValueError, "'classes' parameter of LabelingSession must list labels of one kind"),
        ({"cold_start": "first"}, TypeError, "cold_start must be 'random' or a strategy"),
        ({"cold_start": MarginSampling()}, ValueError, "cold_start must be .* which needs proba"),
    ],
)
def test_bad_arguments_make_no_file(params, error, words, path):
    params = {"learner": learner(), "X": X, "journal": path, **params}
    with pytest.raises(error, match=words):
        LabelingSession(params.pop("learner"), params.pop("X"), **params)
    assert list(path.parent.iterdir()) == []


def test_a_journal_that_exists_and_one_that_does_not(path):
    with pytest.raises(JournalError, match="There is no journal .* to resume. LabelingSession begins one"):
        LabelingSession.resume(path, learner(), X)
    assert not path.exists()
    path.touch()
    with pytest.raises(JournalError, match="holds nothing to resume. LabelingSession begins one"):
        LabelingSession.resume(path, learner(), X)
    LabelingSession(learner(), X, journal=path).close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="exists already. LabelingSession.resume goes on with it"):
        LabelingSession(learner(), X, journal=path)
    with LabelJournal(path) as journal, pytest.raises(JournalError, match="holds a session already, which .*resume"):
        LabelingSession(learner(), X, journal=journal)
    assert path.read_bytes() == before


def test_two_sessions(session, path):
    for call in (
        lambda: LabelingSession.resume(path, learner(), X),
        lambda: LabelingSession.resume(str(path), learner(), X),
    ):
        with pytest.raises(JournalLockedError, match="is in use"):
            call()
    session.label(0, 1)


def test_a_resume_that_fails_releases_the_journal(path):
    LabelingSession(learner(), X, journal=path, ids=[f"{i}" for i in range(N)]).close()
    with pytest.raises(
        ValueError, match="ids must be as when the journal .* began; they were given then: give the same"
    ):
        LabelingSession.resume(path, learner(), X)
    with LabelingSession.resume(path, learner(), X, ids=[f"{i}" for i in range(N)]) as session:
        session.label("89", 1)
    with pytest.raises(ValueError, match="X and ids must be those of the journal .* one of the 50 ids .* Got '89'"):
        LabelingSession.resume(path, learner(), X[:50], ids=[f"{i}" for i in range(50)])
    with LabelingSession(learner(), X, journal=path.with_name("b.jsonl")):
        pass
    with pytest.raises(ValueError, match="there were none: leave them out"):
        LabelingSession.resume(path.with_name("b.jsonl"), learner(), X, ids=range(N))


def test_a_journal_without_its_first_line(path):
    with LabelingSession(learner(), X, journal=path, classes=[0, 1, 2]) as session:
        answer(session, session.query(4))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0].replace(b"classes", b"Classes"), *lines[1:]]))
    with pytest.warns(UserWarning) as said:
        session = LabelingSession.resume(path, learner(), X)
    texts = [str(each.message) for each in said]
    assert any("had 1 damaged line" in text for text in texts)
    assert any("has lost its first line, and with it what classes there are" in text for text in texts)
    with session:
        assert session.n_labels_ == 4
        session.query(2)
        assert len(session.learner.X_training) == 4


def test_a_journal_that_comes_open(path):
    journal = LabelJournal(path, durable=False)
    with pytest.raises(TypeError, match="learner must be"):
        LabelingSession(None, X, journal=journal)
    with pytest.raises(ValueError, match="ids must name"):
        LabelingSession(learner(), X, journal=journal, ids=[1])
    with pytest.raises(JournalError, match="holds nothing to resume"):
        LabelingSession.resume(journal, learner(), X)
    assert not journal.closed
    session = LabelingSession(learner(), X, journal=journal)
    assert session.journal is journal
    session.close()
    assert journal.closed
    with pytest.raises(JournalError, match="is closed"):
        session.label(0, 1)
    assert session.labels_ == {}


def test_a_journal_that_was_written_by_hand(path):
    with LabelJournal(path) as journal:
        journal.label([3, 4, 5], [0, 1, 2])
    with LabelingSession.resume(path, learner(), X) as session:
        session.query(2)
        np.testing.assert_array_equal(session.learner.X_training, X[3:6])


def test_what_is_noted_of_a_query(session, path):
    answer(session, [0, 1, 2])
    session.query(2)
    event = json.loads(path.read_text().splitlines()[-1])
    assert event["strategy"] == "MarginSampling()"
    assert len(event["model"]) == 32
    first = event["model"]
    answer(session, session.query(2))
    session.query(2)
    assert json.loads(path.read_text().splitlines()[-1])["model"] != first
