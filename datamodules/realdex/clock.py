"""Clocks of cameras and robot: the frame rate, and the result of RealDex's time synchronisation."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from ...files.errors import BadFile
from .archive import Folder
from .tables import LATEST, read_words

STAMPS = "rgbimage_timestamp.txt"
SYNCHRONISED = "scene_to_mesh.json"

_SHORTEST_STEP = 1e6  # Least nanoseconds between two frames; a smaller step means that the stamps are in another unit


def read_fps(folder: Folder) -> float:
    """Frames per second, from the median step of the stamps; raises BadFile without valid stamps."""
    path, expected, hint = folder.path / STAMPS, "one increasing time stamp in nanoseconds a row", "or set `fps`"
    if not folder.exists(STAMPS):
        raise BadFile(path, expected, "no such file", hint=hint)
    try:
        stamps = np.array([float(words[0]) for words in read_words(folder, STAMPS)])
    except ValueError as error:
        raise BadFile(path, expected, str(error), hint=hint) from error
    step = float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
    if not _SHORTEST_STEP <= step < np.inf:
        raise BadFile(path, expected, f"{len(stamps)} rows with a median step of {step:g} ns", hint=hint)
    return round(1e9 / step, 3)


def read_clock(folder: Folder, frame_stamps: NDArray[np.int64]) -> int | None:
    """Nanoseconds by which the robot's clock is ahead of the cameras'; None if `scene_to_mesh.json` is absent.

    That file, the result of RealDex's time synchronisation, gives the stamp of the nearest robot state for some frames.
    The offset is constant, so the median over these frames is taken, which removes the rounding to states. Raises
    BadFile if it is not a JSON object of "<stamp>.ply" by frame.
    """
    if not folder.exists(SYNCHRONISED):
        return None
    try:
        pairs = json.loads(folder.read(SYNCHRONISED))
        found = {int(frame): int(mesh.removesuffix(".ply")) for frame, mesh in pairs.items() if mesh != "None.ply"}
        frames = np.array([frame for frame in found if 0 <= frame < len(frame_stamps)], int)
        stamps = np.array([found[frame] for frame in frames.tolist()], np.int64)
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        expected = 'a JSON object {"<frame>": "<stamp>.ply"}'
        raise BadFile(folder.path / SYNCHRONISED, expected, str(error)) from error
    if not len(frames):
        return None
    if stamps.min() < 0 or stamps.max() >= LATEST:
        raise BadFile(folder.path / SYNCHRONISED, "time stamps in ns", f"{stamps.min()} to {stamps.max()}")
    return int(np.median(stamps - frame_stamps[frames]))
