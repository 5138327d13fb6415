"""What a selection or a classifier is worth: curves, selections, descriptors, distances, robustness, detection."""

from ._curves import area_under_learning_curve, label_savings
from ._descriptors import retrieval_map
from ._detection import load_pycocotools as load_pycocotools  # for the detector
from ._detection import mean_average_precision
from ._distances import combined_distances
from ._robustness import corruption_report, fgsm_accuracy
from ._selection import coverage_rate, labeled_imbalance
from ._targets import parse_targets as parse_targets  # for the detector, too
from ._targets import unique_labels as unique_labels

__all__ = [
    "area_under_learning_curve",
    "combined_distances",
    "corruption_report",
    "coverage_rate",
    "fgsm_accuracy",
    "label_savings",
    "labeled_imbalance",
    "mean_average_precision",
    "retrieval_map",
]
