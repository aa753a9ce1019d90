"""Reach-to-grasp clips: timing in closed form, limits, distances, and the rules they are rejected by."""

import math

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.datamodules import DemoMotion
from dexzoo.files.errors import DataError
from dexzoo.geometry.meshes import mesh_hash
from dexzoo.geometry.rotations import geodesic_distance
from dexzoo.geometry.sdf import DistanceGrid, SignedDistance
from dexzoo.hands.anatomy import Anatomy
from dexzoo.hands.load import load_hand
from dexzoo.hands.pose import HandPose
from dexzoo.synthesis.clips import make_clips
from dexzoo.synthesis.grasps import ObjectGrasps, load_grasps, save_grasps
from dexzoo.synthesis.objects import object_mesh
from dexzoo.synthesis.reaches import (
    FPS,
    MAX_FRAMES,
    MIN_FRAMES,
    Reaches,
    ReachSettings,
    faults,
    minimum_jerk,
    plan_reaches,
)

OBJECT = "can"


@pytest.fixture(scope="module")
def hand():
    return load_hand("shadow")


@pytest.fixture(scope="module")
def grasps(hand):
    return load_grasps(hand=hand)[OBJECT]


@pytest.fixture(scope="module")
def reaches(hand, grasps):
    return plan_reaches(hand, grasps.pose, 0.066, 64, torch.Generator().manual_seed(0), ReachSettings())


