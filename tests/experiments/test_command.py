import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
        "model",
        "weights",
        "device",
        "epochs",
        "batch-size",
        "target",
        "scoring",
        "reference",
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
    assert "10/10" in printed.err  # the progress bar
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
        (["--x"], "the following arguments are required: COMMAND. See skal --help."),
        (["compar"], "there is no command 'compar'; did you mean compare?"),
        (
            ["compare", "--n-quries", "3"],
            "skal compare: there is no option '--n-quries'; did you mean --n-queries? See skal compare --help.",
        ),
        (["compare", "--n-queries", "many"], "skal compare: --n-queries must be an integer. Got 'many'."),
        (
            ["compare", "--strategies", "Entropi"],
            "unknown strategy Entropi (did you mean EntropySampling?). Choose from BADGE",
        ),
        (["compare", "--seeds", "a"], "--seeds must be a count of at least 1"),
        (["compare", "--seeds", "0"], "--seeds must be a count of at least 1"),
        (["compare", "--seeds", "1,1"], "--seeds must be a count of at least 1"),
        (["compare", "--n-jobs", "0"], "--n-jobs must be a number of processes"),
        (["compare", "--data", "nowhere"], "Got 'nowhere', which does not exist"),
        (["compare", "--strategies", "DECERN(x=1)"], "DECERN has no parameter 'x'; did you mean xi?"),
        (
            ["compare", "--strategies", "DECERN(xi=)"],
            "--strategies must be names, with parameters as in DECERN(xi=0.4)",
        ),
        (["compare", "--strategies", "Prefilter(n_candidates=3)"], "cannot be made: "),
        (["compare", "--strategies", "DECERN(xi=7)"], "The 'xi' parameter of DECERN must be a float in the range"),
        (["compare", "--strategies", "UFFM(DECERN(xi=7))"], "The 'xi' parameter of DECERN must be a float in the"),
        (["compare", "--strategies", "Prefilter"], "strategy Prefilter cannot run in this command"),
        (["compare", "--strategies", "nowhere:Mine"], "--strategies must name what can be imported, as module:object."),
        (
            ["compare", "--strategies", "Unknown(k=1)"],
            "--strategies must be names, with parameters as in DECERN(xi=0.4)",
        ),
        (
            ["compare", "--scoring", "acuracy"],
            "skal compare: --scoring must be the name of a score of scikit-learn's, or a callable",
        ),
        (
            ["compare", "--reference", "DECRN"],
            "RandomSampling, EntropySampling, DECERN, BAL, UFFM, DM2. Got 'DECRN'; did",
        ),
        (["compare", "--model", "resnet1000"], "Got 'resnet1000'"),
        (
            ["compare", "--model", "skal:nothing"],
            "--model must name what can be imported, as module:object. Got 'skal:",
        ),
        (["compare", "--model", "math:pi"], "--model must name a classifier, or a torch module. Got 'math:pi', 3.14"),
        (
            ["compare", "--model", "logistic", "--epochs", "3"],
            "--epochs is for networks. The model is logistic regression",
        ),
        (["compare", "--model", "cnn", "--weights", "x.pth"], "--model cnn has no weights"),
        (["compare", "--weights", "DEFAULT"], "--weights need a --model, such as resnet18"),
        (["compare", "--epochs", "0"], "--epochs must be at least 1. Got 0"),
        (["compare", "--target", "species"], "--target is for tables, .csv and .parquet files. Got --data digits."),
        (["compare", "--image-size", "64"], "--image-size is for folders of images. Got --data digits."),
        (["compare", "--data", "nowhere", "--image-size", "64"], "Got 'nowhere', which does not exist"),
        (["compare", "--seeds", "9223372036854775808"], "--seeds must be a count of at least 1"),
        (
            ["compare", "--strategies", "collections:OrderedDict"],
            "Strategy 'collections:OrderedDict' of compare must be a strategy object or function. Got OrderedDict().",
        ),
        (["compare", "--strategies", "DECERN({[]: 1})"], "--strategies must be names, with parameters as in"),
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


