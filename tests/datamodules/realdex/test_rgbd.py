"""Depth pictures of a ball on a table, drawn by hand, from four cameras in RealDex's files."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from scipy.optimize import root
from scipy.spatial.transform import Rotation

from dexzoo.datamodules.realdex.archive import DiskFolder
from dexzoo.datamodules.realdex.clouds import crop
from dexzoo.datamodules.realdex.rgbd import (
    Camera,
    CloudSettings,
    camera_cloud,
    depth_points,
    distort,
    merged_cloud,
    read_camera,
    read_depth,
    read_extrinsics,
    scene_cloud,
    undistort,
)
from dexzoo.files.errors import BadFile

WIDTH, HEIGHT = 240, 136
CENTRE, RADIUS, TABLE = np.array([1.2, 0.0, 0.83]), 0.08, 0.74
DISTORTION = (0.45, -2.6, 0.0006, -0.0003, 1.5, 0.33, -2.4, 1.4)  # as cameras of this kind have it
NONE = (0.0,) * 8
NOW = 1_699_182_594_066_666_667
"""Stamp of the frame that shows the scene; all others are black."""


def camera(distortion: tuple = NONE) -> Camera:
    scale = WIDTH / 1920
    matrix = np.array([[910 * scale, 0, 961 * scale], [0, 908 * scale, 548 * scale], [0, 0, 1]])
    return Camera(matrix, np.array(distortion), WIDTH, HEIGHT)


def opencv(x: float, y: float, d: tuple) -> tuple[float, float]:
    """The model as the documentation of OpenCV prints it."""
    k1, k2, p1, p2, k3, k4, k5, k6 = d
    r = (x**2 + y**2) ** 0.5
    factor = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    return (
        x * factor + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
        y * factor + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
    )


def looking_at_the_ball(angle: float) -> np.ndarray:
    """world_from_camera of a camera 0.8 m from the ball, seen from `angle` about z, and from above."""
    eye = CENTRE + np.array([0.6 * np.cos(angle), 0.6 * np.sin(angle), 0.5])
    forward = (CENTRE - eye) / np.linalg.norm(CENTRE - eye)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.stack([right, np.cross(forward, right), forward], axis=1), eye
    return pose


def rays(cam: Camera) -> np.ndarray:
    """(height, width, 3) rays of depth 1 of the pixels as the camera takes them, the model inverted by scipy."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    x = (u - cam.matrix[0, 2]) / cam.matrix[0, 0]
    y = (v - cam.matrix[1, 2]) / cam.matrix[1, 1]
    if np.any(cam.distortion):
        wanted = np.stack([x, y])

        def off(flat: np.ndarray) -> np.ndarray:
            return (np.stack(opencv(*flat.reshape(wanted.shape), tuple(cam.distortion))) - wanted).ravel()

        x, y = root(off, wanted.ravel(), method="krylov", tol=1e-9).x.reshape(wanted.shape)
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def draw(cam: Camera, pose: np.ndarray) -> np.ndarray:
    """Depth in millimetres, uint16, of the ball and the table."""
    eye, way = pose[:3, 3], rays(cam) @ pose[:3, :3].T
    b, c = way @ (eye - CENTRE), (eye - CENTRE) @ (eye - CENTRE) - RADIUS**2
    a = (way**2).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        ball = (-b - np.sqrt(b * b - a * c)) / a
    table = (TABLE - eye[2]) / way[..., 2]
    depth = np.where(np.isfinite(ball), ball, np.where(table > 0, table, 0))
    return np.round(np.where(depth < 60, depth, 0) * 1000).astype(np.uint16)


def distance(points: np.ndarray) -> np.ndarray:
    """From the ball or the table, whichever is nearer."""
    ball = np.abs(np.linalg.norm(points - CENTRE, axis=1) - RADIUS)
    return np.minimum(ball, np.abs(points[:, 2] - TABLE))


