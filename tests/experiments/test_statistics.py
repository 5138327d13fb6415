import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skal.experiments._statistics import Interval, mean_interval, summarize, verdict
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


class TestSummarize:
    @pytest.fixture
    def results(self):
        named = {"Rand": RANDOM, "Better": BETTER, "Mixed": MIXED, "Worse": WORSE}
        return pd.DataFrame([row for name, table in named.items() for row in curves(name, table)])

    def test_means_and_order(self, results):
        summary = summarize(results, "Rand")
        assert list(summary.index) == ["Rand", "Better", "Mixed", "Worse"]
        assert (summary["n_seeds"] == 3).all()
        assert summary.loc["Rand", "final_accuracy"] == pytest.approx(0.65)
        assert summary.loc["Rand", "area"] == pytest.approx((0.5 + 0.575 + 0.5375) / 3)
        assert summary["imbalance"].to_numpy() == pytest.approx([0.2] * 4)
        assert summary["query_seconds"].to_numpy() == pytest.approx([0.75] * 4)

    def test_paired_differences_are_those_of_a_paired_t_test(self, results):
        summary = summarize(results, "Rand")
        labels = [10, 20, 30]
        for name, table in (("Better", BETTER), ("Mixed", MIXED), ("Worse", WORSE)):
            own = [area_under_learning_curve(labels, row) for row in table]
            base = [area_under_learning_curve(labels, row) for row in RANDOM]
            expected = stats.ttest_rel(own, base).confidence_interval(0.95)
            row = summary.loc[name]
            assert row["area_difference"] == pytest.approx(np.mean(own) - np.mean(base))
            assert (row["area_low"], row["area_high"]) == pytest.approx((expected.low, expected.high))
        assert list(summary["area_verdict"]) == ["reference", "better", "undecided", "worse"]
        assert list(summary["final_accuracy_verdict"]) == ["reference", "better", "undecided", "worse"]

    def test_labels_saved_are_paired_by_seed(self, results):
        row = summarize(results, "Rand").loc["Better"]
        labels = [10, 20, 30]
        saved = [label_savings(labels, own, labels, base) for own, base in zip(BETTER, RANDOM, strict=True)]
        assert row["labels_saved"] == pytest.approx(np.mean(saved))
        assert row["labels_saved_low"] == pytest.approx(mean_interval(saved).low)
        assert row["labels_saved_verdict"] == "better"

    def test_rows_in_any_order(self, results):
        shuffled = results.sample(frac=1, random_state=0)
        ordered = summarize(results, "Rand")
        pd.testing.assert_frame_equal(summarize(shuffled, "Rand").loc[ordered.index], ordered)

    def test_reference_is_compared_with_nothing(self, results):
        row = summarize(results, "Rand").loc["Rand"]
        assert np.isnan(row["area_difference"]) and np.isnan(row["labels_saved"])
