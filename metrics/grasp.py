"""Grasp metrics: thin torchmetrics classes over `dexzoo.metrics.functional`, all updated with `PosedGrasps`.

Each class is one column of a table: `key` is its heading, with the unit; the first sentence of its docstring is its
definition. `update(grasps)` takes a batch of grasps of one object; call it once per object: the mean is over grasps.
"""

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..grasps.posed import PosedGrasps
from .base import SampleMetric
from .functional.contact import Contact, contact
from .functional.diversity import Diversity, diversity
from .functional.penetration import penetration_depth
from .functional.q1 import q1, valid_q1
from .functional.simulation import Simulation, Success, sim_displacement, success
from .functional.volumes import hand_object_volume, self_intersection_depth, self_intersection_volume

_DEGREES = 180 / torch.pi


class GraspMetric(SampleMetric):
    """Base class of grasp metrics, a column: one value per grasp, with mean and spread over all grasps seen.

    As input to `update`: `PosedGrasps`, B grasps of one object.
    """

    inside: ClassVar[bool] = False
    """Whether it is of the object's inside, which an open mesh has only by `ObjectAsset.deviation`."""

    @abstractmethod
    def measure(self, grasps: PosedGrasps) -> Tensor:
        """(B,) values in SI units, NaN for missing values."""


class PenetrationDepth(GraspMetric):
    """Depth of the deepest point of the hand below the object's surface: cm, lower is better.

    Source: "p.dist" of RealDex (Liu et al., IJCAI 2024), Table 3; definition in `functional.penetration`.

    Args:
        certify: guarantee the true maximum to 0.02 mm.
        output: as for `SampleMetric`.
    """

    key, heading, unit, per_si, source = "penetration_cm", "p.dist", "cm", 1e2, "RealDex, Table 3 (p.dist)"
    inside = True

    def __init__(self, certify: bool = False, output: Literal["mean", "summary"] = "mean") -> None:
        super().__init__(output)
        self.certify = certify

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return penetration_depth(grasps, certify=self.certify)


class ObjectPenetration(GraspMetric):
    """Depth of the deepest point of the object below the hand's surface: cm, lower is better."""

    key, unit, per_si, source = "object_penetration_cm", "cm", 1e2, "UniDexGrasp (pen), DexGraspNet"
    inside = True

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return grasps.once(self.key, lambda g: penetration_depth(g, direction="object_to_hand"))


class LegacyPenetration(GraspMetric):
    """Depth as the scripts in use compute it, fed metres (small triangles lose their hits): cm, lower is better."""

    key, heading, unit, per_si, source = "penetration_legacy_cm", "p.dist", "cm", 1e2, "GraspTTA's evaluation, metres"

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return penetration_depth(grasps, mode="legacy_gtta")


class SelfIntersectionVolume(GraspMetric):
    """Volume that two or more links of the hand share, except neighbours: cm^3, lower is better."""

    heading = "s.i.vol"
    key, unit, per_si, source = "self_intersection_cm3", "cm^3", 1e6, "RealDex, Table 3 (s.i.vol, as its text reads)"

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return self_intersection_volume(grasps.hand, grasps.pose)


class SelfIntersectionDepth(GraspMetric):
    """Depth of the deepest overlap of two links that are not neighbours: cm, lower is better."""

    key, unit, per_si, source = "self_intersection_depth_cm", "cm", 1e2, "DexGraspBench (self penetration)"

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return self_intersection_depth(grasps.hand, grasps.pose)


class HandObjectVolume(GraspMetric):
    """Volume of the hand inside the object: cm^3, lower is better."""

    heading = "hand-object"
    key, unit, per_si, source = "hand_object_cm3", "cm^3", 1e6, "Hasson et al., CVPR 2019 (intersection volume)"
    inside = True

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return hand_object_volume(grasps)


class LegacyHandObjectVolume(GraspMetric):
    """Volume as the scripts in use count it, 5 mm cells of the object's surface in the hand: cm^3, lower is better."""

    heading = "hand-object"
    key, unit, per_si, source = "hand_object_legacy_cm3", "cm^3", 1e6, "obman, GraspTTA (voxels)"

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return hand_object_volume(grasps, mode="legacy_vox5")


