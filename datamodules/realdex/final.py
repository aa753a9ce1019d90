"""`final_data.npy`: poses that RealDex computed from its TF files, without the wrist."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.errors import BadFile
from ...files.unpickle import read_npy
from ..errors import check_rotations
from .archive import Folder
from .tables import LARGEST

JOINTS = (
    *("FFJ4", "FFJ3", "FFJ2", "FFJ1"),
    *("MFJ4", "MFJ3", "MFJ2", "MFJ1"),
    *("RFJ4", "RFJ3", "RFJ2", "RFJ1"),
    *("LFJ5", "LFJ4", "LFJ3", "LFJ2", "LFJ1"),
    *("THJ5", "THJ4", "THJ3", "THJ2", "THJ1"),
)
"""Columns of `qpos`: the robot's joints, rh_FFJ4 to rh_THJ1 in its URDF; the release omits the wrist."""
PALM_FROM_FOREARM = np.array([0.0, -0.010, 0.24701])
"""Origin of the palm in the forearm's frame, metres, at zero wrist, where the two frames are parallel."""

Arrays = dict[str, NDArray]

_SHAPES = {
    "qpos": (len(JOINTS),),
    "global_transl": (3,),
    "global_orient": (3, 3),
    "object_transl": (3,),
    "object_orient": (3, 3),
}
_HINTS = {"qpos": "the columns are the 22 finger joints FFJ4 to THJ1 of the robot, including coupled joints"}

_log = logging.getLogger(__name__)


def read_final(folder: Folder) -> Arrays:
    """Reads the dict: `qpos` (T, 22) radians; `global_transl` (T, 3) metres and `global_orient` (T, 3, 3) of the
    forearm; `object_transl` (T', 3) and `object_orient` (T', 3, 3), truncated to one length. World frame.

    Raises BadFile for a key that is missing or malformed, PickleFileError for a file that is truncated or executes
    code.
    """
    path = folder.path / "final_data.npy"
    content = read_npy(folder.open("final_data.npy"), path)
    data = content.item() if content.shape == () else None
    if not isinstance(data, dict):
        raise BadFile(path, f"a dict of {', '.join(_SHAPES)}", f"an array of shape {content.shape}")
    missing = [key for key in _SHAPES if key not in data]
    if missing:
        raise BadFile(path, f"the keys {', '.join(_SHAPES)}", f"no {', '.join(missing)} among {sorted(map(str, data))}")
    arrays = {key: _checked(path, key, data[key], shape) for key, shape in _SHAPES.items()}
    n_object = min(len(arrays["object_transl"]), len(arrays["object_orient"]))
    arrays |= {key: arrays[key][:n_object] for key in ("object_transl", "object_orient")}
    for key in ("global_transl", "global_orient"):
        if len(arrays[key]) != len(arrays["qpos"]):
            raise BadFile(path, f"{len(arrays['qpos'])} frames as in qpos", f"{len(arrays[key])}", key=key)
    return arrays


def common_length(path: Path, n_hand: int, n_object: int) -> int:
    """Number of frames with hand and object; logs if the tail of the longer track is dropped."""
    if n_hand != n_object:
        _log.warning("%s: hand has %d frames, object %d; aligned by index, dropping the tail", path, n_hand, n_object)
    return min(n_hand, n_object)


def _checked(path: Path, key: str, value: Any, shape: tuple[int, ...]) -> NDArray:
    expected = f"({', '.join(['T', *map(str, shape)])}{',' * (not shape)}) numbers"
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:  # nested lists
        raise BadFile(path, expected, str(error), key=key) from error
    if array.dtype.kind not in "fiu" or array.ndim != len(shape) + 1 or array.shape[1:] != shape or not len(array):
        found = f"{array.shape} of {array.dtype}"
        raise BadFile(path, expected, found, key=key, hint=_HINTS.get(key, ""))
    bad = np.argwhere(~(np.abs(array) < LARGEST))
    if len(bad):
        frame, *rest = bad[0]
        column = JOINTS[rest[0]] if key == "qpos" else rest
        at = f"frame {frame}, {column}" + (f" and {len(bad) - 1} other places" if len(bad) > 1 else "")
        value = array[tuple(bad[0])]
        expected = "finite numbers" if not np.isfinite(value) else f"numbers below {LARGEST:g}"
        raise BadFile(path, expected, f"{value:g} at {at}", key=key)
    if shape == (3, 3):
        check_rotations(path, key, array)
    return array.astype(np.float64)
