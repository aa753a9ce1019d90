"""Grasps of DexGraspNet and UniDexGrasp: dicts of joint values by name.

Both write the pose of the palm body as Euler angles about fixed axes (R = Rz Ry Rx, keys WRJRx, WRJRy, WRJRz) and a
translation in metres (WRJTx, WRJTy, WRJTz). Joints may be outside their limits: nothing is clamped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..files.unpickle import load_npy, load_npz
from ..geometry.rotations import euler_to_rotmat, rotmat_to_euler
from ..hands.errors import nearest
from ..hands.hand import Hand
from ..hands.pose import HandPose
from .format import Format, check_keys, kind_of, number
from .grasp_set import GraspFileError, GraspSet, axis_vector, check_scales

_ROTATION = ("WRJRx", "WRJRy", "WRJRz")
_TRANSLATION = ("WRJTx", "WRJTy", "WRJTz")


def read_dexgraspnet(path: Path, hand: Hand) -> GraspSet:
    """Reads `<object_code>.npy`: an array of dicts with `qpos` and `scale`; other keys are ignored.

    Raises:
        GraspFileError, PickleFileError: the file is not of that format.
    """
    array = load_npy(path)
    if array.dtype != object or array.ndim != 1 or not len(array):
        what = "no grasp" if array.shape == (0,) else f"an array of {array.dtype} of shape {array.shape}"
        raise GraspFileError(f"{path}: expected an array of dicts, one per grasp, found {what}")
    rows, table = np.arange(len(array)), [_table(entry, f"{path}, row {i}") for i, entry in enumerate(array)]
    pose = _poses([entry["qpos"] for entry in table], lambda i: f"{path}, row {i}, qpos", hand)
    scale = np.array([number(entry["scale"], f"{path}, row {i}, scale") for i, entry in enumerate(table)])
    check_scales(scale, f"{path}, scale", rows)
    up = axis_vector("six").repeat(len(rows), 1)  # objects float; the data set's test pulls along all six half axes
    return GraspSet(path.stem, pose, torch.from_numpy(scale), torch.from_numpy(rows), (path,), up=up)


def write_dexgraspnet(path: Path, sets: Sequence[GraspSet], hand: Hand) -> None:
    """`<path>/<object_code>.npy` as released by DexGraspNet; tables are dropped, since the format has none."""
    for part in sets:
        file = path / f"{part.object}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, grasp_dicts(part.pose, part.scale.tolist(), hand.joint_names), allow_pickle=True)


def grasp_dicts(pose: HandPose, scale: Sequence[float], joint_names: Sequence[str]) -> np.ndarray:
    """(G,), the dicts of a released file, with plain Python numbers.

    Args:
        pose: HandPose (G,), object frame, metres.
        scale: G numbers, metres per unit of the mesh.
        joint_names: in the order of the pose.
    """
    euler = rotmat_to_euler(pose.rotation, "xyz")
    values = torch.cat([pose.joints, euler, pose.translation], dim=1).tolist()
    keys = [f"robot0:{name}" for name in joint_names] + [*_ROTATION, *_TRANSLATION]
    table = np.empty(len(values), dtype=object)
    for i, (row, size) in enumerate(zip(values, scale, strict=True)):
        table[i] = {"qpos": dict(zip(keys, row, strict=True)), "scale": size}
    return table


def read_unidexgrasp(paths: Sequence[Path], hand: Hand) -> GraspSet:
    """Reads the files of one object, `<source>/<Category-id>/<number>.npz`: `qpos`, `scale` (its reciprocal), `plane`.

    Rows are the files' numbers, or their positions in the list if a name is not a number.

    Raises:
        GraspFileError, PickleFileError: a file is not of that format.
    """
    table = [_unidexgrasp(path) for path in paths]
    pose = _poses([entry["qpos"].item() for entry in table], lambda i: f"{paths[i]}, qpos", hand)
    rows = np.array([int(p.stem) if p.stem.isdecimal() else i for i, p in enumerate(paths)], np.int64)
    inverse = np.array([number(e["scale"], f"{p}, scale") for e, p in zip(table, paths, strict=True)])
    check_scales(inverse, f"{paths[0].parent}, scale", rows)
    plane = torch.from_numpy(np.stack([entry["plane"].astype(np.float64) for entry in table]))
    name = "/".join(paths[0].resolve().parent.parts[-2:])
    return GraspSet(name, pose, torch.from_numpy(1 / inverse), torch.from_numpy(rows), tuple(paths), plane)


def write_unidexgrasp(path: Path, sets: Sequence[GraspSet], hand: Hand) -> None:
    """`<path>/<object>/<row>.npz`.

    Raises:
        GraspFileError: grasps without a table, which the format has.
    """
    for part in sets:
        if part.plane is None or part.plane.isnan().any():
            raise GraspFileError(
                f"{path}: expected grasps above a table for this format, found none of {part.object!r}"
            )
        (path / part.object).mkdir(parents=True, exist_ok=True)
        dicts = grasp_dicts(part.pose, part.scale.tolist(), hand.joint_names)
        for row, entry, plane in zip(part.rows.tolist(), dicts, part.plane.numpy(), strict=True):
            qpos = np.array(entry["qpos"], object)
            np.savez(path / part.object / f"{row:05d}.npz", qpos=qpos, scale=1 / entry["scale"], plane=plane)


def _by_folder(files: Sequence[Path]) -> list[list[Path]]:
    groups: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        groups[file.parent].append(file)
    return list(groups.values())


def _unidexgrasp(path: Path) -> Mapping[str, np.ndarray]:
    entry = load_npz(path)
    check_keys(entry, ("qpos", "scale", "plane"), str(path))
    if entry["qpos"].shape != ():
        raise GraspFileError(f"{path}, qpos: expected one dict, found an array of shape {entry['qpos'].shape}")
    if entry["plane"].shape != (4,) or entry["plane"].dtype.kind not in "fiu":
        found = f"{entry['plane'].dtype} of shape {entry['plane'].shape}"
        raise GraspFileError(f"{path}, plane: expected four numbers, normal and offset, found {found}")
    return entry


def _table(entry: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(entry, Mapping):
        raise GraspFileError(f"{where}: expected a dict with qpos and scale, found {kind_of(entry)}")
    check_keys(entry, ("qpos", "scale"), where)
    return entry


def _poses(tables: Sequence[Any], where: Callable[[int], str], hand: Hand) -> HandPose:
    """HandPose (N,) of N dicts; their keys may be in any order and may have a prefix that ends in a colon."""
    names = (*hand.joint_names, *_ROTATION, *_TRANSLATION)
    keys = _keys(tables[0], names, where(0), hand)
    values = np.empty((len(tables), len(names)))
    for i, table in enumerate(tables):
        if not isinstance(table, Mapping) or table.keys() != set(keys):
            keys = _keys(table, names, where(i), hand)
        try:
            values[i] = [table[key] for key in keys]
            strange = np.isnan(values[i]).any()  # numpy converts None to NaN
        except (TypeError, ValueError, OverflowError):
            strange = True
        if strange:
            values[i] = [number(table[key], f"{where(i)}, {key}") for key in keys]
    joints, euler, translation = (torch.from_numpy(x) for x in np.split(values, [-6, -3], axis=1))
    return HandPose(translation, euler_to_rotmat(euler, "xyz"), joints, hand.name)


def _keys(table: Any, names: Sequence[str], where: str, hand: Hand) -> list[str]:
    """The keys of a dict that belong to `names`."""
    if not isinstance(table, Mapping):
        raise GraspFileError(f"{where}: expected a dict of values by joint name, found {kind_of(table)}")
    bare = {str(key).rpartition(":")[2]: key for key in table}
    expected = f"{where}: expected the joints of hand {hand.name!r}, WRJR[xyz] and WRJT[xyz]"
    for name in names:
        if name not in bare:
            raise GraspFileError(f"{expected}, found no {name!r}; {nearest(name, bare)}")
    for name in bare:
        if name not in names:
            raise GraspFileError(f"{expected}, found {name!r}; {nearest(name, names)}")
    return [bare[name] for name in names]


DEXGRASPNET = Format(
    "dexgraspnet",
    "an array of dicts (<object_code>.npy)",
    "dicts",
    ("qpos", "scale"),
    "*.npy",
    lambda files, hand: [read_dexgraspnet(file, hand) for file in files],
    write_dexgraspnet,
)
UNIDEXGRASP = Format(
    "unidexgrasp",
    "one grasp of UniDexGrasp (<number>.npz with qpos, scale and plane)",
    "npz",
    ("qpos", "scale", "plane"),
    "**/*.npz",
    lambda files, hand: [read_unidexgrasp(group, hand) for group in _by_folder(files)],
    write_unidexgrasp,
)
