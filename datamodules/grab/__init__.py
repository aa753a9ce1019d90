"""GRAB: reaches and grasps of human hands, from the released sequences and from GrabNet's release."""

from .files import GrabTree, find_tree
from .frames import GRASP_RULES, MOTION_RULES, Selection, Signals
from .grabnet import read_grabnet
from .grasp_module import GrabGrasps
from .grasps import GraspList, read_grasps
from .module import GrabMotion
from .reader import GrabReader
from .sequence import ContactLabels, GrabSequence, read_labels, read_sequence, touching
from .skeleton import Person
from .tracks import Tracks, read_tracks

__all__ = [
    "GRASP_RULES",
    "MOTION_RULES",
    "ContactLabels",
    "GrabGrasps",
    "GrabMotion",
    "GrabReader",
    "GrabSequence",
    "GrabTree",
    "GraspList",
    "Person",
    "Selection",
    "Signals",
    "Tracks",
    "find_tree",
    "read_grabnet",
    "read_grasps",
    "read_labels",
    "read_sequence",
    "read_tracks",
    "touching",
]
