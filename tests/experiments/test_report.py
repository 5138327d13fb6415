"""The report: what it says, that it is whole, and that it needs nothing beside it."""

import base64
import html.parser
import io
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch.utils.data import TensorDataset

from skal.experiments import Comparison, compare
from skal.experiments._charts import balance_chart, curves_chart, forest_chart
from skal.experiments._pictures import first_picks, png_url
from skal.experiments._report import _cell
from skal.experiments._sentences import sentence
from skal.experiments._statistics import summarize
from skal.strategies import EntropySampling, MarginSampling

X, Y = load_digits(return_X_y=True)
X, Y = (X[:200] / 16).reshape(-1, 1, 8, 8), Y[:200]
SIZES = {"n_initial": 15, "n_instances": 13, "n_queries": 2, "seeds": 3}
NAME = 'margin <script>alert("&")</script> | x'


class Flat(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.asarray(X).reshape(len(X), -1)

    def __sklearn_is_fitted__(self):
        return True


@pytest.fixture(scope="module")
def found():
    doubled = X.copy()
    doubled[100:] = doubled[:100]
    model = make_pipeline(Flat(), LogisticRegression(max_iter=100))
    strategies = {NAME: MarginSampling(), "entropy": EntropySampling()}
    return compare(strategies, model, doubled, Y, **SIZES, scoring=["accuracy", "f1_macro"], aa=True)


@pytest.fixture(scope="module")
def page(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert found.to_html(path, command='skal compare --data "a & b"') == path
    return path


class Reader(html.parser.HTMLParser):
    """Checks that what is opened is closed, and keeps what the page refers to."""

    VOID = ("meta", "link", "img")

    def __init__(self):
        super().__init__()
        self.open, self.refers, self.tags, self.titles = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.refers += [value for key, value in attrs if key in ("src", "href", "data", "action", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "title":
            self.titles.append(data)


class TestPage:
    def test_it_is_whole_and_refers_to_nothing_outside(self, page):
        text = page.read_text(encoding="utf-8")
        reader = Reader()
        reader.feed(text)
        assert reader.open == [] and "script" not in reader.tags
        assert reader.refers and all(each.startswith("data:") for each in reader.refers)
        assert "http" not in text.replace("http-equiv", "") and "url(" not in text
        assert "default-src 'none'" in text and "prefers-color-scheme:dark" in text
        assert len(text) < 5_000_000

    def test_it_says_what_was_found(self, page, found):
        text = page.read_text(encoding="utf-8")
        summary = found.summary()
        for name in summary.index:
            assert text.count(f"{summary.loc[name, 'area']:.4f}") >= 1
        assert text.count(html.escape(NAME)) >= 6 and NAME not in text
        assert "skal compare --data &quot;a &amp; b&quot;" in text
        for part in ("Verdicts", "Learning curves", "Differences", "Balance", "Overlap", "Checks", "Cost", "seeds"):
            assert part in text
        assert f"accuracy {found.ceiling().loc['accuracy', 'mean']:.4f}, f1 macro" in text
        assert "0, 1, 2" in text and "scikit-learn" in text

    def test_values_stand_under_the_pointer(self, page, found):
        reader = Reader()
        reader.feed(page.read_text(encoding="utf-8"))
        own = found.results[(found.results["strategy"] == "entropy") & (found.results["n_labels"] == 28)]["accuracy"]
        tips = [each for each in reader.titles if each.startswith("entropy, 28 labels: ")]
        assert len(tips) == 1 and f"{own.mean():.4f} [" in tips[0]
        row = found.summary().loc["entropy"]
        interval = f"{row['area_difference']:+.4f} [{row['area_low']:+.4f}, {row['area_high']:+.4f}]"
        assert f"entropy: {interval}, {row['area_verdict']}" in reader.titles

    def test_near_duplicates_are_framed(self, page, found):
        repeats = [pick for pick in found.first_picks if pick.is_repeat]
        text = page.read_text(encoding="utf-8")
        assert 0 < len(repeats) == text.count('<li class="repeat"') and len(found.first_picks) == 36
        queried = found.queried
        for name in found.results["strategy"].unique():
            run = queried[(queried["strategy"] == name) & (queried["seed"] == 0)]["position"].tolist()
            own = [pick for pick in found.first_picks if pick.strategy == name]
            assert [pick.position for pick in own] == run[15:27]
            for i, pick in enumerate(own):
                twin = {(pick.position + 100) % 200} & set(run[: 15 + i])
                assert pick.is_repeat or not twin

    def test_how_many_runs_would_decide_is_explained_where_it_is_said(self, page, found):
        power = "with a probability of 0.8, by the spread of these runs, and where no other strategy is compared."
        assert power in page.read_text(encoding="utf-8") and power in found.to_markdown()
        model = LogisticRegression(max_iter=100)
        one = compare([MarginSampling()], model, X.reshape(200, -1), Y, **{**SIZES, "seeds": 1})
        assert power not in one.to_markdown()

    def test_one_run_and_random_alone(self, tmp_path):
        model = LogisticRegression(max_iter=100)
        alone = compare([], model, X.reshape(200, -1), Y, **{**SIZES, "seeds": 1})
        text = alone.to_html(tmp_path / "alone.html").read_text(encoding="utf-8")
        assert "RandomSampling alone" in text and "nan" not in text and "Checks" not in text
        one = compare([MarginSampling()], model, X.reshape(200, -1), Y, **{**SIZES, "seeds": 1}, aa=True)
        text = one.to_html(tmp_path / "one.html").read_text(encoding="utf-8")
        assert "MarginSampling: not decided; a single run decides nothing." in text and "nan" not in text
        Reader().feed(text)
        assert "nan" not in one.to_markdown()

    def test_one_query_and_one_class_too_many(self, tmp_path):
        rng = np.random.default_rng(0)
        classes = np.repeat(np.arange(101), 3)
        sizes = {"n_initial": 20, "n_instances": 5, "n_queries": 1, "seeds": 2, "test_size": 0.4}
        found = compare([], LogisticRegression(), rng.normal(size=(303, 2)), classes, **sizes)
        assert found.setup["labels"] == "20 to 25, 5 in a single query"
        text = found.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
        assert "The last class is not drawn." in text

    def test_what_it_was_run_with_is_the_same_in_every_process(self):
        model = make_pipeline(FunctionTransformer(lambda X: X), LogisticRegression())
        setup = compare([], model, X.reshape(200, -1), Y, **{**SIZES, "seeds": 1}).setup
        assert "FunctionTransformer(func=<function" in setup["model"] and "0x" not in setup["model"]

    @pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
    def test_a_browser_finds_no_fault(self, page, tmp_path):
        done = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
             "--enable-logging=stderr", "--dump-dom", page.as_uri()],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        # What the page's policy refuses to load would be said on the console, as any fault would.
        assert "CONSOLE" not in done.stderr and done.stdout.count("<svg") > 5


def test_markdown(found):
    text = found.to_markdown(command="skal compare")
    lines = text.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 5 and all(len(re.findall(r"(?<!\\)\|", line)) == 9 for line in table)
    assert r"margin \<script\>alert" in text and "<script" not in text.replace(r"\<script", "")
    assert lines[-3:] == ["```", "skal compare", "```"] and sum(line.startswith("- ") for line in lines) > 8
    assert "```" not in found.to_markdown()


def test_markdown_shows_any_name_as_it_is():
    marked = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True}).enable("table")
    names = [
        "# head",
        "- item",
        "1. one",
        "+ x",
        "> said",
        "~~gone~~",
        "$x$",
        "[a](b)",
        "<b>",
        "a | b",
        "`c`",
        "*d*_e_",
    ]
    curves = [(name, seed, n, 0.5 + 0.01 * seed * n) for name in names for seed in (0, 1) for n in (0, 1)]
    results = pd.DataFrame(curves, columns=["strategy", "seed", "round", "accuracy"])
    results = results.assign(n_labels=10 * (1 + results["round"]), imbalance=0.0, query_seconds=0.0)
    summary = summarize(results, names[0])
    page = marked.render("\n".join(f"- {_cell(name)}: fine" for name in summary.index))
    assert re.findall("<li>(.*): fine</li>", page) == [html.escape(name) for name in names]
    assert page.count("<") == 2 * len(names) + 2 and all("$" not in _cell(name).replace("\\$", "") for name in names)


def test_what_cannot_be_written_is_said(found, tmp_path):
    command = "skal compare ``` and ````"
    assert found.to_markdown(command=command).splitlines()[-3:] == ["`````", command, "`````"]
    for wrong in (5, ["skal"]):
        with pytest.raises(TypeError, match="'command' of to_html must be a text or None. Got "):
            found.to_html(tmp_path / "report.html", command=wrong)
        with pytest.raises(TypeError, match="'command' of to_markdown must be a text or None. Got "):
            found.to_markdown(command=wrong)
    with pytest.raises(FileNotFoundError, match="nowhere.report.html'$"):
        found.to_html(tmp_path / "nowhere" / "report.html")
    with pytest.raises(OSError, match=f"{tmp_path.name}'$"):
        found.to_html(tmp_path)
    assert list(tmp_path.iterdir()) == []
    # As of a folder whose name is not in UTF-8.
    path = found.to_html(tmp_path / "report.html", command="skal compare --data \udce9t\udce9")
    assert "--data ?t?" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("results", "reference", "error", "message"),
    [
        (
            "results.csv",
            "a",
            TypeError,
            "'results' of Comparison must be a DataFrame, as of compare. Got 'results.csv'",
        ),
        (pd.DataFrame({"x": [1]}), "a", TypeError, "'results' of Comparison must be a DataFrame"),
        (pd.DataFrame({"strategy": ["ab"]}), "a", ValueError, "The 'reference' must be the name of a strategy: ab. Go"),
    ],
)
def test_what_is_no_comparison(results, reference, error, message):
    with pytest.raises(error, match=message):
        Comparison(results, reference)


