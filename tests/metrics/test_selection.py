"""Coverage at its threshold."""

from skal.metrics import coverage_rate


def test_a_cosine_at_the_threshold_is_alike():
    descriptors = [[1, 0], [2, 0], [0, 1], [-1, 0]]
    assert coverage_rate(descriptors, [0, 1, 2], threshold=1.0) == 2 / 4
    assert coverage_rate(descriptors, [0, 2], threshold=0.0) == 1 / 4
    assert coverage_rate(descriptors, [0, 3], threshold=0.0) == 2 / 4