@pytest.fixture(scope="module")
def clips(hand, grasps, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEXZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        return make_clips(hand, grasps, 12, 0, ReachSettings())


def acceptable(hand, reaches, grid, **limits):
    return ~torch.stack([*faults(hand, reaches, grid, **limits).values()]).any(dim=0)


def frames(clips):
    ends = clips.length.cumsum(0)
    return [clips.pose[int(end - n) : int(end)] for end, n in zip(ends, clips.length, strict=True)]


def test_minimum_jerk_meets_its_boundary_conditions():
    """Position 0 and 1, velocity and acceleration 0 at both ends; half way at half time with speed 15/8."""
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    s = minimum_jerk(t)
    (speed,) = torch.autograd.grad(s.sum(), t, create_graph=True)
    (acceleration,) = torch.autograd.grad(speed.sum(), t)
    np.testing.assert_allclose(s.detach(), [0, 0.5, 1], atol=1e-12)
    np.testing.assert_allclose(speed.detach(), [0, 15 / 8, 0], atol=1e-12)
    np.testing.assert_allclose(acceleration, 0, atol=1e-12)


def test_minimum_jerk_minimises_jerk():
    """Among polynomials with the same ends, the cost 720 of the quintic is the least; a septic bump only adds."""
    t = np.linspace(0, 1, 20001)
    jerk = 60 - 360 * t + 360 * t**2
    assert np.trapezoid(jerk**2, t) == pytest.approx(720, rel=1e-6)
    bump = np.polynomial.Polynomial([0, 0, 0, 1, -3, 3, -1]).deriv(3)(t)  # t^3 (1 - t)^3 vanishes to second order
    assert np.trapezoid(jerk * bump, t) == pytest.approx(0, abs=1e-4)


def test_minimum_jerk_is_clamped():
    assert minimum_jerk(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 1.0]


def test_clips_end_at_the_turned_grasp(grasps, clips):
    for i, pose in enumerate(frames(clips)):
        goal = grasps.pose[int(clips.grasp[i])].moved_by(clips.rotation[i], torch.zeros(3))
        torch.testing.assert_close(pose[-1].translation, goal.translation, rtol=0, atol=1e-7)
        torch.testing.assert_close(pose[-1].rotation, goal.rotation, rtol=0, atol=1e-6)
        torch.testing.assert_close(pose[-1].joints, goal.joints, rtol=0, atol=0)


def test_last_frames_are_still_and_continuous(clips):
    for pose in frames(clips):
        torch.testing.assert_close(pose[-2].translation, pose[-1].translation, rtol=0, atol=1e-6)
        assert (pose[-2].joints - pose[-1].joints).abs().max() < 1e-4
        steps = (pose[1:].translation - pose[:-1].translation).norm(dim=-1)
        assert steps.max() < 2.5 / FPS, "faster than a quick human reach, 2.5 m/s"


def test_clips_obey_limits_lengths_and_start_distance(hand, clips):
    settings = ReachSettings()
    for pose in frames(clips):
        hand.check_limits(pose.joints)
        assert MIN_FRAMES <= len(pose.joints) <= MAX_FRAMES
        distance = float((pose[0].translation - pose[-1].translation).norm())
        assert settings.distance[0] - 0.05 <= distance <= settings.distance[1] + 0.05
        angle = float(geodesic_distance(pose[0].rotation, pose[-1].rotation))
        assert settings.wrist_turn[0] - 1e-3 <= angle <= settings.wrist_turn[1] + 1e-3
        assert pose[0].translation[2] > 0.07


def test_starts_are_on_the_persons_side(clips):
    starts = torch.stack([pose[0].translation for pose in frames(clips)])
    ends = torch.stack([pose[-1].translation for pose in frames(clips)])
    assert (starts[:, 1] < ends[:, 1]).all()


def test_duration_follows_fitts_law(grasps, hand):
    """Without spread and stills, the clip lasts 0.55 + 0.21 log2(1 + 2 D / w) seconds and the time to close."""
    settings = ReachSettings(pace=0.0, onset=(0, 0), hold=(0, 0), closing=(0.2, 0.2))
    drawn = plan_reaches(hand, grasps.pose, 0.1, 32, torch.Generator().manual_seed(1), settings)
    distance = (drawn.pose[:, 0].translation - drawn.pose[:, -1].translation).norm(dim=-1)
    for d, n in zip(distance.tolist(), drawn.length.tolist(), strict=True):
        assert n == math.ceil(FPS * (0.55 + 0.21 * math.log2(1 + 2 * d / 0.1) + 0.2) - 1e-3) or n == math.ceil(
            FPS * (0.55 + 0.21 * math.log2(1 + 2 * d / 0.1) + 0.2) + 1e-3
        )


def test_fingers_open_wider_than_the_grasp_on_the_way(hand, reaches):
    flexes = Anatomy.of(hand).flexes
    bend = reaches.pose.joints[..., flexes].abs().mean(-1)
    assert (bend.amin(dim=1) < 0.75 * bend[:, -1]).float().mean() > 0.9


def test_no_clip_cuts_into_the_object(hand, clips):
    """Measured with the exact distance and other surface points than the check used, at every frame."""
    sdf = SignedDistance(object_mesh(OBJECT))
    skin = hand.surface(400, seed=5)
    for i, pose in enumerate(frames(clips)):
        points = hand.place(hand.forward_kinematics(pose), skin) @ clips.rotation[i]
        deepest = -sdf(points).amin(dim=-1)
        assert deepest.max() <= deepest[-1].clamp_min(0) + 0.004 + 0.002


def test_clips_through_a_wall_are_refused(hand, reaches):
    """A hollow shell around the object, thick enough for the grid: every reach has to cross it."""
    grid = DistanceGrid(object_mesh(OBJECT), spacing=0.008, margin=0.03)
    accepted = acceptable(hand, reaches, grid)
    assert 0 < accepted.sum() < len(accepted)
    outer, inner = (trimesh.creation.icosphere(subdivisions=3, radius=r) for r in (0.33, 0.29))
    shell = trimesh.util.concatenate([outer, trimesh.Trimesh(inner.vertices, inner.faces[:, ::-1])])
    wall = DistanceGrid(shell, spacing=0.01, margin=0.02)
    far = (reaches.pose[:, 0].translation).norm(dim=-1) > 0.4
    assert far.sum() > 10
    assert not acceptable(hand, reaches[far], wall, forearm=-1.0).any()


def test_a_reach_over_the_object_is_refused(hand, reaches):
    """The forearm of a hand that lies beyond the object crosses it; alone it would be accepted."""
    grid = DistanceGrid(object_mesh(OBJECT), spacing=0.008, margin=0.03)
    accepted = reaches[acceptable(hand, reaches, grid)]
    forearm = -accepted.pose[:, -1].rotation[..., 2]
    low = forearm[:, 2].abs() < 0.5
    assert low.any()
    beyond = accepted[low]
    shift = -0.25 * forearm[low][:, None]
    moved = HandPose(beyond.pose.translation + shift, beyond.pose.rotation, beyond.pose.joints, beyond.pose.hand)
    crossing = Reaches(moved, beyond.length, beyond.grasp, beyond.rotation)
    assert not acceptable(hand, crossing, grid, depth=1.0).all()


def test_same_seed_same_clips_and_objects_are_independent(hand, grasps, clips, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path))
    again = make_clips(hand, grasps, 12, 0, ReachSettings())
    assert torch.equal(again.pose.to_vector(), clips.pose.to_vector())
    other = make_clips(hand, grasps, 12, 1, ReachSettings())
    assert not torch.equal(other.length, clips.length)


