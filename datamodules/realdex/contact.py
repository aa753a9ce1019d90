"""Distance of the hand's surface to the object's mesh, and the static grasps derived from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor

from ...files.cache import cached, content_key
from ...geometry.meshes import load_mesh, mesh_hash
from ...geometry.sdf import SignedDistance
from ...hands.hand import Hand
from ...hands.load import load_hand
from ...hands.pose import HandPose
from ..types import GraspSample, MotionSample
from .archive import Folder
from .final import JOINTS
from .recording import Recording, check_covered
from .segments import SegmentRule, find_segments, moving, no_segments

CONTACT = 0.01
"""Metres between hand and object that count as contact. RealDex intends 1 mm but applies 31.6 (a squared distance)."""
HAND_POINTS = 1000  # Points on the surface of the hand without the forearm, as in RealDex

_FAR = 0.05  # metres between the hand's reach and the object's bounding sphere beyond which nothing is measured
_REACH = 0.25  # metres from the palm's origin to the farthest point of the hand
_CHUNK = 64  # frames per chunk


def surface_distance(
    hand: Hand,
    pose: HandPose,
    object_rotation: Tensor,
    object_translation: Tensor,
    mesh: trimesh.Trimesh,
    frames: NDArray[np.int64] | None = None,
    n_points: int = HAND_POINTS,
) -> NDArray:
    """Least signed distance (T,) of the hand's surface to the object's, metres, negative where a point is inside.

    Infinite in frames that are not measured, because they are not in `frames` (None for all) or the hand is out of
    reach. `pose` (T,) is in the world frame, `object_rotation` (T, 3, 3) world_from_object, `mesh` in the object frame,
    metres.
    """
    local = pose.to(torch.float64).moved_by(object_rotation.double().mT, _back(object_rotation, object_translation))
    centre, radius = mesh.bounds.mean(axis=0), np.linalg.norm(mesh.extents) / 2
    palm = np.linalg.norm(local.translation.numpy() - centre, axis=1)
    measured = np.flatnonzero(palm - radius < _REACH + _FAR)
    if frames is not None:
        measured = np.intersect1d(measured, frames)
    distance, query = np.full(len(palm), np.inf), SignedDistance(mesh)
    points = hand.surface(n_points)
    for start in range(0, len(measured), _CHUNK):
        some = measured[start : start + _CHUNK]
        placed = hand.place(hand.forward_kinematics(local[torch.from_numpy(some)]), points)
        distance[some] = query(placed.float()).amin(dim=1).numpy()
    return distance


def grasp_samples(clips: Sequence[MotionSample], last: int = 5, threshold: float = CONTACT) -> list[GraspSample]:
    """Static grasps at the end of clips: those of the `last` frames that have contact, never the approach.

    Contact is a distance of at most `threshold`, 5 to 10 mm. Clips without meshes are skipped. The grasps are in the
    object frame, flagged like their clip, and called "<clip>/<frame of the clip>".
    """
    grasps = []
    for clip in clips:
        if clip.mesh is None:
            continue
        tail = slice(max(0, len(clip.object_rotation) - last), None)
        hand = load_hand(clip.pose.hand)
        rotation, translation = clip.object_rotation[tail], clip.object_translation[tail]
        distance = _distance_kept(hand, clip.pose[tail], rotation, translation, load_mesh(clip.mesh))
        local = clip.pose[tail].moved_by(rotation.mT, _back(rotation, translation).to(translation))
        for k in np.flatnonzero(distance <= threshold).tolist():
            name = f"{clip.name}/{tail.start + k}"
            obj = (clip.object, local[k], clip.object_points, clip.mesh)
            grasps.append(GraspSample(name, *obj, flags=clip.flags, up=rotation[k, 2]))  # world z
    return grasps


def with_segments(
    folder: Folder, recording: Recording, mesh: Path | None, threshold: float = CONTACT, rule: SegmentRule | None = None
) -> Recording:
    """The recording with reaches found by contact and flagged `segments_found`, if it has no `segment.txt`.

    Without a mesh the motion of the object takes the place of contact, which is a distance of at most `threshold`,
    metres. Raises BadFile if no reach was found, MeshError if the mesh cannot be used.
    """
    if recording.segments:
        return recording
    if mesh is None or len(recording.joints) < 2:
        touching = moving(recording.object_translation, recording.object_rotation, recording.fps)
    else:
        robot = load_hand("shadow_e3m5")
        rotation = torch.from_numpy(recording.object_rotation)
        translation = torch.from_numpy(recording.object_translation)
        pose = robot_pose(recording)
        touching = _distance_kept(robot, pose, rotation, translation, load_mesh(mesh), recording.near) <= threshold
    motion = recording.palm_translation, recording.joints, recording.object_translation
    found = find_segments(touching, *motion, recording.fps, rule)
    if not found:
        raise no_segments(folder)
    recording = replace(recording, segments=found, flags=(*recording.flags, "segments_found"))
    check_covered(recording)
    return recording


def robot_pose(recording: Recording) -> HandPose:
    """HandPose (T,) of `shadow_e3m5`, float64, world frame."""
    robot = load_hand("shadow_e3m5")
    joints = torch.from_numpy(recording.joints)[:, [JOINTS.index(name) for name in robot.joint_names]]
    translation, rotation = map(torch.from_numpy, (recording.palm_translation, recording.palm_rotation))
    return HandPose(translation, rotation, joints, robot.name)


def _distance_kept(
    hand: Hand,
    pose: HandPose,
    rotation: Tensor,
    translation: Tensor,
    mesh: trimesh.Trimesh,
    near: NDArray | None = None,
) -> NDArray:
    parts = [pose.translation, pose.rotation, pose.joints, rotation, translation]
    near_key = None if near is None else near.tobytes()
    key = content_key(1, hand.name, mesh_hash(mesh), HAND_POINTS, near_key, *(part.numpy().tobytes() for part in parts))

    def make() -> dict[str, NDArray]:
        return {"distance": surface_distance(hand, pose, rotation, translation, mesh, near)}

    return cached("realdex_contact", key, make)["distance"]


def _back(rotation: Tensor, translation: Tensor) -> Tensor:
    """Translation of the inverse of a rigid motion, (..., 3), float64."""
    return -(rotation.double().mT @ translation.double().unsqueeze(-1)).squeeze(-1)
