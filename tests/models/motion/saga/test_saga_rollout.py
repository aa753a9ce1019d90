"""SAGA-hand in use: properties of its rollouts, its optimisation against loops, the task."""

import math
from dataclasses import replace
from functools import partial

import lightning as L
import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from dexzoo.datamodules import MotionDataModule
from dexzoo.datamodules.splits import Split
from dexzoo.datamodules.types import MotionState
from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands.pose import HandPose
from dexzoo.models.motion import Linear
from dexzoo.models.motion.saga import SagaLoss
from dexzoo.models.motion.saga import model as saga_model
from dexzoo.models.motion.saga import optimise as saga_optimise
from dexzoo.models.motion.saga.image import tip_depths
from tests.models.motion.saga.saga_cases import LENGTHS, TINY, WEIGHTS, make_task
from tests.models.zoo import MOTION


def rollout(model, batch, rows=slice(None), **options):
    past, count = batch.pose[rows, :1], batch.length[rows] - 1
    return model.rollout(past, batch.goal[rows], count, batch.object_points[rows], batch.fps[rows], **options)


# Rollouts


def test_networks_that_add_nothing_go_straight(hand, model, batch):
    """TrajFill adds to the straight path; without it the palm is that of the linear baseline."""
    for block in (model.traj_fill.dec2.fc3, model.traj_fill.dec2.bn2):
        for parameter in block.parameters():
            torch.nn.init.zeros_(parameter)
    out, expected = rollout(model, batch), rollout(Linear(hand), batch)
    for b, n in enumerate(LENGTHS):
        torch.testing.assert_close(out.translation[b, : n - 1], expected.translation[b, : n - 1], atol=1e-5, rtol=0)
        torch.testing.assert_close(out.rotation[b, : n - 1], expected.rotation[b, : n - 1], atol=1e-5, rtol=0)


def test_a_generator_draws_and_none_is_the_most_likely(model, batch):
    def drawn(seed):
        return rollout(model, batch, generator=torch.Generator().manual_seed(seed)).to_vector()

    assert torch.equal(drawn(1), drawn(1))
    assert (drawn(1) - drawn(2)).abs().max() > 1e-3
    likely = rollout(model, batch).to_vector()
    assert torch.equal(likely, rollout(model, batch).to_vector())
    assert (drawn(1) - likely).abs().max() > 1e-3


@pytest.mark.parametrize("drawn", [False, True])
def test_a_rollout_does_not_depend_on_the_batch(model, batch, drawn):
    def generator():
        return torch.Generator().manual_seed(4) if drawn else None

    together = rollout(model, batch, generator=generator())
    alone = rollout(model, batch, slice(0, 2), generator=generator())
    for b in range(2):
        n = LENGTHS[b] - 1
        torch.testing.assert_close(together.joints[b, :n], alone.joints[b, :n], atol=2e-3, rtol=0)
        torch.testing.assert_close(together.translation[b, :n], alone.translation[b, :n], atol=1e-5, rtol=0)


def test_motion_follows_the_world(model, batch):
    R, t = rotvec_to_rotmat(torch.tensor([0.5, -1.0, 2.0])), torch.tensor([1.0, -2.0, 0.3])
    moved = replace(
        batch,
        pose=batch.pose.moved_by(R, t),
        goal=batch.goal.moved_by(R, t),
        object_points=batch.object_points @ R.mT + t,
    )
    expected = rollout(model, batch).moved_by(R, t)
    out = rollout(model, moved)
    torch.testing.assert_close(out.translation, expected.translation, atol=1e-4, rtol=0)
    torch.testing.assert_close(out.rotation, expected.rotation, atol=1e-4, rtol=0)
    torch.testing.assert_close(out.joints, expected.joints, atol=1e-3, rtol=0)
    torch.testing.assert_close(model.predict(moved).true_path, model.predict(batch).true_path, atol=1e-3, rtol=0)


def test_joints_keep_their_limits_but_not_against_the_given_poses(hand, model, batch):
    batch.pose.joints[:, 0, 5] = hand.upper[5] + 0.2
    out = rollout(model, batch, generator=torch.Generator().manual_seed(0))
    upper = hand.upper.clone()
    upper[5] += 0.2
    assert ((out.joints >= hand.lower - 1e-5) & (out.joints <= upper + 1e-5)).all()


def test_linear_refinement_arrives_at_the_goal(model, batch):
    near = replace(batch, goal=batch.pose[:, 0])  # a motion that comes close enough to be pulled
    out = rollout(model, near, goal_refine="linear")
    for b, n in enumerate(LENGTHS):
        torch.testing.assert_close(out.translation[b, n - 2], near.goal.translation[b], atol=1e-5, rtol=0)
        torch.testing.assert_close(out.joints[b, n - 2], near.goal.joints[b], atol=1e-5, rtol=0)


