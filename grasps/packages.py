"""Packages of grasps: MultiDex (GenDexGrasp) and DexGrasp Anything.

| format | file                                                                                                       |
|---|---|
| multidex | `<robot>.pt`: {`info`, `metadata`: tuples of q (9 + J), the object's name, ...}; q = translation, first two columns of the rotation, joints; the object in metres |
| dga | `<name>.pt`: {`info`, `metadata`: dicts of `rotations` R (3, 3), `translations` t, `joint_positions` (J), `object_name`, `scale`}; a point x of the hand is at R (x + t) |
| dga_samples | pickle of {`sample_qpos`: {object: (n, 9 + J)}}, rows as the q of MultiDex                            |

The Shadow hand has 24 joints there, the wrist's first, and (inferred) the forearm as its root; other hands have their
own joints and root. DexGrasp Anything's `scale` multiplies the mesh (DexGraspNet), or divides it (UniDexGrasp, RealDex):
here it divides if any scale of a file is above 1, since no mesh of DexGraspNet's is larger than life.
"""  # noqa: E501 - a table

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..files.errors import BadFile
from ..files.unpickle import load_pickle
from ..geometry.rotations import rot6d_to_rotmat, rotmat_to_rot6d, rotvec_to_rotmat
from ..hands.hand import Hand
from ..hands.load import load_hand
from ..hands.pose import HandPose
from ..hands.products import compose, rotate
from .bench import from_real, is_shadow, to_real
from .format import Format, check_keys, number, numbers
from .grasp_set import GraspFileError, GraspSet, axis_vector, check_scales
from .tensor_files import load_torch

_FINGERS = {"FF": 4, "MF": 4, "RF": 4, "LF": 5, "TH": 5}
JOINTS = ("WRJ2", "WRJ1", *(f"{f}J{k}" for f, n in _FINGERS.items() for k in range(n, 0, -1)))
"""Joints of q[9:], in the order of the robot's chain."""
_WRIST, _PALM = (0.0, -0.010, 0.21301), (0.0, 0.0, 0.034)
"""metres: the wrist in the forearm's frame, the palm in the wrist's."""


def pose_of_q(q: Tensor) -> HandPose:
    """Pose of the real Shadow hand (`shadow_e3m5`) from MultiDex's vectors.

    The 33 numbers are known: translation 3, first two columns of the rotation 6, 24 joints of the robot's chain,
    including the wrist. It is inferred that the pose is that of the forearm, the root of that chain, and that the wrist
    joints come first; samples are flagged `assumed_forearm_root`.

    Args:
        q: (n, 33), metres and radians.
    """
    hand = load_hand("shadow_e3m5")
    rotation, joints = rot6d_to_rotmat(q[:, 3:9]), dict(zip(JOINTS, q[:, 9:].unbind(1), strict=True))
    wrist = rotate(rotation, q.new_tensor(_WRIST).expand(len(q), 3)) + q[:, :3]
    rotation = compose(rotation, _turn(joints["WRJ2"], 1))
    palm = rotate(rotation, q.new_tensor(_PALM).expand(len(q), 3)) + wrist
    rotation = compose(rotation, _turn(joints["WRJ1"], 0))
    return HandPose(palm, rotation, torch.stack([joints[name] for name in hand.joint_names], dim=1), hand.name)


def _turn(angle: Tensor, axis: int) -> Tensor:
    return rotvec_to_rotmat(torch.nn.functional.one_hot(torch.tensor(axis), 3).to(angle) * angle[:, None])


def multidex_entries(file: Path, width: int = 9 + len(JOINTS)) -> dict[str, tuple[list[int], Tensor]]:
    """Rows and vectors (n, width), float64, of each object.

    Raises:
        BadFile, UnsafePickleError: the file is not one of MultiDex's.
    """
    found: dict[str, tuple[list[int], list[Tensor]]] = {}
    for row, entry in enumerate(_metadata(file)):
        name, q = _entry(file, row, entry, width)
        rows, vectors = found.setdefault(name, ([], []))
        rows.append(row)
        vectors.append(q)
    return {name: (rows, torch.stack(vectors)) for name, (rows, vectors) in found.items()}