class TestCharts:
    def results(self, scores):
        rows = [("a", seed, n, score) for seed in range(3) for n, score in ((10, scores[0]), (20, scores[1]))]
        return pd.DataFrame(rows, columns=["strategy", "seed", "n_labels", "accuracy"])

    def test_curves_that_are_level_but_for_rounding_have_short_ticks(self):
        ticks = re.findall(r">([-0-9.]+)</text>", curves_chart(self.results((0.1, 0.1)), {"a": None}, None))
        assert "0.0" in ticks and all(len(tick) < 6 for tick in ticks)

    def test_long_ticks_have_room(self):
        chart = curves_chart(self.results((-12345678.0, -9876543.0)), {"a": None}, None)
        at = float(re.search(r'<text x="([0-9.]+)"[^>]*>-1\d{7}<', chart)[1])
        assert at > 9 * 0.6 * 13

    def test_names_are_cut_to_their_room(self):
        rows = {name: {"area_difference": 0.0, "area_low": -1.0, "area_high": 1.0, "area_verdict": "undecided"} for name
                in ("r", "W" * 40)}  # fmt: skip
        chart = forest_chart(pd.DataFrame(rows).T, {"r": None, "W" * 40: 0}, "r")
        assert f">{'W' * 15}\u2026<" in chart
        wide = balance_chart(pd.Series([1.0] * 10, index=["\u6226" * 9] * 10), 1.0, 0)
        assert wide.count(">\u6226\u6226\u6226\u2026<") == 10


