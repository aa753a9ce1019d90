"""Losses: pure functions (`functional`, `energies`) and the weighted sums that models train on."""

from .motion import MOTION_TERMS, MotionLoss
from .weighted import FiniteWatch, weighted_sum

__all__ = ["MOTION_TERMS", "FiniteWatch", "MotionLoss", "weighted_sum"]