class TestDistortion:
    def test_it_is_the_model_of_opencv(self) -> None:
        cam, plane = camera(DISTORTION), np.random.default_rng(0).uniform(-1, 1, (50, 2))
        expected = [opencv(x, y, DISTORTION) for x, y in plane]
        expected = np.array(expected) * cam.matrix[[0, 1], [0, 1]] + cam.matrix[:2, 2]
        np.testing.assert_allclose(distort(plane, cam), expected, atol=1e-9)

    def test_an_undistorted_picture_holds_the_pixels_of_a_loop(self) -> None:
        cam = camera(DISTORTION)
        image = np.random.default_rng(1).integers(1, 60_000, (HEIGHT, WIDTH)).astype(np.uint16)
        expected = np.zeros_like(image)
        for v in range(HEIGHT):
            for u in range(WIDTH):
                x = (u - cam.matrix[0, 2]) / cam.matrix[0, 0]
                y = (v - cam.matrix[1, 2]) / cam.matrix[1, 1]
                x, y = opencv(x, y, DISTORTION)
                column = round(x * cam.matrix[0, 0] + cam.matrix[0, 2])
                row = round(y * cam.matrix[1, 1] + cam.matrix[1, 2])
                if 0 <= row < HEIGHT and 0 <= column < WIDTH:
                    expected[v, u] = image[row, column]
        found = undistort(image, cam)
        assert found.dtype == np.uint16
        assert (found == 0).any()
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(undistort(image, camera()), image)

    def test_undistorted_depth_lies_on_the_surfaces(self) -> None:
        pose, cam = looking_at_the_ball(0.5), camera(DISTORTION)
        settings = CloudSettings(camera_box=((0, -1, 0.5), (2, 1, 1.4)))
        right = camera_cloud(draw(cam, pose), cam, pose, settings)
        wrong = camera_cloud(draw(cam, pose), camera(), pose, settings)
        assert np.quantile(distance(right), 0.95) < 0.005  # nearest pixels: a pixel is 7 mm wide here
        assert np.quantile(distance(wrong), 0.95) > 0.008


class TestLifting:
    def test_depth_is_along_the_axis_and_in_millimetres(self) -> None:
        depth = np.zeros((HEIGHT, WIDTH), np.uint16)
        depth[10, 20], depth[11, 21], depth[100, 200] = 1500, 3000, 2999
        cam = camera()
        points, pixels = depth_points(depth, cam)
        assert pixels.tolist() == [[10, 20], [100, 200]]  # from 3 m on it is left out
        np.testing.assert_allclose(points[:, 2], [1.5, 2.999])
        back = points @ cam.matrix.T
        np.testing.assert_allclose(back[:, :2] / back[:, 2:], pixels[:, ::-1], atol=1e-9)

    def test_the_camera_sees_its_side_of_the_ball(self) -> None:
        """Hidden points are those hidden from the camera: from the world's origin the far side would be kept."""
        pose, cam = looking_at_the_ball(0.0), camera()
        points = camera_cloud(draw(cam, pose), cam, pose)
        on_ball = points[np.abs(np.linalg.norm(points - CENTRE, axis=1) - RADIUS) < 0.002]
        assert len(on_ball) > 300
        assert np.quantile(distance(points), 0.99) < 0.001
        assert (on_ball[:, 0] > CENTRE[0] - 0.05).all()


def write_scene(folder: Path, calibration: Path, distortion: tuple = NONE) -> list[np.ndarray]:
    """Pictures and calibration of four cameras; those of camera 1 begin three frames before the others."""
    poses = [looking_at_the_ball(a) for a in (0.3, 1.8, 3.4, 5.0)]
    calibration.mkdir(parents=True)
    for n, pose in enumerate(poses):
        cam = camera(distortion)
        images = folder / f"cam{n}/depth_to_rgb/image_raw"
        images.mkdir(parents=True)
        first = 3 if n == 1 else 0
        stamps = 1_699_182_594_000_000_000 + 66_666_667 * (np.arange(first + 2) - first) + 1_000_000 * n
        (images / "info.txt").write_text("\n".join(map(str, stamps)))
        for k in range(first + 2):
            drawn = draw(cam, pose) if k == first + 1 else np.zeros((HEIGHT, WIDTH), np.uint16)
            iio.imwrite(images / f"{k}.png", drawn)
        info = {"K": cam.matrix.ravel().tolist(), "D": list(distortion), "width": WIDTH, "height": HEIGHT}
        (calibration / f"cam{n}_rgb.txt").write_text(json.dumps(info))
        if n:
            to_first = np.linalg.inv(poses[0]) @ pose
            x, y, z, w = Rotation.from_matrix(to_first[:3, :3]).as_quat().tolist()
            value = {
                "rotation": {"w": w, "x": x, "y": y, "z": z},
                "translation": dict(zip("xyz", to_first[:3, 3].tolist(), strict=True)),
            }
            (calibration / f"cali0{n}.json").write_text(json.dumps({"value0": value}))
    (folder / "global_name_position").mkdir()
    name = {"cam0_rgb_camera_link": poses[0].ravel().tolist()}
    (folder / "global_name_position" / "0.txt").write_text(json.dumps(name))
    return poses


