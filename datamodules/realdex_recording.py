"""One recording in RealDex's layout: a folder that holds `final_data.npy` (spec: the public release and its tools)."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..hands.unpickle import load_npy
from .errors import BadFile
from .splits import natural_key, object_name

JOINTS = (
    *("FFJ4", "FFJ3", "FFJ2", "FFJ1"),
    *("MFJ4", "MFJ3", "MFJ2", "MFJ1"),
    *("RFJ4", "RFJ3", "RFJ2", "RFJ1"),
    *("LFJ5", "LFJ4", "LFJ3", "LFJ2", "LFJ1"),
    *("THJ5", "THJ4", "THJ3", "THJ2", "THJ1"),
)
"""Columns of `qpos`: the robot's joints, called rh_FFJ4 to rh_THJ1 in its URDF; the release leaves out the wrist."""
PALM_FROM_FOREARM = np.array([0.0, -0.010, 0.24701])
"""Origin of the palm in the forearm's frame, metres, at zero wrist, where the two frames are parallel."""

_SHAPES = {
    "qpos": (len(JOINTS),),
    "global_transl": (3,),
    "global_orient": (3, 3),
    "object_transl": (3,),
    "object_orient": (3, 3),
}
_HINTS = {"qpos": "the columns are the 22 finger joints FFJ4 to THJ1 of the robot, coupled joints included"}
_SHORTEST_STEP = 1e6
"""Nanoseconds between two frames; a smaller step means that the stamps are in another unit."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """One recording of T frames, in the joints of the real robot.

    Attributes:
        path: its `final_data.npy`.
        name: of the folder.
        object: name of the object.
        joints: (T, 22), radians, in the order of `JOINTS`, URDF signs.
        palm_translation: (T, 3), metres, world frame, from the forearm at zero wrist.
        palm_rotation: (T, 3, 3), world_from_palm.
        object_translation: (T, 3), metres.
        object_rotation: (T, 3, 3), world_from_object.
        fps: frames per second.
        segments: (start, end) frames of each reach, half-open.
    """

    path: Path
    name: str
    object: str
    joints: NDArray
    palm_translation: NDArray
    palm_rotation: NDArray
    object_translation: NDArray
    object_rotation: NDArray
    fps: float
    segments: tuple[tuple[int, int], ...]


def find_recordings(root: Path) -> list[Path]:
    """Folders with a `final_data.npy` at any depth under `root`, in natural order; links are followed.

    A recording holds thousands of pictures, so its subfolders are not searched.
    """
    return sorted(_walk(root, set()), key=lambda folder: natural_key(str(folder.relative_to(root))))


def object_of(folder: Path) -> str:
    """Name of the object that a recording's folder, `<object>/<object>_<n>[_<date>]`, is about."""
    parent = folder.parent.name
    if folder.name.startswith(f"{parent}_"):
        return object_name(parent)
    match = re.fullmatch(r"(.+?)_\d+(_\d{8})?", folder.name)
    return object_name(match[1] if match else parent)


def read_recording(folder: Path, fps: float | None = None, whole: bool = False) -> Recording:
    """Reads the arrays, time stamps and segments of one recording.

    Args:
        folder: where `final_data.npy` lies.
        fps: frames per second; None takes the median step of `rgbimage_timestamp.txt`.
        whole: takes a recording without `segment.txt` as one segment.

    Raises:
        BadFile: a file is absent or holds something else; the message names it, and the key and frame within it.
        PickleFileError: `final_data.npy` is truncated, or asks to execute code.
    """
    path = folder / "final_data.npy"
    data = _read_arrays(path)
    n_frames = _common_length(path, data)
    forearm = data["global_orient"][:n_frames]
    return Recording(
        path=path,
        name=folder.name,
        object=object_of(folder),
        joints=data["qpos"][:n_frames],
        palm_translation=data["global_transl"][:n_frames] + forearm @ PALM_FROM_FOREARM,
        palm_rotation=forearm,
        object_translation=data["object_transl"][:n_frames],
        object_rotation=data["object_orient"][:n_frames],
        fps=_read_fps(folder / "rgbimage_timestamp.txt") if fps is None else fps,
        segments=_read_segments(folder / "segment.txt", n_frames, len(data["qpos"]), whole),
    )


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in seen or not os.access(folder, os.R_OK):
        return
    seen.add(real)
    if (folder / "final_data.npy").is_file():
        yield folder
        return
    for child in sorted(folder.iterdir()):
        if child.is_dir():
            yield from _walk(child, seen)


