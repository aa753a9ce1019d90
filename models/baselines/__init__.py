"""Baselines, under the same contracts as our own models; `unidexgrasp` is imported by itself."""

from .goal import GoalHand, GoalPrediction
from .goal_loss import GoalLoss
from .goal_task import GoalSynthesis
from .interpolation import HoldStill, Interpolation, Linear, MinimumJerk, TimedInterpolation
from .saga import SagaHand, SagaLoss, SagaPrediction, SagaSynthesis
from .saga_grasp import SagaGrasp
from .saga_grasp_fit import GraspFit

__all__ = [
    "GoalHand",
    "GoalLoss",
    "GoalPrediction",
    "GoalSynthesis",
    "GraspFit",
    "HoldStill",
    "Interpolation",
    "Linear",
    "MinimumJerk",
    "SagaGrasp",
    "SagaHand",
    "SagaLoss",
    "SagaPrediction",
    "SagaSynthesis",
    "TimedInterpolation",
]
