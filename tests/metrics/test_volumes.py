"""Volumes that hand and object share. Oracles: closed forms, Monte Carlo, booleans of everything at once."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from manifold3d import Manifold, OpType
from scipy.spatial.transform import Rotation

from dexzoo.files.unpickle import load_npy
from dexzoo.geometry.blocks import Blocks
from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands import Hand, HandPose, load_hand
from dexzoo.hands.solids import hand_solids
from dexzoo.metrics.functional.volumes import (
    hand_object_volume,
    self_intersection_depth,
    self_intersection_volume,
)
from dexzoo.metrics.functional.voxels import surface_voxels
from tests.metrics.small_hands import ball, box, capsule, fixed_hand, pose_at
from tests.metrics.volume_cases import LENS, ROUND, moved, rod_volume, turn

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "dexgraspnet_sample"


@pytest.fixture(scope="module")
def shadow() -> Hand:
    return load_hand("shadow")


@pytest.fixture(scope="module")
def brick() -> ObjectAsset:
    """2 x 2 x 1 about the origin."""
    return ObjectAsset.from_mesh(trimesh.creation.box((2, 2, 1)))


@pytest.fixture(scope="module")
def globe() -> ObjectAsset:
    """The unit ball with 5120 faces."""
    return ObjectAsset.from_mesh(trimesh.creation.icosphere(subdivisions=4))


@pytest.fixture
def grasps(shadow: Hand, globe: ObjectAsset) -> PosedGrasps:
    """Hands around and inside a globe of 6 cm."""
    generator = torch.Generator().manual_seed(2)
    joints = shadow.lower + (shadow.upper - shadow.lower) * torch.rand(4, 22, generator=generator)
    place = torch.tensor([[0.0, -0.05, 0.05], [0.02, -0.07, 0.0], [0.0, 0.0, 0.0], [0.0, 0.3, 0.0]])
    pose = HandPose(place, turn(3).expand(4, 3, 3), joints, "shadow").map(lambda x: x.double())
    return PosedGrasps(shadow, pose, globe, torch.tensor([0.06, 0.05, 0.06, 0.06]))


# Hand and object: closed forms


def shared(hand: Hand, asset: ObjectAsset, mode: str = "exact", scale: float = 1.0, pitch: float = 0.005) -> float:
    grasps = PosedGrasps(hand, pose_at(hand, [[0, 0, 0]]), asset, torch.tensor(scale))
    return float(hand_object_volume(grasps, mode, pitch))  # type: ignore[arg-type]


def test_a_ball_pushed_into_a_brick_shares_a_cap(tmp_path: Path, brick: ObjectAsset) -> None:
    r, h = 0.3, 0.1
    hand = fixed_hand(tmp_path, ball([0.1, 0.2, 0.5 + r - h], r))
    assert shared(hand, brick) == pytest.approx(np.pi * h**2 * (3 * r - h) / 3, rel=ROUND)


def test_a_box_pushed_into_a_brick_shares_a_box(tmp_path: Path, brick: ObjectAsset) -> None:
    hand = fixed_hand(tmp_path, box([1, 0.9, 0.5], [0.2, 0.3, 0.1]))
    assert shared(hand, brick) == pytest.approx(0.2 * 0.4 * 0.1, rel=1e-9)


def test_a_ball_and_a_globe_share_a_lens(tmp_path: Path, globe: ObjectAsset) -> None:
    assert shared(fixed_hand(tmp_path, ball([0, 1, 0], 1)), globe) == pytest.approx(LENS, rel=ROUND)


def test_a_finger_through_a_plate(tmp_path: Path, brick: ObjectAsset) -> None:
    """Its depth is half the plate at most, its volume is not."""
    hand = fixed_hand(tmp_path, capsule([0.1, 0.1, -2], [0.1, 0.1, 2], 0.2))
    assert shared(hand, brick) == pytest.approx(np.pi * 0.04, rel=ROUND)


def test_links_that_overlap_count_once(tmp_path: Path, brick: ObjectAsset) -> None:
    """Neighbours as well: three times the same box, and rods on one axis."""
    same = fixed_hand(tmp_path / "boxes", *[box([0, 0, 0.5], [0.1, 0.2, 0.3])] * 3)
    assert shared(same, brick) == pytest.approx(0.2 * 0.4 * 0.3, rel=1e-9)
    rods = fixed_hand(
        tmp_path / "rods", capsule([-0.6, 0, 0], [0.2, 0, 0], 0.1), capsule([-0.1, 0, 0], [0.5, 0, 0], 0.1)
    )
    assert shared(rods, brick) == pytest.approx(rod_volume(0.1, 1.1), rel=ROUND)


def test_one_inside_the_other(tmp_path: Path, brick: ObjectAsset) -> None:
    inner = fixed_hand(tmp_path / "inner", capsule([-0.1, 0, 0], [0.2, 0, 0], 0.1))
    assert shared(inner, brick) == pytest.approx(rod_volume(0.1, 0.3), rel=1e-9)
    outer = fixed_hand(tmp_path / "outer", box([0, 0, 0], [3, 3, 3]))
    assert shared(outer, brick) == pytest.approx(4, rel=1e-9)


def test_no_contact_is_exactly_zero(tmp_path: Path, brick: ObjectAsset) -> None:
    near = fixed_hand(tmp_path / "near", ball([0, 0, 0.81], 0.3), capsule([0, 1.4, 0], [0, 1.9, 0], 0.39))
    far = fixed_hand(tmp_path / "far", box([9, 0, 0], [1, 1, 1]))
    for mode in ("exact", "voxel_solid"):
        assert shared(near, brick, mode, pitch=0.05) == 0
        assert shared(far, brick, mode, pitch=0.05) == 0
    assert shared(far, brick, "legacy_vox5", pitch=0.05) == 0


# Hand and object: other ways to the same number


def test_blocks_fill_the_solid(globe: ObjectAsset) -> None:
    blocks = Blocks.of(globe.manifold, faces=300)
    assert len(blocks.manifolds) > 20
    assert max(block.num_tri() for block in blocks.manifolds) <= 300
    assert sum(block.volume() for block in blocks.manifolds) == pytest.approx(globe.volume, rel=1e-12)
    pairs = list(combinations(blocks.manifolds, 2))
    assert sum((a ^ b).volume() for a, b in pairs) == pytest.approx(0, abs=1e-12)
    assert Manifold.batch_boolean(list(blocks.manifolds), OpType.Add).volume() == pytest.approx(globe.volume, rel=1e-9)


def test_blocks_stop_where_cutting_does_not_help() -> None:
    """A cone: every cut through its tip leaves all faces on both sides."""
    cone = ObjectAsset.from_mesh(trimesh.creation.cone(0.01, 1, sections=400))
    blocks = Blocks.of(cone.manifold, faces=20)
    assert len(blocks.manifolds) < 2000
    assert sum(block.volume() for block in blocks.manifolds) == pytest.approx(cone.volume, rel=1e-9)


def test_grasps_equal_one_boolean_of_everything(grasps: PosedGrasps) -> None:
    """The hand united link by link, then intersected with the whole object, in metres."""
    solids, found = hand_solids(grasps.hand), hand_object_volume(grasps)
    assert len(grasps.object.blocks.manifolds) > 3
    assert found[3] == 0
    assert (found[:3] > 1e-6).all()
    for b in range(3):
        frames = torch.cat([grasps.links.rotation[b], grasps.links.translation[b].unsqueeze(-1)], dim=-1).numpy()
        placed = [m.transform(frames[i]) for m, i in zip(solids.manifolds, solids.link, strict=True)]
        whole = Manifold.batch_boolean(placed, OpType.Add)
        expected = (whole ^ grasps.object.manifold.scale((float(grasps.scales[b]),) * 3)).volume()
        assert float(found[b]) == pytest.approx(expected, rel=1e-4)


def test_grasps_equal_monte_carlo(grasps: PosedGrasps) -> None:
    """Points in the globe's box, counted where they are inside the ball and the hand, both in closed form."""
    n = 300_000
    for b, volume in enumerate(hand_object_volume(grasps)[:3].tolist()):
        points = torch.rand(n, 3, dtype=torch.float64) * 2 - 1
        points = points[points.norm(dim=1) < 1] * grasps.scales[b]
        share = int((grasps.hand.signed_distance(grasps.links[b], points) < 0).sum()) / n
        cell = 8 * float(grasps.scales[b]) ** 3
        assert abs(share * cell - volume) < 3 * cell * np.sqrt(share / n) + 0.01 * volume