class TestSentences:
    @pytest.fixture
    def row(self):
        return pd.Series(
            {
                "n_seeds": 20, "area_verdict": "better", "area_difference": 0.0213, "area_low": 0.01, "area_high": 0.03,
                "labels_needed": 505.2, "labels_needed_reference": 808.0, "labels_saved_low": 218.0,
                "labels_saved_high": 378.0,
            }, name="M",
        )  # fmt: skip

    def test_decided(self, row):
        assert sentence(row, "R", "f1_macro", 9) == (
            "M is better: it needed about 505 labels where R needed 808 (95% interval 430 to 590, 20 runs); its mean "
            "f1 macro was 0.021 above."
        )
        worse = row.replace("better", "worse")
        worse["area_difference"], worse["labels_saved_high"] = -0.5, 900
        assert "M is worse: " in sentence(worse, "R", "x", 9) and "interval 0 to 590" in sentence(worse, "R", "x", 9)
        assert sentence(worse, "R", "x", 9).endswith("its mean x was 0.500 below.")
        row["area_difference"] = 0.00031
        assert sentence(row, "R", "x", 9).endswith("its mean x was 0.0003 above.")

    def test_undecided(self, row):
        row["area_verdict"], row["area_low"] = "undecided", -0.01
        found = "(mean accuracy +0.021 against R, 95% interval -0.010 to +0.030, 20 runs)."
        more = "M: not decided; about 14 more runs would decide a difference of 0.01 "
        assert sentence(row, "R", "accuracy", 34.0) == more + found
        assert sentence(row, "R", "accuracy", 21.0).startswith("M: not decided; about 1 more run would decide a ")
        enough = "M: not decided, and 20 runs would show a difference of 0.01 as a rule "
        assert sentence(row, "R", "accuracy", 20.0) == enough + found
        # The interval leaves 0 out: it is Holm's correction that does not decide.
        for low, high in ((0.01, 0.03), (-0.03, -0.01)):
            row["area_low"], row["area_high"] = low, high
            assert sentence(row, "R", "accuracy", 5.0).startswith(
                "M: not decided once its p-value is adjusted for the number of strategies (mean accuracy +0.021 against"
            )
        row["n_seeds"] = 1
        assert sentence(row, "R", "accuracy", np.nan) == "M: not decided; a single run decides nothing."
        row["area_verdict"] = "reference"
        assert sentence(row, "R", "accuracy", np.nan) == "M is what the others are compared with."


