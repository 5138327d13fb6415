"""LabeledSet, undo and relabel: equal to lists that are taught anew; nothing changed on errors; every container."""

import pickle
import random

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from modAL.models import Committee
from modAL.uncertainty import margin_sampling as modal_margin_sampling
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import Dataset, Subset

from skal.learners import ActiveLearner
from skal.learners import _labels as module
from skal.learners._labels import LabeledSet
from skal.strategies import BAL, MarginSampling, RandomSampling

X, Y = load_iris(return_X_y=True)
ORDER = np.random.default_rng(0).permutation(150)
X, Y = X[ORDER], Y[ORDER]


def logistic():
    return LogisticRegression(max_iter=500)


class Squares(Dataset):
    def __len__(self):
        return 50

    def __getitem__(self, i):
        return torch.full((2,), float(i))


class Memory(ClassifierMixin, BaseEstimator):
    """Only remembers its labels; takes any container."""

    def fit(self, X, y, **params):
        self.classes_, self.seen_ = np.unique(np.asarray(y)), (X, y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def rows_of(X):
    """A list of comparable rows, whatever the container."""
    if X is None:
        return []
    if isinstance(X, dict):
        return list(zip(*(rows_of(X[key]) for key in sorted(X))))
    if sp.issparse(X):
        X = X.toarray()
    if isinstance(X, Dataset):
        X = [X[i] for i in range(len(X))]
    if isinstance(X, (pd.DataFrame, pd.Series)):
        X = X.to_numpy()
    return [np.asarray(row).tolist() for row in X]


A, B = X[:40].round(1), Y[:40]
CONTAINERS = {
    "array": (A, B),
    "float32": (A.astype(np.float32), B),
    "frame": (pd.DataFrame(A, columns=list("abcd"), index=[f"r{i}" for i in range(40)]), pd.Series(B)),
    "csr": (sp.csr_matrix(A), B),
    "csc array": (sp.csc_array(A), B),
    "tensor": (torch.from_numpy(A), torch.from_numpy(B)),
    "list": (A.tolist(), [str(label) for label in B]),
    "dict": ({"one": A[:, :2], "two": torch.from_numpy(A[:, 2:])}, B),
    "dataset": (Squares(), np.resize(B, 50)),
    "images": ([np.full((1, 2 + i % 3, 2), float(i)) for i in range(40)], B),
}
each_container = pytest.mark.parametrize("kind", CONTAINERS)


def part_of(kind, start, stop):
    """Rows of a container, by its own way of slicing."""

    def cut(whole):
        if isinstance(whole, dict):
            return {key: cut(value) for key, value in whole.items()}
        if isinstance(whole, Dataset):
            return Subset(whole, range(start, stop))
        return whole.iloc[start:stop] if hasattr(whole, "iloc") else whole[start:stop]

    return tuple(map(cut, CONTAINERS[kind]))


# -- the set -------------------------------------------------------------------------------------------------------


@each_container
@pytest.mark.parametrize("read", [True, False])
def test_lessons_are_stacked_in_the_container_of_the_first(kind, read):
    """Read after each lesson or at the end, and taken apart again."""
    sets = [LabeledSet(*part_of(kind, 0, 10))]
    for start in range(10, 34, 4):
        sets.append(sets[-1].with_lesson(*part_of(kind, start, start + 4), before=start))
        if read:
            assert len(rows_of(sets[-1].X)) == start + 4
    whole, labels = part_of(kind, 0, 34)
    assert len(sets[-1]) == 34
    assert rows_of(sets[-1].X) == rows_of(whole)
    assert rows_of(sets[-1].y) == rows_of(labels)
    assert isinstance(sets[-1].X, Dataset) or type(sets[-1].X) is type(whole)
    left = pickle.loads(pickle.dumps(sets[-1])) if kind != "dataset" else sets[-1]
    for n, kept in zip(range(30, 6, -4), sets[-2::-1]):
        left, before = left.without_last()
        assert before == n
        assert rows_of(left.X) == rows_of(part_of(kind, 0, n)[0]) == rows_of(kept.X)
        assert getattr(left.X, "dtype", None) == getattr(whole, "dtype", None)
    with pytest.raises(ValueError, match=r"There is nothing to undo: no lesson has been taught since the initial data"):
        left.without_last()


def test_an_empty_set_and_one_lesson_hand_out_what_they_were_given():
    assert (LabeledSet().X, LabeledSet().y, len(LabeledSet())) == (None, None, 0)
    assert LabeledSet(A, B).X is A and LabeledSet(A, B).y is B
    assert LabeledSet().with_lesson(A, B, before=1).X is A


def test_rows_are_saved_once():
    found = LabeledSet(A, B).with_lesson(A, B, before=1)
    size = len(pickle.dumps(found))
    assert len(found.X) == 80
    assert len(pickle.dumps(found)) == size
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).X, found.X)


