"""Metrics: pure functions over batches in `functional`, torchmetrics classes here, and tables over both.

`motion_errors` and `MotionMetrics` are for reaches, `grasp_errors` and `GraspMetrics` for grasps. Functions take and
return SI units and give one value per sample; the classes and the keys of tables are in the units that their docstring
or suffix says. What the field's other definitions would give is in `docs/metrics.md`.
"""

from .base import SampleMetric
from .columns import CONTACT_MAPS, LEGACY, METRICS, MOTIONS, TABLE3, GraspMetrics, MotionMetrics, grasp_errors
from .contact_map import BinAccuracy, CalibrationError, ContactError, ContactF1
from .evaluate import motion_errors, motion_inputs
from .grasp import (
    Q1,
    ContactRatio,
    Gap,
    GraspMetric,
    HandObjectVolume,
    JointDiversity,
    LinkContact,
    ObjectPenetration,
    PenetrationDepth,
    RotationDiversity,
    SelfIntersectionDepth,
    SelfIntersectionVolume,
    SimDisplacement,
    SixDirectionSuccess,
    TranslationDiversity,
    ValidQ1,
)
from .motion import (
    MPJPE,
    AccelerationError,
    AverageVarianceError,
    FinalPenetration,
    FingerError,
    LargestPenetration,
    MinDistance,
    MinDistanceError,
    PalmError,
    PalmRotationError,
    PaperAverageVarianceError,
    SurfaceOffset,
    VertexOffset,
)
from .object_distance import ObjectDistance

__all__ = [
    "CONTACT_MAPS",
    "LEGACY",
    "METRICS",
    "MOTIONS",
    "MPJPE",
    "Q1",
    "TABLE3",
    "AccelerationError",
    "AverageVarianceError",
    "BinAccuracy",
    "CalibrationError",
    "ContactError",
    "ContactF1",
    "ContactRatio",
    "FinalPenetration",
    "FingerError",
    "Gap",
    "GraspMetric",
    "GraspMetrics",
    "HandObjectVolume",
    "JointDiversity",
    "LargestPenetration",
    "LinkContact",
    "MinDistance",
    "MinDistanceError",
    "MotionMetrics",
    "ObjectDistance",
    "ObjectPenetration",
    "PalmError",
    "PalmRotationError",
    "PaperAverageVarianceError",
    "PenetrationDepth",
    "RotationDiversity",
    "SampleMetric",
    "SelfIntersectionDepth",
    "SelfIntersectionVolume",
    "SimDisplacement",
    "SixDirectionSuccess",
    "SurfaceOffset",
    "TranslationDiversity",
    "ValidQ1",
    "VertexOffset",
    "grasp_errors",
    "motion_errors",
    "motion_inputs",
]