@pytest.mark.parametrize(
    ("code", "model", "strategy"),
    [
        ("def f(:", "can be imported, as module:object. Got 'foreign_{}:f': invalid syntax", None),
        ("1 / 0", "can be imported, as module:object. Got 'foreign_{}:f': division by zero.", None),
        ("raise KeyError", "can be imported, as module:object. Got 'foreign_{}:f': KeyError.", None),
        ("class f:\n    def __init__(self):\n        raise OSError('so')", "'foreign_{}:f' cannot be made: so.", None),
        (
            "class f:\n    def __init__(self, a):\n        1",
            "'foreign_{}:f' cannot be made: f.__init__() missing 1 r",
            None,
        ),
        ("f = 3", "must name a classifier, or a torch module", "Strategy 'foreign_{}:f' of compare must be a strategy"),
    ],
)
def test_faults_in_modules_of_ones_own_are_one_line(tmp_path, capsys, monkeypatch, table, code, model, strategy):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    name = abs(hash(code))
    (tmp_path / f"foreign_{name}.py").write_text(code)
    for option, message in (("--model", model), ("--strategies", strategy or model)):
        assert main(["compare", "--data", table, option, f"foreign_{name}:f"]) == 2
        error = capsys.readouterr().err
        assert message.format(name) in error and len(error.strip().splitlines()) == 1


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


OWN = """
import numpy as np
from sklearn.naive_bayes import GaussianNB
from skal.base import QueryStrategy
from torch import nn

class First(QueryStrategy):
    _parameter_constraints: dict = {}
    requires = ("proba",)

    def __init__(self, skip=0):
        self.skip = skip

    def _query(self, pool, n_instances, rng):
        return np.arange(n_instances) + self.skip, np.zeros(n_instances)

class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.head = nn.Linear(6, n_classes)

    def forward(self, x):
        return self.head(x)

model = GaussianNB()
"""


class TestOptions:
    @pytest.fixture
    def run(self, table, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "own_for_command.py").write_text(OWN)

        def run(*arguments, data=table):
            capsys.readouterr()
            code = main(["compare", "--data", str(data), *SIZES, "--out", str(tmp_path / "results"), *arguments])
            printed = capsys.readouterr()
            assert code == 0, printed.err
            return pd.read_csv(tmp_path / "results" / "results.csv"), printed.out

        return run

    def test_strategies_with_parameters_and_of_ones_own(self, run):
        spoken = [
            "DECERN(xi=0.4)",
            "Prefilter(MarginSampling(), n_candidates=20)",
            "own_for_command:First(skip=2)",
            "margin",
        ]
        results, _ = run("--strategies", ",".join(spoken))
        assert results["strategy"].unique().tolist() == ["RandomSampling", *spoken[:3], "MarginSampling"]
        results, out = run("--strategies", *spoken, "--reference", "own_for_command:First(skip=2)", "--n-jobs", "2")
        assert len(results) == 5 * 2 * 3 and "area against own_for_command:First(skip=2)" in out

    @pytest.mark.parametrize(
        ("model", "name"),
        [
            ("logistic", "logistic regression"),
            ("own_for_command:model", "own_for_command:model"),
            ("sklearn.svm:SVC(probability=True)", "sklearn.svm:SVC"),
            ("sklearn.naive_bayes:GaussianNB", "sklearn.naive_bayes:GaussianNB"),
        ],
    )
    @pytest.mark.filterwarnings("ignore::FutureWarning")
    def test_models(self, run, model, name):
        _, out = run("--model", model, "--strategies", "margin")
        assert f"classes; {name}" in out

    def test_networks_and_their_training(self, run):
        arguments = ["--model", "own_for_command:Net", "--epochs", "2", "--batch-size", "8", "--device", "cpu"]
        results, out = run(*arguments, "--strategies", "margin,BADGE", "--n-jobs", "2")
        assert "own_for_command:Net" in out and len(results) == 18

    def test_scores(self, run):
        results, out = run("--scoring", "f1_macro,accuracy", "--strategies", "margin", "--no-checks")
        assert {"f1_macro", "accuracy"} <= set(results.columns) and "f1 macro" in out

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_tables(self, run, tmp_path, suffix):
        if suffix == "parquet":
            pytest.importorskip("pyarrow")
        rng = np.random.default_rng(0)
        kind = rng.choice(["a", "b", "c"], 150)
        frame = pd.DataFrame(
            {"number": rng.normal(size=150), "kind": kind, "Label": np.where(kind == "a", "yes", "no")}
        )
        frame.loc[::9, "number"] = np.nan
        path = tmp_path / f"table.{suffix}"
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
        results, out = run("--strategies", "margin", "--n-initial", "20", data=path)
        assert "150 samples of shape 2, 2 classes; logistic regression" in out
        assert results[results["round"] == 2]["accuracy"].mean() > 0.9
        frame.rename(columns={"Label": "what"}).to_csv(tmp_path / "other.csv", index=False)
        run("--target", "what", "--strategies", "margin", "--out", str(tmp_path / "o"), data=tmp_path / "other.csv")

    def test_the_report_says_how_to_repeat_it(self, run, tmp_path):
        _, out = run("--strategies", "margin")
        assert "report.html, report.md" in out
        page = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
        text = (tmp_path / "results" / "report.md").read_text(encoding="utf-8")
        sizes = "--strategies margin --n-initial 5 --n-queries 2 --n-instances 3 --seeds 2 --n-jobs 1 --out"
        assert sizes in page and sizes in text and "Checks" in page
        _, out = run("--strategies", "margin", "--no-checks")
        assert "Checks" not in (tmp_path / "results" / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def photos(tmp_path):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for position in range(48):
        kind = ("dark", "light")[position % 2]
        (tmp_path / "photos" / kind).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 120, (40, 50, 3)) + (130 if kind == "light" else 0)
        image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / kind / f"{position}.png")
    return tmp_path / "photos"


