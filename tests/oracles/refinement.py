"""The energy of test-time refinement as its published code computes it: one link at a time, points in link frames.

Written from the definitions: for each shape the points are moved into its link's frame, its field is evaluated for all
of them, and the largest value over the shapes counts. Fields are squared metres, positive inside.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from dexzoo.hands.hand import Hand
from dexzoo.hands.pose import HandPose


def fields(hand: Hand, pose: HandPose, points: Tensor) -> tuple[Tensor, Tensor]:
    """D and P: signed squared distance to the surface, and to the palmar line of each capsule; (B, N) each."""
    links = hand.forward_kinematics(pose)
    all_d, all_p = [], []
    for k in range(len(hand.capsules.link)):
        link = int(hand.capsules.link[k])
        local = (points - links.translation[:, None, link]) @ links.rotation[:, link]
        start, radius = hand.capsules.start[k].to(points), hand.capsules.radius[k].to(points)
        axis = hand.capsules.end[k].to(points) - start
        share = (((local - start) @ axis) / (axis @ axis)).clamp(0, 1)
        core = start + share.unsqueeze(-1) * axis
        length = (local - core).norm(dim=-1)
        sign = torch.where(length < radius, 1.0, -1.0)
        palmar = torch.as_tensor(hand.spec.palmar[hand.link_names[link]]).to(points)
        all_d.append(sign * (length - radius) ** 2)
        all_p.append(sign * (local - core - radius * palmar).square().sum(-1))
    for k in range(len(hand.boxes.link)):
        link = int(hand.boxes.link[k])
        local = (points - links.translation[:, None, link]) @ links.rotation[:, link] - hand.boxes.centre[k].to(points)
        excess = (local @ hand.boxes.rotation[k].to(points)).abs() - hand.boxes.half[k].to(points)
        distance = excess.clamp_min(0).norm(dim=-1) + excess.amax(-1).clamp_max(0)
        all_d.append(-distance.sign() * distance**2)
        all_p.append(all_d[-1])
    return torch.stack(all_d).amax(0), torch.stack(all_p).amax(0)


def terms(hand: Hand, pose: HandPose, points: Tensor, target: Tensor, plane: Tensor) -> dict[str, Tensor]:
    """The published terms, one value per grasp, (B,) each, without weights."""
    d, p = fields(hand, pose, points)
    contact = 2 - 2 * torch.sigmoid(60 * d.abs().clamp_min(1e-30).sqrt())
    links = hand.forward_kinematics(pose)
    keypoints = hand.penetration_keypoints
    placed = [
        (links.rotation[:, i] @ x.to(points)) + links.translation[:, i]
        for i, x in zip(keypoints.link.tolist(), keypoints.position, strict=True)
    ]
    repulsion = points.new_zeros(len(points))
    for i, j in itertools.permutations(range(len(placed)), 2):
        if keypoints.link[i] != keypoints.link[j]:
            repulsion = repulsion + (0.02 - (placed[i] - placed[j]).norm(dim=-1)).clamp_min(0)
    table = points.new_zeros(len(points))
    for x in placed:
        table = table + (0.01 - ((x * plane[:, :3]).sum(-1) + plane[:, 3])).clamp_min(0)
    return {
        "contact": (contact - target).square().sum(-1),
        "penetration": torch.where(p > 0, p, 0.0).sum(-1),
        "repulsion": repulsion,
        "table": table,
    }
