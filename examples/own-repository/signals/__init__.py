"""The data set of this repository."""

from signals.tones import CLASSES, Tones

__all__ = ["CLASSES", "Tones"]
