"""Torch models as scikit-learn estimators, through skorch."""

from ._adversarial import AdversarialClassifier
from ._classifier import DeepClassifier
from ._detector import DeepDetector
from ._fusion import FusionDescriptor
from ._pretext import RotationPretext

__all__ = ["AdversarialClassifier", "DeepClassifier", "DeepDetector", "FusionDescriptor", "RotationPretext"]
