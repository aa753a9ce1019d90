"""SAGA's optimisation of a synthesised motion (Wu et al., ECCV 2022, section 3.3), with the terms for a hand."""

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

from ....geometry.neighbours import knn
from ....hands.hand import Hand, LinkPoints
from ....hands.pose import HandPose
from ....hands.products import compose, rotate
from .image import tip_depths

STEPS = 300
_RATE = 1e-2  # at the first step, falling to 0: the published rate stays at 5e-3, i.e. jitter in a loss of magnitudes
_RADIAN = 0.1  # metres of palm motion per radian of joint motion in a step
_NEAREST = 256  # number of nearest cloud points that may enter the hand
_DEEP = 0.003  # metres: shallower points are not pushed out
WEIGHTS = {"points": 0.1, "last": 10.0, "step": 1.0, "acceleration": 10.0, "contact": 60.0, "collision": 1000.0}
"""Per metre, as published; 1000 is 10 x 5 x 20. The acceleration is ours, where SAGA has a prior of body motion."""


@dataclass(frozen=True)
class SynthesisedPath:
    """The networks' output for end poses, in the frame of the first palm.

    Attributes:
        pose: HandPose (B, 61).
        points: (B, 61, P, 3), metres, in the frame of each palm, as sampled by the network.
        contact: (B, 61, F), probability that each fingertip touches; F = 0 without contacts.
        lower, upper: (B, J), radians, limits of the joints, widened to the given poses.
    """

    pose: HandPose
    points: Tensor
    contact: Tensor
    lower: Tensor
    upper: Tensor


@torch.inference_mode(False)
@torch.enable_grad()
def optimise(
    hand: Hand, surface: LinkPoints, path: SynthesisedPath, goal: HandPose, cloud: Tensor, steps: int = STEPS
) -> SynthesisedPath:
    """Adam on all poses of each clip: near the sampled points, at the goal at the end, smooth, touching, not inside.

    Touching and not inside count in the second half. The object is represented by its nearest points; a point is inside
    the hand if it is behind the nearest surface point.

    Args:
        hand: the hand.
        surface: the P points.
        path: the path to improve.
        goal: HandPose (B,), in the frame of the first palm.
        cloud: (B, N, 3), metres, likewise; N = 0 omits the object terms.
        steps: number of Adam steps.

    Returns the path with optimised poses.
    """
    # In a test, inputs are inference tensors, which allow no gradient; their copies do.
    path, goal, cloud = _copied(path), goal.map(torch.clone), cloud.clone()
    target = _world(path.pose, path.points)
    last = hand.place(hand.forward_kinematics(goal), surface)
    near = _nearest(target[:, target.shape[1] // 2 :].flatten(1, 2), cloud)
    depths = tip_depths(hand)
    change = torch.zeros(*path.pose.shape, 6 + path.pose.joints.shape[-1], device=last.device, dtype=last.dtype)
    change.requires_grad_()
    optimiser = torch.optim.Adam([change], lr=_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for _ in range(steps):
        terms = path_terms(hand, surface, path, _changed(path, change), target, last, near, depths)
        optimiser.zero_grad()
        torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum().backward()
        optimiser.step()
        schedule.step()
    return replace(path, pose=_changed(path, change.detach()))


def path_terms(
    hand: Hand,
    surface: LinkPoints,
    path: SynthesisedPath,
    pose: HandPose,
    target: Tensor,
    last: Tensor,
    cloud: Tensor,
    depths: Tensor,
) -> dict[str, Tensor]:
    """Unweighted terms, each a mean per clip summed over clips, so that clips are independent of one another.

    Args:
        hand: the hand.
        surface: the P points.
        path: gives the contacts.
        pose: HandPose (B, 61), the current poses.
        target: (B, 61, P, 3), metres.
        last: (B, P, 3), metres, points of the goal.
        cloud: (B, N, 3), metres.
        depths: (F,), metres, see `tip_depths`.
    """
    links = hand.forward_kinematics(pose)
    points = hand.place(links, surface)
    speed, acceleration = points.diff(dim=1), points.diff(n=2, dim=1)
    terms = {
        "points": _per_clip((points - target).abs()),
        "last": _per_clip((points[:, -1] - last).abs()),
        "step": _per_clip(_length(speed)),
        "acceleration": _per_clip(_length(acceleration)),
    }
    if not cloud.shape[1]:
        return terms
    links, points = links[:, points.shape[1] // 2 :], points[:, points.shape[1] // 2 :]
    if path.contact.shape[-1]:
        tips = hand.keypoints(links)[..., -len(depths) :, :]
        nearest = knn(rearrange(tips, "b t tip xyz -> b (t tip) xyz"), cloud, 1)[0]
        gap = rearrange(nearest, "b (t tip) 1 -> b t tip", t=tips.shape[1]) - depths
        terms["contact"] = _per_clip(gap.abs() * path.contact[:, -gap.shape[1] :])
    inside = -_signed(links.rotation, points, surface, cloud).unflatten(0, points.shape[:2])
    terms["collision"] = _per_clip(torch.where(inside > _DEEP, inside, 0.0))
    return terms


def _signed(rotation: Tensor, points: Tensor, surface: LinkPoints, cloud: Tensor) -> Tensor:
    """(B x T, N): signed distance of the clouds' points (B, N, 3) from the nearest points of the hand (B, T, P, 3).

    Negative behind the nearest point; `rotation` (B, T, L, 3, 3) rotates the normals of the links.
    """
    normal = rotate(rotation[:, :, surface.link.to(rotation.device)], surface.normal.to(rotation)).flatten(0, 1)
    hand_points = points.flatten(0, 1)
    cloud = cloud[:, None].expand(-1, points.shape[1], -1, -1).flatten(0, 1)
    distance, index = knn(cloud, hand_points, 1)
    index = index.expand(-1, -1, 3)
    side = (normal.gather(1, index) * (cloud - hand_points.gather(1, index))).sum(-1)
    return distance.squeeze(-1) * side.detach().sign()


def _copied(path: SynthesisedPath) -> SynthesisedPath:
    tensors = (getattr(path, name).clone() for name in ("points", "contact", "lower", "upper"))
    return SynthesisedPath(path.pose.map(torch.clone), *tensors)


def _changed(path: SynthesisedPath, change: Tensor) -> HandPose:
    """The poses of a path moved by changes (B, 61, 6 + J): translation, rotation vector, joints."""
    by, pose = HandPose.from_vector(change, path.pose.hand), path.pose
    return HandPose(
        pose.translation + _RADIAN * by.translation,
        compose(pose.rotation, by.rotation),
        (pose.joints + by.joints).clamp(path.lower[:, None], path.upper[:, None]),
        pose.hand,
    )


def _world(pose: HandPose, points: Tensor) -> Tensor:
    return rotate(pose.rotation.unsqueeze(-3), points) + pose.translation.unsqueeze(-2)


def _nearest(points: Tensor, cloud: Tensor) -> Tensor:
    """The points of clouds (B, N, 3) nearest to any of `points` (B, M, 3), at most 256 per cloud."""
    if not cloud.shape[1]:
        return cloud
    distance = knn(cloud, points, 1)[0].squeeze(-1)
    index = distance.topk(min(_NEAREST, cloud.shape[1]), largest=False).indices
    return cloud.gather(1, index[..., None].expand(-1, -1, 3))


def _length(x: Tensor) -> Tensor:
    """Lengths of (..., 3), with a gradient at 0."""
    return (x.square().sum(-1) + 1e-12).sqrt()


def _per_clip(x: Tensor) -> Tensor:
    return x.flatten(1).mean(1).sum()
