"""Metrics: pure functions over batches in `functional`, torchmetrics classes here, and `motion_errors` over both.

Functions take and return SI units and give one value per sample; the classes and the keys of `motion_errors` are in
the units that their docstring or suffix says.
"""

from .base import SampleMetric
from .evaluate import motion_errors, motion_inputs
from .motion import (
    MPJPE,
    AverageVarianceError,
    MinDistance,
    MinDistanceError,
    MotionMetrics,
    PaperAverageVarianceError,
    VertexOffset,
)
from .object_distance import ObjectDistance

__all__ = [
    "MPJPE",
    "AverageVarianceError",
    "MinDistance",
    "MinDistanceError",
    "MotionMetrics",
    "ObjectDistance",
    "PaperAverageVarianceError",
    "SampleMetric",
    "VertexOffset",
    "motion_errors",
    "motion_inputs",
]
