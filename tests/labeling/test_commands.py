"""`skal start`, `query`, `teach`, `status`, `undo` on a table, from the first command to the last."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skal.cli import main
from skal.labeling import LabelJournal


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a table of two classes, well apart, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    kind = np.arange(120) % 3 == 0
    frame = pd.DataFrame(
        {
            "size": rng.normal(size=120) + 3 * kind,
            "colour": np.where(rng.random(120) < 0.8, np.where(kind, "red", "blue"), "grey"),
            "truth": np.where(kind, "cat", "dog"),
        }
    )
    frame.loc[5, "size"] = np.nan
    frame.to_csv("animals.csv", index=False)
    return tmp_path


def skal(*words):
    return main([str(word) for word in words])


def start():
    assert skal("start", "animals.csv", "--classes", "cat,dog", "--drop", "truth") == 0


def truth():
    return pd.read_csv("animals.csv")["truth"].tolist()


def fill(path, answers):
    """Answer tasks as people do in a spreadsheet; what is not in `answers` stays empty."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    for row in rows:
        row[1] = answers.get(int(row[0]), "")
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return [int(row[0]) for row in rows]


def fill_truth(number):
    return fill(f"batches/{number:04d}/tasks.csv", dict(enumerate(truth())))


def in_child(folder, *words, **more):
    code = (
        "import sys\n"
        "from skal.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = [name for name in ('torch', 'sklearn') if name in sys.modules]\n"
        "sys.stderr.write(f'{heavy}')\n"
        "sys.exit(code)\n"
    )
    words = [sys.executable, "-c", code, *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(Path(main.__code__.co_filename).parents[1])}
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=120, **more)


def test_a_project_from_the_first_command_to_the_last(project, capsys):
    start()
    out = capsys.readouterr().out
    assert "120 rows, 2 classes: cat, dog." in out and "Next: skal query -n 100" in out
    assert 'kind = "table"' in Path("skal.toml").read_text()

    assert skal("query", "-n", 20) == 0
    out = capsys.readouterr().out
    assert "Batch 0001: 20 rows to label, 100 left." in out and "skal teach batches/0001/tasks.csv" in out
    batch = fill_truth(1)
    assert len(set(batch)) == 20 and {truth()[i] for i in batch} == {"cat", "dog"}
    tasks = json.loads(Path("batches/0001/label-studio.json").read_text())
    assert [task["data"]["skal_id"] for task in tasks] == batch and "truth" not in tasks[0]["data"]["text"]

    assert skal("teach", "batches/0001/tasks.csv", "--by", "ann") == 0
    assert "20 new, 0 corrected, 0 skipped, 0 as before" in capsys.readouterr().out
    with LabelJournal("labels.jsonl") as journal:
        assert journal.labels() == {i: truth()[i] for i in batch}
        assert set(journal.events()["by"].dropna()) == {"ann"}

    assert skal("query", "-n", 10) == 0
    second = fill_truth(2)
    assert len(second) == 10 and not set(second) & set(batch)
    with open("batches/0002/tasks.csv", encoding="utf-8-sig", newline="") as file:
        assert {row["suggestion"] for row in csv.DictReader(file)} <= {"cat", "dog"}
    assert skal("teach", "batches/0002/tasks.csv") == 0
    capsys.readouterr()

    assert skal("status") == 0
    out = capsys.readouterr().out
    n_cats = sum(truth()[i] == "cat" for i in batch + second)
    assert "120 rows: 30 labelled, 0 skipped." in out
    assert re.search(rf"cat +{n_cats}\n +dog +{30 - n_cats}\n", out)
    accuracy, low, high = map(float, re.search(r"Accuracy (\S+), 95 % interval (\S+) to (\S+),", out).groups())
    assert 0.7 <= accuracy <= 1 and low < accuracy <= high <= 1
    assert re.search(rf"\n +30  {accuracy:.3f}  ", out)
    gain, low, high = map(
        float, re.search(r"The next 10 labels .* bring (\S+) of it, .* (\S+) to (\S+)\.", out).groups()
    )
    assert low < high and low <= gain <= high

    assert skal("undo", "-n", 2) == 0
    out = capsys.readouterr().out
    assert "2 taken back; 28 labels are left." in out
    assert f"  {second[-1]}: {truth()[second[-1]]} -> no answer" in out
    assert skal("query", "-n", 10) == 0
    assert "Batch 0002 still has 2 without an answer" in capsys.readouterr().out


