import numpy as np
import pytest
from scipy import integrate, stats

from skal.metrics import area_under_learning_curve, label_savings, labeled_imbalance


class TestArea:
    def test_equals_scipy_on_uneven_counts(self):
        rng = np.random.default_rng(0)
        for n_points in (2, 3, 17):
            labels = np.cumsum(rng.integers(1, 50, n_points))
            scores = rng.random(n_points)
            expected = integrate.trapezoid(scores, labels)
            assert area_under_learning_curve(labels, scores, normalize=False) == pytest.approx(
                expected, rel=1e-12
            )
            normalized = area_under_learning_curve(labels, scores)
            assert normalized == pytest.approx(expected / (labels[-1] - labels[0]), rel=1e-12)
            assert scores.min() <= normalized <= scores.max()

    def test_constant_curve_has_its_own_level(self):
        assert area_under_learning_curve([7, 20, 21], [0.25, 0.25, 0.25]) == 0.25

    @pytest.mark.parametrize(
        ("labels", "scores", "message"),
        [
            ([10, 20], [0.5], r"same length. Got shapes \(2,\) and \(1,\)"),
            ([[10, 20]], [[0.5, 0.6]], "one-dimensional"),
            ([], [], "not empty"),
            ([10], [0.5], "at least two points"),
            ([10, 10], [0.5, 0.6], "strictly increasing"),
            ([20, 10], [0.5, 0.6], "strictly increasing"),
            ([10, 20], [0.5, np.nan], "'scores' of a learning curve must be finite"),
            ([10, np.inf], [0.5, 0.6], "'n_labels' of a learning curve must be finite"),
        ],
    )
    def test_bad_input(self, labels, scores, message):
        with pytest.raises(ValueError, match=message):
            area_under_learning_curve(labels, scores)


def slow_labels_to_reach(labels, scores, target):
    """The first of a million points of the interpolated running maximum that is at the target or above."""
    grid = np.linspace(labels[0], labels[-1], 1_000_001)
    reached = np.interp(grid, labels, [max(scores[: i + 1]) for i in range(len(scores))]) >= target - 1e-12
    return grid[np.argmax(reached)] if reached.any() else np.inf


class TestLabelSavings:
    def test_worked_by_hand(self):
        # The method reaches 0.8 at 20.
        method = ([10, 20, 30], [0.4, 0.8, 0.9])
        reference = ([10, 20, 40, 60], [0.4, 0.6, 0.5, 1.0])
        # Running maximum of the reference: 0.4, 0.6, 0.6, 1.0; it reaches 0.8 half way from 40 to 60.
        assert label_savings(*method, *reference, target=0.8) == pytest.approx(30)
        # By default 0.9, the best that both reach: 55 against 30.
        assert label_savings(*method, *reference) == pytest.approx(25)
        assert label_savings(*reference, *method) == pytest.approx(-25)

    def test_dips_and_plateaus_take_the_first_count(self):
        assert label_savings([10, 20, 30], [0.5, 0.7, 0.7], [10, 20, 30], [0.5, 0.6, 0.7]) == 10
        assert label_savings([10, 20, 30], [0.7, 0.2, 0.7], [10, 20, 30], [0.5, 0.6, 0.7]) == 20

    def test_target_below_the_start_costs_the_first_count(self):
        assert label_savings([10, 20], [0.5, 0.7], [30, 40], [0.6, 0.7], target=0.1) == 20

    def test_out_of_reach(self):
        low, high = ([10, 20], [0.1, 0.2]), ([10, 20], [0.1, 0.9])
        assert label_savings(*high, *low, target=0.5) == np.inf
        assert label_savings(*low, *high, target=0.5) == -np.inf
        assert np.isnan(label_savings(*low, *low, target=0.5))

    @pytest.mark.parametrize("seed", range(5))
    def test_equals_a_search_on_a_fine_grid(self, seed):
        rng = np.random.default_rng(seed)
        labels, ref_labels = np.cumsum(rng.integers(1, 9, 6)), np.cumsum(rng.integers(1, 9, 8))
        scores, ref_scores = rng.random(6), rng.random(8)
        target = min(scores.max(), ref_scores.max())
        expected = slow_labels_to_reach(ref_labels, ref_scores, target) - slow_labels_to_reach(
            labels, scores, target
        )
        assert label_savings(labels, scores, ref_labels, ref_scores) == pytest.approx(expected, abs=1e-3)

    def test_bad_input(self):
        with pytest.raises(ValueError, match=r"'ref_n_labels' and 'ref_scores'"):
            label_savings([1, 2], [0.1, 0.2], [1, 2], [0.1])
        with pytest.raises(ValueError, match=r"'target' score of label_savings must be finite. Got nan"):
            label_savings([1, 2], [0.1, 0.2], [1, 2], [0.1, 0.2], target=np.nan)


class TestImbalance:
    @pytest.mark.parametrize("n_classes", [2, 3, 10])
    def test_equals_entropy_of_shares(self, n_classes):
        rng = np.random.default_rng(n_classes)
        for _ in range(20):
            y = rng.integers(0, n_classes, rng.integers(1, 40))
            shares = np.bincount(y, minlength=n_classes) / len(y)
            expected = 1 - stats.entropy(shares, base=2) / np.log2(n_classes)
            assert labeled_imbalance(y, n_classes) == pytest.approx(expected, abs=1e-12)

    def test_ends_of_the_range(self):
        assert labeled_imbalance(np.repeat(np.arange(7), 3)) == 0.0
        assert labeled_imbalance([2, 2], 5) == 1.0

    def test_by_hand(self):
        # Shares 1/2, 1/4, 1/4: 1.5 bits of 2.
        assert labeled_imbalance(list("aabc"), 4) == pytest.approx(0.25)

    def test_bad_input(self):
        with pytest.raises(ValueError, match=r"number of classes in y \(3\). Got 2"):
            labeled_imbalance([0, 1, 2], 2)
        with pytest.raises(ValueError, match=r"at least 2"):
            labeled_imbalance([0, 0])
        with pytest.raises(ValueError, match=r"non-empty"):
            labeled_imbalance([])
        with pytest.raises(ValueError, match=r"one-dimensional"):
            labeled_imbalance([[0, 1]])
