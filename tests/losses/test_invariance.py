"""No energy or loss changes where hand, object and table are moved together by metres and turned."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands import HandPose, load_hand
from dexzoo.losses import contact, energies, functional
from dexzoo.losses.motion import MOTION_TERMS, MotionLoss

HAND = load_hand("shadow").double()
AWAY = torch.tensor([3.0, -3.2, 2.4], dtype=torch.float64)  # 5 m
TURN = rotvec_to_rotmat(torch.tensor([0.3, -0.8, 0.5], dtype=torch.float64))
B, T, C, N = 3, 4, 6, 40

Values = dict[str, torch.Tensor]


def scene(turn: torch.Tensor, shift: torch.Tensor) -> dict:
    """The same hands, contacts, points and table, turned and then moved."""
    torch.manual_seed(2)
    share = 1.2 * torch.rand(B, T, HAND.num_joints, dtype=torch.float64)  # some beyond their limits
    joints = HAND.lower + share * (HAND.upper - HAND.lower)
    rotation = rotvec_to_rotmat(torch.randn(B, T, 3, dtype=torch.float64))
    translation = 0.05 * torch.randn(B, T, 3, dtype=torch.float64)
    pose = HandPose(translation, rotation, joints, HAND.name).moved_by(turn, shift)
    points, other = 0.1 * torch.randn(2, B, N, 3, dtype=torch.float64) @ turn.mT + shift
    normals = torch.nn.functional.normalize(torch.randn(B, C, 3, dtype=torch.float64), dim=-1) @ turn.mT
    up = torch.nn.functional.normalize(torch.randn(B, 3, dtype=torch.float64), dim=-1) @ turn.mT
    plane = torch.cat([up, 0.01 - (up * shift).sum(-1, keepdim=True)], dim=-1)
    return {"pose": pose, "points": points, "other": other, "normals": normals, "plane": plane}


def of_points(s: dict) -> Values:
    links = HAND.forward_kinematics(s["pose"][:, 0])
    distance = HAND.signed_distance(links, s["points"])
    contacts, link = s["points"][:, :C], torch.arange(C) % 3
    return {
        "force closure": energies.force_closure_energy(contacts, s["normals"], 0.05),
        "force closure, pushes": energies.force_closure_energy(contacts, s["normals"], 0.05, distance[:, :C].abs()),
        "contact distance": energies.contact_distance_energy(distance),
        "penetration": energies.penetration_energy(distance),
        "plane": energies.plane_energy(s["points"], s["plane"], 0.01),
        "repulsion": energies.keypoint_repulsion_energy(contacts, link, 0.1),
        "segments": energies.segment_distance(*(s["points"][:, i] for i in range(4))),
        "self penetration": energies.self_penetration_depth(HAND, links),
        "palmar penetration": contact.palmar_penetration(HAND, links, s["points"]),
        "soft contact": contact.soft_contact(distance),
        "point error": functional.point_error(s["points"], s["other"]),
        "smoothness": functional.smoothness_error(*(s[k].unflatten(1, (4, 10)) for k in ("points", "other", "points"))),
    }


def of_motions(s: dict) -> Values:
    loss = MotionLoss(HAND, dict.fromkeys(MOTION_TERMS, 1.0))
    pose = s["pose"]
    total, terms = loss(pose[:, 2:], pose[:, [3, 2]], pose[:, :2])
    return {"total": total, **terms}


@pytest.mark.parametrize("terms", [of_points, of_motions])
@pytest.mark.parametrize("turn", [torch.eye(3, dtype=torch.float64), TURN], ids=["moved", "moved and turned"])
def test_energies_and_losses_do_not_depend_on_the_place(terms: Callable[[dict], Values], turn: torch.Tensor) -> None:
    here, away = terms(scene(torch.eye(3).double(), torch.zeros(3).double())), terms(scene(turn, AWAY))
    assert all(value.abs().max() > 0 for value in here.values()), here
    for name, value in here.items():
        torch.testing.assert_close(away[name], value, atol=1e-9, rtol=1e-9, msg=lambda text, n=name: f"{n}: {text}")
