"""The whole active-learning loop as one scikit-learn classifier, and what is tuned by simulating it."""

from ._classifier import ActiveLearningClassifier
from ._tuning import BalancingFactor, tune_balancing_factor

__all__ = ["ActiveLearningClassifier", "BalancingFactor", "tune_balancing_factor"]
