"""Losses: pure functions (`functional`, `energies`) and the weighted sums that models train on."""

from .motion import MOTION_TERMS, MotionLoss
from .weighted import weighted_sum

__all__ = ["MOTION_TERMS", "MotionLoss", "weighted_sum"]
