"""Grasps of DexGraspBench, BODex and Dexonomy: postures before, at and after the grasp, as MuJoCo's qpos.

A qpos is the hand's root, x y z and quaternion w x y z, in the world, then its joints in the order of the description.
The Shadow hand there is the real one with its root at the wrist; BODex has it at the palm, the thumb's joints first.

| format        | one .npy with one dict                                                                              |
|---|---|
| dexgraspbench | a grasp: `obj_path`, `obj_pose` (7), `obj_scale`, and `grasp_qpos` (7 + J) or, older, `grasp_pose` (7) and `grasp_qpos` (J); the same with `pregrasp_` and `squeeze_` in front, optional |
| dexonomy      | n grasps: `scene_path`, and `grasp_qpos` (n, 7 + J), `pregrasp_qpos`, `squeeze_qpos`; the object stands at the origin, or where the scene's file puts it |
| bodex         | n grasps: `robot_pose` (1, n, 3, 7 + J): pregrasp, grasp, squeeze; `obj_pose` (1, 7), `obj_scale` (1,); the folder is named after the object |

Facts: JYChen18/DexGraspBench (its README and converter), JYChen18/Dexonomy, issues 2 and 4.
"""  # noqa: E501 - a table

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..files.unpickle import load_npy
from ..geometry.rotations import quat_to_rotmat, rotmat_to_quat
from ..hands.hand import Hand
from ..hands.load import load_hand
from ..hands.pose import HandPose
from ..hands.products import rotate
from .format import Format, check_keys, kind_of, number, numbers
from .grasp_set import GraspFileError, GraspSet, axis_vector, check_scales, join_grasps

_STEPS = ("pregrasp", "grasp", "squeeze")
_WRIST = (0.0, 0.0, -0.034)
"""metres, the root of DexGraspBench's Shadow hand in the palm's frame."""
_BODEX_ROOT = {"allegro": (0.0, 2**-0.5, 0.0, 2**-0.5)}
"""w x y z: MuJoCo's root in the frame that BODex has, where they differ; half a turn, its own inverse."""
_THUMB = 5  # joints of the Shadow hand's thumb
_SHADOW = "shadow_e3m5"
_STILL = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)

_World = tuple[str, np.ndarray, float]
"""Object's name, its pose (7,) in the world, its scale."""


def is_shadow(hand: Hand) -> bool:
    """Whether it is the Shadow hand, in one of the two conventions."""
    return _SHADOW == hand.name or hand.name in load_hand(_SHADOW).spec.maps


def from_real(pose: HandPose, hand: Hand) -> HandPose:
    """A pose of the real Shadow hand in the convention of `hand`."""
    return pose if pose.hand == hand.name else load_hand(pose.hand).convert(pose, hand)


def to_real(pose: HandPose, hand: Hand) -> HandPose:
    """The inverse of `from_real`; poses of other hands stay."""
    return hand.convert(pose, load_hand(_SHADOW)) if is_shadow(hand) else pose


# -------------------------------------------------------------------------------------------------------------- reading


def read_bench(files: Sequence[Path], hand: Hand) -> list[GraspSet]:
    """Reads files of `dexgraspbench` or `dexonomy`; rows are the numbers in the names, or places in the file.

    Raises:
        GraspFileError, PickleFileError: a file is not of that format.
    """
    return join_grasps(_read_one(file, _dict(file), hand) for file in files)


def _read_one(file: Path, entry: Mapping[str, Any], hand: Hand) -> GraspSet:
    where, joints = str(file), hand.num_joints
    world = _scene(file, entry) if "scene_path" in entry else _object(entry, where)
    found: dict[str, np.ndarray] = {}
    for step in _STEPS:
        if step == "grasp" or f"{step}_qpos" in entry:
            found[step] = _qpos(entry, step, joints, where)
    count = len(found["grasp"])
    for step, qpos in found.items():
        if len(qpos) != count:
            raise GraspFileError(f"{where}, {step}_qpos: expected {count} rows, as many as grasps, found {len(qpos)}")
    single = count == 1 and file.stem.isdecimal()
    return _set(
        file, found, world, [int(file.stem)] if single else range(count), lambda q: _pose(q, hand, _WRIST), hand
    )


def _qpos(entry: Mapping[str, Any], step: str, joints: int, where: str) -> np.ndarray:
    """(n, 7 + J)."""
    key = f"{step}_qpos"
    check_keys(entry, (key,), where)
    batch = (None,) * (np.ndim(entry[key]) - 1)
    if f"{step}_pose" in entry:
        parts = [numbers(entry, k, (*batch, n), where) for k, n in ((f"{step}_pose", 7), (key, joints))]
        return np.concatenate(parts, axis=-1).reshape(-1, 7 + joints)
    if "approach_qpos" in entry:
        raise GraspFileError(f"{where}: expected postures of a hand alone, found a hand on an arm (approach_qpos)")
    return numbers(entry, key, (*batch, 7 + joints), where).reshape(-1, 7 + joints)


