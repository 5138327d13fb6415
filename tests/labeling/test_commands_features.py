"""What a classifier is given of tables: columns by their kind, whatever is in them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skal.cli import main
from skal.labeling import LabelJournal
from skal.labeling._estimate import Estimate, interval, lacks, learning_curve, next_gain
from skal.labeling._features import features_of
from skal.labeling._forecast import forecast_gain
from skal.labeling._project import Project, Settings
from skal.labeling._sources import load_source


@pytest.fixture
def features(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def of(frame, **more):
        frame.to_csv("data.csv", index=False)
        Path("skal.toml").write_text(Settings("data.csv", "table", ["a", "b"], **more).to_toml())
        project = Project(Path())
        return features_of(project, load_source(project))

    return of


def test_numbers_are_scaled_and_missing_ones_marked(features):
    X = features(pd.DataFrame({"x": [1.0, 2, 3, np.nan], "same": [5] * 4, "none": [np.nan] * 4}))
    assert X.dtype == np.float32 and X.shape == (4, 2)
    np.testing.assert_allclose(X[:, 0], [-np.sqrt(2), 0, np.sqrt(2), 0], atol=1e-6)
    assert len(set(X[:3, 1])) == 1 and X[3, 1] > X[0, 1]


def test_infinite_numbers_count_as_missing(features):
    X = features(pd.DataFrame({"x": ["1", "2", "inf", "-inf", "3"]}))
    assert np.isfinite(X).all()


def test_categories_are_columns_of_their_own_and_missing_is_one(features):
    X = features(
        pd.DataFrame({"colour": ["red", "blue", None, "red", "blue"], "flag": [True, False, True, True, True]})
    )
    assert X.shape == (5, 4) and sorted(X[:, 1:].sum(axis=0).tolist()) == [1, 2, 2]
    assert (X[0] == X[3]).all() and (X[:, 1:].sum(axis=1) == 1).all()


def test_columns_of_sentences_are_texts(features):
    kinds = np.arange(120) % 2
    sentences = [
        f"{'the cat sat on the mat' if kind else 'a fast red train leaves'} {i}" for i, kind in enumerate(kinds)
    ]
    X = features(pd.DataFrame({"n": range(120), "says": sentences}))
    assert X.shape == (120, 51)
    means = [X[kinds == kind, 1:].mean(axis=0) for kind in (0, 1)]
    assert np.linalg.norm(means[0] - means[1]) > 0.5


def test_few_different_sentences_still_work(features):
    # 51 different texts of few terms: no more topics than terms.
    X = features(pd.DataFrame({"says": [f"on the mat sat {'xy'[i % 2] * (2 + i)}" for i in range(51)]}))
    assert np.isfinite(X).all() and len(X) == 51


def test_a_table_that_says_nothing(features):
    with pytest.raises(ValueError, match="must have a column with more than one value"):
        features(pd.DataFrame({"x": [1, 1], "y": ["a", "a"]}))


def test_settings_come_back_as_they_were_written(tmp_path):
    settings = Settings('a "b"\\ü.csv', "table", ["α", 'q"'], drop=["x,y"], strategy={"name": "DECERN", "xi": 0.5})
    (tmp_path / "skal.toml").write_text(settings.to_toml(), encoding="utf-8")
    assert Project(tmp_path).settings == settings


def test_parquet(tmp_path, monkeypatch):
    polars = pytest.importorskip("polars")
    monkeypatch.chdir(tmp_path)
    days = pd.date_range("2024-01-01", periods=40).to_pydatetime().tolist()
    frame = {"x": np.arange(40) % 5, "c": ["u", None] * 20, "day": days, "n": [None, 1] * 20}
    polars.DataFrame(frame).write_parquet("data.parquet")
    assert main(["start", "data.parquet", "--classes", "a,b"]) == 0
    assert main(["query", "-n", "4"]) == 0
    assert Path("batches/0001/tasks.csv").exists()
    project = Project(Path())
    assert features_of(project, load_source(project)).shape == (40, 6)  # x, c or not, day, n and whether it is there
    Path("data.parquet").write_bytes(b"no parquet")
    assert main(["query"]) == 2


def test_parquet_without_its_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("data.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    assert main(["start", "data.parquet", "--classes", "a,b"]) == 2
    assert 'Parquet needs the extra: pip install "skal[parquet]"' in capsys.readouterr().err


def test_samples_that_are_gone_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"x": range(9)}).to_csv("data.csv", index=False)
    main(["start", "data.csv", "--classes", "a,b"])
    Path("answers.csv").write_text("skal_id,label\n8,a\n")
    main(["teach", "answers.csv"])
    pd.DataFrame({"x": range(8)}).to_csv("data.csv", index=False)
    assert main(["query", "-n", "2"]) == 2
    assert "1 are gone, 8 for one: put them back" in capsys.readouterr().err


def test_a_class_that_is_added_in_the_settings_can_be_taught(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"x": range(9)}).to_csv("data.csv", index=False)
    main(["start", "data.csv", "--classes", "a,b"])
    Path("answers.csv").write_text("skal_id,label\n8,a\n1,c\n2,b\n")
    assert main(["teach", "answers.csv"]) == 2
    Path("skal.toml").write_text(Path("skal.toml").read_text().replace('["a", "b"]', '["a", "b", "c"]'))
    assert main(["teach", "answers.csv"]) == 0
    with LabelJournal("labels.jsonl") as journal:
        assert journal.labels() == {8: "a", 1: "c", 2: "b"} and journal.settings["classes"] == ["a", "b", "c"]
    assert main(["query", "-n", "2"]) == 0


def test_wilsons_interval_by_hand():
    # 8 of 10: Wilson's interval in textbooks is 0.4902 to 0.9433.
    np.testing.assert_allclose(interval(8, 10), (0.4902, 0.9433), atol=5e-5)
    np.testing.assert_allclose((interval(0, 10)[0], interval(10, 10)[1]), (0, 1), atol=1e-12)


def test_the_curve_tests_on_all_labels_and_trains_on_the_first():
    from sklearn.neighbors import KNeighborsClassifier

    labels = ["a", "b"] * 6 + ["c", "d"] * 6
    X = np.array([["abcd".index(label)] for label in labels], dtype=float)
    curve = learning_curve(KNeighborsClassifier(1), X, labels, seed=0)
    assert curve[0].n_labels == 10 and curve[-1].n_labels == 24
    # Of the first ten no fold knows c and d; of all, every fold knows all.
    assert curve[0].accuracy == 0.5 and curve[-1].accuracy == 1
    assert curve[0][2:] == interval(12, 24)


def test_what_the_next_labels_bring():
    curve = [Estimate(n, 0.9 - 1 / n, 0.0, 1.0) for n in (10, 15, 22, 33)]
    found = next_gain(curve, 10)
    n_labels, scores = np.array([10.0, 15.0, 22.0, 33.0]), np.array([0.9 - 1 / n for n in (10, 15, 22, 33)])
    assert found == forecast_gain(n_labels, scores, 10, confidence=0.95)
    assert 0 < found.low < 1 / 33 - 1 / 43 < found.high
    assert next_gain(curve[:3], 10) is None and next_gain(curve, 0) is None


def test_what_an_estimate_lacks():
    assert lacks(["a"] * 8 + ["b"] * 2) == ""
    assert "there are 9, of 2 classes" in lacks(["a"] * 7 + ["b"] * 2)
    assert "there are 11, of 1 class" in lacks(["a"] * 11)
    assert "there are 11, of 2 classes" in lacks(["a"] * 10 + ["b"])
