"""From a grasp alone: how its hand opens before it and squeezes after it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..grasps.posed import PosedGrasps
from .protocol import Closing


def closing_direction(grasps: PosedGrasps, near: float = 0.01) -> Tensor:
    """How the joints move to bring the fingers closer to the object, to first order.

    Of each link with a surface point within `near` metres of the object, the nearest point is taken; the direction is
    the steepest descent of the sum of their distances over the joints, so a joint moves the more, the longer its lever
    on the points that it can bring closer. Links further off count for nothing.

    Returns:
        (B, J), the largest entry 1 or -1 (radians, metres for a slide); zeros where no link is near.
    """
    return _descent(grasps, near)[0]


def _descent(grasps: PosedGrasps, near: float) -> tuple[Tensor, Tensor]:
    """`closing_direction`, and (B, 1), by how many metres the mean near point nears per unit of it."""
    hand, points = grasps.hand, grasps.hand.surface(512).to(torch.float64)
    joints = grasps.pose.joints.clone().requires_grad_()
    links = hand.forward_kinematics(replace(grasps.pose, joints=joints))
    place = hand.place(links, points) / grasps.scales[:, None, None]
    with torch.no_grad():
        distance = grasps.object.distance(place)
        far = torch.full((len(grasps), len(hand.link_names)), torch.inf, dtype=torch.float64)
        per_link = far.scatter_reduce(1, points.link.expand(len(grasps), -1), distance, "amin")
        close = per_link * grasps.scales[:, None] < near
        chosen = (distance == per_link[:, points.link]) & close[:, points.link]
    metres = grasps.scales[:, None].expand_as(chosen)[chosen]
    (gradient,) = torch.autograd.grad((grasps.object.distance(place[chosen]) * metres).sum(), joints)
    largest = gradient.abs().amax(1, keepdim=True).clamp_min(1e-12)
    speed = gradient.square().sum(1, keepdim=True) / largest / chosen.sum(1, keepdim=True).clamp_min(1)
    return -gradient / largest, speed


def postures(
    grasps: PosedGrasps, closing: Closing, pregrasp: Tensor | None = None, squeeze: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Pregrasp and squeeze, (B, J) each: those given, and those of the protocol's rule where they are NaN or None."""
    joints = grasps.pose.joints
    if closing.rule == "scale":
        derived = joints * closing.open, joints * closing.squeeze
    else:
        way, speed = _descent(grasps, closing.near)
        way = way.sign() if closing.rule == "sign" else way
        on = closing.squeeze / speed.clamp_min(1e-6) if closing.rule == "pull" else closing.squeeze
        derived = joints - closing.open * way, joints + on * way
    return _known(pregrasp, derived[0]), _known(squeeze, derived[1])


def _known(given: Tensor | None, derived: Tensor) -> Tensor:
    return derived if given is None else torch.where(given.isnan().any(1, keepdim=True), derived, given)
