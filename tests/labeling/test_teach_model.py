"""`skal teach` trains: the model that it keeps, when it trains, and what an interruption leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from skal.cli import main
from skal.labeling import LabelJournal
from skal.labeling._features import fitted_features
from skal.labeling._project import Project
from skal.labeling._sources import load_source

OWN = """
import pathlib, time
from sklearn.linear_model import LogisticRegression

class Model(LogisticRegression):
    def fit(self, X, y):
        {fit}
        return super().fit(X, y)
    def __getstate__(self):
        {state}
        return super().__getstate__()
"""


def skal(*words):
    return main([str(word) for word in words])


def table(n=60):
    kind = np.arange(n) % 3 == 0
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": np.where(np.arange(n) == 7, np.nan, rng.normal(size=n) + 2 * kind),
            "colour": np.where(rng.random(n) < 0.8, np.where(kind, "red", "blue"), "grey"),
            "says": [f"{'a cat on the mat' if each else 'trains leave at night'} {i}" for i, each in enumerate(kind)],
            "same": 1,
            "truth": np.where(kind, "cat", "dog"),
        }
    )


@pytest.fixture
def project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table().to_csv("data.csv", index=False)
    assert skal("start", "data.csv", "--classes", "cat,dog", "--drop", "truth") == 0
    capsys.readouterr()
    return tmp_path


def answer(rows, name="answers.csv"):
    truth = table()["truth"]
    Path(name).write_text("\n".join(["skal_id,label", *(f"{i},{truth[i]}" for i in rows)]))
    return name


def own_model(fit="pass", state="pass"):
    """A model of the user's own: statements that it runs as it is fitted, and as it is pickled."""
    Path("own.py").write_text(OWN.format(fit=fit, state=state))
    text = Path("skal.toml").read_text()
    if "own:Model" not in text:
        text = text.replace('name = "LogisticRegression"\nmax_iter = 1000', 'name = "own:Model"')
        Path("skal.toml").write_text(text)
    sys.modules.pop("own", None)


def labels():
    with LabelJournal("labels.jsonl") as journal:
        return journal.labels()


