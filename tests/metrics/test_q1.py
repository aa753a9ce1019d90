"""Q1 against closed forms, the whole hull, and what must not change it."""

from __future__ import annotations

import doctest
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.optimize import linprog
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from dexzoo.files.unpickle import load_npy
from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands import Hand, HandPose, load_hand
from dexzoo.metrics.functional.q1 import cone_wrenches, contact_q1, q1, valid_q1
from dexzoo.metrics.functional.wrench_hull import inner_radius, whole_hull_radius
from tests.metrics.small_hands import ball, fixed_hand, pose_at
from tests.metrics.test_contact import shadow_grasps

AXES = np.vstack([np.eye(3), -np.eye(3)])
NAN = float("nan")
SAMPLE = Path(__file__).parents[2].parent / "shared" / "data" / "dexgraspnet_sample"


def hull_radius(wrenches: np.ndarray) -> float:
    """Distance from 0 to the nearest facet of the hull of the wrenches and 0, by qhull."""
    equations = ConvexHull(np.vstack([wrenches, np.zeros(6)])).equations
    return np.abs(equations[:, -1] / np.linalg.norm(equations[:, :-1], axis=1)).min()


def random_contacts(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals of 3 to 12 contacts on a ball, on a box (many of its wrenches in one plane), or anywhere."""
    rng = np.random.default_rng(seed)
    count = rng.integers(3, 13)
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    if kind == "ball":
        return 0.05 * direction, direction
    if kind == "anywhere":
        return 0.05 * rng.normal(size=(count, 3)), direction
    axis, sign = rng.integers(0, 3, count), rng.choice([-1.0, 1.0], count)
    normals = np.eye(3)[axis] * sign[:, None]
    points = np.where(normals != 0, normals, np.round(2 * rng.uniform(-1, 1, (count, 3))) / 2)
    return 0.05 * points, normals


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Hand:
    """Six balls on the axes, 1 mm from a ball of 10 cm about the origin."""
    return fixed_hand(tmp_path_factory.mktemp("six"), *(ball((0.111 * axis).tolist(), 0.01) for axis in AXES))


@pytest.fixture(scope="module")
def globe() -> ObjectAsset:
    return ObjectAsset.from_mesh(trimesh.creation.icosphere(subdivisions=4, radius=0.1), "globe")


@pytest.mark.parametrize("m", [8, 64])
def test_six_contacts_on_the_axes_of_a_ball(m: int) -> None:
    """Closed form: radius 0.1, mu 1, torque scale 10 give sqrt(2/3)."""
    assert contact_q1(0.1 * AXES, AXES, m) == pytest.approx(np.sqrt(2 / 3), abs=1e-9)
    turn = Rotation.random(rng=np.random.default_rng(0)).as_matrix()
    assert contact_q1(0.1 * AXES @ turn.T, AXES @ turn.T, 64) == pytest.approx(0.8164, abs=2e-3)


@pytest.mark.parametrize("m", [8, 64])
def test_six_balls_around_a_ball(six: Hand, globe: ObjectAsset, m: int) -> None:
    """The same through hand, mesh and search, the mesh being a polyhedron."""
    found = q1(PosedGrasps(six, pose_at(six, [[0, 0, 0], [0.03, 0, 0]]), globe), m)
    assert found[0] == pytest.approx(np.sqrt(2 / 3), abs=1e-3)
    assert found[1] < found[0]  # a ball is lost on one side


def test_two_contacts_have_no_closure() -> None:
    """No torque about the line through two point contacts, however they face; nor has one, or none."""
    ends = np.array([[0.05, 0, 0], [-0.05, 0, 0]])
    for points in (ends, ends[:1], ends[:0]):
        assert contact_q1(points, 20 * points) == 0
    turn = Rotation.from_rotvec([0.3, 0.5, -0.2]).as_matrix()
    assert contact_q1(ends @ turn.T, 20 * ends @ turn.T) == 0


def test_contacts_on_one_side_have_no_closure() -> None:
    """All forces push up with less friction than it takes to pull down: 0, though the wrenches span everything."""
    rng = np.random.default_rng(0)
    points = 0.05 * rng.normal(size=(8, 3))
    normals = rng.normal(size=(8, 3)) * 0.3 + [0, 0, 1]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    wrenches = cone_wrenches(points, normals, mu=0.2)
    assert (wrenches[:, 2] > 0).all()
    assert np.linalg.matrix_rank(wrenches) == 6
    assert contact_q1(points, normals, mu=0.2) == 0 == hull_radius(wrenches)


@pytest.mark.parametrize("kind", ["ball", "box", "anywhere"])
def test_equals_the_whole_hull(kind: str) -> None:
    closed = 0
    for seed in range(25):
        wrenches = cone_wrenches(*random_contacts(kind, seed))
        expected = hull_radius(wrenches)
        assert inner_radius(wrenches) == pytest.approx(expected, abs=1e-9)
        assert whole_hull_radius(wrenches) == pytest.approx(expected, abs=1e-12)
        closed += expected > 1e-6
    assert closed >= 10


def test_no_wrench_at_all_makes_no_difference() -> None:
    """The hull with 0 among its points, and without."""
    for seed in range(10):
        wrenches = cone_wrenches(*random_contacts("ball", seed))
        with_zero = inner_radius(np.vstack([wrenches, np.zeros(6)]))
        assert with_zero == pytest.approx(inner_radius(wrenches), abs=1e-9)
        if with_zero > 0:
            assert np.abs(ConvexHull(wrenches).equations[:, -1]).min() == pytest.approx(with_zero, abs=1e-9)


def test_zero_exactly_where_a_linear_programme_finds_no_closure() -> None:
    """0 is inside exactly if a sum of all wrenches, each with weight 1 or more, is 0 (HiGHS)."""
    agreed = []
    for seed in range(40):
        wrenches = cone_wrenches(*random_contacts("anywhere", seed), mu=0.3)
        programme = linprog(np.ones(len(wrenches)), A_eq=wrenches.T, b_eq=np.zeros(6), bounds=(1, None))
        assert (inner_radius(wrenches) > 0) == (programme.status == 0)
        agreed.append(programme.status == 0)
    assert 5 < sum(agreed) < 35


def test_more_friction_is_never_worse() -> None:
    for seed in range(5):
        contacts = random_contacts("ball", seed + 50)
        values = [contact_q1(*contacts, mu=mu) for mu in (0, 0.2, 0.5, 1, 1.5)]
        assert all(b >= a - 1e-9 for a, b in pairwise(values))
        assert values[-1] > values[0]


def test_one_more_contact_is_never_worse() -> None:
    for seed in range(5):
        points, normals = random_contacts("ball", seed + 50)
        values = [contact_q1(points[:n], normals[:n]) for n in range(len(points) + 1)]
        assert all(b >= a - 1e-9 for a, b in pairwise(values))


def test_order_copies_and_side_of_the_normals_make_no_difference() -> None:
    points, normals = random_contacts("ball", 7)
    expected = contact_q1(points, normals)
    assert expected > 0.01
    for change in (lambda x: x[::-1], lambda x: np.repeat(x, 2, 0)):
        assert contact_q1(change(points), change(normals)) == pytest.approx(expected, abs=1e-9)
    assert contact_q1(points, -normals) == pytest.approx(expected, abs=1e-9)


def test_value_is_capped() -> None:
    """A large lever and much friction: the hull reaches beyond 1."""
    assert inner_radius(cone_wrenches(0.2 * AXES, AXES, mu=3)) > 1
    assert contact_q1(0.2 * AXES, AXES, mu=3) == 1


def test_cone_is_a_pyramid_of_unit_normal_force() -> None:
    points, normals = random_contacts("ball", 3)
    normals[0] = [0, 0, 1]
    wrenches = cone_wrenches(points, normals, m=5, mu=0.7, torque_scale=4).reshape(-1, 5, 6)
    force, torque = wrenches[..., :3], wrenches[..., 3:]
    np.testing.assert_allclose(np.einsum("kmi,ki->km", force, normals), 1)
    np.testing.assert_allclose(np.linalg.norm(force - normals[:, None], axis=-1), 0.7)
    np.testing.assert_allclose(force.mean(1), normals, atol=1e-12)
    np.testing.assert_allclose(torque, 4 * np.cross(points[:, None], force))
    np.testing.assert_allclose(force[0, 0], [0.7, 0, 1])  # the first edge: x where the normal is along z,
    np.testing.assert_allclose(force[1:, 0, 2], normals[1:, 2])  # level elsewhere


@pytest.mark.parametrize("torque_about", ["legacy_origin", "centre_of_mass"])
def test_grasps_equal_their_whole_hull(torque_about) -> None:
    grasps = shadow_grasps()
    found = q1(grasps, torque_about=torque_about)
    np.testing.assert_allclose(found, q1(grasps, torque_about=torque_about, whole_hull=True), atol=1e-9)
    assert (found > 0.01).any()


def test_origin_matters_to_the_legacy_alone() -> None:
    """Hand and object moved together: torques about the centre of mass stay, those about the origin grow."""
    grasps = shadow_grasps()
    shift = torch.tensor([0.2, 0.1, -0.3]).double()
    mesh = grasps.object.mesh.copy().apply_translation(shift.numpy())
    moved = PosedGrasps(grasps.hand, grasps.pose.moved_by(torch.eye(3).double(), shift), ObjectAsset.from_mesh(mesh))
    np.testing.assert_allclose(q1(moved), q1(grasps), atol=1e-3)
    legacy = {"torque_about": "legacy_origin"}
    assert not np.allclose(q1(moved, **legacy), q1(grasps, **legacy), atol=1e-2)


def test_turning_everything_changes_the_legacys_cones_alone() -> None:
    """About the origin the cones' sides are level with an axis of the frame; with 64 they are round to 0.1 %."""
    grasps = shadow_grasps()
    turn = torch.from_numpy(Rotation.from_euler("xyz", [0.4, 1.1, -0.3]).as_matrix())
    mesh = grasps.object.mesh.copy()
    mesh.vertices = mesh.vertices @ turn.numpy().T
    turned = PosedGrasps(grasps.hand, grasps.pose.moved_by(turn, torch.zeros(3)), ObjectAsset.from_mesh(mesh))
    np.testing.assert_allclose(q1(turned), q1(grasps), atol=5e-3)
    np.testing.assert_allclose(q1(turned, m=3), q1(grasps, m=3), atol=5e-3)
    legacy = {"torque_about": "legacy_origin"}
    np.testing.assert_allclose(q1(turned, m=64, **legacy), q1(grasps, m=64, **legacy), atol=5e-3)


def test_a_mesh_in_millimetres_gives_the_same() -> None:
    grasps = shadow_grasps()
    mesh = grasps.object.mesh.copy().apply_scale(1000)
    scaled = PosedGrasps(grasps.hand, grasps.pose, ObjectAsset.from_mesh(mesh), torch.tensor(1e-3).double())
    for about in ("legacy_origin", "centre_of_mass"):
        np.testing.assert_allclose(q1(scaled, torque_about=about), q1(grasps, torque_about=about), atol=1e-4)


def test_batch_equals_single_and_a_bad_pose_spoils_no_other(six: Hand, globe: ObjectAsset) -> None:
    grasps = PosedGrasps(six, pose_at(six, [[0, 0, 0], [0, NAN, 0], [1, 0, 0], [0.004, 0.001, 0]]), globe)
    found = q1(grasps)
    assert found.isnan().tolist() == [False, True, False, False]
    assert found[2] == 0  # far away: no contacts
    torch.testing.assert_close(found, torch.cat([q1(grasps[i : i + 1]) for i in range(4)]), equal_nan=True)
    assert q1(grasps[:0]).shape == (0,)


def test_threshold_decides_which_links_are_contacts(six: Hand, tmp_path: Path) -> None:
    """A ball of 9.2 cm: six gaps of 9 mm."""
    globe = ObjectAsset.from_mesh(trimesh.creation.icosphere(subdivisions=4, radius=0.092))
    grasps = PosedGrasps(six, pose_at(six, [[0, 0, 0]]), globe)
    assert q1(grasps)[0] > 0.5
    assert q1(grasps, threshold=0.005)[0] == 0


def test_normals_along_z_leave_nothing_to_their_last_digits() -> None:
    tilt = 1e-6 * np.random.default_rng(0).normal(size=(6, 3))
    np.testing.assert_allclose(cone_wrenches(0.1 * AXES, AXES + tilt), cone_wrenches(0.1 * AXES, AXES), atol=1e-4)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"no {SAMPLE}")
