"""The hand that squeezes, the peers' Bullet script, and real grasps under the defaults of the specification."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
import trimesh
import yaml
from scipy.spatial.transform import Rotation

from dexzoo.files.unpickle import load_npy
from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands import HandPose, load_hand
from dexzoo.hands.mujoco_model import hand_spec, joint_values
from dexzoo.metrics.functional.simulation import contact_depth, sim_displacement, success
from dexzoo.simulation import bullet
from dexzoo.simulation.closing import closing_direction
from dexzoo.simulation.hold import HoldTest
from tests.metrics.small_hands import ball, box, fixed_hand, pose_at

HALF, G = 0.03, 9.8
GAP = 0.0002
"""metres, between a jaw of the clamp and the cube."""
SAMPLE = Path(__file__).parents[2] / "../shared/data/dexgraspnet_sample"
needs_sample = pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs DexGraspNet's sample in ../shared")


def cube() -> ObjectAsset:
    return ObjectAsset.from_mesh(trimesh.creation.box([2 * HALF] * 3), "cube")


@pytest.fixture
def clamp(tmp_path):
    """A vice: two pads on hinges with the axis z, that touch the cube but for a small gap and close with q > 0."""

    def jaw(side: int) -> dict:
        joint = {"name": f"j{side}", "axis": [0, 0, side], "range": [-0.5, 0.5]}
        pad = {"centre": [-side * (0.01 + GAP), 0.1, 0], "half": [0.01, 0.03, 0.03]}
        above = {"parent": "root", "translation": [side * (HALF + 0.02 + 2 * GAP), -0.1, 0]}
        return {"name": f"jaw{side}", **above, "joint": joint, "boxes": [pad]}

    content = {
        "name": "clamp", "kind": "tree", "links": [{"name": "root"}, jaw(1), jaw(-1)], "fingertips": {},
        "contact_links": ["jaw1", "jaw-1"],
    }  # fmt: skip
    (tmp_path / "clamp.yaml").write_text(yaml.safe_dump(content))
    hand = load_hand(tmp_path / "clamp.yaml")
    return PosedGrasps(hand, pose_at(hand, [[0.0, 0.0, 0.0]]), cube())


@pytest.fixture
def geared(clamp, tmp_path):
    """The same vice with one joint: the other jaw follows it."""
    content = yaml.safe_load((tmp_path / "clamp.yaml").read_text())
    content["name"], content["links"][2]["joint"]["mimic"] = "geared", {"joint": "j1", "multiplier": 0.9}
    (tmp_path / "geared.yaml").write_text(yaml.safe_dump(content))
    hand = load_hand(tmp_path / "geared.yaml")
    return PosedGrasps(hand, pose_at(hand, [[0.0, 0.0, 0.0]]), cube())


def test_a_joint_that_follows_starts_where_its_gear_puts_it_and_squeezes(geared):
    """MuJoCo's own residual of the gear is zero at the start."""
    hand = geared.hand
    model = hand_spec(hand, servos=True).compile()
    data = mujoco.MjData(model)
    data.qpos[:] = joint_values(hand, np.array([0.3]))
    mujoco.mj_forward(model, data)
    assert (data.ne, model.nq, hand.num_joints) == (1, 2, 1)
    assert data.efc_pos[0] == pytest.approx(0, abs=1e-12)
    assert success(geared, "squeeze").success().all()
    hold = HoldTest(hand, [cube().mesh.vertices])
    fall = hold.frozen_slip(np.zeros(1), np.eye(3), np.array([0.0, 0, 9]), np.array([0.0, 0, 1]))
    assert fall == pytest.approx(9.81 / 2, rel=0.005)


def test_closing_direction_turns_both_jaws_inwards(clamp):
    direction = closing_direction(clamp)[0]
    assert direction.max().item() == 1
    assert direction.min().item() > 0.5  # the point that counts may lie anywhere on the pad


def test_closing_direction_brings_the_fingers_closer(clamp):
    direction = closing_direction(clamp)
    gaps = []
    for step in (-0.001, 0.0, 0.001):
        pose = HandPose(clamp.pose.translation, clamp.pose.rotation, step * direction, "clamp")
        points = clamp.hand.place(clamp.hand.forward_kinematics(pose), clamp.hand.surface(512).to(torch.float64))
        gaps.append(clamp.object.distance(points).min().item())
    assert gaps[0] > gaps[1] > gaps[2]


def test_closing_direction_of_a_hand_that_is_far_is_zero(clamp):
    pose = HandPose(clamp.pose.translation + 1, clamp.pose.rotation, clamp.pose.joints, "clamp")
    assert not closing_direction(PosedGrasps(clamp.hand, pose, clamp.object)).any()


def test_squeeze_holds_and_no_squeeze_drops(clamp):
    held = success(clamp, "squeeze")
    assert held.success().all()
    assert held.displacement.max().item() < 0.02
    assert held.contact_left.all()
    loose = success(clamp, "squeeze", squeeze=clamp.pose.joints)
    assert not loose.success().any()
    assert loose.displacement[0, 4].item() > 1  # falls out along z