def test_volumes_do_not_depend_on_frame_or_unit(grasps: PosedGrasps) -> None:
    """Everything turned and moved; the mesh in millimetres; the mesh with four times the faces."""
    expected, rotation = hand_object_volume(grasps).numpy(), turn(7)
    shift = torch.tensor([0.01, -0.02, 0.03]).double()
    for scale in (1.0, 1000.0):
        frame = np.eye(4)
        frame[:3, :3], frame[:3, 3] = rotation, shift / 0.06
        mesh = (globe := grasps.object.mesh).copy().apply_transform(frame).apply_scale(scale)
        assert len(mesh.faces) == len(globe.faces)
        some = torch.tensor([0, 2, 3])  # those of scale 0.06
        pose = moved(grasps.pose[some], rotation, shift)
        there = PosedGrasps(grasps.hand, pose, ObjectAsset.from_mesh(mesh), grasps.scales[some] / scale)
        np.testing.assert_allclose(hand_object_volume(there), expected[some], rtol=2e-5, atol=1e-13)
    fine = ObjectAsset.from_mesh(grasps.object.mesh.subdivide())
    finer = PosedGrasps(grasps.hand, grasps.pose, fine, grasps.scales)
    np.testing.assert_allclose(hand_object_volume(finer), expected, rtol=1e-6, atol=1e-15)


