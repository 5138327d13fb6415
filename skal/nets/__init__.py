"""Torch models as scikit-learn estimators, through skorch."""

from ._classifier import DeepClassifier

__all__ = ["DeepClassifier"]
