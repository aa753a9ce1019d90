"""Models of reach-to-grasp motions, under one contract: MotionNet, MotionFlow, GOAL-hand, SAGA-hand, interpolations."""

from .base import MotionModel
from .flow import FlowSynthesis, MotionFlow
from .goal import GoalHand, GoalLoss, GoalPrediction, GoalSynthesis
from .goal_pull import GoalRefine, pull_to_goal
from .interpolation import HoldStill, Interpolation, Linear, MinimumJerk, TimedInterpolation
from .motionnet import MotionNet
from .saga import SagaHand, SagaLoss, SagaPrediction, SagaSynthesis
from .task import MotionSynthesis
from .window_encoder import WindowEncoder

__all__ = [
    "FlowSynthesis",
    "GoalHand",
    "GoalLoss",
    "GoalPrediction",
    "GoalRefine",
    "GoalSynthesis",
    "HoldStill",
    "Interpolation",
    "Linear",
    "MinimumJerk",
    "MotionFlow",
    "MotionModel",
    "MotionNet",
    "MotionSynthesis",
    "SagaHand",
    "SagaLoss",
    "SagaPrediction",
    "SagaSynthesis",
    "TimedInterpolation",
    "WindowEncoder",
    "pull_to_goal",
]
