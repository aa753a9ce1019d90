"""Metrics: pure functions over batches in `functional`, torchmetrics classes here, and tables over both.

`motion_errors` and `MotionMetrics` are for reaches, `grasp_errors` and `GraspMetrics` for grasps. Functions take and
return SI units, one value per sample; classes and table columns are in the units that their docstring or suffix states.
`docs/metrics.md` compares them with the field's other definitions.
"""

from .base import SampleMetric
from .columns import LEGACY, METRICS, TABLE3, GraspMetrics, grasp_errors
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
    AverageVarianceError,
    MinDistance,
    MinDistanceError,
    MotionMetrics,
    PaperAverageVarianceError,
    SurfaceOffset,
    VertexOffset,
)
from .object_distance import ObjectDistance

__all__ = [
    "LEGACY",
    "METRICS",
    "MPJPE",
    "Q1",
    "TABLE3",
    "AverageVarianceError",
    "ContactRatio",
    "Gap",
    "GraspMetric",
    "GraspMetrics",
    "HandObjectVolume",
    "JointDiversity",
    "LinkContact",
    "MinDistance",
    "MinDistanceError",
    "MotionMetrics",
    "ObjectDistance",
    "ObjectPenetration",
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
