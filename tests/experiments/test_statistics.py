import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skal.experiments._statistics import (
    Interval,
    adjust,
    check_correction,
    exact_p,
    mean_interval,
    paired_p,
    runs_needed,
    score_columns,
    summarize,
    verdict,
)
from skal.metrics import area_under_learning_curve, label_savings


def curves(strategy, table, labels=(10, 20, 30)):
    """Rows of results from accuracies (n_seeds, n_rounds)."""
    return [
        {
            "strategy": strategy,
            "seed": seed,
            "round": round_,
            "n_labels": labels[round_],
            "accuracy": accuracy,
            "imbalance": 0.1 * round_,
            "fit_seconds": 1.0,
            "query_seconds": np.nan if round_ == 0 else 0.5 * round_,
        }
        for seed, row in enumerate(table)
        for round_, accuracy in enumerate(row)
    ]


RANDOM = [[0.4, 0.5, 0.6], [0.5, 0.55, 0.7], [0.3, 0.6, 0.65]]
BETTER = [[0.4, 0.6, 0.7], [0.5, 0.67, 0.8], [0.3, 0.7, 0.75]]
MIXED = [[0.4, 0.4, 0.5], [0.5, 0.66, 0.78], [0.3, 0.6, 0.65]]
WORSE = [[0.4, 0.4, 0.5], [0.5, 0.44, 0.61], [0.3, 0.5, 0.57]]


def test_interval_is_scipys():
    values = [0.1, 0.4, 0.2, -0.3, 0.25]
    found = mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found == pytest.approx((np.mean(values), expected.low, expected.high), rel=1e-12)
    narrow = mean_interval(values, level=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_interval_by_hand():
    # Two values 0 and 2: mean 1, standard error 1, t(0.975, 1) = 12.7062.
    assert mean_interval([0, 2]) == pytest.approx((1, -11.7062, 13.7062), abs=1e-4)


def test_one_seed_has_no_interval_and_decides_nothing():
    found = mean_interval([0.3])
    assert found.mean == 0.3 and np.isnan(found.low) and np.isnan(found.high)
    assert verdict(found) == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.1, 0.2, "better"),
        (-0.2, -0.1, "worse"),
        (-0.1, 0.2, "undecided"),
        (0, 0, "undecided"),
        (0, 1, "undecided"),
    ],
)
def test_verdict(low, high, word):
    assert verdict(Interval((low + high) / 2, low, high)) == word


class TestTests:
    def test_paired_p_is_scipys_and_agrees_with_the_interval(self):
        rng = np.random.default_rng(0)
        for n in (2, 5, 20):
            for _ in range(20):
                values = rng.normal(0.8, 1, n)
                p = paired_p(values)
                assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-9)
                assert (p < 0.05) == (verdict(mean_interval(values)) != "undecided")

    def test_differences_without_spread(self):
        assert paired_p([0, 0, 0]) == 1 and paired_p([0.25, 0.25]) == 0 and np.isnan(paired_p([0.3]))
        assert exact_p([0, 0, 0]) == 1 and exact_p([0.25, 0.25]) == 0.5 and exact_p([0.3]) == 1

    @pytest.mark.parametrize("n", [1, 2, 5, 9])
    def test_exact_p_counts_all_signs(self, n):
        rng = np.random.default_rng(n)
        # Rounded, so that sums tie.
        for values in (*rng.normal(0.5, 1, (5, n)).round(1), np.full(n, 0.1)):
            sums = [abs(np.dot(signs, values)) for signs in itertools.product((-1, 1), repeat=n)]
            expected = np.mean([total >= abs(values.sum()) - 1e-9 for total in sums])
            assert exact_p(values) == expected >= 2.0 ** (1 - n)

    def test_exact_p_of_many_is_wilcoxons(self):
        values = np.random.default_rng(0).normal(0.3, 1, 17)
        assert exact_p(values) == stats.wilcoxon(values).pvalue
        assert exact_p(values[:16]) != stats.wilcoxon(values[:16]).pvalue

    def test_holm_by_hand(self):
        # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04, which must not fall.
        found = adjust([0.03, 0.01, np.nan, 0.04, 0.02], "holm")
        assert found == pytest.approx([0.06, 0.04, np.nan, 0.06, 0.06], nan_ok=True)
        assert adjust([0.5, 0.9], "holm").tolist() == [1, 1]
        assert adjust([0.5, 0.01], None).tolist() == [0.5, 0.01] and adjust([], "holm").size == 0

    @pytest.mark.parametrize("wrong", ["bonferroni", True, 0])
    def test_unknown_correction(self, wrong):
        with pytest.raises(ValueError, match=rf"The 'correction' of compare must be 'holm' or None. Got {wrong!r} ins"):
            check_correction(wrong)


