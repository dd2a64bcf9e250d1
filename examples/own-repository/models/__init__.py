"""This repository's models; stepbench has a package of the same name, and uses this one here."""

from models.listener import Listener

__all__ = ["Listener"]
