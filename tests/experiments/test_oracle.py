"""The upper bound that knows the labels."""

import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skal.experiments import GreedyOracle, compare
from skal.learners import ActiveLearner
from skal.utils._compat import STRATEGIES_RETURN_PAIRS

X, Y = make_classification(120, 5, n_informative=3, n_classes=3, n_clusters_per_class=1, flip_y=0.1, random_state=0)


def asked(oracle, n_instances, rows=X):
    learner = ActiveLearner(GaussianNB(), oracle, X_training=rows[:8], y_training=Y[:8])
    answer = oracle(learner, rows[20:60], n_instances)
    return (answer[0] if STRATEGIES_RETURN_PAIRS else answer).tolist()


def test_all_candidates_are_the_slow_loop():
    found = asked(GreedyOracle(X, Y, n_candidates=40, random_state=0), 3)
    chosen = []
    for position in found:
        scores = {}
        for i in set(range(40)) - set(chosen):
            known = [*range(8), *(20 + j for j in (*chosen, i))]
            scores[i] = (GaussianNB().fit(X[known], Y[known]).predict(X) == Y).mean()
        assert scores[position] == max(scores.values())
        chosen.append(position)
    assert len(set(found)) == 3


def test_it_repeats_itself_and_takes_frames():
    oracle = GreedyOracle(X, Y, n_candidates=3, random_state=1)
    assert asked(oracle, 4) == asked(oracle, 4) != asked(GreedyOracle(X, Y, n_candidates=3, random_state=2), 4)
    frame = pd.DataFrame(X, columns=list("abcde"))
    assert asked(GreedyOracle(frame, pd.Series(Y), n_candidates=3, random_state=1), 4, frame.to_numpy()) == asked(
        oracle, 4
    )


def test_it_is_a_bound_in_compare(tmp_path):
    sizes = {"n_initial": 6, "n_instances": 3, "n_queries": 3, "seeds": 6, "out": tmp_path}
    found = compare([GreedyOracle(X, Y, n_candidates=8)], LogisticRegression(max_iter=300), X, Y, **sizes)
    assert found.summary().loc["GreedyOracle", "area_verdict"] == "better"
    again = compare([GreedyOracle(X, Y, n_candidates=8)], LogisticRegression(max_iter=300), X, Y, **sizes)
    pd.testing.assert_frame_equal(found.results, again.results)


@pytest.mark.parametrize("wrong", [0, 1.5, True, "all"])
def test_errors(wrong):
    with pytest.raises(
        ValueError, match=rf"'n_candidates' parameter of GreedyOracle .* at least 1. Got {wrong!r} inst"
    ):
        asked(GreedyOracle(X, Y, n_candidates=wrong), 1)
    with pytest.raises(ValueError, match=r"GreedyOracle must know all samples. Got a sample that is not in its X."):
        asked(GreedyOracle(X[:30], Y[:30]), 1)