class TestPictures:
    def picks(self, X, n=20):
        queried = pd.DataFrame({"strategy": "a", "seed": 0, "round": [0, 1, 1], "position": [1, 4, 2]})
        found = first_picks(X, np.array(["y"] * n), queried, ["a"], 0)
        assert [pick.position for pick in found] == [4, 2] and found[0].label == "y"
        return found[0]

    def test_pictures_show_the_range_of_the_values(self):
        rng = np.random.default_rng(0)
        colours = rng.integers(0, 256, (20, 3, 5, 4)).astype(np.uint8)
        np.testing.assert_array_equal(self.picks(colours).picture, colours[4].transpose(1, 2, 0))
        grey = np.broadcast_to(colours[4, :1].transpose(1, 2, 0), (5, 4, 3))
        shares = colours[:, :1] / 255
        np.testing.assert_array_equal(self.picks(shares).picture, grey)
        np.testing.assert_array_equal(self.picks(shares[:, 0]).picture, grey)
        np.testing.assert_array_equal(self.picks(torch.tensor(shares)).picture, grey)
        pairs = TensorDataset(torch.tensor(shares), torch.arange(20))
        np.testing.assert_array_equal(self.picks(pairs).picture, grey)
        signed = self.picks(rng.normal(size=(20, 1, 200, 130))).picture
        assert signed.shape == (50, 33, 3) and signed.min() == 0 and signed.max() == 255
        assert not self.picks(np.zeros((20, 3, 4, 4))).picture.any()

    def test_texts_in_place_of_pictures(self):
        table = np.arange(60.0).reshape(20, 3)
        assert self.picks(table).text == "12, 13, 14" and self.picks(table).picture is None
        frame = pd.DataFrame(table, columns=["a", "b", "c"])
        assert self.picks(frame).text == "a: 12, b: 13, c: 14"
        mixed = frame.assign(
            b=[f"word {i}" for i in range(20)], d=[i > 3 for i in range(20)], e=pd.Categorical(["x"] * 20)
        )
        assert self.picks(mixed).text == "a: 12, b: word 4, c: 14, d: True, e: x"
        polars = pytest.importorskip("polars").DataFrame({"a": np.arange(20) / 3, "b": ["word"] * 20})
        assert self.picks(polars).text == "a: 1.33, b: word"
        texts = [f"number {i} " + "word " * 100 for i in range(20)]
        for kind in (texts, np.array(texts, dtype=object)):
            assert self.picks(kind).text.startswith("number 4 word") and len(self.picks(kind).text) == 120
        assert self.picks(np.zeros((20, 5, 4, 4))).text.startswith("0, 0, 0")

    def test_png_is_what_others_read(self):
        image = pytest.importorskip("PIL.Image")
        picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
        content = base64.b64decode(png_url(picture).removeprefix("data:image/png;base64,"))
        np.testing.assert_array_equal(np.asarray(image.open(io.BytesIO(content))), picture)
