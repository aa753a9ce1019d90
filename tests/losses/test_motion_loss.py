"""Loss terms against closed forms."""

import math
from dataclasses import replace

import pytest
import torch

from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands import load_hand
from dexzoo.hands.pose import HandPose
from dexzoo.losses import FiniteWatch, MotionLoss
from dexzoo.losses.functional import joint_error, limit_excess, point_error, rotation_error, smoothness_error
from tests.far_device import FAR, far_device


def test_point_error_of_a_shift_is_its_length():
    points = torch.randn(4, 5, 3, dtype=torch.float64)
    assert point_error(points + torch.tensor([0.03, 0.04, 0.0]), points).item() == pytest.approx(0.05, rel=1e-4)


def test_point_error_has_a_finite_gradient_where_points_coincide():
    points = torch.zeros(2, 3, requires_grad=True)
    point_error(points, torch.zeros(2, 3)).backward()
    assert torch.equal(points.grad, torch.zeros(2, 3))


@pytest.mark.parametrize("angle", [0.2, 1.0, 3.0])
def test_rotation_error_is_the_chord(angle):
    """||R - 1||_F / sqrt(2) = 2 sin(angle / 2)."""
    turned = rotvec_to_rotmat(torch.tensor([angle, 0.0, 0.0], dtype=torch.float64))
    assert rotation_error(turned, torch.eye(3, dtype=torch.float64)).item() == pytest.approx(
        2 * math.sin(angle / 2), rel=1e-4
    )


def test_joint_error_and_limit_excess():
    joints = torch.tensor([[-0.5, 0.5, 2.0]])
    assert joint_error(joints, torch.zeros(1, 3)).item() == pytest.approx(1.0)
    assert limit_excess(joints, torch.zeros(3), torch.ones(3)).item() == pytest.approx((0.5 + 1.0) / 3)
    assert limit_excess(torch.full((2, 3), 0.5), torch.zeros(3), torch.ones(3)).item() == 0


def test_smoothness_ignores_constant_velocity_differences_but_sees_the_seam():
    """A wrong constant velocity has the right acceleration everywhere but at the seam, where the velocity jumps."""
    time = torch.arange(1, 6, dtype=torch.float64)[None, :, None, None]
    history = torch.zeros(1, 2, 1, 3, dtype=torch.float64)
    direction = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    error = smoothness_error(0.03 * time * direction, 0.01 * time * direction, history).item()
    assert error == pytest.approx(0.02 / 5, rel=0.05)


def test_smoothness_is_of_the_second_differences_that_end_in_each_predicted_frame():
    """Those of whole tracks, frame by frame; the first two reach back into the given frames."""
    generator = torch.Generator().manual_seed(0)
    history, prediction, target = (torch.randn(2, n, 3, 3, generator=generator) for n in (5, 4, 4))
    expected = []
    for frame in range(4):
        second = []
        for future in (prediction, target):
            track = torch.cat([history, future], dim=1)
            second.append(track[:, 5 + frame] - 2 * track[:, 4 + frame] + track[:, 3 + frame])
        expected.append((second[0] - second[1]).norm(dim=-1).mean())
    found = smoothness_error(prediction, target, history)
    assert found.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-4)


@pytest.fixture
def poses():
    hand = load_hand("shadow")
    joints = ((hand.lower + hand.upper) / 2).expand(2, 5, -1)
    identity = torch.eye(3).expand(2, 5, 3, 3)
    return hand, HandPose(torch.zeros(2, 5, 3), identity, joints, "shadow")


def test_a_shift_of_one_centimetre_costs_its_weight(poses):
    hand, pose = poses
    moved = pose.moved_by(torch.eye(3), torch.tensor([0.0, 0.01, 0.0]))
    total, terms = MotionLoss(hand, {"keypoints": 100.0, "points": 10.0, "translation": 1.0})(moved, pose, pose)
    assert terms["keypoints"].item() == pytest.approx(0.01, rel=1e-3)
    assert terms["points"].item() == pytest.approx(0.01, rel=1e-3)
    assert total.item() == pytest.approx(1.0 + 0.1 + 0.01, rel=1e-3)


def test_the_loss_is_invariant_to_the_world(poses):
    hand, pose = poses
    moved = pose.moved_by(rotvec_to_rotmat(torch.tensor([0.3, 0.1, 0.0])), torch.tensor([0.0, 0.01, 0.0]))
    loss = MotionLoss(hand, dict.fromkeys(("keypoints", "rotation", "smoothness", "joints", "limits"), 1.0))
    rotation, translation = rotvec_to_rotmat(torch.tensor([1.0, 2.0, 0.5])), torch.tensor([3.0, 1.0, -2.0])
    elsewhere = (p.moved_by(rotation, translation) for p in (moved, pose, pose))
    torch.testing.assert_close(loss(moved, pose, pose)[0], loss(*elsewhere)[0], atol=1e-5, rtol=1e-4)


def test_the_smoothness_of_poses_is_that_of_their_key_points(poses):
    hand, pose = poses
    way = torch.tensor([0.0, 0.01, 0.04, 0.02, 0.07])[:, None] * torch.tensor([1.0, 2.0, 0.0])
    past = replace(pose, translation=pose.translation + way)
    target = replace(pose, translation=pose.translation + 0.2 * torch.arange(5.0)[:, None])
    moved = replace(target, translation=target.translation + 0.05 * torch.arange(5.0)[:, None].square())
    points = [hand.keypoints(hand.forward_kinematics(p)) for p in (past, moved, target)]
    _, terms = MotionLoss(hand, {"smoothness": 1.0})(moved, target, past)
    assert terms["smoothness"].item() == pytest.approx(smoothness_error(*points[1:], points[0]).item(), rel=1e-4)


def test_perfect_prediction_costs_nothing(poses):
    hand, pose = poses
    terms = MotionLoss(hand, {"keypoints": 1.0, "rotation": 1.0, "joints": 1.0, "limits": 1.0})(pose, pose, pose)[1]
    assert all(value.item() < 2e-4 for value in terms.values())


def test_unknown_term_is_named():
    with pytest.raises(
        ValueError, match=r"loss.weights: unknown terms \['keypoint'\], expected some of \['translation'"
    ):
        MotionLoss(load_hand("shadow"), {"keypoint": 1.0})


def test_a_term_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match=r"loss terms \['joints'\] are not finite"):
        FiniteWatch()({"joints": torch.tensor(torch.nan), "points": torch.tensor(1.0)})


def test_an_accelerator_is_looked_at_once_in_so_many_steps():
    """A term that was not finite for one step is still found at the next look, and told once."""
    watch = FiniteWatch(every=4)
    with far_device() as device:
        terms = [{"kl": torch.tensor(value, device=FAR)} for value in (1.0, torch.inf, 1.0, 1.0)]
        device.waits.clear()
        for term in terms[:3]:
            watch(term)
        assert device.waits == []
        with pytest.raises(ValueError, match=r"loss terms \['kl'\] are not finite"):
            watch(terms[3])
        assert len(device.waits) == 1
        watch.look()
