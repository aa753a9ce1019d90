"""Signed distance of several objects at the points of hands: one grid per object, one object per hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ....geometry.cloud_field import cloud_grid
from ....geometry.sdf import DistanceGrid


@dataclass(frozen=True)
class ObjectFields:
    """The distance grids of the objects of B grasps.

    Attributes:
        grids: one grid per object, in the unit of its mesh.
        owner: (B,), int64, index of each grasp's grid.
        scale: (B,), metres per unit of the mesh.

    Raises ValueError: grids, owner and scale are not all on one device.
    """

    grids: Sequence[DistanceGrid]
    owner: Tensor
    scale: Tensor

    def __post_init__(self) -> None:
        devices = [self.owner.device, self.scale.device, *(grid.values.device for grid in self.grids)]
        if len(set(devices)) > 1:
            found = ", ".join(map(str, devices))
            raise ValueError(
                f"owner, scale and grids: expected tensors on one device, found {found}; move them with to()"
            )

    def __call__(self, points: Tensor) -> Tensor:
        """Signed distance at (B, P, 3), metres, object frame; (B, P), metres, differentiable."""
        scale = self.scale.to(points.dtype)[:, None, None]
        local = points / scale
        if len(self.grids) == 1:
            return self.grids[0](local) * scale.squeeze(-1)
        distance = points.new_empty(points.shape[:-1])
        for i, mine in self._members:
            distance = distance.index_copy(0, mine, self.grids[i](local[mine]))
        return distance * scale.squeeze(-1)

    @cached_property
    def _members(self) -> list[tuple[int, Tensor]]:
        """The grids in use and the grasps of each; computed once, since it waits for an accelerator."""
        return [(i, torch.nonzero(self.owner == i).squeeze(1)) for i in self.owner.unique().tolist()]

    def __getitem__(self, index: Tensor) -> ObjectFields:
        """Selects the fields of some grasps."""
        return ObjectFields(self.grids, self.owner[index], self.scale[index])

    def normals(self, points: Tensor, reach: float = 0.005) -> Tensor:
        """Unit direction away from the object at (B, P, 3), by central differences over +-`reach` metres.

        The difference smooths over the cells of the grid, so that the direction itself has a useful gradient.
        """
        steps = reach * torch.eye(3, device=points.device, dtype=points.dtype)
        around = torch.cat([points.unsqueeze(-2) + steps, points.unsqueeze(-2) - steps], dim=-2)
        ahead, behind = self(around.flatten(1, 2)).unflatten(1, (-1, 2, 3)).unbind(-2)
        difference = ahead - behind
        return difference / torch.linalg.vector_norm(difference, dim=-1, keepdim=True).clamp_min(1e-9)


def cloud_fields(points: Tensor) -> ObjectFields:
    """Distance fields of the surfaces of clouds; equal clouds share one. See `geometry.cloud_field.cloud_grid`.

    `points` (B, N, 3), metres. Raises ValueError: a cloud has too few distinct points, or points that are not finite.
    """
    clouds, owner = torch.unique(points.detach(), dim=0, return_inverse=True)
    return ObjectFields([cloud_grid(cloud) for cloud in clouds], owner, points.new_ones(len(points)))
