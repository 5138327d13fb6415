"""The combined distance by hand."""

import numpy as np
import pytest

from skal.metrics import combined_distances


def test_the_mean_of_euclid_and_manhattan_over_the_dimension():
    """(0.6, 0.8) and (1, 0): sqrt(0.8) and 1.2, their mean, halved for the two dimensions."""
    (distance,) = combined_distances([[3, 4]], [[1, 0]])[0]
    assert distance == pytest.approx((np.sqrt(0.8) + 1.2) / 2 / 2, abs=1e-12)


def test_symmetric_with_a_zero_diagonal():
    distances = combined_distances(np.random.default_rng(0).standard_normal((6, 3)))
    np.testing.assert_allclose(distances, distances.T, atol=1e-15)
    np.testing.assert_array_equal(np.diag(distances), np.zeros(6))
