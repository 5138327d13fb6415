"""SMAL: the pursuit equals a slow loop with SciPy's least squares, hand-worked kernels, the limits, the errors."""

import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.linear_model import LogisticRegression

from skal.exceptions import PoolCapabilityError
from skal.strategies import SMAL
from skal.strategies._smal import entropies, gaussian_kernel, matching_pursuit, nonnegative_fit
from skal.testing import FakePool


def slow(kernel, u, n_picks):
    """Every column with the residual, and all weights anew."""
    picks, explained, residual = [], [], u.copy()
    while len(picks) < n_picks:
        gains = [column @ residual / np.linalg.norm(column) for column in kernel.T]
        gains = [gain if j not in picks else -9 for j, gain in enumerate(gains)]
        if max(gains) <= 1e-8 * np.linalg.norm(u):
            break
        picks.append(int(np.argmax(gains)))
        explained.append(max(gains))
        residual = u - kernel[:, picks] @ nnls(kernel[:, picks], u)[0]
    return picks, explained


def data(n, d=2, n_classes=4, seed=0):
    rng = np.random.default_rng([n, d, seed])
    return rng.dirichlet(np.ones(n_classes), n), rng.standard_normal((n, d))


@pytest.mark.parametrize("bandwidth", [0.05, 0.2, 0.5])
@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (12, 2, 12), (40, 2, 15), (30, 6, 10)])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_slow_loop(n, d, k, bandwidth, seed):
    proba, z = data(n, d, seed=seed)
    u = -np.sum(proba * np.log(proba), axis=1)
    kernel = np.array([[np.exp(-((a - b) @ (a - b)) / (2 * bandwidth**2)) for b in z] for a in z])
    np.testing.assert_allclose(gaussian_kernel(z, bandwidth), kernel, rtol=1e-9, atol=1e-14)
    expected, explained = slow(kernel, u, k)
    picks, scores = SMAL(bandwidth=bandwidth, random_state=0).select(FakePool(proba=proba, embeddings=z), z, k)
    assert picks[: len(expected)].tolist() == expected
    np.testing.assert_allclose(scores[: len(expected)], explained, rtol=1e-5, atol=1e-7)
    rest = [i for i in np.argsort(-u) if i not in expected][: k - len(expected)]
    assert picks[len(expected) :].tolist() == rest
    assert (scores[len(expected) :] == 0).all()


@pytest.mark.parametrize("seed", range(30))
def test_the_fit_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((20, 8)), rng.standard_normal(20)
    expected = nnls(a, b)[0]
    for start in (np.zeros(8), expected, abs(rng.standard_normal(8)) * (rng.random(8) > 0.5)):
        np.testing.assert_allclose(nonnegative_fit(a.T @ a, a.T @ b, start), expected, atol=1e-9)


def test_kernels_far_apart_give_the_order_of_entropy():
    proba, _ = data(10)
    z = 100.0 * np.arange(10)[:, None]
    picks, scores = SMAL(bandwidth=1.0).select(FakePool(proba=proba, embeddings=z), z, 10)
    u = -np.sum(proba * np.log(proba), axis=1)
    assert picks.tolist() == np.argsort(-u).tolist()
    np.testing.assert_allclose(scores, np.sort(u)[::-1])


def test_what_another_explains_does_not_come():
    """Two groups alike in themselves: one sample explains each."""
    z = np.array([[0.0], [0.0], [0.0], [50.0], [50.0]])
    proba = np.array([[0.5, 0.5]] * 3 + [[0.6, 0.4]] * 2)
    picks, scores = SMAL(bandwidth=1.0, random_state=0).select(FakePool(proba=proba, embeddings=z), z, 4)
    assert picks[0] in (0, 1, 2)
    assert picks[1] in (3, 4)
    u = -np.sum(proba * np.log(proba), axis=1)
    np.testing.assert_allclose(scores, [np.sqrt(3) * u[0], np.sqrt(2) * u[3], 0, 0], rtol=1e-6)
    # Filled up in the order of entropy.
    assert set(picks[2:].tolist()) <= {0, 1, 2}


def test_only_the_most_uncertain_are_looked_at():
    proba, z = data(50)
    u = -np.sum(proba * np.log(proba), axis=1)
    top = np.argsort(-u)
    pool = FakePool(proba=proba, embeddings=z)
    picks, _ = SMAL(n_atoms=8, random_state=0).select(pool, z, 5)
    assert set(picks.tolist()) <= set(top[:8].tolist())
    # More than they are: all of them, and the next.
    picks, scores = SMAL(n_atoms=8, bandwidth=0.01, random_state=0).select(pool, z, 12)
    assert set(picks[:8].tolist()) == set(top[:8].tolist())
    assert picks[8:].tolist() == top[8:12].tolist()
    assert scores[8:].tolist() == [0.0] * 4


def test_the_bandwidth_is_half_the_median_distance_from_the_nearest_that_differs():
    z = np.array([[0.0], [0.0], [1.0], [3.0], [9.0]])
    nearest = [1, 1, 1, 2, 6]
    np.testing.assert_allclose(gaussian_kernel(z, None), gaussian_kernel(z, np.median(nearest) / 2))
    assert gaussian_kernel(np.ones((3, 2)), None).tolist() == np.ones((3, 3)).tolist()


@pytest.mark.parametrize("bandwidth", [1e-200, 1e200])
def test_bandwidths_of_any_size(bandwidth):
    kernel = gaussian_kernel(np.array([[0.0], [1.0]]), bandwidth)
    assert kernel.tolist() == (np.eye(2) if bandwidth < 1 else np.ones((2, 2))).tolist()


def test_many_kernels_nearly_alike_stay_finite():
    proba, z = data(200)
    kernel, u = gaussian_kernel(z, 5.0), entropies(proba)
    picks, explained = matching_pursuit(kernel, u, 200)
    assert len(set(picks.tolist())) == len(picks)
    assert np.isfinite(explained).all()
    assert (explained > 0).all()


def test_certain_predictions():
    z = np.arange(6.0)[:, None]
    proba = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    assert entropies(proba).tolist() == [0.0] * 6
    batches = {
        tuple(SMAL(random_state=s).select(FakePool(proba=proba, embeddings=z), z, 3)[0].tolist()) for s in range(6)
    }
    assert len(batches) > 3


def test_embeddings_whose_squares_overflow():
    z = np.array([[1e160], [1.0]])
    with pytest.raises(ValueError, match="SMAL squares embeddings, which must be below 1e150"):
        SMAL().select(FakePool(proba=np.full((2, 2), 0.5), embeddings=z), z)


def test_embeddings_are_needed():
    with pytest.raises(PoolCapabilityError, match="SMAL needs `embeddings`"):
        SMAL().select(Texts(), ["a", "b"])


class Texts:
    """Probabilities of texts, which are no embeddings."""

    classes_ = np.arange(2)

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_atoms": 0}, "The 'n_atoms' parameter of SMAL must be an int in the range"),
        ({"bandwidth": 0}, "The 'bandwidth' parameter of SMAL must be a str among {'auto'} or a float in the range"),
    ],
)
def test_parameters(params, message):
    X = np.eye(2)
    with pytest.raises(ValueError, match=message):
        SMAL(**params).select(LogisticRegression().fit(X, [0, 1]), X)
