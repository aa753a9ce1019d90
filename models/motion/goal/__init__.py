"""GOAL-hand: the motion network of GOAL, applied to a hand."""

from .loss import GoalLoss
from .model import GoalHand, GoalPrediction
from .task import GoalSynthesis

__all__ = [
    "GoalHand",
    "GoalLoss",
    "GoalPrediction",
    "GoalSynthesis",
]
