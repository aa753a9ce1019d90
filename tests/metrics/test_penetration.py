"""Penetration depth against closed forms, against dense samples of both surfaces, and on DexGraspNet's own grasps."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation
from torch import Tensor

from dexzoo.geometry.sampling import sample_surface
from dexzoo.geometry.sdf import SignedDistance
from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands import Hand, HandPose, load_hand
from dexzoo.hands.drawing import primitive_mesh
from dexzoo.metrics.depth.hand_in_object import TOLERANCE
from dexzoo.metrics.depth.ray_parity import hand_vertices, ray_parity
from dexzoo.metrics.functional import penetration
from dexzoo.metrics.functional.penetration import penetration_depth
from tests.metrics.small_hands import ball, box, capsule, fixed_hand, pose_at

NAN = float("nan")

FLOAT32 = 5e-8  # metres, rounding of the search in objects of half a metre

DIRECTIONS = ("hand_to_object", "object_to_hand", "max")


def block(*size: float, at: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    return trimesh.creation.box(size, trimesh.transformations.translation_matrix(at))


@pytest.fixture(scope="module")
def big() -> ObjectAsset:
    """A cube of 40 cm whose top is at z = 0."""
    return ObjectAsset.from_mesh(block(0.4, 0.4, 0.4, at=(0, 0, -0.2)), "cube")


@pytest.fixture(scope="module")
def fingers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Hand]:
    shapes = {
        "ball": ball([0, 0, 0], 0.02),
        "capsule": capsule([0, 0, 0.01], [0, 0, 0.06], 0.01),
        "lying": capsule([-0.03, 0, 0.01], [0.03, 0, 0.01], 0.01),
        "box": box([0, 0, 0.03], [0.01, 0.02, 0.03]),
    }
    return {name: fixed_hand(tmp_path_factory.mktemp(name), shape) for name, shape in shapes.items()}


def shadow_at(asset: ObjectAsset, n: int = 3, scale: float = 1.0) -> PosedGrasps:
    """Shadow hands around something of 4 cm before their palms, curled by 0 to 0.9 rad."""
    hand = load_hand("shadow")
    pose = hand.rest_pose(n).to(torch.float64).map(torch.clone)
    pose.joints.copy_(hand.clamp(pose.joints + torch.linspace(0, 0.9, n).double()[:, None]))
    pose.translation.copy_(torch.tensor([0.0, 0.045, -0.07]))
    return PosedGrasps(hand, pose, asset, torch.tensor(scale))


def moved(grasps: PosedGrasps, asset: ObjectAsset, turn: Tensor, shift: Tensor, scale: float = 1.0) -> PosedGrasps:
    pose = grasps.pose
    there = HandPose(pose.translation @ turn.T + shift, turn @ pose.rotation, pose.joints, pose.hand)
    return PosedGrasps(grasps.hand, there, asset, torch.tensor(scale))


@pytest.fixture(scope="module")
def lump() -> trimesh.Trimesh:
    """A ball with a dent and corners: neither convex nor smooth."""
    solid = trimesh.creation.icosphere(subdivisions=3, radius=0.04)
    return trimesh.boolean.difference([solid, block(0.02, 0.1, 0.1, at=(0.0, -0.06, 0))], engine="manifold")


@pytest.fixture(scope="module")
def lumps(lump: trimesh.Trimesh) -> PosedGrasps:
    return shadow_at(ObjectAsset.from_mesh(lump, "lump"))


class TestClosedForms:
    @pytest.mark.parametrize("certify", [False, True])
    @pytest.mark.parametrize("depth", [0.0, 0.0003, 0.003, 0.015])
    @pytest.mark.parametrize("name", ["ball", "capsule", "lying", "box"])
    def test_a_finger_pushed_into_a_big_box(
        self, fingers: dict[str, Hand], big: ObjectAsset, name: str, depth: float, certify: bool
    ) -> None:
        lowest = -0.02 if name == "ball" else 0.0
        found = penetration_depth(
            PosedGrasps(fingers[name], pose_at(fingers[name], [[0.03, 0.02, -lowest - depth]]), big), certify=certify
        ).item()
        assert depth - TOLERANCE <= found <= depth + FLOAT32

    @pytest.mark.parametrize("depth", [0.0, 0.0003, 0.003])
    @pytest.mark.parametrize("name", ["ball", "capsule", "lying", "box"])
    def test_the_box_in_the_finger(self, fingers: dict[str, Hand], big: ObjectAsset, name: str, depth: float) -> None:
        """As deep as the other way round while the finger's own depth is larger."""
        lowest = -0.02 if name == "ball" else 0.0
        grasps = PosedGrasps(fingers[name], pose_at(fingers[name], [[0.03, 0.02, -lowest - depth]]), big)
        found = penetration_depth(grasps, "object_to_hand").item()
        assert depth - TOLERANCE <= found <= depth + FLOAT32

    def test_an_object_inside_a_box_is_as_deep_as_its_nearest_point_to_the_middle(self, tmp_path: Path) -> None:
        hand = fixed_hand(tmp_path, box([0, 0, 0], [0.05, 0.06, 0.07]))
        cube = ObjectAsset.from_mesh(block(0.02, 0.02, 0.02), "cube")
        grasps = PosedGrasps(hand, pose_at(hand, [[0.0, 0.0, 0.0], [0.03, 0.0, 0.0]]), cube)
        torch.testing.assert_close(
            penetration_depth(grasps, "object_to_hand"), torch.tensor([0.05, 0.03]).double(), atol=FLOAT32, rtol=0
        )
        assert penetration_depth(grasps).tolist() == [0, 0]  # no part of the hand's surface is in it
        assert torch.equal(penetration_depth(grasps, "max"), penetration_depth(grasps, "object_to_hand"))

    def test_a_plate_in_the_middle_of_a_capsule_is_as_deep_as_its_radius(self, fingers: dict[str, Hand]) -> None:
        plate = ObjectAsset.from_mesh(block(0.2, 0.2, 0.004), "plate")
        grasps = PosedGrasps(fingers["capsule"], pose_at(fingers["capsule"], [[0.0, 0.0, -0.035]]), plate)
        assert penetration_depth(grasps, "object_to_hand").item() == pytest.approx(0.01, abs=TOLERANCE)
        through = penetration_depth(grasps, certify=True).item()
        assert 0.002 - TOLERANCE <= through <= 0.002 + FLOAT32  # no deeper than half the plate's thickness

    def test_touching_half_boxes_are_as_deep_as_the_whole(self, fingers: dict[str, Hand]) -> None:
        """Against the two meshes as they are, the wall between them is the nearest surface."""
        halves = trimesh.util.concatenate(
            [block(0.1, 0.2, 0.2, at=(-0.05, 0, -0.1)), block(0.1, 0.2, 0.2, at=(0.05, 0, -0.1))]
        )
        asset = ObjectAsset.from_mesh(halves, "halves")
        grasps = PosedGrasps(fingers["capsule"], pose_at(fingers["capsule"], [[0.0, 0.0, -0.05]]), asset)
        assert penetration_depth(grasps).item() == pytest.approx(0.05, abs=TOLERANCE + 2e-5)  # the union's dilation
        assert -ObjectAsset.from_mesh(block(0.2, 0.2, 0.2, at=(0, 0, -0.1))).distance(
            torch.tensor([[0.0, 0.0, -0.05]])
        ).item() == pytest.approx(0.05)

    def test_overlapping_links_are_measured_one_by_one(self, tmp_path: Path, big: ObjectAsset) -> None:
        """Where two links overlap, ray parity of their joint mesh calls the overlap outside."""
        hand = fixed_hand(
            tmp_path, capsule([0, 0, 0.01], [0, 0, 0.06], 0.01), capsule([0.002, 0, 0.009], [0, 0, 0.06], 0.01)
        )
        found = penetration_depth(PosedGrasps(hand, pose_at(hand, [[0.0, 0.0, -0.004]]), big))
        assert found.item() == pytest.approx(0.005, abs=TOLERANCE)


