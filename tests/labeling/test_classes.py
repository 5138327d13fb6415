"""The classes of a session: added in the middle of a job, dropped, brought back, and never other than the labels."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from skal.cli import main
from skal.exceptions import JournalError
from skal.labeling import LabelingSession, LabelJournal
from skal.learners import ActiveLearner
from skal.strategies import MarginSampling

X = np.random.default_rng(0).normal(size=(60, 4))
OLD, LONG = [0, 1, 2], [0, 1, 2, 7]


def learner(*data, **params):
    return ActiveLearner(LogisticRegression(), MarginSampling(), *data, cold_start="random", random_state=0, **params)


@pytest.fixture
def path(tmp_path):
    """A journal of three classes, each of which has a label."""
    path = tmp_path / "labels.jsonl"
    with LabelingSession(learner(), X, journal=path, classes=OLD) as session:
        session.label([10, 11, 12], OLD)
    return path


def resumed(path):
    return LabelingSession.resume(path, learner(), X)


def in_journal(path):
    with LabelJournal(path) as journal:
        return journal.settings["classes"]


def opened(path):
    """The lists of classes in the lines of a journal, in their order."""
    events = map(json.loads, path.read_text().splitlines())
    return [event["classes"] for event in events if event["event"] == "open" and "classes" in event]


@pytest.mark.parametrize(
    "add",
    [
        lambda path: LabelingSession.resume(path, learner(classes=LONG), X),
        lambda path: LabelingSession.resume(path, learner(classes=np.array(LONG)), X),
        lambda path: LabelingSession.resume(path, learner(), X, classes=LONG),
        lambda path: LabelingSession.resume(path, learner(classes=LONG), X, classes=LONG),
        lambda path: LabelingSession.resume(path, learner(classes=LONG), X, classes=LONG[::-1]),
    ],
)
def test_a_longer_list_is_taken_over_and_journalled(path, add):
    with add(path) as session:
        assert sorted(session.classes) == LONG
        session.label(session.query(1), [7])
        session.query(1)  # trained on it
        assert 7 in session.learner.classes_
    with resumed(path) as session:  # nobody says it again
        assert sorted(session.classes) == LONG
        assert list(session.labels_.values()) == [0, 1, 2, 7]
        with pytest.raises(ValueError, match="among the classes"):
            session.label(30, 8)
    assert len(opened(path)) == 2


@pytest.mark.parametrize("classes", [OLD, OLD[::-1], [0.0, 1.0, 2.0], np.array(OLD), pd.Series(OLD)])
def test_the_same_list_writes_nothing(path, classes):
    before = path.read_bytes()
    with LabelingSession.resume(path, learner(), X, classes=classes) as session:
        assert session.classes == OLD
    LabelingSession.resume(path, ActiveLearner(LogisticRegression(), classes=classes), X).close()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("classes", "of_learner", "message"),
    [
        ([0, 1], None, r"must hold all classes of the journal '.*labels.jsonl', and may hold more. 2 is missing"),
        (
            None,
            [0, 1],
            r"must hold all classes of the journal .* 2 is missing; without any, those of the journal count",
        ),
        ([0, 1, 3, 4], None, "2 is missing"),
        (["0", "1", "2"], None, "0 is missing"),
        ([0, 1, 2, "3"], None, "must list labels of one kind"),
        ([0, 1, 2, 2], None, "list different labels"),
        ([], None, "list different labels"),
        (
            LONG,
            OLD,
            "The 'classes' parameter of LabelingSession, beside the learner's list, must hold .* Got 7; did you mean",
        ),
        (OLD, LONG, "beside the learner's list, must be the same. 7 is the learner's alone"),
    ],
)
def test_lists_that_do_not_go_together(path, classes, of_learner, message):
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        LabelingSession.resume(path, learner(classes=of_learner), X, classes=classes)
    assert path.read_bytes() == before
    resumed(path).close()  # which was released


def test_two_lists_from_the_beginning(tmp_path):
    for classes, of_learner in ((OLD, LONG), (LONG, OLD)):
        with pytest.raises(ValueError, match="'classes' parameter of LabelingSession"):
            LabelingSession(learner(classes=of_learner), X, journal=tmp_path / "x", classes=classes)
    assert not (tmp_path / "x").exists()


def test_what_the_learner_has_of_its_own_counts(path):
    own = X[:4], np.array([0, 1, 2, 9])
    with pytest.raises(ValueError, match="y_training of the learner must hold labels among"):
        LabelingSession.resume(path, learner(*own), X, classes=LONG)
    assert opened(path) == [OLD]
    with LabelingSession.resume(path, learner(*own), X, classes=[*OLD, 9]) as session:
        with pytest.raises(ValueError, match="y_training of the learner must hold labels among"):
            session.classes = LONG
        assert session.classes == [*OLD, 9]


def test_a_list_where_there_was_none(tmp_path):
    path = tmp_path / "labels.jsonl"
    with LabelingSession(learner(), X, journal=path) as session:
        session.label([0, 1], ["a", "b"])
        assert session.classes is None
    with pytest.raises(ValueError, match=r"classes must hold all labels that were given. 'b', of 1, is missing"):
        LabelingSession.resume(path, learner(), X, classes=["a", "c"])
    with LabelingSession.resume(path, learner(), X, classes=["a", "b", "c"]) as session:
        session.label(2, "c")
        with pytest.raises(ValueError, match="did you mean 'c'"):
            session.label(3, "C ")
    assert in_journal(path) == ["a", "b", "c"]


# -- by hand -------------------------------------------------------------------------------------------------------


def test_set_by_hand(path):
    with resumed(path) as session:
        session.classes = range(4)
        session.label(20, 3)
        session.classes = [0, 1, 2, 3]  # as before
        session.classes.append(9)  # of a copy
        assert session.classes == [0, 1, 2, 3]
        assert session.learner.classes is None
    with resumed(path) as session:
        assert session.classes == [0, 1, 2, 3]
        assert session.labels_[20] == 3
    assert opened(path) == [OLD, [0, 1, 2, 3]]


def test_set_by_hand_is_set_for_the_learner(path):
    with LabelingSession.resume(path, learner(classes=OLD), X) as session:
        session.classes = LONG
        session.label(20, 7)
        session.query(1)
        assert list(session.learner.classes) == LONG
        assert 7 in session.learner.classes_


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([0, 1], "classes must hold all labels that were given. 2, of 12, is missing"),
        (["0", "1", "2"], "classes must hold all labels that were given. 0, of 10, is missing"),
        ([0, 1, 2, True], "must list labels of one kind"),
        (None, "list different labels"),
        ("012", "list different labels"),
    ],
)
def test_a_list_that_cannot_be_set(path, classes, message):
    with LabelingSession.resume(path, learner(classes=OLD), X) as session:
        before = path.read_bytes()
        with pytest.raises(ValueError, match=message):
            session.classes = classes
        assert session.classes == list(session.learner.classes) == OLD
        assert path.read_bytes() == before


def test_a_closed_session_keeps_its_list(path):
    session = LabelingSession.resume(path, learner(classes=OLD), X)
    session.close()
    with pytest.raises(JournalError, match="is closed"):
        session.classes = LONG
    assert session.classes == list(session.learner.classes) == OLD


def test_undo_leaves_the_list_and_takes_back_answers_alone(path):
    with LabelingSession.resume(path, learner(), X, classes=LONG) as session:
        session.label(20, 7)
        assert session.undo(2) == [20, 12]
        assert session.classes == LONG
    assert in_journal(path) == LONG


@pytest.mark.parametrize("of_learner", [None, OLD])
def test_a_class_that_was_dropped_comes_back_with_its_label(path, of_learner):
    with LabelingSession.resume(path, learner(classes=of_learner), X) as session:
        session.relabel(12, 1)
        session.classes = [0, 1]
        assert session.undo() == [12]
        assert session.labels_[12] == 2
        assert session.classes == [0, 1, 2]
        session.query(1)
    assert in_journal(path) == [0, 1, 2]


def test_a_dropped_class_is_refused(path):
    with resumed(path) as session:
        session.undo()
        session.classes = [0, 1]
        with pytest.raises(
            ValueError, match="among the classes 0, 1. Got 2; did you mean 1.* To add a class: session.cl"
        ):
            session.label(12, 2)


def test_classes_of_boxes(tmp_path):
    path = tmp_path / "labels.jsonl"

    def box(label):
        return {"boxes": [[0, 0, 1, 1]], "labels": [label]}

    with LabelingSession(learner(), X, journal=path, classes=["car"]) as session:
        session.label(0, box("car"))
        with pytest.raises(ValueError, match="'car', of 0, is missing"):
            session.classes = ["bus"]
        session.classes = ["car", "bus"]
        session.label(1, box("bus"))
    with resumed(path) as session:
        assert session.classes == ["car", "bus"]


# -- what the disk says ----------------------------------------------------------------------------------------------


def test_killed_at_any_byte_of_the_new_list(path):
    before = path.read_bytes()
    with LabelingSession.resume(path, learner(), X, classes=LONG) as session:
        session.label(20, 7)
    after = path.read_bytes()
    line = after[len(before) :].index(b"\n") + 1
    for cut in range(0, len(after) - len(before) + 1, 7):
        path.write_bytes(after[: len(before) + cut])
        with warnings.catch_warnings(record=True), resumed(path) as session:
            warnings.simplefilter("always")
            assert session.classes == (LONG if cut >= line - 1 else OLD)
            assert set(session.labels_.values()) <= set(session.classes)
        with warnings.catch_warnings(), LabelingSession.resume(path, learner(), X, classes=LONG) as session:
            assert session.classes == LONG
    path.with_name("labels.jsonl.damaged").unlink()


def test_a_disk_that_does_not_take_it(path, monkeypatch):
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with resumed(path) as session:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(JournalError, match="No space left"):
                session.classes = LONG
        assert session.classes == OLD
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JournalError, match="No space left"):
        LabelingSession.resume(path, learner(), X, classes=LONG)
    monkeypatch.undo()
    assert path.read_bytes() == before
    resumed(path).close()


def test_an_older_record_whose_labels_have_outgrown_its_list(path):
    with LabelJournal(path) as journal:
        journal.label(20, 7)  # as a session did whose list was lengthened without a line
    with pytest.warns(UserWarning, match="has labels that are none of its classes, 7 of 20 for one. They are classes"):
        session = resumed(path)
    with session:
        assert session.classes == LONG
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed(path).close()
    assert opened(path) == [OLD, LONG]


def test_an_older_record_with_a_list_that_holds_its_labels(path):
    with LabelJournal(path) as journal:
        journal.label(20, 7)
    with pytest.raises(ValueError, match="7, of 20, is missing"):
        LabelingSession.resume(path, learner(), X, classes=[*OLD, 8])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LabelingSession.resume(path, learner(), X, classes=[*LONG, 8]).close()
    assert in_journal(path) == [*LONG, 8]


# -- by commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(X, columns=list("abcd")).to_csv("t.csv", index=False)
    assert main(["start", "t.csv", "--classes", "cat,dog"]) == 0
    Path("one.csv").write_text("skal_id,label\n0,cat\n1,dog\n")
    assert main(["teach", "one.csv"]) == 0
    return Path("skal.toml")


def edit(project, classes):
    lines = project.read_text().splitlines()
    lines = [f"classes = {json.dumps(classes)}" if line.startswith("classes") else line for line in lines]
    project.write_text("\n".join(lines))


def test_the_commands_take_a_new_class_of_skal_toml(project, capsys):
    Path("two.csv").write_text("skal_id,label\n2,cow\n")
    assert main(["teach", "two.csv"]) == 2
    assert "a new class is to be added in skal.toml" in capsys.readouterr().err
    edit(project, ["cat", "dog", "cow"])
    assert main(["teach", "two.csv"]) == 0
    assert in_journal(Path("labels.jsonl")) == ["cat", "dog", "cow"]
    assert main(["query", "-n", "3"]) == 0
    assert main(["status"]) == 0
    assert "cow       1" in capsys.readouterr().out
    assert main(["undo"]) == 0
    assert in_journal(Path("labels.jsonl")) == ["cat", "dog", "cow"]


def test_the_commands_refuse_to_drop_a_class_that_is_in_use(project, capsys):
    edit(project, ["cat", "cow"])
    for command in (["query"], ["status"], ["undo"], ["teach", "one.csv"]):
        assert main(command) == 2
        assert "must hold all labels that were given. 'dog', of 1, is missing" in capsys.readouterr().err
    edit(project, ["cat", "dog", "cow"])
    assert main(["status"]) == 0
    edit(project, ["cat", "dog"])  # nobody has given the new one
    assert main(["status"]) == 0
    assert in_journal(Path("labels.jsonl")) == ["cat", "dog"]


def test_a_session_goes_on_where_the_commands_were(project, capsys):
    edit(project, ["cat", "dog", "cow"])
    assert main(["status"]) == 0
    with LabelingSession.resume("labels.jsonl", learner(), X) as session:
        assert session.classes == ["cat", "dog", "cow"]
        session.label(5, "cow")
        session.classes = ["cat", "dog", "cow", "hen"]
        session.label(6, "hen")
    assert main(["status"]) == 2
    assert "'hen', of 6, is missing" in capsys.readouterr().err
    edit(project, ["cat", "dog", "cow", "hen"])
    assert main(["status"]) == 0
