"""One recording in RealDex's layout, in a folder or in a zip."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...files.errors import BadFile
from ..splits import natural_key, object_name
from .archive import DiskFolder, Folder, ZipFolder, open_folder
from .clock import STAMPS, read_clock, read_fps
from .final import JOINTS, PALM_FROM_FOREARM, Arrays, common_length, read_final
from .prepared import PREPARED, read_prepared
from .segments import read_contact, read_segments
from .tables import check_quaternions, read_stamps, read_table
from .tf import MissingEdges, RobotMotion, hinges, read_robot

SOURCES = ("auto", "tf", "final_data")
_DISAGREE = 0.05  # Median difference between TF files and final_data.npy that triggers a warning, radians or metres

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """One recording of T frames, in the joints of the real robot."""

    path: Path  # source, for messages: its `final_data.npy`, or its folder TF
    name: str  # name of the folder
    object: str  # name of the object
    joints: NDArray  # (T, 22), radians, in the order of `JOINTS`, URDF signs
    palm_translation: NDArray  # (T, 3), metres, world frame
    palm_rotation: NDArray  # (T, 3, 3), world_from_palm
    object_translation: NDArray  # (T, 3), metres
    object_rotation: NDArray  # (T, 3, 3), world_from_object
    fps: float  # frames per second
    segments: tuple[tuple[int, int], ...]  # (start, end) frames of each reach, half-open; empty without `segment.txt`
    wrist: NDArray | None = None  # (T, 2), radians, WRJ2 and WRJ1; None if unknown
    near: NDArray[np.int64] | None = None  # frames with at most 31.6 mm from hand to object, from `contact.txt`
    flags: tuple[str, ...] = ()  # caveats for the user ("palm_from_forearm")
    covered: NDArray[np.bool_] | None = None  # (T,), False where the TF files have no data; None without them
    clouds: tuple[NDArray, ...] | None = None  # cameras' view at the start of each segment, (n, 3), object frame


def find_recordings(root: Path, skipped: list[str] | None = None) -> list[Folder]:
    """Folders with the files of a recording at any depth under `root`, including zips, in natural order by object.

    Links inside `root` are followed. A recording has thousands of pictures, so its subfolders are not searched. If one
    exists twice, e.g. in a zip and unpacked, the first one counts: folders come before zips. `skipped` collects
    messages about unreadable zips, which are skipped; None raises their BadFile.
    """
    folders = _walk(open_folder(root), set(), skipped)
    found = sorted(folders, key=lambda folder: (isinstance(folder, ZipFolder), natural_key(str(folder.path))))
    first: dict[tuple[str, str], Folder] = {}
    for folder in found:
        kept = first.setdefault((object_of(folder.path), folder.name), folder)
        if kept is not folder:
            _log.warning("%s: the same recording as %s, left out", folder.path, kept.path)
    return [first[key] for key in sorted(first, key=lambda key: [natural_key(part) for part in key])]


def object_of(folder: Path) -> str:
    """Name of the object of a recording's folder, `<object>/<object>_<n>[_<date>]`."""
    parent = folder.parent.name
    if folder.name.startswith(f"{parent}_"):
        return object_name(parent)
    match = re.fullmatch(r"(.+?)_\d+(_\d{8})?", folder.name)
    return object_name(match[1] if match else parent)


def read_recording(
    folder: Folder,
    fps: float | None = None,
    whole: bool = False,
    source: str = "auto",
    clock: Callable[[], int] | None = None,
) -> Recording:
    """Reads the poses, time stamps and segments of one recording.

    Args:
        folder: of the recording.
        fps: frames per second; None takes the median step of `rgbimage_timestamp.txt`.
        whole: treats a recording without `segment.txt` as one segment.
        source: of hand poses: "tf", "final_data" or "auto", see `RealDexMotion`.
        clock: finds the nanoseconds by which the robot's clock is ahead, called if `scene_to_mesh.json` is absent; None
            assumes equal clocks, flagged `clock_assumed`.

    Raises:
        BadFile: a file is absent or malformed; the message names the file, key and frame.
        PickleFileError: `final_data.npy` is truncated, or would execute code.
    """
    if folder.exists(PREPARED):
        kept = Recording(**read_prepared(folder))
        return kept if fps is None else replace(kept, fps=fps)
    parts, flags = _read_poses(folder, source, clock)
    n_hand = len(parts["joints"])
    n_frames = common_length(parts.pop("path"), n_hand, len(parts["object_translation"]))
    recording = Recording(
        path=folder.path / ("TF" if "covered" in parts else "final_data.npy"),
        name=folder.name,
        object=object_of(folder.path),
        fps=read_fps(folder) if fps is None else fps,
        segments=read_segments(folder, n_frames, n_hand, whole),
        near=read_contact(folder, n_frames),
        flags=flags,
        **{key: value[:n_frames] for key, value in parts.items()},
    )
    check_covered(recording)
    return recording