def test_uncertain_rows_are_asked_for_once_there_is_a_model(project):
    start()
    skal("query", "-n", 20)
    fill_truth(1)
    skal("teach", "batches/0001/tasks.csv")
    skal("query", "-n", 5)
    with open("batches/0002/tasks.csv", encoding="utf-8-sig", newline="") as file:
        probabilities = [float(row["probability"]) for row in csv.DictReader(file)]
    assert probabilities == sorted(probabilities) and probabilities[0] < 0.75


def test_the_same_project_asks_the_same_question(project):
    start()
    skal("query", "-n", 8)
    first = Path("batches/0001/tasks.csv").read_bytes()
    for path in ("labels.jsonl", "batches/0001/tasks.csv", "batches/0001/contact-sheet.html"):
        Path(path).unlink()
    skal("query", "-n", 8)
    assert Path("batches/0001/tasks.csv").read_bytes() == first


def test_an_open_batch_is_offered_again_and_its_answers_are_not_touched(project, capsys):
    start()
    skal("query", "-n", 6)
    batch = fill_truth(1)
    before = Path("batches/0001/tasks.csv").read_bytes()
    Path("batches/0001/contact-sheet.html").unlink()  # as a kill leaves it
    Path("batches/0001/label-studio.json").unlink()
    capsys.readouterr()
    assert skal("query", "-n", 6) == 0
    assert "Batch 0001 still has 6 without an answer" in capsys.readouterr().out
    assert Path("batches/0001/tasks.csv").read_bytes() == before
    assert [task["data"]["skal_id"] for task in json.loads(Path("batches/0001/label-studio.json").read_text())] == batch
    assert Path("batches/0001/contact-sheet.html").exists() and not Path("batches/0002").exists()


def test_teach_journals_only_what_differs(project, capsys):
    start()
    skal("query", "-n", 6)
    batch = fill_truth(1)
    skal("teach", "batches/0001/tasks.csv")
    with LabelJournal("labels.jsonl") as journal:
        n_events = len(journal.events())
    capsys.readouterr()
    assert skal("teach", "batches/0001/tasks.csv") == 0
    assert "0 new, 0 corrected, 0 skipped, 6 as before" in capsys.readouterr().out
    with LabelJournal("labels.jsonl") as journal:
        assert len(journal.events()) == n_events

    answers = {i: truth()[i] for i in batch}
    wrong = {"cat": "dog", "dog": "cat"}[answers[batch[0]]]
    fill("batches/0001/tasks.csv", {**answers, batch[0]: wrong, batch[1]: "skip"})
    assert skal("teach", "batches/0001/tasks.csv") == 0
    out = capsys.readouterr().out
    assert "0 new, 1 corrected, 1 skipped, 4 as before" in out and f"{batch[0]}: {answers[batch[0]]} -> {wrong}" in out
    with LabelJournal("labels.jsonl") as journal:
        assert journal.labels()[batch[0]] == wrong and journal.skipped() == {batch[1]}
        assert journal.events()["event"].tolist()[-2:] == ["relabel", "skip"]
    assert skal("undo") == 0
    assert f"{batch[1]}: skipped -> {answers[batch[1]]}" in capsys.readouterr().out


def test_integer_classes_and_what_a_spreadsheet_makes_of_them(project):
    pd.DataFrame({"a": range(8), "b": [1, 5, 2, 8, 1, 9, 3, 3]}).to_csv("numbers.csv", index=False)
    assert skal("start", "numbers.csv", "--classes", "0,1") == 0
    Path("answers.csv").write_text("skal_id,label\n0,1\n1.0,0.0\n'2,'1\n")
    assert skal("teach", "answers.csv") == 0
    with LabelJournal("labels.jsonl") as journal:
        assert journal.labels() == {0: 1, 1: 0, 2: 1}


