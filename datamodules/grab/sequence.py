"""One released sequence of GRAB: an npz in which every key is a 0-d object array; its arrays are checked one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.errors import BadFile, DataError
from ...files.unpickle import as_bad_file, load_npz
from .objects import NUM_LABELS, object_of

FPS = 120.0
ELBOWS = {"right": 17, "left": 18}
"""Slot of `body_pose` that GOAL uses to find the start of a reach: it is the *left* elbow (SMPL-X joint 18).

For the left hand, the mirrored slot.
"""
LARGEST = 100.0  # Metres or radians: larger values are in another unit or damaged
_BODY_VERTICES, _FRAMES_AT_ONCE = 10475, 64
_KEYS = ("framerate", "n_frames", "body", "object")


@dataclass(frozen=True)
class HandTrack:
    """A hand of T frames as stored: MANO, relative to the flat hand (`flat_hand_mean=True`); `hand_pose` is not read,
    since it has PCA coefficients.
    """

    transl: NDArray  # (T, 3), metres; the wrist is J_0 + transl, J_0 of the subject's template
    global_orient: NDArray  # (T, 3), rotation vector, usual column convention
    fullpose: NDArray  # (T, 45), radians, axis-angle of the 15 finger joints
    vtemp: str  # path of the subject's template, relative to the root of the data set


@dataclass(frozen=True)
class GrabSequence:
    """A sequence of T frames at 120 fps, world frame, metres, z up."""

    path: Path  # the npz
    subject: str  # "s1" to "s10", from the folder
    object: str  # name of the object, aliases merged
    side: str  # side of `hand`
    hand: HandTrack  # track of that hand
    object_rotvec: NDArray  # (T, 3), radians, of world_from_object in the column convention, unlike as stored
    object_translation: NDArray  # (T, 3)
    object_mesh: str  # path of the full mesh, relative to the root of the data set
    elbow: NDArray  # (T, 3), rotation vector, see `ELBOWS`

    def __len__(self) -> int:
        return len(self.object_translation)


def read_sequence(path: Path, side: str = "right") -> GrabSequence:
    """Reads `grab/<subject>/<object>_<action>.npz` without its contact labels, which are large: see
    `labels.read_labels`.

    Raises BadFile, naming the key, for a damaged file, a missing key, a wrong shape or type, or a number that is not
    finite; UnsafePickleError if the file would execute code.
    """
    block = f"{side[0]}hand"
    items = read_items(path, (*_KEYS, block))
    rate, n_frames = number_of(path, items, "framerate"), int(number_of(path, items, "n_frames"))
    if rate != FPS:
        raise BadFile(path, f"{FPS:g} frames per second", f"{rate:g}", key="framerate")
    if n_frames < 2:
        raise BadFile(path, "at least 2 frames", str(n_frames), key="n_frames")
    body = _params(path, items, "body", n_frames, {"body_pose": 63})
    hand = _params(path, items, block, n_frames, {"transl": 3, "global_orient": 3, "fullpose": 45})
    obj = _params(path, items, "object", n_frames, {"transl": 3, "global_orient": 3})
    slot = 3 * ELBOWS[side]
    return GrabSequence(
        path=path,
        subject=path.parent.name,
        object=_object(path),
        side=side,
        hand=HandTrack(**hand, vtemp=_text(path, items, block, "vtemp")),
        object_rotvec=column_rotvec(obj["global_orient"]),
        object_translation=obj["transl"],
        object_mesh=_text(path, items, "object", "object_mesh"),
        elbow=body["body_pose"][:, slot : slot + 3],
    )


def column_rotvec(global_orient: NDArray) -> NDArray:
    """Rotation vector (..., 3), radians, of world_from_object for x_world = R x + t, from the stored one.

    GRAB poses objects with row vectors, v R + t, so it stores the inverse of the usual rotation.
    """
    return -global_orient


def read_items(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """The values of some keys of an npz of 0-d object arrays.

    Raises BadFile for a damaged file, or a key that is missing or not a 0-d array; UnsafePickleError if it executes
    code.
    """
    with as_bad_file(path, "a complete npz file"):
        arrays = load_npz(path, keys)
    for key in keys:
        if key not in arrays:
            raise BadFile(path, f"the keys {', '.join(keys)}", f"none called {key!r}", key=key)
        if arrays[key].shape != ():
            raise BadFile(path, "a 0-d object array", f"one of shape {arrays[key].shape}", key=key)
    return {key: arrays[key].item() for key in keys}


def _object(path: Path) -> str:
    try:
        return object_of(path.stem)
    except DataError as error:
        raise BadFile(path, "a name <object>_<action>.npz", str(error)) from error


def number_of(path: Path, items: Mapping[str, Any], key: str) -> float:
    """`items[key]` as a number; raises BadFile if it is not a number."""
    value = items[key]
    number = np.asarray(value if isinstance(value, int | float | np.number | np.ndarray) else None)
    if number.shape not in ((), (1,)) or number.dtype.kind not in "iuf" or not np.isfinite(number).all():
        raise BadFile(path, "a number", repr(value)[:80], key=key)
    return float(number.ravel()[0])


def _text(path: Path, items: Mapping[str, Any], block: str, key: str) -> str:
    value = items[block].get(key)
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadFile(path, "a path relative to the root of GRAB", repr(value)[:80], key=f"{block}[{key!r}]")
    return str(value)


def _params(
    path: Path, items: Mapping[str, Any], block: str, n_frames: int, widths: Mapping[str, int]
) -> dict[str, NDArray]:
    """`items[block]["params"]`: finite numbers (n_frames, width) for each key, as float64."""
    content = items[block]
    params = content.get("params") if isinstance(content, dict) else None
    if not isinstance(params, dict):
        found = _names(content) if isinstance(content, dict) else type(content).__name__
        raise BadFile(path, "a dict with the key 'params', a dict", found, key=block)
    arrays = {}
    for key, width in widths.items():
        where = f"{block}['params'][{key!r}]"
        if key not in params:
            raise BadFile(path, f"the keys {', '.join(widths)}", _names(params), key=where)
        arrays[key] = _checked(path, where, params[key], (n_frames, width))
    return arrays


def _checked(path: Path, where: str, value: Any, shape: tuple[int, int]) -> NDArray:
    array = value if isinstance(value, np.ndarray) else np.zeros(0)
    if array.shape != shape or array.dtype.kind not in "fiu":
        found = f"{array.shape} of {array.dtype}" if array is value else type(value).__name__
        raise BadFile(path, f"{shape} numbers (frames by values)", found, key=where)
    bad = np.argwhere(~(np.abs(array.astype(np.float64)) < LARGEST))  # also catches NaN
    if len(bad):
        frame, column = bad[0]
        found = f"{array[frame, column]} at frame {frame}, column {column}"
        raise BadFile(path, f"finite numbers under {LARGEST:g} (metres, radians)", found, key=where)
    return array.astype(np.float64)


def _names(content: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, content))[:200] or "none"


@dataclass(frozen=True)
class ContactLabels:
    """Contact labels of T frames; 0 = no contact, otherwise the body part (see `objects.RIGHT_HAND`)."""

    object: NDArray  # (T, V), integers, one for each vertex of the full mesh of the object, not of a decimated one
    body: NDArray  # (T, 10475), integers, one for each vertex of SMPL-X


def read_labels(path: Path, n_frames: int | None = None) -> ContactLabels:
    """Reads the labels of a sequence: about 30 MB to 1 GB, so they are read on request and not kept.

    The file gives the number of frames if `n_frames` does not. Raises BadFile for labels that are missing, of the wrong
    shape, not integers, or not within 0 to 55.
    """
    items = read_items(path, ("contact", "n_frames"))
    contact = items["contact"]
    if not isinstance(contact, dict):
        raise BadFile(path, "a dict of labels for 'object' and 'body'", type(contact).__name__, key="contact")
    n_frames = int(number_of(path, items, "n_frames")) if n_frames is None else n_frames
    return ContactLabels(*(_checked_labels(path, contact, key, n_frames) for key in ("object", "body")))


def touching(labels: NDArray) -> NDArray[np.uint64]:
    """The set of labels (T, V), 0 to 55, in each frame as a bit mask (T,), uint64: bit k is set if some vertex has
    label k.
    """
    power = np.uint64(1) << np.arange(NUM_LABELS, dtype=np.uint64)
    some = (labels[first : first + _FRAMES_AT_ONCE] for first in range(0, len(labels), _FRAMES_AT_ONCE))
    return np.concatenate([np.bitwise_or.reduce(power[part], axis=1) for part in some])  # all: 8 T V bytes at once


def mirrored(touch: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The sets of labels with left and right hand swapped: fingers 26 to 40 and 41 to 55, hands 21 and 22."""
    fingers = np.uint64((1 << 15) - 1)
    one, left, right = np.uint64(1), np.uint64(26), np.uint64(41)
    kept = touch & ~((fingers << left) | (fingers << right) | (one << np.uint64(21)) | (one << np.uint64(22)))
    swapped = ((touch >> left) & fingers) << right | ((touch >> right) & fingers) << left
    hands = ((touch >> np.uint64(21)) & one) << np.uint64(22) | ((touch >> np.uint64(22)) & one) << np.uint64(21)
    return kept | swapped | hands


def _checked_labels(path: Path, contact: dict[str, Any], key: str, n_frames: int) -> NDArray:
    where, value = f"contact[{key!r}]", contact.get(key)
    wide = f"{_BODY_VERTICES}" if key == "body" else "V"
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "iu" or not value.size:
        found = f"{value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise BadFile(path, f"({n_frames}, {wide}) integers", found, key=where)
    if len(value) != n_frames or (key == "body" and value.shape[1] != _BODY_VERTICES):
        raise BadFile(path, f"({n_frames}, {wide}) integers", f"{value.shape}", key=where)
    low, high = int(value.min()), int(value.max())
    if low < 0 or high >= NUM_LABELS:
        raise BadFile(path, f"labels 0 to {NUM_LABELS - 1}", f"{low} to {high}", key=where)
    return value
