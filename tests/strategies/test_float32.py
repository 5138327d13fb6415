"""float32 embeddings are worked on as they are: on real features the picks are those of the same values in float64."""

import warnings

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from skal.pool import view_pool
from skal.strategies import BADGE, DECERN, DM2, ActiveFT, ALFAMix, DropQuery, KMeansSampling, ProbCover, TypiClust
from skal.strategies._alfa_mix import exact_caps
from skal.utils._arrays import class_means, l2_normalize, squares_dtype


class Head:
    """The last layer of a network on its embeddings, which it is given in the dtype under test."""

    classes_ = np.arange(10)

    def __init__(self, weight, bias):
        self.coef_, self.intercept_ = weight, bias

    def logits(self, X):
        return X.astype(float) @ self.coef_.T + self.intercept_

    def predict_proba(self, X):
        return softmax(self.logits(X), axis=1)


@pytest.fixture(scope="module")
def real():
    """A head, the pool's embeddings in float32, and the labelled ones with their labels."""
    X, y = load_digits(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = MLPClassifier((96,), max_iter=60, random_state=0).fit(X[:150] / 16, y[:150])
    z = view_pool(net, X / 16).embeddings.astype(np.float32)
    return Head(net.coefs_[-1].T, net.intercepts_[-1]), z[150:], z[:150], y[:150]


def selected(strategy, head, pool, labeled, y, dtype):
    return strategy.select(head, pool.astype(dtype), 40, X_training=labeled.astype(dtype), y_training=y)


@pytest.mark.parametrize(
    "strategy",
    [
        BADGE(random_state=0),
        DM2(random_state=0),
        DropQuery(random_state=0),
        KMeansSampling(random_state=0),
        TypiClust(random_state=0),
        TypiClust(max_clusters=40, random_state=0),
        ActiveFT(max_iter=60, random_state=0),
        ActiveFT(max_iter=60, loss="printed", init="random", random_state=0),
    ],
    ids=repr,
)
def test_picks_are_those_of_float64(strategy, real):
    (picks, scores), (expected, their_scores) = (selected(strategy, *real, dtype) for dtype in (np.float32, np.float64))
    assert picks.tolist() == expected.tolist()
    np.testing.assert_allclose(scores, their_scores, rtol=1e-5, atol=1e-5)


def test_alfa_mix_up_to_clusters_of_two(real):
    """Both samples of such a cluster are equally near to its centre, and 62 candidates in 40 clusters make many."""
    head, pool, labeled, y = real
    anchors = class_means(labeled, y, 10)
    caps, expected = (
        exact_caps(pool.astype(dtype), head.logits(pool), head.coef_, anchors) for dtype in (np.float32, np.float64)
    )
    np.testing.assert_allclose(caps, expected, rtol=1e-5)
    picks = [set(selected(ALFAMix(random_state=0), *real, dtype)[0].tolist()) for dtype in (np.float32, np.float64)]
    assert len(picks[0] & picks[1]) >= 32


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-14, 1e16])
@pytest.mark.parametrize(
    "strategy",
    [
        BADGE(random_state=0),
        KMeansSampling(random_state=0),
        TypiClust(max_clusters=40, normalize=False, random_state=0),
        TypiClust(max_clusters=40, random_state=0),
    ],
    ids=repr,
)
def test_what_float32_cannot_square_is_worked_on_in_float64(strategy, scale, real):
    head, pool, labeled, y = real
    pool, labeled = pool * np.float32(scale), labeled * np.float32(scale)
    scaled = Head(head.coef_ / scale, head.intercept_)
    picks, expected = (selected(strategy, scaled, pool, labeled, y, dtype)[0] for dtype in (np.float32, np.float64))
    assert picks.tolist() == expected.tolist()
    given = {"X_training": labeled, "y_training": y}
    scores = ALFAMix().score_samples(scaled, pool, **given)
    assert len(np.unique(scores)) > 500
    np.testing.assert_allclose(scores, ALFAMix().score_samples(scaled, pool.astype(float), **given), rtol=1e-9)


def test_the_dtype_of_squares():
    X = np.ones((3, 4), dtype=np.float32)
    assert squares_dtype(X) is np.float32
    assert squares_dtype(X, X.astype(np.float64)) is np.float64
    for scale in (1e-11, 1e16):
        assert squares_dtype(X, X * np.float32(scale)) is np.float64
    assert squares_dtype(X * np.float32(1e25)) is np.float64  # its squares are infinite, which no warning says


def test_long_rows_of_float32_are_normalised():
    X = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    unit = l2_normalize(X * np.float32(1e30))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, l2_normalize(X), rtol=1e-6)


@pytest.mark.parametrize("offset", [1e3, 1e4])
def test_what_all_samples_have_in_common_costs_no_precision(offset, real):
    """Products of such rows lose distances to rounding, unless they are taken around a point among the rows."""
    head, pool, labeled, y = real
    pool, labeled = pool + np.float32(offset), labeled + np.float32(offset)
    anchors = class_means(labeled, y, 10)
    shifted = Head(head.coef_, head.intercept_ - offset * head.coef_.sum(axis=1))
    logits = shifted.logits(pool)
    caps, expected = (exact_caps(pool.astype(dtype), logits, head.coef_, anchors) for dtype in (np.float32, float))
    np.testing.assert_allclose(caps, expected, rtol=1e-4)
    for strategy in (ProbCover(delta=5.0, normalize=False, random_state=0), ProbCover(random_state=0)):
        picks, expected = (selected(strategy, shifted, pool, labeled, y, dtype)[0] for dtype in (np.float32, float))
        assert picks.tolist() == expected.tolist()


@pytest.mark.parametrize("sureness", [1.0, 10.0])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_decern_of_sure_predictions(sureness, offset, real):
    """Powers of small entropies show what is rounded away beside 1."""
    head, pool, labeled, y = real
    pool, labeled = pool + np.float32(offset), labeled + np.float32(offset)
    weight = sureness * head.coef_
    sure = Head(weight, sureness * head.intercept_ - offset * weight.sum(axis=1))
    given = {"X_training": labeled, "y_training": y}
    scores, expected = (DECERN().score_samples(sure, pool.astype(dtype), **given) for dtype in (np.float32, float))
    error = np.abs(scores - expected) / expected
    # The logarithm of 1 + 1e-10 is not 0: some entropies pass through 0, where powers of them jump.
    assert np.median(error) < 1e-6
    assert np.quantile(error, 0.95) < 1e-3


@pytest.mark.parametrize("scale", [1e20, 1e30])
def test_decern_of_what_float32_cannot_square(scale, real):
    head, pool, labeled, y = real
    pool, labeled = pool * np.float32(scale), labeled * np.float32(scale)
    given = {"X_training": labeled, "y_training": y}
    scaled = Head(head.coef_ / scale, head.intercept_)
    scores, expected = (DECERN().score_samples(scaled, pool.astype(dtype), **given) for dtype in (np.float32, float))
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e160, 1e200])
def test_long_rows_of_float64_are_normalised(scale):
    X = np.random.default_rng(0).standard_normal((5, 8))
    X[2] *= 0
    scaled = X.copy()
    scaled[:4] *= scale
    np.testing.assert_allclose(l2_normalize(scaled), l2_normalize(X), rtol=1e-14)
