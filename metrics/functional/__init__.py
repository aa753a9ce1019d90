"""Metrics as pure functions, in SI units, one value per sample."""

from .contact import Contact, GraspContacts, contact, grasp_contacts
from .contact_map import calibration_error, contact_f1
from .diversity import Diversity, diversity, explained_variance, mean_rotation
from .motion import (
    acceleration_error,
    average_variance_error,
    last_valid_frame,
    local_keypoints,
    min_distance,
    mpjpe,
    rotation_error,
    vertex_offset,
)
from .nearest import NearestPoints, nearest_points
from .penetration import penetration_depth
from .q1 import contact_q1, q1, valid_q1
from .self_intersection import self_intersection_depth, self_intersection_volume
from .simulation import Simulation, Success, contact_depth, sim_displacement, success
from .table import table_penetration
from .volumes import hand_object_volume

__all__ = [
    "Contact",
    "Diversity",
    "GraspContacts",
    "NearestPoints",
    "Simulation",
    "Success",
    "acceleration_error",
    "average_variance_error",
    "calibration_error",
    "contact",
    "contact_depth",
    "contact_f1",
    "contact_q1",
    "diversity",
    "explained_variance",
    "grasp_contacts",
    "hand_object_volume",
    "last_valid_frame",
    "local_keypoints",
    "mean_rotation",
    "min_distance",
    "mpjpe",
    "nearest_points",
    "penetration_depth",
    "q1",
    "rotation_error",
    "self_intersection_depth",
    "self_intersection_volume",
    "sim_displacement",
    "success",
    "table_penetration",
    "valid_q1",
    "vertex_offset",
]