def test_kinds_are_promoted_and_come_back():
    """A lesson of another kind widens the whole; undone, the old kind is back."""
    numbers = LabeledSet(np.arange(4).reshape(2, 2), np.array([0, 1]))
    wide = numbers.with_lesson(np.full((1, 2), 0.5), np.array([0.5]), before=True)
    assert wide.X.dtype == float
    assert wide.y.tolist() == [0, 1, 0.5]
    with pytest.raises(ValueError, match="New rows must hold numbers, as the labelled ones do"):
        numbers.with_lesson(np.ones((1, 2)), np.array(["cat"]), before=True)
    left, _ = wide.without_last()
    assert left.X.dtype.kind == left.y.dtype.kind == "i"


def test_what_does_not_fit_is_said_at_once_and_costs_the_new_rows_alone(monkeypatch):
    found = LabeledSet(A, B)
    with pytest.raises(ValueError, match="shape of the labelled ones"):
        found.with_lesson(A[:, :3], B)
    stacked = []
    real = module.stack_rows

    def counting(first, second):
        stacked.append(len(first) + len(second))
        return real(first, second)

    monkeypatch.setattr(module, "stack_rows", counting)
    for i in range(256):
        found = found.with_lesson(A[:1], B[:1], before=i)
    assert max(stacked) == 2
    stacked.clear()
    assert len(found.X) == 296
    # All rows once, and the new ones up to once for each doubling.
    assert sum(stacked) <= 296 + 256 * 8
    stacked.clear()
    assert found.X is found.X
    found.with_lesson(A[:2], B[:2], before=0).X  # noqa: B018
    assert stacked == [3, 298]


def test_copies_follow_their_rows():
    found = LabeledSet(A[:3], B[:3]).with_lesson(A[3:5], B[3:5], copies=-A[3:5], before=1)
    found = found.with_lesson(A[5:6], B[5:6], before=2).with_lesson(A[6:8], B[6:8], copies=-A[6:8], before=3)
    np.testing.assert_array_equal(found.copies, -A[[3, 4, 6, 7]])
    assert found.copied.tolist() == [3, 4, 6, 7]
    assert found.relabeled(4, 9).copied.tolist() == [3, 4, 6, 7]
    left = found.without_last()[0]
    assert left.copied.tolist() == [3, 4]
    np.testing.assert_array_equal(left.copies, -A[[3, 4]])
    # Set by hand: rows of the same number keep their copies, others cannot.
    other = found.with_columns(X=A[:8].astype(np.float32))
    assert other.copied.tolist() == [3, 4, 6, 7]
    assert other.with_columns(X=A[:7]).copies is None


@each_container
def test_relabel_in_every_container(kind):
    found = LabeledSet(*part_of(kind, 0, 10)).with_lesson(*part_of(kind, 10, 14), before=1)
    found.y  # noqa: B018
    label = "7" if kind == "list" else 7
    labels = rows_of(part_of(kind, 0, 14)[1])
    for position, y in ((12, label), ([1, 13, 11], [label] * 3), (np.array([5]), [label])):
        found = found.relabeled(position, y)
        for i in np.atleast_1d(position):
            labels[i] = label
    assert rows_of(found.y) == labels
    assert type(found.y) is type(part_of(kind, 0, 14)[1])
    assert rows_of(found.without_last()[0].y) == labels[:10]


@pytest.mark.parametrize("bad", [14, -1, [0, 0], [], 0.5, True, "a", [[0]], None])
def test_positions_that_do_not_exist(bad):
    found = LabeledSet(A[:14], B[:14])
    with pytest.raises(ValueError, match=r"relabel needs one or several different positions among the 14 labelled"):
        found.relabeled(bad, 1)


@pytest.mark.parametrize(("position", "y", "n"), [([0, 1], [1], 1), ([0, 1], [0, 1, 2], 3), (3, [1, 2], 2)])
def test_labels_of_another_number(position, y, n):
    message = rf"relabel needs one label for each of {np.size(position)} positions. Got {n} instead"
    with pytest.raises(ValueError, match=message):
        LabeledSet(A, B).relabeled(position, y)


