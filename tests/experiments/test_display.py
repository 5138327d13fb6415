import builtins
import warnings

import numpy as np
import pandas as pd
import pytest

from skal.experiments import AcrossDataSets, Comparison
from skal.experiments._display import fitted
from skal.experiments._statistics import mean_interval


def made_up(n_seeds=4, shifts=(0.0, 0.05, -0.05, 0.0)):
    rows = []
    for name, shift in zip(("Random", "Good", "Bad", "Same"), shifts, strict=True):
        noise = np.random.default_rng(len(name) + 7 * len(rows)).normal(0, 0.004, (n_seeds, 4))
        for seed in range(n_seeds):
            for round_ in range(4):
                rows.append(
                    {
                        "strategy": name,
                        "seed": seed,
                        "round": round_,
                        "n_labels": 10 + 10 * round_,
                        "accuracy": 0.5 + 0.1 * round_ + shift * round_ + noise[seed, round_],
                        "imbalance": 0.1,
                        "fit_seconds": 1.0,
                        "query_seconds": np.nan if round_ == 0 else 0.0123,
                    }
                )
    return Comparison(pd.DataFrame(rows), "Random")


def test_table_says_everything_in_one_line_per_strategy():
    found = made_up()
    summary = found.summary()
    lines = found.table().splitlines()
    rows = {line.split()[0]: line for line in lines[3:7]}
    assert list(rows) == ["Random", "Good", "Bad", "Same"]
    assert rows["Random"].count("reference") == 2
    assert rows["Good"].count(" better") == 2 and rows["Bad"].count(" worse") == 2
    assert rows["Same"].count(" undecided") == 2
    for name, line in rows.items():
        row = summary.loc[name]
        assert f"{row['final']:.4f}" in line and f"{row['area']:.4f}" in line and "0.012" in line
    good = summary.loc["Good"]
    assert f"{good['area_difference']:+.4f} [{good['area_low']:+.4f}, {good['area_high']:+.4f}] better" in rows["Good"]
    # The verdicts of winners and losers stand in the same columns.
    assert rows["Good"].index("[") == rows["Bad"].index("[")
    assert "4 paired runs" in lines[8] and "adjusted for 3 strategies (Holm)" in lines[8]
    assert lines[9].startswith("The best score of Random was missed by Bad in 4")


def test_one_seed_is_undecided():
    text = made_up(n_seeds=1).table()
    assert text.count("[one run] undecided") == 6 and "1 paired run per strategy" in text
    assert "The best score of Random was missed by Bad in 1 of 1 run: " in text


class TestPlot:
    def test_draws_means_and_intervals(self, tmp_path, monkeypatch):
        figure_module = pytest.importorskip("matplotlib.figure")
        figures = []
        original = figure_module.Figure.savefig

        def keep(self, *args, **kwargs):
            figures.append(self)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(figure_module.Figure, "savefig", keep)
        found = made_up()
        assert found.plot(tmp_path / "curves.png") == tmp_path / "curves.png"
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
        curves, differences = figures[0].axes
        assert [text.get_text() for text in curves.get_legend().get_texts()] == [
            "Random",
            "Good",
            "Bad",
            "Same",
        ]
        assert curves.get_xlabel() == "labels" and curves.get_ylabel() == "test accuracy"
        table = found.results[found.results["strategy"] == "Good"].pivot(
            index="round", columns="seed", values="accuracy"
        )
        intervals = [mean_interval(values) for values in table.to_numpy()]
        np.testing.assert_allclose(curves.lines[1].get_ydata(), [interval.mean for interval in intervals])
        band = curves.collections[1].get_paths()[0].get_extents()
        assert band.y0 == pytest.approx(min(interval.low for interval in intervals))
        assert band.y1 == pytest.approx(max(interval.high for interval in intervals))
        assert [text.get_text().split()[-1] for text in differences.texts] == ["better", "worse", "undecided"]
        assert [label.get_text() for label in differences.get_yticklabels()] == ["Good", "Bad", "Same"]

    def test_displays_draw_where_they_are_told(self):
        figure_module = pytest.importorskip("matplotlib.figure")
        found = made_up()
        ax = figure_module.Figure().subplots()
        curves = found.displays.curves.plot(ax=ax)
        assert curves.ax_ is ax and curves.figure_ is ax.figure and len(ax.lines) == 4
        differences = found.displays.differences.plot()
        assert len(differences.ax_.texts) == 3 and differences.figure_ is not ax.figure

    def test_a_display_of_its_own_is_one_that_pyplot_shows(self, tmp_path):
        pyplot = pytest.importorskip("matplotlib.pyplot")
        before, found = pyplot.get_fignums(), made_up()
        shown = [found.displays.curves.plot().figure_.number, found.displays.differences.plot().figure_.number]
        assert pyplot.get_fignums() == before + shown
        found.plot(tmp_path / "file.png")
        assert pyplot.get_fignums() == before + shown
        for number in shown:
            pyplot.close(number)

    def test_random_alone_and_one_seed(self, tmp_path):
        pytest.importorskip("matplotlib")
        one = made_up(n_seeds=1)
        one.plot(tmp_path / "one.png")
        Comparison(one.results[one.results["strategy"] == "Random"], "Random").plot(tmp_path / "alone.png")

    def test_without_matplotlib(self, tmp_path, monkeypatch):
        original = builtins.__import__

        def no_matplotlib(name, *args, **kwargs):
            if name.startswith("matplotlib"):
                raise ImportError(name)
            return original(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", no_matplotlib)
        with pytest.raises(ImportError, match=r'pip install "skal\[plot\]"'):
            made_up().plot(tmp_path / "curves.png")
        with pytest.raises(ImportError, match=r'pip install "skal\[plot\]"'):
            made_up().displays.curves.plot()


class TestNames:
    def test_cut_where_they_are_too_wide(self):
        assert fitted("RandomSampling", 10) == "RandomSampling" and fitted("", 1) == ""
        assert fitted("abcdefghij", 4) == "abcd\u2026" and fitted("W" * 40, 10) == "W" * 9 + "\u2026"
        # Signs of East Asia are as wide as high, and one at least is kept.
        assert fitted("\u6226" * 12, 10) == "\u6226" * 9 + "\u2026" and fitted("ab", 0.1) == "a\u2026"

    def test_any_name_stands_in_pictures_as_it_is(self, tmp_path):
        pyplot = pytest.importorskip("matplotlib.pyplot")
        names = ["_mine", r"$\frac{$", "a$b$", "W" * 60]
        results = made_up().results
        results["strategy"] = results["strategy"].map(dict(zip(results["strategy"].unique(), names, strict=True)))
        results = results.rename(columns={"accuracy": "$\\x$"})
        found = Comparison(results, names[1])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found.plot(tmp_path / "curves.png")
            AcrossDataSets({"a": found, "b": found}).plot(tmp_path / "ranks.png")
        drawn = found.displays.curves.plot().ax_
        figure = drawn.figure
        figure.canvas.draw()
        legend = drawn.get_legend().get_texts()
        assert [text.get_text() for text in legend[:3]] == [" _mine", r"\$\frac{\$", r"a\$b\$"]
        assert legend[3].get_text() == "W" * 15 + "\u2026"
        # Nothing reaches out of the figure.
        assert all(figure.bbox.containsx(text.get_window_extent().x1) for text in legend)
        pyplot.close(figure)