def _simulated(grasps: PosedGrasps) -> Simulation:
    return grasps.once("simulation", sim_displacement)


class _Simulated(GraspMetric):
    """A field of the simulation that the columns share."""

    field: ClassVar[str]

    def measure(self, grasps: PosedGrasps) -> Tensor:
        value = getattr(_simulated(grasps), self.field)
        return _share(value, grasps) if value.dtype == torch.bool else value


class SimDisplacement(_Simulated):
    """Distance that the object moves in 0.146 s of gravity, against the data's up (none: +-x, +-y, +-z), hand stiff:
    cm, lower is better.

    Bounded by free fall, 10.4 cm: it is close to a success rate in disguise, so report `SimHeld1` to `SimHeld3` as
    well.
    """

    heading = "sim.disp"
    key, unit, per_si, source = "sim_displacement_cm", "cm", 1e2, "RealDex, Table 3 (sim.disp); Hasson et al. 2019"
    field = "displacement"


class SimHeld1(GraspMetric):
    """Share of grasps whose object moves less than 1 cm in the simulation of `SimDisplacement`: higher is better."""

    key, unit, source, higher_is_better = "sim_held_1cm", "share", "dexzoo", True
    limit: ClassVar[float] = 0.01

    def measure(self, grasps: PosedGrasps) -> Tensor:
        moved = _simulated(grasps).displacement
        return torch.where(moved.isnan(), moved, (moved < self.limit).double())


class SimHeld2(SimHeld1):
    """Share of grasps whose object moves less than 2 cm in the simulation of `SimDisplacement`: higher is better."""

    key, limit = "sim_held_2cm", 0.02


class SimHeld3(SimHeld1):
    """Share of grasps whose object moves less than 3 cm in the simulation of `SimDisplacement`: higher is better."""

    key, limit, source = "sim_held_3cm", 0.03, "GraspTTA (stable grasps)"


class SimRotation(_Simulated):
    """Angle by which the object turns in the simulation of `SimDisplacement`: degrees, lower is better."""

    key, unit, per_si, source, field = "sim_rotation_deg", "deg", _DEGREES, "dexzoo", "rotation"


class SimInitialDepth(_Simulated):
    """Depth of the deepest contact when the simulation of `SimDisplacement` begins: cm, lower is better.

    A deep start pushes the object out, so the displacement means little without this.
    """

    key, unit, per_si, source, field = "sim_initial_depth_cm", "cm", 1e2, "dexzoo", "initial_depth"
    inside = True


class SimEjected(_Simulated):
    """Share of grasps whose object moves farther than free fall, pushed out by overlap: lower is better."""

    key, unit, source, field = "sim_ejected", "share", "dexzoo", "ejected"


class SimFailed(_Simulated):
    """Share of grasps whose simulation diverged and counts as a free fall: lower is better."""

    key, unit, source, field = "sim_failed", "share", "dexzoo", "failed"


class SimDisplacementSix(GraspMetric):
    """`SimDisplacement`, mean over gravity along +-x, +-y, +-z of the object's frame: cm, lower is better."""

    key, unit, per_si, source = "sim_displacement_six_cm", "cm", 1e2, "dexzoo"

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return sim_displacement(grasps, gravity="six").displacement


class LegacySimDisplacement(GraspMetric):
    """Displacement as the scripts in use simulate it, in Bullet, gravity along +y of the object's frame:
    cm, lower is better. Needs `dexzoo[legacy]`."""

    heading = "sim.disp"
    key, unit, per_si, source = "sim_displacement_legacy_cm", "cm", 1e2, "obman, GraspTTA (PyBullet)"

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return sim_displacement(grasps, mode="legacy_bullet").displacement


def _six(grasps: PosedGrasps) -> Success:
    return grasps.once("six directions", success)


class SixDirectionSuccess(GraspMetric):
    """Share of grasps that keep the object within 2 cm for 1.67 s of gravity along +-x, +-y, +-z of the object's frame:
    higher is better."""

    heading = "held in six directions"
    key, unit, source, higher_is_better = "six_success", "share", "Isaac test of DexGraspNet, by displacement", True

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return _share(_six(grasps).success(), grasps)