def _metadata(file: Path) -> list[Any]:
    content = load_torch(file)
    entries = content.get("metadata") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        what = f"keys {', '.join(map(str, content))[:80]}" if isinstance(content, dict) else type(content).__name__
        raise BadFile(file, "a dict with a list of grasps", what, key="metadata")
    return entries


def _entry(file: Path, row: int, entry: Any, width: int) -> tuple[str, Tensor]:
    parts = list(entry) if isinstance(entry, tuple | list) else []
    name = next((part for part in parts[1:] if isinstance(part, str)), None)
    if name is None:
        raise BadFile(file, "(q, object name)", f"{type(entry).__name__}", key=f"metadata, row {row}")
    try:
        q = torch.as_tensor(parts[0], dtype=torch.float64).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadFile(file, f"{width} numbers", type(parts[0]).__name__, key=f"metadata, row {row}, q") from error
    if len(q) != width:
        hint = "is it of another hand?"
        raise BadFile(file, f"{width} numbers", str(len(q)), key=f"metadata, row {row}, q", hint=hint)
    return name, q


# -------------------------------------------------------------------------------------------------------------- reading


def _width(hand: Hand) -> int:
    return 9 + (len(JOINTS) if is_shadow(hand) else hand.num_joints)


def _of_q(q: Tensor, hand: Hand) -> HandPose:
    if is_shadow(hand):
        return from_real(pose_of_q(q), hand)
    return HandPose(q[:, :3], rot6d_to_rotmat(q[:, 3:9]), q[:, 9:], hand.name)


def _set(name: str, pose: HandPose, scale: Tensor, rows: Iterable[int], file: Path) -> GraspSet:
    up = axis_vector("six").repeat(len(scale), 1)
    return GraspSet(name, pose, scale, torch.tensor(list(rows)), (file,), up=up)


def read_multidex(files: Sequence[Path], hand: Hand) -> list[GraspSet]:
    """Reads files of MultiDex.

    Raises:
        BadFile, UnsafePickleError: a file is not of that format.
    """
    found = [(file, name, *entry) for file in files for name, entry in multidex_entries(file, _width(hand)).items()]
    ones = [torch.ones(len(rows), dtype=torch.float64) for _, _, rows, _ in found]
    return [_set(n, _of_q(q, hand), s, rows, f) for (f, n, rows, q), s in zip(found, ones, strict=True)]


def read_samples(files: Sequence[Path], hand: Hand) -> list[GraspSet]:
    """Reads samples of DexGrasp Anything.

    Raises:
        GraspFileError, PickleFileError: a file is not of that format.
    """
    found = []
    for file in files:
        content = load_pickle(file)
        samples = content.get("sample_qpos") if isinstance(content, Mapping) else None
        if not isinstance(samples, Mapping):
            raise GraspFileError(f"{file}, sample_qpos: expected a dict of arrays by object, found none")
        for name in samples:
            q = torch.from_numpy(numbers(samples, name, (None, _width(hand)), f"{file}, sample_qpos"))
            found.append(_set(str(name), _of_q(q, hand), torch.ones(len(q)).double(), range(len(q)), file))
    return found


def read_dga(files: Sequence[Path], hand: Hand) -> list[GraspSet]:
    """Reads packages of DexGrasp Anything.

    Raises:
        GraspFileError, BadFile, UnsafePickleError: a file is not of that format.
    """
    return [part for file in files for part in _read_dga(file, hand)]


