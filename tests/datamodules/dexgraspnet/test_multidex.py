"""MultiDex's vectors as palm poses: against homogeneous matrices by hand and the hand's own chain."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from dexzoo.datamodules import BadFile, DatasetNotFound
from dexzoo.datamodules.dexgraspnet import MultiDex
from dexzoo.files.unpickle import UnsafePickleError
from dexzoo.grasps.packages import JOINTS

SAME = {"FFJ3": "FFJ2", "LFJ5": "LFJ4", "RFJ4": "RFJ3", "THJ5": "THJ4", "THJ3": "THJ2", "MFJ1": "MFJ0"}
TURNED = {"FFJ4": "FFJ3", "MFJ4": "MFJ3", "THJ2": "THJ1", "THJ1": "THJ0"}
SHADOW = (
    *("FFJ3", "FFJ2", "FFJ1", "FFJ0", "MFJ3", "MFJ2", "MFJ1", "MFJ0", "RFJ3", "RFJ2", "RFJ1", "RFJ0"),
    *("LFJ4", "LFJ3", "LFJ2", "LFJ1", "LFJ0", "THJ4", "THJ3", "THJ2", "THJ1", "THJ0"),
)


class _Gadget:
    def __reduce__(self) -> tuple:
        return os.system, ("true",)


def vectors(n: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    q = rng.uniform(-0.3, 0.3, (n, 33))
    q[:, 3:9] = Rotation.from_rotvec(rng.normal(size=(n, 3))).as_matrix()[:, :, :2].transpose(0, 2, 1).reshape(n, 6)
    return q


def write(root: Path, content: object) -> Path:
    file = root / "MultiDex" / "shadowhand" / "shadowhand.pt"
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, file)
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    names = ("contactdb+apple", "ycb+pear", "contactdb+apple", "contactdb+mug")
    entries = [(torch.tensor(q), name, 0) for q, name in zip(vectors(4), names, strict=True)]
    write(tmp_path, {"info": {}, "metadata": entries})
    for name in set(names):
        file = tmp_path / "object" / name.replace("+", "/") / f"{name.split('+')[1]}.stl"
        file.parent.mkdir(parents=True)
        trimesh.creation.box((0.06, 0.05, 0.04)).export(file)
    return tmp_path


def _matrix(rotation: np.ndarray, translation: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


def test_palm_joints_and_objects(root: Path) -> None:
    data = MultiDex(root, n_object_points=32)
    data.setup()
    store = data.load()
    assert sorted(sample.name for sample in store) == [
        *("contactdb+apple/0", "contactdb+apple/2", "contactdb+mug/3", "ycb+pear/1"),
    ]
    assert data.flags == ("assumed_forearm_root",)
    for sample in store:
        q = vectors(4)[int(sample.name.rpartition("/")[2])]
        joints = dict(zip(JOINTS, q[9:], strict=True))
        first, second = q[3:6], q[6:9]
        forearm = _matrix(np.stack([first, second, np.cross(first, second)], axis=1), tuple(q[:3]))
        wrist = _matrix(Rotation.from_euler("y", joints["WRJ2"]).as_matrix(), (0, -0.010, 0.21301))
        palm = _matrix(Rotation.from_euler("x", joints["WRJ1"]).as_matrix(), (0, 0, 0.034))
        expected = forearm @ wrist @ palm
        np.testing.assert_allclose(sample.pose.rotation, expected[:3, :3], atol=1e-6)
        np.testing.assert_allclose(sample.pose.translation, expected[:3, 3], atol=1e-6)
        for pairs, sign in ((SAME, 1), (TURNED, -1)):
            for theirs, ours in pairs.items():
                assert sample.pose.joints[SHADOW.index(ours)] == pytest.approx(sign * joints[theirs], abs=1e-6)
        assert sample.object_points.abs().amax(0).tolist() == pytest.approx([0.03, 0.025, 0.02], rel=0.01)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"info": {}}, "metadata: expected a dict with a list of grasps, found keys info"),
        ([1], "metadata: expected a dict with a list of grasps, found list"),
        ({"metadata": [(torch.zeros(31), "a")]}, r"row 0, q: expected 33 numbers, found 31; is it of another hand"),
        ({"metadata": [(torch.zeros(33),)]}, r"row 0: expected \(q, object name\), found tuple"),
        ({"metadata": [("far", "a")]}, "row 0, q: expected 33 numbers, found str"),
    ],
)
def test_bad_content(tmp_path: Path, content: object, message: str) -> None:
    file = write(tmp_path, content)
    with pytest.raises(BadFile, match=message) as caught:
        MultiDex(tmp_path, object_points="none").load()
    assert str(file) in str(caught.value)


def test_damaged_and_dangerous_files(root: Path) -> None:
    file = root / "MultiDex/shadowhand/shadowhand.pt"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(BadFile, match=r"shadowhand\.pt: expected a file of torch\.save, found a damaged one"):
        MultiDex(root, object_points="none").load()
    write(root, {"metadata": [_Gadget()]})
    with pytest.raises(UnsafePickleError, match=r"shadowhand\.pt: refused to load more than tensors"):
        MultiDex(root, object_points="none").load()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"searched for MultiDex/shadowhand/shadowhand\.pt"):
        MultiDex(tmp_path).load()
