"""Published networks with their original names and shapes, so that their files can be loaded.

They follow the descriptions in the papers and the layout of the files, not anyone's code. Defects of the published
training are not reproduced unless a weight depends on them; each class says which.
"""

from .affordance_cvae import AffordanceNetwork
from .checkpoints import CheckpointError, Report, load_official
from .contact_map_net import ContactMapNet
from .gendexgrasp import ContactMapVAE
from .goal_gnet import GNet
from .goal_mnet import MNet
from .saga_grasp import WholeGraspPose, steps_down
from .saga_motion import LocalMotionFill, TrajFill
from .schedule import cosine, halving, plateau

__all__ = [
    "AffordanceNetwork",
    "CheckpointError",
    "ContactMapNet",
    "ContactMapVAE",
    "GNet",
    "LocalMotionFill",
    "MNet",
    "Report",
    "TrajFill",
    "WholeGraspPose",
    "cosine",
    "halving",
    "load_official",
    "plateau",
    "steps_down",
]
