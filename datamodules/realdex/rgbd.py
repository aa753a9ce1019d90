"""From pictures of RealDex's depth cameras to one cloud of the scene.

Per camera: undistort, unproject, transform to the world, crop, drop hidden points, downsample; then all cameras are
aligned with the first one, merged and cleaned. Two errors of RealDex's own tool are fixed. It removes points hidden
from the world's origin, which keeps backs and drops fronts: here, those hidden from the camera are removed. And it
compares squared distances with its contact threshold, so 31.6 mm instead of 1 mm: see `contact`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...files.errors import BadFile
from ...geometry.hidden_points import hidden_point_removal
from .archive import Folder
from .clouds import crop, icp, remove_outliers, thin_out
from .sync import nearest
from .tables import read_stamps

CAMERAS = 4

Box = tuple[tuple[float, float, float], tuple[float, float, float]]  # Lower and upper corner, metres, world frame


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a ROS CameraInfo; sizes in pixels."""

    matrix: NDArray  # (3, 3), pixels
    distortion: NDArray  # (8,), k1 k2 p1 p2 k3 k4 k5 k6 of the rational model
    width: int
    height: int


@dataclass(frozen=True)
class CloudSettings:
    """Settings of the steps from depth to cloud; metres, world frame (z up, table top at about 0.73 to 0.75)."""

    truncate: float = 3.0  # largest depth of a pixel
    camera_box: Box = ((-0.3, -0.6, 0.5), (2.0, 0.5, 1.4))  # box that crops each camera's points
    merged_box: Box = ((0.78, -0.6, 0.73), (2.0, 0.5, 1.06))  # box that crops the merged cloud: table top and objects
    voxel: float = 0.002  # edge of the cubes that keep one point each
    icp_distance: float = 0.001  # of the alignment with the first camera, as is `icp_steps`
    icp_steps: int = 10
    neighbours: int = 20  # a point is an outlier if its mean distance to these ...
    deviations: float = 2.0  # ... is more than this many standard deviations above the mean
    hidden_radius: float = 100.0  # radius of the flipping sphere, in multiples of the largest distance from the camera


def read_camera(folder: Folder, name: str) -> Camera:
    """Reads `calibration_data/cam<N>_rgb.txt`, a ROS CameraInfo as JSON; raises BadFile if it is malformed."""
    path, content = folder.path / name, _json(folder, name)
    matrix = _numbers(path, content, "K", (3, 3))
    distortion = _numbers(path, content, "D", (8,))
    width, height = (int(_numbers(path, content, key, ())) for key in ("width", "height"))
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and 0 < width <= 8192 and 0 < height <= 8192):
        found = f"K {matrix.tolist()}, {width}x{height}"
        raise BadFile(path, "positive focal lengths and a size of at most 8192", found)
    return Camera(matrix, distortion, width, height)


def read_extrinsics(recording: Folder, calibration: Folder) -> list[NDArray]:
    """world_from_camera (4, 4) of each camera: (world <- cam0) of the recording times (cam0 <- camN) of the rig; raises
    BadFile if `global_name_position/0.txt` or `cali0<N>.json` is absent or malformed.
    """
    name, key = "global_name_position/0.txt", "cam0_rgb_camera_link"
    world_from_first = _numbers(recording.path / name, _json(recording, name), key, (4, 4))
    _check_rigid(recording.path / name, world_from_first)
    others = (_read_calibration(calibration, f"cali0{n}.json") for n in range(1, CAMERAS))
    return [world_from_first, *(world_from_first @ first_from_other for first_from_other in others)]


def undistort(image: NDArray, camera: Camera) -> NDArray:
    """The picture (height, width, ...) of a camera without distortion, by nearest pixels; 0 outside the original
    picture. Its `matrix` is then that of the camera.
    """
    v, u = np.mgrid[: camera.height, : camera.width]
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(camera.matrix).T
    source = np.rint(distort(rays[..., :2], camera)).astype(np.int64)
    inside = ((source >= 0) & (source < [camera.width, camera.height])).all(axis=-1)
    result = np.zeros_like(image)
    result[inside] = image[source[inside, 1], source[inside, 0]]
    return result


def distort(plane: NDArray, camera: Camera) -> NDArray:
    """Pixels (..., 2) of points (..., 2) on the plane at depth 1, by the rational model of OpenCV and ROS."""
    k1, k2, p1, p2, k3, k4, k5, k6 = camera.distortion
    x, y = plane[..., 0], plane[..., 1]
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    moved_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    moved_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    pixels = np.stack([moved_x, moved_y, np.ones_like(x)], axis=-1) @ camera.matrix.T
    return pixels[..., :2]


def depth_points(depth: NDArray[np.uint16], camera: Camera, truncate: float = 3.0) -> tuple[NDArray, NDArray]:
    """Points (N, 3), metres, camera frame (z forward, y down), and their pixels (N, 2) as row and column.

    `depth` is (height, width), millimetres, undistorted, 0 where unknown; from `truncate` metres on it is ignored.
    """
    row, column = np.nonzero((depth > 0) & (depth < truncate * 1000))
    rays = np.stack([column, row, np.ones_like(row)], axis=-1) @ np.linalg.inv(camera.matrix).T
    return rays * (depth[row, column, None] / 1000.0), np.stack([row, column], axis=-1)


def camera_cloud(
    depth: NDArray[np.uint16], camera: Camera, world_from_camera: NDArray, settings: CloudSettings | None = None
) -> NDArray:
    """Cloud of one camera, (N, 3), metres, world frame: cropped, without hidden points, downsampled.

    `depth` is the original picture, (height, width), millimetres; `world_from_camera` is (4, 4).
    """
    settings = settings or CloudSettings()
    world = world_points(depth, camera, world_from_camera, settings)
    seen = hidden_point_removal(world, world_from_camera[:3, 3], settings.hidden_radius)
    return thin_out(world[seen], settings.voxel)


