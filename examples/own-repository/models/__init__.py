"""The models of this repository."""

from models.listener import Listener

__all__ = ["Listener"]
