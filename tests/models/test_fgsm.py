"""The range of samples: rounding passes, and nothing else."""

import numpy as np
import pytest

from skal.models import check_in_range


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.1), (-0.1, 0.7), (0.0, 255.3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_at_the_bounds_passes(low, high, dtype):
    """Pixels that were scaled may lie a last bit outside."""
    beyond = np.nextafter(np.array([low, high], dtype=np.float32), np.array([-np.inf, np.inf], dtype=np.float32))
    check_in_range(beyond.astype(dtype), (low, high), "A test")


@pytest.mark.parametrize("values", [[0.0, 1.00001], [-0.00001, 1.0], [0.5, 1.05], [np.nan, 0.5]])
def test_what_is_more_than_rounding_is_refused(values):
    with pytest.raises(ValueError, match=r"Samples must lie in clip=\(0.0, 1.0\) of A test"):
        check_in_range(np.array(values), (0.0, 1.0), "A test")