def test_forward_gives_the_next_frames_of_the_rollout(model, batch):
    start = batch.pose[:, :1]
    past = HandPose.cat([start] * 5, dim=1)
    state = MotionState(past, batch.goal, batch.object_points, (batch.length - 1).float(), batch.fps)
    out, whole = model(state), rollout(model, batch)
    assert out.shape == (6, 10)
    torch.testing.assert_close(out.translation[0], whole.translation[0, :10])


def train(model, part, batch, steps):
    """The loss terms at first and at last of one network of a model, trained apart."""
    loss, history = SagaLoss(WEIGHTS), []
    optimiser = torch.optim.Adam(part.parameters(), lr=3e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        total, terms = loss(model.predict(batch, end_to_end=False))
        total.backward(inputs=list(part.parameters()))
        torch.nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        optimiser.step()
        history.append({name: term.item() for name, term in terms.items()})
    return history[0], history[-1]


@pytest.mark.slow
def test_overfits_paths(model, batch):
    first, last = train(model.train(), model.traj_fill, batch, 25)
    assert last["path"] < first["path"] / 2


@pytest.mark.slow
def test_overfits_images(hand, whole, batch):
    """The image network draws the same for all clips at first, and tells them apart only after a while."""
    torch.manual_seed(0)
    model = TINY(hand, n_points=5, channels=(8, 16, 16))
    model.fit_statistics(whole, [])
    first, last = train(model, model.local_fill, batch, 300)
    assert last["body"] < 0.6 * first["body"]


# SAGA's optimisation


@pytest.fixture
def path(model, batch):
    """What the networks make of the clips, its goals and clouds, in the frames of the first palms."""
    start = batch.pose[:, 0]
    cloud = (batch.object_points - start.translation[:, None]) @ start.rotation
    with torch.no_grad():
        return model._synthesise(start, batch.goal, None), batch.goal.relative_to(start), cloud


def test_the_terms_of_the_optimisation_are_those_of_a_loop(hand, model, path):
    synthesised, goal, cloud = path
    cloud = cloud[:, :40]
    surface, depths, pose = model.surface, tip_depths(hand), synthesised.pose
    links = hand.forward_kinematics(pose)
    points = hand.place(links, surface)
    target, last = points + 0.01 * torch.randn_like(points), hand.place(hand.forward_kinematics(goal), surface)
    terms = saga_optimise.path_terms(hand, surface, synthesised, pose, target, last, cloud, depths)
    tips = hand.keypoints(links)[..., -5:, :]
    sums = dict.fromkeys(terms, 0.0)
    for b in range(6):
        x = points[b].double().numpy()
        sums["points"] += np.abs(x - target[b].double().numpy()).mean()
        sums["last"] += np.abs(x[60] - last[b].double().numpy()).mean()
        sums["step"] += np.linalg.norm(x[1:] - x[:-1], axis=-1).mean()
        sums["acceleration"] += np.linalg.norm(x[2:] - 2 * x[1:-1] + x[:-2], axis=-1).mean()
        gaps, deep = [], []
        for t in range(30, 61):
            tree = cKDTree(cloud[b].numpy())
            reach = tree.query(tips[b, t].numpy())[0] - depths.numpy()
            gaps += (np.abs(reach) * synthesised.contact[b, t].numpy()).tolist()
            distance, nearest = cKDTree(x[t]).query(cloud[b].numpy())
            for d, i, q in zip(distance, nearest, cloud[b].numpy(), strict=True):
                normal = (links.rotation[b, t, surface.link[i]] @ surface.normal[i]).numpy()
                deep.append(d if normal @ (q - x[t, i]) < 0 and d > 0.003 else 0.0)
        sums["contact"] += np.mean(gaps)
        sums["collision"] += np.mean(deep)
    assert sums["collision"] > 0
    for name, value in sums.items():
        assert terms[name].item() == pytest.approx(value, rel=2e-3), name


def test_the_optimisation_arrives_at_the_goal(hand, model, path):
    synthesised, goal, cloud = path
    last = hand.place(hand.forward_kinematics(goal), model.surface)

    def miss(pose):
        return (hand.place(hand.forward_kinematics(pose[:, -1]), model.surface) - last).abs().mean().item()

    better = saga_optimise.optimise(hand, model.surface, synthesised, goal, cloud[:, :0], steps=40)
    assert miss(better.pose) < 0.5 * miss(synthesised.pose)
    assert (better.pose.joints >= better.lower[:, None] - 1e-6).all()
    eye = torch.eye(3).expand(6, 61, 3, 3)
    torch.testing.assert_close(better.pose.rotation.mT @ better.pose.rotation, eye, atol=1e-5, rtol=0)


def test_the_optimisation_frees_a_still_hand_of_what_is_in_it(hand):
    """Points 5 mm beneath the skin of one side of the hand are less deep afterwards."""
    surface, pose = hand.surface(79), hand.rest_pose(1, 61)
    links = hand.forward_kinematics(pose[:, 0])
    points = hand.place(links, surface)
    normal = (links.rotation[:, surface.link] @ surface.normal[:, :, None]).squeeze(-1)
    front = normal[0, :, 1] < -0.7
    cloud = (points - 0.005 * normal)[:, front]
    assert cloud.shape[1] > 5
    local = points[:, None].expand(-1, 61, -1, -1)
    limits = hand.lower[None], hand.upper[None]
    still = saga_optimise.SynthesisedPath(pose, local, torch.zeros(1, 61, 5), *limits)
    better = saga_optimise.optimise(hand, surface, still, pose[:, 0], cloud, steps=60)

    def collision(pose):
        depths = tip_depths(hand)
        return saga_optimise.path_terms(hand, surface, still, pose, local, points, cloud, depths)["collision"].item()

    assert collision(better.pose) < 0.3 * collision(pose)


def test_the_optimisation_works_without_a_cloud_and_in_inference_mode(model, batch, monkeypatch):
    monkeypatch.setattr(saga_model, "optimise", partial(saga_optimise.optimise, steps=2))
    bare = replace(batch, object_points=batch.object_points[:, :0])
    with torch.inference_mode():
        out = rollout(model, bare, goal_refine="opt")
    plain = rollout(model, bare)
    assert out.shape == plain.shape
    assert 0 < (out.translation - plain.translation).abs().max() < 0.05


# The task


class SixClips(MotionDataModule):
    title = "six clips"

    def __init__(self, clips, clips_per_batch=2):
        super().__init__(min_windows_per_epoch=0, clips_per_batch=clips_per_batch)
        self.clips = clips

    def load(self):
        return self.clips

    def split(self, samples):
        self.split_group = "recording"
        return Split(list(samples[:4]), [], list(samples[4:]))


def test_the_task_trains_on_whole_clips_and_tests_draws(whole, tmp_path):
    task, data = make_task(), SixClips(whole)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = L.Trainer(
        default_root_dir=tmp_path, max_epochs=2, enable_checkpointing=False, gradient_clip_val=1.0, **quiet
    )
    trainer.fit(task, data)
    assert {f"train/{name}" for name in WEIGHTS} <= trainer.callback_metrics.keys()
    assert trainer.global_step == 4  # two batches of two clips an epoch
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-5)  # a tenth after each epoch
    assert not torch.equal(task.network.image_scale.mean, torch.zeros(48))
    trainer.test(task, data, verbose=False)
    assert [(row["refine"], row["clip"]) for row in task.results] == [
        ("off", "clip4"),
        ("off", "clip5"),
        ("most_likely", "clip4"),
        ("most_likely", "clip5"),
    ]
    assert task.results[0]["mpjpe_cm"] != task.results[2]["mpjpe_cm"]
    assert task.rollouts["clip5"].shape == (21,)