def test_volumes_do_not_depend_on_the_order_of_pieces_and_links(tmp_path: Path) -> None:
    """A bar of two touching bricks, and a mirror image of all."""
    left, right = (trimesh.creation.box((0.06, 0.04, 0.02)).apply_translation([x, 0, 0]) for x in (-0.03, 0.03))
    links = [box([0.005, 0, 0.012], [0.01, 0.01, 0.008]), capsule([-0.02, 0, 0.01], [0.02, 0.01, 0.016], 0.01)]
    hands = [fixed_hand(tmp_path / str(k), *links[::step]) for k, step in enumerate((1, -1))]
    meshes = [trimesh.util.concatenate(parts) for parts in ([left, right], [right, left])]
    values = [shared(hand, ObjectAsset.from_mesh(mesh)) for hand in hands for mesh in meshes]
    assert values[0] > 1e-6
    np.testing.assert_allclose(values, values[0], rtol=1e-6)
    mirrored = [box([-0.005, 0, 0.012], [0.01, 0.01, 0.008]), capsule([0.02, 0, 0.01], [-0.02, 0.01, 0.016], 0.01)]
    image = shared(fixed_hand(tmp_path / "mirror", *mirrored), ObjectAsset.from_mesh(meshes[0]))
    assert image == pytest.approx(values[0], rel=2e-3)


@pytest.mark.parametrize("mode", ["exact", "voxel_solid", "legacy_vox5"])
def test_hand_object_volumes_of_a_batch_are_those_of_each(grasps: PosedGrasps, mode: str) -> None:
    whole = hand_object_volume(grasps, mode)  # type: ignore[arg-type]
    assert whole.dtype == torch.float64
    assert torch.equal(whole, torch.cat([hand_object_volume(grasps[b : b + 1], mode) for b in range(4)]))  # type: ignore[arg-type]
    pose, scale = grasps.pose.map(torch.clone), grasps.scales.clone()
    pose.joints[0, 3], scale[3] = torch.nan, torch.nan
    found = hand_object_volume(PosedGrasps(grasps.hand, pose, grasps.object, scale), mode)  # type: ignore[arg-type]
    assert found.isnan().tolist() == [True, False, False, True]
    assert torch.equal(found[1:3], whole[1:3])
    assert hand_object_volume(grasps[:0], mode).shape == (0,)  # type: ignore[arg-type]


# Voxels


def test_solid_voxels_count_centres_in_both(tmp_path: Path, brick: ObjectAsset, grasps: PosedGrasps) -> None:
    hand = fixed_hand(tmp_path, box([0.9, 0.8, 0], [0.2, 0.5, 0.25]), box([0.8, 0.8, 0], [0.1, 0.5, 0.25]))
    assert shared(hand, brick, "voxel_solid", pitch=0.1) == pytest.approx(0.3 * 0.7 * 0.4, rel=1e-9)  # z: +-.05, +-.15
    assert shared(hand, brick, "voxel_solid", scale=1, pitch=0.02) == pytest.approx(0.3 * 0.7 * 0.5, rel=0.05)
    exact, voxels = hand_object_volume(grasps), hand_object_volume(grasps, "voxel_solid", pitch=0.002)
    np.testing.assert_allclose(voxels, exact, rtol=0.05)
    b, pitch, scale = 0, 0.004, float(grasps.scales[0])
    ticks = (torch.arange(-30, 30) + 0.5).double() * pitch
    points = torch.cartesian_prod(ticks, ticks, ticks)
    inside = grasps.hand.signed_distance(grasps.links[b], points) < 0
    inside &= torch.from_numpy(grasps.object.mesh.contains(points.numpy() / scale))
    naive = int(inside.sum()) * pitch**3
    assert float(hand_object_volume(grasps, "voxel_solid", pitch=pitch)[b]) == pytest.approx(naive, rel=1e-9)


def test_voxels_of_a_mesh_are_those_of_its_surface() -> None:
    """602 of 1331 for a cube at a tenth of its side. trimesh fills it on request."""
    cube = trimesh.creation.box((1, 1, 1))
    assert len(surface_voxels(cube, 0.1)) == 602
    assert len(cube.voxelized(0.1).fill().points) == 1331


