"""Comparisons on several data sets."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skal.experiments import AcrossDataSets, Comparison


def comparison(rng, areas, n_seeds=4, noise=0.0):
    """A comparison of curves that are level, so that area and final score are what is given."""
    rows = [
        {
            "strategy": name, "seed": seed, "round": round_, "n_labels": 10 + 10 * round_,
            "accuracy": area + noise * rng.normal(), "imbalance": 0.0, "query_seconds": 0.0,
        }
        for name, area in areas.items() for seed in range(n_seeds) for round_ in range(2)
    ]  # fmt: skip
    return Comparison(pd.DataFrame(rows), next(iter(areas)))


@pytest.fixture
def found():
    """Ten data sets: a is always best, b and c take turns, d is last."""
    rng = np.random.default_rng(0)
    sets = {}
    for i in range(10):
        level = rng.uniform(0.4, 0.8)
        areas = {"b": 0.05 + 0.01 * (i % 2), "a": 0.1, "c": 0.06 - 0.01 * (i % 2) + 0.001 * i, "d": 0.0}
        areas = {name: level + value for name, value in areas.items()}
        sets[f"set {i}"] = comparison(rng, {**areas, f"only {i}": 0.5}, noise=0.002)
    return AcrossDataSets(sets)


def test_table_ranks_and_friedman(found):
    assert repr(found) == "AcrossDataSets(4 strategies; 10 data sets)"
    table = found.table()
    assert table.index.tolist() == ["b", "a", "c", "d"] and table.shape == (4, 10)
    assert table.loc["a", "set 3"] == found.comparisons["set 3"].summary().loc["a", "area"]
    ranks = found.ranks()
    assert ranks.index[0] == "a" and ranks["a"] == 1 and ranks["d"] == 4 and ranks["b"] + ranks["c"] == 5
    assert found.friedman() == stats.friedmanchisquare(*table.to_numpy()).pvalue < 1e-4
    final = AcrossDataSets(found.comparisons, measure="final").table()
    assert final.loc["b", "set 0"] == found.comparisons["set 0"].summary().loc["b", "final"]


def test_pairs_are_wilcoxons_with_holm(found):
    pairs, table = found.pairs(), found.table()
    assert len(pairs) == 6
    plain = [stats.wilcoxon(table.loc[row.first] - table.loc[row.second]).pvalue for row in pairs.itertuples()]
    least = sorted(plain)
    for p, row in zip(plain, pairs.itertuples(), strict=True):
        expected = max(min(1, (6 - i) * q) for i, q in enumerate(least) if q <= p)
        assert row.p == pytest.approx(expected)
        assert row.difference == pytest.approx((table.loc[row.first] - table.loc[row.second]).mean())
    of = {(row.first, row.second): row.verdict for row in pairs.itertuples()}
    undecided = [pair for pair, verdict in of.items() if verdict == "undecided"]
    assert [set(pair) for pair in undecided] == [{"b", "c"}] and set(of.values()) == {"better", "undecided"}
    assert found.groups() == [sorted(["b", "c"], key=found.ranks().index.get_loc)]


def test_wins_are_verdicts_by_seed(found):
    wins = found.wins()
    assert wins.loc["a", "d"] == 10 and wins.loc["d"].sum() == 0 and (np.diag(wins) == 0).all()
    words = [one.summary("c").loc["b", "area_verdict"] for one in found.comparisons.values()]
    assert wins.loc["b", "c"] == words.count("better") and 0 < wins.loc["b", "c"] < 10


def test_equals_and_two_strategies():
    rng = np.random.default_rng(0)
    same = AcrossDataSets({str(i): comparison(rng, {"a": 0.5, "b": 0.5, "c": 0.5}) for i in range(6)})
    assert same.friedman() == 1 and same.ranks().tolist() == [2, 2, 2] and same.groups() == [["a", "b", "c"]]
    assert (same.pairs()["verdict"] == "undecided").all() and (same.wins() == 0).all(axis=None)
    two = AcrossDataSets({str(i): comparison(rng, {"a": 0.5, "b": 0.6 + i / 100}) for i in range(6)})
    assert two.friedman() == 2 / 2**6 and two.pairs()["verdict"].tolist() == ["better"] and two.groups() == []


def test_picture(found, tmp_path):
    pytest.importorskip("matplotlib")
    assert found.plot(tmp_path / "ranks.png").read_bytes().startswith(b"\x89PNG")


def test_errors(found):
    one = found.comparisons["set 0"]
    with pytest.raises(TypeError, match=r"'comparisons' must be a dict of Comparison by data set. Got \["):
        AcrossDataSets([one, one])
    with pytest.raises(TypeError, match=r"'comparisons' must be a dict of Comparison"):
        AcrossDataSets({"a": one, "b": 3})
    with pytest.raises(ValueError, match=r"'comparisons' must be of two data sets or more. Got 1."):
        AcrossDataSets({"a": one})
    with pytest.raises(ValueError, match=r"'measure' must be one of area, final. Got 'accuracy'."):
        AcrossDataSets({"a": one, "b": one}, measure="accuracy")
    other = comparison(np.random.default_rng(0), {"b": 0.5, "x": 0.5})
    losses = Comparison(one.results.rename(columns={"accuracy": "neg_log_loss"}), one.reference)
    with pytest.raises(ValueError, match=r"one score that decides, .* Got accuracy on b, neg_log_loss on c.$"):
        AcrossDataSets({"a": one, "b": one, "c": losses})
    with pytest.raises(ValueError, match=r"must have two strategies or more in common. Got b."):
        AcrossDataSets({"a": one, "b": other})
