"""Torch models as scikit-learn estimators, through skorch."""

from ._adversarial import AdversarialClassifier
from ._adversarial_vae import AdversarialVAE
from ._classifier import DeepClassifier
from ._graph_selector import GraphSelector
from ._learning_loss import LearningLossCallback
from ._loss_prediction import LossPredictor
from ._pretext import RotationPretext
from ._rotation_classifier import RotationClassifier
from .detector._detector import DeepDetector
from .fusion._fusion import FusionDescriptor

__all__ = [
    "AdversarialClassifier",
    "AdversarialVAE",
    "DeepClassifier",
    "DeepDetector",
    "FusionDescriptor",
    "GraphSelector",
    "LearningLossCallback",
    "LossPredictor",
    "RotationClassifier",
    "RotationPretext",
]