def test_postures_of_the_data_are_taken_where_there_are_any(clamp):
    """Neither squeezes: the first by its data, which the caller may overrule; NaN means that the data do not say."""
    joints = clamp.pose.joints
    still, silent = (
        replace(clamp, squeeze=joints),
        replace(clamp, pregrasp=joints * torch.nan, squeeze=joints * torch.nan),
    )
    assert not success(still, "squeeze", duration=0.6).success().any()
    assert success(silent, "squeeze", duration=0.6).success().all()
    moved = success(still, "squeeze", 0.6, squeeze=joints + 0.1).displacement
    torch.testing.assert_close(moved, success(clamp, "squeeze", 0.6, squeeze=joints + 0.1).displacement)
    with pytest.raises(ValueError, match=r"squeeze: expected joints of shape \(1, 2\), found \(1, 3\)"):
        replace(clamp, squeeze=torch.zeros(1, 3))


def test_squeeze_in_a_turned_frame(clamp):
    """The same clamp and cube, both turned by a quarter about x: the directions permute."""
    turn = torch.from_numpy(Rotation.from_euler("x", 90, degrees=True).as_matrix())
    pose = clamp.pose.moved_by(turn, torch.zeros(3, dtype=torch.float64))
    loose = success(clamp, "squeeze", squeeze=clamp.pose.joints)
    turned = success(PosedGrasps(clamp.hand, pose, clamp.object), "squeeze", squeeze=clamp.pose.joints)
    order = [0, 1, 4, 5, 3, 2]  # y becomes z, z becomes -y
    np.testing.assert_allclose(turned.displacement[0, order], loose.displacement[0], rtol=0.02, atol=2e-3)


def test_free_object_is_pulled_with_its_weight(clamp):
    pose = HandPose(clamp.pose.translation + 1, clamp.pose.rotation, clamp.pose.joints, "clamp")
    out = success(PosedGrasps(clamp.hand, pose, clamp.object), "squeeze", duration=0.4)
    expected = 10 * 0.004**2 * 100 * 101 / 2
    np.testing.assert_allclose(out.displacement, expected, rtol=1e-9)
    assert not out.contact_left.any()


def test_overlap_of_more_than_a_centimetre_is_no_success(clamp):
    shift = HandPose(clamp.pose.translation + torch.tensor([0.011 + GAP, 0, 0]), *_rest(clamp))
    deep = success(PosedGrasps(clamp.hand, shift, clamp.object), "squeeze")
    assert deep.initial_depth.item() == pytest.approx(0.011, abs=1e-4)
    assert not deep.success(distance=1e3, angle=10.0).any()


def _rest(grasps: PosedGrasps) -> tuple:
    return grasps.pose.rotation, grasps.pose.joints, grasps.pose.hand


def test_actuated_batch_equals_single_and_threads(clamp):
    at = torch.tensor([[0.0, 0, 0], [0.0, 0.01, 0.005], [float("nan"), 0, 0]], dtype=torch.float64)
    pose = HandPose(at, *(x.expand(3, *x.shape[1:]) for x in _rest(clamp)[:2]), "clamp")
    batch = PosedGrasps(clamp.hand, pose, clamp.object, torch.tensor([1.0, 1.02, 1.0]))
    one, three = (success(batch, "squeeze", duration=0.2, threads=n) for n in (1, 3))
    assert torch.equal(one.displacement[:2], three.displacement[:2])
    single = success(batch[1:2], "squeeze", duration=0.2)
    torch.testing.assert_close(single.displacement, one.displacement[1:2], rtol=1e-6, atol=1e-9)
    assert one.displacement[2].isnan().all()
    assert one.success().tolist() == [True, True, False]


def test_postures_that_do_not_fit(clamp):
    with pytest.raises(ValueError, match=r"squeeze: expected joints of shape \(1, 2\), found \(1, 3\)"):
        success(clamp, "squeeze", squeeze=torch.zeros(1, 3))


pybullet = pytest.importorskip("pybullet", reason="needs dexzoo[legacy]")


def _bullet_fall() -> float:
    """35 steps of semi-implicit Euler with Bullet's damping of 0.04, which the scripts in use leave on."""
    speed = fallen = 0.0
    for _ in range(35):
        speed += (G - 0.04 * speed * (1 + speed)) / 240
        fallen += speed / 240
    return fallen


BULLET_FALL = _bullet_fall()


def test_bullet_free_fall(tmp_path, capfd):
    hand = fixed_hand(tmp_path, ball([0, 5, 0], 0.01))
    out = sim_displacement(PosedGrasps(hand, pose_at(hand, [[0.0, 0, 0]]), cube()), mode="legacy_bullet")
    assert out.displacement.item() == pytest.approx(BULLET_FALL, abs=1e-6)
    assert out.peak_speed.item() == pytest.approx(G * 35 / 240, rel=1e-2)
    assert not (out.contact_at_end | out.ejected | out.failed).any()
    assert capfd.readouterr().out == ""


