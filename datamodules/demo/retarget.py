"""Retargeting of the demo motions from the Shadow hand to a hand with MANO's joints."""

from __future__ import annotations

import torch
from torch import Tensor

from ...geometry.rotations import rotvec_to_rotmat
from ...hands.hand import Hand
from ...hands.mano import ManoHand
from ...hands.pose import HandPose
from ...hands.products import compose

_FINGERS = {"index": "ff", "middle": "mf", "ring": "rf", "pinky": "lf", "thumb": "th"}
_BONES = ("proximal", "middle", "distal")
_TURN = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
"""Shadow's palm frame from MANO's wrist frame: fingers +z from -x, thumb +x from +z, the palm at -y in both."""
_STEPS, _RATE = 120, 0.05


def to_mano(shadow: Hand, mano: ManoHand, pose: HandPose) -> HandPose:
    """Fits the posture of the Shadow hand on a MANO hand, frame by frame; HandPose (F,) of each, world frame.

    Least squares over 15 finger joints, 5 fingertips and the wrist, tips weighted threefold. Fingers bend about +z and
    spread about y at the first joint only, and the thumb's first joint is free, as in human hands.
    """
    target = _targets(shadow, mano, pose)
    basis = _basis()
    start = HandPose(pose.translation, compose(pose.rotation, _TURN), target.new_zeros(len(target), 45), mano.name)
    free = torch.zeros(len(target), 6 + len(basis), requires_grad=True)
    weight = torch.ones(target.shape[-2], 1)
    weight[-5:] = 3.0
    optimiser = torch.optim.Adam([free], lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    for _ in range(_STEPS):
        optimiser.zero_grad()
        found = mano.keypoints(mano.forward_kinematics(_posed(start, free, basis)))
        bent = free[:, 6:]
        loss = (weight * (found - target).square()).sum() + 1e-5 * bent.square().sum() + _beyond(bent)
        loss.backward()
        optimiser.step()
        schedule.step()
    return _posed(start, free.detach(), basis)


def _targets(shadow: Hand, mano: ManoHand, pose: HandPose) -> Tensor:
    """(F, 21, 3): targets of MANO's keypoints; the wrist at the base of Shadow's palm."""
    points = shadow.keypoints(shadow.forward_kinematics(pose))
    names = ["palm"]
    for keypoint in mano.keypoint_names[1:16]:
        names.append(f"{_FINGERS[keypoint[:-1]]}{_BONES[int(keypoint[-1]) - 1]}")
    names += [f"{_FINGERS[keypoint.removesuffix('_tip')].upper()}_tip" for keypoint in mano.keypoint_names[16:]]
    return points[:, [shadow.keypoint_names.index(name) for name in names]]


def _basis() -> Tensor:
    """(D, 45): directions in which joints may rotate."""
    rows = []
    for finger in range(5):
        for bone in range(3):
            for axis in _axes(thumb=finger == 4, first=bone == 0):
                row = torch.zeros(5, 3, 3)
                row[finger, bone, axis] = 1
                rows.append(row.flatten())
    return torch.stack(rows)


def _axes(thumb: bool, first: bool) -> tuple[int, ...]:
    return (0, 1, 2) if thumb and first else (1, 2) if thumb or first else (2,)


def _beyond(bent: Tensor) -> Tensor:
    """Penalty for joints bent by more than 1.8 rad."""
    return (bent.abs() - 1.8).clamp_min(0).square().sum()


def _posed(start: HandPose, free: Tensor, basis: Tensor) -> HandPose:
    return HandPose(
        start.translation + 0.2 * free[:, :3],  # scales metres against radians
        compose(start.rotation, rotvec_to_rotmat(free[:, 3:6])),
        free[:, 6:] @ basis,
        start.hand,
    )
