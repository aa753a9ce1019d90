"""Properties that every motion model must have; a new model is one more line of MOTION in zoo.py."""

from dataclasses import replace

import lightning as L
import pytest
import torch

from dexzoo.datamodules import ClipBatch, ClipDataset, ClipStore
from dexzoo.experiments.training.load import load_weights
from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands.pose import HandPose
from dexzoo.models.motion import HoldStill, MotionNet
from dexzoo.models.motion.base import MotionModel
from tests.models.freeze import frozen, motion_output
from tests.models.zoo import MOTION

CASES = {name: (case, case.make()) for name, case in MOTION.items()}
LEARNED = [name for name, (_, task) in CASES.items() if task.trainable]
TEACHABLE = [name for name in LEARNED if CASES[name][1].network.supports_teacher_forcing]
OF_WINDOWS = [name for name, (_, task) in CASES.items() if task.clips_per_batch is None]
HEAVY = [pytest.param(name, marks=pytest.mark.slow) if CASES[name][0].slow else name for name in LEARNED]
COUNT = torch.tensor([23, 5, 11, 1, 10, 2, 3, 4])


def fitted(name, clips, batch):
    """The task of a model with the statistics of the clips."""
    task = MOTION[name].make()
    task.network.fit_statistics(clips, [batch])
    return task.eval()


def rolled(model, batch, count=COUNT, **options):
    return model.rollout(batch.past, batch.goal, count, batch.object_points, batch.fps, **options)


def samples_of(task, clips, batch):
    """What the task trains on: eight windows, or whole clips."""
    return batch if task.clips_per_batch is None else ClipDataset(ClipStore.of(clips)).__getitems__(range(6))


def error(model, samples):
    """Mean error of the key points, metres, of the most likely motion of windows or clips."""
    with torch.no_grad():
        if isinstance(samples, ClipBatch):
            given, truth = samples.pose[:, :1], samples.pose[:, 1:]
            count = samples.length - 1
            pose = model.rollout(given, samples.goal, count, samples.object_points, samples.fps)
            there = torch.arange(truth.shape[1]) < count[:, None]
        else:
            pose, truth = model(samples), samples.future
            there = torch.ones(truth.shape, dtype=torch.bool)
        guess, true = (model.hand.keypoints(model.hand.forward_kinematics(p)) for p in (pose, truth))
        return float((guess - true).norm(dim=-1)[there].mean())


@pytest.fixture(params=MOTION)
def model(request, clips, batch):
    return fitted(request.param, clips, batch).network


@pytest.fixture(params=LEARNED)
def learned(request, clips, batch):
    return fitted(request.param, clips, batch)


@pytest.mark.parametrize("name", OF_WINDOWS)
def test_a_window_gives_ten_frames(name, hand, clips, batch):
    out = fitted(name, clips, batch).network(batch)
    assert out.shape == (8, 10)
    assert out.joints.shape[-1] == hand.num_joints


def test_rollout_gives_the_frames_asked_for(model, hand, batch):
    out = rolled(model, batch)
    assert out.shape == (8, 23)
    assert out.joints.shape[-1] == hand.num_joints
    assert out.hand == hand.name
    identity = torch.eye(3).expand(8, 23, 3, 3)
    torch.testing.assert_close(out.rotation.mT @ out.rotation, identity, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(out.rotation), torch.ones(8, 23), atol=1e-5, rtol=0)


def test_rollout_depends_on_the_generator_alone(model, batch):
    """Without one it is repeatable; with one it is a draw where the model draws, and the same otherwise."""
    likely = [rolled(model, batch).to_vector() for _ in range(2)]
    first, again, other = (
        rolled(model, batch, generator=torch.Generator().manual_seed(seed)).to_vector() for seed in (7, 7, 8)
    )
    assert torch.equal(*likely)
    assert torch.equal(first, again)
    if model.is_stochastic:
        assert (other - first).abs().max() > 1e-3
        assert (likely[0] - first).abs().max() > 1e-3
    else:
        assert torch.equal(other, likely[0])


@pytest.mark.parametrize("name", MOTION)
def test_rollout_of_a_batch_equals_rollouts_alone(name, clips, batch):
    model, near = fitted(name, clips, batch).network, {"atol": MOTION[name].tolerance, "rtol": 0}
    together = rolled(model, batch)
    for i in (0, 4):
        one = slice(i, i + 1)
        alone = model.rollout(batch.past[one], batch.goal[one], COUNT[one], batch.object_points[one], batch.fps[one])
        n = int(COUNT[i])
        torch.testing.assert_close(together.joints[i, :n], alone.joints[0, :n], **near)
        torch.testing.assert_close(together.translation[i, :n], alone.translation[0, :n], **near)


