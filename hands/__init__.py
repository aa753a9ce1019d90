"""Hands."""

from .hand import Hand, load_hand
from .pose import HandPose

__all__ = ["Hand", "HandPose", "load_hand"]
