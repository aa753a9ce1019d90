"""Distances between the primitives of a hand and a cloud: every pair is searched, only the nearest get a gradient.

The search is one matrix product over all primitives and takes no gradient; what it finds is measured again, exactly and
differentiably, which is a few pairs instead of all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...hands.hand import Hand, Links
from ...metrics.functional.rounded_boxes import RoundedBoxes


@dataclass(frozen=True)
class Shapes:
    """The placed primitives of B hands.

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
        """Signed distance of each point to one primitive, (M,) metres, differentiable to the primitive.

        Args:
            points: (M, 3), metres, world.
            owner: (M,), int64, which hand.
            shape: (M,), int64, which primitive.
        """
        row = owner * len(self.radius) + shape
        rotation = self.rotation.flatten(0, 1).index_select(0, row)
        offset = points - self.centre.flatten(0, 1).index_select(0, row)
        excess = (rotation * offset.unsqueeze(-1)).sum(1).abs() - self.half.index_select(0, shape)
        outside = excess.clamp_min(0).square().sum(-1).clamp_min(1e-20).sqrt()
        return outside + excess.amax(-1).clamp_max(0) - self.radius.index_select(0, shape)


class Cloud:
    """Points of B objects, made ready to be searched.

    Args:
        points: (B, N, 3), metres.
    """

    def __init__(self, points: Tensor) -> None:
        self.points = points
        self.centre = points.mean(dim=1, keepdim=True)  # near the origin the products below don't cancel
        x = (points - self.centre).mT
        self.rows = torch.cat([x, torch.ones_like(x[:, :1]), x.square().sum(1, keepdim=True)], dim=1)

    def __getitem__(self, index: Tensor) -> Cloud:
        """Some of the clouds."""
        new = object.__new__(Cloud)
        new.points, new.centre, new.rows = self.points[index], self.centre[index], self.rows[index]
        return new


class HandShapes:
    """Places and searches the primitives of a hand; capsules first, as in `RoundedBoxes`.

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
        """Points from which balls of the shape's radius make up its skin: along axes, and over the faces of boxes.

        Args:
            step: metres between points on an axis, at most; twice that over the faces of a box.

        Returns:
            (P, 3), metres, link frame, and the shape of each (P,), int64, in order.
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
        """Distance of every point to every primitive, (B, C, N) metres, good to 0.1 mm in float32; no gradient."""
        n = self.capsules
        centre = placed.centre - cloud.centre
        axis = placed.rotation[:, :n, :, 2]
        middle = (axis * centre[:, :n]).sum(-1, keepdim=True)
        none, one = torch.zeros_like(middle), torch.ones_like(middle)
        size = centre[:, :n].square().sum(-1, keepdim=True)
        turned = placed.rotation[:, n:].mT.flatten(1, 2)
        offset = -(turned * centre[:, n:].repeat_interleave(3, dim=1)).sum(-1, keepdim=True)
        rows = [
            torch.cat([-2 * centre[:, :n], size, one], dim=-1),  # squared distance from the centre
            torch.cat([axis, -middle, none], dim=-1),  # way along the axis
            torch.cat([turned, offset, torch.zeros_like(offset)], dim=-1),  # box coordinates
        ]
        squared, along, local = (torch.cat(rows, dim=1) @ cloud.rows).split([n, n, turned.shape[1]], dim=1)
        half = self.half[:n, 2:]
        nearest = torch.minimum(torch.maximum(along, -half), half)
        squared = squared.add_(nearest * (nearest - 2 * along)).clamp_min_(0).sqrt_().sub_(self.radius[:n, None])
        excess = local.abs_().sub_(self.half[n:].reshape(-1, 1)).unflatten(1, (-1, 3))
        outside = excess.clamp_min(0).square_().sum(2).sqrt_()
        return torch.cat([squared, outside + excess.amax(2).clamp_max_(0)], dim=1)