def _object(entry: Mapping[str, Any], where: str) -> _World:
    check_keys(entry, ("obj_path", "obj_pose", "obj_scale"), where)
    name = Path(str(np.asarray(entry["obj_path"]).item())).name
    return name, numbers(entry, "obj_pose", (7,), where), number(entry["obj_scale"], f"{where}, obj_scale")


def _scene(file: Path, entry: Mapping[str, Any]) -> _World:
    """The object that a scene of Dexonomy names, from its own file where that is there."""
    path = Path(str(np.asarray(entry["scene_path"]).item()))
    scene = next((folder / path for folder in (Path(), *file.absolute().parents) if (folder / path).is_file()), None)
    if scene is not None:
        content = _dict(scene)
        check_keys(content, ("scene", "task"), str(scene))
        name = content["task"]["obj_name"] if "obj_name" in content["task"] else next(iter(content["scene"]))
        body = content["scene"][name]
        check_keys(body, ("pose", "scale"), f"{scene}, scene, {name}")
        scale = float(numbers(body, "scale", (3,), str(scene))[0])
        return str(name), numbers(body, "pose", (7,), f"{scene}, {name}"), scale
    digits = re.fullmatch(r"scale(\d+)\D*.*", path.stem)
    if digits is None or len(path.parts) < 3:
        raise GraspFileError(
            f"{file}, scene_path: expected .../<object>/<kind>/scale<hundredths>.npy, or a file that is there, found "
            f"{str(path)!r}"
        )
    return path.parts[-3], np.array(_STILL), int(digits[1]) / 100


def read_bodex(files: Sequence[Path], hand: Hand) -> list[GraspSet]:
    """Reads raw files of BODex, `<object>/<name>_grasp.npy`.

    Raises:
        GraspFileError, PickleFileError: a file is not of that format.
    """
    return join_grasps(_read_bodex(file, hand) for file in files)


def _read_bodex(file: Path, hand: Hand) -> GraspSet:
    entry, where = _dict(file), str(file)
    qpos = numbers(entry, "robot_pose", (1, None, 3, 7 + hand.num_joints), where)[0]
    scale = numbers(entry, "obj_scale", (1,), where)[0]
    world = file.absolute().parent.name, numbers(entry, "obj_pose", (1, 7), where)[0], float(scale)
    if is_shadow(hand):
        qpos = np.concatenate([qpos[..., :7], qpos[..., 7 + _THUMB :], qpos[..., 7 : 7 + _THUMB]], axis=-1)
    found = {step: qpos[:, k] for k, step in enumerate(_STEPS)}
    return _set(file, found, world, range(len(qpos)), lambda q: _turned(_pose(q, hand, (0, 0, 0)), hand), hand)


def _turned(pose: HandPose, hand: Hand) -> HandPose:
    turn = _BODEX_ROOT.get(hand.name)
    return pose if turn is None else replace(pose, rotation=pose.rotation @ quat_to_rotmat(torch.tensor(turn).double()))


def _set(
    file: Path,
    steps: Mapping[str, np.ndarray],
    world: _World,
    rows: Sequence[int],
    pose_of: Callable[[np.ndarray], HandPose],
    hand: Hand,
) -> GraspSet:
    name, object_pose, scale = world
    check_scales(np.array([scale]), f"{file}, obj_scale", np.zeros(1, int))
    turn = quat_to_rotmat(torch.from_numpy(object_pose[3:])).mT
    shift = -rotate(turn, torch.from_numpy(object_pose[:3]))
    poses = {step: from_real(pose_of(qpos).moved_by(turn, shift), hand) for step, qpos in steps.items()}
    count = len(rows)
    up = axis_vector("six").repeat(count, 1)  # objects float; the test pulls along all six half axes
    scales = torch.full((count,), scale, dtype=torch.float64)
    before, after = poses.get("pregrasp"), poses.get("squeeze")
    rows_of = torch.tensor(list(rows))
    return GraspSet(name, poses["grasp"], scales, rows_of, (file,), up=up, pregrasp=before, squeeze=after)


def _pose(qpos: np.ndarray, hand: Hand, root: tuple[float, ...]) -> HandPose:
    """World poses of the hand, whose root in the file is at `root` in the palm's frame if it is the Shadow hand."""
    values = torch.from_numpy(qpos)
    rotation = quat_to_rotmat(values[:, 3:7])
    shadow = is_shadow(hand)
    palm = values[:, :3] - rotate(rotation, torch.tensor(root).double()) if shadow else values[:, :3]
    return HandPose(palm, rotation, values[:, 7:], _SHADOW if shadow else hand.name)


def _dict(file: Path) -> Mapping[str, Any]:
    array = load_npy(file)
    if array.shape != () or not isinstance(array.item(), Mapping):
        raise GraspFileError(f"{file}: expected one dict, found {kind_of(array)}")
    return array.item()


