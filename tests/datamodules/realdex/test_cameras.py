"""Depth pictures of the demo hand and a can: the robot's clock and the object's clouds come back from them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from dexzoo.datamodules import RealDexMotion
from dexzoo.datamodules.demo import realdex_tree
from dexzoo.datamodules.realdex.archive import DiskFolder
from dexzoo.datamodules.realdex.cameras import find_clock
from dexzoo.datamodules.realdex.prepare import prepare
from dexzoo.datamodules.realdex.recording import Recording, read_recording
from dexzoo.files.errors import BadFile
from dexzoo.hands.load import load_hand

WIDTH, HEIGHT = 240, 136
MATRIX = np.array([[114.0, 0, 120], [0, 113.5, 68], [0, 0, 1]])
AHEAD = 40_000_000
"""Nanoseconds that the demo tree's robot clock is ahead."""
MOVING = 14
"""First frame in which camera 3 sees the hand."""


def camera_pose(angle: float, target: np.ndarray) -> np.ndarray:
    """world_from_camera at 0.7 m from a point, looking at it."""
    back = np.array([0.5 * np.cos(angle), 0.5 * np.sin(angle), 0.5])
    forward = -back / np.linalg.norm(back)
    right = np.cross(forward, [0, 0, 1]) / np.linalg.norm(np.cross(forward, [0, 0, 1]))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.stack([right, np.cross(forward, right), forward], axis=1), target + back
    return pose


def splatted(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Depth picture of points: in each pixel the nearest one."""
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    pixel = np.rint((local @ MATRIX.T)[:, :2] / local[:, 2:]).astype(int)
    inside = ((pixel >= 0) & (pixel < [WIDTH, HEIGHT])).all(axis=1) & (local[:, 2] > 0)
    depth = np.full((HEIGHT, WIDTH), 65535)
    np.minimum.at(depth, (pixel[inside, 1], pixel[inside, 0]), np.round(1000 * local[inside, 2]).astype(int))
    return np.where(depth == 65535, 0, depth).astype(np.uint16)


def write_pictures(recording: Recording, folder: Path, rig: Path, mesh: trimesh.Trimesh) -> None:
    """Pictures of four cameras: the can at the start of each segment, and for camera 3 the hand from MOVING on."""
    rig.mkdir()
    poses = [camera_pose(angle, recording.object_translation[0] + [0, 0, 0.05]) for angle in (0.4, 2.0, 3.5, 5.2)]
    surface = trimesh.sample.sample_surface(mesh, 20_000, seed=0)[0]
    starts = [start for start, _ in recording.segments]
    for n, pose in enumerate(poses):
        frames: Iterable[int] = {*starts, *range(MOVING + 2)} if n == 3 else starts
        images = folder / f"cam{n}/depth_to_rgb/image_raw"
        images.mkdir(parents=True)
        (images / "info.txt").write_text((folder / "rgbimage_timestamp.txt").read_text())
        for k in frames:
            points = surface @ recording.object_rotation[k].T + recording.object_translation[k]
            if n == 3 and MOVING <= k < MOVING + 2:
                points = np.concatenate([points, hand_points(recording, k)])
            iio.imwrite(images / f"{k}.png", splatted(points, pose))
        info = {"K": MATRIX.ravel().tolist(), "D": [0.0] * 8, "width": WIDTH, "height": HEIGHT}
        (rig / f"cam{n}_rgb.txt").write_text(json.dumps(info))
        to_first = np.linalg.inv(poses[0]) @ pose
        turn = dict(zip("xyzw", Rotation.from_matrix(to_first[:3, :3]).as_quat().tolist(), strict=True))
        place = dict(zip("xyz", to_first[:3, 3].tolist(), strict=True))
        (rig / f"cali0{n}.json").write_text(json.dumps({"value0": {"rotation": turn, "translation": place}}))
    (folder / "global_name_position").mkdir()
    name = {"cam0_rgb_camera_link": poses[0].ravel().tolist()}
    (folder / "global_name_position/0.txt").write_text(json.dumps(name))


def hand_points(recording: Recording, frame: int) -> np.ndarray:
    """30 000 points of the hand where it truly is."""
    from dexzoo.datamodules.realdex.contact import robot_pose

    hand = load_hand("shadow_e3m5")
    links = hand.forward_kinematics(robot_pose(recording)[frame])
    solids = hand.mesh(robot_pose(recording)[frame], visual=False)
    assert torch.isfinite(links.translation).all()
    return trimesh.sample.sample_surface(solids, 30_000, seed=0)[0]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo recording of a can, with pictures and without RealDex's own time synchronisation."""
    monkeypatch.setattr(realdex_tree, "OBJECTS", ("can",))
    monkeypatch.setattr(realdex_tree, "RECORDINGS", 1)
    monkeypatch.setattr(realdex_tree, "CLIPS", 2)
    realdex_tree.write_tree(tmp_path / "raw")
    folder = tmp_path / "raw/can/can_1_20000101"
    recording = read_recording(DiskFolder(folder))
    write_pictures(recording, folder, tmp_path / "calibration_data", trimesh.load(tmp_path / "raw/models/can.obj"))
    (folder / "scene_to_mesh.json").unlink()
    return tmp_path


@pytest.mark.slow
def test_the_robots_clock_is_found_by_the_shape_of_the_hand(tree: Path) -> None:
    folder = DiskFolder(tree / "raw/can/can_1_20000101")
    found = find_clock(folder, DiskFolder(tree / "calibration_data"))
    assert abs(found - AHEAD) <= 20_000_000  # two states


def test_prepare_makes_clouds_of_the_object_and_finds_the_clock(tree: Path) -> None:
    outcome = prepare(tree / "raw", tree / "out", calibration=tree / "calibration_data")
    assert outcome.skipped == []
    clips = RealDexMotion(tree / "out", object_points="scene", n_object_points=256).load()
    assert [clip.flags for clip in clips] == [("clock_found",)] * 2
    query = trimesh.proximity.ProximityQuery(trimesh.load(tree / "raw/models/can.obj"))
    for clip in clips:
        assert clip.object_points.shape == (256, 3)
        distance = np.abs(query.signed_distance(clip.object_points.double().numpy()))
        assert np.quantile(distance, 0.9) < 0.004  # in the object's frame, so they move along with it
        angle = np.arctan2(*clip.object_points[:, :2].T.numpy())
        assert np.histogram(angle, 8, (-np.pi, np.pi))[0].min() > 5  # seen from all sides
    assert prepare(tree / "raw", tree / "out", calibration=tree / "calibration_data").made == []
    assert len(prepare(tree / "raw", tree / "out").made) == 1  # without clouds it is another result


def test_clouds_of_the_scene_have_to_be_prepared(tree: Path) -> None:
    with pytest.raises(BadFile, match=r"clouds of the scene, found none; `dexzoo prepare .* --calibration FOLDER`"):
        RealDexMotion(tree / "raw", object_points="scene").load()


def test_a_picture_that_is_absent_leaves_the_recording_out_and_says_so(tree: Path) -> None:
    (tree / "raw/can/can_1_20000101/cam2/depth_to_rgb/image_raw/0.png").unlink()
    outcome = prepare(tree / "raw", tree / "out", calibration=tree / "calibration_data")
    ((name, why),) = outcome.skipped
    assert name.endswith("can_1_20000101")
    assert why == "cam2/depth_to_rgb/image_raw/0.png: expected a file, found no such file"