def surface_points(grasps: PosedGrasps, b: int) -> np.ndarray:
    """Points about a millimetre apart on all capsules and boxes of grasp b's hand, object frame, metres."""
    parts = []
    for link, R, t in zip(
        grasps.hand.spec.tree.links, grasps.links.rotation[b].numpy(), grasps.links.translation[b].numpy(), strict=True
    ):
        fine = [primitive_mesh(shape, 48).subdivide_to_size(0.003) for shape in (*link.capsules, *link.boxes)]
        parts += [mesh.vertices @ R.T + t for mesh in fine]
    return np.concatenate(parts)


class TestAgainstSamples:
    """The naive twins: very many points and no bounds."""

    @pytest.mark.slow
    def test_hand_in_object(self, lumps: PosedGrasps) -> None:
        igl = pytest.importorskip("igl")
        solid, default, certified = lumps.object.solid, penetration_depth(lumps), penetration_depth(lumps, certify=True)
        for b in range(len(lumps)):
            naive = -float(igl.signed_distance(surface_points(lumps, b), solid.vertices, solid.faces)[0].min())
            assert naive - TOLERANCE <= default[b] <= certified[b] <= naive + 5e-4
        assert default.min() > 0.001

    def test_object_in_hand(self, lumps: PosedGrasps) -> None:
        points, _, _ = sample_surface(lumps.object.solid.vertices, lumps.object.solid.faces, 100_000)
        hand = load_hand("shadow").double()
        naive = -hand.signed_distance(lumps.links, torch.from_numpy(points).expand(len(lumps), -1, -1)).amin(1)
        found = penetration_depth(lumps, "object_to_hand")
        assert (found >= naive.clamp(min=0) - TOLERANCE).all()
        torch.testing.assert_close(found, naive.clamp(min=0), atol=6e-4, rtol=0)

    def test_means(self, lumps: PosedGrasps) -> None:
        points, _, _ = sample_surface(lumps.object.solid.vertices, lumps.object.solid.faces, 100_000)
        hand = load_hand("shadow").double()
        depth = -hand.signed_distance(lumps.links, torch.from_numpy(points).expand(len(lumps), -1, -1))
        naive = torch.stack([d[d > 0].mean() for d in depth])
        torch.testing.assert_close(penetration_depth(lumps, "object_to_hand", "mean"), naive, atol=0, rtol=0.05)
        distance = SignedDistance(lumps.object.solid)(hand.place(lumps.links, hand.surface(2048).to(torch.float64)))
        naive = torch.stack([-d[d < 0].mean() for d in distance])
        torch.testing.assert_close(penetration_depth(lumps, reduce="mean"), naive, atol=1e-8, rtol=0)


