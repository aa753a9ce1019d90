"""GrabNet's release: poses against closed forms, and bad files by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from dexzoo.datamodules.errors import DatasetNotFound
from dexzoo.datamodules.grab import read_grabnet
from dexzoo.files.errors import BadFile, UnknownName
from dexzoo.geometry.meshes import load_mesh
from dexzoo.hands.mano_standin import standin

from .conftest import object_mesh

Writer = Callable[..., Path]
N = 6
NAMES = [f"test/data/s{1 + k % 2}/{name}/{k:05d}.npz" for k, name in enumerate(3 * ["mug_lift", "camera_pick_all"])]


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def turns(*shape: int) -> np.ndarray:
        flat = Rotation.from_rotvec(rng.normal(size=(int(np.prod(shape)), 3))).as_matrix()
        return flat.reshape(*shape, 3, 3).astype(np.float32)

    hand = {"global_orient_rhand_rotmat": turns(N, 1), "fpose_rhand_rotmat": turns(N, 15)}
    hand["trans_rhand"] = rng.normal(size=(N, 3)).astype(np.float32)
    perturbed = {f"{key}_f": value[::-1].copy() for key, value in hand.items()}
    obj = {"trans_obj": rng.normal(size=(N, 3)).astype(np.float32), "root_orient_obj_rotmat": turns(N, 1)}
    return {**hand, **perturbed, **obj}


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Writes the release; keywords replace arrays, `names`, `objects` or `people`, None leaves an array out."""

    def write(names: Any = NAMES, objects: Any = None, people: Any = None, **changes: Any) -> Path:
        mesh = object_mesh()
        both = {"verts": np.array(mesh.vertices, np.float32), "faces": np.array(mesh.faces)}
        objects = {name: both for name in ("mug", "camera")} if objects is None else objects
        template = np.asarray(standin()["v_template"])
        people = {f"s{k}": {"rh_vtemp": template * (1 + 0.02 * k)} for k in (1, 2)} if people is None else people
        np.save(tmp_path / "obj_info.npy", objects, allow_pickle=True)
        np.save(tmp_path / "sbj_info.npy", people, allow_pickle=True)
        (tmp_path / "test").mkdir(exist_ok=True)
        np.savez(tmp_path / "test/frame_names.npz", frame_names=np.array(names))
        content = {key: value for key, value in (arrays() | changes).items() if value is not None}
        np.savez(tmp_path / "test/grabnet_test.npz", **content)
        return tmp_path

    return write


@pytest.fixture(autouse=True)
def _model(mano: Path) -> None:
    """The stand-in for MANO is there."""


def test_hands_in_the_frame_of_the_object(write: Writer) -> None:
    """A vertex of the object is at v M + t, so a point x of the world is at (x - t) M^T in its frame."""
    data, grasps = arrays(), read_grabnet(write(), "test", n_object_points=16)
    regressor, template = standin()["J_regressor"], np.asarray(standin()["v_template"])
    assert len(grasps) == N
    for k, sample in enumerate(grasps):
        wrist = (regressor @ template)[0] * (1 + 0.02 * (1 + k % 2)) + data["trans_rhand"][k]
        matrix = data["root_orient_obj_rotmat"][k, 0]
        np.testing.assert_allclose(sample.pose.translation, (wrist - data["trans_obj"][k]) @ matrix.T, atol=1e-6)
        np.testing.assert_allclose(sample.up, np.array([0.0, 0.0, 1.0]) @ matrix.T, atol=1e-6)
        fingers = Rotation.from_rotvec(sample.pose.joints.numpy().reshape(15, 3)).as_matrix()
        np.testing.assert_allclose(fingers, data["fpose_rhand_rotmat"][k], atol=1e-6)
        turned = matrix @ data["global_orient_rhand_rotmat"][k, 0]
        np.testing.assert_allclose(sample.pose.rotation, turned, atol=1e-6)
        name = ("mug", "camera")[k % 2]
        assert (sample.object, sample.name.split("/")[0]) == (name, name)
        assert sample.name.endswith(f"/{k:05d}")
        assert sample.object_points.shape == (16, 3)
    assert len({sample.name for sample in grasps}) == N


