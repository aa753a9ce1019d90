"""Data that `prepare` derives from calibrated cameras: the robot's clock offset, and clouds of the object."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...files.errors import BadFile
from ...geometry.sdf import SignedDistance
from ...hands.load import load_hand
from ...hands.pose import HandPose
from .archive import Folder
from .clock import STAMPS
from .recording import Recording
from .rgbd import Box, CloudSettings, picture_at, read_camera, read_depth, read_extrinsics, scene_cloud, world_points
from .sync import SyncRule, first_fit
from .tables import read_stamps
from .tf import RobotMotion, hinges, read_robot

SIDE = 3  # Camera used to find the robot's clock, as in RealDex
ON_OBJECT = 0.01
"""Metres from the mesh within which a scene point belongs to the object. RealDex uses the mesh's bounding box,
which includes table and hand."""

MARGIN = 0.15
"""Metres around the object that are kept until the cameras are aligned. Hidden-point removal on everything that a
camera sees, a million points, takes a quarter of a minute."""

_STATE = 10_000_000  # nanoseconds between the robot states that are tried
_LONGEST = 3_600_000_000_000  # nanoseconds, longest recording
_LEAST = 200_000_000  # nanoseconds of states required before the first and after the last frame


@dataclass(frozen=True)
class _States:
    """Points of the hand in each state of the robot; without the arm, for which there is no mesh."""

    motion: RobotMotion
    n_points: int = 1000

    def __call__(self, state: int) -> NDArray | None:
        if not self.motion.covered[state]:
            return None
        hand, names = load_hand("shadow_e3m5"), [hinge.joint for hinge in hinges()]
        joints = self.motion.joints[state, [names.index(name) for name in hand.joint_names]]
        translation, rotation = self.motion.palm_translation[state], self.motion.palm_rotation[state]
        pose = HandPose(*(torch.from_numpy(part) for part in (translation, rotation, joints)), hand=hand.name)
        links = hand.forward_kinematics(pose)
        return hand.place(links, hand.surface(self.n_points)).numpy()


def find_clock(
    folder: Folder, calibration: Folder, rule: SyncRule | None = None, settings: CloudSettings | None = None
) -> int:
    """Nanoseconds by which the robot's clock is ahead of the cameras', found by the shape of the hand; see `sync`.

    `folder` is that of the recording, with TF files and the depth pictures of camera 3; `calibration` is
    `calibration_data`. Raises BadFile if a file is absent or malformed, DataError if no frame shows the hand.
    """
    settings = settings or CloudSettings()
    frames = read_stamps(folder, STAMPS)
    if frames.max() - frames.min() > _LONGEST:
        raise BadFile(folder.path / STAMPS, "at most an hour", f"{(frames.max() - frames.min()) / 1e9:g} s")
    states = np.arange(frames.min() - _LEAST, frames.max() + _LEAST, _STATE)
    pose, camera = read_extrinsics(folder, calibration)[SIDE], read_camera(calibration, f"cam{SIDE}_rgb.txt")

    def cloud(frame: int) -> NDArray:
        depth = read_depth(folder, picture_at(folder, SIDE, int(frames[frame])), camera)
        return world_points(depth, camera, pose, settings)

    fit = first_fit(frames, states, _States(read_robot(folder, states)), cloud, rule)
    return int(states[fit.state] - frames[fit.frame])


def object_clouds(
    folder: Folder,
    calibration: Folder,
    recording: Recording,
    mesh: trimesh.Trimesh,
    settings: CloudSettings | None = None,
) -> tuple[NDArray, ...]:
    """The object as seen at the start of each segment of a recording, (n, 3), metres, object frame.

    In the object frame a cloud moves along: p_t = R_t R_0^T (p_0 - t_0) + t_t is the pose at t applied to it.
    `calibration` is the folder `calibration_data`, `mesh` is in the object frame, and a box around the object replaces
    those of `settings`. Raises BadFile if a picture, a list of stamps or a calibration is absent or malformed.
    """
    stamps, distance, clouds = read_stamps(folder, STAMPS), SignedDistance(mesh), []
    for start, _ in recording.segments:
        turn, place = Rotation.from_matrix(recording.object_rotation[start]), recording.object_translation[start]
        box = _around(turn.apply(mesh.vertices) + place)
        around = replace(settings or CloudSettings(), camera_box=box, merged_box=box)
        local = turn.inv().apply(scene_cloud(folder, calibration, int(stamps[start]), around) - place)
        local = local[(np.abs(local - mesh.bounds.mean(axis=0)) <= mesh.extents / 2 + ON_OBJECT).all(axis=1)]
        near = distance(torch.from_numpy(local)).abs().numpy() <= ON_OBJECT
        clouds.append(local[near])
    return tuple(clouds)


def _around(vertices: NDArray) -> Box:
    """The world bounding box of an object, with MARGIN on all sides."""
    (x, y, z), (far_x, far_y, far_z) = vertices.min(axis=0) - MARGIN, vertices.max(axis=0) + MARGIN
    return (x, y, z), (far_x, far_y, far_z)
