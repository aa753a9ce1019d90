"""Metrics as pure functions, in SI units, one value per sample."""

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

__all__ = [
    "acceleration_error",
    "average_variance_error",
    "last_valid_frame",
    "local_keypoints",
    "min_distance",
    "mpjpe",
    "rotation_error",
    "vertex_offset",
]
