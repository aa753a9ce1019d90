"""Networks (tensors in, HandPose out) and the tasks that wrap them for Lightning.

`motion` has models of reach-to-grasp motions, `grasp` models of static grasps, `selection` filters grasps, `published`
has networks with the names and shapes of published files, and `blocks` layers shared by several models.
"""

from typing import TYPE_CHECKING

from dexzoo.lazy import on_first_use

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
    SagaGrasp,
)
from .motion import (
    FlowSynthesis,
    GoalHand,
    GoalRefine,
    GoalSynthesis,
    HoldStill,
    Interpolation,
    Linear,
    MinimumJerk,
    MotionFlow,
    MotionModel,
    MotionNet,
    MotionSynthesis,
    SagaHand,
    SagaSynthesis,
    TimedInterpolation,
    WindowEncoder,
    pull_to_goal,
)
from .selection import GraspFilter
from .task import Task

if TYPE_CHECKING:
    from .grasp import UniDexGrasp

__all__ = [
    "ContactMap",
    "ContactPrediction",
    "ContactPredictor",
    "FlowSynthesis",
    "GoalHand",
    "GoalRefine",
    "GoalSynthesis",
    "GraspCVAE",
    "GraspFilter",
    "GraspFlow",
    "GraspGeneration",
    "GraspModel",
    "GraspRefinement",
    "HoldStill",
    "Interpolation",
    "Linear",
    "MinimumJerk",
    "MotionFlow",
    "MotionModel",
    "MotionNet",
    "MotionSynthesis",
    "Refiner",
    "SagaGrasp",
    "SagaHand",
    "SagaSynthesis",
    "Task",
    "TimedInterpolation",
    "UniDexGrasp",
    "WindowEncoder",
    "pull_to_goal",
]
__getattr__ = on_first_use(__name__, {"grasp": "UniDexGrasp"})
