"""Temperature scaling: by hand, a temperature that is known, and who is held out."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from skal.pool import view_pool
from skal.strategies._parts._calibration import best_temperature, calibration_error, held_out_proba, tempered


def test_tempered_by_hand():
    proba = np.array([[0.8, 0.2], [1.0, 0.0], [0.5, 0.5]])
    np.testing.assert_allclose(tempered(proba, 1.0), proba)
    np.testing.assert_allclose(tempered(proba, 0.5), [[16 / 17, 1 / 17], [1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(tempered(proba, 2.0), [[2 / 3, 1 / 3], [1, 0], [0.5, 0.5]])
    logits = np.random.default_rng(0).standard_normal((6, 4))
    np.testing.assert_allclose(tempered(softmax(logits, axis=1), 3.0), softmax(logits / 3, axis=1))


def test_calibration_error_by_hand():
    proba = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    # Of two right at 0.9 one is wrong: 0.4, for half of the rows; the others are off by 0.4 and 0.3.
    assert calibration_error(proba, np.array([0, 1, 0, 1])) == pytest.approx(0.4 / 2 + 0.4 / 4 + 0.3 / 4)
    # In one bin accuracy and confidence are compared as means.
    assert calibration_error(proba, np.array([0, 1, 0, 1]), n_bins=1) == pytest.approx(abs(0.75 - 0.775))
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_calibration_error_equals_a_loop():
    rng = np.random.default_rng(0)
    proba, y = rng.dirichlet(np.ones(3), 500), rng.integers(3, size=500)
    confidence, slow = proba.max(axis=1), 0.0
    for k in range(15):
        rows = (confidence >= k / 15) & ((confidence < (k + 1) / 15) | (k == 14))
        if rows.any():
            slow += rows.mean() * abs((proba.argmax(axis=1) == y)[rows].mean() - confidence[rows].mean())
    assert calibration_error(proba, y) == pytest.approx(slow)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((20_000, 4))
    y = np.array([rng.choice(4, p=p) for p in softmax(logits, axis=1)])
    assert best_temperature(softmax(logits * temperature, axis=1), y) == pytest.approx(temperature, rel=0.15)


def test_where_the_temperature_says_nothing_it_is_one():
    assert best_temperature(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])) == 1.0
    assert best_temperature(np.full((3, 2), 0.5), np.array([0, 1, 0])) == 1.0


def test_the_clone_has_not_seen_what_is_held_out():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), np.array(["a", "b"])[np.arange(20) % 2]
    fitted = LogisticRegression(C=10.0).fit(X, y)
    before = fitted.coef_.copy()
    pool = view_pool(fitted, X, X_training=X, y_training=y)
    proba, columns = held_out_proba(pool, 0.2, np.random.default_rng(5), "Test")
    held = np.sort(np.random.default_rng(5).permutation(20)[:4])
    rest = np.setdiff1d(np.arange(20), held)
    expected = LogisticRegression(C=10.0).fit(X[rest], y[rest]).predict_proba(X[held])
    np.testing.assert_allclose(proba, expected, atol=1e-4)
    assert columns.tolist() == (held % 2).tolist()
    np.testing.assert_array_equal(fitted.coef_, before)
    np.testing.assert_array_equal(pool.labeled.y, y)
    assert len(pool.labeled) == 20


def test_a_class_that_is_held_out_whole_keeps_its_column():
    X, y = np.arange(6.0)[:, None], np.array([0, 0, 1, 1, 1, 2])
    pool = view_pool(LogisticRegression().fit(X, y), X, X_training=X, y_training=y)
    for seed in range(20):
        proba, columns = held_out_proba(pool, 0.2, np.random.default_rng(seed), "Test")
        assert proba.shape == (1, 3)
        if columns[0] == 2:
            assert proba[0, 2] == 0
            return
    raise AssertionError("the last class was never held out")


def test_none_where_the_rest_has_one_class():
    X, y = np.arange(3.0)[:, None], np.array([0, 0, 1])
    pool = view_pool(LogisticRegression().fit(X, y), X, X_training=X, y_training=y)
    found = [held_out_proba(pool, 0.2, np.random.default_rng(seed), "Test") for seed in range(10)]
    assert any(value is None for value in found) and any(value is not None for value in found)
