"""All metrics: the one list from which tables, the command line and the collections are made.

The heading, unit and direction of a column stand on its class, the order of columns here.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from ..files.names import did_you_mean
from ..geometry.meshes import MeshError
from ..geometry.progress import working
from ..grasps.posed import PosedGrasps
from ..hands.errors import HandError
from . import contact_map, grasp, motion
from .base import SampleMetric
from .grasp import GraspMetric

_log = logging.getLogger(__name__)

METRICS: dict[str, tuple[type[GraspMetric], ...]] = {
    "penetration": (grasp.PenetrationDepth,),
    "object_penetration": (grasp.ObjectPenetration,),
    "self_intersection": (grasp.SelfIntersectionVolume,),
    "self_intersection_depth": (grasp.SelfIntersectionDepth,),
    "hand_object": (grasp.HandObjectVolume,),
    "sim_displacement": (
        *(grasp.SimDisplacement, grasp.SimHeld1, grasp.SimHeld2, grasp.SimHeld3),
        *(grasp.SimRotation, grasp.SimInitialDepth, grasp.SimEjected, grasp.SimFailed),
    ),
    "sim_displacement_six": (grasp.SimDisplacementSix,),
    "six_directions": (grasp.SixDirectionSuccess, grasp.SixDirectionContact),
    "squeeze": (grasp.SqueezeSuccess,),
    "q1": (grasp.Q1, grasp.ValidQ1),
    "contact": (grasp.ContactRatio, grasp.LinkContact, grasp.Gap),
}
"""Columns of grasps by the name under which they are asked for; the columns of one name share their work."""

LEGACY: dict[str, tuple[type[GraspMetric], ...]] = {
    "penetration": (grasp.LegacyPenetration,),
    "hand_object": (grasp.LegacyHandObjectVolume,),
    "sim_displacement": (grasp.LegacySimDisplacement,),
    "q1": (grasp.LegacyQ1,),
}
"""The same metrics as computed by the field's scripts, flaws included: separate columns, never mixed with ours."""

SPREADS: tuple[type[GraspMetric], ...] = (grasp.TranslationDiversity, grasp.RotationDiversity, grasp.JointDiversity)
"""Spread of the grasps of one object: columns with one value per object."""

MOTIONS: tuple[type[SampleMetric], ...] = (
    *(motion.MPJPE, motion.PalmError, motion.FingerError, motion.PalmRotationError),
    *(motion.AverageVarianceError, motion.PaperAverageVarianceError),
    *(motion.VertexOffset, motion.SurfaceOffset, motion.AccelerationError),
    *(motion.MinDistance, motion.MinDistanceError, motion.FinalPenetration, motion.LargestPenetration),
)
"""Columns of motions; each is measured where its inputs are known."""

CONTACT_MAPS: tuple[type[SampleMetric], ...] = (
    *(contact_map.BinAccuracy, contact_map.ContactF1, contact_map.ContactError, contact_map.CalibrationError),
)
"""Columns of predicted contact maps."""

TABLE3 = ("self_intersection", "hand_object", "penetration", "sim_displacement")
"""Metrics of RealDex, Table 3; its s.i.vol can be read as either volume, so both are included."""


def grasp_columns(legacy: bool = False) -> list[type[SampleMetric]]:
    """All columns of grasps, or those of `LEGACY`, in the order of tables."""
    groups = (*LEGACY.values(),) if legacy else (*METRICS.values(), SPREADS)
    return [column for group in groups for column in group]


def in_tables(columns: Iterable[type[SampleMetric]]) -> dict[str, type[SampleMetric]]:
    """Those that the tables of runs have, by key."""
    return {column.key: column for column in columns if column.heading}


def columns(metrics: Sequence[str] = TABLE3, legacy: bool = False) -> list[type[GraspMetric]]:
    """Classes of the given metrics, in order, each followed by its legacy version if requested; ValueError for a name
    that is not in `METRICS`.
    """
    for name in metrics:
        if name not in METRICS:
            found = f"found {name!r}{did_you_mean(name, METRICS)}"
            raise ValueError(f"metrics: expected some of {', '.join(METRICS)}, {found}")
    chosen = list(dict.fromkeys(metrics))
    return [column for name in chosen for column in (*METRICS[name], *(LEGACY.get(name, ()) if legacy else ()))]


def grasp_errors(grasps: PosedGrasps, metrics: Sequence[str] = TABLE3, legacy: bool = False) -> dict[str, Tensor]:
    """One value per grasp and column: (B,) float64 by key, in the unit that the key says; NaN where a grasp has none.

    The grasps are B of one object; `metrics` are names in `METRICS`, else ValueError; `legacy` adds the columns of
    `LEGACY`. A column is NaN too, with a warning, where the object cannot be cut into convex pieces
    or the hand cannot be simulated.
    """
    chosen, errors = columns(metrics, legacy), {}
    lost: dict[str, list[str]] = {}
    with working(f"measuring {len(grasps)} grasps of {grasps.object.name}", len(chosen)) as measuring:
        for column in chosen:
            measuring.note(column.key)
            try:
                errors[column.key] = column().measure(grasps) * column.per_si
            except (MeshError, HandError) as error:  # one that cannot be simulated, which costs these numbers only
                errors[column.key] = torch.full((len(grasps),), torch.nan, dtype=torch.float64)
                lost.setdefault(str(error), []).append(column.key)
            measuring.advance()
    for reason, keys in lost.items():
        _log.warning("%s has no %s: %s", grasps.object.name, ", ".join(keys), reason)
    return errors


class GraspMetrics(MetricCollection):
    """The columns of RealDex, Table 3, under the keys of `grasp_errors`.

    As input to `update`: `PosedGrasps`, B grasps of one object; call it once per object.

    Args:
        metrics, legacy: as for `grasp_errors`.
        output: as for `SampleMetric`; with "summary" the keys get the suffixes `_mean`, `_sd`, `_n` and `_n_nan`.
        prefix: prepended to the keys, such as "test/".
    """

    def __init__(
        self,
        metrics: Sequence[str] = TABLE3,
        legacy: bool = False,
        output: Literal["mean", "summary"] = "mean",
        prefix: str | None = None,
    ) -> None:
        # Groups share the states of metrics whose first batch gave equal sums. Ours all have the same four states, and
        # a perfect first batch makes all sums 0: every column would then become the first one.
        chosen = columns(metrics, legacy)
        super().__init__({c.key: c(output=output) for c in chosen}, prefix=prefix, compute_groups=False)


class MotionMetrics(MetricCollection):
    """The columns of RealDex, Table 4, and others of `motion_errors`, under the same keys.

    As input to `update`: `**motion_inputs(hand, pred, target, mask, distance)`.

    Args:
        distance: whether to measure distances to the object; the inputs then need one.
        output, prefix: as for `GraspMetrics`.
    """

    def __init__(
        self, distance: bool = True, output: Literal["mean", "summary"] = "mean", prefix: str | None = None
    ) -> None:
        unknown = {"fps", "final_depth", "largest_depth"} | (set() if distance else {"pred_distance"})
        chosen = [column for column in MOTIONS if not unknown & column.inputs()]
        super().__init__({c.key: c(output=output) for c in chosen}, prefix=prefix, compute_groups=False)  # see above
