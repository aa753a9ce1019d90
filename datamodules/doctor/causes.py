"""Diagnosis of conventions: each usual mistake is undone on the grasps, and reported if that brings fingers to objects.

If read correctly, real and generated grasps have fingertips at a median 0.4 to 17 mm from the object (16.6 mm for a
hand that hangs on a handle), and undoing a mistake never reduces that; if read wrongly, undoing the mistake reduces it
by a factor of 1.7 or more, even for objects so round that the other verdicts stay good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from .examine import Examined, spread
from .findings import Level, Statistic
from .measure import Shapes, measure

GRASPS = 60  # Grasps examined for each mistake
_CLOSER = 1.4  # factor by which the median must be nearer; most grasps must be nearer, too
_MOST = 0.55
_LEAST = 0.001  # metres: smallest median distance of fingertips at which something may be wrong

Mend = Callable[[Examined], Examined]


@dataclass(frozen=True)
class Cause:
    """A mistake that explains what is wrong, and the effect on the fingertips of undoing it, in words."""

    name: str
    value: str


def judge_conventions(examined: Examined, shapes: Shapes | None = None) -> tuple[Statistic, tuple[Cause, ...]]:
    """Whether other conventions put the fingers nearer to the objects, and which ones, the likeliest first.

    At least one of the grasps must have a mesh; `shapes` are objects that were read already.
    """
    some = examined.take([i for i in spread(len(examined), GRASPS) if examined.meshes[i] is not None])
    shapes = shapes or Shapes()
    read = np.median(np.abs(measure(some, shapes).tips), axis=1)
    found: list[tuple[float, Cause]] = []
    for name, mend in MENDS.items():
        undone = np.median(np.abs(measure(mend(some), shapes).tips), axis=1)
        before, after = float(np.nanmedian(read)), float(np.nanmedian(undone))
        if before > max(_LEAST, _CLOSER * after) and np.mean(undone < read) >= _MOST:
            value = f"fingertips {1e3 * after:.1f} mm from the object when undone, {1e3 * before:.1f} mm as read"
            found.append((after, Cause(name, value)))
    causes = tuple(cause for _, cause in sorted(found, key=lambda item: item[0]))
    level = Level.BAD if causes else Level.GOOD
    value = f"{len(causes)} of {len(MENDS)} usual mistakes, undone, bring the fingers nearer to the object"
    return Statistic("conventions", "conventions", value, "none does", level), causes


def _hand_turned(turn: Callable[[Rotation], Rotation]) -> Mend:
    return lambda e: replace(e, pose=replace(e.pose, rotation=_turned(e.pose.rotation, turn)))


def _object_turned(turn: Callable[[Rotation], Rotation]) -> Mend:
    return lambda e: replace(e, rotation=_turned(e.rotation, turn))


def _turned(rotation: Tensor, turn: Callable[[Rotation], Rotation]) -> Tensor:
    turned = turn(Rotation.from_matrix(rotation.double().numpy())).as_matrix()
    return torch.from_numpy(turned).to(rotation)


def _rolled(shift: int) -> Callable[[Rotation], Rotation]:
    """Quaternions whose four numbers are in another order."""
    return lambda r: Rotation.from_quat(torch.from_numpy(r.as_quat()).roll(shift, dims=1).numpy())


def _euler(written: str, read: str) -> Mend:
    """The hand's angles were read in one order but written in another; capitals mean moving axes."""
    return _hand_turned(lambda r: Rotation.from_euler(written, r.as_euler(read)))


def _scaled(scale: Callable[[Tensor], Tensor]) -> Mend:
    return lambda e: replace(e, scale=scale(e.scale))


def _along(*offset: float) -> Mend:
    """The pose was that of another body, with the palm at `offset`, metres."""

    def mend(e: Examined) -> Examined:
        moved = e.pose.translation + e.pose.rotation @ e.pose.translation.new_tensor(offset)
        return replace(e, pose=replace(e.pose, translation=moved))

    return mend


MENDS: dict[str, Mend] = {
    "the object's rotation is transposed (row vectors, or the inverse rotation)": _object_turned(Rotation.inv),
    "the hand's rotation is transposed (row vectors, or the inverse rotation)": _hand_turned(Rotation.inv),
    "the hand's Euler angles are about moving axes (XYZ) but were read as about fixed ones": _euler("XYZ", "xyz"),
    "the hand's Euler angles are about fixed axes (xyz) but were read as about moving ones": _euler("xyz", "XYZ"),
    "the object's quaternions are w x y z but were read as x y z w": _object_turned(_rolled(-1)),
    "the object's quaternions are x y z w but were read as w x y z": _object_turned(_rolled(1)),
    "the hand's quaternions are w x y z but were read as x y z w": _hand_turned(_rolled(-1)),
    "the hand's quaternions are x y z w but were read as w x y z": _hand_turned(_rolled(1)),
    "the scale is the reciprocal (DexGraspNet multiplies the mesh, UniDexGrasp's files contain 1 / scale)": _scaled(
        torch.reciprocal
    ),
    "the scale should not be applied": _scaled(torch.ones_like),
    "the meshes are in millimetres": _scaled(lambda s: s / 1000),
    "the meshes are in centimetres": _scaled(lambda s: s / 100),
    "the hand's pose is that of the wrist, not of the palm": _along(0.0, 0.0, 0.034),
    "the hand's pose is that of the forearm, not of the palm": _along(0.0, -0.010, 0.24701),
}
"""Mistakes, and the function that undoes each."""
