"""DexGraspNet's files to samples and batches: numbers against SciPy, clouds against a bar, bad files by message."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dexzoo.datamodules import BadFile, DatasetNotFound, UnknownName
from dexzoo.datamodules.dexgraspnet import DexGraspNet
from dexzoo.datamodules.types import GraspBatch
from dexzoo.files.unpickle import UnsafePickleError

from .conftest import JOINTS, grasp, write_boxes, write_npy


class _Gadget:
    def __reduce__(self) -> tuple:
        return os.system, ("true",)


def _read(path: Path) -> dict:
    return {f"{path.stem}/{i}": entry for i, entry in enumerate(np.load(path, allow_pickle=True))}


def test_every_number_is_that_of_the_file(tree: Path) -> None:
    store = DexGraspNet(tree, n_object_points=64).load()
    files = {k: v for path in (tree / "dataset").iterdir() for k, v in _read(path).items()}
    assert len(store) == len(files) == 15
    assert {sample.name for sample in store} == set(files)
    for one in store:
        qpos, scale = files[one.name]["qpos"], files[one.name]["scale"]
        turn = Rotation.from_euler("xyz", [qpos[f"WRJR{a}"] for a in "xyz"]).as_matrix()
        np.testing.assert_allclose(one.pose.rotation, turn, atol=1e-6)
        np.testing.assert_allclose(one.pose.translation, [qpos[f"WRJT{a}"] for a in "xyz"], atol=1e-7)
        np.testing.assert_allclose(one.pose.joints, [qpos[f"robot0:{name}"] for name in JOINTS], atol=1e-7)
        assert one.scale == pytest.approx(scale, rel=1e-6)
        assert one.object == one.name.split("/")[0]
        assert one.mesh == tree / "meshdata" / one.object / "coacd" / "decomposed.obj"


def test_clouds_lie_on_the_outside_times_the_scale(tree: Path) -> None:
    """The bar's inner wall is at x = 0; of its surface 10, the two walls would draw a sixth of all points."""
    store = DexGraspNet(tree, n_object_points=256).load()
    for i in (0, 1, 9):
        points = store[i].object_points.double().numpy() / store[i].scale
        gap = np.abs(np.abs(points) - [1.0, 0.5, 0.5])
        assert points.shape == (256, 3)
        assert gap.min(axis=1).max() < 2e-4  # the union widens the parts by 1e-4 of the radius
        assert (np.abs(points) < np.array([1.0, 0.5, 0.5]) + 2e-4).all()


def test_a_batch_is_its_samples(tree: Path) -> None:
    store = DexGraspNet(tree, n_object_points=32).load()
    batch = store.batch([7, 0, 14])
    assert isinstance(batch, GraspBatch)
    assert batch.plane is None
    for k, i in enumerate((7, 0, 14)):
        assert (batch.names[k], batch.objects[k], batch.meshes[k]) == (store[i].name, store[i].object, store[i].mesh)
        assert torch.equal(batch.pose[k].joints, store[i].pose.joints)
        assert torch.equal(batch.object_points[k], store[i].object_points)
    assert batch.to(torch.float64).object_points.dtype == torch.float64


def test_loaders_deal_every_grasp_once_and_objects_once(tree: Path) -> None:
    data = DexGraspNet(
        tree, n_object_points=16, eval_scales="all", batch_size=3, eval_batch_size=4, min_grasps_per_epoch=1, seed=5
    )
    data.setup()
    loaders = {"train": data.train_dataloader(), "val": data.val_dataloader(), "test": data.test_dataloader()}
    names = {part: [name for batch in loader for name in batch.names] for part, loader in loaders.items()}
    assert sorted(names["train"] + names["val"] + names["test"]) == sorted(sample.name for sample in data.load())
    assert [{n.split("/")[0] for n in part} & {n.split("/")[0] for n in names["test"]} for part in
            (names["train"], names["val"])] == [set(), set()]  # fmt: skip
    again = DexGraspNet(tree, n_object_points=16, batch_size=3, min_grasps_per_epoch=1, seed=5)
    again.setup()
    assert [b.names for b in again.train_dataloader()] == [b.names for b in loaders["train"]]
    assert again.split_hash == data.split_hash


def test_loader_processes_give_the_same_batches(tree: Path) -> None:
    batches = []
    for workers in (0, 1):
        data = DexGraspNet(tree, n_object_points=16, batch_size=2, min_grasps_per_epoch=1, num_workers=workers)
        data.setup()
        batches.append([(b.names, b.pose.joints) for b in data.train_dataloader()])
    assert [names for names, _ in batches[0]] == [names for names, _ in batches[1]]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(*batches, strict=True))


def test_output_of_the_generator_is_read_and_flagged(tree: Path) -> None:
    raw = [grasp(i) | {"qpos_st": grasp(99)["qpos"], "energy": 1.0, "E_pen": 0.1} for i in range(3)]
    write_npy(tree / "dataset" / "core-mug-1.npy", raw)
    flags = {sample.object: sample.flags for sample in DexGraspNet(tree, n_object_points=8).load()}
    assert flags == {"core-mug-1": ("unvalidated",), "sem-Car-2": (), "ddg-gd_box_3": ()}