class TestInvariance:
    @pytest.mark.parametrize("direction", DIRECTIONS)
    def test_rigid_motion_of_everything(self, lumps: PosedGrasps, lump: trimesh.Trimesh, direction: str) -> None:
        turn = torch.from_numpy(Rotation.from_euler("xyz", [0.5, -1.0, 2.0]).as_matrix())
        shift = torch.tensor([0.3, -0.2, 1.0]).double()
        there = lump.copy()
        there.vertices = there.vertices @ turn.numpy().T + shift.numpy()
        other = moved(lumps, ObjectAsset.from_mesh(there, "there"), turn, shift)
        expected = penetration_depth(lumps, direction)
        torch.testing.assert_close(penetration_depth(other, direction), expected, atol=2 * TOLERANCE, rtol=0)

    @pytest.mark.parametrize("direction", DIRECTIONS)
    def test_millimetres_with_a_scale_of_a_thousandth(
        self, lumps: PosedGrasps, lump: trimesh.Trimesh, direction: str
    ) -> None:
        millimetres = ObjectAsset.from_mesh(lump.copy().apply_scale(1000), "millimetres")
        other = moved(lumps, millimetres, torch.eye(3).double(), torch.zeros(3).double(), scale=1e-3)
        expected = penetration_depth(lumps, direction)
        torch.testing.assert_close(penetration_depth(other, direction), expected, atol=2 * TOLERANCE, rtol=0)

    def test_order_of_pieces(self, fingers: dict[str, Hand]) -> None:
        pieces = [block(0.05, 0.2, 0.2, at=(x, 0, 0)) for x in (-0.075, -0.025, 0.025, 0.075)]
        depths = []
        for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
            asset = ObjectAsset.from_mesh(trimesh.util.concatenate([pieces[i] for i in order]), "pieces")
            pose = pose_at(fingers["capsule"], [[0.01, 0.02, 0.05], [0.05, 0.0, 0.095]])
            depths.append(penetration_depth(PosedGrasps(fingers["capsule"], pose, asset)))
        torch.testing.assert_close(depths[0], depths[1], atol=2 * TOLERANCE, rtol=0)

    def test_refinement_of_the_mesh_changes_nothing(self, fingers: dict[str, Hand]) -> None:
        pose = pose_at(fingers["capsule"], [[0.01, 0.003, 0.092], [0.045, 0.0, 0.05]])
        coarse, fine = (
            penetration_depth(PosedGrasps(fingers["capsule"], pose, ObjectAsset.from_mesh(mesh)), "max")
            for mesh in (block(0.1, 0.1, 0.2), block(0.1, 0.1, 0.2).subdivide_to_size(0.015))
        )
        torch.testing.assert_close(coarse, fine, atol=TOLERANCE, rtol=0)

    def test_finer_balls_converge(self, fingers: dict[str, Hand]) -> None:
        errors = []
        for n in (1, 2, 3):
            mesh = trimesh.creation.icosphere(subdivisions=n, radius=0.05)
            pose = pose_at(fingers["ball"], torch.from_numpy(0.066 * trimesh.creation.icosphere(0).vertices[:4]))
            errors.append(
                (penetration_depth(PosedGrasps(fingers["ball"], pose, ObjectAsset.from_mesh(mesh))) - 0.004).abs()
            )
        assert errors[0].max() > errors[1].max() > errors[2].max()
        assert errors[2].max() < 5e-5

    @pytest.mark.parametrize(
        "options", [{"direction": d} for d in DIRECTIONS] + [{"reduce": "mean"}, {"certify": True}]
    )
    def test_a_batch_is_its_grasps(self, lumps: PosedGrasps, options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
        together = penetration_depth(lumps, **options)
        one_by_one = [penetration_depth(lumps[b : b + 1], **options) for b in range(len(lumps))]
        torch.testing.assert_close(together, torch.cat(one_by_one), atol=1e-9, rtol=0)
        monkeypatch.setattr(penetration, "_BATCH", 2)
        torch.testing.assert_close(together, penetration_depth(lumps, **options), atol=1e-9, rtol=0)


ALL = [
    *({"direction": d, "reduce": r} for d, r in product(DIRECTIONS, ("max", "mean"))),
    *({"mode": mode} for mode in ("legacy_gtta", "legacy_obman")),
    {"certify": True},
    {"engine": "contact"},
]


class TestEdges:
    @pytest.mark.parametrize("options", ALL, ids=str)
    def test_a_pose_that_is_not_finite_is_nan_and_spoils_no_other(self, lumps: PosedGrasps, options: dict) -> None:
        pose = lumps.pose.map(torch.clone)
        pose.joints[1, 3] = NAN
        found = penetration_depth(PosedGrasps(lumps.hand, pose, lumps.object, lumps.scales), **options)
        assert found.isnan().tolist() == [False, True, False]
        torch.testing.assert_close(found[[0, 2]], penetration_depth(lumps, **options)[[0, 2]], atol=1e-7, rtol=0)

    @pytest.mark.parametrize("options", ALL, ids=str)
    def test_far_away_is_exactly_zero(self, lumps: PosedGrasps, options: dict) -> None:
        pose = lumps.pose.map(torch.clone)
        pose.translation[:] += torch.tensor([1.0, 2.0, -1.0])
        assert penetration_depth(PosedGrasps(lumps.hand, pose, lumps.object), **options).tolist() == [0, 0, 0]

    @pytest.mark.parametrize("options", ALL, ids=str)
    def test_no_grasps(self, lumps: PosedGrasps, options: dict) -> None:
        found = penetration_depth(lumps[:0], **options)
        assert (found.shape, found.dtype) == ((0,), torch.float64)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"direction": "both"},
                r"direction: expected one of hand_to_object \| object_to_hand \| max, found 'both'",
            ),
            ({"reduce": "sum"}, r"reduce: expected one of max \| mean, found 'sum'"),
            ({"engine": "bullet"}, r"engine: expected one of distance \| contact, found 'bullet'"),
            ({"mode": "legacy"}, r"mode: expected one of exact \| legacy_gtta \| legacy_obman, found 'legacy'"),
            ({"reduce": "mean", "certify": True}, "certify: expected False with reduce='mean'"),
            ({"direction": "max", "mode": "legacy_gtta"}, "direction: expected its default with mode='legacy_gtta'"),
            ({"certify": True, "engine": "contact"}, "certify: expected its default with engine='contact'"),
        ],
    )
    def test_an_option_that_makes_no_sense_is_named(self, lumps: PosedGrasps, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            penetration_depth(lumps, **options)


class TestLegacy:
    def test_parity_of_large_triangles_is_right(self) -> None:
        mesh = trimesh.creation.torus(0.1, 0.03)
        points = np.random.default_rng(0).uniform(-0.15, 0.15, (2000, 3))
        inside = np.hypot(np.hypot(points[:, 0], points[:, 1]) - 0.1, points[:, 2]) < 0.03
        clear = np.abs(np.hypot(np.hypot(points[:, 0], points[:, 1]) - 0.1, points[:, 2]) - 0.03) > 0.002
        assert np.array_equal(ray_parity(1000 * points, 1000 * mesh.triangles)[clear], inside[clear])

    def test_metres_lose_small_triangles_and_millimetres_do_not(self, fingers: dict[str, Hand]) -> None:
        """The field's number, fed metres: a vertex centimetres outside is called inside, and its distance the depth."""
        fine = ObjectAsset.from_mesh(trimesh.creation.icosphere(subdivisions=4, radius=0.006), "fine")
        there = torch.from_numpy(trimesh.creation.icosphere(subdivisions=0).vertices[:4] * 0.035)
        grasps = PosedGrasps(fingers["ball"], pose_at(fingers["ball"], there), fine)
        assert penetration_depth(grasps, mode="legacy_obman").tolist() == [0.0] * len(grasps)
        assert penetration_depth(grasps).tolist() == [0.0] * len(grasps)
        assert penetration_depth(grasps, mode="legacy_gtta").max() > 0.015

    def test_millimetres_give_the_deepest_vertex(self, lumps: PosedGrasps) -> None:
        link, vertices = hand_vertices(lumps.hand)
        turned = (lumps.links.rotation[:, link] @ vertices.unsqueeze(-1)).squeeze(-1)
        distance = SignedDistance(lumps.object.solid)(turned + lumps.links.translation[:, link])
        assert len(vertices) == 3894  # as many as the field's hand
        found = penetration_depth(lumps, mode="legacy_obman")
        torch.testing.assert_close(found, (-distance.amin(1)).clamp(min=0), atol=1e-7, rtol=0)
        assert (found <= penetration_depth(lumps) + TOLERANCE).all()
