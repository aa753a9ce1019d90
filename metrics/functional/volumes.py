"""Volume of the hand inside the object (m^3), which should be 0.

The literature's "intersection volume" counts the object's surface voxels inside the hand: mode "legacy_vox5".
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...grasps.posed import PosedGrasps
from .reach import Reach
from .self_intersection import self_intersection_depth, self_intersection_volume, union_volume
from .voxels import solid_voxel_volume, surface_voxel_volume

__all__ = ["hand_object_volume", "self_intersection_depth", "self_intersection_volume"]


def hand_object_volume(
    grasps: PosedGrasps, mode: Literal["exact", "voxel_solid", "legacy_vox5"] = "exact", pitch: float = 0.005
) -> Tensor:
    """Volume that the hand and the object share.

    Args:
        grasps: B grasps of one object.
        mode: "exact" is the volume of the union of the links' intersections with the solid;
            "voxel_solid" counts the voxels whose centres are inside both; "legacy_vox5" is what the literature calls
            intersection volume, about 50 times the volume on good grasps: see `surface_voxel_volume`.
        pitch: side of a voxel, metres; unused by "exact".

    Returns:
        (B,) float64, m^3, NaN for a grasp whose pose or scale is not finite. Exactly 0 if hand and object are apart by
        1 % of a link's length; closer than that, the tessellation of a capsule may touch.

    Raises:
        ValueError: unknown mode, or a pitch that is not positive.
        HandError: the hand has no collision shapes.
    """
    if mode not in ("exact", "voxel_solid", "legacy_vox5"):
        raise ValueError(f"mode: expected 'exact', 'voxel_solid' or 'legacy_vox5', found {mode!r}")
    if not (np.isfinite(pitch) and pitch > 0):
        raise ValueError(f"pitch: expected metres > 0, found {pitch}")
    volumes = np.full(len(grasps), np.nan)
    valid = grasps.valid.numpy()
    if valid.any():
        good = grasps[grasps.valid]
        if mode == "exact":
            volumes[valid] = _exact(good)
        else:
            volumes[valid] = (solid_voxel_volume if mode == "voxel_solid" else surface_voxel_volume)(good, pitch)
    return torch.from_numpy(volumes)


def _exact(grasps: PosedGrasps) -> NDArray[np.float64]:
    """Booleans of the links that may reach into the object with the blocks that they reach.

    Everything is in the object's unit, so the blocks serve every scale.
    """
    reach, blocks = Reach.of(grasps), grasps.object.blocks
    solids = reach.solids
    volumes = np.zeros(len(grasps))
    for b in np.flatnonzero(reach.near.any(1)):
        at = np.flatnonzero(reach.near[b])
        centre, radius = reach.centre[b, at, None], reach.radius[b, at, None]
        outside = np.maximum(blocks.bounds[:, 0] - centre, centre - blocks.bounds[:, 1]).clip(min=0)
        touches = np.square(outside).sum(-1) < np.square(radius)  # (balls, blocks)
        placed = {i: solids.manifolds[i].transform(reach.frames[b, solids.link[i]]) for i in reach.primitives(int(b))}
        for block in np.flatnonzero(touches.any(0)):
            parts = [placed[i] for i in np.unique(solids.balls.primitive[at[touches[:, block]]])]
            volumes[b] += union_volume([part ^ blocks.manifolds[block] for part in parts])
    return volumes * grasps.scales.numpy() ** 3
