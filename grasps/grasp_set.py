"""GraspSet: the grasps of one object as stored in a file; what `grasps.files` reads and writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..hands.errors import HandError
from ..hands.pose import HandPose

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
    """

    object: str
    pose: HandPose
    scale: Tensor
    rows: Tensor
    files: tuple[Path, ...] = ()
    plane: Tensor | None = None
    up: Tensor | None = None

    def __len__(self) -> int:
        return self.pose.shape[0]

    def __getitem__(self, index: slice | Tensor) -> GraspSet:
        """Selects grasps by a slice, or by an (M,) index or mask."""
        plane, up = (None if x is None else x[index] for x in (self.plane, self.up))
        return replace(self, pose=self.pose[index], scale=self.scale[index], rows=self.rows[index], plane=plane, up=up)

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
