"""Fused feature maps as descriptors."""

from ._fusion import FusionDescriptor

__all__ = ["FusionDescriptor"]
