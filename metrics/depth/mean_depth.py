"""Mean depth over the points of one surface that are inside the other, on fixed samples."""

from functools import lru_cache

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ...geometry.sampling import sample_surface
from ...grasps.asset import ObjectAsset
from ...grasps.posed import PosedGrasps
from ...hands.points import primitive_distances
from ..functional.rounded_boxes import RoundedBoxes

HAND_POINTS, OBJECT_POINTS = 2048, 20000


def mean_depth_in_object(grasps: PosedGrasps) -> Tensor:
    """Mean depth of the hand's surface where it is inside the object, on 2048 points spread by area: (B,), metres,
    float64; 0 where no point is inside. The poses must be finite.
    """
    points = grasps.hand.place(grasps.links, grasps.hand.surface(HAND_POINTS).to("cpu", torch.float64))
    points = points / grasps.scales[:, None, None]
    near = grasps.object.grid(points) < 2 * grasps.object.grid.spacing  # the grid's error is below one spacing
    depth = torch.zeros_like(points[..., 0])
    depth[near] = -grasps.object.distance(points[near])
    return _mean_of_positive(depth) * grasps.scales


def mean_depth_in_hand(grasps: PosedGrasps) -> Tensor:
    """Mean depth of the object's surface where it is inside the hand, on 20000 points spread by area: see above."""
    hand, (points, tree) = grasps.hand, _object_points(grasps.object)
    capsules, boxes = hand.capsules.to("cpu", torch.float64), hand.boxes.to("cpu", torch.float64)
    shapes, depths = RoundedBoxes.of(hand), []
    reach = torch.linalg.vector_norm(shapes.half, dim=1) + shapes.radius
    for b, (scale, middle) in enumerate(zip(grasps.scales.tolist(), shapes.placed(grasps.links)[1], strict=True)):
        balls = tree.query_ball_point((middle / scale).numpy(), (reach / scale).numpy())
        near = sorted(set().union(*balls))
        distance = primitive_distances(grasps.links[b], capsules, boxes, points[near] * scale)
        depths.append(_mean_of_positive(-distance.amin(-1)))
    return torch.stack(depths) if depths else grasps.scales.new_zeros(0)


@lru_cache(maxsize=8)
def _object_points(asset: ObjectAsset) -> tuple[Tensor, cKDTree]:
    points, _, _ = sample_surface(asset.solid.vertices, asset.solid.faces, OBJECT_POINTS)
    return torch.from_numpy(points), cKDTree(points)


def _mean_of_positive(depth: Tensor) -> Tensor:
    """(..., n) -> (...)."""
    return depth.clamp(min=0).sum(-1) / (depth > 0).sum(-1).clamp(min=1)