def test_joints_beyond_their_limits_are_kept(tree: Path) -> None:
    write_npy(tree / "dataset" / "core-mug-1.npy", [grasp(0, **{"robot0:THJ1": 1.1})])
    store = DexGraspNet(tree, n_object_points=8).load()
    joints = {sample.name: sample.pose.joints for sample in store}["core-mug-1/0"]
    assert joints[JOINTS.index("THJ1")] == pytest.approx(1.1)


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([grasp(0), grasp(1, WRJTx=float("nan"))], "row 1: expected finite numbers"),
            ([grasp(0, WRJTx=1e30)], "row 0: expected finite numbers: a hand within 10 m"),
            ([grasp(0, WRJTx=120.0)], r"row 0: .*; did you mean translations in millimetres\?$"),
            ([grasp(0, **{"robot0:FFJ3": 60.0})], r"row 0: .*; did you mean joints in degrees\?$"),
            ([grasp(0, WRJTx=120.0, **{"robot0:FFJ3": 60.0})], "translations in millimetres and joints in degrees"),
            ([grasp(0), {"qpos": {}}], "row 1: missing key 'scale'"),
            ([{"qpos": {"robot0:FFJ3": 0.0}, "scale": 1.0}], "found no 'FFJ2'"),
            ([grasp(0, -0.1)], "scale of grasp 0: expected a positive number, found -0.1"),
            ([3], "row 0: expected a dict with qpos and scale"),
        ],
    )
    def test_a_bad_file_is_named_or_left_out_and_counted(self, tree: Path, content: list, message: str) -> None:
        path = tree / "dataset" / "sem-Car-2.npy"
        write_npy(path, content)
        with pytest.raises(BadFile, match=message) as caught:
            DexGraspNet(tree, n_object_points=8).load()
        assert str(path) in str(caught.value)
        for _ in range(2):  # read, then from the cache
            data = DexGraspNet(tree, n_object_points=8, on_bad="skip")
            good = 1 if "row 1: expected finite" in message else 0
            assert len(data.load()) == 10 + good
            assert len(data.skipped) == 1
            assert str(path) in data.skipped[0]

    def test_a_truncated_file(self, tree: Path) -> None:
        path = tree / "dataset" / "sem-Car-2.npy"
        path.write_bytes(path.read_bytes()[:-300])
        with pytest.raises(BadFile, match=r"sem-Car-2\.npy: expected grasps, found expected a complete pickle"):
            DexGraspNet(tree, n_object_points=8).load()

    def test_a_file_that_would_run_code_stops_in_any_case(self, tree: Path) -> None:
        write_npy(tree / "dataset" / "sem-Car-2.npy", [_Gadget()])
        with pytest.raises(UnsafePickleError, match=r"sem-Car-2\.npy: refused to load"):
            DexGraspNet(tree, on_bad="skip").load()

    def test_a_missing_mesh(self, tree: Path) -> None:
        (tree / "meshdata/sem-Car-2/coacd/decomposed.obj").unlink()
        with pytest.raises(BadFile, match=r"sem-Car-2\.npy: expected an object with a mesh.*object_points='none'"):
            DexGraspNet(tree, n_object_points=8).load()
        data = DexGraspNet(tree, n_object_points=8, on_bad="skip")
        assert set(data.load().object_names) == {"core-mug-1", "ddg-gd_box_3"}
        assert len(data.skipped) == 1
        without = DexGraspNet(tree, object_points="none").load()
        assert len(without) == 15
        assert without.batch([0, 1]).object_points.shape == (2, 0, 3)

    def test_a_mesh_that_is_none(self, tree: Path) -> None:
        (tree / "meshdata/sem-Car-2/coacd/decomposed.obj").write_text("v 0 0 0\n")
        with pytest.raises(BadFile, match=r"decomposed\.obj: expected the mesh of an object"):
            DexGraspNet(tree, n_object_points=8).load()
        store = DexGraspNet(tree, n_object_points=8, on_bad="skip").load()
        assert "sem-Car-2" not in store.object_names
        assert all(sample.object_points.isfinite().all() for sample in store)

    def test_a_link_out_of_the_root(self, tree: Path, tmp_path: Path) -> None:
        outside = tmp_path / "elsewhere.npy"
        (tree / "dataset/sem-Car-2.npy").rename(outside)
        (tree / "dataset/sem-Car-2.npy").symlink_to(outside)
        with pytest.raises(BadFile, match=r"expected a file inside `root`, found one that leads to"):
            DexGraspNet(tree).load()

    def test_nothing_there(self, tmp_path: Path) -> None:
        for root, found in (
            (None, "`root` is not set"),
            (tmp_path / "no", "no such folder"),
            (tmp_path, "is empty"),
        ):
            with pytest.raises(DatasetNotFound, match=found) as caught:
                DexGraspNet(root).load()
            for part in ("pku-epic.github.io/DexGraspNet", "CC BY-NC 4.0", "meshdata/<object_code>", "root="):
                assert part in str(caught.value)

    def test_grasps_without_meshes(self, tmp_path: Path) -> None:
        write_npy(tmp_path / "dataset" / "core-a-1.npy", [grasp(0)])
        with pytest.raises(DatasetNotFound, match="1 files of grasps but no folder meshdata"):
            DexGraspNet(tmp_path).load()

    def test_unknown_settings(self, tree: Path) -> None:
        with pytest.raises(UnknownName, match=r"^on_bad: expected one of raise, skip"):
            DexGraspNet(tree, on_bad="skipp")
        with pytest.raises(UnknownName, match=r"object_points: .*did you mean 'solid'"):
            DexGraspNet(tree, object_points="solids")


def test_the_folder_above_and_the_one_below_are_found_as_well(tree: Path) -> None:
    for root in (tree, tree.parent, tree / "dataset"):
        assert len(DexGraspNet(root, object_points="none").load()) == 15


def test_boxes_are_what_the_cloud_test_believes(tmp_path: Path) -> None:
    write_boxes(tmp_path / "bar.obj")
    text = (tmp_path / "bar.obj").read_text()
    assert [line for line in text.splitlines() if line.startswith("o ")] == ["o convex_0", "o convex_1"]