class TestScene:
    def test_cameras_are_placed_by_the_recording_and_the_rig(self, tmp_path: Path) -> None:
        poses = write_scene(tmp_path / "mug_1", tmp_path / "rig")
        found = read_extrinsics(DiskFolder(tmp_path / "mug_1"), DiskFolder(tmp_path / "rig"))
        for expected, pose in zip(poses, found, strict=True):
            np.testing.assert_allclose(pose, expected, atol=1e-12)

    def test_four_cameras_see_the_ball_from_all_sides(self, tmp_path: Path) -> None:
        write_scene(tmp_path / "mug_1", tmp_path / "rig")
        cloud = scene_cloud(DiskFolder(tmp_path / "mug_1"), DiskFolder(tmp_path / "rig"), NOW)
        lower, upper = np.array(CloudSettings().merged_box)
        assert crop(cloud, (lower - 0.001, upper + 0.001)).all()  # a cloud is cropped before it is aligned
        assert np.quantile(distance(cloud), 0.99) < 0.0015
        on_ball = cloud[np.abs(np.linalg.norm(cloud - CENTRE, axis=1) - RADIUS) < 0.002] - CENTRE
        sides = np.floor((np.arctan2(on_ball[:, 1], on_ball[:, 0]) + np.pi) / (2 * np.pi) * 8).astype(int)
        assert np.bincount(sides.clip(0, 7), minlength=8).min() > 50

    def test_a_camera_that_is_off_by_half_a_millimetre_is_aligned(self) -> None:
        pose, cam = looking_at_the_ball(0.3), camera()
        cloud = camera_cloud(draw(cam, pose), cam, pose, CloudSettings(camera_box=((0.9, -0.3, 0.7), (1.5, 0.3, 1))))
        moved = cloud + np.array([0.0004, -0.0003, 0.0002])
        alone, both = merged_cloud([cloud]), merged_cloud([cloud, moved])
        assert abs(len(both) - len(alone)) < 0.05 * len(alone)  # they fall into the same voxels
        assert np.quantile(distance(both), 0.99) < 0.001

    def test_each_defect_is_named(self, tmp_path: Path) -> None:
        write_scene(tmp_path / "mug_1", tmp_path / "rig")
        recording, rig = DiskFolder(tmp_path / "mug_1"), DiskFolder(tmp_path / "rig")
        depth = "cam0/depth_to_rgb/image_raw/1.png"
        for image, found in (
            (np.zeros((HEIGHT, WIDTH), np.uint8), r"of uint8"),
            (np.zeros((HEIGHT, WIDTH + 1), np.uint16), "241x136"),
            (np.zeros((HEIGHT, WIDTH, 3), np.uint8), r"\(136, 240, 3\) of uint8"),
        ):
            iio.imwrite(recording.path / depth, image)
            with pytest.raises(BadFile, match=rf"1.png: expected a 16-bit PNG of 240x136, found .*{found}"):
                read_depth(recording, depth, camera())
        content = (recording.path / "cam0/depth_to_rgb/image_raw/0.png").read_bytes()
        for damaged in (b"", b"JFIF" * 9, content[:40], content[:24]):
            (recording.path / depth).write_bytes(damaged)
            with pytest.raises(BadFile, match=r"1.png: expected a 16-bit PNG"):
                read_depth(recording, depth, camera())
        for file, text, message in (
            ("rig/cam0_rgb.txt", "{}", r"cam0_rgb.txt, K: expected 9 numbers, found KeyError"),
            ("rig/cam0_rgb.txt", "[", r"cam0_rgb.txt: expected JSON"),
            ("rig/cam0_rgb.txt", "[]", r"cam0_rgb.txt: expected a JSON object, found list"),
            ("rig/cali01.json", '{"value0": {}}', r"cali01.json: expected value0.rotation {w, x, y, z}"),
            ("mug_1/global_name_position/0.txt", json.dumps({"cam0_rgb_camera_link": [2] * 16}), r"a rigid 4x4 matrix"),
        ):
            kept = (tmp_path / file).read_text()
            (tmp_path / file).write_text(text)
            with pytest.raises(BadFile, match=message):
                _ = read_camera(rig, "cam0_rgb.txt"), read_extrinsics(recording, rig)
            (tmp_path / file).write_text(kept)
