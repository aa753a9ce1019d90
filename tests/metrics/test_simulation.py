"""Simulated displacement. Oracles: free fall, friction and form closure in closed form, a model written out in XML."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace

import mujoco
import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from dexzoo.geometry.meshes import MeshError
from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.metrics.functional.simulation import contact_depth, sim_displacement, success
from dexzoo.simulation import arena
from tests.metrics.small_hands import ball, box, fixed_hand, pose_at

HALF = 0.03
"""metres, of the cube that most tests use; it lies at the origin."""
G = 9.8
DOWN, NONE = (0.0, -G, 0.0), (0.0, 0.0, 0.0)
TIME = 35 / 240
FALL = G * 0.002**2 * 73 * 74 / 2

Maker = Callable[..., PosedGrasps]


def cube(half: float = HALF, centre: tuple[float, float, float] = (0, 0, 0)) -> ObjectAsset:
    mesh = trimesh.creation.box([2 * half] * 3)
    mesh.apply_translation(centre)
    return ObjectAsset.from_mesh(mesh, "cube")


def plate(axis: int, at: float, half: float = 0.2, thick: float = 0.02) -> dict:
    """A plate whose face towards the origin is at that coordinate of the axis."""
    centre, size = np.zeros(3), np.full(3, half)
    centre[axis], size[axis] = at + math.copysign(thick, at), thick
    return box(centre.tolist(), size.tolist())


FLOOR = plate(1, -HALF)
CAGE = [plate(axis, sign * HALF) for axis in range(3) for sign in (-1, 1)]
PINCH = [plate(0, sign * HALF, half=0.01) for sign in (-1, 1)]


@pytest.fixture
def grasp(tmp_path) -> Maker:
    """Grasps of the cube by a rigid hand of those links, at translations (B, 3)."""

    def make(*links: dict, at=((0.0, 0.0, 0.0),), asset: ObjectAsset | None = None, scale=None) -> PosedGrasps:
        hand = fixed_hand(tmp_path, *links)
        return PosedGrasps(hand, pose_at(hand, torch.tensor(at)), asset or cube(), scale)

    return make


def same(first, second, rows=slice(None)) -> None:
    """Bit for bit."""
    for field in fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert torch.equal(a[rows].nan_to_num(-1), b.nan_to_num(-1)), field.name


def test_free_fall(grasp):
    out = sim_displacement(grasp(ball([0, 5, 0], 0.01)))
    assert out.displacement.item() == pytest.approx(FALL, abs=1e-9)
    assert out.peak_speed.item() == pytest.approx(G * 73 * 0.002, abs=1e-9)
    assert out.rotation.item() == pytest.approx(0, abs=1e-9)
    assert out.initial_depth.item() == 0
    assert not (out.contact_at_end | out.ejected | out.failed).any()


def test_free_fall_at_the_time_step_of_the_peers(grasp):
    out = sim_displacement(grasp(ball([0, 5, 0], 0.01)), timestep=1 / 240)
    assert out.displacement.item() == pytest.approx(0.1071875, abs=1e-9)


def test_direction_and_strength_of_gravity(grasp):
    far = grasp(ball([0, 5, 0], 0.01))
    out = sim_displacement(far, gravity=torch.tensor([1.0, 2.0, -2.0]))
    assert out.displacement.item() == pytest.approx(FALL * 3 / G, abs=1e-9)
    assert sim_displacement(far, gravity="six").displacement.item() == pytest.approx(FALL, abs=1e-9)


def test_cube_rests_on_a_plate(grasp):
    out = sim_displacement(grasp(FLOOR), gravity=DOWN)
    assert out.displacement.item() < 5e-4
    assert out.contact_at_end.all()
    assert not out.ejected.any()


@pytest.mark.parametrize(("slope", "slides"), [(0.4, False), (0.7, True), (1.0, True)])
def test_block_on_a_slope_slides_above_the_friction_angle(grasp, slope, slides):
    angle, mu, time = math.atan(slope), 0.5, 0.3
    gravity = (G * math.sin(angle), -G * math.cos(angle), 0.0)
    low = ObjectAsset.from_mesh(trimesh.creation.box([0.1, 2 * HALF, 0.1]), "block")
    out = sim_displacement(grasp(plate(1, -HALF, half=1.0), asset=low), gravity, duration=time, friction=mu)
    expected = (math.sin(angle) - mu * math.cos(angle)) * G * time**2 / 2 if slides else 0.0
    assert out.displacement.item() == pytest.approx(expected, rel=0.03, abs=5e-4)


def test_cage_holds_in_all_directions(grasp):
    caged = grasp(*CAGE)
    assert sim_displacement(caged, gravity="six").displacement.item() < 2e-4
    out = success(caged, duration=0.5)
    assert out.displacement.max().item() < 2e-4
    assert out.success().all()
    assert out.success(distance=2e-4).all()
    assert out.success_contact().all()


@pytest.mark.parametrize("missing", range(6))
def test_cage_without_a_side_fails_in_that_direction_only(grasp, missing):
    sides = [side for i, side in enumerate(CAGE) if i != missing]
    out = success(grasp(*sides), duration=0.4, friction=0.01)
    gone = 2 * (missing // 2) + (1 - missing % 2)  # sides are -, +; directions +, -
    assert (out.displacement[0] > 0.02).nonzero().flatten().tolist() == [gone]
    assert not out.success().any()
    assert out.success(distance=10.0).all()
    assert not out.success(distance=10.0, angle=-1.0).any()


def test_the_displacement_of_six_directions_is_their_mean(grasp):
    """One of them is open, so the least, the mean and the largest are far apart."""
    open_cage = grasp(*CAGE[1:])
    each = success(open_cage, duration=0.2, friction=0.01).displacement[0]
    assert each.max() > 100 * each.min()
    whole = sim_displacement(open_cage, "six", duration=0.2, friction=0.01).displacement
    assert whole.item() == pytest.approx(each.mean().item(), rel=1e-6)


def test_success_needs_contact_left_by_dexgraspnets_rule(grasp):
    out = success(grasp(FLOOR), duration=0.3)
    assert out.contact_left[0].tolist() == [False, False, False, True, False, False]
    assert not out.success_contact().any()


def test_mass_makes_no_difference(grasp):
    pushed = grasp(plate(1, -HALF + 0.001), PINCH[0])
    light, heavy = (sim_displacement(pushed, (6.0, -7.0, 1.0), friction=0.3, mass=m) for m in (0.1, 10.0))
    assert light.displacement.item() > 0.01
    assert light.displacement.item() == pytest.approx(heavy.displacement.item(), rel=1e-5)


def test_nothing_moves_without_gravity_and_overlap(grasp):
    out = sim_displacement(grasp(plate(1, -HALF - 1e-4), *PINCH), gravity=NONE, duration=0.5)
    assert out.displacement.item() == 0
    assert out.peak_speed.item() == 0
    assert not out.ejected.any()


def test_pinch_without_penetration_drops(grasp):
    out = sim_displacement(grasp(*PINCH), gravity=(0, 0, -G))
    assert out.displacement.item() == pytest.approx(FALL, rel=0.02)


def test_pinch_that_penetrates_holds(grasp):
    pinch = [plate(0, sign * (HALF - 0.001), half=0.01) for sign in (-1, 1)]
    assert sim_displacement(grasp(*pinch), gravity=(0, 0, -G)).displacement.item() < 0.005


def test_overlap_ejects(grasp):
    """5 mm of overlap throw the cube 6.1 cm at 0.42 m/s."""
    out = sim_displacement(grasp(plate(1, -HALF + 0.005)), gravity=NONE)
    assert out.initial_depth.item() == pytest.approx(0.005, abs=1e-6)
    assert out.displacement.item() == pytest.approx(0.061, rel=0.05)
    assert out.peak_speed.item() == pytest.approx(0.42, rel=0.1)
    assert out.ejected.all()
    assert not out.contact_at_end.any()


def test_ejection_is_measured_against_the_fall(grasp):
    thrown = sim_displacement(grasp(plate(1, HALF - 0.005)), gravity=DOWN)
    assert thrown.displacement.item() > 1.05 * FALL
    assert thrown.ejected.all()
    assert not sim_displacement(grasp(ball([0, 5, 0], 0.01)), gravity=DOWN).ejected.any()


def mixed(grasp: Maker) -> PosedGrasps:
    """Grasps that hold, drop, push and slide, at three scales, one without a finite pose."""
    places = [[0, 0, 0], [0.01, 0.002, 0.01], [0.5, 0, 0], [0, float("nan"), 0], [0, 0.001, 0.02], [0.02, 0.003, -0.01]]
    scales = torch.tensor([1.0, 1.05, 1.0, 1.0, 1.1, 1.05])
    return grasp(FLOOR, PINCH[0], ball([0.0, 0.04, 0.0], 0.012), at=places, scale=scales)


@pytest.mark.parametrize("gravity", [(2.0, -9.0, 1.0), "six"])
def test_any_number_of_threads_gives_the_same_bits(grasp, gravity):
    one, two, five = (sim_displacement(mixed(grasp), gravity, threads=n) for n in (1, 2, 5))
    same(one, two)
    same(one, five)


def test_small_blocks_give_the_same_bits(grasp, monkeypatch):
    whole = sim_displacement(mixed(grasp), "six")
    monkeypatch.setattr(arena, "_NUMBERS", 1)
    same(whole, sim_displacement(mixed(grasp), "six", threads=2))


def test_batch_equals_single(grasp):
    batch = mixed(grasp)
    together = sim_displacement(batch, (2.0, -9.0, 1.0))
    assert together.displacement[[0, 1, 2, 4, 5]].unique().numel() == 5
    for i in range(len(batch)):
        same(together, sim_displacement(batch[i : i + 1], (2.0, -9.0, 1.0)), slice(i, i + 1))


def test_pose_that_is_not_finite(grasp):
    batch = mixed(grasp)
    out, six = sim_displacement(batch), success(batch, duration=0.1)
    rest = [0, 1, 2, 4, 5]
    for values in (out.displacement, out.rotation, out.peak_speed, out.initial_depth, contact_depth(batch)):
        assert values[3].isnan()
        assert values[rest].isfinite().all()
    assert six.displacement[3].isnan().all()
    assert not (out.failed[3] | out.contact_at_end[3] | six.success()[3])


def test_empty_batch(grasp):
    none = grasp(FLOOR)[:0]
    assert sim_displacement(none).displacement.shape == (0,)
    assert sim_displacement(none, "six").failed.shape == (0,)
    assert contact_depth(none).shape == (0,)
    for protocol in ("fixed", "squeeze"):
        assert success(none, protocol).success().shape == (0,)


def test_simulation_that_diverges_counts_as_a_fall(grasp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes MUJOCO_LOG.TXT
    out = sim_displacement(grasp(FLOOR), gravity=(0, 1e13, 0))
    assert out.failed.all()
    assert out.displacement.item() == pytest.approx(FALL * 1e13 / G, rel=1e-9)
    assert out.rotation.isnan().all()
    assert not (out.ejected | out.contact_at_end).any()


def test_divergence_in_one_direction_is_no_success(grasp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = success(grasp(*CAGE), duration=0.1)
    bad = replace(out, failed=torch.ones_like(out.failed))
    assert out.success().all()
    assert not (bad.success() | bad.success_contact()).any()


def test_motion_of_everything_with_gravity(grasp):
    turn = Rotation.from_rotvec([0.3, -0.8, 0.5])
    shift, gravity = np.array([0.4, -0.2, 0.1]), np.array([6.0, -7.0, 1.0])
    feet = [(-0.02, -HALF - 0.0095, -0.02), (-0.02, -HALF - 0.0095, 0.02), (0.02, -HALF - 0.0095, 0.0)]
    here = grasp(*(ball(foot, 0.01) for foot in feet))  # a ball touches a face in one point, whatever the frame
    mesh = trimesh.creation.box([2 * HALF] * 3)
    there = ObjectAsset.from_mesh(trimesh.Trimesh(turn.apply(mesh.vertices) + shift, mesh.faces, process=False))
    rotation = torch.from_numpy(turn.as_matrix())
    moved = PosedGrasps(here.hand, here.pose.moved_by(rotation, torch.from_numpy(shift)), there)
    a = sim_displacement(here, gravity, friction=0.3, duration=0.1)
    b = sim_displacement(moved, turn.apply(gravity), friction=0.3, duration=0.1)
    assert a.displacement.item() > 0.01
    # contacts are found iteratively, on float32 corners: 0.5 % apart
    assert a.displacement.item() == pytest.approx(b.displacement.item(), rel=0.015)


def test_unit_of_the_mesh(grasp):
    metres = sim_displacement(grasp(FLOOR), gravity=(3.0, -9.0, 0.0), friction=0.1)
    mesh = trimesh.creation.box([2000 * HALF] * 3)
    millimetres = grasp(FLOOR, asset=ObjectAsset.from_mesh(mesh), scale=torch.tensor([1e-3]))
    out = sim_displacement(millimetres, gravity=(3.0, -9.0, 0.0), friction=0.1)
    assert out.displacement.item() == pytest.approx(metres.displacement.item(), rel=1e-3)  # float32 corners


def halves(order: int = 1) -> ObjectAsset:
    """The cube in two pieces of unequal size."""
    x = np.array([[x, y, z] for x in (-HALF, 0.01) for y in (-HALF, HALF) for z in (-HALF, HALF)])
    y = x.copy()
    y[:, 0] = np.where(x[:, 0] < 0, 0.01, HALF)
    return ObjectAsset.from_mesh(trimesh.creation.box([2 * HALF] * 3), "halves", pieces=[x, y][::order])


def test_order_of_pieces(grasp):
    pose = {"at": [[0.0, 0.0005, 0.01]]}
    a, b = (sim_displacement(grasp(FLOOR, asset=halves(k), **pose), (2.0, -9.0, 1.0), friction=0.1) for k in (1, -1))
    assert a.displacement.item() > 0.01
    assert a.displacement.item() == pytest.approx(b.displacement.item(), rel=1e-3)


def test_pieces_weigh_by_volume_and_do_not_touch_each_other(grasp):
    split = sim_displacement(grasp(ball([0, 5, 0], 0.01), asset=halves()))
    assert split.displacement.item() == pytest.approx(FALL, abs=1e-9)
    model = arena.arenas(grasp(FLOOR, asset=halves()), arena.Physics())[0].model
    np.testing.assert_allclose(model.body_ipos[-1], 0, atol=1e-8)
    np.testing.assert_allclose(model.body_inertia[-1], (2 * HALF) ** 2 / 6, rtol=1e-5)


def test_flat_pieces_are_left_out_and_told(grasp, caplog):
    corners = np.array(trimesh.creation.box([2 * HALF] * 3).vertices)
    flat = corners * [1, 0, 1]
    mesh = trimesh.creation.box([2 * HALF] * 3)
    asset = ObjectAsset.from_mesh(mesh, "thing", pieces=[corners, flat])
    out = sim_displacement(grasp(FLOOR, asset=asset), gravity=DOWN)
    assert out.displacement.item() < 5e-4
    assert "thing: 1 of 2 pieces are flat" in caplog.text
    with pytest.raises(MeshError, match="expected convex pieces with a volume, found 1 flat ones"):
        sim_displacement(grasp(FLOOR, asset=ObjectAsset.from_mesh(mesh, "thing", pieces=[flat])))


XML = """<mujoco><option timestep="0.002" gravity="0 -9.8 0" integrator="implicitfast" cone="elliptic" impratio="10"/>
<default><geom friction="3 .005 .0001" solref=".005 1" condim="3"/></default>
<asset><mesh name="m" inertia="convex" vertex="{}"/></asset><worldbody>
<geom type="box" size=".2 .02 .2" pos=".205 0 0"/>
<body name="object" pos="0 .05 0"><freejoint/><geom type="mesh" mesh="m" mass="1"/></body></worldbody></mujoco>"""


def test_toppling_object_equals_a_model_written_out(grasp):
    """The cube stands off the origin and tips over an edge; the model's body is at its centre of mass."""
    asset = cube(centre=(0.0, 0.05, 0.0))
    half = [0.2, 0.02, 0.2]
    out = sim_displacement(grasp(box([0.205, 0.0, 0.0], half), asset=asset), gravity=DOWN, duration=0.3)
    text = " ".join(str(x) for x in (asset.pieces[0] - [0.0, 0.05, 0.0]).ravel())
    model = mujoco.MjModel.from_xml_string(XML.format(text))
    data, speeds, velocity = mujoco.MjData(model), [], np.zeros(6)
    mujoco.mj_forward(model, data)
    start = data.xipos[1].copy()
    for _ in range(150):
        mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_BODY, 1, velocity, 0)
        speeds.append(np.linalg.norm(velocity[3:]))
    turn = Rotation.from_matrix(data.xmat[1].reshape(3, 3)).magnitude()
    assert turn > 0.2
    assert out.displacement.item() == pytest.approx(np.linalg.norm(data.xipos[1] - start), rel=1e-3)
    assert out.rotation.item() == pytest.approx(turn, rel=1e-3)
    assert out.peak_speed.item() == pytest.approx(max(speeds), rel=1e-2)


