"""Contact of hand and object as a value per object point, and energies based on it.

The soft contact and its bins are those of ContactNet (RealDex, IJCAI 2024, section 4.2; UniDexGrasp, CVPR 2023).
"""

import torch
from torch import Tensor

from ..hands.hand import Hand, Links
from ..hands.once import once_per_hand
from ..hands.points import place, primitive_distances

SLOPE = 60.0
"""per metre: contact falls to 0.85, 0.71, 0.46 at 5, 10, 20 mm."""


def soft_contact(distance: Tensor, slope: float = SLOPE) -> Tensor:
    """Degree of contact of each point: 2 - 2 sigmoid(slope * distance), 1 on the surface and inside, 0 far away.

    The distance is one-sided: a point inside counts as touched. The published code takes its magnitude, so that a point
    deep inside counts as free; pass `distance.abs()` for that.
    `distance` (..., N), metres, signed distance to the hand; `slope`: per metre. Returns (..., N), in [0, 1].
    """
    return 2 - 2 * torch.sigmoid(slope * distance.clamp_min(0))


def contact_bins(contact: Tensor, bins: int) -> Tensor:
    """The class of each contact value; 1 belongs to the last bin (the published code wraps it round to the first).

    `contact` (..., N), in [0, 1]; `bins`: of equal width. Returns (..., N), int64, 0 to bins - 1.
    """
    return (contact * bins).long().clamp(0, bins - 1)


def bin_centres(bins: int, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """Contact values in the middle of the bins, (bins,); decoding with them is off by half a bin at most."""
    return (torch.arange(bins, device=device, dtype=dtype or torch.get_default_dtype()) + 0.5) / bins


def contact_map_energy(contact: Tensor, target: Tensor) -> Tensor:
    """Summed squared difference of two contact maps.

    `contact` (B, N), in [0, 1], of the hand as it is; `target` (B, N), in [0, 1], as it should be. Returns (B,).
    """
    return (contact - target).square().sum(-1)


def palmar_penetration(hand: Hand, links: Links, points: Tensor) -> Tensor:
    """Squared distance of points to the palmar line of the primitive that they are in; pushes them out of the finger
    pads.

    For a capsule the line is its axis moved by its radius towards the palm; a box uses its surface. The sign is
    positive inside the primitive, and the primitive with the largest value counts. UniDexGrasp's term of that name.
    `hand`: the hand; its spec gives the palmar direction of each link. `links`: batch shape (...). `points`
    (..., N, 3), metres, world. Returns (..., N), square metres, positive inside the hand.
    """
    distance = primitive_distances(links, hand.capsules, hand.boxes, points)
    n = len(hand.capsules.link)
    squared = torch.cat([_palmar_gap(hand, links, points).square().sum(-1), distance[..., n:].square()], dim=-1)
    return torch.where(distance < 0, squared, -squared).amax(-1)


def _palmar_gap(hand: Hand, links: Links, points: Tensor) -> Tensor:
    """(..., N, C, 3), metres: from the nearest place of each capsule's palmar line to each point."""
    capsules = hand.capsules
    start, end = (place(links, capsules.link, x).unsqueeze(-3) for x in (capsules.start, capsules.end))
    axis, offset = end - start, points.unsqueeze(-2) - start
    along = (offset * axis).sum(-1, keepdim=True) / axis.square().sum(-1, keepdim=True).clamp_min(1e-18)
    turned = (links.rotation[..., capsules.link, :, :] * _palmar_shift(hand).to(points).unsqueeze(-2)).sum(-1)
    return offset - along.clamp(0, 1) * axis - turned.unsqueeze(-3)


@once_per_hand
def _palmar_shift(hand: Hand) -> Tensor:
    """(C, 3), metres, link frame: from the axis of each capsule to its palmar line."""
    capsules = hand.capsules
    palmar = torch.stack([torch.as_tensor(hand.spec.palmar[hand.link_names[i]]) for i in capsules.link.tolist()])
    return capsules.radius.unsqueeze(-1) * palmar.to(capsules.radius)
