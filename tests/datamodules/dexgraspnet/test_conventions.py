"""The real samples touch as their authors say, and no other convention does (datasets.md, sections 3.6 and 5.1).

Distances of points on the hand's collision bodies to the solid are libigl's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexzoo.datamodules.dexgraspnet import DexGraspNet, UniDexGrasp
from dexzoo.datamodules.grasp_store import GraspStore
from dexzoo.geometry.meshes import load_mesh
from dexzoo.grasps.asset import ObjectAsset
from dexzoo.hands import load_hand
from dexzoo.hands.points import LinkPoints
from dexzoo.hands.pose import HandPose

igl = pytest.importorskip("igl")

HAND = load_hand("shadow")
SURFACE = HAND.surface(1500)
TIPS = [HAND.link_names.index(f"{finger}distal") for finger in ("ff", "mf", "rf", "lf", "th")]
FEW = 20
"""Grasps of each object for the wrong conventions."""


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for the module, in place of one for each test: all of them read the same files."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEXZOO_CACHE", str(folder))
        yield folder


@cache
def solid_of(mesh: Path) -> trimesh.Trimesh:
    return ObjectAsset.from_file(mesh).solid


def distances(
    store: GraspStore, pose: HandPose, scale: NDArray, surface: LinkPoints = SURFACE
) -> tuple[NDArray, NDArray]:
    """Of grasps of one object: (n,) least distance of the hand; (n,) fingertips within 2 mm.

    Points more than 3 mm outside the object's bounding box get their distance to the box, which decides as well.
    """
    mesh = store[0].mesh
    assert mesh is not None
    solid = solid_of(mesh)
    points = HAND.place(HAND.forward_kinematics(pose.to(torch.float32)), surface).double().numpy()
    low, high = solid.bounds[:, None, None] * scale[:, None, None]
    signed = np.linalg.norm(np.maximum(0, np.maximum(low - points, points - high)), axis=-1)
    near = signed < 0.003
    factor = np.broadcast_to(scale[:, None], near.shape)[near]
    kind = igl.SIGNED_DISTANCE_TYPE_FAST_WINDING_NUMBER
    signed[near] = factor * igl.signed_distance(points[near] / factor[:, None], solid.vertices, solid.faces, kind)[0]
    tips = np.stack([signed[:, (surface.link == tip).numpy()].min(axis=1) for tip in TIPS], axis=1)
    return signed.min(axis=1), (tips < 0.002).sum(axis=1)


def touching(store: GraspStore, pose: HandPose, scale: NDArray) -> NDArray:
    """(n,) bool: least distance in [-10, 2] mm and two fingertips within 2 mm."""
    least, tips = distances(store, pose, scale)
    return (least >= -0.010) & (least <= 0.002) & (tips >= 2)


def per_object(store: GraspStore, few: int | None = None) -> list[GraspStore]:
    return [store.of_objects({name})[:few] for name in store.object_names]


def test_real_grasps_of_dexgraspnet_touch(sample: Callable[[str], Path]) -> None:
    store = DexGraspNet(sample("dexgraspnet_sample"), n_object_points=16).load()
    assert len(store) == 699
    good = np.concatenate([touching(part, part.pose, part.scale.double().numpy()) for part in per_object(store)])
    assert good.mean() >= 0.95, f"{good.mean():.3f}"


def _turned(pose: HandPose, how: Callable[[Rotation], Rotation]) -> HandPose:
    turned = how(Rotation.from_matrix(pose.rotation.double().numpy())).as_matrix()
    return replace(pose, rotation=torch.from_numpy(turned).float())


def _of_mount(pose: HandPose) -> HandPose:
    """As if the pose were that of the model's mount: the palm is 29 cm further along z."""
    return replace(pose, translation=pose.translation + pose.rotation @ torch.tensor([0.0, 0.010, 0.290]))


WRONG = {
    "intrinsic Euler angles": lambda p, s: (_turned(p, lambda r: Rotation.from_euler("XYZ", r.as_euler("xyz"))), s),
    "transposed": lambda p, s: (_turned(p, Rotation.inv), s),
    "axis-angle": lambda p, s: (_turned(p, lambda r: Rotation.from_rotvec(r.as_euler("xyz"))), s),
    "no scale": lambda p, s: (p, np.ones_like(s)),
    "reciprocal scale": lambda p, s: (p, 1 / s),
    "mount, not palm": lambda p, s: (_of_mount(p), s),
}


@pytest.mark.slow
@pytest.mark.parametrize("convention", WRONG)
def test_wrong_conventions_do_not_touch(sample: Callable[[str], Path], convention: str) -> None:
    """The same check, on 20 grasps of each object, fails by far."""
    store = DexGraspNet(sample("dexgraspnet_sample"), n_object_points=16).load()
    good = [
        touching(part, *WRONG[convention](part.pose, part.scale.double().numpy())) for part in per_object(store, FEW)
    ]
    assert np.concatenate(good).mean() < 0.5, f"{np.concatenate(good).mean():.3f}"


class TestUniDexGrasp:
    def test_median_distance_is_the_published_one(self, sample: Callable[[str], Path]) -> None:
        store = UniDexGrasp(sample("unidexgrasp_sample"), n_object_points=16).load()
        assert len(store) == 189
        part = store[::3]  # 63 grasps, as published
        least, _ = distances(part, part.pose, part.scale.double().numpy(), HAND.surface(12_000))
        assert np.median(least) == pytest.approx(-0.76e-3, abs=0.1e-3)

    def test_objects_stand_on_their_planes(self, sample: Callable[[str], Path]) -> None:
        """Lowest vertex of the mesh times the scale, above the plane: 0.01 mm at most, either way."""
        store = UniDexGrasp(sample("unidexgrasp_sample"), n_object_points=16).load()
        mesh, plane = store[0].mesh, store.plane
        assert mesh is not None
        assert plane is not None
        vertices = np.asarray(load_mesh(mesh).vertices)
        normal, offset = plane[:, :3].double().numpy(), plane[:, 3].double().numpy()
        np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)
        lowest = (vertices @ normal.T * store.scale.double().numpy() + offset).min(axis=0)
        assert np.abs(lowest).max() < 1e-5

    def test_the_scale_as_it_is_in_the_file_does_not_touch(self, sample: Callable[[str], Path]) -> None:
        store = UniDexGrasp(sample("unidexgrasp_sample"), n_object_points=16).load()[:FEW]
        assert touching(store, store.pose, 1 / store.scale.double().numpy()).mean() < 0.5
