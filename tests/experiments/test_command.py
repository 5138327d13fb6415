import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification

import skal.experiments.command as command
from skal import __version__
from skal.cli import main

SIZES = ["--n-initial", "5", "--n-queries", "2", "--n-instances", "3", "--seeds", "2", "--n-jobs", "1"]


@pytest.fixture
def table(tmp_path):
    X, y = make_classification(150, 6, n_informative=4, n_classes=3, random_state=0)
    np.savez(tmp_path / "table.npz", X=X, y=y)
    return str(tmp_path / "table.npz")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"skal {__version__}"


def test_help_names_every_option(capsys):
    assert main(["compare", "--help"]) == 0
    text = capsys.readouterr().out
    for option in (
        "data",
        "data-root",
        "strategies",
        "n-initial",
        "n-queries",
        "n-instances",
        "seeds",
        "n-jobs",
        "out",
    ):
        assert f"--{option} " in text
    assert "DECERN" in text and "fashion_mnist" in text


def test_whole_comparison(table, tmp_path, capsys):
    out = tmp_path / "results"
    arguments = ["compare", "--data", table, *SIZES, "--out", str(out), "--strategies"]
    assert main([*arguments, "margin_sampling,EntropySampling", "entropy"]) == 0
    printed = capsys.readouterr()
    assert "150 samples of shape 6, 3 classes; logistic regression; 5 to 11 labels" in printed.out
    assert "3 strategies x 2 seeds" in printed.out and "area against RandomSampling" in printed.out
    assert "6/6" in printed.err  # the progress bar
    results = pd.read_csv(out / "results.csv")
    assert results["strategy"].unique().tolist() == ["RandomSampling", "MarginSampling", "EntropySampling"]
    summary = pd.read_csv(out / "summary.csv", index_col="strategy")
    assert summary.loc["MarginSampling", "area_verdict"] in ("better", "worse", "undecided")
    # Once more, with one strategy more: only that one is run.
    assert main([*arguments, "MarginSampling", "EntropySampling", "LeastConfidence"]) == 0
    again = pd.read_csv(out / "results.csv")
    pd.testing.assert_frame_equal(again.iloc[: len(results)], results)
    assert len(again) == len(results) + 6


def test_digits_with_the_small_network(tmp_path, capsys):
    """What the command does by default, with few labels and one seed."""
    sizes = [
        "--n-initial",
        "12",
        "--n-queries",
        "1",
        "--n-instances",
        "4",
        "--seeds",
        "3,",
        "--pool-size",
        "60",
    ]
    assert main(["compare", *sizes, "--n-jobs", "1", "--seeds", "1", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "digits: 1797 samples of shape 1x8x8, 10 classes; small CNN" in printed
    results = pd.read_csv(tmp_path / "results.csv")
    assert {"RandomSampling", "EntropySampling", "DECERN"} <= set(results["strategy"])
    assert (results["accuracy"] > 0.2).all()


def test_without_matplotlib_it_says_so_and_goes_on(table, tmp_path, capsys, monkeypatch):
    def no_plot(self, path):
        raise ImportError('Install it with: pip install "skal[plot]"')

    monkeypatch.setattr(command.Comparison, "plot", no_plot)
    out = tmp_path / "results"
    assert main(["compare", "--data", table, *SIZES, "--out", str(out), "--strategies", "margin"]) == 0
    printed = capsys.readouterr()
    assert "skal[plot]" in printed.err and "learning_curves.png" not in printed.out
    assert (out / "results.csv").exists() and not (out / "learning_curves.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["compar"], "there is no command 'compar'; did you mean compare?"),
        (["compare", "--n-quries", "3"], "unrecognized arguments: --n-quries"),
        (["compare", "--n-queries", "many"], "invalid int value: 'many'"),
        (
            ["compare", "--strategies", "Entropi"],
            "unknown strategy Entropi (did you mean EntropySampling?). Choose from BADGE",
        ),
        (["compare", "--seeds", "a"], "--seeds must be a count of at least 1"),
        (["compare", "--seeds", "0"], "--seeds must be a count of at least 1"),
        (["compare", "--seeds", "1,1"], "--seeds must be a count of at least 1"),
        (["compare", "--n-jobs", "0"], "--n-jobs must be a number of processes"),
        (["compare", "--data", "nowhere"], "Got 'nowhere', which does not exist"),
        (["compare", "--n-initial", "1"], "--n-initial must be an integer >= 2. Got 1"),
        (["compare", "--n-instances", "1000"], "must fit into the pool"),
    ],
)
def test_bad_arguments_are_one_line_and_code_2(tmp_path, capsys, arguments, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_one_line_and_code_2(tmp_path, capsys, table):
    (tmp_path / "bad.npz").write_bytes(b"no")
    assert main(["compare", "--data", str(tmp_path / "bad.npz")]) == 2
    (tmp_path / "file").write_text("")
    assert main(["compare", "--data", table, *SIZES, "--out", str(tmp_path / "file")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 2


def test_other_settings_in_the_same_folder(table, tmp_path, capsys):
    arguments = [
        "compare",
        "--data",
        table,
        *SIZES,
        "--strategies",
        "margin",
        "--out",
        str(tmp_path / "results"),
    ]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main([*arguments, "--n-queries", "3"]) == 2
    error = capsys.readouterr().err
    assert "n_queries was 2, not 3. Use another out folder" in error and len(error.strip().splitlines()) == 1


def test_a_failing_run_is_one_line_and_code_1(table, tmp_path, capsys, monkeypatch):
    def fail(*args, **kwargs):
        raise command.RunError("MarginSampling with seed 0 failed: ValueError: so.")

    monkeypatch.setattr(command, "compare", fail)
    assert main(["compare", "--data", table, *SIZES, "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("skal compare: MarginSampling with seed 0 failed: ValueError: so.")


@pytest.mark.skipif(os.name != "posix", reason="signals to a process group")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_exits_with_130_and_keeps_finished_runs(table, tmp_path, n_jobs):
    out = tmp_path / "results"
    command = [sys.executable, "-m", "skal", "compare", "--data", table, "--out", str(out)]
    sizes = ["--n-initial", "10", "--n-queries", "20", "--n-instances", "2", "--seeds", "500"]
    process = subprocess.Popen(
        [*command, *sizes, "--n-jobs", str(n_jobs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (out / "results.csv").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert "the same command goes on from there" in error.splitlines()[-1]
    results = pd.read_csv(out / "results.csv")
    assert (results.groupby(["strategy", "seed"]).size() == 21).all()
    assert json.loads((out / "settings.json").read_text())["n_queries"] == 20
