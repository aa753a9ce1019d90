"""Distance to the objects of a batch against the closed form of a box, moved by scipy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from dexzoo.geometry.meshes import MeshError
from dexzoo.metrics import ObjectDistance, object_distance

SIZES = {"slab": np.array([0.20, 0.10, 0.02]), "cube": np.array([0.06, 0.06, 0.06])}


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("meshes")
    for name, size in SIZES.items():
        trimesh.creation.box(size).export(folder / f"{name}.obj")
    return {name: folder / f"{name}.obj" for name in SIZES}


def _poses(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    rotation = Rotation.random(batch, rng=rng).as_matrix()
    return torch.from_numpy(rotation).float(), torch.from_numpy(rng.normal(size=(batch, 3))).float()


def _box_distance(points: np.ndarray, size: np.ndarray) -> np.ndarray:
    beyond = np.abs(points) - size / 2
    return np.linalg.norm(beyond.clip(min=0), axis=-1) + beyond.max(-1).clip(max=0)


def test_each_clip_sees_its_own_object_where_it_stands(meshes: dict[str, Path]) -> None:
    names = ["cube", "slab", "cube", None]
    rotation, translation = _poses(4)
    local = np.random.default_rng(0).uniform(-0.15, 0.15, (4, 50, 3))
    world = np.einsum("bij,bhj->bhi", rotation.numpy(), local) + translation.numpy()[:, None]
    cloud = world + np.random.default_rng(2).normal(scale=0.05, size=world.shape)
    distance = ObjectDistance().at(
        rotation, translation, [meshes.get(n) for n in names], torch.from_numpy(cloud).float()
    )
    found = distance(torch.from_numpy(world).float()).numpy()
    for i, name in enumerate(names):
        expected = cdist(world[i], cloud[i]).min(1) if name is None else _box_distance(local[i], SIZES[name])
        np.testing.assert_allclose(found[i], expected, atol=2e-6)


def test_a_point_that_is_not_finite_has_no_distance(meshes: dict[str, Path]) -> None:
    rotation, translation = torch.eye(3).expand(2, 3, 3), torch.zeros(2, 3)
    points = torch.tensor([[math.nan, 0, 0], [0, 0, 1.0], [math.inf, 0, 0]]).expand(2, 3, 3)
    distance = ObjectDistance().at(rotation, translation, [meshes["cube"], None], torch.zeros(2, 600, 3))
    found = distance(points)
    torch.testing.assert_close(found[:, 1], torch.tensor([0.97, 1.0]))
    assert found[:, [0, 2]].isnan().all()
    assert distance(torch.full((2, 4, 3), math.nan)).isnan().all()


def test_a_mesh_is_read_once(meshes: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    load = object_distance.load_mesh
    monkeypatch.setattr(object_distance, "load_mesh", lambda path: read.append(path) or load(path))
    objects, (rotation, translation) = ObjectDistance(), _poses(3)
    for _ in range(2):
        objects.at(rotation, translation, [meshes["cube"], meshes["slab"], meshes["cube"]])(torch.zeros(3, 1, 3))
    assert read == [meshes["cube"], meshes["slab"]]


def test_bad_input_is_named(meshes: dict[str, Path], tmp_path: Path) -> None:
    objects, (rotation, translation), cube = ObjectDistance(), _poses(2), meshes["cube"]
    with pytest.raises(ValueError, match=r"\(3, 3, 3\) and \(3, 3\) for 3 meshes, found \(2, 3, 3\) and \(2, 3\)"):
        objects.at(rotation, translation, [cube] * 3)
    with pytest.raises(ValueError, match=r"found None at \[1\]; pass `clouds`"):
        objects.at(rotation, translation, [cube, None])
    with pytest.raises(ValueError, match=r"clouds: expected \(2, N, 3\) for 2 meshes, found \(1, 9, 3\)"):
        objects.at(rotation, translation, [cube, None], torch.zeros(1, 9, 3))
    with pytest.raises(ValueError, match=r"points: expected \(2, H, 3\), found \(7, 3\)"):
        objects.at(rotation, translation, [cube, cube])(torch.zeros(7, 3))
    with pytest.raises(MeshError, match="absent"):
        objects.at(rotation, translation, [cube, tmp_path / "absent.obj"])
