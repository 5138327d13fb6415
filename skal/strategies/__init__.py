"""Query strategies: what to label next. One method, one file."""

from ._decern import DECERN, decern_sampling
from ._random import RandomSampling, random_sampling
from ._uncertainty import (
    EntropySampling,
    LeastConfidence,
    MarginSampling,
    entropy_sampling,
    least_confidence_sampling,
    margin_sampling,
)

__all__ = [
    "DECERN",
    "EntropySampling",
    "LeastConfidence",
    "MarginSampling",
    "RandomSampling",
    "decern_sampling",
    "entropy_sampling",
    "least_confidence_sampling",
    "margin_sampling",
    "random_sampling",
]
