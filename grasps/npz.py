"""Our own grasp format, `dexzoo`: one `.npz` without pickles.

It holds N grasps of K objects by a hand with J joints:

| key           | shape     |                                                                                   |
|---|---|---|
| `version`     | ()        | 1                                                                                 |
| `hand`        | ()        | name of the hand, as in its YAML                                                  |
| `joint_names` | (J,)      | any order: joints are matched by name                                             |
| `objects`     | (K,)      | names                                                                             |
| `object`      | (N,)      | index into `objects` of each grasp                                                |
| `translation` | (N, 3)    | metres, origin of the hand's root frame, in the object's frame                    |
| `rotation`    | (N, 3, 3) | object_from_hand                                                                  |
| `joints`      | (N, J)    | radians                                                                           |
| `scale`       | (N,)      | metres per unit of the object's mesh                                              |
| `plane`       | (N, 4)    | optional; unit normal and offset (metres) of a table, object frame; NaN for none  |
| `up`          | (N, 3)    | optional; unit, away from the earth, object frame; NaN for unknown, z by default  |
| `row`         | (N,)      | optional; index of the grasp in the original file; by default its index in this file |
| `pregrasp_translation`, `pregrasp_rotation`, `pregrasp_joints` | as above | optional; where the hand closes from; NaN for unknown |
| `squeeze_translation`, `squeeze_rotation`, `squeeze_joints` | as above | optional; where its servos pull to; NaN for unknown |
"""  # noqa: E501 - a table

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..files.unpickle import PickleFileError, UnsafePickleError, load_npz
from ..hands.errors import nearest
from ..hands.hand import Hand
from ..hands.pose import HandPose
from .format import Format
from .grasp_set import GraspFileError, GraspSet, axis_vector, check_scales

VERSION = 1

_NUMBERS = "fiu"
_POSE = ("translation", "rotation", "joints")
_LOOSE = 1e-3  # largest deviation of a rotation from orthonormal


def write_dexzoo(path: Path, grasps: Sequence[GraspSet], hand: Hand) -> None:
    """Writes grasps of one hand; see the table above."""
    pose = HandPose.cat([part.pose for part in grasps]).to("cpu", torch.float64)
    arrays: dict[str, np.ndarray] = {
        "version": np.array(VERSION),
        "hand": np.array(hand.name),
        "joint_names": np.array(hand.joint_names),
        "objects": np.array([part.object for part in grasps]),
        "object": np.repeat(np.arange(len(grasps)), [len(part) for part in grasps]),
        **{key: getattr(pose, key).numpy() for key in _POSE},
        "scale": torch.cat([part.scale.double() for part in grasps]).numpy(),
        "row": torch.cat([part.rows for part in grasps]).numpy(),
    }
    if any(part.plane is not None for part in grasps):
        arrays["plane"] = np.concatenate([_plane(part) for part in grasps])
    if any(part.up is not None for part in grasps):
        arrays["up"] = np.concatenate([_up(part) for part in grasps])
    for name in ("pregrasp", "squeeze"):
        given = [getattr(part, name) for part in grasps]
        if any(posture is not None for posture in given):
            nothing = [part.pose.map(lambda x: x * torch.nan) for part in grasps]
            posture = HandPose.cat([n if g is None else g for g, n in zip(given, nothing, strict=True)])
            arrays |= {f"{name}_{key}": getattr(posture, key).double().cpu().numpy() for key in _POSE}
    _write(path, arrays)


def _up(part: GraspSet) -> np.ndarray:
    return axis_vector("z").repeat(len(part), 1).numpy() if part.up is None else part.up.double().numpy()


def _plane(part: GraspSet) -> np.ndarray:
    return np.full((len(part), 4), np.nan) if part.plane is None else part.plane.double().numpy()


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        os.chmod(name, 0o644)  # mkstemp creates files that only the owner may read
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _read_all(files: Sequence[Path], hand: Hand) -> list[GraspSet]:
    return [grasps for file in files for grasps in read_dexzoo(file, hand)]


def read_dexzoo(path: Path, hand: Hand) -> list[GraspSet]:
    """Reads a file of the format `dexzoo`: one set per object that has grasps, in the order of the file.

    Raises:
        GraspFileError: the file is damaged, of another hand, or not as described by the table above.
        UnsafePickleError: the file asks to execute code.
    """
    try:
        arrays = load_npz(path)
    except UnsafePickleError:
        raise
    except PickleFileError as error:
        raise GraspFileError(f"{path}: expected an .npz of plain arrays, found a damaged file ({error})") from error
    if pickled := [key for key, array in arrays.items() if array.dtype == object]:
        raise GraspFileError(f"{path}: expected an .npz of plain arrays, found a damaged file (objects: {pickled})")
    _check_header(arrays, path, hand)
    names = _array(arrays, "objects", (None,), path, "U").tolist()
    index = _object_index(arrays, names, path)
    whole = _all_grasps(arrays, len(index), path, hand)
    return [_part(whole, name, torch.from_numpy(index == k)) for k, name in enumerate(names) if (index == k).any()]


