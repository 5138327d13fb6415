"""skal: published active-learning methods for scikit-learn, skorch and modAL."""

from ._version import __version__

__all__ = ["__version__"]
