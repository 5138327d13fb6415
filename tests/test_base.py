"""The fixed template of a query: what the seed is made of, what is checked of an answer, what a failure leaves."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skal.base import QueryStrategy
from skal.exceptions import ModelNotFittedError, PoolCapabilityError, SkalError
from skal.learners import ActiveLearner
from skal.strategies import (
    BADGE,
    BAL,
    ActiveFT,
    CoreGCN,
    CoreSet,
    KMeansSampling,
    MarginSampling,
    MaxHerding,
    Partitioned,
    Prefilter,
    ProbCover,
    RandomSampling,
    TypiClust,
    UncertaintyHerding,
)

X = np.random.default_rng(0).standard_normal((40, 3))
Y = np.arange(40) % 2


class Answers(QueryStrategy):
    """Gives the answer that it was made with."""

    def __init__(self, *, answer=None):
        self.answer = answer

    _parameter_constraints = {"answer": [tuple]}  # noqa: RUF012

    def _query(self, pool, n_instances, rng):
        return self.answer


def learner(n_labeled=10, **kwargs):
    return ActiveLearner(LogisticRegression(), X_training=X[:n_labeled], y_training=Y[:n_labeled], **kwargs)


@pytest.mark.parametrize("round_", [0, 3])
@pytest.mark.parametrize("n_labeled", [10, 11])
def test_the_seed_is_that_of_the_strategy_the_round_and_the_number_of_labels(round_, n_labeled):
    taught = learner(n_labeled)
    taught.round = round_
    idx, _ = RandomSampling(random_state=7).select(taught, X, 6)
    expected = np.random.default_rng([7, round_, n_labeled]).choice(40, size=6, replace=False)
    assert idx.tolist() == expected.tolist()


def test_more_labels_are_another_seed_where_nobody_counts_rounds():
    model = LogisticRegression().fit(X, Y)
    picks = [
        RandomSampling(random_state=0).select(model, X, 8, X_training=X[:n], y_training=Y[:n])[0].tolist()
        for n in (10, 12, 14)
    ]
    assert picks[0] != picks[1] != picks[2] != picks[0]


@pytest.mark.parametrize(
    "answer",
    [
        ([0, 40], [1.0, 0.0]),
        ([0, -1], [1.0, 0.0]),
        ([3, 3], [1.0, 0.0]),
        ([0], [1.0]),
        ([0, 1, 2], [1.0, 0.5, 0.0]),
        ([0, 1], [1.0]),
        ([[0, 1]], [[1.0, 0.0]]),
        ([0, 1], [np.nan, 0.0]),
        ([0, 1], [np.inf, 0.0]),
    ],
    ids=str,
)
def test_an_answer_that_breaks_the_contract_is_refused(answer):
    with pytest.raises(SkalError, match="Answers must return 2 unique positions below 40 with finite scores"):
        Answers(answer=answer).select(learner(), X, 2)


def test_the_last_position_and_the_first_are_answers():
    idx, scores = Answers(answer=(np.array([39, 0], dtype=np.uint8), [1, 0])).select(learner(), X, 2)
    assert (idx.tolist(), scores.tolist()) == ([39, 0], [1.0, 0.0])
    assert (idx.dtype, scores.dtype) == (np.int64, np.float64)


class Forgetful(QueryStrategy):
    """Keeps something, and then fails."""

    def _query(self, pool, n_instances, rng):
        pool.memory.keep("mine", {}, "new")
        raise RuntimeError("no answer")


def test_a_query_that_fails_keeps_nothing():
    taught = learner()
    taught.memory.keep("mine", {}, "old")
    with pytest.raises(RuntimeError, match="no answer"):
        Forgetful().select(taught, X, 2)
    assert taught.memory.recall("mine", {}, lambda: "none") == "old"


def test_an_override_holds_for_one_call():
    strategy = RandomSampling(random_state=0)
    strategy.select(learner(), X, 2, random_state=5)
    assert strategy.random_state == 0
    twin = MarginSampling(random_state=1).with_params({"random_state": 2})
    assert twin.random_state == 2


# -- before there are labels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "strategy",
    [
        TypiClust(), CoreSet(), ProbCover(), MaxHerding(), UncertaintyHerding(), BAL(n_rounds=5, n_clusters=3),
        Prefilter(TypiClust(), n_candidates=9), Partitioned(TypiClust(), n_parts=2),
    ],
    ids=lambda each: each.__name__,
)  # fmt: skip
@pytest.mark.parametrize("classifier", [None, LogisticRegression()], ids=["none", "unfitted"])
def test_what_can_begin_says_how(strategy, classifier):
    error = PoolCapabilityError if classifier is None else ModelNotFittedError
    with pytest.raises(error, match="^(?!.*NoneType)") as caught:
        strategy.select(classifier, X, 3)
    name = strategy.__name__
    said = f". Before there are labels, ActiveLearner(..., cold_start={name}(...)) chooses by it."
    assert str(caught.value).endswith(said) and str(caught.value).count("cold_start") == 1
    # Which is true.
    idx, _ = ActiveLearner(LogisticRegression(), cold_start=strategy).query(X, n_instances=3)
    assert len(idx) == 3


def test_what_begins_without_labels_names_the_start_beside_the_data_that_lacks():
    with pytest.raises(
        PoolCapabilityError, match=r"X_training= and y_training=\. Before .*cold_start=CoreSet"
    ) as caught:
        CoreSet().select(LogisticRegression().fit(X, Y), X, 3)
    assert caught.value.member == "labeled"


@pytest.mark.parametrize("classifier", [None, LogisticRegression()])
@pytest.mark.parametrize("strategy", [MarginSampling(), BADGE(), CoreGCN()], ids=lambda each: each.__name__)
def test_what_cannot_begin_names_no_start(strategy, classifier):
    with pytest.raises(SkalError, match="^(?!.*cold_start)(?!.*NoneType)"):
        strategy.select(classifier, X, 3)


def test_no_start_is_named_where_labels_are_there_or_the_model_is_at_fault():
    class NoProba:
        def fit(self, X, y):
            return self

        def predict(self, X):
            return np.zeros(len(X))

    with pytest.raises(
        PoolCapabilityError, match="class probabilities, which NoProba does not supply. Use a .*_proba.$"
    ):
        UncertaintyHerding().select(NoProba(), X, 3)
    with pytest.raises(ModelNotFittedError, match="before a query.$"):
        KMeansSampling().select(LogisticRegression(), X, 3, X_training=X[:4], y_training=Y[:4])
    assert len(ActiveFT().select(None, X, 3)[0]) == 3  # needs neither labels nor a model


def test_parameters_are_checked_before_any_query_also_of_what_is_wrapped():
    Prefilter(ProbCover(), n_candidates=5).check_params()
    with pytest.raises(ValueError, match=r"The 'answer' parameter of Answers must be .*tuple.* Got 3 instead"):
        Answers(answer=3).check_params()
    with pytest.raises(ValueError, match=r"The 'answer' parameter of Answers must be"):
        Prefilter(Partitioned(Answers(answer=3), n_parts=2), n_candidates=5).check_params()