class TestRunsNeeded:
    @pytest.mark.parametrize("ratio", [0.15, 0.5, 1.0, 2.0, 5.0])
    def test_it_is_the_first_count_of_enough_power(self, ratio):
        def power(n):
            edge = stats.t.ppf(0.975, n - 1)
            return stats.nct.sf(edge, n - 1, ratio * n**0.5) + stats.nct.cdf(-edge, n - 1, ratio * n**0.5)

        assert runs_needed(1.0, ratio) == next(n for n in itertools.count(2) if power(n) >= 0.8)

    def test_known_values(self):
        # Tables of the paired t test: 34 pairs for d = 0.5, 199 for 0.2; 7,850 for many as for the normal law.
        assert runs_needed(0.02, 0.01) == 34 and runs_needed(0.05, 0.01) == 199
        assert runs_needed(1.0, 1e-1) == 787 and runs_needed(1.0, 1e-2) == pytest.approx((2.8016 / 0.01) ** 2, rel=1e-3)
        assert runs_needed(0.0, 0.01) == 2 and np.isnan(runs_needed(float("nan"), 0.01))

    def test_differences_far_from_their_spread(self):
        assert [runs_needed(deviation, 0.01) for deviation in (1e-4, 1e-9, 1e-17, 1e-300)] == [2, 2, 2, 2]
        for ratio in (1e-6, 1e-10, 1e-14):
            assert runs_needed(0.01, 0.01 * ratio) == pytest.approx((2.80158 / ratio) ** 2, rel=1e-4)
        assert runs_needed(1.0, 1e-300) == np.inf

    @pytest.mark.parametrize("wrong", [0, -0.1, np.nan, np.inf, True, "1 %", None])
    def test_no_difference(self, wrong):
        with pytest.raises(ValueError, match=r"The 'difference' of runs_needed must be a number above 0. Got "):
            runs_needed(1.0, wrong)


def simulated(rng, n_runs, shifts, n_rounds=6, within=0.02, between=0.03):
    """Results on curves as runs have them: a level by seed, noise by round, and a shift by strategy."""
    labels = np.arange(1, n_rounds + 1) * 20
    levels = 0.9 - 0.5 * np.exp(-np.arange(n_rounds) / 2) + rng.normal(0, between, (n_runs, 1))
    table = {name: levels + shift + rng.normal(0, within, (n_runs, n_rounds)) for name, shift in shifts.items()}
    return pd.DataFrame([row for name, scores in table.items() for row in curves(name, scores, labels)])


