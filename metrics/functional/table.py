"""Penetration of a hand into the table on which the object lies."""

import torch
from torch import Tensor

from ...grasps.posed import PosedGrasps
from ...hands.products import rotate
from .rounded_boxes import RoundedBoxes


def table_penetration(grasps: PosedGrasps, plane: Tensor) -> Tensor:
    """Depth of the hand's lowest point below a plane, in closed form: UniDexGrasp's tpen.

    Args:
        grasps: B grasps.
        plane: (B, 4) or (4,), the upward unit normal n and the offset b, metres, object frame: the height of a point x
            above the table is n . x + b.

    Returns:
        (B,), metres, 0 for a hand above the table; NaN for a pose that is not finite.
    """
    if plane.shape not in ((4,), (len(grasps), 4)):
        raise ValueError(f"plane: expected (4,) or ({len(grasps)}, 4), found {tuple(plane.shape)}")
    plane = plane.double().cpu().expand(len(grasps), 4)
    normal, offset = plane[:, None, :3], plane[:, 3:]
    length = torch.linalg.vector_norm(plane[:, :3], dim=-1)
    if not ((length - 1).abs() < 1e-3).all() or not offset.isfinite().all():
        raise ValueError(f"plane: expected a unit normal and an offset in metres, found {plane.tolist()[:3]}")
    shapes = RoundedBoxes.of(grasps.hand)
    rotation, centre = shapes.placed(grasps.links)
    reach = (rotate(rotation.mT, normal).abs() * shapes.half).sum(-1) + shapes.radius
    depth = (reach - (centre * normal).sum(-1) - offset).amax(-1).clamp(min=0)
    return torch.where(grasps.valid, depth, torch.nan)
