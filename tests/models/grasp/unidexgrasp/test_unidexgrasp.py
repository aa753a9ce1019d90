"""UniDexGrasp as a whole: one frame for hand and cloud, its terms against loops, the joint stage, its samples."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from torch import nn

from dexzoo.datamodules.grasp_store import GraspObject, GraspStore
from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands.pose import HandPose
from dexzoo.losses.contact import palmar_penetration
from dexzoo.models.grasp import OfficialContactMap
from dexzoo.models.grasp.contact.model import ContactMap
from dexzoo.models.grasp.unidexgrasp.model import UniDexGrasp
from tests.oracles.grasps import distance_to_hand, random_grasps

PARTS = {"rotation", "pose", "energy"}
DEAD = {"ipdf.net.implicit_model.mlps.6.bias"}  # a constant on all scores, which the softmax takes out
DETAILS = {"energy_contact", "energy_penetration", "energy_repulsion"}


def tiny(hand, contact=lambda hand: ContactMap(hand, n_hand_points=32, widths=(8, 8), width=8), **settings):
    """A model at a size for tests."""
    small = {"n_object_points": 48, "grid_level": 0, "n_queries": 24, "energy_draws": 2, "energy_points": 32}
    return UniDexGrasp(hand, contact=contact, **{**small, "steps": 3, "width": 16, **settings})


@pytest.fixture
def grasps(hand, generator):
    return random_grasps(hand, 6, generator, points=64)


@pytest.fixture
def net(hand):
    return tiny(hand)


def settled(net, grasps):
    """In eval mode, with scales and statistics of these grasps, and a flow that heeds the cloud."""
    with torch.no_grad():
        for name, p in net.glow.named_parameters():
            p *= 60 if "final_layer.weight" in name else 1
        for _ in range(20):
            net(grasps, frozenset({"pose"}))
    return net.eval()


class Known(nn.Module):
    """Stands for the density over rotations: it knows the answers."""

    def __init__(self, rotations):
        super().__init__()
        self.rotations = rotations

    def sample(self, points, n, generator=None, temperature=1.0):
        return self.rotations[: len(points), None].expand(-1, n, -1, -1)


def turned(batch, rotation, shift):
    """The scene in another frame: x -> R x + t."""
    pose = batch.pose
    moved = dataclasses.replace(
        pose, rotation=rotation @ pose.rotation, translation=pose.translation @ rotation.T + shift
    )
    plane = batch.plane
    if plane is not None:
        normal = plane[:, :3] @ rotation.T
        plane = torch.cat([normal, plane[:, 3:] - (normal @ shift)[:, None]], dim=-1)
    return dataclasses.replace(batch, pose=moved, object_points=batch.object_points @ rotation.T + shift, plane=plane)


def on_table(batch):
    """A table of another slope under each object."""
    normal = nn.functional.normalize(torch.tensor([[0.1, 0.2, 1.0]]) + 0.1 * batch.pose.joints[:, :3], dim=-1)
    lowest = (batch.object_points * normal[:, None]).sum(-1).amin(1)
    return dataclasses.replace(batch, plane=torch.cat([normal, -lowest[:, None]], dim=-1))


def test_hand_and_cloud_are_in_one_frame(net, grasps):
    terms = settled(net, grasps)(grasps)
    each = []
    for i in range(6):
        centre, rotation = grasps.object_points[i].mean(0), grasps.pose.rotation[i]
        cloud = torch.stack([rotation.T @ (p - centre) for p in grasps.object_points[i, :48]])
        state = torch.cat([rotation.T @ (grasps.pose.translation[i] - centre), grasps.pose.joints[i]])
        each.append(net.glow.net.flow.log_density(state[None], net.glow.net.condition(cloud[None])))
    assert terms["pose"].item() == pytest.approx(-torch.cat(each).mean().item(), rel=1e-4)
    centred = grasps.object_points - grasps.object_points.mean(1, keepdim=True)
    rotation = net.ipdf.negative_log_likelihood(centred, grasps.pose.rotation)
    torch.testing.assert_close(terms["rotation"], rotation)


def test_pose_in_the_frame_of_the_hand_does_not_change_with_that_of_the_scene(net, grasps):
    settled(net, grasps)
    rotation, shift = rotvec_to_rotmat(torch.tensor([1.0, -2.0, 0.5])), torch.tensor([0.5, 0.1, -0.3])
    before, after = net(grasps), net(turned(grasps, rotation, shift))
    torch.testing.assert_close(after["pose"], before["pose"], atol=1e-3, rtol=1e-4)
    assert (after["rotation"] - before["rotation"]).abs() > 1e-4  # it knows what is up
    moved = net(turned(grasps, torch.eye(3), shift))
    torch.testing.assert_close(moved["rotation"], before["rotation"], atol=1e-3, rtol=1e-4)


def test_poses_of_the_joint_stage_are_samples_at_one_rotation_of_each_cloud(net, grasps):
    settled(net, grasps).ipdf = Known(grasps.pose.rotation)
    centre = grasps.object_points.mean(1)
    torch.manual_seed(4)
    drawn = net.train()._draw(grasps.object_points - centre[:, None], centre)
    torch.manual_seed(4)
    noise = torch.randn(6, 2, 25)
    net.eval()
    for i, rotation in enumerate(grasps.pose.rotation):
        cloud = torch.stack([rotation.T @ (p - centre[i]) for p in grasps.object_points[i, :48]])
        states = net.glow.net.flow(noise[i], net.glow.net.condition(cloud[None]).expand(2, -1))
        for k, state in enumerate(states):
            expected = rotation @ state[:3] + centre[i]
            torch.testing.assert_close(drawn.translation[i, k], expected, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(drawn.joints[i, k], state[3:], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(drawn.rotation[i, k], rotation)


def loop_energy(net, pose, batch, k):
    """Terms of poses (B * k,): one grasp and one point at a time. `distance_to_hand` is a loop itself."""
    hand, found = net.hand, {"contact": 0.0, "penetration": 0.0, "repulsion": 0.0, "table": 0.0}
    for row in range(len(pose.translation)):
        one, b = pose[row : row + 1], row // k
        points = batch.object_points[b : b + 1, : net.energy_points]
        links = hand.forward_kinematics(one)
        gap = distance_to_hand(hand, links, points)[0]
        target = net.contact.expected(net.contact(points, net.contact.hand_points(one)))[0]
        contact = 2 - 2 / (1 + torch.exp(-60 * gap.abs()))
        found["contact"] += float(((contact - target) ** 2).sum()) * 3000 / points.shape[1]
        for i, point in enumerate(points[0]):
            depth = float(palmar_penetration(hand, links, point[None, None])[0, 0]) if gap[i] < 0 else 0.0
            found["penetration"] += depth * 3000 / points.shape[1]
        keypoints, of = hand.place(links, hand.penetration_keypoints)[0], hand.penetration_keypoints.link
        for i, first in enumerate(keypoints):
            for j, second in enumerate(keypoints):
                if of[i] != of[j]:
                    found["repulsion"] += max(0.0, 0.02 - float((first - second).norm()))
            found["table"] += max(0.0, 0.01 - float(batch.plane[b, :3] @ first + batch.plane[b, 3]))
    return {name: value / len(pose.translation) for name, value in found.items()}


def test_energy_equals_a_loop_and_does_not_change_with_the_frame(hand, net, grasps):
    names = ("pose", "object_points", "scale", "names", "objects", "meshes")
    some = dataclasses.replace(grasps, **{name: getattr(grasps, name)[:2] for name in names})
    some, net.energy_points = on_table(some), 12
    inside = hand.place(hand.forward_kinematics(some.pose), net.contact.surface())[:, :4]  # on the skin
    deeper = inside + 0.3 * (hand.forward_kinematics(some.pose).translation[:, 4:5] - inside)
    some = dataclasses.replace(some, object_points=torch.cat([deeper, some.object_points], dim=1))
    pose = HandPose.stack([some.pose, dataclasses.replace(some.pose, joints=some.pose.joints.flip(0))], dim=1)
    terms, expected = net._energy(pose, some), loop_energy(net, pose.reshape(4), some, 2)
    assert terms.keys() == {"energy", *DETAILS, "energy_table"}
    for name, value in expected.items():
        assert value > 0, name
        assert terms[f"energy_{name}"].item() == pytest.approx(value, rel=2e-3), name
    total = 0.02 * expected["contact"] + 500 * expected["penetration"] + 10 * expected["repulsion"]
    assert terms["energy"].item() == pytest.approx(total + 50 * expected["table"], rel=2e-3)
    net.contact.expected = lambda logits: torch.full(logits.shape[:2], 0.3)  # a predictor need not be invariant
    rotation, shift = some.pose.rotation[0].T, torch.tensor([0.1, 0.2, -0.4])
    other = turned(dataclasses.replace(some, pose=pose), rotation, shift)
    again = net._energy(other.pose, other)
    for name, value in net._energy(pose, some).items():
        torch.testing.assert_close(again[name], value, atol=1e-5, rtol=2e-3)


def test_only_wanted_terms_are_computed(hand, net, grasps, monkeypatch):
    assert net(grasps).keys() == PARTS | DETAILS
    assert net(on_table(grasps)).keys() == PARTS | DETAILS | {"energy_table"}
    assert tiny(hand, contact=None)(grasps).keys() == PARTS | DETAILS - {"energy_contact"}

    def fail(*_):
        raise AssertionError("computed")

    for name in ("ipdf.negative_log_likelihood", "glow.negative_log_likelihood", "_energy"):
        with monkeypatch.context() as patch:
            owner, _, function = name.rpartition(".")
            patch.setattr(getattr(net, owner) if owner else net, function, fail)
            with pytest.raises(AssertionError, match="computed"):
                net(grasps)
            own = {"ipdf": "rotation", "glow": "pose", "": "energy"}[owner]
            assert own not in net(grasps, frozenset(PARTS - {own}))


def test_each_term_trains_its_part_and_together_all_but_the_predictor(net, grasps):
    parts = {"rotation": "ipdf.", "pose": "glow.", "energy": "glow."}
    for term, part in parts.items():
        net.zero_grad()
        net(grasps, frozenset({term}))[term].backward()
        alive = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        assert alive == {name for name, _ in net.named_parameters() if name.startswith(part)} - DEAD, term


def test_the_joint_stage_leaves_the_density_of_rotations_and_the_predictor_alone(hand, grasps):
    """The published one trains against networks that it has overwritten."""
    net = tiny(hand, contact=lambda hand: OfficialContactMap(hand, n_hand_points=16)).train()
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 1e-3)
    net(grasps)["pose"].backward()  # sets the scales
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.energy_points = 16
    for _ in range(2):
        optimizer.zero_grad()
        net(grasps, frozenset({"energy"}))["energy"].backward()
        optimizer.step()
    after = net.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {"glow"}
    assert not any("running" in name or "tracked" in name for name in changed)
    assert net.glow.training
    assert net.ipdf.training


def test_a_sample_is_a_rotation_and_the_likeliest_of_some_poses_given_it(hand, net, grasps):
    net.ipdf, net.draws = Known(grasps.pose.rotation[:1]), 5
    cloud = grasps.object_points[:1]
    with torch.no_grad():
        for p in net.glow.net.flow.parameters():
            p += 0.02 * torch.randn_like(p)
    pose = net.sample(cloud, 3, torch.Generator().manual_seed(2))
    noise = torch.randn(3, 5, 25, generator=torch.Generator().manual_seed(2))
    centre, rotation = cloud[0].mean(0), grasps.pose.rotation[0]
    feature = net.eval().glow.net.condition(((cloud[0] - centre) @ rotation)[None, :48])
    for i in range(3):
        states = net.glow.net.flow(noise[i], feature.expand(5, -1))
        state = states[net.glow.net.flow.log_density(states, feature.expand(5, -1)).argmax()]
        torch.testing.assert_close(pose.rotation[0, i], rotation)
        torch.testing.assert_close(pose.translation[0, i], rotation @ state[:3] + centre, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(pose.joints[0, i], hand.clamp(state[3:]), atol=1e-5, rtol=1e-4)


def test_samples_depend_on_the_generator_and_not_on_batch_or_mode(hand, net, grasps):
    points = grasps.object_points
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first = net.train().sample(points, 3, torch.Generator().manual_seed(7))
    assert first.shape == (6, 3)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    one_by_one = torch.Generator().manual_seed(7)
    alone = torch.cat([net.eval().sample(p[None], 3, one_by_one).to_vector() for p in points])
    torch.testing.assert_close(alone, first.to_vector(), atol=1e-4, rtol=1e-4)
    other = net.sample(points, 3, torch.Generator().manual_seed(8))
    assert (other.joints - first.joints).abs().max() > 1e-3
    assert (first.joints[:, 0] - first.joints[:, 1]).abs().max() > 1e-3
    assert (first.rotation[:, 0] - first.rotation[:, 1]).abs().max() > 1e-3
    hand.check_limits(first.joints, tolerance=0.0)
    assert ((first.joints == hand.lower) | (first.joints == hand.upper)).any()
    shift = torch.tensor([0.7, -0.2, 0.4])
    moved = net.sample(points + shift, 3, torch.Generator().manual_seed(7))
    torch.testing.assert_close(moved.translation, first.translation + shift, atol=1e-3, rtol=0)
    torch.testing.assert_close(moved.joints, first.joints, atol=1e-3, rtol=0)


def test_temperature_zero_is_the_best_rotation_and_the_mode_of_the_flow(net, grasps):
    points = grasps.object_points
    pose = net.sample(points, 3, temperature=0.0)
    torch.testing.assert_close(pose.to_vector()[:, 0], pose.to_vector()[:, 2])
    net.eval()
    centred = points - points.mean(1, keepdim=True)
    best = net.ipdf.scores(centred, net.ipdf.grid).argmax(1)
    torch.testing.assert_close(pose.rotation[:, 0], net.ipdf.grid[best])
    seen = torch.stack([c @ net.ipdf.grid[b] for c, b in zip(centred, best, strict=True)])
    state = net.glow.net.flow(torch.zeros(6, 25), net.glow.net.condition(seen[:, :48]))
    away = ((pose.translation[:, 0] - points.mean(1)).unsqueeze(1) @ net.ipdf.grid[best]).squeeze(1)
    torch.testing.assert_close(away, state[:, :3], atol=1e-5, rtol=1e-4)


def test_weights_and_scales_travel_together(hand, net, grasps):
    net(grasps)
    other = tiny(hand)
    other.load_state_dict(net.state_dict())
    assert other.glow.net.flow.initialized
    draws = [m.sample(grasps.object_points, 2, torch.Generator().manual_seed(0)).to_vector() for m in (net, other)]
    assert torch.equal(*draws)


@pytest.mark.slow
def test_overfits_eight_grasps(hand, generator):
    torch.manual_seed(0)
    grasps = random_grasps(hand, 8, generator, points=32)
    net = tiny(hand, contact=None, n_object_points=32, width=32, steps=8, drop=0.0, blur=(0.005, 0.05))
    net.ipdf = Known(grasps.pose.rotation)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for step in range(110):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / 110)
        optimizer.zero_grad()
        net(grasps, frozenset({"pose"}))["pose"].backward()
        optimizer.step()
    away, bent = [], []
    for i in range(8):
        net.ipdf = Known(grasps.pose.rotation[i : i + 1])
        drawn = net.sample(grasps.object_points[i : i + 1], 4, generator)
        away.append((drawn.translation[0] - grasps.pose.translation[i]).norm(dim=-1).mean())
        bent.append((drawn.joints[0] - grasps.pose.joints[i]).abs().mean())
    assert torch.stack(away).mean() < 0.035
    assert torch.stack(bent).mean() < 0.14


def test_statistics_need_clouds(net, grasps):
    objs = [GraspObject(f"thing{k}") for k in range(6)]
    net.fit_statistics(GraspStore.of(grasps.pose, np.arange(6), objs, grasps.object_points))
    with pytest.raises(ValueError, match="grasps: expected objects with clouds, found none"):
        net.fit_statistics(GraspStore.of(grasps.pose, np.arange(6), objs, torch.zeros(6, 0, 3)))


@pytest.mark.parametrize(
    ("shape", "n", "message"),
    [
        ((2, 0, 3), 1, "points: expected clouds (B, N, 3) with at least one point, found (2, 0, 3)"),
        ((9, 3), 1, "found (9, 3); a single cloud needs a batch dimension, points[None]"),
        ((2, 9, 3), 0, "n: expected 1 or more grasps per object, found 0"),
    ],
)
def test_wrong_arguments_are_named(net, shape, n, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        net.sample(torch.zeros(shape), n)


@pytest.mark.parametrize("name", ["draws", "energy_draws", "energy_points"])
def test_counts_are_positive(hand, name):
    with pytest.raises(ValueError, match=f"{name}: expected 1 or more, found 0"):
        tiny(hand, **{name: 0})
