"""Object detectors."""

from ._detector import DeepDetector

__all__ = ["DeepDetector"]
