"""Energies of a grasp: pure, differentiable, one value per sample. Lower is better, zero is perfect.

The terms follow differentiable force closure (Liu et al., RA-L 2021) and DexGraspNet (Wang et al., ICRA 2023), with
unit normals, so that the wrench of a contact does not depend on the scale of the object's distance field.
"""

import torch
from torch import Tensor

from ..hands.hand import Hand, Links
from ..hands.once import once_per_hand
from ..hands.pose import HandPose


def force_closure_energy(contacts: Tensor, normals: Tensor, length: float, push: Tensor | None = None) -> Tensor:
    """Squared net wrench when every contact pushes along its normal.

    Zero where the unit pushes cancel, in force and in torque about the centroid of the contacts.
    `contacts` (B, C, 3), metres. `normals` (B, C, 3), unit, all outwards or all inwards. `length`: metres, divisor of
    torques; about the radius of the object. `push` (B, C), force of each contact, at least 0; all 1 by default. Returns
    (B,), in squared units of the force.
    """
    push = torch.ones_like(contacts[..., :1]) if push is None else push.unsqueeze(-1)
    centroid = (push * contacts).sum(1, keepdim=True) / push.sum(1, keepdim=True).clamp_min(1e-9)
    force = (push * normals).sum(dim=1)
    torque = torch.linalg.cross((contacts - centroid) / length, push * normals).sum(dim=1)
    return force.square().sum(-1) + torque.square().sum(-1)


def contact_distance_energy(distance: Tensor) -> Tensor:
    """Summed distance of the contacts from the surface, metres.

    `distance` (B, C), metres, signed distance of the object at the contacts.
    """
    return distance.abs().sum(dim=-1)


def penetration_energy(distance: Tensor) -> Tensor:
    """Summed depth of points inside a body, metres.

    `distance` (B, N), metres, signed distance of the body at the points, negative inside.
    """
    return (-distance).clamp_min(0).sum(dim=-1)


def joint_limit_energy(joints: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Summed excess over the joint limits, radians.

    `joints` (B, J), radians; `lower` (J,), radians; `upper` (J,), radians.
    """
    return ((lower - joints).clamp_min(0) + (joints - upper).clamp_min(0)).sum(dim=-1)


def table_energy(points: Tensor, height: float = 0.0) -> Tensor:
    """Summed depth of points below a horizontal plane, metres.

    `points` (B, N, 3), metres, z up; `height`: metres, of the plane.
    """
    return (height - points[..., 2]).clamp_min(0).sum(dim=-1)


def plane_energy(points: Tensor, plane: Tensor, margin: float = 0.0) -> Tensor:
    """Summed depth of points below a height above a plane, metres.

    `points` (B, N, 3), metres. `plane` (B, 4), unit normal n and offset b in metres: the height of x is n . x + b.
    `margin`: metres above the plane; points below this height count.
    """
    height = (points * plane[:, None, :3]).sum(-1) + plane[:, None, 3]
    return (margin - height).clamp_min(0).sum(dim=-1)


def keypoint_repulsion_energy(points: Tensor, links: Tensor, distance: float = 0.02) -> Tensor:
    """Summed shortfall of the distances between points on different links, metres; each pair counts once.

    `points` (B, K, 3), metres, spread inside the links of a hand; `links` (K,), int64, the link of each point;
    `distance`: metres, below which a pair repels.
    """
    first, second = torch.triu_indices(len(links), len(links), offset=1, device=links.device)
    gap = (points[:, first] - points[:, second]).square().sum(-1).clamp_min(1e-12).sqrt()
    # Selecting the pairs with a mask would make the host wait for an accelerator at every step.
    return torch.where(links[first] != links[second], (distance - gap).clamp_min(0), 0.0).sum(dim=-1)


def segment_distance(start_a: Tensor, end_a: Tensor, start_b: Tensor, end_b: Tensor) -> Tensor:
    """Shortest distance between two line segments, metres.

    All arguments (..., 3), metres. A segment may have length zero.

    Source: Ericson, Real-Time Collision Detection, section 5.1.9.
    """
    along_a, along_b, offset = end_a - start_a, end_b - start_b, start_a - start_b
    aa = along_a.square().sum(-1).clamp_min(1e-12)
    bb = along_b.square().sum(-1).clamp_min(1e-12)
    ab = (along_a * along_b).sum(-1)
    ao, bo = (along_a * offset).sum(-1), (along_b * offset).sum(-1)
    s = ((ab * bo - ao * bb) / (aa * bb - ab * ab).clamp_min(1e-12)).clamp(0, 1)
    t = ((ab * s + bo) / bb).clamp(0, 1)
    s = ((ab * t - ao) / aa).clamp(0, 1)
    gap = offset + s.unsqueeze(-1) * along_a - t.unsqueeze(-1) * along_b
    return gap.square().sum(-1).clamp_min(1e-16).sqrt()


def self_penetration_depth(hand: Hand, links: Links) -> Tensor:
    """Deepest overlap of two capsules of a hand that are apart in the rest pose; metres, (...), 0 without overlap.

    Capsules that touch in the rest pose (neighbours on a finger) are ignored: they overlap by design.
    `links`: its link frames, any batch shape.
    """
    first, second = separate_capsules(hand)
    if first.numel() == 0:
        return links.translation.new_zeros(links.translation.shape[:-2])
    start, end = place_capsules(hand, links)
    radius = hand.capsules.radius
    gap = segment_distance(start[..., first, :], end[..., first, :], start[..., second, :], end[..., second, :])
    return (radius[first] + radius[second] - gap).clamp_min(0).amax(dim=-1)


@once_per_hand
def separate_capsules(hand: Hand) -> tuple[Tensor, Tensor]:
    """Pairs of capsules that are apart in the rest pose: their indices, (P,) int64 twice."""
    capsules = hand.capsules
    rest = HandPose(
        capsules.start.new_zeros(3),
        torch.eye(3, device=capsules.start.device, dtype=capsules.start.dtype),
        hand.rest.to(capsules.start),
        hand.name,
    )
    start, end = place_capsules(hand, hand.forward_kinematics(rest))
    first, second = torch.triu_indices(len(start), len(start), offset=1, device=start.device)
    gap = segment_distance(start[first], end[first], start[second], end[second])
    clear = gap > capsules.radius[first] + capsules.radius[second]
    return first[clear], second[clear]


def place_capsules(hand: Hand, links: Links) -> tuple[Tensor, Tensor]:
    """Ends of the axes of a hand's capsules in the world, metres; (..., C, 3) twice."""
    capsules = hand.capsules
    rotation, translation = links.rotation[..., capsules.link, :, :], links.translation[..., capsules.link, :]
    start = (rotation @ capsules.start.unsqueeze(-1)).squeeze(-1) + translation
    end = (rotation @ capsules.end.unsqueeze(-1)).squeeze(-1) + translation
    return start, end
