"""Demo clips in the layout of RealDex's recordings, so that its reader runs end to end without a download.

Nothing in it comes from RealDex: objects, grasps and motions are those of the demo data, with the hand `shadow_e3m5` at
the end of an arm that only moves its flange, and an invented smooth motion of the wrist.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from ...geometry.progress import tracked
from ...hands.load import load_hand
from ...synthesis.clips import MOTION_VERSION, ObjectClips, object_clips
from ...synthesis.grasps import load_grasps
from ...synthesis.objects import object_mesh
from ...synthesis.reaches import FPS, ReachSettings
from ..base import DEMO_MARK, demo_tree_of
from ..realdex.final import JOINTS
from ..realdex.tf import FOREARM, WORLD, hinges

OBJECTS = ("can", "mug", "apple", "hammer", "jar", "spray")
RECORDINGS, CLIPS = 2, 3  # Recordings of each object, and reaches in each recording

_VERSION = 2  # incremented when the tree changes
_MARK = """demo data in RealDex's layout
Written by dexzoo. Not RealDex: objects, grasps and motions are generated. No number obtained with it says anything
about real recordings.
"""
_PAUSE = 15  # frames between two reaches
_TABLE = np.array([1.2, 0.0, 0.74])  # origin of the demo scene in RealDex's world, metres
_BEGIN = 1_700_000_000_000_000_000  # start of the camera's clock, ns
_CLOCKS = 40_000_000  # offset by which the robot's clock is ahead, ns
_FLANGE = np.array([0.0, 0.0, 0.05])  # ra_flange to rh_forearm, metres
_FLANGE_TURN = Rotation.from_euler("xyz", [np.pi / 2, np.pi, np.pi / 2])


@dataclass(frozen=True)
class _Motion:
    """One recording at T frames: palm, 22 joints in the order of `JOINTS`, wrist, object; world frame, SI."""

    palm: NDArray
    palm_turn: Rotation
    joints: NDArray
    wrist: NDArray
    object: NDArray
    object_turn: Rotation
    segments: list[tuple[int, int]]

    def forearm(self) -> tuple[NDArray, Rotation]:
        """T(forearm -> palm) = Trans(0, -.010, .21301) Ry(WRJ2) Trans(0, 0, .034) Rx(WRJ1), inverted from the palm."""
        second = Rotation.from_rotvec(self.wrist[:, :1] * [0.0, 1.0, 0.0])
        first = Rotation.from_rotvec(self.wrist[:, 1:] * [1.0, 0.0, 0.0])
        turn = self.palm_turn * (second * first).inv()
        palm = np.array([0.0, -0.010, 0.21301]) + second.apply([0.0, 0.0, 0.034])
        return self.palm - turn.apply(palm), turn

    def doubled(self) -> _Motion:
        """With an extra frame between each two, since a robot reports its state more often than a camera."""
        n = len(self.palm)
        old, new = np.arange(n), np.arange(2 * n - 1) / 2
        palm, joints, wrist, obj = (_straight(new, old, x) for x in (self.palm, self.joints, self.wrist, self.object))
        palm_turn, object_turn = (Slerp(old, turn)(new) for turn in (self.palm_turn, self.object_turn))
        return _Motion(palm, palm_turn, joints, wrist, obj, object_turn, self.segments)


def demo_tree() -> Path:
    """The tree in the cache, written on first use."""
    return demo_tree_of("realdex", write_tree, _VERSION, MOTION_VERSION, OBJECTS, RECORDINGS, CLIPS)


def write_tree(root: Path) -> None:
    """Writes `<object>/<object>_<n>_<date>/` for each recording, and `models/<object>.obj`, under `root`."""
    hand = load_hand("shadow")
    grasps = load_grasps(hand=hand)
    (root / "models").mkdir(parents=True, exist_ok=True)
    (root / DEMO_MARK).write_text(_MARK, encoding="utf-8")
    for name in tracked(OBJECTS, "demo data in RealDex's layout"):
        object_mesh(name).export(root / "models" / f"{name}.obj")
        clips = object_clips(hand, grasps[name], RECORDINGS * CLIPS, 0, ReachSettings())
        for number in range(RECORDINGS):
            chosen = range(number * CLIPS, (number + 1) * CLIPS)
            _write_recording(root / name / f"{name}_{number + 1}_20000101", _joined(clips, chosen))


def _straight(new: NDArray, old: NDArray, values: NDArray) -> NDArray:
    """The columns of values (n, k) at `old` (n,) interpolated at `new`."""
    return np.stack([np.interp(new, old, column) for column in values.T], axis=1)


def _joined(clips: ObjectClips, chosen: range) -> _Motion:
    """Clips one after the other, with pauses in which the hand moves back and the object is rotated."""
    ends = clips.length.cumsum(0).tolist()
    frames, times, clock, segments, turns = [], [], 0, [], []
    for i in chosen:
        length = int(clips.length[i])
        frames += range(ends[i] - length, ends[i])
        times += range(clock, clock + length)
        turns += [clips.rotation[i]] * length
        segments.append((clock, clock + length))
        clock += length + _PAUSE
    shadow, robot = load_hand("shadow"), load_hand("shadow_e3m5")
    pose = shadow.convert(clips.pose[torch.tensor(frames)].to(torch.float64), robot)
    columns = [robot.joint_names.index(name) for name in JOINTS]
    old, new = np.array(times), np.arange(clock - _PAUSE)
    return _Motion(
        palm=_straight(new, old, pose.translation.numpy()) + _TABLE,
        palm_turn=Slerp(old, Rotation.from_matrix(pose.rotation.numpy()))(new),
        joints=_straight(new, old, pose.joints.numpy()[:, columns]),
        wrist=np.stack([-0.15 + 0.2 * np.sin(new / 31), 0.25 * np.cos(new / 23)], axis=1),
        object=np.tile(_TABLE, (len(new), 1)),
        object_turn=Slerp(old, Rotation.from_matrix(torch.stack(turns).double().numpy()))(new),
        segments=segments,
    )


def _write_recording(folder: Path, motion: _Motion) -> None:
    for inside in ("TF", "tracking_result"):
        (folder / inside).mkdir(parents=True, exist_ok=True)
    stamps = _BEGIN + np.round(np.arange(len(motion.palm)) * 1e9 / FPS).astype(np.int64)
    (folder / "rgbimage_timestamp.txt").write_text("".join(f"{stamp}\n" for stamp in stamps))
    (folder / "segment.txt").write_text("".join(f"{start} {end}\n" for start, end in motion.segments))
    poses = np.concatenate([motion.object, motion.object_turn.as_quat()], axis=1)
    np.savetxt(folder / "tracking_result" / "gt_pose.txt", poses, "%.10f")
    meshes = {str(frame): f"{stamp}.ply" for frame, stamp in enumerate((stamps + _CLOCKS).tolist())}
    (folder / "scene_to_mesh.json").write_text(json.dumps(meshes))
    _write_final(folder, motion)
    robot = np.empty(2 * len(stamps) - 1, np.int64)
    robot[::2], robot[1::2] = stamps, (stamps[:-1] + stamps[1:]) // 2
    _write_tf(folder / "TF", robot + _CLOCKS, motion.doubled())


def _write_final(folder: Path, motion: _Motion) -> None:
    place, turn = motion.forearm()
    content = {
        "qpos": motion.joints,
        "global_transl": place,
        "global_orient": turn.as_matrix(),
        "object_transl": motion.object,
        "object_orient": motion.object_turn.as_matrix(),
    }
    np.save(folder / "final_data.npy", content, allow_pickle=True)  # type: ignore[arg-type]


def _write_tf(folder: Path, stamps: NDArray[np.int64], motion: _Motion) -> None:
    """Writes the TF files; all of the arm's motion is in the edge to its flange."""
    place, turn = motion.forearm()
    flange = turn * _FLANGE_TURN.inv()
    still = np.zeros(1, np.int64) + stamps[0]
    _write_edge(folder, f"{WORLD}-ra_base_link", still, np.zeros((1, 3)), Rotation.identity(1))
    _write_edge(folder, "ra_base_link-ra_flange", stamps, place - flange.apply(_FLANGE), flange)
    _write_edge(folder, f"ra_flange-{FOREARM}", still, _FLANGE[None], Rotation.concatenate([_FLANGE_TURN]))
    offsets = {FOREARM: [0.0, -0.010, 0.21301], "rh_wrist": [0.0, 0.0, 0.034]}
    links = {f"rh_{link.name}": link.translation.tolist() for link in load_hand("shadow_e3m5").spec.tree.links}
    angles = np.concatenate([motion.wrist, motion.joints], axis=1)
    for hinge in hinges():
        column = ["WRJ2", "WRJ1", *JOINTS].index(hinge.joint)
        turned = Rotation.from_matrix(hinge.origin) * Rotation.from_rotvec(angles[:, column, None] * hinge.axis)
        shift = np.tile(offsets.get(hinge.parent) or links[hinge.child], (len(stamps), 1))
        _write_edge(folder, hinge.edge, stamps, shift, turned)


def _write_edge(folder: Path, name: str, stamps: NDArray[np.int64], shift: NDArray, turn: Rotation) -> None:
    rows = zip(stamps.tolist(), np.concatenate([shift, turn.as_quat()], axis=1).tolist(), strict=True)
    text = "".join(f"{stamp} " + " ".join(f"{x:.12g}" for x in row) + "\n" for stamp, row in rows)
    (folder / f"{name}.txt").write_text(text)
