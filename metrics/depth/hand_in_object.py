"""The deepest point of a hand's surface in an object, by branch and bound."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ...grasps.posed import PosedGrasps
from ...hands.hand import Hand
from .hand_surface import Charts

TOLERANCE = 2e-5  # metres
_FIELDS = ("origin", "across", "along", "normal", "turn_across", "turn_along")


@dataclass(frozen=True)
class Frames:
    """World transforms of the links in the frame and unit of the object's distance search."""

    rotation: Tensor  # (B, L, 3, 3)
    translation: Tensor  # (B, L, 3), unit of the search
    unit: Tensor  # (B,), search units per metre

    @classmethod
    def of(cls, grasps: PosedGrasps) -> Frames:
        """Frames of grasps whose poses are finite, float64."""
        centre, scale = grasps.object.distance.frame
        moved = grasps.links.translation / grasps.scales[:, None, None] - torch.from_numpy(centre)
        return cls(grasps.links.rotation, moved / scale, 1 / (grasps.scales * scale))

    def place(self, link: Tensor, points: Tensor) -> Tensor:
        """(B, n, 3), search unit, positions of points (n, 3), metres, frame of `link` (n,)."""
        turned = (self.rotation[:, link] @ points.unsqueeze(-1)).squeeze(-1)
        return turned * self.unit[:, None, None] + self.translation[:, link]


def hand_in_object(grasps: PosedGrasps, certify: bool) -> Tensor:
    """Depth of the deepest point of the hand's surface in the object.

    The value is the depth at a point of the surface, so never above the largest depth. With `certify` it is at most
    `TOLERANCE` below it. Without, parts are also pruned by assuming that the object is convex where it is nearest, as
    it is at the contacts of a grasp, which is three times as fast. Gives (B,), metres, float64; 0 where no point is
    inside. The poses must be finite.
    """
    charts, frames = _charts(grasps.hand), Frames.of(grasps)
    best = torch.zeros_like(frames.unit)
    for sure in (False, True) if certify else (False,):
        best = _search(grasps, charts, frames, best, sure)
    return best


@lru_cache(maxsize=8)
def _charts(hand: Hand) -> Charts:
    capsules, boxes = hand.capsules.to("cpu", torch.float64), hand.boxes.to("cpu", torch.float64)
    return Charts.of(capsules, boxes).squared()


def _search(grasps: PosedGrasps, charts: Charts, frames: Frames, start: Tensor, certify: bool) -> Tensor:
    """(B,) metres: the deepest point, or `start` (B,) if none is deeper by more than the tolerance."""
    from .penetration_kernel import deepest, wp

    bounds, order = _bounds(grasps, charts, frames).sort(1, descending=True)
    best, place = (start * frames.unit).float(), torch.full((len(grasps), 3), -1.0)
    kinds = ((frames.rotation, wp.mat33), (frames.translation, wp.vec3), (frames.unit, wp.float32))
    poses = [wp.from_torch(x.float().contiguous(), dtype=kind) for x, kind in kinds]
    limits = [wp.from_torch(x.contiguous()) for x in (order.int(), bounds.float(), (TOLERANCE * frames.unit).float())]
    solid = grasps.object.distance.search.solid("cpu")
    found = [wp.from_torch(x) for x in (best, place)]
    wp.launch(deepest, len(grasps), [solid, _held(charts), *poses, *limits, certify, *found], device="cpu")
    return torch.maximum(start, _depth_at(grasps, charts, place))


def _held(charts: Charts) -> object:
    """The charts for the kernel."""
    from .penetration_kernel import Charts as Held
    from .penetration_kernel import wp

    held = Held()
    held.link = wp.array(charts.link.int().numpy(), dtype=wp.int32, device="cpu")
    vectors = torch.stack([getattr(charts, name) for name in _FIELDS], dim=1)
    held.vectors = wp.array(vectors.float().numpy(), dtype=wp.vec3, ndim=2, device="cpu")
    numbers = torch.cat([charts.centre, charts.half, charts.radius[:, None]], dim=1)
    held.numbers = wp.array(numbers.float().numpy(), dtype=wp.float32, ndim=2, device="cpu")
    return held


def _bounds(grasps: PosedGrasps, charts: Charts, frames: Frames) -> Tensor:
    """(B, K), search unit: upper bound of the depth on each chart, from the node nearest to its middle."""
    centre, scale = grasps.object.distance.frame
    middle = frames.place(charts.link, charts.point(charts.centre)) * scale + torch.from_numpy(centre)
    grid = grasps.object.grid
    last = torch.tensor(grid.values.shape) - 1
    node = ((middle - grid.origin) / grid.spacing).round().long().clamp(min=0).minimum(last)
    way = torch.linalg.vector_norm(middle - grid.origin - grid.spacing * node, dim=-1)
    depth = way - grid.values[node[..., 0], node[..., 1], node[..., 2]]
    return depth / scale + charts.reach() * frames.unit[:, None]


def _depth_at(grasps: PosedGrasps, charts: Charts, place: Tensor) -> Tensor:
    """(B,) metres, float64: depth at the points (B, 3) that the kernel found, 0 for none."""
    found = place[:, 0] >= 0
    chart, depth = place[found, 0].long(), torch.zeros(len(place), dtype=torch.float64)
    part = charts[chart]
    rotation = grasps.links.rotation[found, part.link]
    point = (rotation @ part.point(place[found, 1:].double()).unsqueeze(-1)).squeeze(-1)
    point = point + grasps.links.translation[found, part.link]
    scale = grasps.scales[found]
    depth[found] = -grasps.object.distance(point / scale[:, None]) * scale
    return depth
