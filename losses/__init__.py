"""Losses: pure functions (`functional`, `energies`) and the weighted sums that models train on."""

from .contact import soft_contact
from .motion import MOTION_TERMS, MotionLoss
from .ramp import Ramp
from .weighted import FiniteWatch, weighted_sum

__all__ = [
    "MOTION_TERMS",
    "FiniteWatch",
    "MotionLoss",
    "Ramp",
    "soft_contact",
    "weighted_sum",
]
