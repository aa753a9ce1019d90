"""Nearest points, contact and depth in the table against closed forms and against many samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation
from torch import Tensor

from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands import Hand, load_hand
from dexzoo.metrics.functional.contact import contact, grasp_contacts
from dexzoo.metrics.functional.rounded_boxes import RoundedBoxes, project
from dexzoo.metrics.functional.table import table_penetration
from tests.metrics.small_hands import ball, box, capsule, fixed_hand, pose_at

HALF = (0.05, 0.04, 0.03)
NAN = float("nan")


@pytest.fixture(scope="module")
def block() -> ObjectAsset:
    """A box of 10 x 8 x 6 cm about the origin."""
    return ObjectAsset.from_mesh(trimesh.creation.box(2 * np.array(HALF)), "block")


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Hand:
    """A ball, a capsule along x and a box, 10 cm apart along x, so that one at most is near the block."""
    return fixed_hand(
        tmp_path_factory.mktemp("hand"),
        ball([0, 0, 0], 0.01),
        capsule([0.1, 0, 0], [0.14, 0, 0], 0.01),
        box([0.3, 0, 0], [0.01, 0.02, 0.015]),
    )


def turned(angles: list[float]) -> Tensor:
    return torch.from_numpy(Rotation.from_euler("xyz", angles).as_matrix())


def shadow_grasps(n: int = 3) -> PosedGrasps:
    """The Shadow hand around a ball of 4 cm radius in front of its palm, curled by 0 to 0.5 rad."""
    hand = load_hand("shadow")
    pose = hand.rest_pose(n).to(torch.float64).map(torch.clone)
    pose.joints.copy_(hand.clamp(pose.joints + torch.linspace(0, 0.5, n).double()[:, None]))
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=0.04).apply_translation([0, -0.05, 0.07])
    return PosedGrasps(hand, pose, ObjectAsset.from_mesh(sphere, "ball"))


@pytest.mark.parametrize("gap", [0.02, 0.004, 0.0, -0.003])
def test_ball_above_a_face(hand: Hand, block: ObjectAsset, gap: float) -> None:
    """Closed form: outside and inside alike, as long as the top is the nearest face."""
    found = grasp_contacts(PosedGrasps(hand, pose_at(hand, [[0.01, -0.005, 0.04 + gap]]), block), threshold=0.005)
    torch.testing.assert_close(found.distance[0, 0], torch.tensor(gap).double(), atol=1e-8, rtol=0)
    for name, height in (("point", 0.03), ("hand_point", 0.03 + gap)):
        expected = torch.tensor([0.01, -0.005, height]).double()
        torch.testing.assert_close(getattr(found, name)[0, 0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.normal[0, 0], torch.tensor([0.0, 0, 1]).double(), atol=1e-6, rtol=0)
    assert found.mask[0].tolist() == [gap <= 0.005, False, False]
    assert found.link.tolist() == [hand.link_names.index(f"link{i}") for i in range(3)]


@pytest.mark.parametrize("depth", [-0.006, 0.002, 0.006])
def test_tip_of_a_tilted_capsule(tmp_path: Path, block: ObjectAsset, depth: float) -> None:
    """Closed form: the lower end's centre is `radius - depth` above the top face."""
    finger = fixed_hand(tmp_path, capsule([0, 0, 0], [0, 0, 0.05], 0.008))
    rotation = turned([0.5, 0.2, 0])[None]
    grasps = PosedGrasps(finger, pose_at(finger, [[0.004, 0.003, 0.038 - depth]], rotation), block)
    torch.testing.assert_close(contact(grasps).distance, torch.tensor([-depth]).double(), atol=1e-7, rtol=0)


