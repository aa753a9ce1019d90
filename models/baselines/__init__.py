"""Baselines, under the same contracts as our own models."""

from .goal import GoalHand, GoalPrediction
from .goal_loss import GoalLoss
from .goal_task import GoalSynthesis
from .interpolation import HoldStill, Interpolation, Linear, MinimumJerk, TimedInterpolation

__all__ = [
    "GoalHand",
    "GoalLoss",
    "GoalPrediction",
    "GoalSynthesis",
    "HoldStill",
    "Interpolation",
    "Linear",
    "MinimumJerk",
    "TimedInterpolation",
]
