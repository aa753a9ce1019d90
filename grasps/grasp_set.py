"""GraspSet: the grasps of one object as stored in a file; what `grasps.files` reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..hands.errors import HandError
from ..hands.pose import HandPose

_OPTIONAL = ("plane", "up", "pregrasp", "squeeze")

AXES = ("x", "y", "z", "-x", "-y", "-z", "six")
"""Values of `up`; "six" means no direction is up, so that gravity pulls along all six half axes in turn."""


class GraspFileError(HandError):
    """A grasp file cannot be used; the message names file, key, what was expected and what was found."""


def axis_vector(axis: str) -> Tensor:
    """(3,), float64, the unit vector of an axis such as "z" or "-y"; NaN for "six", for data without an up direction.

    Raises:
        GraspFileError: the axis is unknown.
    """
    if axis not in AXES:
        raise GraspFileError(f"up: expected one of {', '.join(AXES)}, found {axis!r}")
    if axis == "six":
        return torch.full((3,), torch.nan, dtype=torch.float64)
    sign = -1.0 if axis.startswith("-") else 1.0
    return sign * torch.eye(3, dtype=torch.float64)["xyz".index(axis[-1])]


@dataclass(frozen=True, eq=False)
class GraspSet:
    """N grasps of one object, in its frame. A number that is NaN in the file stays NaN.

    Attributes:
        object: code of the object, e.g. "core-mug-8570..." or "sem/Car-6690...".
        pose: HandPose (N,), float64, metres, object frame.
        scale: (N,), float64, metres per unit of the object's mesh: the object of grasp n is its mesh times scale[n].
        rows: (N,), int64, index of each grasp in its file.
        files: the files that it was read from.
        plane: (N, 4), float64, unit normal and offset (metres) of a table, object frame; None without a table.
        up: (N, 3), float64, unit, away from the earth, object frame; NaN where the data do not say. None means z.
        pregrasp, squeeze: HandPose (N,), where the hand closes from and where its servos pull to, as `pose`; NaN where
            the data do not say. None if they say nowhere.
    """

    object: str
    pose: HandPose
    scale: Tensor
    rows: Tensor
    files: tuple[Path, ...] = ()
    plane: Tensor | None = None
    up: Tensor | None = None
    pregrasp: HandPose | None = None
    squeeze: HandPose | None = None

    def __len__(self) -> int:
        return self.pose.shape[0]

    def __getitem__(self, index: slice | Tensor) -> GraspSet:
        """Selects grasps by a slice, or by an (M,) index or mask."""
        parts = {name: getattr(self, name) for name in ("pose", "scale", "rows", *_OPTIONAL)}
        return replace(self, **{name: None if part is None else part[index] for name, part in parts.items()})

    def moved_with(self, pose: HandPose) -> GraspSet:
        """The same grasps in other poses, which the postures before and after no longer belong to."""
        return replace(self, pose=pose, pregrasp=None, squeeze=None)

    def upwards(self, axis: str | None = None) -> Tensor:
        """(N, 3), float64, unit, object frame: the up direction of each grasp; NaN where unknown.

        Args:
            axis: one of `AXES` for all grasps; None takes the normal of the table if there is one, otherwise `up`.

        Raises:
            GraspFileError: `axis` is not one of them.
        """
        if axis is not None:
            return axis_vector(axis).expand(len(self), 3)
        up = axis_vector("z").expand(len(self), 3) if self.up is None else self.up.double()
        if self.plane is None:
            return up
        normal = self.plane[:, :3].double()
        return torch.where(normal.isnan().any(1, keepdim=True), up, torch.nn.functional.normalize(normal, dim=1))

    @property
    def finite(self) -> Tensor:
        """(N,) bool: whether all numbers of the pose and the scale are finite."""
        pose = self.pose
        parts = (pose.translation, pose.rotation, pose.joints, self.scale[:, None])
        return torch.stack([part.flatten(1).isfinite().all(1) for part in parts]).all(0)


def check_scales(scale: np.ndarray, where: str, rows: np.ndarray) -> None:
    """Raises GraspFileError for the first scale that is neither positive nor NaN; `where` names file and key."""
    bad = np.flatnonzero(~(np.isnan(scale) | ((scale > 0) & np.isfinite(scale))))
    if len(bad):
        raise GraspFileError(f"{where} of grasp {rows[bad[0]]}: expected a positive number, found {scale[bad[0]]:g}")


def join_grasps(parts: Iterable[GraspSet]) -> list[GraspSet]:
    """One set per object, in the order of their names; what one part of an object lacks is NaN in the whole."""
    groups: dict[str, list[GraspSet]] = {}
    for part in parts:
        groups.setdefault(part.object, []).append(part)
    return [_joined(groups[name]) for name in sorted(groups)]


def _joined(parts: Sequence[GraspSet]) -> GraspSet:
    if len(parts) == 1:
        return parts[0]
    whole = GraspSet(
        parts[0].object,
        HandPose.cat([part.pose for part in parts]),
        torch.cat([part.scale for part in parts]),
        torch.cat([part.rows for part in parts]),
        tuple(dict.fromkeys(file for part in parts for file in part.files)),
    )
    given = [
        name for name in ("plane", "pregrasp", "squeeze") if any(getattr(part, name) is not None for part in parts)
    ]
    if any(part.up is not None for part in parts):
        whole = replace(whole, up=torch.cat([part.up if part.up is not None else part.upwards("z") for part in parts]))
    return replace(whole, **{name: _filled(parts, name) for name in given})


def _filled(parts: Sequence[GraspSet], name: str) -> Tensor | HandPose:
    if name == "plane":
        return torch.cat([torch.full((len(p), 4), torch.nan).double() if p.plane is None else p.plane for p in parts])
    known = [getattr(part, name) for part in parts]
    return HandPose.cat(
        [p.pose.map(lambda x: x * torch.nan) if k is None else k for p, k in zip(parts, known, strict=True)]
    )
