"""Parts of a hand that may reach into the object, found by few distances instead of many booleans or voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...grasps.posed import PosedGrasps
from ...hands.solids import HandSolids, hand_solids


@dataclass(frozen=True, eq=False)
class Reach:
    """The balls that cover the hand's primitives (`HandSolids.balls`), posed, object frame, unit of the mesh.

    A primitive none of whose balls reaches into the object does not either.
    """

    solids: HandSolids
    frames: NDArray[np.float64]  # (B, L, 3, 4), transforms [R | t] of the links; R includes the scale from metres
    centre: NDArray[np.float64]  # (B, n, 3)
    radius: NDArray[np.float64]  # (B, n)
    near: NDArray[np.bool_]  # (B, n), whether the ball reaches into the object

    @classmethod
    def of(cls, grasps: PosedGrasps) -> Reach:
        """For grasps with finite poses: by the distance to the object's box, then by the exact distance."""
        solids, scale = hand_solids(grasps.hand), grasps.scales.numpy()
        frames = torch.cat([grasps.links.rotation, grasps.links.translation.unsqueeze(-1)], dim=-1).numpy()
        frames = frames / scale[:, None, None, None]
        balls = solids.balls
        radius, placed = balls.radius / scale[:, None], frames[:, balls.link]
        centre = np.einsum("bnij,nj->bni", placed[..., :3], balls.centre) + placed[..., 3]
        lower, upper = grasps.object.solid.bounds
        near = (np.abs(centre - (lower + upper) / 2) < (upper - lower) / 2 + radius[..., None]).all(-1)
        distance = grasps.object.distance(torch.from_numpy(centre[near])).numpy()
        near[near] = distance < radius[near]
        return cls(solids, frames, centre, radius, near)

    def primitives(self, b: int) -> NDArray[np.int64]:
        """Primitives of grasp b that may reach into the object."""
        return np.unique(self.solids.balls.primitive[self.near[b]])