def world_points(depth: NDArray[np.uint16], camera: Camera, pose: NDArray, settings: CloudSettings) -> NDArray:
    """All points (N, 3) of a picture in the camera's box, metres, world frame; arguments as for `camera_cloud`."""
    points, _ = depth_points(undistort(depth, camera), camera, settings.truncate)
    world = points @ pose[:3, :3].T + pose[:3, 3]
    return world[crop(world, settings.camera_box)]


def merged_cloud(clouds: Sequence[NDArray], settings: CloudSettings | None = None) -> NDArray:
    """One cloud (N, 3) of all cameras, metres, world frame; each is aligned with the first one, then outliers are
    removed.
    """
    settings = settings or CloudSettings()
    cropped = [cloud[crop(cloud, settings.merged_box)] for cloud in clouds]
    first, merged = cropped[0], [cropped[0]]
    for cloud in cropped[1:]:
        rotation, translation = icp(cloud, first, settings.icp_distance, settings.icp_steps)
        merged.append(cloud @ rotation.T + translation)
    points = thin_out(np.concatenate(merged), settings.voxel)
    return points[remove_outliers(points, settings.neighbours, settings.deviations)]


def scene_cloud(recording: Folder, calibration: Folder, stamp: int, settings: CloudSettings | None = None) -> NDArray:
    """The scene at a given time, (N, 3), metres, world frame, from the picture of each camera nearest to it.

    `calibration` is the folder `calibration_data`, `stamp` is in nanoseconds of the cameras' clock. Raises BadFile if a
    picture, a list of stamps or a calibration is absent or malformed.
    """
    clouds = []
    for n, pose in enumerate(read_extrinsics(recording, calibration)):
        camera = read_camera(calibration, f"cam{n}_rgb.txt")
        depth = read_depth(recording, picture_at(recording, n, stamp), camera)
        clouds.append(camera_cloud(depth, camera, pose, settings))
    return merged_cloud(clouds, settings)


def picture_at(recording: Folder, camera: int, stamp: int) -> str:
    """File of the depth picture nearest to a stamp; `info.txt` next to the pictures, or BadFile without it, has their
    stamps.
    """
    depth, colour = (f"cam{camera}/{kind}/image_raw" for kind in ("depth_to_rgb", "rgb"))
    listed = depth if recording.exists(f"{depth}/info.txt") else colour
    stamps = read_stamps(recording, f"{listed}/info.txt")
    order = np.argsort(stamps, kind="stable")
    return f"{depth}/{order[nearest(stamps[order], np.array([stamp]))[0]]}.png"


def read_depth(folder: Folder, name: str, camera: Camera) -> NDArray[np.uint16]:
    """(height, width) uint16, millimetres, of a 16-bit PNG; raises BadFile if it is none, or not of the camera's
    size.
    """
    path, expected = folder.path / name, f"a 16-bit PNG of {camera.width}x{camera.height}"
    content = folder.read(name)
    # the size is read before memory is allocated for it
    size = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    if content[:8] != b"\x89PNG\r\n\x1a\n" or size != (camera.width, camera.height):
        raise BadFile(path, expected, f"{size[0]}x{size[1]}" if content[1:4] == b"PNG" else "no PNG")
    try:
        image = iio.imread(content, plugin="pillow", extension=".png")
    except Exception as error:  # decoders raise anything
        raise BadFile(path, expected, str(error)) from error
    if image.ndim != 2 or image.dtype not in (np.uint16, np.int32):
        raise BadFile(path, expected, f"{image.shape} of {image.dtype}")
    return image.astype(np.uint16)


def _read_calibration(folder: Folder, name: str) -> NDArray:
    """cam0_from_camN (4, 4) of `cali0<N>.json`; its quaternion is w, x, y, z."""
    content, path = _json(folder, name), folder.path / name
    try:
        value = content["value0"]
        turn = [float(value["rotation"][key]) for key in "xyzw"]
        place = [float(value["translation"][key]) for key in "xyz"]
    except (KeyError, TypeError, ValueError) as error:
        expected = "value0.rotation {w, x, y, z} and value0.translation {x, y, z}"
        raise BadFile(path, expected, f"{type(error).__name__} {error}") from error
    if not np.isfinite(place).all() or not abs(np.linalg.norm(turn) - 1) < 1e-2:
        raise BadFile(path, "a unit quaternion and a finite translation", f"{turn}, {place}")
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = Rotation.from_quat(turn).as_matrix(), place
    return result


def _json(folder: Folder, name: str) -> dict:
    try:
        content = json.loads(folder.read(name))
    except (ValueError, RecursionError) as error:
        raise BadFile(folder.path / name, "JSON", str(error)) from error
    if not isinstance(content, dict):
        raise BadFile(folder.path / name, "a JSON object", type(content).__name__)
    return content


def _numbers(path: Path, content: dict, key: str, shape: tuple[int, ...]) -> NDArray:
    name = key if key in content else key.lower()  # ROS 2 writes k and d
    try:
        return np.array(content[name], np.float64).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(path, f"{int(np.prod(shape))} numbers", f"{type(error).__name__}: {error}", key=key) from error


def _check_rigid(path: Path, matrix: NDArray) -> None:
    rotation = matrix[:3, :3]
    off = np.abs(rotation.T @ rotation - np.eye(3)).max() if np.isfinite(matrix).all() else np.inf
    if not off < 1e-3 or not np.allclose(matrix[3], [0, 0, 0, 1]):
        raise BadFile(path, "a rigid 4x4 matrix, row by row", f"R^T R off by {off:.2g}, last row {matrix[3]}")
