"""Networks (tensors in, HandPose out) and the tasks that wrap them for Lightning.

`motion` has models of reach-to-grasp motions, `grasp` models of static grasps, `selection` filters grasps, `published`
has networks with the names and shapes of published files, and `blocks` layers shared by several models.
"""

from .grasp import (
    ContactMap,
    ContactPrediction,
    ContactPredictor,
    GraspCVAE,
    GraspFlow,
    GraspGeneration,
    GraspModel,
    GraspRefinement,
    Refiner,
)
from .motion import FlowSynthesis, GoalRefine, MotionFlow, MotionModel, MotionNet, MotionSynthesis, pull_to_goal
from .selection import GraspFilter
from .task import Task

__all__ = [
    "ContactMap",
    "ContactPrediction",
    "ContactPredictor",
    "FlowSynthesis",
    "GoalRefine",
    "GraspCVAE",
    "GraspFilter",
    "GraspFlow",
    "GraspGeneration",
    "GraspModel",
    "GraspRefinement",
    "MotionFlow",
    "MotionModel",
    "MotionNet",
    "MotionSynthesis",
    "Refiner",
    "Task",
    "pull_to_goal",
]