# ------------------------------------------------------------------------------------------------------------ grippers

CLAW = """<robot name="claw">
  <link name="palm"><collision><origin xyz="0 0 .02"/><geometry><box size=".08 .03 .04"/></geometry></collision></link>
  {}
</robot>"""
FINGER = """<link name="{0}"><collision><origin xyz="0 0 .03"/>
    <geometry><cylinder radius=".008" length=".06"/></geometry></collision></link>
  <joint name="{0}_joint" type="revolute"><parent link="palm"/><child link="{0}"/>
    <origin xyz="{1} 0 .05"/><axis xyz="0 {2} 0"/><limit lower="-.5" upper="1" effort="1" velocity="1"/></joint>"""
CLAW_YAML = """
name: claw
kind: tree
source: claw.urdf
fingertips: {left: {link: left, offset: [0, 0, 0.06]}, right: {link: right, offset: [0, 0, 0.06]}}
palmar: {default: [0, 0, 1], left: [1, 0, 0], right: [-1, 0, 0]}
contact_links: [left, right]
rest: {left_joint: -0.2, right_joint: -0.2}
"""


@pytest.fixture
def claw(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "cache"))
    fingers = FINGER.format("left", "-.03", "1") + FINGER.format("right", ".03", "-1")
    (tmp_path / "claw.urdf").write_text(CLAW.format(fingers))
    (tmp_path / "claw.yaml").write_text(CLAW_YAML)
    return tmp_path / "claw.yaml"


def from_above(joints, height):
    """A grasp of the claw from above, its palm `height` metres above the top of the object."""
    down = torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    top = float(object_mesh(OBJECT).bounds[1, 2])
    vector = HandPose(torch.tensor([0, 0, top + height]), down, torch.full((2,), joints), "claw").to_vector()[None]
    return ObjectGrasps(
        object=OBJECT,
        pose=HandPose.from_vector(vector, "claw"),
        six_directions=np.ones((1, 6), bool),
        penetration=np.zeros(1, np.float32),
        seed=np.zeros(1, np.int64),
        pieces=(np.zeros((4, 3), np.float32),),
        attempts=1,
        mesh=mesh_hash(object_mesh(OBJECT)),
    )


def test_a_gripper_opens_on_its_way_along_its_fingers(claw):
    """On a can wider than its straight fingers are apart, which no path from the side and no straight finger reaches;
    the samples carry the hand's name, whatever file it was named by.
    """
    hand = load_hand(str(claw))
    grasps = from_above(-0.1, 0.07)
    body = Anatomy.of(hand)
    torch.testing.assert_close(body.approach, torch.tensor([0.0, 0.0, 1.0]), atol=1e-3, rtol=0)
    assert body.extended.tolist() == [-0.5, -0.5]
    clips = make_clips(hand, grasps, 4, 0, ReachSettings())
    for pose in frames(clips):
        assert pose.joints.amin() < -0.2  # closed: -0.1
    file = claw.parent / "grasps.npz"
    save_grasps(file, [grasps], hand.joint_names, 1)
    data = DemoMotion(str(claw), objects=[OBJECT], test_objects=[], val_objects=[], grasps=file, clips=4)
    assert {name for sample in data.load() for name in (sample.pose.hand, sample.goal.hand)} == {"claw"}


def test_a_search_for_clips_that_cannot_be_ends_soon_and_says_why(claw):
    """Fingers that take three seconds to close: no clip is short enough."""
    with pytest.raises(DataError, match=r"can: expected 500 .* found 0 in 768 attempts \(too short or too long in 768"):
        make_clips(load_hand(str(claw)), from_above(-0.5, 0.0), 500, 0, ReachSettings(closing=(3.0, 3.0)))