def _read_dga(file: Path, hand: Hand) -> list[GraspSet]:
    rows: dict[str, list[int]] = {}
    vectors, scales = [], []
    for row, entry in enumerate(_metadata(file)):
        where = f"{file}, metadata, row {row}"
        if not isinstance(entry, Mapping):
            raise GraspFileError(f"{where}: expected a dict, found {type(entry).__name__}")
        check_keys(entry, ("object_name",), where)
        turn = numbers(entry, "rotations", (3, 3), where)
        shift, joints = (numbers(entry, key, (None,), where) for key in ("translations", "joint_positions"))
        vectors.append(np.concatenate([turn @ shift, turn[:, :2].T.ravel(), joints]))
        if len(vectors[-1]) != _width(hand):
            n = _width(hand) - 9
            raise GraspFileError(f"{where}, joint_positions: expected {n} joints of {hand.name!r}, found {len(joints)}")
        scales.append(number(entry.get("scale", 1.0), f"{where}, scale"))
        rows.setdefault(str(entry["object_name"]), []).append(row)
    scale = np.array(scales)
    check_scales(scale, f"{file}, scale", np.arange(len(scale)))
    scale = torch.from_numpy(1 / scale if (scale > 1).any() else scale)
    pose = _of_q(torch.from_numpy(np.stack(vectors)), hand)
    return [_set(name, pose[some], scale[some], some, file) for name, some in rows.items()]


# -------------------------------------------------------------------------------------------------------------- writing


def _q_of(pose: HandPose, hand: Hand) -> Tensor:
    """(n, 9 + J); the wrist of the Shadow hand is straight."""
    real = to_real(pose, hand)
    joints, translation = real.joints, real.translation
    if is_shadow(hand):
        order = [load_hand("shadow_e3m5").joint_names.index(name) for name in JOINTS[2:]]
        joints = torch.cat([joints.new_zeros(len(joints), 2), joints[:, order]], dim=1)
        root = torch.tensor(_WRIST) + torch.tensor(_PALM)
        translation = translation - rotate(real.rotation, root.to(translation).expand_as(translation))
    return torch.cat([translation, rotmat_to_rot6d(real.rotation), joints], dim=1)


def write_multidex(path: Path, sets: Sequence[GraspSet], hand: Hand) -> None:
    """One file."""
    entries = [(q, part.object, hand.name) for part in sets for q in _q_of(part.pose, hand)]
    torch.save({"info": {"robot": hand.name}, "metadata": entries}, path)


def write_dga(path: Path, sets: Sequence[GraspSet], hand: Hand) -> None:
    """One file; scales above 1 would be read as dividing ones.

    Raises:
        GraspFileError: such a scale.
    """
    entries = []
    for part in sets:
        if (part.scale > 1).any():
            raise GraspFileError(f"{path}: expected scales up to 1 for this format, found {float(part.scale.max()):g}")
        for q, scale in zip(_q_of(part.pose, hand), part.scale.tolist(), strict=True):
            turn = rot6d_to_rotmat(q[3:9])
            entry = {"rotations": turn, "translations": turn.mT @ q[:3], "joint_positions": q[9:], "scale": scale}
            entries.append(entry | {"object_name": part.object})
    torch.save({"info": {"num_per_object": {p.object: len(p) for p in sets}}, "metadata": entries}, path)


def write_samples(path: Path, sets: Sequence[GraspSet], hand: Hand) -> None:
    """One file."""
    with path.open("wb") as file:
        pickle.dump({"sample_qpos": {part.object: _q_of(part.pose, hand).numpy() for part in sets}}, file)


MULTIDEX = Format(
    "multidex",
    "grasps of MultiDex (<robot>.pt with tuples in metadata)",
    "tuples",
    ("metadata",),
    "**/*.pt",
    read_multidex,
    write_multidex,
    metres=True,
    suffix=".pt",
)
DGA = Format(
    "dga",
    "grasps of DexGrasp Anything (.pt with rotations, translations, joint_positions in metadata)",
    "records",
    ("rotations", "translations", "joint_positions", "object_name"),
    "**/*.pt",
    read_dga,
    write_dga,
    suffix=".pt",
)
DGA_SAMPLES = Format(
    "dga_samples",
    "samples of DexGrasp Anything (a pickle with sample_qpos)",
    "samples",
    ("sample_qpos",),
    "**/*.pkl",
    read_samples,
    write_samples,
    metres=True,
    suffix=".pkl",
)