def test_data_of_windows_are_no_training_data_of_it_and_clips_none_of_motionnet(whole, tmp_path):
    trainer = L.Trainer(default_root_dir=tmp_path, logger=False, enable_checkpointing=False, accelerator="cpu")
    for task, given, needed in ((make_task(), None, 2), (MOTION["motionnet"].make(), 2, None)):
        with pytest.raises(ValueError, match=f"data: expected clips_per_batch={needed}, as model .* found {given}"):
            trainer.fit(task, SixClips(whole, given))


def test_each_network_is_clipped_by_itself(monkeypatch):
    task = make_task()
    parts = [task.network.traj_fill, task.network.local_fill]
    for part, size in zip(parts, (100.0, 0.01), strict=True):
        for parameter in part.parameters():
            parameter.grad = size * torch.ones_like(parameter)

    def norm(part):
        return math.sqrt(sum(p.grad.square().sum().item() for p in part.parameters()))

    small = norm(parts[1])
    task.configure_gradient_clipping(None, 2 * small, None)  # type: ignore[arg-type]
    assert norm(parts[0]) == pytest.approx(2 * small, rel=5e-3)
    assert norm(parts[1]) == pytest.approx(small)


@pytest.mark.parametrize(("separate", "apart"), [(0.0, [False] * 3), (0.5, [True, True, False]), (1.0, [True] * 3)])
def test_the_first_epochs_train_the_networks_apart(batch, monkeypatch, separate, apart):
    task, seen = make_task(separate=separate), []
    predict = task.network.predict
    monkeypatch.setattr(
        task.network, "predict", lambda b, end_to_end: (seen.append(not end_to_end), predict(b, end_to_end))[1]
    )
    for epoch in range(3):
        monkeypatch.setattr(type(task), "progress", epoch / 3)
        task.losses(batch)
    assert seen == apart