# -- labels as people type them ------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [list, np.array, pd.Series])
def test_typed_labels_take_the_index_of_their_rows(typed):
    names = [f"row-{i}" for i in range(40)]
    frame, truth = pd.DataFrame(A, columns=list("abcd"), index=names), pd.Series(B, index=names, name="kind")
    learner = ActiveLearner(logistic(), MarginSampling(), frame.iloc[:20], truth.iloc[:20])
    for start in (20, 23):
        new = frame.iloc[start : start + 3]
        labels = truth[new.index]
        learner.teach(new, labels if typed is pd.Series else typed(labels.tolist()))
    pd.testing.assert_series_equal(learner.y_training, truth.iloc[:26])
    learner.relabel([0, 24], [2, 2])
    truth.iloc[[0, 24]] = 2
    pd.testing.assert_series_equal(learner.y_training, truth.iloc[:26])
    assert learner.undo().y_training.index.tolist() == names[:23]


@pytest.mark.parametrize("label", [1, np.int64(1), np.array(1), 1.0, torch.tensor(1), "bee"])
def test_a_label_without_a_list_is_an_error(label):
    """It may have been meant for one sample of several, and a word of three letters is no list of three labels."""
    learner = ActiveLearner(logistic(), X_training=X[:30], y_training=Y[:30])
    for rows in (X[30:31], X[30:33]):
        message = rf"y must hold one label for each of {len(rows)} samples. Got the label .* alone: put it into a list"
        with pytest.raises(ValueError, match=message):
            learner.teach(rows, label)
        with pytest.raises(ValueError, match=message):
            learner.fit(rows, label)
    assert len(learner.X_training) == 30


def test_one_position_takes_one_label():
    names = np.array(["ant", "bee", "cow"])[Y]
    learner = ActiveLearner(logistic(), X_training=X[:30], y_training=names[:30])
    learner.relabel(0, "antelope")
    assert learner.y_training[0] == "antelope"


# -- undo and relabel in the learner -------------------------------------------------------------------------------


def state(learner):
    return (
        rows_of(learner.X_training),
        rows_of(learner.y_training),
        learner.round,
        np.round(learner.predict_proba(X), 12).tolist(),
    )


def test_undo_after_k_lessons_goes_back_state_by_state():
    learner = ActiveLearner(logistic(), MarginSampling(random_state=0), X[:20], Y[:20])
    pool, states, picks = np.arange(20, 150), [], []
    for _ in range(4):
        states.append(state(learner))
        idx, rows = learner.query(X[pool], n_instances=3)
        picks.append(pool[idx])
        learner.teach(rows, Y[pool[idx]])
        pool = np.delete(pool, idx)
    assert learner.round == 4
    for expected, picked in zip(states[::-1], picks[::-1]):
        assert learner.undo() is learner
        assert state(learner) == expected
        pool = np.sort(np.concatenate([pool, picked]))
        # The query stands as it was asked: it may be answered, and then counts.
        np.testing.assert_array_equal(np.sort(pool[learner.query(X[pool], n_instances=3)[0]]), np.sort(picked))
    with pytest.raises(ValueError, match="nothing to undo"):
        learner.undo()
    assert state(learner) == states[0]
    learner.teach(X[20:23], Y[20:23])
    assert learner.round == 1


@pytest.mark.parametrize("seed", range(6))
def test_random_sequences_equal_lists_taught_anew(seed):
    """teach, undo, relabel, pickle, against plain lists and an estimator fitted on them from nothing."""
    rng = random.Random(seed)
    learner = ActiveLearner(GaussianNB(), MarginSampling(random_state=0), X[:20], Y[:20])
    start, lessons = list(zip(X[:20].tolist(), Y[:20].tolist())), []
    for _ in range(25):
        verb = rng.choice(["teach", "teach", "undo", "relabel", "pickle", "query", "fail"])
        if verb == "teach":
            idx = rng.sample(range(20, 150), rng.randint(1, 4))
            learner.teach(X[idx], Y[idx] if rng.random() < 0.5 else Y[idx].tolist())
            lessons.append(list(zip(X[idx].tolist(), Y[idx].tolist())))
        elif verb == "undo" and lessons:
            learner.undo()
            lessons.pop()
        elif verb == "relabel":
            flat = [start, *lessons]
            places = [(part, i) for part in flat for i in range(len(part))]
            chosen = rng.sample(range(len(places)), min(len(places), rng.randint(1, 3)))
            labels = [rng.randint(0, 2) for _ in chosen]
            learner.relabel(chosen, labels)
            for position, label in zip(chosen, labels):
                part, i = places[position]
                part[i] = (part[i][0], label)
        elif verb == "pickle":
            learner = pickle.loads(pickle.dumps(learner))
        elif verb == "query":
            learner.query(X, n_instances=2)
        elif verb == "fail":
            with pytest.raises(ValueError):
                learner.teach(np.ones((2, 3)), [0, 1])
            with pytest.raises(ValueError):
                learner.relabel(1000, 1)
        rows = [row for part in [start, *lessons] for row in part]
        assert learner.X_training.tolist() == [x for x, _ in rows]
        assert learner.y_training.tolist() == [label for _, label in rows]
        reference = GaussianNB().fit([x for x, _ in rows], [label for _, label in rows])
        np.testing.assert_allclose(learner.predict_proba(X), reference.predict_proba(X), atol=1e-9)


