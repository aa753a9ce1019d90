"""The surface of a hand's capsules and boxes as charts: maps from rectangles with known bounds on the size of any part.

A chart maps (u, v) to o + u A + v B + R n with n = (N + u C + v D) / |N + u C + v D|, which is the outward normal too:
a face of a box has R = 0, a quarter of a cylinder A along its axis and D around it, and a part of a sphere C and D, as
a face of a cube projected onto the sphere. N has length 1; C and D are 0 or orthonormal to each other and to N.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ...hands.points import Boxes, Capsules
from ..functional.rounded_boxes import frames_along


@dataclass(frozen=True)
class Charts:
    """The surface of all primitives of a hand, in link frames, metres."""

    link: Tensor  # (K,), int64
    origin: Tensor  # (K, 3), o
    across: Tensor  # (K, 3), A
    along: Tensor  # (K, 3), B
    normal: Tensor  # (K, 3), N
    turn_across: Tensor  # (K, 3), C
    turn_along: Tensor  # (K, 3), D
    radius: Tensor  # (K,), R
    centre: Tensor
    half: Tensor  # (K, 2), the rectangle of (u, v)

    @classmethod
    def of(cls, capsules: Capsules, boxes: Boxes) -> Charts:
        """Charts that cover the whole surface of every primitive, float64."""
        capsules, boxes = capsules.to(torch.float64), boxes.to(torch.float64)
        parts = [_box(boxes, axis, sign) for axis in range(3) for sign in (-1, 1)] if len(boxes.link) else []
        if len(capsules.link):
            parts += [*_sides(capsules), *_caps(capsules, capsules.start, -1), *_caps(capsules, capsules.end, 1)]
        return cls(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def __len__(self) -> int:
        return len(self.link)

    def __getitem__(self, index: Tensor) -> Charts:
        """Some of the charts, in the order of `index`."""
        return Charts(*(getattr(self, f.name)[index] for f in fields(self)))

    def point(self, uv: Tensor) -> Tensor:
        """(K, 3): one point on each chart, at `uv` (K, 2); link frame, metres."""
        u, v = uv[:, :1], uv[:, 1:]
        away = self.normal + u * self.turn_across + v * self.turn_along
        normal = away / torch.linalg.vector_norm(away, dim=1, keepdim=True)
        return self.origin + u * self.across + v * self.along + self.radius[:, None] * normal

    def reach(self) -> Tensor:
        """(K,) metres: bound of the distance of a chart's points from its middle."""
        return torch.linalg.vector_norm(self._sizes(), dim=1)

    def squared(self) -> Charts:
        """The same surface in charts that are about square."""
        sizes = self._sizes()
        across, along = ((sizes / sizes.flip(1)).round().clamp(1, 32).long()).unbind(1)
        index = torch.repeat_interleave(torch.arange(len(self)), across * along)
        nth = torch.cat([torch.arange(n) for n in (across * along).tolist()])
        parts = self[index]
        place = torch.stack([nth % across[index], nth // across[index]], dim=1)
        half = parts.half / torch.stack([across, along], dim=1)[index]
        return replace(parts, centre=parts.centre - parts.half + half * (2 * place + 1), half=half)

    def _sizes(self) -> Tensor:
        """(K, 2): bounds of the surface's extent from the middle to the sides of the rectangle, metres."""
        straight = torch.stack([self.across.square().sum(1), self.along.square().sum(1)], dim=1)
        round_ = torch.stack([self.turn_across.square().sum(1), self.turn_along.square().sum(1)], dim=1)
        return (straight + round_ * self.radius[:, None] ** 2).sqrt() * self.half


def _box(boxes: Boxes, axis: int, sign: int) -> Charts:
    normal = sign * boxes.rotation[:, :, axis]
    across, along = (boxes.rotation[:, :, k % 3] * boxes.half[:, k % 3, None] for k in (axis + 1, axis + 2))
    return _chart(boxes.link, boxes.centre + normal * boxes.half[:, axis, None], normal, across=across, along=along)


def _sides(capsules: Capsules) -> list[Charts]:
    """Four quarters of each cylinder."""
    x, y, _ = frames_along(capsules.end - capsules.start).unbind(-1)
    middle, across = (capsules.start + capsules.end) / 2, (capsules.end - capsules.start) / 2
    return [
        _chart(capsules.link, middle, normal, across=across, turn_along=turn, radius=capsules.radius)
        for normal, turn in ((x, y), (y, x), (-x, y), (-y, x))
    ]


def _caps(capsules: Capsules, end: Tensor, sign: int) -> list[Charts]:
    """Five faces of half a cube on each half sphere."""
    x, y, z = frames_along(capsules.end - capsules.start).unbind(-1)
    link, radius, up = capsules.link, capsules.radius, sign * z
    top, half = _chart(link, end, up, turn_across=x, turn_along=y, radius=radius), (0, 0.5, 1, 0.5)
    rim = ((x, y), (y, x), (-x, y), (-y, x))
    return [top, *(_chart(link, end, n, turn_across=t, turn_along=up, radius=radius, rectangle=half) for n, t in rim)]


def _chart(
    link: Tensor,
    origin: Tensor,
    normal: Tensor,
    across: Tensor | None = None,
    along: Tensor | None = None,
    turn_across: Tensor | None = None,
    turn_along: Tensor | None = None,
    radius: Tensor | None = None,
    rectangle: tuple[float, float, float, float] = (0, 0, 1, 1),
) -> Charts:
    """Charts with all other parameters zero; `rectangle` is centre and half sizes."""
    zero = torch.zeros_like(origin)
    a, b, c, d = (zero if x is None else x for x in (across, along, turn_across, turn_along))
    bounds = origin.new_tensor(rectangle).expand(len(link), 4)
    size = zero[:, 0] if radius is None else radius
    return Charts(link, origin, a, b, normal, c, d, size, bounds[:, :2], bounds[:, 2:])