def test_corner_of_a_box(tmp_path: Path, block: ObjectAsset) -> None:
    """Closed form: of a turned box above a face the lowest corner touches first."""
    half, rotation = torch.tensor([0.01, 0.02, 0.015]).double(), turned([0.4, 0.7, 0.2])
    hand = fixed_hand(tmp_path, box([0, 0, 0], half.tolist()))
    lowest = -(rotation[2].abs() * half).sum()
    grasps = PosedGrasps(hand, pose_at(hand, [[0, 0, 0.03 + 0.002 - float(lowest)]], rotation[None]), block)
    found = grasp_contacts(grasps)
    torch.testing.assert_close(found.distance, torch.tensor([[0.002]]).double(), atol=1e-8, rtol=0)
    corner = rotation @ (-half * rotation[2].sign()) + grasps.pose.translation[0]
    torch.testing.assert_close(found.hand_point[0, 0], corner, atol=1e-6, rtol=0)


def test_a_ball_beside_an_edge(hand: Hand, block: ObjectAsset) -> None:
    """Closed form: nearest to an edge, the normal is the direction to the ball and not that of a face."""
    found = grasp_contacts(PosedGrasps(hand, pose_at(hand, [[0, 0.04 + 0.012, 0.03 + 0.016]]), block), threshold=0.011)
    torch.testing.assert_close(found.distance[0, 0], torch.tensor(0.01).double(), atol=1e-7, rtol=0)
    torch.testing.assert_close(found.normal[0, 0], torch.tensor([0, 0.6, 0.8]).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.point[0, 0], torch.tensor([0, 0.04, 0.03]).double(), atol=1e-6, rtol=0)
    assert found.mask[0].tolist() == [True, False, False]


def test_contact_counts_links(tmp_path: Path, block: ObjectAsset) -> None:
    """Three balls over the top face, at 1, 4 and 8 mm."""
    hand = fixed_hand(
        tmp_path, *(ball([x, 0, 0.04 + gap], 0.01) for x, gap in ((-0.03, 1e-3), (0, 4e-3), (0.03, 8e-3)))
    )
    grasps = PosedGrasps(hand, pose_at(hand, [[0, 0, 0], [0, 0, 0.005], [0, 0, -0.002]]), block)
    found = contact(grasps)
    np.testing.assert_allclose(found.distance, [0.001, 0.006, -0.001], atol=1e-8)
    np.testing.assert_allclose(found.link_distance[0], [0.001, 0.004, 0.008], atol=1e-8)
    assert found.in_contact.tolist() == [True, False, True]
    np.testing.assert_allclose(found.link_fraction, [2 / 3, 0, 2 / 3])
    assert contact(grasps, threshold=0.0061).in_contact.tolist() == [True] * 3


def test_distance_is_at_most_that_of_any_sample() -> None:
    """Oracle: 4000 points on the Shadow hand. The search has to beat them all, and by no more than their spacing."""
    grasps = shadow_grasps()
    found = grasp_contacts(grasps)
    points = grasps.hand.surface(4000).to(torch.float64)
    sampled = grasps.object.distance(grasps.hand.place(grasps.links, points))
    for column, link in enumerate(found.link.tolist()):
        if (points.link == link).any():
            best = sampled[:, points.link == link].amin(1)
            assert (found.distance[:, column] <= best + 2e-6).all()
    lowest = sampled.amin(1)
    assert (found.distance.amin(1) > lowest - 8e-4).all()
    assert found.distance.amin(1)[0] < 0.01  # the hand is at the ball, or this tests nothing


def test_found_points_are_where_they_should_be() -> None:
    """The hand's point lies on its link and the object's on its surface, and the distance is that between the two."""
    grasps = shadow_grasps()
    found = grasp_contacts(grasps)
    np.testing.assert_allclose(grasps.object.distance(found.hand_point), found.distance, atol=1e-9)
    np.testing.assert_allclose(grasps.object.distance(found.point), 0, atol=1e-4)  # at kinks a little beside it
    np.testing.assert_allclose((found.hand_point - found.point).norm(dim=-1), found.distance.abs(), atol=1e-9)
    np.testing.assert_allclose(found.normal.norm(dim=-1), 1, atol=1e-9)
    outward = found.point + 1e-4 * found.normal
    assert (grasps.object.distance(outward) > 0).all()
    for column, link in enumerate(found.link.tolist()):
        own = RoundedBoxes.of(grasps.hand)
        own = RoundedBoxes(*(x[own.link == link] for x in vars(own).values()))
        local = (found.hand_point[:, column] - grasps.links.translation[:, link])[:, None] @ grasps.links.rotation[
            :, link
        ]
        boxed = (local - own.centre)[..., None, :] @ own.rotation
        off = (project(boxed.squeeze(-2), own.half, own.radius) - boxed.squeeze(-2)).norm(dim=-1).amin(1)
        assert (off < 1e-8).all()


