"""givre: an overfitted image codec."""

from givre.version import __version__

__all__ = ["__version__"]
