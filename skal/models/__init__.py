"""What one family of fitted model can tell: one file for each, open to others by `register_model`."""

# Order counts: each file registers its family, and the newest is asked first.
# isort: off
from ._base import Head, Model, Outputs, model_for, register_model
from ._plain import PlainModel
from ._linear import LinearModel
from ._mlp import MLPModel
from ._ensembles import EnsembleModel
from ._embedding import EmbeddingModel
from ._committee import CommitteeModel
from ._detector import DetectorModel, is_detector
from ._skorch import SkorchModel, casting, is_plain_net, is_skorch, net_head, net_labels, net_outputs
# isort: on

from ._checks import checked_detections, checked_proba
from ._clones import clone_samples, one_class_proba
from ._fgsm import Clip, check_epsilon, check_in_range, check_weight_of_loss, fgsm, gradient_model, parse_clip
from ._heads import Calls, find_submodule, last_linear
from ._interrupts import interrupts_pass
from ._kept import Kept
from ._layers import LayerWatch
from ._tags import input_tags, takes_missing
from ._unwrap import Unwrapped, is_fitted

__all__ = [
    "Calls",
    "Clip",
    "CommitteeModel",
    "DetectorModel",
    "EmbeddingModel",
    "EnsembleModel",
    "Head",
    "Kept",
    "LayerWatch",
    "LinearModel",
    "MLPModel",
    "Model",
    "Outputs",
    "PlainModel",
    "SkorchModel",
    "Unwrapped",
    "casting",
    "check_epsilon",
    "check_in_range",
    "check_weight_of_loss",
    "checked_detections",
    "checked_proba",
    "clone_samples",
    "fgsm",
    "find_submodule",
    "gradient_model",
    "input_tags",
    "interrupts_pass",
    "is_detector",
    "is_fitted",
    "is_plain_net",
    "is_skorch",
    "last_linear",
    "model_for",
    "net_head",
    "net_labels",
    "net_outputs",
    "one_class_proba",
    "parse_clip",
    "register_model",
    "takes_missing",
]