def test_bullet_simulates_each_hand_of_a_batch(tmp_path):
    """Bullet caches meshes by the name of their file: with that cache on, the first hand is simulated for all."""
    hand = fixed_hand(tmp_path, box([0, HALF + 0.02, 0], [0.1, 0.02, 0.1]))
    poses = pose_at(hand, [[0.0, 0, 0], [0.0, 3, 0], [0.0, float("nan"), 0]])
    out = sim_displacement(PosedGrasps(hand, poses, cube()), mode="legacy_bullet")
    assert out.displacement[0].item() < 0.005
    assert out.displacement[1].item() == pytest.approx(BULLET_FALL, abs=1e-6)
    assert out.displacement[2].isnan()
    assert out.contact_at_end.tolist() == [True, False, False]


def test_bullet_falls_about_the_mean_of_the_vertices(tmp_path):
    """The base is the vertex mean; refining one side of the mesh moves it, which a centre of mass would not."""
    mesh = trimesh.creation.box([2 * HALF] * 3)
    fine = mesh.subdivide(np.flatnonzero(mesh.face_normals[:, 0] > 0.5))
    assert np.abs(fine.vertices.mean(0)).max() > 0.005
    text = bullet.vhacd(fine).decode()
    corners = np.array([line.split()[1:] for line in text.splitlines() if line.startswith("v ")], float)
    middle = (corners.max(0) + corners.min(0)) / 2
    np.testing.assert_allclose(middle, -fine.vertices.mean(0), atol=1e-3)


def test_bullet_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pybullet", None)
    hand = fixed_hand(tmp_path, ball([0, 5, 0], 0.01))
    with pytest.raises(ImportError, match=r'needs PyBullet: pip install "dexzoo\[legacy\]"'):
        sim_displacement(PosedGrasps(hand, pose_at(hand, [[0.0, 0, 0]]), cube()), mode="legacy_bullet")


def sample(name: str, n: int) -> PosedGrasps:
    """Evenly spaced grasps of an object of DexGraspNet's sample."""
    hand, rows = load_hand("shadow"), load_npy(SAMPLE / "dataset" / f"{name}.npy")
    rows = [rows[i] for i in np.linspace(0, len(rows) - 1, n).astype(int)]
    values = [row["qpos"] for row in rows]
    euler = [[q[f"WRJR{c}"] for c in "xyz"] for q in values]
    pose = HandPose(
        torch.tensor([[q[f"WRJT{c}"] for c in "xyz"] for q in values]).double(),
        torch.from_numpy(Rotation.from_euler("xyz", euler).as_matrix()),
        torch.tensor([[q[f"robot0:{k}"] for k in hand.joint_names] for q in values]).double(),
        "shadow",
    )
    asset = ObjectAsset.from_file(SAMPLE / "meshdata" / name / "coacd" / "decomposed.obj", name)
    return PosedGrasps(hand, pose, asset, torch.tensor([row["scale"] for row in rows]))


@pytest.fixture(scope="module")
def real() -> list[PosedGrasps]:
    return [sample(path.stem, 20) for path in sorted((SAMPLE / "dataset").glob("*.npy"))]


@needs_sample
def test_real_grasps_hold_in_simulation(real):
    """A measurement by an oracle: mean 0.091 cm over its five objects, median 0.03 cm, 99 % below 1 cm."""
    out = torch.cat([sim_displacement(grasps).displacement for grasps in real]) * 100
    assert 0.02 < out.mean() < 0.15
    assert out.median() == pytest.approx(0.03, abs=0.02)
    assert (out < 1).double().mean() >= 0.95


@needs_sample
def test_time_step_has_converged_on_real_grasps(real):
    whole, half = (
        torch.cat([sim_displacement(grasps, timestep=dt).displacement for grasps in real]).mean()
        for dt in (0.002, 0.001)
    )
    assert whole.item() == pytest.approx(half.item(), rel=0.05)


@needs_sample
def test_contact_depth_of_real_grasps(real):
    """Mean 0.087 cm over the specification's five objects, per object 0.04 to 0.12."""
    depths = [contact_depth(grasps).mean().item() * 100 for grasps in real]
    assert all(0.03 < depth < 0.13 for depth in depths)
    out = sim_displacement(real[0])
    assert torch.equal(contact_depth(real[0]), out.initial_depth)


@needs_sample
@pytest.mark.slow
def test_bullet_on_real_grasps(real):
    """Peers' script: 0.52 to 1.10 cm by subset of the sample."""
    out = torch.cat([sim_displacement(grasps, mode="legacy_bullet").displacement for grasps in real]) * 100
    assert 0.4 < out.mean() < 1.4
    assert (out < 3).double().mean() > 0.8