def test_projection_onto_a_capsule_and_a_box() -> None:
    """Closed form, the degenerate places included: the axis of a capsule, the middle of a box."""
    points = torch.tensor([[0, 0, 3], [3, 4, 1], [0, 0, 0.5], [0.1, 0, 0]]).double()
    found = project(points, torch.tensor([0.0, 0, 1]).double(), torch.tensor(0.5).double())
    torch.testing.assert_close(found[:2], torch.tensor([[0, 0, 1.5], [0.3, 0.4, 1]]).double())
    torch.testing.assert_close(found[2:].abs(), torch.tensor([[0.5, 0, 0.5], [0.5, 0, 0]]).double())
    points = torch.tensor([[5, 5, 5], [0.9, 0, 0], [-0.5, -1.9, 2.2], [0, 0, 0]]).double()
    found = project(points, torch.tensor([1.0, 2, 3]).double(), torch.tensor(0.0).double())
    torch.testing.assert_close(found[:3], torch.tensor([[1, 2, 3], [1, 0, 0], [-0.5, -2, 2.2]]).double())
    torch.testing.assert_close(found[3].abs(), torch.tensor([1.0, 0, 0]).double())


def test_rigid_motion_of_everything_changes_nothing() -> None:
    grasps = shadow_grasps()
    rotation, shift = turned([0.3, -1.2, 2.0]), torch.tensor([0.3, -0.2, 0.5]).double()
    mesh = grasps.object.mesh.copy()
    mesh.vertices = mesh.vertices @ rotation.numpy().T + shift.numpy()
    moved = PosedGrasps(grasps.hand, grasps.pose.moved_by(rotation, shift), ObjectAsset.from_mesh(mesh))
    found, expected = grasp_contacts(moved), grasp_contacts(grasps)
    # The grid that ranks the starts turns against the hand, so the search ends a few micrometres elsewhere.
    np.testing.assert_allclose(found.distance, expected.distance, rtol=0, atol=2e-5)
    plane = torch.tensor([0.0, 0, 1, -0.05]).double()
    normal = rotation @ plane[:3]
    there = torch.cat([normal, (plane[3] - normal @ shift)[None]])
    torch.testing.assert_close(table_penetration(moved, there), table_penetration(grasps, plane))


def test_a_mesh_in_millimetres_gives_the_same_metres() -> None:
    grasps = shadow_grasps()
    mesh = grasps.object.mesh.copy().apply_scale(1000)
    scaled = PosedGrasps(grasps.hand, grasps.pose, ObjectAsset.from_mesh(mesh), torch.tensor(1e-3).double())
    found, expected = grasp_contacts(scaled), grasp_contacts(grasps)
    for name, tolerance in (("distance", 1e-6), ("point", 1e-4), ("normal", 2e-3), ("hand_point", 1e-4)):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=tolerance)