class TestPhotos:
    def test_features_of_a_frozen_backbone(self, photos, tmp_path, capsys):
        weights = Path(os.environ.get("SKAL_DATA", "../shared/data")) / "weights" / "squeezenet1_0_imagenet"
        weights /= "squeezenet1_0_deepcompressed.pth"
        if not weights.exists():
            pytest.skip("needs squeezenet1_0's weights in SKAL_DATA")
        out = tmp_path / "results"
        backbone = ["--model", "squeezenet1_0", "--weights", str(weights), "--image-size", "64", "--batch-size", "20"]
        arguments = ["compare", "--data", str(photos), *SIZES, "--strategies", "margin", "--out", str(out)]
        assert main([*arguments, *backbone]) == 0
        printed = capsys.readouterr()
        assert "48 photos, 2 classes; logistic regression on features of a frozen squeezenet1_0" in printed.out
        assert "48/48" in printed.err and "photo/s" in printed.err
        results = pd.read_csv(out / "results.csv")
        assert results[results["round"] == 2]["accuracy"].mean() > 0.9
        # What is shown are the photos, not their features.
        assert (out / "report.html").read_text(encoding="utf-8").count("<img src=") == 2 * 6
        # They are read once, and again where one has changed, or what was kept is damaged.
        kept = out / "features.npz"
        for change in (None, "damage", "photo"):
            before = kept.stat().st_mtime_ns
            if change == "damage":
                kept.write_bytes(kept.read_bytes()[:100])
            if change == "photo":
                os.utime(photos / "dark" / "0.png", ns=(7, 7))
            capsys.readouterr()
            assert main([*arguments, *backbone]) == 0
            assert ("photo/s" in capsys.readouterr().err) == (change is not None)
            assert (kept.stat().st_mtime_ns == before) == (change is None)
        assert main([*arguments, *backbone, "--epochs", "3"]) == 2
        assert "the backbone is frozen" in capsys.readouterr().err

    def test_without_weights_at_hand(self, photos, tmp_path, capsys, monkeypatch):
        import torch

        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        arguments = ["--strategies", "margin", "--epochs", "1", "--out", str(tmp_path / "results"), "--no-checks"]
        assert main(["compare", "--data", str(photos), *SIZES, *arguments]) == 0
        out = capsys.readouterr().out
        assert "No weights of a pretrained network are at hand" in out and "2 classes; small CNN" in out

    def test_weights_at_hand_are_found_and_nothing_is_downloaded(self, tmp_path, monkeypatch):
        import torch

        from skal.experiments._features import backbone_at_hand

        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        assert backbone_at_hand() is None
        (tmp_path / "checkpoints").mkdir()
        file = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
        file.write_bytes(b"")
        assert backbone_at_hand() == ("resnet18", str(file))