def test_real_grasps_equal_their_whole_hull() -> None:
    """DexGraspNet's banana, whose grasps have 11 to 17 contacts."""
    hand, name = load_hand("shadow"), "ddg-gd_banana_poisson_002"
    rows = load_npy(SAMPLE / "dataset" / f"{name}.npy")[::40][:3]
    joints = [[row["qpos"][f"robot0:{joint}"] for joint in hand.joint_names] for row in rows]
    place = [[row["qpos"][f"WRJT{axis}"] for axis in "xyz"] for row in rows]
    turn = Rotation.from_euler("xyz", [[row["qpos"][f"WRJR{axis}"] for axis in "xyz"] for row in rows]).as_matrix()
    pose = HandPose(torch.tensor(place), torch.tensor(turn), torch.tensor(joints), hand.name)
    asset = ObjectAsset.from_file(SAMPLE / "meshdata" / name / "coacd" / "decomposed.obj")
    grasps = PosedGrasps(hand, pose, asset, torch.tensor([row["scale"] for row in rows]))
    found = q1(grasps)
    np.testing.assert_allclose(found, q1(grasps, whole_hull=True), atol=1e-9)
    assert (found > 0.05).all()


def test_valid_q1() -> None:
    value = torch.tensor([0.3, 0.3, 0.3, NAN, 0.3], dtype=torch.float64)
    depth = torch.tensor([0.004, 0.005, 0.006, 0.0, NAN], dtype=torch.float64)
    torch.testing.assert_close(
        valid_q1(value, depth), torch.tensor([0.3, 0, 0, NAN, NAN], dtype=torch.float64), equal_nan=True, rtol=0, atol=0
    )
    none = torch.zeros(5).double()
    table = torch.tensor([0.009, 0.01, 0.02, 0.0, NAN], dtype=torch.float64)
    torch.testing.assert_close(
        valid_q1(value, none, table),
        torch.tensor([0.3, 0, 0, NAN, NAN], dtype=torch.float64),
        equal_nan=True,
        rtol=0,
        atol=0,
    )
    assert valid_q1(value[:1], depth[:1], max_penetration=0.003)[0] == 0
    assert valid_q1(value[2:3], depth[2:3], max_penetration=0.007)[0] == 0.3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: q1(g, m=2), r"m: expected at least 3 sides of a friction cone, found 2"),
        (lambda g: q1(g, mu=-0.1), r"mu: expected a friction coefficient of at least 0, found -0.1"),
        (lambda g: q1(g, torque_scale=0), r"torque_scale: expected a positive number, found 0"),
        (lambda g: q1(g, threshold=-1), r"threshold: expected metres, at least 0, found -1"),
        (
            lambda g: q1(g, torque_about="com"),
            r"torque_about: expected 'centre_of_mass' or 'legacy_origin', found 'com'",
        ),
        (lambda g: contact_q1(AXES, AXES[:2]), r"\(K, 3\), found \(6, 3\) and \(2, 3\)"),
        (
            lambda g: inner_radius(np.zeros(6)),
            r"wrenches: expected finite numbers of shape \(N, d\), found shape \(6,\)",
        ),
        (lambda g: inner_radius(np.full((9, 6), NAN)), r"wrenches: expected finite numbers"),
        (lambda g: valid_q1(torch.ones(2), torch.ones(3)), r"penetration: .* per Q1, \(2,\), found \(3,\)"),
        (lambda g: valid_q1(*[torch.ones(2)] * 2, torch.ones(1)), r"table_penetration: .*\(2,\), found \(1,\)"),
    ],
)
def test_bad_input_is_named(six: Hand, globe: ObjectAsset, call: Callable[[PosedGrasps], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(PosedGrasps(six, pose_at(six, [[0, 0, 0]]), globe))


def test_examples_in_docstrings_run() -> None:
    result = doctest.testmod(sys.modules[q1.__module__])
    assert (result.attempted > 0, result.failed) == (True, 0)
