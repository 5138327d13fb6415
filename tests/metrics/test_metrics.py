import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.metrics import average_precision_score

from skal.metrics import (
    area_under_learning_curve,
    coverage_rate,
    label_savings,
    labeled_imbalance,
    retrieval_map,
)


class TestArea:
    def test_equals_scipy_on_uneven_counts(self):
        rng = np.random.default_rng(0)
        for n_points in (2, 3, 17):
            labels = np.cumsum(rng.integers(1, 50, n_points))
            scores = rng.random(n_points)
            expected = integrate.trapezoid(scores, labels)
            assert area_under_learning_curve(labels, scores, normalize=False) == pytest.approx(expected, rel=1e-12)
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
        expected = slow_labels_to_reach(ref_labels, ref_scores, target) - slow_labels_to_reach(labels, scores, target)
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


def unit(D):
    return D / np.linalg.norm(D, axis=1)[:, None]


class TestCoverage:
    @pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 1.0])
    def test_equals_a_slow_loop(self, threshold):
        rng = np.random.default_rng(0)
        D = rng.standard_normal((60, 3))
        for m in (1, 7, 60):
            selected = rng.permutation(60)[:m]
            staying = []
            for i in selected:
                if all(unit(D)[i] @ unit(D)[j] < threshold for j in staying):
                    staying.append(i)
            assert coverage_rate(D, selected, threshold=threshold) == len(staying) / 60

    def test_copies_count_once(self):
        D = np.repeat(np.eye(5), 4, axis=0)
        assert coverage_rate(D, np.arange(20)) == 5 / 20
        assert coverage_rate(D, [0, 1, 2, 3]) == 1 / 20
        assert coverage_rate(D, [0, 4, 8, 12]) == 4 / 20
        assert coverage_rate(D, []) == 0

    def test_order_decides_who_stays(self):
        # 30 degrees apart: the middle one is like both others, which are not like each other.
        D = [[np.cos(a), np.sin(a)] for a in np.deg2rad([0, 30, 60])]
        assert coverage_rate(D, [0, 1, 2], threshold=0.8) == pytest.approx(2 / 3)
        assert coverage_rate(D, [1, 0, 2], threshold=0.8) == pytest.approx(1 / 3)

    @pytest.mark.parametrize("selected", [[3], [-1], [0, 0], [0.0], [[0]]])
    def test_bad_positions(self, selected):
        with pytest.raises(ValueError, match=r"'selected' of coverage_rate must be distinct positions below 3"):
            coverage_rate(np.eye(3), selected)

    def test_bad_input(self):
        with pytest.raises(ValueError, match=r"'threshold' of coverage_rate must be in \(-1, 1\]. Got 2"):
            coverage_rate(np.eye(3), [0], threshold=2)
        with pytest.raises(ValueError, match=r"'descriptors' of coverage_rate must be a finite array"):
            coverage_rate(np.ones(3), [0])


class TestRetrieval:
    @pytest.mark.parametrize("n_classes", [2, 5, 20])
    def test_equals_scikit_learns_average_precision(self, n_classes):
        rng = np.random.default_rng(n_classes)
        D, y = rng.standard_normal((70, 4)), rng.integers(n_classes, size=70)
        similarity = unit(D) @ unit(D).T
        values = []
        for i in range(70):
            others = np.arange(70) != i
            if (y[others] == y[i]).any():
                values.append(average_precision_score(y[others] == y[i], similarity[i, others]))
        assert retrieval_map(D, y) == pytest.approx(np.mean(values), abs=1e-12)
        assert retrieval_map(3 * D, [f"class {label}" for label in y]) == pytest.approx(np.mean(values), abs=1e-12)

    def test_by_hand(self):
        # Ranks of the one other of its class: 1, 1, 2, 3 among three others.
        D = [[np.cos(a), np.sin(a)] for a in np.deg2rad([0, 10, 25, 80])]
        assert retrieval_map(D, [0, 0, 1, 1]) == pytest.approx((1 + 1 + 1 / 3 + 1) / 4)

    def test_samples_alone_in_their_class_are_no_queries(self):
        D = np.random.default_rng(0).standard_normal((6, 3))
        assert retrieval_map(np.vstack([np.eye(3)[0]] * 2 + [np.eye(3)[1]]), [0, 0, 1]) == 1
        assert 0 < retrieval_map(D, [0, 0, 0, 1, 2, 3]) <= 1

    def test_many_blocks(self, monkeypatch):
        rng = np.random.default_rng(0)
        D, y = rng.standard_normal((50, 4)), rng.integers(3, size=50)
        whole = retrieval_map(D, y)
        monkeypatch.setattr("skal.metrics._descriptors._BLOCK", 100)
        assert retrieval_map(D, y) == pytest.approx(whole, abs=1e-12)

    def test_bad_input(self):
        with pytest.raises(ValueError, match=r"'y' of retrieval_map must hold one label for each of 3 samples"):
            retrieval_map(np.eye(3), [0, 1])
        with pytest.raises(ValueError, match=r"must hold a class with two samples or more"):
            retrieval_map(np.eye(3), [0, 1, 2])
        with pytest.raises(ValueError, match=r"finite array of shape \(n, d\), not empty. Got shape \(3, 3\) with NaN"):
            retrieval_map(np.full((3, 3), np.nan), [0, 0, 1])