def test_a_label_studio_export_is_taught(project):
    start()
    task = {"data": {"skal_id": 3, "text": "x"}, "annotations": []}
    task["annotations"] = [{"result": [{"type": "choices", "from_name": "label", "value": {"choices": ["dog"]}}]}]
    Path("export.json").write_text(json.dumps([task]))
    assert skal("teach", "export.json") == 0
    with LabelJournal("labels.jsonl") as journal:
        assert journal.labels() == {3: "dog"}


def test_settings_can_be_edited(project, capsys):
    start()
    text = Path("skal.toml").read_text()
    text = text.replace('name = "MarginSampling"', 'name = "own:pick_last"')
    text = text.replace(
        'name = "LogisticRegression"\nmax_iter = 1000', 'name = "RandomForestClassifier"\nmax_depth = 2'
    )
    text = text.replace('name = "TypiClust"', 'name = "random"').replace('"dog"]', '"dog", "cow"]')
    Path("skal.toml").write_text(text)
    Path("own.py").write_text(
        "import numpy as np\ndef pick_last(model, X, n_instances=1):\n"
        "    assert model.estimator.max_depth == 2 and model.estimator.random_state == 0\n"
        "    return np.arange(len(X))[-n_instances:]\n"
    )
    rows = [f"{i},{label}" for i, label in enumerate(truth()[:20])]
    Path("answers.csv").write_text("\n".join(["skal_id,label", *rows, "20,cow"]))
    assert skal("teach", "answers.csv") == 0
    assert skal("query", "-n", 3) == 0, capsys.readouterr().err
    assert fill_truth(1) == [117, 118, 119]


def test_the_last_batch_is_what_is_left(project, capsys):
    start()
    rows = [f"{i},{label}" for i, label in enumerate(truth()[:116])]
    Path("answers.csv").write_text("\n".join(["skal_id,label", *rows, "116,skip"]))
    skal("teach", "answers.csv")
    assert skal("query", "-n", 10) == 0
    assert sorted(fill_truth(1)) == [117, 118, 119]
    skal("teach", "batches/0001/tasks.csv")
    capsys.readouterr()
    assert skal("query") == 0
    assert capsys.readouterr().out == "Every sample is labelled or skipped.\n"


