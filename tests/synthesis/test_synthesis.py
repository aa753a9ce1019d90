"""Finding grasps: anatomy of the hand, the energy and its optimiser, the squeeze, the resumable run."""

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.geometry.sdf import DistanceGrid
from dexzoo.hands.anatomy import Anatomy
from dexzoo.hands.load import load_hand
from dexzoo.hands.pose import HandPose
from dexzoo.losses.energies import place_capsules, segment_distance, self_penetration_depth, separate_capsules
from dexzoo.synthesis import generate as generate_module
from dexzoo.synthesis.generate import generate
from dexzoo.synthesis.grasps import ObjectGrasps, load_grasps
from dexzoo.synthesis.objects import object_mesh
from dexzoo.synthesis.optimise import GraspEnergy, Schedule, Weights, initial_poses, optimise_grasps, surface_normals
from dexzoo.synthesis.search import squeeze_targets
from tests.verbs import status_of


@pytest.fixture(scope="module")
def hand():
    return load_hand("shadow")


@pytest.fixture(scope="module")
def can_grid():
    return DistanceGrid(object_mesh("can"), margin=0.05)


# ------------------------------------------------------------------------------------------------------------ anatomy


@pytest.mark.parametrize("name", ["shadow", "shadow_e3m5"])
def test_anatomy_of_the_shadow_hand_is_found_without_names(name):
    """Palm frame of both models: +z along the fingers, -y out of the palm; names are the oracle here."""
    hand = load_hand(name)
    body = Anatomy.of(hand)
    torch.testing.assert_close(body.forward, torch.tensor([0.0, 0.0, 1.0]), atol=0.15, rtol=0)
    torch.testing.assert_close(body.palm_normal, torch.tensor([0.0, -1.0, 0.0]), atol=0.15, rtol=0)
    fingers = [joint[:2] for joint in hand.joint_names]
    assert [hand.fingertip_names[d] for d in body.digit] == fingers
    assert hand.fingertip_names[body.thumb] == "TH"
    candidates = [hand.link_names[i] for i in hand.contact_candidates.link]
    assert body.on_thumb.tolist() == [link.startswith("th") for link in candidates]
    side = {joint for joint, s in zip(hand.joint_names, body.spread, strict=True) if s != 0}
    swing = "4" if name == "shadow_e3m5" else "3"
    assert side == {finger + "J" + swing for finger in ("FF", "MF", "RF", "LF")}


def test_spread_moves_the_fingers_apart(hand):
    body = Anatomy.of(hand)

    def width(joints):
        tips = hand.keypoints(hand.forward_kinematics(HandPose(torch.zeros(3), torch.eye(3), joints, "shadow")))[-5:]
        return float((tips[0] - tips[3]).norm())

    assert width(0.2 * body.spread) > width(torch.zeros(22)) + 0.02


# --------------------------------------------------------------------------------------------------- self-penetration


def test_self_penetration_is_zero_at_rest_and_seen_when_fingers_cross(hand):
    assert self_penetration_depth(hand, hand.forward_kinematics(hand.rest_pose())).item() == 0
    crossed = hand.rest.clone()
    crossed[hand.joint_names.index("FFJ3")] = -0.349
    crossed[hand.joint_names.index("MFJ3")] = 0.349
    links = hand.forward_kinematics(HandPose(torch.zeros(3), torch.eye(3), crossed, "shadow"))
    start, end = place_capsules(hand, links)
    share = torch.linspace(0, 1, 60)[:, None, None]
    axis = start + share * (end - start)  # (60, C, 3)
    first, second = separate_capsules(hand)
    gap = (axis[:, None, first] - axis[None, :, second]).norm(dim=-1).amin((0, 1))
    radius = hand.capsules.radius
    brute = (radius[first] + radius[second] - gap).max()
    assert brute > 0.003
    assert self_penetration_depth(hand, links).item() == pytest.approx(brute.item(), abs=5e-4)


def test_capsules_follow_their_links(hand):
    """Ends of the axes keep their distance to points of the same link in any posture."""
    pose = HandPose(torch.tensor([0.1, 0.2, 0.3]), torch.eye(3), (hand.lower + hand.upper) / 2, "shadow")
    start, end = place_capsules(hand, hand.forward_kinematics(pose))
    length = (hand.capsules.end - hand.capsules.start).norm(dim=-1)
    torch.testing.assert_close((end - start).norm(dim=-1), length)
    assert segment_distance(start[0], end[0], start[0], end[0]).item() < 1e-6


# ---------------------------------------------------------------------------------------------------------- optimiser


def test_surface_normals_of_a_sphere_are_radial():
    grid = DistanceGrid(trimesh.creation.icosphere(subdivisions=4, radius=0.05), margin=0.05)
    away = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    cosine = (surface_normals(grid, 0.052 * away) * away).sum(-1)
    assert cosine.min() > 0.995


def test_first_hands_face_the_object_from_above_the_table(hand):
    mesh = object_mesh("can")
    poses = initial_poses(hand, mesh, 64, torch.Generator().manual_seed(0))
    body = Anatomy.of(hand)
    hand.check_limits(poses.joints)
    to_centre = torch.nn.functional.normalize(torch.tensor([0.0, 0.0, 0.0575]) - poses.translation, dim=-1)
    facing = (poses.rotation @ body.palm_normal * to_centre).sum(-1)
    assert (facing > 0).float().mean() > 0.8
    assert ((poses.rotation @ body.forward)[:, 2] < 0.8).all()


