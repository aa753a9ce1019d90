"""GraspSet: the grasps of one object as a file holds them; what `hands.grasp_files` reads and writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import HandError
from .pose import HandPose


class GraspFileError(HandError):
    """A file of grasps cannot be used; the message names file, key, what was expected and what was found."""


@dataclass(frozen=True, eq=False)
class GraspSet:
    """N grasps of one object, in its frame. A number that is NaN in the file stays NaN.

    Attributes:
        object: code of the object, "core-mug-8570..." or "sem/Car-6690...".
        pose: HandPose (N,), float64, metres, object frame.
        scale: (N,), float64, metres per unit of the object's mesh: the object of grasp n is its mesh times scale[n].
        rows: (N,), int64, which grasp of its file each one is.
        files: what it was read from.
        plane: (N, 4), float64, unit normal and offset (metres) of a table, object frame; None where there is none.
    """

    object: str
    pose: HandPose
    scale: Tensor
    rows: Tensor
    files: tuple[Path, ...] = ()
    plane: Tensor | None = None

    def __len__(self) -> int:
        return self.pose.shape[0]

    def __getitem__(self, index: slice | Tensor) -> GraspSet:
        """Some of the grasps; a slice, or a (M,) index or mask."""
        plane = None if self.plane is None else self.plane[index]
        return replace(self, pose=self.pose[index], scale=self.scale[index], rows=self.rows[index], plane=plane)

    @property
    def finite(self) -> Tensor:
        """(N,) bool: every number of the pose, and the scale, is finite."""
        pose = self.pose
        parts = (pose.translation, pose.rotation, pose.joints, self.scale[:, None])
        return torch.stack([part.flatten(1).isfinite().all(1) for part in parts]).all(0)


def check_scales(scale: np.ndarray, where: str, rows: np.ndarray) -> None:
    """Raises GraspFileError for the first scale that is neither positive nor NaN; `where` names file and key."""
    bad = np.flatnonzero(~(np.isnan(scale) | ((scale > 0) & np.isfinite(scale))))
    if len(bad):
        raise GraspFileError(f"{where} of grasp {rows[bad[0]]}: expected a positive number, found {scale[bad[0]]:g}")