def test_moved_rows_are_reported(project, capsys):
    start()
    skal("query", "-n", 5)
    frame = pd.read_csv("animals.csv")
    pd.concat([frame, frame[:3]]).to_csv("animals.csv", index=False)
    capsys.readouterr()
    assert skal("query") == 0 and capsys.readouterr().err == ""
    frame[::-1].to_csv("animals.csv", index=False)
    assert skal("query") == 0
    err = capsys.readouterr().err
    assert err.startswith("skal query: ") and "of 16 rows that were noted when labelling began are not" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["start", "no.csv", "--classes", "a,b"], "There is no data at 'no.csv'."),
        (["start", "animals.csv", "--classes", "a"], "--classes must be two or more texts"),
        (["start", "animals.csv", "--classes", "cat,Cat"], "must differ in more than upper and lower case"),
        (["start", "animals.csv", "--classes", "cat,skip"], "must not hold 'skip'"),
        (["start", "animals.csv", "--classes", "a,b", "--drop", "truht"], "has no column 'truht'. It has size, colour"),
        (["start", "animals.csv", "--classes", "a,b", "--drop", "size,colour,truth"], "No column of"),
        (["start", "animals.csv", "--classes", "a,b", "--seed", "-1"], "--seed must be an integer in [0"),
        (["start", "animals.csv", "--classes", "a,b", "--strategy", "MarginSamplin"], "did you mean MarginSampling?"),
        (["start", "animals.csv", "--classes", "a,b", "--model", "Logistic"], "did you mean LogisticRegression?"),
        (["start", "animals.csv", "--classes", "a,b", "--model", "no_module:x"], "cannot be imported"),
        (["start", "animals.csv", "--classes", "a,b", "--kind", "x"], "--kind must be one of images, table, text. Got"),
        (["start", "animals.csv", "--classes", "a,b", "--kind", "text"], "--text must name the column of the texts."),
        (["start", "animals.csv"], "the following arguments are required: --classes"),
        (["start", "own.py", "--classes", "a,b"], "must be a folder of images"),
        (["start", "plain.csv", "--classes", "a,b"], "must name the columns. Got 1.5, 2"),
        (["start", "empty.csv", "--classes", "a,b"], "cannot be read as a table"),
        (["start", "header.csv", "--classes", "a,b"], "holds no row"),
        (["start", "twice.csv", "--classes", "a,b"], "its columns must have distinct names, and 'a' is there twice."),
        (["start", "longer.csv", "--classes", "a,b"], "its rows hold more cells than its header has names."),
        (["query"], "There is no project in '.'. skal start DATA --classes A,B makes one."),
        (["query", "-n", "0"], "-n must be at least 1. Got 0."),
        (["query", "-n", "x"], "-n must be an integer. Got 'x'."),
        (["teach", "x.csv"], "There is no project"),
        (["status"], "There is no project"),
        (["undo"], "There is no project"),
    ],
)
def test_refusals_before_there_is_a_project(project, capsys, words, message):
    Path("own.py").write_text("")
    Path("plain.csv").write_text("1.5,2\n3,4\n")
    Path("empty.csv").write_text("")
    Path("header.csv").write_text("a,b\n")
    Path("twice.csv").write_text("a,b,a\n1,2,3\n")
    Path("longer.csv").write_text("a,b\n1,2,3\n4,5,6\n")
    before = sorted(project.iterdir())
    assert skal(*words) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith(f"skal {words[0]}: ") and err.count("\n") == 1
    assert sorted(project.iterdir()) == before


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("skal_id,label\n0,dgo\n1,cat\n", "Got 'dgo' for 0; did you mean 'dog'? Nothing was taken over"),
        ("skal_id,label\n1,cat\n500,cat\n", "has an answer for 500, which is no sample of this project"),
        ("id,label\n1,cat\n", "It lacks skal_id"),
        ('{"images": [{"id": 1, "skal_id": 1}], "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}], '
         '"annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5]}, '
         '{"image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 5]}]}',
         "boxes of 1 in 'answers.csv' must be of one class, as the project sorts whole images. Got 'cat', 'dog'"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "must be XML without a DOCTYPE"),
    ],
)  # fmt: skip
def test_teach_refuses_what_it_does_not_understand(project, capsys, answers, message):
    start()
    Path("answers.csv").write_text(answers)
    capsys.readouterr()
    assert skal("teach", "answers.csv") == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    with LabelJournal("labels.jsonl") as journal:
        assert journal.labels() == {}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "table"', 'kind = "tables"', "'kind' must be one of images, table, text. Got 'tables' instead."),
        ("seed = 0", 'seeds = 0', "there is no setting 'seeds'; did you mean seed?"),
        ('data = "animals.csv"', "", "'data' is missing."),
        ('data = "animals.csv"', 'data = "gone.csv"', "There is no data at 'gone.csv'."),
        ("seed = 0", "seed = ", "Invalid value"),
        ("max_iter = 1000", "max_itr = 1000", "The model LogisticRegression cannot be made of what skal.toml says"),
        ('name = "TypiClust"', 'name = "MarginSampling"', "cold_start must be 'random' or a strategy that needs"),
        ('"cat", ', '"cow", ', "must hold all labels that were given. 'cat', of 0, is missing."),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used(project, capsys, old, new, message):
    start()
    Path("answers.csv").write_text("skal_id,label\n0,cat\n")
    skal("teach", "answers.csv")
    text = Path("skal.toml").read_text()
    assert old in text
    Path("skal.toml").write_text(text.replace(old, new))
    capsys.readouterr()
    assert skal("query", "-n", 4) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not Path("batches").exists()


