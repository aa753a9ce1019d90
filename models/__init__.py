"""Networks (tensors in, HandPose out), the tasks that wrap them for Lightning, and baselines."""

from .autoregressive import MotionModel
from .contact_map import ContactMap, ContactPredictor
from .goal_refine import GoalRefine, refine
from .grasp_cvae import GraspCVAE
from .grasp_flow import GraspFlow
from .grasp_model import GraspModel
from .motion_flow import MotionFlow
from .motionnet import MotionNet
from .refinement.refiner import Refiner
from .selection.filter import GraspFilter
from .tasks.base import Task
from .tasks.contact_prediction import ContactPrediction
from .tasks.flow_synthesis import FlowSynthesis
from .tasks.grasp_generation import GraspGeneration
from .tasks.grasp_refinement import GraspRefinement
from .tasks.motion_synthesis import MotionSynthesis

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
    "refine",
]