# -------------------------------------------------------------------------------------------------------------- writing


def _rows(part: GraspSet, hand: Hand, root: tuple[float, ...]) -> dict[str, np.ndarray]:
    """(N, 7 + J) of each step that there is, the object at the origin; NaN where a grasp has none."""
    found = {}
    for step in _STEPS:
        pose = part.pose if step == "grasp" else getattr(part, step)
        if pose is not None:
            real = to_real(pose, hand)
            shift = rotate(real.rotation, torch.tensor(root).to(real.rotation)) if is_shadow(hand) else 0
            found[step] = torch.cat([real.translation + shift, _quat(real.rotation), real.joints], dim=1).numpy()
    return found


def _quat(rotation: Tensor) -> Tensor:
    known = rotation.isfinite().flatten(1).all(1)
    quat = rotation.new_full((len(rotation), 4), torch.nan)
    quat[known] = rotmat_to_quat(rotation[known])
    return quat


def write_bench(path: Path, sets: Sequence[GraspSet], hand: Hand) -> None:
    """`<path>/<object>/<row>.npy`."""
    for part in sets:
        folder, steps = path / part.object, _rows(part, hand, _WRIST)
        folder.mkdir(parents=True, exist_ok=True)
        for i, row in enumerate(part.rows.tolist()):
            world = {"obj_pose": np.array(_STILL), "obj_scale": float(part.scale[i]), "obj_path": part.object}
            known = {f"{step}_qpos": q[i] for step, q in steps.items() if step == "grasp" or not np.isnan(q[i]).any()}
            np.save(folder / f"{row}.npy", np.array(world | known, object), allow_pickle=True)


def write_dexonomy(path: Path, sets: Sequence[GraspSet], hand: Hand) -> None:
    """`<path>/<object>/scale<hundredths>.npy`, one per scale."""
    for part in sets:
        hundredths = (100 * part.scale).round()
        if (off := (hundredths - 100 * part.scale).abs() > 1e-4).any():
            found = f"{float(part.scale[off][0]):g}"
            raise GraspFileError(f"{path}: expected scales of whole hundredths for this format, found {found}")
        for scale in hundredths.unique():
            steps, digits = _rows(part[hundredths == scale], hand, _WRIST), f"scale{int(scale):03d}"
            entry = {f"{step}_qpos": q for step, q in steps.items()}
            entry |= {"scene_path": np.array(f"scene_cfg/{part.object}/floating/{digits}.npy")}
            (path / part.object).mkdir(parents=True, exist_ok=True)
            np.save(path / part.object / f"{digits}.npy", np.array(entry, object), allow_pickle=True)


def write_bodex(path: Path, sets: Sequence[GraspSet], hand: Hand) -> None:
    """`<path>/<object>/scale<n>_grasp.npy`, one per scale; a grasp without postures has NaN for them."""
    for part in sets:
        for k, scale in enumerate(part.scale.unique().tolist()):
            some = part[part.scale == scale]
            poses = {"pose": some.pose, "pregrasp": some.pregrasp, "squeeze": some.squeeze}
            raw = {name: None if pose is None else _turned(pose, hand) for name, pose in poses.items()}
            steps = _rows(replace(some, **raw), hand, (0, 0, 0))
            lacking = np.full_like(steps["grasp"], np.nan)
            qpos = np.stack([steps.get(step, lacking) for step in _STEPS], axis=1)
            if is_shadow(hand):
                qpos = np.concatenate([qpos[..., :7], qpos[..., -_THUMB:], qpos[..., 7:-_THUMB]], axis=-1)
            entry = {"robot_pose": qpos[None], "obj_pose": np.array([_STILL]), "obj_scale": np.array([scale])}
            (path / part.object).mkdir(parents=True, exist_ok=True)
            np.save(path / part.object / f"scale{k}_grasp.npy", np.array(entry, object), allow_pickle=True)


DEXGRASPBENCH = Format(
    "dexgraspbench",
    "one grasp of DexGraspBench (.npy with obj_path, obj_pose, obj_scale and grasp_qpos)",
    "dict",
    ("obj_path", "obj_pose", "obj_scale", "grasp_qpos"),
    "**/*.npy",
    read_bench,
    write_bench,
)
DEXONOMY = Format(
    "dexonomy",
    "grasps of Dexonomy (.npy with scene_path and grasp_qpos)",
    "dict",
    ("scene_path", "grasp_qpos"),
    "**/*.npy",
    read_bench,
    write_dexonomy,
)
BODEX = Format(
    "bodex",
    "grasps of BODex (<object>/<name>_grasp.npy with robot_pose, obj_pose and obj_scale)",
    "dict",
    ("robot_pose", "obj_pose", "obj_scale"),
    "**/*.npy",
    read_bodex,
    write_bodex,
)
