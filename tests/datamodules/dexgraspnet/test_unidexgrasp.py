"""UniDexGrasp's files in both layouts, and how its objects lie on the table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dexzoo.datamodules import BadFile, DatasetNotFound, UnknownName
from dexzoo.datamodules.dexgraspnet import UniDexGrasp
from dexzoo.files.unpickle import UnsafePickleError

from .conftest import grasp, write_boxes, write_npy

LAYOUTS = {"DFCData": ("poses", "meshes"), "policy": ("datasetv4.1", "meshdatav3_scaled")}
OBJECTS = ("mug/mug-1", "car/car-7")
TURNS = Rotation.from_rotvec(np.random.default_rng(3).normal(size=(5, 3))).as_matrix()


def resting() -> np.ndarray:
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, :3, :3] = TURNS
    poses[:, :3, 3] = np.arange(15).reshape(5, 3)
    return poses


@pytest.fixture(params=LAYOUTS)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two objects with 3 grasps each, on their 0th, 2nd and 4th resting pose; half the scale is its reciprocal 12.5."""
    poses, meshes = LAYOUTS[request.param]
    rng = np.random.default_rng(0)
    for name in OBJECTS:
        folder = tmp_path / poses / name
        folder.mkdir(parents=True)
        for i, k in enumerate((0, 2, 4)):
            normal = TURNS[k][2] + rng.normal(scale=0.01, size=3)
            plane = np.array([*normal / np.linalg.norm(normal), 0.03], np.float32)
            np.savez(
                folder / f"{7 * i:05d}.npz",
                qpos=np.array(grasp(i)["qpos"], dtype=object),
                scale=np.float32(12.5),
                plane=plane,
            )
        write_boxes(tmp_path / meshes / name / "coacd" / "decomposed.obj")
        np.save(tmp_path / meshes / name / "poses.npy", resting())
        np.save(tmp_path / meshes / name / "pcs_table.npy", rng.normal(size=(5, 40, 3)).astype(np.float32))
    (tmp_path / "splits").mkdir()
    for (category, name), part in zip((n.split("/") for n in OBJECTS), ("train", "test"), strict=True):
        (tmp_path / "splits" / f"{category}.json").write_text(json.dumps({"train": [], "test": []} | {part: [name]}))
    return tmp_path


def test_numbers_scale_plane_and_parts(root: Path) -> None:
    data = UniDexGrasp(root, n_object_points=64, batch_size=3)
    data.setup()
    assert (data.train.object_names, data.test.object_names) == (("mug/mug-1",), ("car/car-7",))
    batch = data.test.batch(range(3))
    assert batch.names == ("car/car-7/0", "car/car-7/7", "car/car-7/14")
    torch.testing.assert_close(batch.scale, torch.full((3,), 0.08))
    assert batch.object_points.abs().amax((0, 1)).tolist() == pytest.approx([0.08, 0.04, 0.04], rel=0.01)
    qpos = grasp(1)["qpos"]
    turn = Rotation.from_euler("xyz", [qpos[f"WRJR{a}"] for a in "xyz"]).as_matrix()  # type: ignore[index]
    np.testing.assert_allclose(batch.pose.rotation[1], turn, atol=1e-6)
    with np.load(next(root.rglob("car-7/00007.npz")), allow_pickle=True) as file:
        np.testing.assert_array_equal(batch.plane[1], file["plane"])


def test_resting_poses_are_matched_by_the_normal(root: Path) -> None:
    data = UniDexGrasp(root, n_object_points=8)
    store = data.load().of_objects({"mug/mug-1"})
    table = data.table_top("mug/mug-1")
    assert store.plane is not None
    assert table.nearest(store.plane.numpy()).tolist() == [0, 2, 4]
    pose = table.pose(2, 0.08)
    np.testing.assert_allclose(pose[:3, :3], TURNS[2])
    np.testing.assert_allclose(pose[:3, 3], [0, 0, 8 * 0.08])
    saved = np.load(next(root.rglob("mug-1/pcs_table.npy")))
    np.testing.assert_allclose(table.scene(2, 0.08), 0.08 * saved[2], rtol=1e-6)


@pytest.mark.parametrize("n", [16, 64])
def test_clouds_of_the_scene_are_those_of_the_resting_pose(root: Path, n: int) -> None:
    """40 points in the file: 16 of them, or each once or twice; and one test scene for each of three tables."""
    for _ in range(2):  # read, then from the cache
        data = UniDexGrasp(root, object_points="scene", n_object_points=n, eval_scales="all")
        data.setup()
        batch = data.train.batch(range(3))
        saved = 0.08 * np.load(next(root.rglob("mug-1/pcs_table.npy")))
        for points, k in zip(batch.object_points.numpy(), (0, 2, 4), strict=True):
            gap = np.linalg.norm(points[:, None] - saved[k], axis=-1)
            assert gap.min(axis=1).max() < 1e-6
            times = np.bincount(gap.argmin(axis=1), minlength=40)
            assert set(times) == ({0, 1} if n < 40 else {1, 2})
    assert [b.object_points.shape for b in data.test_dataloader()] == [(1, n, 3)] * 3


def test_objects_without_clouds_of_the_scene_are_named_or_left_out(root: Path) -> None:
    next(root.rglob("mug-1/pcs_table.npy")).unlink()
    with pytest.raises(BadFile, match=r"pcs_table\.npy next to poses\.npy of .* 'mug/mug-1'.*object_points='solid'"):
        UniDexGrasp(root, object_points="scene").load()
    data = UniDexGrasp(root, object_points="scene", n_object_points=16, on_bad="skip")
    store = data.load()
    assert store.object_names == ("car/car-7",)
    assert len(data.skipped) == 1
    saved = 0.08 * np.load(next(root.rglob("car-7/pcs_table.npy")))
    points = store.batch(range(3)).object_points.numpy()
    gap = np.linalg.norm(points[:, :, None] - saved[[0, 2, 4], None], axis=-1)
    assert gap.min(axis=-1).max() < 1e-6


def test_without_clouds_of_the_scene(root: Path) -> None:
    next(root.rglob("mug-1/pcs_table.npy")).unlink()
    with pytest.raises(ValueError, match=r"expected pcs_table\.npy"):
        UniDexGrasp(root).table_top("mug/mug-1").scene(0, 1.0)


def test_bad_files_are_named(root: Path) -> None:
    data = UniDexGrasp(root, n_object_points=8)
    with pytest.raises(UnknownName, match="did you mean 'mug/mug-1'"):
        data.table_top("mug/mug1")
    path = next(root.rglob("mug-1/poses.npy"))
    np.save(path, np.zeros((5, 3, 4)))
    with pytest.raises(BadFile, match=r"poses\.npy: expected finite numbers of shape \(any, 4, 4\)"):
        data.table_top("mug/mug-1")
    write_npy(path, [print])
    with pytest.raises(UnsafePickleError):
        data.table_top("mug/mug-1")
    path.unlink()
    with pytest.raises(BadFile, match=r"poses\.npy: expected an array, found expected a file"):
        data.table_top("mug/mug-1")
    bad = next(root.rglob("mug-1/00007.npz"))
    bad.write_bytes(bad.read_bytes()[:100])
    with pytest.raises(BadFile, match="00007"):
        data.load()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"searched for poses/\*/\*/\*\.npz") as caught:
        UniDexGrasp(tmp_path).load()
    assert "splits/<category>.json" in str(caught.value)