@pytest.mark.parametrize("depth", [0.0005, 0.003, 0.01])
def test_contact_depth(grasp, depth):
    assert contact_depth(grasp(plate(1, -HALF + depth))).item() == pytest.approx(depth, abs=1e-6)
    touched = grasp(ball([0, HALF + 0.02 - depth, 0], 0.02), plate(0, -HALF - 0.001))
    assert contact_depth(touched).item() == pytest.approx(depth, abs=1e-5)


def test_contact_depth_without_contact_and_at_a_scale(grasp):
    places = [[0, 0, 0], [0, -0.001, 0], [0, -0.03, 0]]
    out = contact_depth(grasp(FLOOR, at=places, scale=torch.tensor([1.1, 1.0, 2.0])))
    assert out.tolist() == pytest.approx([0.003, 0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gravity": "down"}, "gravity: expected three numbers or 'six', found 'down'"),
        ({"gravity": (1.0, 2.0)}, r"gravity: expected three finite numbers or 'six', found \[1.0, 2.0\]"),
        ({"gravity": (1.0, float("nan"), 0.0)}, "gravity: expected three finite numbers"),
        ({"duration": 0.0}, "duration: expected a positive number, found 0.0"),
        ({"timestep": float("inf")}, "timestep: expected a positive number, found inf"),
        ({"friction": -1.0}, "friction: expected a positive number, found -1.0"),
        ({"mass": 0.0}, "mass: expected a positive number, found 0.0"),
        ({"mode": "bullet"}, "mode: expected 'exact' or 'legacy_bullet', found 'bullet'"),
    ],
)
def test_settings_that_are_refused(grasp, settings, message):
    with pytest.raises(ValueError, match=message):
        sim_displacement(grasp(FLOOR), **settings)


def test_protocol_that_is_refused(grasp):
    with pytest.raises(
        ValueError, match=r"protocol: expected dexgraspbench, .* or a YAML of one, found 'fixd'.*'fixed'"
    ):
        success(grasp(FLOOR), "fixd")
    with pytest.raises(ValueError, match="duration: expected a positive number, found 0"):
        success(grasp(FLOOR), duration=0)
