"""What stopping criteria save and lose, measured on the runs of `compare`."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skal.experiments import compare, compare_stopping
from skal.labeling import ClassificationChange, OverallUncertainty, StoppingCriterion, StoppingReport
from skal.learners import ActiveLearner
from skal.strategies import MarginSampling

X, Y = load_digits(return_X_y=True)
X, Y = X[:400] / 16, Y[:400]
SIZES = {"n_initial": 12, "n_instances": 10, "n_queries": 3, "seeds": [3, 5]}


class After(StoppingCriterion):
    """Stops with the n-th round, and notes what it sees."""

    seen: list = []  # noqa: RUF012

    def __init__(self, n):
        self.n = n

    def _judge(self, pool, X_eval, y_eval):
        rounds = [*getattr(self, "rounds_", []), pool.n_labeled]
        self.rounds_ = rounds
        self.seen.append((self.n, pool.n_labeled, len(pool), X_eval is not None))
        return StoppingReport(len(rounds) >= self.n, 0.0, "So it is.")


def test_rows_by_the_curves_of_compare():
    estimator = LogisticRegression(max_iter=1000)
    After.seen.clear()
    found = compare_stopping({"2": After(2), "9": After(9), "4": After(4)}, MarginSampling(), estimator, X, Y, **SIZES)
    curves = compare([MarginSampling()], estimator, X, Y, **SIZES).results
    curves = curves[curves["strategy"] == "MarginSampling"]
    assert found["criterion"].tolist() == ["2", "9", "4"] * 2
    assert found["seed"].tolist() == [3, 3, 3, 5, 5, 5]
    assert found["stopped"].tolist() == [True, False, True] * 2
    assert found["n_labels"].tolist() == [22, 42, 42] * 2
    assert found["final_n_labels"].tolist() == [42] * 6
    assert found["labels_saved"].tolist() == [20, 0, 0] * 2
    for row in found.itertuples():
        scores = curves[curves["seed"] == row.seed].set_index("n_labels")["accuracy"]
        assert (row.score, row.final_score) == (scores[row.n_labels], scores[42])
        assert row.score_lost == scores[42] - scores[row.n_labels]
        assert row.false_stop == (row.score_lost > 0.01)
    # The pool is what is not labelled, and a criterion that has stopped is not asked again.
    assert After.seen[:8] == [
        (2, 12, 288, False), (9, 12, 288, False), (4, 12, 288, False), (2, 22, 278, False), (9, 22, 278, False),
        (4, 22, 278, False), (9, 32, 268, False), (4, 32, 268, False),
    ]  # fmt: skip


def test_tolerance_scoring_and_held_out_samples():
    After.seen.clear()
    found = compare_stopping(
        [After(1)], ActiveLearner(None, MarginSampling()), LogisticRegression(max_iter=1000), X[:300], Y[:300],
        X[350:], Y[350:], X_eval=X[300:350], y_eval=Y[300:350], scoring=lambda learner, X, y: len(learner.X_training),
        tolerance=30, **SIZES,
    )  # fmt: skip
    assert found["score_lost"].tolist() == [30, 30]
    assert found["false_stop"].tolist() == [False, False]
    assert all(seen[3] for seen in After.seen)
    found = compare_stopping(
        [After(1)], MarginSampling(), LogisticRegression(max_iter=1000), X, Y, scoring="f1_macro", **SIZES
    )
    plain = compare_stopping([After(1)], MarginSampling(), LogisticRegression(max_iter=1000), X, Y, **SIZES)
    assert (found["score"] != plain["score"]).all()
    assert found["score"].between(0, 1).all()


def test_criteria_stay_and_runs_repeat():
    criteria = [ClassificationChange(), OverallUncertainty(threshold=0.5)]
    first, second = (
        compare_stopping(criteria, MarginSampling(), LogisticRegression(max_iter=1000), X, Y, **SIZES) for _ in range(2)
    )
    assert first.equals(second)
    assert first["criterion"].unique().tolist() == ["ClassificationChange", "OverallUncertainty"]
    assert vars(criteria[0]) == {"tolerance": 0.0, "patience": 1}


@pytest.mark.parametrize(
    ("criteria", "also", "error", "words"),
    [
        ([], {}, ValueError, "'criteria' of compare_stopping must hold at least one criterion. Got none."),
        (
            [After(1), After(2)],
            {},
            ValueError,
            "'criteria' of compare_stopping must have distinct names. Got After twice",
        ),
        ([1], {}, TypeError, "Criterion 'int' of compare_stopping must be a stopping criterion. Got 1."),
        ("abc", {}, TypeError, "Criterion 'str' of compare_stopping must be a stopping criterion. Got 'abc'."),
        ({"a": After}, {}, TypeError, "Criterion 'a' of compare_stopping must be a stopping criterion. Got <class"),
        ([After(1)], {"scoring": "x"}, ValueError, "'scoring' of compare_stopping must be the name of a score"),
        ([After(1)], {"tolerance": -1}, ValueError, "'tolerance' of compare_stopping must be a number >= 0. Got -1."),
        (
            [After(1)],
            {"tolerance": np.nan},
            ValueError,
            "'tolerance' of compare_stopping must be a number >= 0. Got nan",
        ),
        ([After(1)], {"n_queries": 99}, ValueError, "'n_initial' [+] 'n_queries'"),
    ],
)
def test_errors(criteria, also, error, words):
    with pytest.raises(error, match=f"^{words}"):
        compare_stopping(criteria, MarginSampling(), LogisticRegression(), X, Y, **{**SIZES, **also})