@each_container
def test_the_learner_in_every_container(kind):
    learner = ActiveLearner(Memory(), RandomSampling(random_state=0), *part_of(kind, 0, 10), force_all_finite=False)
    for start in (10, 14):
        learner.teach(*part_of(kind, start, start + 4))
    learner.relabel(11, "0" if kind == "list" else 0)
    learner.undo()
    assert rows_of(learner.X_training) == rows_of(part_of(kind, 0, 14)[0])
    seen_X, seen_y = learner.estimator.seen_
    assert rows_of(seen_X) == rows_of(learner.X_training)
    assert rows_of(seen_y) == rows_of(learner.y_training)


def test_undo_of_the_first_lesson_leaves_the_estimator_as_it_was():
    learner = ActiveLearner(make_pipeline(StandardScaler(), logistic()), RandomSampling(random_state=0))
    estimator = learner.estimator
    learner.query(X, n_instances=5)
    learner.teach(X[:30], Y[:30])
    assert learner.round == 1
    learner = pickle.loads(pickle.dumps(learner))
    learner.undo()
    assert learner.X_training is None and learner.y_training is None and learner.round == 0
    assert not hasattr(learner.estimator[-1], "coef_") and not hasattr(learner.estimator[0], "mean_")
    assert type(learner.estimator) is type(estimator)
    learner.teach(X[:30], Y[:30])
    assert learner.round == 1

    fitted = logistic().fit(X[:100], Y[:100])
    proba = fitted.predict_proba(X)
    learner = ActiveLearner(fitted, MarginSampling())
    learner.teach(X[:20], Y[:20])
    learner.undo()
    assert learner.estimator is fitted
    np.testing.assert_array_equal(fitted.predict_proba(X), proba)

    learner.teach(X[:20], Y[:20])
    learner.estimator = GaussianNB().fit(X[:50], Y[:50])
    learner.undo()
    assert isinstance(learner.estimator, GaussianNB) and not hasattr(learner.estimator, "theta_")


def test_fit_and_assignment_begin_anew():
    learner = ActiveLearner(logistic(), X_training=X[:20], y_training=Y[:20])
    learner.teach(X[20:25], Y[20:25])
    learner.fit(X[:30], Y[:30])
    with pytest.raises(ValueError, match="nothing to undo"):
        learner.undo()
    learner.teach(X[30:35], Y[30:35])
    # As modAL's own code and its users do.
    learner.X_training, learner.y_training = X[:50], Y[:50]
    assert learner.X_training is not None and len(learner.X_training) == len(learner.y_training) == 50
    with pytest.raises(ValueError, match="nothing to undo"):
        learner.undo()
    learner.teach(X[50:52], Y[50:52])
    assert len(learner.undo().X_training) == 50
    learner.X_training = learner.y_training = None
    assert learner.X_training is None


def test_keywords_reach_the_fit():
    learner = ActiveLearner(logistic(), X_training=X[:20], y_training=Y[:20], random_state=0)
    weight = np.linspace(0.1, 3, 25)
    learner.teach(X[20:25], Y[20:25], sample_weight=weight)
    learner.relabel(3, 0, sample_weight=weight)
    y = np.concatenate([Y[:3], [0], Y[4:25]])
    expected = logistic().fit(X[:25], y, sample_weight=weight)
    np.testing.assert_allclose(learner.predict_proba(X), expected.predict_proba(X))
    learner.undo(sample_weight=weight[:20])
    expected = logistic().fit(X[:20], y[:20], sample_weight=weight[:20])
    np.testing.assert_allclose(learner.predict_proba(X), expected.predict_proba(X))
    learner.teach(X[20:25], Y[20:25])
    learner.undo(bootstrap=True)
    assert not np.allclose(learner.predict_proba(X), logistic().fit(X[:20], y[:20]).predict_proba(X))


