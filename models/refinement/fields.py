"""Signed distance of several objects at the points of hands: one grid per object, each hand asks its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...geometry.sdf import DistanceGrid


@dataclass(frozen=True)
class ObjectFields:
    """The distance grids of the objects of B grasps.

    Attributes:
        grids: one per object, in the unit of its mesh.
        owner: (B,), int64, the grid of each grasp.
        scale: (B,), metres per unit of the mesh.
    """

    grids: Sequence[DistanceGrid]
    owner: Tensor
    scale: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """Signed distance at (B, P, 3), metres, object frame; (B, P), metres, differentiable."""
        scale = self.scale.to(points)[:, None, None]
        distance = points.new_empty(points.shape[:-1])
        for i in self.owner.unique().tolist():
            mine = torch.nonzero(self.owner == i).squeeze(1)
            distance = distance.index_copy(0, mine, self.grids[i](points[mine] / scale[mine]))
        return distance * scale.squeeze(-1)

    def __getitem__(self, index: Tensor) -> ObjectFields:
        """Those of some of the grasps."""
        return ObjectFields(self.grids, self.owner[index], self.scale[index])

    def normals(self, points: Tensor, reach: float = 0.005) -> Tensor:
        """Unit direction away from the object at (B, P, 3), by central differences over +-`reach` metres.

        The difference smooths over the cells of the grid, so that the direction itself has a useful gradient.
        """
        steps = reach * torch.eye(3).to(points)
        around = torch.cat([points.unsqueeze(-2) + steps, points.unsqueeze(-2) - steps], dim=-2)
        ahead, behind = self(around.flatten(1, 2)).unflatten(1, (-1, 2, 3)).unbind(-2)
        difference = ahead - behind
        return difference / torch.linalg.vector_norm(difference, dim=-1, keepdim=True).clamp_min(1e-9)