def check_covered(recording: Recording) -> None:
    """Raises BadFile if the TF files have no data of the robot in a frame of a segment."""
    if recording.covered is None:
        return
    for number, (start, end) in enumerate(recording.segments):
        bare = start + np.flatnonzero(~recording.covered[start:end])
        if len(bare):
            found = f"none for {len(bare)} frames from {bare[0]} on"
            raise BadFile(recording.path, f"rows of the robot throughout segment {number} [{start}, {end})", found)


def _walk(folder: Folder, seen: set[str], skipped: list[str] | None) -> Iterator[Folder]:
    if folder.identity in seen:
        return
    seen.add(folder.identity)
    entries = folder.list()
    if {"final_data.npy", "TF/", PREPARED} & set(entries):
        yield folder
        return
    for entry in entries:
        if entry.endswith("/"):
            yield from _walk(folder.child(entry), seen, skipped)
        elif entry.lower().endswith(".zip") and isinstance(folder, DiskFolder):
            yield from _walk_zip(folder.path / entry, seen, skipped)


def _walk_zip(path: Path, seen: set[str], skipped: list[str] | None) -> Iterator[Folder]:
    try:
        folder = open_folder(path)
    except BadFile as error:
        if skipped is None:
            raise
        skipped.append(str(error))
        _log.warning("left out: %s", error)
        return
    yield from _walk(folder, seen, skipped)


def _read_poses(folder: Folder, source: str, clock: Callable[[], int] | None) -> tuple[dict, tuple[str, ...]]:
    has_final = folder.exists("final_data.npy")
    if source == "tf" or (source == "auto" and folder.list("TF")):
        try:
            return _from_tf(folder, clock)
        except MissingEdges as error:
            if source == "tf" or not has_final:
                raise
            _log.warning("%s; taken from final_data.npy instead, at zero wrist", error)
    return _from_final(folder), ("palm_from_forearm",)


def _from_final(folder: Folder) -> dict:
    data = read_final(folder)
    forearm = data["global_orient"]
    return {
        "path": folder.path / "final_data.npy",
        "joints": data["qpos"],
        "palm_translation": data["global_transl"] + forearm @ PALM_FROM_FOREARM,
        "palm_rotation": forearm,
        "object_translation": data["object_transl"],
        "object_rotation": data["object_orient"],
    }


def _from_tf(folder: Folder, clock: Callable[[], int] | None) -> tuple[dict, tuple[str, ...]]:
    stamps = read_stamps(folder, STAMPS)
    ahead, flags = read_clock(folder, stamps), ()
    if ahead is None:
        ahead, flags = (0, ("clock_assumed",)) if clock is None else (clock(), ("clock_found",))
    robot = read_robot(folder, stamps + ahead)
    final = read_final(folder) if folder.exists("final_data.npy") else None
    if final is not None:
        _compare(folder, robot, final)
    translation, rotation = _read_object(folder, final)
    parts = {
        "path": folder.path / "TF",
        "joints": _fingers(robot),
        "wrist": robot.joints[:, :2],
        "palm_translation": robot.palm_translation,
        "palm_rotation": robot.palm_rotation,
        "object_translation": translation,
        "object_rotation": rotation,
        "covered": robot.covered,
    }
    return parts, flags


def _fingers(robot: RobotMotion) -> NDArray:
    names = [hinge.joint for hinge in hinges()]
    return robot.joints[:, [names.index(name) for name in JOINTS]]


def _read_object(folder: Folder, final: Arrays | None) -> tuple[NDArray, NDArray]:
    name = "tracking_result/gt_pose.txt"
    if final is not None and not folder.exists(name):
        return final["object_transl"], final["object_orient"]
    _, rows = read_table(folder, name, 7, stamped=False)
    check_quaternions(folder.path / name, rows[:, 3:])
    return rows[:, :3], Rotation.from_quat(rows[:, 3:]).as_matrix()


def _compare(folder: Folder, robot: RobotMotion, final: Arrays) -> None:
    """Compares the two sources: if they differ, one of them is read at the wrong time or in the wrong order."""
    n = min(len(robot.joints), len(final["qpos"]))
    angles = _fingers(robot)[:n] - final["qpos"][:n]
    places = np.linalg.norm(robot.forearm_translation[:n] - final["global_transl"][:n], axis=1)
    for what, error, unit in (("joint angles", np.abs(angles).max(axis=1), "rad"), ("forearm", places, "m")):
        if np.median(error) > _DISAGREE:
            text = "%s: TF files and final_data.npy disagree on the %s by a median %.2g %s; is the clock right?"
            _log.warning(text, folder.path, what, float(np.median(error)), unit)
