"""Distances between the primitives of a hand and a cloud: all pairs are evaluated, only the nearest get a gradient.

A (3, 4) map transforms the points to a primitive's frame. One matrix product applies all maps without recording a
gradient; that of the least distances has a closed form and is summed per map, without a copy of the map per point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ....hands.hand import Hand, Links
from ....metrics.functional.rounded_boxes import RoundedBoxes


@dataclass(frozen=True)
class Shapes:
    """The posed primitives of B hands.

    Attributes:
        rotation: (B, C, 3, 3), world_from_box.
        centre: (B, C, 3), metres, world.
        half: (C, 3), metres.
        radius: (C,), metres.
    """

    rotation: Tensor
    centre: Tensor
    half: Tensor
    radius: Tensor

    def distance(self, points: Tensor, owner: Tensor, shape: Tensor) -> Tensor:
        """Signed distance of each point to one primitive, (M,) metres, differentiable in the primitive.

        `points` (M, 3), metres, world; `owner` (M,), int64, index of the hand; `shape` (M,), int64, index of the
        primitive.
        """
        row = owner * len(self.radius) + shape
        rotation = self.rotation.flatten(0, 1).index_select(0, row)
        offset = points - self.centre.flatten(0, 1).index_select(0, row)
        excess = (rotation * offset.unsqueeze(-1)).sum(1).abs() - self.half.index_select(0, shape)
        outside = excess.clamp_min(0).square().sum(-1).clamp_min(1e-20).sqrt()
        return outside + excess.amax(-1).clamp_max(0) - self.radius.index_select(0, shape)


class Cloud:
    """Points of B objects, prepared for searching.

    Args:
        points: (B, N, 3), metres.
    """

    def __init__(self, points: Tensor) -> None:
        self.points = points
        self.centre = points.mean(dim=1, keepdim=True)  # less rounding error near the origin
        x = (points - self.centre).mT
        self.rows = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)

    def __getitem__(self, index: Tensor) -> Cloud:
        """Selects some of the clouds."""
        new = object.__new__(Cloud)
        new.points, new.centre, new.rows = self.points[index], self.centre[index], self.rows[index]
        return new


class HandShapes:
    """Poses and searches the primitives of a hand; capsules first, as in `RoundedBoxes`.

    Args:
        hand: the hand; dtype and device are taken from it.
    """

    def __init__(self, hand: Hand) -> None:
        shapes = RoundedBoxes.of(hand)
        self.link = shapes.link.to(hand.lower.device)
        self.rotation, self.centre = shapes.rotation.to(hand.lower), shapes.centre.to(hand.lower)
        self.half, self.radius = shapes.half.to(hand.lower), shapes.radius.to(hand.lower)
        self.capsules = len(hand.capsules.link)

    def probes(self, step: float) -> tuple[Tensor, Tensor]:
        """Centres of balls of the shape's radius that together form its skin: along axes, and on the faces of boxes.

        `step`: largest distance of points on an axis, metres; twice that on the faces of a box. Returns (P, 3), metres,
        link frame, and the shape of each (P,), int64, in order.
        """
        points, owner = [], []
        for i, half in enumerate(self.half):
            width = 2 * step if (half > 0).all() else step
            counts = [math.ceil(2 * h / width) + (h > 0) for h in half.tolist()]
            sides = [torch.linspace(-1, 1, n) if n else torch.zeros(1) for n in counts]
            lattice = torch.stack(torch.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 3).to(half)
            lattice = lattice[(lattice.abs() == 1).any(-1)] if all(counts) else lattice
            points.append((lattice * half) @ self.rotation[i].mT + self.centre[i])
            owner.append(torch.full((len(lattice),), i, device=half.device))
        return torch.cat(points), torch.cat(owner)

    def place(self, links: Links) -> Shapes:
        """The primitives of hands of batch shape (B,)."""
        rotation, origin = links.rotation[:, self.link], links.translation[:, self.link]
        centre = (rotation * self.centre.unsqueeze(-2)).sum(-1) + origin
        return Shapes(rotation @ self.rotation, centre, self.half, self.radius)

    @torch.no_grad()
    def search(self, placed: Shapes, cloud: Cloud) -> Tensor:
        """Signed distance of every point to every primitive, (B, C, N) metres; no gradient."""
        return self._signed(_local(_maps(placed, cloud), cloud))

    def nearest(self, placed: Shapes, cloud: Cloud) -> tuple[Tensor, Tensor]:
        """Signed distance of every point to the hand, differentiable in the primitives, and the result of `search`.

        The gradient of a point only goes to its nearest primitive, the first one of a tie.
        Returns (B, N) and (B, C, N), metres; the second has no gradient.
        """
        maps = _maps(placed, cloud)
        with torch.no_grad():
            local = _local(maps, cloud)
            table = self._signed(local)
            least, first = _least(table)
            outward = self._outward(local, first)
        return _Distance.apply(maps, cloud.rows, least, first, outward), table

    def _signed(self, local: Tensor) -> Tensor:
        """(B, C, N), metres, distances of points (B, 3, C, N) in the frames of the shapes."""
        n = self.capsules
        x, y, z = local[:, :, :n].unbind(1)
        beyond = z.abs().sub_(self.half[:n, 2:]).clamp_min_(0)
        capsules = x.square().addcmul_(y, y).addcmul_(beyond, beyond).sqrt_()
        excess = local[:, :, n:].abs().sub_(self.half[n:].mT.unsqueeze(-1))
        inside = excess.amax(1).clamp_max_(0)
        boxes = excess.clamp_min_(0).square_().sum(1).sqrt_().add_(inside)
        return torch.cat([capsules, boxes], dim=1).sub_(self.radius.unsqueeze(-1))

    def _outward(self, local: Tensor, shape: Tensor) -> Tensor:
        """(B, 3, N), unit: direction out of one shape (B, N) for each point, in the frame of that shape."""
        there = local.gather(2, shape[:, None, None].expand(-1, 3, 1, -1)).squeeze(2)
        half = self.half.mT.expand(len(shape), -1, -1).gather(2, shape.unsqueeze(1).expand(-1, 3, -1))
        excess = there.abs().sub_(half)
        face = excess == excess.amax(1, keepdim=True)  # the nearest face, for points inside a box
        out = excess.clamp_min_(0)
        length = out.square().sum(1, keepdim=True).sqrt_()  # vector_norm takes 100 times as long over this axis
        return torch.where(length > 0, out / length, face) * there.sign()


class _Distance(torch.autograd.Function):
    """Least distances, found beforehand, with their gradient with respect to the maps.

    A point x is at y = M (x, 1) in the frame of its nearest shape, so dd/dM = m (x, 1)^T with the unit m = dd/dy.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, rows: Tensor, least: Tensor, first: Tensor, outward: Tensor) -> Tensor:
        ctx.save_for_backward(rows, first, outward)
        ctx.shapes = maps.shape[2]
        return least

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, first, outward = ctx.saved_tensors
        slope = (outward * gradient.unsqueeze(1)).unsqueeze(2) * rows.unsqueeze(1)  # (B, 3, 4, N)
        total = slope.new_zeros(*slope.shape[:3], ctx.shapes)
        total.scatter_add_(3, first[:, None, None].expand_as(slope), slope)
        return total.mT, None, None, None, None


def _maps(placed: Shapes, cloud: Cloud) -> Tensor:
    """(B, 3, C, 4), maps from the rows of the cloud to coordinates in the frame of each shape."""
    turned = placed.rotation.permute(0, 3, 1, 2)
    offset = -(turned * (placed.centre - cloud.centre).unsqueeze(1)).sum(-1, keepdim=True)
    return torch.cat([turned, offset], dim=-1)


def _local(maps: Tensor, cloud: Cloud) -> Tensor:
    """(B, 3, C, N), metres, the points in the frame of every shape."""
    return (maps.flatten(1, 2) @ cloud.rows).unflatten(1, (3, -1))


def _least(table: Tensor) -> tuple[Tensor, Tensor]:
    """Least distance of each point (B, N), and the first shape that has it, int64; `min(dim)` takes twice as long."""
    least, count = table.amin(1), table.shape[1]
    rank = torch.arange(count, 0, -1, device=table.device, dtype=torch.int16).unsqueeze(-1)
    return least, count - ((table == least.unsqueeze(1)) * rank).amax(1).long()