def test_meshes_are_those_of_the_release(write: Writer) -> None:
    sample = read_grabnet(write(), "test", n_object_points=16)[0]
    assert sample.mesh is not None
    np.testing.assert_allclose(load_mesh(sample.mesh).vertices, object_mesh().vertices, atol=1e-6)
    distance = trimesh.proximity.closest_point(object_mesh(), sample.object_points.numpy())[1]
    assert distance.max() < 1e-6


def test_the_perturbed_hands_are_those_of_the_other_keys(write: Writer) -> None:
    grasps = read_grabnet(write(), "test", perturbed=True, n_object_points=16)
    fingers = Rotation.from_rotvec(grasps[0].pose.joints.numpy().reshape(15, 3)).as_matrix()
    np.testing.assert_allclose(fingers, arrays()["fpose_rhand_rotmat"][-1], atol=1e-6)
    assert grasps[0].flags == ("mano_stand_in", "perturbed_hand")


def test_parts_of_the_splits(write: Writer) -> None:
    grasps = read_grabnet(write(), "test", "mano_skeleton", n_object_points=16)
    assert grasps.flags == ("generic_skeleton",)
    assert len(grasps.part("test")) == N
    assert len(grasps.part("train", "saga_subjects")) == N


def test_the_folder_above_data_will_do(write: Writer, tmp_path: Path) -> None:
    root = write()
    (tmp_path / "up").mkdir()
    (tmp_path / "up/data").symlink_to(root)
    assert len(read_grabnet(tmp_path / "up", "test", n_object_points=16)) == N


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trans_rhand": None}, r"grabnet_test\.npz: expected the keys .* found no 'trans_rhand' among"),
        ({"trans_rhand": np.zeros((N, 4))}, r"trans_rhand: expected \(N, 3\) numbers, found \(6, 4\)"),
        ({"trans_rhand": np.zeros((N - 1, 3))}, r"expected as many rows in every array, found \[5, 6\]"),
        ({"trans_obj": np.full((N, 3), np.nan)}, "trans_obj: expected finite numbers, found nan at row 0"),
        (
            {"root_orient_obj_rotmat": np.ones((N, 1, 3, 3))},
            "expected rotation matrices, found R.T R off by 3 at row 0",
        ),
        (
            {"root_orient_obj_rotmat": -np.tile(np.eye(3), (N, 1, 1, 1))},
            "expected rotation matrices, found .*inf at row",
        ),
        ({"names": NAMES[:-1]}, r"frame_names\.npz, frame_names: expected 6 names, as many as grasps, found 5"),
        ({"names": ["x"] * N}, r"frame_names, row 0: expected <part>/data/<subject>/<sequence>/<frame>.npz, found"),
        ({"names": ["test/data/s1/cup1_lift/1.npz"] * N}, "row 0: expected a sequence of GRAB, found .* 'cup1'"),
        ({"objects": {}}, r"obj_info\.npy, (mug|camera)\['verts'\]: expected '(mug|camera)' with 'verts'"),
        ({"objects": np.zeros(3)}, r"obj_info\.npy: expected a dict in a 0-d array, found an array of shape \(3,\)"),
        ({"people": {"s1": {"rh_vtemp": np.zeros((5, 3))}}}, r"sbj_info\.npy, s.\['rh_vtemp'\]: expected"),
    ],
)
def test_bad_files(write: Writer, changes: dict, message: str) -> None:
    with pytest.raises(BadFile, match=message):
        read_grabnet(write(**changes), "test", n_object_points=16)


def test_what_is_missing_is_named(write: Writer, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"no train/grabnet_train\.npz, train/frame_names\.npz"):
        read_grabnet(write())
    with pytest.raises(DatasetNotFound, match="no such folder"):
        read_grabnet(tmp_path / "absent")
    with pytest.raises(UnknownName, match=r"part: .* did you mean 'test'"):
        read_grabnet(tmp_path, "tset")
