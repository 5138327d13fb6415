"""UncertaintyHerding: plain greedy with dense kernels and weights, bandwidth, temperature, the limits, cold starts."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skal.exceptions import PoolCapabilityError
from skal.learners import ActiveLearner
from skal.pool import view_pool
from skal.strategies import MaxHerding, UncertaintyHerding
from skal.strategies._parts._calibration import best_temperature, held_out_proba, tempered
from skal.strategies._uncertainty_herding import smallest_distance
from skal.testing import FakePool, check_strategy

from .test_max_herding import five_blobs, follows_greedy, kernels, unit


def fake(z, proba, labeled, y=None, **more):
    y = np.arange(len(labeled)) % 2 if y is None else y
    labels = FakePool(embeddings=labeled, y=y, classes=[0, 1], **more)
    return FakePool(embeddings=z, proba=proba, labeled=labels)


def margins(proba):
    top = np.sort(proba, axis=1)
    return top[:, -1] - top[:, -2]


@pytest.mark.parametrize(
    ("n", "d", "n_labeled", "k"), [(1, 1, 1, 1), (12, 2, 3, 12), (40, 3, 4, 15), (60, 16, 10, 20), (50, 300, 3, 9)]
)
@pytest.mark.parametrize("bandwidth", ["auto", 0.03, 1.0])
def test_equals_the_slow_loop(n, d, n_labeled, k, bandwidth):
    rng = np.random.default_rng([n, d])
    z, labeled, proba = rng.standard_normal((n, d)), rng.standard_normal((n_labeled, d)), rng.dirichlet([1, 1], n)
    pool = fake(z, proba, labeled)
    strategy = UncertaintyHerding(bandwidth=bandwidth, calibrate=False, random_state=0)
    picks, gains = strategy.select(pool, pool.X, k)
    if bandwidth == "auto":
        distances = [np.linalg.norm(a - b) for i, a in enumerate(unit(labeled)) for b in unit(labeled)[:i]]
        bandwidth = min(distances, default=1.0)
    tied = follows_greedy(picks, gains, z, labeled, bandwidth, 1 - margins(proba))
    if d > 2:
        assert tied.count(1) > 0.8 * k


def test_duplicates():
    rng = np.random.default_rng(0)
    z, proba = np.repeat(rng.standard_normal((4, 5)), 5, axis=0), rng.dirichlet([1, 1], 20)
    pool = fake(z, proba, rng.standard_normal((3, 5)))
    picks, gains = UncertaintyHerding(calibrate=False, bandwidth=1.0).select(pool, pool.X, 20)
    follows_greedy(picks, gains, z, pool.labeled.embeddings, 1.0, 1 - margins(proba))
    assert (gains[4:] == 0).all()


def test_it_is_the_covered_samples_uncertainty_that_enters():
    """The middle one of each blob is sure; it is picked all the same, for the others that it covers."""
    z, labeled = five_blobs()
    middle = [int(np.argmax(kernels(z[a:b], z[a:b]).sum(axis=1))) + a for a, b in ((42, 48), (48, 68), (68, 77))]
    margin = np.full(len(z), 0.5)
    margin[:42] = 1.0  # certain of the first two blobs, labelled or not
    margin[middle] = 0.95
    pool = fake(z, np.column_stack([(1 + margin) / 2, (1 - margin) / 2]), labeled)
    picks, gains = UncertaintyHerding(calibrate=False, bandwidth=0.5, random_state=0).select(pool, pool.X, 3)
    follows_greedy(picks, gains, z, labeled, 0.5, 1 - margin)
    assert (picks >= 42).all() and {42 <= p < 48 for p in picks.tolist()} == {True, False}
    assert set(picks.tolist()) & set(middle)


def test_the_temperature_is_that_of_the_part_held_out():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    fitted = LogisticRegression(C=100.0, max_iter=1000).fit(X[:60], y[:60])
    pool = view_pool(fitted, X[60:260], X_training=X[:60], y_training=y[:60])
    strategy = UncertaintyHerding(random_state=0)
    rng = np.random.default_rng(7)
    weights = strategy._weights(pool, rng)
    temperature = best_temperature(*held_out_proba(pool, 0.2, np.random.default_rng(7), "UncertaintyHerding"))
    assert temperature != 1.0
    np.testing.assert_allclose(weights, 1 - margins(tempered(pool.proba, temperature)))
    plain = UncertaintyHerding(calibrate=False)._weights(pool, rng)
    np.testing.assert_allclose(plain, 1 - margins(pool.proba.astype(float)))


def test_smallest_distance():
    z = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [3.0, 5.0]])
    assert smallest_distance(z) == 1.0
    assert smallest_distance(z[:3]) == 5.0
    assert smallest_distance(z[:1]) == smallest_distance(z[[0, 2]]) == smallest_distance(z[:0]) == 1.0
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2500, 3))  # several blocks
    slow = min(np.linalg.norm(z[:i] - row, axis=1).min() for i, row in enumerate(z) if i)
    assert smallest_distance(z) == pytest.approx(slow)


@pytest.mark.parametrize("case", ["one column", "nothing uncertain", "nothing labelled"])
def test_where_nothing_is_uncertain_all_count_alike(case):
    rng = np.random.default_rng(0)
    z, labeled = rng.standard_normal((30, 4)), rng.standard_normal((0 if case == "nothing labelled" else 3, 4))
    columns = {"one column": np.ones((30, 1)), "nothing uncertain": np.eye(2)[np.arange(30) % 2]}
    proba = columns.get(case, rng.dirichlet([1, 1], 30))
    classes = list(range(proba.shape[1]))
    labels = FakePool(embeddings=labeled, y=np.zeros(len(labeled), int), classes=classes)
    pool = FakePool(embeddings=z, proba=proba, labeled=labels)
    found = UncertaintyHerding(calibrate=False, bandwidth=1.0, random_state=0).select(pool, pool.X, 8)
    expected = MaxHerding(random_state=0).select(pool, pool.X, 8)
    assert found[0].tolist() == expected[0].tolist()


def test_one_labelled_class_trains_nothing():
    class Untrainable(LogisticRegression):
        def fit(self, X, y):
            assert not hasattr(self, "told")
            return super().fit(X, y)

    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    fitted = Untrainable().fit(X, np.arange(40) % 2)
    strategy = UncertaintyHerding(random_state=0)
    assert len(strategy.select(fitted, X, 5, X_training=X[:6], y_training=np.zeros(6, int))[0]) == 5


def test_cold_start_is_that_of_max_herding():
    z = np.random.default_rng(0).standard_normal((50, 5))
    learner = ActiveLearner(LogisticRegression(), UncertaintyHerding(random_state=0))
    picks = learner.query(z, n_instances=6)[0]
    assert picks.tolist() == ActiveLearner(LogisticRegression(), MaxHerding()).query(z, n_instances=6)[0].tolist()
    begun = ActiveLearner(LogisticRegression(), MaxHerding(), cold_start=UncertaintyHerding(random_state=0))
    assert begun.query(z, n_instances=6)[0].tolist() == picks.tolist()


def test_a_classifier_without_clones():
    class Fixed:
        classes_ = np.arange(2)

        def predict_proba(self, X):
            return np.column_stack([X[:, 0], 1 - X[:, 0]])

    X = np.random.default_rng(0).random((20, 3))
    labels = {"X_training": X[:4], "y_training": [0, 1, 0, 1]}
    with pytest.raises(PoolCapabilityError, match="UncertaintyHerding needs clones to train"):
        UncertaintyHerding().select(Fixed(), X, 3, **labels)
    assert len(UncertaintyHerding(calibrate=False).select(Fixed(), X, 3, **labels)[0]) == 3


def test_rules_without_calibration():
    check_strategy(UncertaintyHerding(calibrate=False, bandwidth=0.7, n_candidates=10))


def test_errors():
    pool = fake(np.ones((3, 2)), np.full((3, 2), 0.5), np.ones((1, 2)))
    for name, value in (("bandwidth", 0.0), ("bandwidth", "wide"), ("calibrate", 2), ("n_candidates", 0)):
        with pytest.raises(ValueError, match=f"'{name}' parameter of UncertaintyHerding"):
            UncertaintyHerding(**{name: value}).select(pool, pool.X)