class TestErrorRates:
    """On simulated curves, in short; benchmarks/compare_aa.py counts many more."""

    @pytest.mark.parametrize("n_runs", [5, 8, 20])
    def test_equal_strategies_are_decided_in_one_of_twenty(self, n_runs):
        rng = np.random.default_rng(n_runs)
        words = [
            summarize(simulated(rng, n_runs, {"a": 0, "b": 0}, n_rounds=2), "a")["area_verdict"]["b"]
            for _ in range(200)
        ]
        assert 0.02 <= np.mean([word != "undecided" for word in words]) <= 0.08

    def test_holm_holds_the_rate_of_any_of_five(self):
        rng = np.random.default_rng(1)
        shifts = dict.fromkeys("abcdef", 0)
        plain, holm = [], []
        for _ in range(200):
            summary = summarize(simulated(rng, 8, shifts, n_rounds=2), "a")[1:]
            holm.append((summary["area_verdict"] != "undecided").any())
            # The least of five is multiplied by five.
            plain.append(summary["area_p"].min() / 5 < 0.05)
        assert 0.02 <= np.mean(holm) <= 0.08 < np.mean(plain)

    def test_two_standard_deviations_are_decided_with_ten_runs(self):
        rng = np.random.default_rng(2)
        for _ in range(20):
            # Of the areas of two rounds, and of their differences.
            results = simulated(rng, 10, {"a": 0, "b": 0.04, "c": -0.04}, n_rounds=2, within=0.02)
            assert summarize(results, "a")["area_verdict"].tolist() == ["reference", "better", "worse"]