def test_batch_equals_single_and_a_bad_pose_spoils_no_other(hand: Hand, block: ObjectAsset) -> None:
    translation = torch.tensor([[0, 0, 0.0445], [NAN, 0, 0], [-0.1, 0, 0.042], [0, 0.2, 0]])
    grasps = PosedGrasps(hand, pose_at(hand, translation), block)
    together = contact(grasps)
    singles = [contact(grasps[i : i + 1]) for i in range(4)]
    for name in ("distance", "in_contact", "link_fraction", "link_distance"):
        expected = torch.cat([getattr(single, name) for single in singles])
        torch.testing.assert_close(getattr(together, name), expected, equal_nan=True, rtol=0, atol=0)
    assert together.distance.isnan().tolist() == together.link_fraction.isnan().tolist() == [False, True, False, False]
    assert together.in_contact.tolist() == [True, False, True, False]
    assert grasp_contacts(grasps).point[1].isnan().all()
    assert table_penetration(grasps, torch.tensor([0.0, 0, 1, 0])).isnan().tolist() == [False, True, False, False]


def test_no_grasps(hand: Hand, block: ObjectAsset) -> None:
    grasps = PosedGrasps(hand, pose_at(hand, torch.zeros(0, 3)), block)
    found = contact(grasps)
    assert (found.distance.shape, found.in_contact.shape, found.link_distance.shape) == ((0,), (0,), (0, 3))
    assert table_penetration(grasps, torch.zeros(0, 4)).shape == (0,)


def test_table_penetration_of_each_shape(tmp_path: Path, block: ObjectAsset) -> None:
    """Closed forms: 2 cm below a tilted table with a ball, with a capsule's end, and with a box's corner."""
    normal = torch.tensor([0.36, 0.48, 0.8]).double()
    reach = {
        "ball": 0.01,
        "capsule": 0.01 + 0.03 * 0.8,
        "box": float(normal @ torch.tensor([0.01, 0.02, 0.03]).double()),
    }
    shapes = {
        "ball": ball([0, 0, 0], 0.01),
        "capsule": capsule([0, 0, -0.03], [0, 0, 0.03], 0.01),
        "box": box([0, 0, 0], [0.01, 0.02, 0.03]),
    }
    for name, shape in shapes.items():
        hand = fixed_hand(tmp_path / name, shape)
        heights = torch.tensor([reach[name] - 0.02, reach[name] + 0.001]).double()
        grasps = PosedGrasps(hand, pose_at(hand, heights[:, None] * normal - 0.7 * normal), block)
        plane = torch.cat([normal, torch.tensor([0.7])])
        np.testing.assert_allclose(table_penetration(grasps, plane), [0.02, 0], atol=1e-7)
        np.testing.assert_allclose(table_penetration(grasps, plane.expand(2, 4)), [0.02, 0], atol=1e-7)


def test_table_penetration_is_that_of_the_lowest_of_many_samples() -> None:
    grasps = shadow_grasps()
    plane = torch.tensor([0, 0.6, -0.8, 0.06]).double()
    points = grasps.hand.place(grasps.links, grasps.hand.surface(4000).to(torch.float64))
    sampled = (-(points @ plane[:3]) - plane[3]).amax(1).clamp(min=0)
    found = table_penetration(grasps, plane)
    assert (found > 0.01).all()
    assert ((found >= sampled - 1e-8) & (found < sampled + 8e-4)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: contact(g, -0.001), r"threshold: expected metres, at least 0, found -0.001"),
        (lambda g: grasp_contacts(g, NAN), r"threshold: .* found nan"),
        (lambda g: table_penetration(g, torch.zeros(3)), r"plane: expected \(4,\) or \(1, 4\), found \(3,\)"),
        (lambda g: table_penetration(g, torch.zeros(2, 4)), r"plane: expected \(4,\) or \(1, 4\), found \(2, 4\)"),
        (
            lambda g: table_penetration(g, torch.tensor([0.0, 0, 2, 0])),
            r"plane: expected a unit normal .*\[0.0, 0.0, 2.0",
        ),
        (lambda g: table_penetration(g, torch.tensor([0, 0, 1, NAN])), r"plane: expected a unit normal .*nan"),
    ],
)
def test_bad_input_is_named(
    hand: Hand, block: ObjectAsset, call: Callable[[PosedGrasps], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        call(PosedGrasps(hand, pose_at(hand, [[0, 0, 0]]), block))