def _read_arrays(path: Path) -> dict[str, NDArray]:
    content = load_npy(path)
    data = content.item() if content.shape == () else None
    if not isinstance(data, dict):
        raise BadFile(path, f"a dict of {', '.join(_SHAPES)}", f"an array of shape {content.shape}")
    missing = [key for key in _SHAPES if key not in data]
    if missing:
        raise BadFile(path, f"the keys {', '.join(_SHAPES)}", f"no {', '.join(missing)} among {sorted(data)}")
    arrays = {}
    for key, shape in _SHAPES.items():
        arrays[key] = _checked(path, key, np.asarray(data[key]), shape)
    return arrays


def _checked(path: Path, key: str, array: NDArray, shape: tuple[int, ...]) -> NDArray:
    expected = f"({', '.join(['T', *map(str, shape)])}{',' * (not shape)}) numbers"
    if array.dtype.kind not in "fiu" or array.shape[1:] != shape or not len(array):
        found = f"{array.shape} of {array.dtype}"
        raise BadFile(path, expected, found, key=key, hint=_HINTS.get(key, ""))
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        frame, *rest = bad[0]
        column = JOINTS[rest[0]] if key == "qpos" else rest
        at = f"frame {frame}, {column}" + (f" and {len(bad) - 1} more places" if len(bad) > 1 else "")
        raise BadFile(path, "finite numbers", f"{array[tuple(bad[0])]} at {at}", key=key)
    if shape == (3, 3):
        _check_rotations(path, key, array)
    return array.astype(np.float64)


def _check_rotations(path: Path, key: str, array: NDArray) -> None:
    defect = np.abs(array.swapaxes(1, 2) @ array - np.eye(3)).max(axis=(1, 2))
    defect = np.where(np.linalg.det(array) < 0, np.inf, defect)
    worst = int(defect.argmax())
    if defect[worst] > 1e-3:
        raise BadFile(path, "rotation matrices", f"R^T R off by {defect[worst]:.2g} at frame {worst}", key=key)


def _common_length(path: Path, data: dict[str, NDArray]) -> int:
    n_hand, n_object = len(data["qpos"]), min(len(data["object_transl"]), len(data["object_orient"]))
    for key in ("global_transl", "global_orient"):
        if len(data[key]) != n_hand:
            raise BadFile(path, f"{n_hand} frames as in qpos", f"{len(data[key])}", key=key)
    if n_hand != n_object:
        _log.warning("%s: hand has %d frames, object %d; aligned by index, the tail dropped", path, n_hand, n_object)
    return min(n_hand, n_object)


def _read_numbers(path: Path, expected: str, hint: str) -> NDArray:
    if not path.is_file():
        raise BadFile(path, expected, "no such file", hint=hint)
    try:
        rows = [[float(word) for word in line.replace(",", " ").split()] for line in path.read_text().splitlines()]
        numbers = np.array([row for row in rows if row])
    except ValueError as error:
        raise BadFile(path, expected, str(error), hint=hint) from error
    if not numbers.size:
        raise BadFile(path, expected, "an empty file", hint=hint)
    return numbers


def _read_fps(path: Path) -> float:
    expected, hint = "one increasing time stamp in nanoseconds a row", "or set data.fps"
    stamps = _read_numbers(path, expected, hint)[:, 0]
    step = float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
    if step < _SHORTEST_STEP:
        raise BadFile(path, expected, f"{len(stamps)} rows with a median step of {step:g} ns", hint=hint)
    return round(1e9 / step, 3)


def _read_segments(path: Path, n_frames: int, n_hand: int, whole: bool) -> tuple[tuple[int, int], ...]:
    if whole and not path.is_file():
        return ((0, n_frames),)
    expected = "rows of two frame numbers, start and end (half-open)"
    hint = "set data.whole_recordings=true to take a recording without it as one clip, or data.on_bad=skip"
    rows = _read_numbers(path, expected, hint)
    if rows.shape[1] != 2 or (rows % 1).any():
        raise BadFile(path, expected, f"{rows[0]} in row 0", hint=hint)
    return tuple(_segment(path, row.astype(int), n_frames, n_hand, i) for i, row in enumerate(rows))


def _segment(path: Path, row: NDArray, n_frames: int, n_hand: int, number: int) -> tuple[int, int]:
    start, end = row.tolist()
    if not 0 <= start < end <= n_hand:
        raise BadFile(path, f"0 <= start < end <= {n_hand}, the frames recorded", f"{start} {end}", key=f"row {number}")
    if min(end, n_frames) - start < 2:
        found = f"[{start}, {end}) of {n_frames} frames with hand and object"
        raise BadFile(path, "a segment of at least 2 frames", found, key=f"row {number}")
    return start, min(end, n_frames)