def test_a_project_is_not_begun_twice_and_undo_has_an_end(project, capsys):
    start()
    before = Path("skal.toml").read_bytes()
    assert skal("start", "animals.csv", "--classes", "a,b") == 2
    assert "holds a project already" in capsys.readouterr().err and Path("skal.toml").read_bytes() == before
    assert skal("undo") == 2
    assert "Nothing was asked or answered yet" in capsys.readouterr().err
    skal("query", "-n", 3)
    fill_truth(1)
    skal("teach", "batches/0001/tasks.csv")
    capsys.readouterr()
    assert skal("undo", "-n", 4) == 2
    assert "-n must be at most 3, the answers that there are. Got 4." in capsys.readouterr().err


def test_a_second_writer_is_told_who_is_at_work(project, capsys):
    start()
    with LabelJournal("labels.jsonl"):
        assert skal("status") == 2
    assert f"in use: it is held by process {os.getpid()}" in capsys.readouterr().err


def test_a_project_in_another_folder(project, capsys):
    assert skal("start", "animals.csv", "--classes", "cat,dog", "--project", "work/here") == 0
    assert 'data = "../../animals.csv"' in Path("work/here/skal.toml").read_text()
    assert "Next: skal query -n 100 --project work/here" in capsys.readouterr().out
    assert skal("query", "-n", 2, "--project", "work/here") == 0
    assert "skal teach work/here/batches/0001/tasks.csv --project work/here\n" in capsys.readouterr().out
    assert Path("work/here/batches/0001/tasks.csv").exists()


@pytest.mark.parametrize("folder", ["made", "there", "a/b/c", "link", "full"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["animals.csv", "--drop", "nope"], "'animals.csv' has no column 'nope'"),
        (["animals.csv", "--drop", "size,colour,truth"], "No column of 'animals.csv' is left"),
        (["animals.csv", "--text", "nope"], "'animals.csv' has no column 'nope'"),
        (["sub/../plain.csv"], "The first line of 'plain.csv' must name the columns"),
        (["sub/empty.csv"], "'sub/empty.csv' cannot be read as a table"),
        (["sub"], "'sub' holds no image"),
        (["sub/list.txt"], "Line 1 of 'sub/list.txt' names an image that there is not: 'a.png'"),
        (["sub/none.txt"], "'sub/none.txt' lists no image"),
        (["../{here}/sub"], "'sub' holds no image"),
        (["{full}/sub"], "'{full}/sub' holds no image"),
        (["no"], "There is no data at 'no'."),
    ],
)
def test_messages_name_a_path_as_it_was_typed(project, capsys, folder, words, message):
    for made in ("sub", "there", "far/away"):
        Path(made).mkdir(parents=True)
    Path("link").symlink_to("far/away")
    Path("plain.csv").write_text("1.5,2\n3,4\n")
    Path("sub/empty.csv").write_text("")
    Path("sub/list.txt").write_text("a.png\n")
    Path("sub/none.txt").write_text("")
    before = sorted(project.rglob("*"))
    told = {"here": project.name, "full": project}
    words = [word.format(**told) for word in words]
    at = project / "full" if folder == "full" else folder
    assert skal("start", *words, "--classes", "a,b", "--project", at) == 2
    assert capsys.readouterr().err.startswith(f"skal start: {message.format(**told)}")
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize("folder", ["work/here", "link"])
def test_data_that_goes_is_named_as_it_was_typed(project, capsys, folder):
    Path("far/away").mkdir(parents=True)
    Path("link").symlink_to("far/away")
    assert skal("start", "animals.csv", "--classes", "cat,dog", "--project", folder) == 0
    assert 'data = "../../animals.csv"' in Path(folder, "skal.toml").read_text()
    assert skal("query", "-n", 2, "--project", folder) == 0
    Path("animals.csv").rename("other.csv")
    capsys.readouterr()
    assert skal("status", "--project", folder) == 2
    assert capsys.readouterr().err == "skal status: There is no data at 'animals.csv'.\n"
    Path("animals.csv").write_text("size,colour,truth\n1,red,cat\n")
    assert skal("query", "--project", folder) == 2
    assert "'animals.csv' must hold all samples that were asked for" in capsys.readouterr().err