def test_energy_gradient_against_finite_differences(can_grid):
    """Along a random direction in translation and joints, in float64."""
    hand, grid = load_hand("shadow").double(), DistanceGrid.from_state(can_grid.state()).double()
    energy = GraspEnergy(hand, object_mesh("can"), grid, Weights(), Schedule())
    energy.object_points = energy.object_points.double()
    generator = torch.Generator().manual_seed(3)
    start = initial_poses(load_hand("shadow"), object_mesh("can"), 4, generator).to(torch.float64)
    inside = 0.9 * start.joints + 0.05 * (hand.lower + hand.upper)  # off the kink of the hinge
    contacts = torch.tensor([[130, 5, 40, 80]] * 4)
    direction = torch.randn(4, 25, generator=generator, dtype=torch.float64)

    def at(step):
        moved = (
            start.translation + 0.02 * step * direction[:, :3],
            start.rotation,
            inside + step * direction[:, 3:],
        )
        return energy(HandPose(*moved, "shadow"), contacts)

    step = torch.zeros(4, 1, requires_grad=True, dtype=torch.float64)
    (slope,) = torch.autograd.grad(at(step).sum(), step)
    numeric = (at(1e-6) - at(-1e-6)) / 2e-6
    assert slope.abs().max() > 1
    torch.testing.assert_close(slope.squeeze(-1), numeric, rtol=1e-4, atol=1e-4)


def test_optimiser_lowers_the_energy_and_repeats_itself(hand, can_grid):
    mesh = object_mesh("can")
    calls = []
    runs = [
        optimise_grasps(
            hand, mesh, can_grid, 8, steps, torch.Generator().manual_seed(0), on_step=lambda: calls.append(1)
        )
        for steps in (1, 40, 40)
    ]
    assert len(calls) == 81
    (_, before), (poses, after), (again, _) = runs
    assert after.mean() < 0.6 * before.mean()
    hand.check_limits(poses.joints)
    assert torch.equal(poses.to_vector(), again.to_vector())
    eye = poses.rotation @ poses.rotation.mT
    torch.testing.assert_close(eye, torch.eye(3).expand(8, 3, 3), atol=1e-5, rtol=0)


def test_squeeze_closes_on_a_near_object_and_rests_without_one(hand, can_grid):
    grasps = load_grasps(hand=hand)["can"].pose[:8]
    targets = squeeze_targets(hand, grasps, can_grid)
    step = 0.05 * (targets - grasps.joints)
    assert step.abs().max() > 1e-3
    points = [
        hand.place(
            hand.forward_kinematics(HandPose(grasps.translation, grasps.rotation, joints, "shadow")),
            hand.contact_candidates,
        )
        for joints in (grasps.joints, grasps.joints + step)
    ]
    before, after = (can_grid(p) for p in points)
    near = before < 0.01
    assert (after - before)[near].mean() < 0
    far = HandPose(grasps.translation + 1.0, grasps.rotation, grasps.joints, "shadow")
    assert torch.equal(squeeze_targets(hand, far, can_grid), far.joints)


# ------------------------------------------------------------------------------------------------------------ the run


def fake_grasps(calls):
    def find(hand, name, mesh, pieces, count, steps, seed, **_):
        calls.append((name, seed))
        pose = hand.rest_pose(count)
        return ObjectGrasps(
            name,
            pose,
            np.zeros((count, 6), bool),
            np.zeros(count, np.float32),
            np.full(count, seed),
            tuple(pieces),
            64,
            "",
        )

    return find


def test_a_stopped_run_goes_on_with_the_first_unfinished_object(tmp_path, monkeypatch):
    calls = []
    find = fake_grasps(calls)

    def stop_at_mug(hand, name, *args, **kwargs):
        if name == "mug" and len(calls) < 3:
            raise KeyboardInterrupt
        return find(hand, name, *args, **kwargs)

    monkeypatch.setattr(generate_module, "find_grasps", stop_at_mug)
    settings = {"seeds": (0, 1), "per_object": 5, "steps": 7, "objects": ("can", "mug")}
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, **settings)
    assert calls == [("can", 0), ("can", 1)]
    assert not (tmp_path / "grasps.npz").exists()
    monkeypatch.setattr(generate_module, "find_grasps", find)
    path = generate(tmp_path, **settings)
    assert calls == [("can", 0), ("can", 1), ("mug", 0), ("mug", 1)]
    grasps = load_grasps(path)
    assert [len(grasps[name].seed) for name in ("can", "mug")] == [6, 6]
    assert grasps["mug"].seed.tolist() == [0, 0, 0, 1, 1, 1]
    assert not list(tmp_path.rglob(".*"))


def test_the_command_line_reaches_every_setting(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate_module, "find_grasps", fake_grasps([]))
    words = ["--seeds", "4", "--per-object", "2", "--steps", "9", "--objects", "jar"]
    assert status_of("synthesise", "--out", str(tmp_path), *words) == 0
    grasps = load_grasps(tmp_path / "grasps.npz")
    assert list(grasps) == ["jar"]
    assert grasps["jar"].seed.tolist() == [4, 4]
    assert "data.grasps=" in capsys.readouterr().out


@pytest.mark.slow
def test_a_real_run_finds_grasps_that_hold(tmp_path):
    path = generate(tmp_path, seeds=(5,), per_object=3, steps=80, objects=("can",))
    assert len(load_grasps(path)["can"].seed) == 3