def _object_index(arrays: dict[str, np.ndarray], names: list[str], path: Path) -> np.ndarray:
    index = _array(arrays, "object", (None,), path, "iu")
    if not len(index):
        raise GraspFileError(f"{path}, object: expected at least one grasp, found none")
    wrong = index[(index < 0) | (index >= len(names))]
    if len(wrong):
        raise GraspFileError(f"{path}, object: expected numbers from 0 to {len(names) - 1}, found {wrong[0]}")
    return index


def _all_grasps(arrays: dict[str, np.ndarray], n: int, path: Path, hand: Hand) -> GraspSet:
    """The grasps of all objects as one set."""
    order = _joint_order(_array(arrays, "joint_names", (None,), path, "U").tolist(), path, hand)
    rows = _array(arrays, "row", (n,), path, "iu") if "row" in arrays else np.arange(n)
    scale = _array(arrays, "scale", (n,), path)
    check_scales(scale, f"{path}, scale", rows)
    pose = _pose(arrays, "", n, order, path, hand)
    postures = [
        _pose(arrays, name, n, order, path, hand) if f"{name}joints" in arrays else None
        for name in ("pregrasp_", "squeeze_")
    ]
    plane = _tensor(_array(arrays, "plane", (n, 4), path)) if "plane" in arrays else None
    up = _tensor(_array(arrays, "up", (n, 3), path)) if "up" in arrays else None
    return GraspSet("", pose, _tensor(scale), torch.from_numpy(rows.astype(np.int64)), (path,), plane, up, *postures)


def _pose(arrays: dict[str, np.ndarray], name: str, n: int, order: list[int], path: Path, hand: Hand) -> HandPose:
    """The pose whose keys begin with `name`."""
    shapes = ((n, 3), (n, 3, 3), (n, len(order)))
    parts = [_array(arrays, f"{name}{key}", shape, path) for key, shape in zip(_POSE, shapes, strict=True)]
    _check_rotations(parts[1], f"{path}, {name}rotation")
    return HandPose(_tensor(parts[0]), _tensor(parts[1]), _tensor(parts[2][:, order]), hand.name)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float64))


def _part(whole: GraspSet, name: str, mask: torch.Tensor) -> GraspSet:
    part = whole[mask]
    known = part.plane is not None and not part.plane.isnan().all()
    return replace(part, object=name, plane=part.plane if known else None)


def _check_header(arrays: dict[str, np.ndarray], path: Path, hand: Hand) -> None:
    version = int(_array(arrays, "version", (), path, "iu"))
    if version != VERSION:
        raise GraspFileError(
            f"{path}, version: expected {VERSION}, found {version}; it needs another version of dexzoo"
        )
    name = str(_array(arrays, "hand", (), path, "U"))
    if name != hand.name:
        raise GraspFileError(f"{path}, hand: expected {hand.name!r}, found {name!r}; read it with that hand")


def _joint_order(found: list[str], path: Path, hand: Hand) -> list[int]:
    """Columns of the file in the order of the hand's joints."""
    where = f"{path}, joint_names: expected the joints of hand {hand.name!r}"
    for name in found:
        if name not in hand.joint_names or found.count(name) > 1:
            again = " twice" if found.count(name) > 1 else ""
            raise GraspFileError(f"{where}, found {name!r}{again}; {nearest(name, hand.joint_names)}")
    for name in hand.joint_names:
        if name not in found:
            raise GraspFileError(f"{where}, found no {name!r}; {nearest(name, found)}")
    return [found.index(name) for name in hand.joint_names]


def _array(
    arrays: dict[str, np.ndarray], key: str, shape: tuple[int | None, ...], path: Path, kinds: str = _NUMBERS
) -> np.ndarray:
    if key not in arrays:
        raise GraspFileError(f"{path}: missing key {key!r}; {nearest(key, arrays)}")
    array = arrays[key]
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind not in kinds:
        wanted = f"{'text' if kinds == 'U' else 'whole numbers' if kinds == 'iu' else 'numbers'} of shape "
        sizes = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise GraspFileError(f"{path}, {key}: expected {wanted}{sizes}, found {array.dtype} of shape {array.shape}")
    return array


def _check_rotations(rotation: np.ndarray, where: str) -> None:
    error = np.abs(rotation @ rotation.swapaxes(1, 2) - np.eye(3)).max((1, 2))
    wrong = np.flatnonzero((error > _LOOSE) | (np.linalg.det(rotation) < 0))  # false for NaN, which is allowed
    if len(wrong):
        found = np.round(rotation[wrong[0]], 3).tolist()
        raise GraspFileError(f"{where}: expected rotation matrices, found {found} at grasp {wrong[0]}")


DEXZOO = Format(
    "dexzoo",
    "grasps in dexzoo's format (.npz with hand, joint_names, objects, ...)",
    "npz",
    ("hand", "joint_names", "objects", "object", "translation", "rotation", "joints", "scale"),
    "*.npz",
    _read_all,
    write_dexzoo,
    suffix=".npz",
)
