import json

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.experiments._store import ResultStore, describe

SETTINGS = {"n_queries": 8, "model": "A()", "strategies": {"Rand": "Rand()"}}


def run(strategy="Rand", seed=0):
    return [
        {
            "strategy": strategy,
            "seed": seed,
            "round": round_,
            "n_labels": 10 + round_,
            "accuracy": 1 / 3 + round_,
            "imbalance": 0.1,
            "fit_seconds": 0.2,
            "query_seconds": float("nan") if round_ == 0 else 0.3,
        }
        for round_ in range(2)
    ]


def test_round_trip_is_exact(tmp_path):
    store = ResultStore(tmp_path / "deep" / "er", SETTINGS)
    store.add(run(seed=3))
    store.add(run(seed=1))
    again = ResultStore(tmp_path / "deep" / "er", SETTINGS)
    assert again.done() == {("Rand", 3), ("Rand", 1)}
    pd.testing.assert_frame_equal(again.results, store.results, check_exact=True)


def test_no_temporary_files_stay(tmp_path):
    ResultStore(tmp_path, SETTINGS).add(run())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "settings.json"]


def test_interrupted_before_the_first_run(tmp_path):
    ResultStore(tmp_path, SETTINGS)
    assert ResultStore(tmp_path, SETTINGS).done() == set()


def test_strategies_may_be_added_but_not_changed(tmp_path):
    ResultStore(tmp_path, SETTINGS).add(run())
    more = {**SETTINGS, "strategies": {"Other": "Other()"}}
    assert ResultStore(tmp_path, more).done() == {("Rand", 0)}
    assert json.loads((tmp_path / "settings.json").read_text())["strategies"] == {
        "Rand": "Rand()",
        "Other": "Other()",
    }
    with pytest.raises(ValueError, match=r"Rand was Rand\(\), not Rand\(x=1\). Use another out folder"):
        ResultStore(tmp_path, {**SETTINGS, "strategies": {"Rand": "Rand(x=1)"}})


def test_other_settings_are_refused_and_nothing_is_touched(tmp_path):
    ResultStore(tmp_path, SETTINGS).add(run())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"n_queries was 8, not 4"):
        ResultStore(tmp_path, {**SETTINGS, "n_queries": 4})
    with pytest.raises(ValueError, match=r"model was another"):
        ResultStore(tmp_path, {**SETTINGS, "model": "A" * 100})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "\x00\x01", "strategy\nx\n"])
def test_foreign_results_are_never_overwritten(tmp_path, content):
    (tmp_path / "results.csv").write_text(content)
    with pytest.raises(ValueError, match=r"cannot be read as results of a comparison"):
        ResultStore(tmp_path, SETTINGS)
    assert (tmp_path / "results.csv").read_text() == content


def test_results_without_settings(tmp_path):
    ResultStore(tmp_path, SETTINGS).add(run())
    for content in (None, "{", "[]", "{}"):
        path = tmp_path / "settings.json"
        path.unlink() if content is None else path.write_text(content)
        with pytest.raises(ValueError, match=r"without readable settings"):
            ResultStore(tmp_path, SETTINGS)


def test_description_tells_parameters_apart_and_holds_no_addresses():
    first = describe(make_pipeline(StandardScaler(), LogisticRegression(C=2.0)))
    assert first == describe(make_pipeline(StandardScaler(), LogisticRegression(C=2.0)))
    assert first != describe(make_pipeline(StandardScaler(), LogisticRegression(C=3.0)))
    words = [f"word{i}" for i in range(20)]
    assert describe(set(words)) == f"set({sorted(map(repr, words))})"
    assert "0x" not in describe(lambda: None) and "0x" not in describe(object())