def test_what_needs_no_model_imports_neither_torch_nor_scikit_learn(project):
    start()
    skal("query", "-n", 5)
    fill_truth(1)
    Path("wrong.csv").write_text("skal_id,label\n0,cow\n")
    Path("one.csv").write_text(f"skal_id,label\n0,{truth()[0]}\n")
    calls = [
        (["teach", "one.csv"], 0),  # nothing to train
        (["teach", "wrong.csv"], 2),
        (["teach", "batches/0001/tasks.csv", "--no-train"], 0),
        (["status"], 0),
        (["undo"], 0),
        (["query"], 0),
        (["query", "-n", "0"], 2),
        (["teach", "nothing.csv"], 2),
        (["start", "animals.csv", "--classes", "a,b"], 2),
        (["undo", "-n", "99"], 2),
    ]
    for words, code in calls:
        found = in_child(project, *words)
        assert (found.returncode, found.stderr.splitlines()[-1]) == (code, "[]"), (words, found)
    assert skal("teach", "batches/0001/tasks.csv") == 0
    again = in_child(project, "teach", "batches/0001/tasks.csv")
    assert again.stderr == "[]" and "model.joblib is up to date." in again.stdout


def test_labels_survive_kills_during_teach(project):
    """Killed at many moments, `teach` loses nothing that it had journalled, invents nothing, and can be repeated."""
    start()
    n = 6000
    frame = pd.DataFrame({"a": np.arange(n) % 7, "b": np.arange(n) % 5})
    frame.to_csv("many.csv", index=False)
    text = Path("skal.toml").read_text().replace('data = "animals.csv"', 'data = "many.csv"').replace('["truth"]', "[]")
    Path("skal.toml").write_text(text)
    Path("answers.csv").write_text(
        "\n".join(["skal_id,label", *(f"{i},{'cat' if i % 3 else 'dog'}" for i in range(n))])
    )
    known, kept = {}, []
    for attempt in range(6):
        process = subprocess.Popen(
            [sys.executable, "-m", "skal", "teach", "answers.csv"],
            env={**os.environ, "PYTHONPATH": str(Path(main.__code__.co_filename).parents[1])},
            stdout=subprocess.DEVNULL,
        )
        size = Path("labels.jsonl").stat().st_size if attempt else 0
        while process.poll() is None and not (
            Path("labels.jsonl").exists() and Path("labels.jsonl").stat().st_size > size + 2_000
        ):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a torn last line
            with LabelJournal("labels.jsonl") as journal:
                found = journal.labels()
        assert all(found.get(i) == label for i, label in known.items())
        assert all(label == ("cat" if i % 3 else "dog") for i, label in found.items())
        known = found
        kept.append(len(found))
    assert 0 < kept[0] < n  # it was killed at work
    assert skal("teach", "answers.csv") == 0
    with LabelJournal("labels.jsonl") as journal:
        assert len(journal.labels()) == n
        assert len(journal.events().query("event == 'label'")) == n


def test_ctrl_c_is_one_line_that_says_what_is_kept(project, capsys, monkeypatch):
    start()
    Path("answers.csv").write_text("skal_id,label\n0,cat\n")

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    capsys.readouterr()
    monkeypatch.setattr(LabelJournal, "label", interrupt)
    assert skal("teach", "answers.csv") == 130
    err = capsys.readouterr().err
    assert err == "skal teach: interrupted. What was taken over is kept; give the same file again for the rest.\n"
    monkeypatch.undo()
    os.chdir(project)
    assert skal("teach", "answers.csv") == 0


def test_the_error_that_is_also_scikit_learns_is_made_when_it_is_asked_for():
    """Journals need no scikit-learn, and yet `except NotFittedError` and pickles work as ever."""
    import pickle

    from sklearn.exceptions import NotFittedError

    import skal.exceptions as exceptions

    found = exceptions.ModelNotFittedError
    assert found is exceptions.ModelNotFittedError and issubclass(found, exceptions.SkalError)
    assert issubclass(found, NotFittedError) and found.__module__ == "skal.exceptions"
    error = pickle.loads(pickle.dumps(found("not fitted")))
    assert type(error) is found and str(error) == "not fitted"
    with pytest.raises(AttributeError, match="has no attribute 'NoError'"):
        exceptions.NoError  # noqa: B018