@pytest.mark.parametrize("name", TEACHABLE)
def test_teacher_forcing_starts_every_chunk_from_the_truth(name, clips, batch):
    model = fitted(name, clips, batch).network
    truth = HandPose.cat([batch.future, batch.future], dim=1)
    out = rolled(model, batch, torch.full((8,), 20), truth=truth)
    state = replace(batch, past=batch.future[:, -5:], time_to_go=torch.full((8,), 10.0))
    torch.testing.assert_close(out.translation[:, 10:], model(state).translation, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", MOTION)
def test_motion_follows_the_world(name, clips, batch):
    """Turning the world about the vertical and shifting it by 5 m turns and shifts the motion, and nothing else."""
    model, near = fitted(name, clips, batch).network, {"atol": max(2e-3, MOTION[name].tolerance), "rtol": 0}
    rotation, translation = rotvec_to_rotmat(torch.tensor([0.0, 0.0, 2.0])), torch.tensor([3.0, -3.2, 2.4])
    moved = replace(
        batch,
        past=batch.past.moved_by(rotation, translation),
        goal=batch.goal.moved_by(rotation, translation),
        object_points=batch.object_points @ rotation.mT + translation,
    )
    ten = torch.full((8,), 10)
    expected, out = rolled(model, batch, ten).moved_by(rotation, translation), rolled(model, moved, ten)
    torch.testing.assert_close(out.translation, expected.translation, **near)
    torch.testing.assert_close(out.rotation, expected.rotation, atol=1e-2, rtol=0)
    torch.testing.assert_close(out.joints, expected.joints, **near)


@pytest.mark.parametrize("name", LEARNED)
def test_every_parameter_gets_a_gradient_from_the_loss(name, clips, batch):
    task = fitted(name, clips, batch).train()
    task.losses(samples_of(task, clips, batch))[0].backward()
    idle = [name for name, p in task.network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [parameter for parameter in idle if not any(part in parameter for part in MOTION[name].dead)] == []


@pytest.mark.parametrize("name", HEAVY)
@pytest.mark.slow
def test_overfits_a_few_samples(name, clips, batch):
    case, task = MOTION[name], fitted(name, clips, batch)
    samples = samples_of(task, clips, batch)
    before = error(task.network, samples)
    task.train()
    optimiser = task.make_optimizer(task.network.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, case.steps)
    for _ in range(case.steps):
        optimiser.zero_grad()
        task.losses(samples)[0].backward()
        optimiser.step()
        schedule.step()
    after = error(task.eval().network, samples)
    assert after < before / case.falls


def test_a_checkpoint_gives_the_same_motion(learned, batch, tmp_path, request):
    trainer = L.Trainer(logger=False, accelerator="cpu", default_root_dir=tmp_path, enable_progress_bar=False)
    trainer.strategy.connect(learned)
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    other = MOTION[request.node.callspec.params["learned"]].make().eval()
    for parameter in other.network.parameters():
        torch.nn.init.zeros_(parameter)
    load_weights(other, tmp_path / "task.ckpt")
    assert torch.equal(rolled(learned.network, batch).to_vector(), rolled(other.network, batch).to_vector())


@pytest.mark.parametrize("name", MOTION)
def test_outputs_are_frozen(name):
    torch.testing.assert_close(motion_output(name), frozen(name), atol=max(1e-4, MOTION[name].tolerance), rtol=0)


def test_a_goal_of_another_hand_is_refused(model, batch):
    goal = replace(batch.goal, hand="allegro")
    with pytest.raises(ValueError, match=r"moves the hand 'shadow', found .* goal of 'allegro'"):
        rolled(model, replace(batch, goal=goal))


def test_an_empty_past_is_refused(model, batch):
    with pytest.raises(ValueError, match=r"past: expected batch shape \(B, H >= 1\), found \(8, 0\)"):
        rolled(model, replace(batch, past=batch.past[:, :0]))


def test_rollout_keeps_joint_limits_but_not_against_the_given_poses(learned, hand, batch):
    """A real hand that starts beyond its limits is not bent by force; nothing else leaves them."""
    goal = replace(batch.goal, joints=hand.clamp(batch.goal.joints))
    past = replace(batch.past, joints=hand.clamp(batch.past.joints))
    past.joints[..., 0] = hand.upper[0] + 0.2
    out = rolled(learned.network, replace(batch, past=past, goal=goal), torch.full((8,), 30))
    assert (out.joints <= hand.upper + 1e-6)[..., 1:].all()
    assert (out.joints >= hand.lower - 1e-6).all()
    assert (out.joints[..., 0] <= hand.upper[0] + 0.2 + 1e-6).all()


class Bending(HoldStill):
    """Predicts joints far beyond their limits, all up or all down."""

    rollout = MotionModel.rollout
    far = 10.0

    def forward(self, state):
        now = state.past[:, -1:]
        joints = torch.full_like(now.joints, self.far).expand(-1, 10, -1)
        return replace(HandPose.cat([now] * 10, dim=1), joints=joints)


@pytest.mark.parametrize("beyond", [-0.3, 0.3])
@pytest.mark.parametrize("given", ["past", "goal"])
def test_limits_are_widened_to_the_given_poses_on_both_sides(hand, batch, given, beyond):
    limit = hand.upper if beyond > 0 else hand.lower
    poses = {name: replace(p, joints=hand.clamp(p.joints)) for name, p in (("past", batch.past), ("goal", batch.goal))}
    poses[given] = replace(poses[given], joints=(limit + beyond).expand_as(poses[given].joints).clone())
    model = Bending(hand)
    model.far *= 1 if beyond > 0 else -1
    out = rolled(model, replace(batch, **poses), torch.full((8,), 25))
    torch.testing.assert_close(out.joints, (limit + beyond).expand(8, 25, -1))


def test_a_model_without_experts_is_refused(hand):
    with pytest.raises(ValueError, match="num_experts: expected 1 or more, found 0"):
        MotionNet(hand, num_experts=0)