class SixDirectionContact(GraspMetric):
    """Share of grasps still in contact after 1.67 s of gravity along +-x, +-y, +-z of the object's frame:
    higher is better. A diverged simulation counts as no contact."""

    key, unit, source, higher_is_better = "six_contact_left", "share", "DexGraspNet (isaac_validator)", True

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return _share(_six(grasps).success_contact(), grasps)


class SqueezeSuccess(GraspMetric):
    """Share of grasps whose hand squeezes and holds the object, 100 g pulled along +-x, +-y, +-z, by the protocol
    "squeeze": higher is better.
    """

    key, unit, source, higher_is_better = (
        "squeeze_success",
        "share",
        "load of DexGraspBench",
        True,
    )

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return _share(success(grasps, "squeeze", stop="grasp").success(), grasps)


class Q1(GraspMetric):
    """Radius of the largest ball of wrenches about the centre of mass that the contacts resist, capped at 1:
    higher is better."""

    heading = "Q1"
    key, unit, source, higher_is_better = "q1", "1", "Ferrari and Canny 1992; parameters of UniDexGrasp", True

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return grasps.once(self.key, q1)


class LegacyQ1(GraspMetric):
    """Q1 with torques about the origin of the object's frame, which depends on the position of the mesh:
    higher is better."""

    key, unit, source, higher_is_better = "q1_legacy", "1", "UniDexGrasp (q1)", True

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return q1(grasps, torque_about="legacy_origin")


class ValidQ1(GraspMetric):
    """Q1, but 0 where the object is 0.5 cm or more inside the hand: higher is better."""

    key, unit, source, higher_is_better = "valid_q1", "1", "UniDexGrasp (valid q1; no table here)", True

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return valid_q1(Q1().measure(grasps), ObjectPenetration().measure(grasps))


def _touch(grasps: PosedGrasps) -> Contact:
    return grasps.once("contact", contact)


class ContactRatio(GraspMetric):
    """Share of grasps with a part of the hand within 5 mm of the object: higher is better."""

    key, heading, unit, source, higher_is_better = "contact_ratio", "contact", "share", "GraspTTA (contact)", True

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return _share(_touch(grasps).in_contact, grasps)


class LinkContact(GraspMetric):
    """Share of the hand's links within 5 mm of the object: neither direction is better."""

    key, unit, source, higher_is_better = "link_contact", "share", "dexzoo", None

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return _touch(grasps).link_fraction


class Gap(GraspMetric):
    """Signed distance from the hand to the object, negative inside: cm, zero is best."""

    key, unit, per_si, source, higher_is_better = "gap_cm", "cm", 1e2, "dexzoo", None

    def measure(self, grasps: PosedGrasps) -> Tensor:
        return _touch(grasps).distance


class TranslationDiversity(GraspMetric):
    """Standard deviation of the palm's position among the grasps of an object: cm, higher is more diverse.

    Here a sample is an object: `update` takes all grasps of one object, and the mean is over objects.
    """

    heading = "spread, place"
    key, unit, per_si, source, higher_is_better = "diversity_translation_cm", "cm", 1e2, "spread in object frame", True

    part: ClassVar[str] = "translation"

    def measure(self, grasps: PosedGrasps) -> Tensor:
        spread: Diversity = grasps.once("diversity", lambda g: diversity(g.hand, g.pose))
        return getattr(spread, self.part).reshape(1)


class RotationDiversity(TranslationDiversity):
    """Standard deviation of the palm's rotation among the grasps of an object: degrees, higher is more diverse."""

    key, heading, unit, per_si = "diversity_rotation_deg", "spread, turn", "deg", _DEGREES
    part = "rotation"


class JointDiversity(TranslationDiversity):
    """Mean standard deviation of joint values among the grasps of an object: degrees, higher is more diverse."""

    key, heading, unit, per_si = "diversity_joints_deg", "spread, joints", "deg", _DEGREES
    part = "joints"


def _share(flags: Tensor, grasps: PosedGrasps) -> Tensor:
    return torch.where(grasps.valid, flags.double(), torch.nan)
