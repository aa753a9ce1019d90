"""Points and primitives fixed to links: their world positions, and distances of points to the hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from .kinematics import Links
from .products import compose

_Rigid = TypeVar("_Rigid", bound="_OnDevice")


@dataclass(frozen=True)
class _OnDevice:
    def to(self: _Rigid, *args: Any, **kwargs: Any) -> _Rigid:
        """Moves or casts the coordinates, like `Tensor.to`; indices are only moved."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {k: v.to(*args, **kwargs) for k, v in values.items() if v.is_floating_point()}
        device = next(iter(moved.values())).device
        return replace(self, **moved, **{k: v.to(device) for k, v in values.items() if k not in moved})


@dataclass(frozen=True)
class LinkPoints(_OnDevice):
    """Points on the hand, each fixed to a link.

    Attributes:
        link: (n,), int64, index of the link.
        position: (n, 3), metres, link frame.
        normal: (n, 3), unit, outward, link frame.
    """

    link: Tensor
    position: Tensor
    normal: Tensor

    def __len__(self) -> int:
        return len(self.link)


@dataclass(frozen=True)
class Capsules(_OnDevice):
    """All points within `radius` (C,) of the segments from `start` to `end`, (C, 3), metres, frame of `link` (C,)."""

    link: Tensor
    start: Tensor
    end: Tensor
    radius: Tensor


@dataclass(frozen=True)
class Boxes(_OnDevice):
    """Boxes with half sizes `half` (C, 3) about `centre` (C, 3), link_from_box `rotation` (C, 3, 3), of `link` (C,)."""

    link: Tensor
    centre: Tensor
    rotation: Tensor
    half: Tensor


def place(links: Links, link: Tensor, position: Tensor) -> Tensor:
    """World positions of points fixed to links.

    Args:
        links: batch shape (...).
        link: (n,), int64.
        position: (n, 3), metres, link frame; a constant, without gradient.

    Returns:
        (..., n, 3), metres.
    """
    batch, (n, _) = links.translation.shape[:-2], position.shape
    rotation = links.rotation.reshape(-1, *links.rotation.shape[-3:]).permute(2, 3, 1, 0)
    translation = links.translation.reshape(-1, *links.translation.shape[-2:]).permute(2, 1, 0)
    world = _Place.apply(rotation, translation, link.to(translation.device), position.detach().to(translation))
    return world.permute(2, 1, 0).reshape(*batch, n, 3)


class _Place(torch.autograd.Function):
    """(3, 3, L, N), (3, L, N), (n,), (n, 3) -> (3, n, N): a gather forward, one matrix product backward."""

    @staticmethod
    def forward(rotation: Tensor, translation: Tensor, link: Tensor, position: Tensor) -> Tensor:
        world = translation.index_select(1, link)
        for k in range(3):
            world = torch.addcmul(world, rotation[:, k].index_select(1, link), position[:, k : k + 1])
        return world

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _, translation, link, position = inputs
        ctx.save_for_backward(link, position)
        ctx.num_links = translation.shape[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        link, position = ctx.saved_tensors
        weights = position.new_zeros(4, ctx.num_links, len(link))
        weights[:3, link, torch.arange(len(link), device=link.device)] = position.T
        weights[3, link, torch.arange(len(link), device=link.device)] = 1
        both = (weights.flatten(0, 1) @ grad).unflatten(1, (4, ctx.num_links))
        return both[:, :3], both[:, 3], None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Tensor) -> tuple[Tensor, int]:
        """Moves the mapped dimension into the batch, which comes last."""
        size = info.batch_size
        folded = [
            (x.unsqueeze(-1).expand(*x.shape, size) if dim is None else x.movedim(dim, -1)).flatten(-2)
            for x, dim in zip(args[:2], in_dims[:2], strict=True)
        ]
        return _Place.apply(*folded, *args[2:]).unflatten(-1, (-1, size)), 3


def primitive_distances(links: Links, capsules: Capsules, boxes: Boxes, points: Tensor) -> Tensor:
    """Exact signed distance of each point to each primitive.

    Args:
        links: batch shape (...).
        capsules, boxes: C primitives in all.
        points: (..., N, 3), metres, world.

    Returns:
        (..., N, C), metres, negative inside; the capsules first.
    """
    # Component by component: a reduction over a last dimension of 3 costs three times as much.
    point, distances = [x.unsqueeze(-1) for x in points.unbind(-1)], []
    if len(capsules.link):
        start, end = (
            [x.unsqueeze(-2) for x in place(links, capsules.link, ends).unbind(-1)]
            for ends in (capsules.start, capsules.end)
        )
        axis = [e - s for e, s in zip(end, start, strict=True)]
        offset = [p - s for p, s in zip(point, start, strict=True)]  # (..., N, C) each
        along = (_dot(offset, axis) / _dot(axis, axis).clamp_min(1e-18)).clamp(0, 1)
        nearest = [o - along * a for o, a in zip(offset, axis, strict=True)]
        distances.append(_norm(nearest) - capsules.radius.to(points))
    if len(boxes.link):
        centre = [x.unsqueeze(-2) for x in place(links, boxes.link, boxes.centre).unbind(-1)]
        turned = compose(links.rotation[..., boxes.link.to(points.device), :, :], boxes.rotation.to(points))
        offset = [p - c for p, c in zip(point, centre, strict=True)]
        half = boxes.half.to(points)
        excess = [
            _dot(offset, [x.unsqueeze(-2) for x in turned[..., side].unbind(-1)]).abs() - half[:, side]
            for side in range(3)
        ]
        outside = _norm([e.clamp_min(0) for e in excess])
        deepest = torch.maximum(torch.maximum(excess[0], excess[1]), excess[2])
        distances.append(outside + deepest.clamp_max(0))
    return torch.cat(distances, dim=-1)


def _dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _norm(a: Sequence[Tensor]) -> Tensor:
    """Length; its gradient at zero is zero, not NaN."""
    return _dot(a, a).clamp_min(1e-20).sqrt()


def signed_distance(links: Links, capsules: Capsules, boxes: Boxes, points: Tensor) -> Tensor:
    """Distance to the union of the primitives: exact outside; inside, a lower bound of the depth where they overlap.

    Args:
        links: batch shape (...).
        capsules, boxes: the primitives.
        points: (..., N, 3), metres, world.

    Returns:
        (..., N), metres, negative inside.
    """
    return primitive_distances(links, capsules, boxes, points).amin(-1)
