"""When to stop labelling: criteria that look at a learner once a round."""

from ._all_of import AllOf
from ._any_of import AnyOf
from ._base import StoppingCriterion, StoppingReport
from ._classification_change import ClassificationChange
from ._expected_gain import ExpectedGain
from ._overall_uncertainty import OverallUncertainty
from ._stabilized_predictions import StabilizedPredictions

__all__ = [
    "AllOf",
    "AnyOf",
    "ClassificationChange",
    "ExpectedGain",
    "OverallUncertainty",
    "StabilizedPredictions",
    "StoppingCriterion",
    "StoppingReport",
]
