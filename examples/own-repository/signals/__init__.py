"""This repository's data."""

from signals.tones import CLASSES, Tones

__all__ = ["CLASSES", "Tones"]
