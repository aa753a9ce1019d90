"""Properties that every motion model must have; a new model is one more line in MODELS."""

from dataclasses import replace

import pytest
import torch

from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands.pose import HandPose
from dexzoo.losses import MotionLoss
from dexzoo.models import MotionNet
from dexzoo.models.baselines import GoalHand, HoldStill, Linear, MinimumJerk, TimedInterpolation

LEARNED = {
    "motionnet": lambda hand: MotionNet(hand, n_points=24, n_object_points=32, hidden=64, dropout=0.0),
    "one_expert": lambda hand: MotionNet(hand, n_points=24, hidden=64, dropout=0.0, num_experts=1),
    "no_attention": lambda hand: MotionNet(hand, n_points=24, hidden=64, dropout=0.0, joint_attention=False),
    "no_object": lambda hand: MotionNet(hand, n_points=24, hidden=64, dropout=0.0, object_feature=False),
    "equation_2": lambda hand: MotionNet(hand, n_points=24, hidden=64, dropout=0.0, time_to_go=False, gravity=False),
    "goal": lambda hand: GoalHand(hand, n_points=24, n_basis=32, width=64, bottleneck=64, dropout=0.0),
}
AUXILIARY = ("dec_xyz", "dec_dist")
"""Heads that only train the trunk: their own loss reaches them, see test_goal.py."""
MODELS = LEARNED | {"hold": HoldStill, "linear": Linear, "minimum_jerk": MinimumJerk, "timed": TimedInterpolation}


@pytest.fixture(params=MODELS)
def model(request, hand, clips, batch):
    torch.manual_seed(0)
    model = MODELS[request.param](hand).eval()
    model.fit_statistics(clips, [batch])
    return model


@pytest.fixture(params=LEARNED)
def learned(request, hand, clips, batch):
    torch.manual_seed(0)
    model = LEARNED[request.param](hand)
    model.fit_statistics(clips, [batch])
    return model


def test_shapes(model, hand, batch):
    out = model(batch)
    assert out.shape == (8, 10)
    assert out.joints.shape[-1] == hand.num_joints
    identity = torch.eye(3).expand(8, 10, 3, 3)
    torch.testing.assert_close(out.rotation.mT @ out.rotation, identity, atol=1e-5, rtol=0)


def test_rollout_gives_the_frames_asked_for(model, batch):
    count = torch.tensor([23, 5, 11, 1, 10, 2, 3, 4])
    out = model.rollout(batch.past, batch.goal, count, batch.object_points, batch.fps)
    assert out.shape == (8, 23)
    again = model.rollout(batch.past, batch.goal, count, batch.object_points, batch.fps)
    assert torch.equal(out.to_vector(), again.to_vector())


def test_rollout_of_a_batch_equals_rollouts_alone(model, batch):
    count = torch.tensor([12, 5, 11, 1, 10, 2, 3, 4])
    together = model.rollout(batch.past, batch.goal, count, batch.object_points, batch.fps)
    for i in (0, 4):
        one = slice(i, i + 1)
        alone = model.rollout(batch.past[one], batch.goal[one], count[one], batch.object_points[one], batch.fps[one])
        n = int(count[i])
        torch.testing.assert_close(together.joints[i, :n], alone.joints[0, :n], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.translation[i, :n], alone.translation[0, :n], atol=1e-5, rtol=0)


def test_teacher_forcing_starts_every_chunk_from_the_truth(learned, batch):
    learned.eval()
    truth = HandPose.cat([batch.future, batch.future], dim=1)
    count = torch.full((8,), 20)
    out = learned.rollout(batch.past, batch.goal, count, batch.object_points, batch.fps, truth=truth)
    state = replace(batch, past=batch.future[:, -5:], time_to_go=torch.full((8,), 10.0))
    torch.testing.assert_close(out.translation[:, 10:], learned(state).translation, atol=1e-6, rtol=0)


def test_motion_follows_the_world(model, batch):
    """Turning the world about the vertical and shifting it turns and shifts the motion, and changes nothing else."""
    rotation, translation = rotvec_to_rotmat(torch.tensor([0.0, 0.0, 2.0])), torch.tensor([1.0, -2.0, 0.3])
    moved = replace(
        batch,
        past=batch.past.moved_by(rotation, translation),
        goal=batch.goal.moved_by(rotation, translation),
        object_points=batch.object_points @ rotation.mT + translation,
    )
    expected = model(batch).moved_by(rotation, translation)
    out = model(moved)
    torch.testing.assert_close(out.translation, expected.translation, atol=2e-3, rtol=0)
    torch.testing.assert_close(out.joints, expected.joints, atol=2e-3, rtol=0)


def test_every_parameter_gets_a_gradient(learned, hand, batch):
    loss = MotionLoss(hand, {"keypoints": 1.0, "joints": 1.0})
    loss(learned(batch), batch.future, batch.past)[0].backward()
    idle = [name for name, p in learned.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [name for name in idle if not any(head in name for head in AUXILIARY)] == []


def test_overfits_eight_windows(learned, hand, batch):
    loss = MotionLoss(hand, {"keypoints": 100.0, "joints": 5.0})
    optimiser = torch.optim.Adam(learned.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps := 160)  # GOAL's heads work in metres
    errors = []
    for _ in range(steps):
        optimiser.zero_grad()
        value, terms = loss(learned(batch), batch.future, batch.past)
        value.backward()
        optimiser.step()
        schedule.step()
        errors.append(terms["keypoints"].item())
    assert errors[-1] < 0.01 < errors[0] / 5


def test_saved_and_loaded_is_the_same(learned, hand, batch, tmp_path, request):
    learned.eval()
    torch.save(learned.state_dict(), tmp_path / "weights.pt")
    other = LEARNED[request.node.callspec.params["learned"]](hand).eval()
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(learned(batch).to_vector(), other(batch).to_vector())


def test_a_goal_of_another_hand_is_refused(model, batch):
    goal = replace(batch.goal, hand="allegro")
    with pytest.raises(ValueError, match=r"moves the hand 'shadow', found .* goal of 'allegro'"):
        model.rollout(batch.past, goal, torch.full((8,), 3), batch.object_points, batch.fps)


def test_an_empty_past_is_refused(model, batch):
    with pytest.raises(ValueError, match=r"past: expected batch shape \(B, H >= 1\), found \(8, 0\)"):
        model.rollout(batch.past[:, :0], batch.goal, torch.full((8,), 3), batch.object_points, batch.fps)


def test_rollout_keeps_joint_limits_but_not_against_the_given_poses(learned, hand, batch):
    """A real hand that starts beyond its limits is not bent by force; nothing else leaves them."""
    goal = replace(batch.goal, joints=hand.clamp(batch.goal.joints))
    past = replace(batch.past, joints=hand.clamp(batch.past.joints))
    past.joints[..., 0] = hand.upper[0] + 0.2
    out = learned.rollout(past, goal, torch.full((8,), 30), batch.object_points, batch.fps)
    assert (out.joints <= hand.upper + 1e-6)[..., 1:].all()
    assert (out.joints >= hand.lower - 1e-6).all()
    assert (out.joints[..., 0] <= hand.upper[0] + 0.2 + 1e-6).all()