def files():
    """What there is of a model, to tell whether it has changed."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path().glob("*model.*")}


# -- the model -------------------------------------------------------------------------------------------------------


def test_a_table_is_classified_as_it_is(project):
    assert skal("teach", answer(range(40))) == 0
    model = joblib.load("model.joblib")
    assert list(model.classes_) == ["cat", "dog"]
    # By hand: a logistic regression on the project's features.
    X, _ = fitted_features(Project(Path()), load_source(Project(Path())))
    expected = LogisticRegression(max_iter=1000, random_state=0).fit(X[:40], table()["truth"][:40])
    np.testing.assert_array_equal(model[-1].coef_, expected.coef_)
    np.testing.assert_allclose(model.predict_proba(table()), expected.predict_proba(X), atol=1e-5)
    # Other rows: unknown categories, missing values, other columns beside, another order.
    other = pd.DataFrame(
        {"more": "x", "says": ["trains leave", None], "colour": ["blue", "pink"], "size": [np.nan, "2"]}
    )
    assert model.predict(other)[0] == "dog" and np.isfinite(model.predict_proba(other)).all()
    with pytest.raises(ValueError, match="X must have the columns of the project. It lacks 'colour'"):
        model.predict(other.drop(columns="colour"))
    with pytest.raises(TypeError, match="X must be a data frame of pandas, .* Got ndarray"):
        model.predict(np.zeros((2, 3)))


def test_times_and_numbers_are_what_they_were():
    from skal.labeling._table_features import TableFeatures

    days = pd.date_range("2024-01-01", periods=9)
    frame = pd.DataFrame({"day": days, "n": range(9), "flag": [True, False, True] * 3})
    features = TableFeatures()
    X = features.fit_transform(frame)
    np.testing.assert_allclose(features.transform(frame), X, atol=1e-6)
    part = frame[3:5].assign(day=frame["day"][3:5].astype(str), n=["3", "4"])  # as a CSV has them
    np.testing.assert_allclose(features.transform(part), X[3:5], atol=1e-6)
    np.testing.assert_allclose(TableFeatures().fit(frame).transform(frame), X, atol=1e-6)


def test_texts_are_classified_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("data.csv", index=False)
    assert skal("start", "data.csv", "--classes", "cat,dog", "--text", "says") == 0
    assert skal("teach", answer(range(20))) == 0
    assert joblib.load("model.joblib").predict(["the mat of a cat", "at night trains"]).tolist() == ["cat", "dog"]


@pytest.mark.parametrize("backbone", [False, True])
def test_images_are_classified_by_their_paths(tmp_path, monkeypatch, backbone):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 120, size=(40, 40, 3), dtype=np.uint8)
        pixels[..., 0 if i % 2 else 2] += 120
        Image.fromarray(pixels).save(f"photos/{i}.png")
    words = ["start", "photos", "--classes", "red,blue", "--project", "work"]
    if backbone:
        import torch
        import torchvision

        torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), "weights.pth")
        words += ["--backbone", "squeezenet1_1", "--weights", "weights.pth"]
    assert skal(*words) == 0
    if backbone:
        Path("work/skal.toml").write_text(Path("work/skal.toml").read_text() + "size = 64\n")
    Path("a.csv").write_text("skal_id,label\n" + "".join(f"{i}.png,{'red' if i % 2 else 'blue'}\n" for i in range(8)))
    assert skal("teach", "a.csv", "--project", "work") == 0
    model = joblib.load("work/model.joblib")
    found = model.predict_proba([f"photos/{i}.png" for i in range(12)])
    X, _ = fitted_features(Project(Path("work")), load_source(Project(Path("work"))))
    order = [load_source(Project(Path("work"))).position(f"{i}.png") for i in range(12)]
    np.testing.assert_allclose(found, model[-1].predict_proba(X[order]), atol=1e-5)
    if not backbone:
        assert model.predict(["photos/10.png", Path("photos/11.png")]).tolist() == ["blue", "red"]
    with pytest.raises(ValueError, match="X must hold at least one path of an image. Got none."):
        model.predict([])


def test_it_is_the_model_that_the_next_query_trains(project):
    skal("teach", answer(range(30)))
    model = joblib.load("model.joblib")[-1]
    skal("query", "-n", 4)
    tasks = pd.read_csv("batches/0001/tasks.csv")
    X, _ = fitted_features(Project(Path()), load_source(Project(Path())))
    proba = model.predict_proba(X[tasks["skal_id"]])
    assert tasks["suggestion"].tolist() == model.classes_[proba.argmax(axis=1)].tolist()
    assert tasks["probability"].tolist() == [float(f"{p:.4g}") for p in proba.max(axis=1)]
    # The margins of the model that was kept are those that chose.
    margins = np.sort(np.abs(np.diff(model.predict_proba(X[30:]), axis=1)).ravel())[:4]
    np.testing.assert_allclose(np.abs(np.diff(proba, axis=1)).ravel(), margins)


# -- what it says ----------------------------------------------------------------------------------------------------


def test_it_says_how_good_the_model_is_and_was(project, capsys):
    skal("teach", answer(range(6)))
    out = capsys.readouterr().out
    assert "model.joblib is trained on 6 labels; accuracy cannot be estimated yet: it takes 10 labels" in out
    skal("teach", answer(range(20)))
    first = capsys.readouterr().out
    skal("teach", answer(range(40)))
    second = capsys.readouterr().out
    skal("status")
    status = capsys.readouterr().out
    about = json.loads(Path("model.json").read_text())
    now = f"accuracy {about['accuracy']:.3f}, 95 % interval {about['low']:.3f} to {about['high']:.3f}"
    assert f"model.joblib is trained on 40 labels: {now}; it was " in second and "with 20." in second
    assert "; it was" not in first and f"A{now[1:]}, by cross-validation" in status
    assert "model.joblib, trained on 40 labels, is up to date.\n" in status


def test_it_trains_only_where_that_gives_another_model(project, capsys):
    skal("teach", answer([0, 3, 6]))
    assert "No model yet: it takes labels of two classes." in capsys.readouterr().out and files() == {}
    skal("teach", answer(range(20)), "--no-train")
    assert "model" not in capsys.readouterr().out and files() == {}
    skal("teach", answer(range(20)))
    assert "0 new" in (out := capsys.readouterr().out) and "is trained on 20 labels" in out
    before = files()
    skal("teach", answer(range(20)))
    assert "model.joblib is up to date." in capsys.readouterr().out and files() == before

    def trains_anew(after):
        skal("teach", answer(range(20)))
        found = "is trained on" in capsys.readouterr().out
        assert found == (files() != before), after
        return found

    text = Path("skal.toml").read_text()
    Path("skal.toml").write_text(text.replace('"MarginSampling"', '"RandomSampling"'))
    assert not trains_anew("another strategy")
    Path("skal.toml").write_text(text.replace("max_iter = 1000", "max_iter = 900"))
    skal("status")
    assert "model.joblib, trained on 20 labels, is out of date; the next skal teach" in capsys.readouterr().out
    assert trains_anew("another parameter")
    Path("skal.toml").write_text(text)
    assert trains_anew("the first settings")
    table(61).to_csv("data.csv", index=False)
    assert trains_anew("other data")
    skal("undo")
    capsys.readouterr()
    skal("teach", answer(range(19)))
    assert "is trained on 19 labels" in capsys.readouterr().out
    content = Path("model.joblib").read_bytes()
    for damage in (lambda path: path.write_bytes(content[:-5]), Path.unlink):
        damage(Path("model.joblib"))
        assert trains_anew("damage") and joblib.load("model.joblib").classes_.tolist() == ["cat", "dog"]
    for damage in ("[", "[]", "{}", '{"n_labels": 3, "accuracy": "x"}'):
        Path("model.json").write_text(damage)
        assert skal("status") == 0 and "model.joblib" not in capsys.readouterr().out
        assert trains_anew("a damaged note")


def test_a_changed_module_of_a_model_trains_anew(project, capsys):
    own_model()
    skal("teach", answer(range(20)))
    assert "is trained on 20" in capsys.readouterr().out
    skal("teach", answer(range(20)))
    assert "is up to date" in capsys.readouterr().out
    own_model(fit="self.C = 0.5")
    skal("teach", answer(range(20)))
    assert "is trained on 20" in capsys.readouterr().out


# -- one annotator ---------------------------------------------------------------------------------------------------


def test_by_takes_one_annotator_and_notes_the_name(project, capsys):
    tasks = [
        {
            "data": {"skal_id": i},
            "annotations": [
                {"completed_by": who, "result": [{"type": "choices", "value": {"choices": [label]}}]}
                for who, label in (({"id": 1, "email": "ann@example.org"}, "cat"), ({"id": 2}, "dog"))
            ],
        }
        for i in (4, 5)
    ]
    Path("export.json").write_text(json.dumps(tasks))
    assert skal("teach", "export.json") == 0
    assert "different answers to 2 of 2 samples" in capsys.readouterr().err and labels() == {}
    assert skal("teach", "export.json", "--by", "carl") == 2
    assert "no answer by 'carl'. Those who have answered are 1 = ann@example.org, 2" in capsys.readouterr().err
    assert skal("teach", "export.json", "--by", "ann@example.org") == 0
    assert capsys.readouterr().err == "" and labels() == {4: "cat", 5: "cat"}
    assert skal("teach", answer([6]), "--by", "carl") == 0
    with LabelJournal("labels.jsonl") as journal:
        assert journal.events()["by"].dropna().tolist() == ["ann@example.org"] * 2 + ["carl"]


# -- when it does not end well ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["fit", "state"])
def test_a_failing_training_is_one_line(project, capsys, where):
    skal("teach", answer(range(20)))
    before = files()
    own_model(**{where: "raise RuntimeError('no\\nway')"})
    capsys.readouterr()
    assert skal("teach", answer(range(22))) == 1
    out, err = capsys.readouterr()
    assert err == (
        "skal teach: all answers are kept, but model.joblib could not be trained anew. RuntimeError: no way\n"
    )
    assert "2 new" in out and "22 labels in all." in out and len(labels()) == 22 and files() == before
    own_model()
    assert skal("teach", answer(range(22))) == 0
    assert "is trained on 22 labels" in capsys.readouterr().out


def test_a_model_that_cannot_be_estimated_is_kept(project, capsys):
    text = Path("skal.toml").read_text()
    text = text.replace('"LogisticRegression"\nmax_iter = 1000', '"KNeighborsClassifier"\nn_neighbors = 19')
    Path("skal.toml").write_text(text)
    assert skal("teach", answer(range(20))) == 0
    out = capsys.readouterr().out
    assert "is trained on 20 labels; accuracy cannot be estimated: ValueError: Expected n_neighbors" in out
    assert len(joblib.load("model.joblib").predict(table())) == 60


def test_a_full_disk_leaves_the_model_that_was(project, capsys, monkeypatch):
    import skal.labeling._model as module

    skal("teach", answer(range(20)))
    before = files()

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    assert skal("teach", answer(range(22))) == 1
    assert "all answers are kept, but model.joblib could not be trained anew. OSError" in capsys.readouterr().err
    assert files() == before and len(labels()) == 22


def test_ctrl_c_in_the_training_is_one_line(project, capsys):
    own_model(fit="raise KeyboardInterrupt")
    assert skal("teach", answer(range(20))) == 130
    err = capsys.readouterr().err
    assert err == (
        "skal teach: interrupted. All answers are kept; model.joblib was not trained anew, which the same command "
        "does.\n"
    )
    assert len(labels()) == 20 and files() == {}


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize("moment", ["fit", "state"])
def test_a_kill_in_the_training_loses_no_label(project, capsys, moment):
    """Killed while it trains, or while it writes the model; the labels are there, and the model that was before."""
    own_model()
    skal("teach", answer(range(10)))
    before = files()
    own_model(**{moment: "pathlib.Path('at').touch(); time.sleep(60)"})
    process = subprocess.Popen(
        [sys.executable, "-m", "skal", "teach", answer(range(20))],
        env={**os.environ, "PYTHONPATH": str(Path(main.__code__.co_filename).parents[1])},
        stdout=subprocess.DEVNULL,
    )
    begun = time.monotonic()
    while not Path("at").exists() and process.poll() is None and time.monotonic() - begun < 60:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert len(labels()) == 20 and files() == before
    own_model()
    capsys.readouterr()
    assert skal("teach", answer(range(20))) == 0
    assert "0 new, 0 corrected, 0 skipped, 20 as before" in (out := capsys.readouterr().out)
    assert "is trained on 20 labels" in out


def test_a_kill_between_model_and_note_trains_anew(project, capsys, monkeypatch):
    import skal.labeling._model as module

    skal("teach", answer(range(20)))
    real = module.write_atomically

    def model_alone(path, content):
        if path.name == "model.json":
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(module, "write_atomically", model_alone)
    assert skal("teach", answer(range(22))) == 130
    monkeypatch.undo()
    os.chdir(project)
    capsys.readouterr()
    assert skal("teach", answer(range(20))) == 0
    assert "is trained on 22 labels" in capsys.readouterr().out