def test_protocol():
    learner = ActiveLearner(logistic(), MarginSampling(), X[:20], Y[:20])
    learner.teach(X[20:25], Y[20:25])
    params = learner.get_params()
    np.testing.assert_array_equal(params["X_training"], X[:25])
    np.testing.assert_array_equal(params["y_training"], Y[:25])
    assert "array" not in repr(learner) and len(learner.X_training) == 25
    assert clone(learner).X_training is None
    with pytest.raises(ValueError, match="nothing to undo"):
        clone(learner).undo()
    learner.set_params(X_training=X[:30], y_training=Y[:30])
    assert len(learner.X_training) == 30


def test_modals_committee_and_strategies():
    members = [ActiveLearner(m, modal_margin_sampling, X[:20], Y[:20]) for m in (logistic(), GaussianNB())]
    committee = Committee(members)
    idx, rows = committee.query(X[20:], n_instances=2)
    committee.teach(rows, Y[20:][idx])
    assert len(members[0].X_training) == 22
    members[0].query(X[20:])
    members[0].undo()
    assert len(members[0].X_training) == 20 and len(members[1].X_training) == 22


def test_a_run_of_bal_follows():
    """An undone round is asked for again, and its samples are known when they are back in the pool."""
    learner = ActiveLearner(logistic(), BAL(n_clusters=3, n_rounds=5, random_state=0))
    pool = np.arange(150)
    asked = []
    for _ in range(3):
        idx, rows = learner.query(X[pool], n_instances=6)
        asked.append(pool[idx])
        learner.teach(rows, Y[pool[idx]])
        pool = np.delete(pool, idx)
    for picked in asked[:0:-1]:
        learner.undo()
        pool = np.sort(np.concatenate([pool, picked]))
        again = pool[learner.query(X[pool], n_instances=6)[0]]
        np.testing.assert_array_equal(np.sort(again), np.sort(picked))


# -- nothing is changed by what fails ------------------------------------------------------------------------------


class Fragile(LogisticRegression):
    error = None

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        if Fragile.error is not None:
            self.coef_ += 1
            raise Fragile.error
        return self


@pytest.mark.parametrize("verb", ["undo", "relabel", "teach", "fit"])
@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_a_failed_training_leaves_all_as_it_was(verb, error, monkeypatch):
    union = FeatureUnion([("scaled", StandardScaler()), ("again", StandardScaler())])
    learner = ActiveLearner(make_pipeline(union, Fragile(max_iter=500)), MarginSampling(), X[:20], Y[:20])
    learner.query(X)
    learner.teach(X[20:25], Y[20:25])
    learner.query(X)
    before, own, parts = state(learner), dict(vars(learner)), list(learner.estimator)
    monkeypatch.setattr(Fragile, "error", error)
    calls = {
        "undo": learner.undo,
        "relabel": lambda: learner.relabel(0, 2),
        "teach": lambda: learner.teach(X[25:], Y[25:]),
        "fit": lambda: learner.fit(X[25:], Y[25:]),
    }
    with pytest.raises(type(error)):
        calls[verb]()
    assert state(learner) == before
    assert vars(learner) == own
    assert list(learner.estimator) == parts
    monkeypatch.undo()
    assert state(learner.undo())[2] == 0


class InPlace(SGDClassifier):
    """Goes on from its weights, in place; or fails when all is done."""

    fail = False

    def fit(self, X, y):
        self.partial_fit(X, y, classes=[0, 1, 2])
        if InPlace.fail:
            raise OSError("No space left on device")
        return self


def test_an_estimator_that_goes_on_in_place(monkeypatch):
    model = make_pipeline(StandardScaler(), InPlace(loss="log_loss", random_state=np.random.RandomState(0)))
    learner = ActiveLearner(model, MarginSampling(), X[:20], Y[:20])
    before, drawn = state(learner), model[-1].random_state.get_state()[1].copy()
    monkeypatch.setattr(InPlace, "fail", True)
    with pytest.raises(OSError):
        learner.teach(X[20:40], Y[20:40])
    assert state(learner) == before
    np.testing.assert_array_equal(model[-1].random_state.get_state()[1], drawn)


def test_the_generator_of_bootstraps():
    learner = ActiveLearner(Fragile(max_iter=500), MarginSampling(), X[:20], Y[:20])
    learner.random_state = np.random.RandomState(3)
    with pytest.raises(TypeError):
        learner.teach(X[20:25], Y[20:25], bootstrap=True, unknown=1)
    assert learner.random_state.randint(1000) == np.random.RandomState(3).randint(1000)


def test_relabel_to_something_that_is_no_label():
    learner = ActiveLearner(logistic(), X_training=X[:20], y_training=Y[:20].astype(float))
    before = state(learner)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            learner.relabel(0, bad)
    assert state(learner) == before
