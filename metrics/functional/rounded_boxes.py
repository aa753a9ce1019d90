"""The collision shapes of a hand in one form, so that all can be processed at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...hands.hand import Hand
from ...hands.kinematics import Links
from ...hands.products import compose, rotate


@dataclass(frozen=True)
class RoundedBoxes:
    """The primitives of a hand in one form: all points within `radius` of a box, which for a capsule is a segment."""

    link: Tensor  # (C,), int64
    centre: Tensor  # (C, 3), metres, link frame
    rotation: Tensor  # (C, 3, 3), link_from_box
    half: Tensor  # (C, 3), half sizes, metres
    radius: Tensor  # (C,), metres

    @classmethod
    def of(cls, hand: Hand) -> RoundedBoxes:
        """The capsules of a hand (along z), then its boxes, float64."""
        capsules, boxes = (x.to("cpu", torch.float64) for x in (hand.capsules, hand.boxes))
        along = capsules.end - capsules.start
        half = torch.zeros_like(along)
        half[:, 2] = torch.linalg.vector_norm(along, dim=-1) / 2
        return cls(
            torch.cat([capsules.link, boxes.link]),
            torch.cat([(capsules.start + capsules.end) / 2, boxes.centre]),
            torch.cat([frames_along(along), boxes.rotation]),
            torch.cat([half, boxes.half]),
            torch.cat([capsules.radius, torch.zeros_like(boxes.half[:, 0])]),
        )

    def placed(self, links: Links) -> tuple[Tensor, Tensor]:
        """Rotation (B, C, 3, 3), object_from_box, and centre (B, C, 3), metres, object frame, on posed links."""
        turn = links.rotation[:, self.link]
        return compose(turn, self.rotation), links.translation[:, self.link] + rotate(turn, self.centre)

    def samples(self, step: float) -> tuple[Tensor, Tensor]:
        """Points on the surfaces, about `step` apart, including corners: (N, 3), box frame, and their boxes (N,)."""
        points, owner = [], []
        for i, (half, radius) in enumerate(zip(self.half, self.radius, strict=True)):
            counts = ((half + radius) * (2 / step)).ceil().clamp(min=2).long().tolist()
            axes = [torch.linspace(-1, 1, n + 1, dtype=torch.float64) for n in counts]
            lattice = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
            lattice = lattice[(lattice.abs() == 1).any(-1)] * (half + radius)
            points.append(project(lattice, half, radius))
            owner.append(torch.full((len(lattice),), i))
        return torch.cat(points), torch.cat(owner)


def project(points: Tensor, half: Tensor, radius: Tensor) -> Tensor:
    """Nearest points on the surfaces of rounded boxes; (..., 3), box frame, with half (..., 3) and radius (...)."""
    points, half = torch.broadcast_tensors(points, half)
    core = torch.minimum(torch.maximum(points, -half), half)
    out = points - core
    length = torch.linalg.vector_norm(out, dim=-1, keepdim=True)
    radius = radius.unsqueeze(-1)
    rounded = core + radius * out / length.clamp(min=1e-300)
    # From inside a box, to its nearest face; from the axis of a capsule (along z), to any side.
    axis = torch.where(radius > 0, 0, (half - core.abs()).argmin(-1, keepdim=True))
    reach = torch.where(radius > 0, radius, half.take_along_dim(axis, -1))
    side = torch.where(core.take_along_dim(axis, -1) < 0, -reach, reach)
    return torch.where(length > 0, rounded, core.scatter(-1, axis, side))


def frames_along(axes: Tensor) -> Tensor:
    """Rotations (C, 3, 3) whose third column points along each axis (C, 3); any rotation for a zero axis."""
    z = torch.nn.functional.normalize(axes, dim=-1)
    z = torch.where((z == 0).all(-1, keepdim=True), z.new_tensor([0.0, 0.0, 1.0]), z)
    least = torch.eye(3).to(z)[z.abs().argmin(-1)]
    x = torch.nn.functional.normalize(torch.linalg.cross(least, z), dim=-1)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=-1)
