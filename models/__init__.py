"""Networks (tensors in, HandPose out), the tasks that wrap them for Lightning, and baselines."""

from .autoregressive import MotionModel
from .goal_refine import GoalRefine, refine
from .motionnet import MotionNet
from .tasks.motion_synthesis import MotionSynthesis

__all__ = ["GoalRefine", "MotionModel", "MotionNet", "MotionSynthesis", "refine"]
