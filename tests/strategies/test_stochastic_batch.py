"""StochasticBatch: the law of its draws, its limits, whom it wraps."""

import functools
import itertools

import numpy as np
import pytest
from modAL.uncertainty import margin_sampling as modal_margin_sampling
from scipy.stats import chisquare
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skal.meta import ActiveLearningClassifier
from skal.strategies import (
    BALD,
    CoreSet,
    DetectionEntropy,
    EntropySampling,
    LeastConfidence,
    MarginSampling,
    RandomSampling,
    StochasticBatch,
    margin_sampling,
    stochastic_batch_sampling,
)
from skal.testing import FakePool, check_strategy

# Two classes, of margins .8, .6, .4, .1: scores of LeastConfidence .1, .2, .3, .45.
PROBA = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.45, 0.55]])
N_DRAWS = 10_000


def law(weights, k):
    """Probability of each ordered batch: one after the other, in proportion to the weights that are left."""
    found = {}
    for batch in itertools.permutations(range(len(weights)), k):
        left, probability = float(sum(weights)), 1.0
        for i in batch:
            probability *= weights[i] / left
            left -= weights[i]
        found[batch] = probability
    return found


def weights_of(kind, beta):
    scores = 1 - PROBA.max(axis=1)
    return {"power": scores**beta, "softmax": np.exp(beta * scores), "softrank": np.arange(4, 0, -1.0) ** -beta}[kind]


@pytest.mark.parametrize("kind", ["power", "softmax", "softrank"])
@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_batches_follow_the_law(kind, beta):
    fake = FakePool(proba=PROBA)
    strategy = StochasticBatch(LeastConfidence(), beta=beta, kind=kind, random_state=np.random.RandomState(0))
    drawn = [tuple(strategy.select(fake, fake.X, 2)[0].tolist()) for _ in range(N_DRAWS)]
    expected = law(weights_of(kind, beta), 2)
    counts = [drawn.count(batch) for batch in expected]
    assert sum(counts) == N_DRAWS
    assert chisquare(counts, N_DRAWS * np.array(list(expected.values()))).pvalue > 0.001
    # And not that of another temperature.
    other = law(weights_of(kind, beta + 0.5), 2)
    assert chisquare(counts, N_DRAWS * np.array(list(other.values()))).pvalue < 0.001


@pytest.mark.parametrize("kind", ["power", "softmax", "softrank"])
def test_the_limits_of_beta(kind):
    fake = FakePool(proba=PROBA)
    for seed in range(20):
        strict = StochasticBatch(LeastConfidence(), beta=1e9, kind=kind, random_state=seed)
        assert strict.select(fake, fake.X, 4)[0].tolist() == [3, 2, 1, 0]
    loose = StochasticBatch(LeastConfidence(), beta=0, kind=kind, random_state=np.random.RandomState(1))
    counts = np.bincount([loose.select(fake, fake.X)[0][0] for _ in range(2000)])
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("kind", ["power", "softmax", "softrank"])
@pytest.mark.parametrize("beta", [1e-308, 1e308])
def test_extreme_beta_gives_finite_scores(kind, beta):
    fake = FakePool(proba=PROBA)
    scores = StochasticBatch(MarginSampling(), beta=beta, kind=kind, random_state=0).select(fake, fake.X, 4)[1]
    assert np.isfinite(scores).all()


def test_negative_scores_are_shifted_by_the_lowest():
    fake = FakePool(proba=PROBA)
    strategy = StochasticBatch(MarginSampling(), random_state=np.random.RandomState(0))
    drawn = np.array([strategy.select(fake, fake.X, 4)[0] for _ in range(3000)])
    # Margins .8, .6, .4, .1: weights 0, .2, .4, .7.
    assert (drawn[:, 3] == 0).all()
    assert chisquare(np.bincount(drawn[:, 0])[1:], 3000 * np.array([0.2, 0.4, 0.7]) / 1.3).pvalue > 0.001


def test_what_scores_zero_comes_last_by_chance():
    fake = FakePool(proba=[[1.0, 0.0], [0.6, 0.4], [1.0, 0.0], [0.999, 0.001], [1.0, 0.0]])
    strategy = StochasticBatch(EntropySampling(), random_state=np.random.RandomState(0))
    drawn = [strategy.select(fake, fake.X, 5)[0].tolist() for _ in range(200)]
    assert all({*batch[:2]} == {1, 3} for batch in drawn)
    assert {batch[2] for batch in drawn} == {0, 2, 4}
    # Where none scores more, all are drawn alike.
    fake = FakePool(proba=np.ones((6, 1)))
    batches = {tuple(strategy.select(fake, fake.X, 2)[0].tolist()) for _ in range(300)}
    assert len(batches) == 30


def test_equal_scores_share_a_rank():
    fake = FakePool(proba=[[0.6, 0.4], [0.9, 0.1], [0.9, 0.1]])
    strategy = StochasticBatch(LeastConfidence(), kind="softrank", random_state=np.random.RandomState(0))
    counts = np.bincount([strategy.select(fake, fake.X)[0][0] for _ in range(3000)])
    weights = np.array([1, 1 / 2.5, 1 / 2.5])
    assert chisquare(counts, 3000 * weights / weights.sum()).pvalue > 0.001


@pytest.mark.parametrize(
    "strategy",
    [
        margin_sampling,
        functools.partial(margin_sampling, random_state=1),
        StochasticBatch(EntropySampling(), kind="softmax"),
        BALD(n_samples=3),
        DetectionEntropy(),
    ],
    ids=["twin", "partial", "itself", "opinions", "boxes"],
)
def test_whom_it_wraps(strategy):
    check_strategy(StochasticBatch(strategy))


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (CoreSet(), "CoreSet"),
        (RandomSampling(), "RandomSampling"),
        (modal_margin_sampling, "margin_sampling"),
        (MarginSampling, "MarginSampling"),
    ],
)
def test_what_scores_no_samples_is_an_error(strategy, words):
    fake = FakePool(proba=PROBA)
    with pytest.raises(TypeError, match=rf"'strategy' parameter of StochasticBatch.*score_samples.*Got .*{words}"):
        StochasticBatch(strategy).select(fake, fake.X)


def test_each_round_draws_anew_and_a_run_repeats():
    picks = []
    for round in (0, 0, 1):
        fake = FakePool(proba=np.tile(PROBA, (20, 1)), round=round)
        picks.append(StochasticBatch(LeastConfidence(), random_state=3).select(fake, fake.X, 10)[0].tolist())
    assert picks[0] == picks[1] != picks[2]


def test_searched_through_the_wrapper():
    X, y = load_digits(return_X_y=True)
    loop = ActiveLearningClassifier(
        LogisticRegression(max_iter=300), StochasticBatch(BALD()), n_initial=20, n_instances=5, n_queries=1,
        random_state=0,
    )  # fmt: skip
    grid = {"query_strategy__beta": [1.0, 4.0], "query_strategy__strategy__n_members": [2]}
    search = GridSearchCV(loop, grid, cv=2, error_score="raise").fit(X[:200] / 16, y[:200])
    assert search.best_params_["query_strategy__strategy__n_members"] == 2
    fake = FakePool(proba=PROBA)
    picked = stochastic_batch_sampling.select(fake, fake.X, 2, strategy=LeastConfidence(), beta=1e9)[0]
    assert picked.tolist() == [3, 2]