def test_literatures_volume_is_a_count_of_surface_voxels(tmp_path: Path) -> None:
    """Deep inside the object it is 0; beside a face, without contact, a cell counts; overlapping links count once."""
    cube = ObjectAsset.from_mesh(trimesh.creation.box((1, 1, 1)))
    inside = fixed_hand(tmp_path / "in", box([0, 0, 0], [0.3, 0.3, 0.3]))
    assert shared(inside, cube, "legacy_vox5", pitch=0.05) == 0
    assert shared(inside, cube) == pytest.approx(0.6**3, rel=1e-9)
    scale = 0.0476  # the face is at 23.8 mm, the centres of the cells that it crosses at 25 mm
    beside = fixed_hand(tmp_path / "out", *[box([0, 0, 0.0251], [0.0126, 0.0126, 0.0011])] * 2)
    assert shared(beside, cube, scale=scale) == 0
    assert shared(beside, cube, "legacy_vox5", scale) == pytest.approx(25 * 0.005**3)


def test_wrong_arguments_are_refused(grasps: PosedGrasps, shadow: Hand) -> None:
    with pytest.raises(ValueError, match="mode: expected 'exact', 'voxel_solid' or 'legacy_vox5', found 'vox'"):
        hand_object_volume(grasps, "vox")  # type: ignore[arg-type]
    for pitch in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"pitch: expected metres > 0, found {pitch}"):
            hand_object_volume(grasps, "voxel_solid", pitch)
    with pytest.raises(ValueError, match="reduce: expected 'union' or 'sum_pairs', found 'sum'"):
        self_intersection_volume(shadow, shadow.rest_pose(1), "sum")  # type: ignore[arg-type]
    for f in (self_intersection_volume, self_intersection_depth):
        with pytest.raises(ValueError, match=r"pose: expected batch shape \(B,\), found \(\)"):
            f(shadow, shadow.rest_pose())


# DexGraspNet's own grasps

SAMPLES = {  # cm^3 as printed: self-intersection, hand and object
    "core-mug-8570d9a8d24cb0acbebd3c0c0c70fb03": (0.06, 0.043),
    "ddg-gd_banana_poisson_002": (0.27, 0.012),
    "sem-Bottle-437678d4bc6be981c8724d5673a063a6": (0.06, 0.025),
}


@pytest.fixture(scope="module")
def ground_truth(shadow: Hand) -> dict[str, PosedGrasps]:
    """Twenty grasps of each object, evenly spaced."""
    if not SHARED.is_dir():
        pytest.skip(f"no sample of DexGraspNet at {SHARED}")
    return {name: read_sample(shadow, name) for name in SAMPLES}


def read_sample(hand: Hand, name: str) -> PosedGrasps:
    rows = load_npy(SHARED / "dataset" / f"{name}.npy")
    rows = [rows[i] for i in np.linspace(0, len(rows) - 1, 20).astype(int)]
    values = [row["qpos"] for row in rows]
    turned = Rotation.from_euler("xyz", [[q[f"WRJR{c}"] for c in "xyz"] for q in values]).as_matrix()
    pose = HandPose(
        torch.tensor([[q[f"WRJT{c}"] for c in "xyz"] for q in values]),
        torch.from_numpy(turned),
        torch.tensor([[q[f"robot0:{joint}"] for joint in hand.joint_names] for q in values]),
        "shadow",
    )
    asset = ObjectAsset.from_file(SHARED / "meshdata" / name / "coacd" / "decomposed.obj")
    return PosedGrasps(hand, pose, asset, torch.tensor([row["scale"] for row in rows]))


def test_ground_truth_of_dexgraspnet(ground_truth: dict[str, PosedGrasps]) -> None:
    """Within 3 % and one unit of the last digit printed: capsules of 128 edges differ by less than 1 % from ours."""
    for name, grasps in ground_truth.items():
        intersection, volume = SAMPLES[name]
        found = float(self_intersection_volume(grasps.hand, grasps.pose).mean() * 1e6)
        assert abs(found - intersection) < 0.03 * intersection + 0.01
        assert abs(float(hand_object_volume(grasps).mean() * 1e6) - volume) < 0.03 * volume + 0.001


def test_ground_truth_by_the_literatures_count(ground_truth: dict[str, PosedGrasps]) -> None:
    """2.7 to 3.1 cm^3 on the specification's subsets, within 20 %; 100 times the volume shared."""
    counts = torch.cat([hand_object_volume(grasps[::10], "legacy_vox5") for grasps in ground_truth.values()]) * 1e6
    exact = torch.cat([hand_object_volume(grasps[::10]) for grasps in ground_truth.values()]) * 1e6
    assert 0.8 * 2.7 < counts.mean() < 1.2 * 3.1
    assert counts.mean() > 30 * exact.mean()