class TestSummarize:
    @pytest.fixture
    def results(self):
        named = {"Rand": RANDOM, "Better": BETTER, "Mixed": MIXED, "Worse": WORSE}
        return pd.DataFrame([row for name, table in named.items() for row in curves(name, table)])

    def test_means_and_order(self, results):
        summary = summarize(results, "Rand")
        assert list(summary.index) == ["Rand", "Better", "Mixed", "Worse"]
        assert (summary["n_seeds"] == 3).all()
        assert summary.loc["Rand", "final"] == pytest.approx(0.65)
        assert summary.loc["Rand", "area"] == pytest.approx((0.5 + 0.575 + 0.5375) / 3)
        assert summary["imbalance"].to_numpy() == pytest.approx([0.2] * 4)
        assert summary["query_seconds"].to_numpy() == pytest.approx([0.75] * 4)

    def test_paired_differences_are_those_of_a_paired_t_test(self, results):
        summary = summarize(results, "Rand", None)
        labels = [10, 20, 30]
        for name, table in (("Better", BETTER), ("Mixed", MIXED), ("Worse", WORSE)):
            own = [area_under_learning_curve(labels, row) for row in table]
            base = [area_under_learning_curve(labels, row) for row in RANDOM]
            expected = stats.ttest_rel(own, base).confidence_interval(0.95)
            row = summary.loc[name]
            assert row["area_difference"] == pytest.approx(np.mean(own) - np.mean(base))
            assert (row["area_low"], row["area_high"]) == pytest.approx((expected.low, expected.high))
        assert list(summary["area_verdict"]) == ["reference", "better", "undecided", "worse"]
        assert list(summary["final_verdict"]) == ["reference", "better", "undecided", "worse"]

    def test_labels_saved_are_paired_by_seed(self, results):
        row = summarize(results, "Rand").loc["Better"]
        labels = [10, 20, 30]
        saved = [label_savings(labels, own, labels, base) for own, base in zip(BETTER, RANDOM, strict=True)]
        assert row["labels_saved"] == pytest.approx(np.mean(saved))
        assert row["labels_saved_low"] == pytest.approx(mean_interval(saved).low)
        assert row["labels_saved_verdict"] == "better"

    @pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
    def test_rounding_is_no_difference(self, scale):
        table = scale * np.array([[0.1, 0.7], [0.2, 0.6], [0.3, 0.9]])
        noisy = pd.DataFrame(curves("a", table) + curves("b", table * (1 + 4e-16)))
        row = summarize(noisy, "a").loc["b"]
        for measure in ("area", "final"):
            assert row[f"{measure}_verdict"] == "undecided" and row[f"{measure}_difference"] == 0
            assert row[f"{measure}_p"] == row[f"{measure}_exact_p"] == 1
        assert summarize(noisy, "b").loc["a", "labels_saved_censored"] == 0
        small = pd.DataFrame(curves("a", table) + curves("b", table * (1 + 1e-9)))
        assert summarize(small, "a").loc["b", "area_difference"] > 0
        assert summarize(small, "b").loc["a", "labels_saved_censored"] == 3

    def test_rows_in_any_order(self, results):
        shuffled = results.sample(frac=1, random_state=0)
        ordered = summarize(results, "Rand")
        pd.testing.assert_frame_equal(summarize(shuffled, "Rand").loc[ordered.index], ordered)

    def test_reference_is_compared_with_nothing(self, results):
        row = summarize(results, "Rand").loc["Rand"]
        assert np.isnan(row["area_difference"]) and np.isnan(row["labels_saved"])

    def test_p_values_are_adjusted_for_the_strategies(self, results):
        plain, holm = (summarize(results, "Rand", correction) for correction in (None, "holm"))
        for measure in ("area", "final", "labels_saved"):
            for kind in ("p", "exact_p"):
                expected = adjust(plain[f"{measure}_{kind}"], "holm")
                np.testing.assert_array_equal(holm[f"{measure}_{kind}"], expected)
        labels = [10, 20, 30]
        areas = {name: np.array([area_under_learning_curve(labels, row) for row in table]) for name, table in
                 (("r", RANDOM), ("b", BETTER))}  # fmt: skip
        assert plain.loc["Better", "area_p"] == pytest.approx(stats.ttest_rel(areas["b"], areas["r"]).pvalue)
        assert plain.loc["Better", "area_exact_p"] == 0.25
        assert (plain.filter(like="_low").fillna(0) == holm.filter(like="_low").fillna(0)).all(axis=None)

    def test_a_verdict_may_fall_with_the_number_of_strategies(self):
        rng = np.random.default_rng(0)
        table = 0.5 + rng.normal(0, 0.01, (6, 2))
        b = table + rng.normal(0.009, 0.008, (6, 2))
        results = pd.DataFrame(curves("a", table) + curves("b", b))
        assert summarize(results, "a")["area_verdict"]["b"] == "better"
        more = pd.concat([results, *(pd.DataFrame(curves(name, table + noise)) for name, noise in
                                     zip("cdefghij", rng.normal(0, 0.01, (8, 6, 2))))])  # fmt: skip
        assert summarize(more, "a")["area_verdict"]["b"] == "undecided"
        assert summarize(more, "a", None)["area_verdict"]["b"] == "better"

    def test_labels_needed_and_where_they_are_a_bound(self, results):
        summary = summarize(results, "Rand")
        labels = [10, 20, 30]
        for name, table in (("Better", BETTER), ("Worse", WORSE)):
            needed, base = [], []
            for own, other in zip(table, RANDOM, strict=True):
                best = min(max(own), max(other))
                for curve, found in ((own, needed), (other, base)):
                    found.append(np.interp(best, np.maximum.accumulate(curve), labels))
            row = summary.loc[name]
            assert row["labels_needed"] == pytest.approx(np.mean(needed))
            assert row["labels_needed_reference"] == pytest.approx(np.mean(base))
            assert row["labels_saved"] == pytest.approx(np.mean(base) - np.mean(needed))
        assert summary["labels_saved_censored"].tolist() == [0, 0, 1, 3]

    def test_several_scores(self, results):
        both = results.assign(f1=results["accuracy"] / 2)
        both = both[[*results.columns[:5], "f1", *results.columns[5:]]]
        assert score_columns(both) == ["accuracy", "f1"]
        summary = summarize(both, "Rand")
        pd.testing.assert_frame_equal(summary[summarize(results, "Rand").columns], summarize(results, "Rand"))
        assert summary["f1"].tolist() == pytest.approx((summary["accuracy"] / 2).tolist())
        for end in ("difference", "low", "high"):
            assert summary[f"f1_{end}"].tolist() == pytest.approx((summary[f"final_{end}"] / 2).tolist(), nan_ok=True)
        assert summary["f1_verdict"].tolist() == summary["final_verdict"].tolist()
        assert summary["accuracy"].tolist() == summary["final"].tolist()
