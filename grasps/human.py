"""Grasps of human hands in MANO's joints: GrabNet's release of GRAB, and DexYCB.

| format  | file                                                                                                      |
|---|---|
| grabnet | `grabnet_<part>.npz`: `global_orient_rhand_rotmat` (N, 1, 3, 3), `fpose_rhand_rotmat` (N, 15, 3, 3), `trans_rhand` (N, 3), `trans_obj` (N, 3), `root_orient_obj_rotmat` (N, 1, 3, 3, acts on row vectors); beside it, optional, `frame_names.npz`, and above it `sbj_info.npy` |
| dexycb  | `pose.npz` of a recording: `pose_y` (T, K, 7): quaternion x y z w and translation of K objects, `pose_m` (T, 1, 51): turn 3, MANO's components 45, translation 3; or a `labels_<frame>.npz`: `pose_y` (K, 3, 4), `pose_m` (1, 51); beside it or above it `meta.yml`, and, optional, `calibration/mano_<id>/mano.yml` |

Without `frame_names.npz` nothing says which object is grasped: all grasps are of one, named after the file. Without
`sbj_info.npy` or `mano.yml` the wrist is where the given hand has it, 1 to 3 mm off. In a recording of DexYCB each frame
with hand and object is a grasp, also those of the approach.
Facts: NVlabs/dex-ycb-toolkit (its README and loaders).
"""  # noqa: E501 - a table

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from ..files.unpickle import load_npy, load_npz
from ..geometry.rotations import quat_to_rotmat, rotmat_to_rotvec, rotvec_to_rotmat
from ..hands.hand import Hand
from ..hands.mano import ManoHand
from ..hands.pose import HandPose
from ..hands.products import rotate
from .format import Format, check_keys, numbers
from .grasp_set import GraspFileError, GraspSet, axis_vector, join_grasps

_log = logging.getLogger(__name__)

_GRABNET = {
    "global_orient_rhand_rotmat": (None, 1, 3, 3),
    "fpose_rhand_rotmat": (None, 15, 3, 3),
    "trans_rhand": (None, 3),
    "trans_obj": (None, 3),
    "root_orient_obj_rotmat": (None, 1, 3, 3),
}
_FRAME = re.compile(r"(?:.*/)?(?P<subject>s\d+)/(?P<object>[^/_]+)_[^/]*/[^/]+")
YCB = (
    *("002_master_chef_can", "003_cracker_box", "004_sugar_box", "005_tomato_soup_can", "006_mustard_bottle"),
    *("007_tuna_fish_can", "008_pudding_box", "009_gelatin_box", "010_potted_meat_can", "011_banana"),
    *("019_pitcher_base", "021_bleach_cleanser", "024_bowl", "025_mug", "035_power_drill", "036_wood_block"),
    *("037_scissors", "040_large_marker", "051_large_clamp", "052_extra_large_clamp", "061_foam_brick"),
)
"""Objects of DexYCB, numbered from 1."""


def _mano(hand: Hand, what: str) -> ManoHand:
    if isinstance(hand, ManoHand):
        return hand
    raise GraspFileError(f"hand: expected a hand with MANO's joints for {what}, found {hand.name!r}; set hand='mano'")


def _invented(hand: ManoHand) -> bool:
    return (hand.spec.content or {}).get("model") == "stand-in"


# -------------------------------------------------------------------------------------------------------------- GrabNet


def read_grabnet(files: Sequence[Path], hand: Hand) -> list[GraspSet]:
    """Reads files of GrabNet's release.

    Raises:
        GraspFileError, PickleFileError: a file is not of that format, or the hand is not MANO.
    """
    return join_grasps(part for file in files for part in _read_grabnet(file, _mano(hand, "GrabNet's grasps")))


def _read_grabnet(file: Path, hand: ManoHand) -> list[GraspSet]:
    content, where = load_npz(file, _GRABNET), str(file)
    arrays = {key: torch.from_numpy(numbers(content, key, shape, where)) for key, shape in _GRABNET.items()}
    lengths = {len(value) for value in arrays.values()}
    if len(lengths) > 1:
        raise GraspFileError(f"{where}: expected as many rows in every array, found {sorted(lengths)}")
    names, subjects = _frames(file, lengths.pop())
    joints = rotmat_to_rotvec(arrays["fpose_rhand_rotmat"]).flatten(1)
    wrists = _wrists(file, subjects, hand) + arrays["trans_rhand"]
    pose = HandPose(wrists, arrays["global_orient_rhand_rotmat"][:, 0], joints, hand.name)
    object_from_world = arrays["root_orient_obj_rotmat"][:, 0]  # the transpose of the column form
    pose = pose.moved_by(object_from_world, -rotate(object_from_world, arrays["trans_obj"]))
    whole = GraspSet("", pose, torch.ones(len(names)).double(), torch.arange(len(names)), (file,))
    return _by_object(whole, names, object_from_world[:, :, 2])


def _by_object(whole: GraspSet, names: np.ndarray, up: Tensor) -> list[GraspSet]:
    sets = []
    for name in np.unique(names):
        some = torch.from_numpy(names == name)
        part = whole[some]
        sets.append(GraspSet(str(name), part.pose, part.scale, part.rows, part.files, up=up[some]))
    return sets


def _frames(file: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) objects and subjects; the file's name and "" without `frame_names.npz`."""
    beside = file.with_name("frame_names.npz")
    if not beside.is_file():
        return np.full(count, file.stem), np.full(count, "")
    content = load_npz(beside)
    check_keys(content, ("frame_names",), str(beside))
    names = content["frame_names"].ravel()
    found = [_FRAME.fullmatch(str(name)) for name in names]
    bad = next((name for name, match in zip(names, found, strict=True) if match is None), None)
    if len(names) != count or bad is not None:
        what = repr(bad) if bad is not None else str(len(names))
        expected = f"{count} of .../<subject>/<object>_<what>/<frame>"
        raise GraspFileError(f"{beside}, frame_names: expected {expected}, found {what}")
    return tuple(np.array([m[group] for m in found if m]) for group in ("object", "subject"))  # type: ignore[return-value]


def _wrists(file: Path, subjects: np.ndarray, hand: ManoHand) -> Tensor:
    """(N, 3), metres, wrists of the subjects' own hands at rest, where they are known."""
    own: dict[str, Tensor] = {}
    info = next((p for p in (file.parent / "sbj_info.npy", file.parent.parent / "sbj_info.npy") if p.is_file()), None)
    if info is not None and not _invented(hand) and all(subjects):
        people = load_npy(info).item()
        for name in np.unique(subjects).tolist():
            check_keys(people, (name,), str(info))
            own[name] = hand.with_template(numbers(people[name], "rh_vtemp", (778, 3), f"{info}, {name}")).rest_wrist
    return torch.stack([own.get(name, hand.rest_wrist).double() for name in subjects.tolist()])


def write_grabnet(path: Path, sets: Sequence[GraspSet], hand: Hand) -> None:
    """The file, and `frame_names.npz` beside it; the object's pose is the identity, up is dropped.

    Raises:
        GraspFileError: the hand is not MANO, or an object's name has a character that ends it in this format.
    """
    body = _mano(hand, "GrabNet's format")
    if bad := next((part.object for part in sets if re.search("[_/]", part.object)), None):
        raise GraspFileError(f"{path}: expected names of objects without _ and / for this format, found {bad!r}")
    pose = HandPose.cat([part.pose for part in sets])
    eye = torch.eye(3).double().repeat(len(pose.joints), 1, 1, 1)
    arrays = {
        "global_orient_rhand_rotmat": pose.rotation[:, None],
        "fpose_rhand_rotmat": rotvec_to_rotmat(pose.joints.unflatten(1, (15, 3))),
        "trans_rhand": pose.translation - body.rest_wrist.to(pose.translation),
        "trans_obj": torch.zeros_like(pose.translation),
        "root_orient_obj_rotmat": eye,
    }
    np.savez(path, **{key: value.numpy() for key, value in arrays.items()})  # type: ignore[arg-type]
    names = [f"data/s0/{part.object}_grasp/{row}" for part in sets for row in part.rows.tolist()]
    np.savez(path.with_name("frame_names.npz"), frame_names=np.array(names))


# --------------------------------------------------------------------------------------------------------------- DexYCB


def read_dexycb(files: Sequence[Path], hand: Hand) -> list[GraspSet]:
    """Reads recordings or labels of DexYCB; rows are frames; those of left hands are left out of a folder, and said.

    Raises:
        GraspFileError, PickleFileError: a file is not of that format, the hand is not MANO, or all hands are left ones.
    """
    body = _mano(hand, "DexYCB")
    if _invented(body):
        raise GraspFileError(
            f"hand: expected MANO, whose components DexYCB holds, found {body.name!r}; set DEXZOO_MANO"
        )
    metas = {file: _meta(file) for file in files}
    right = [file for file in files if list(metas[file]["mano_sides"]) == ["right"]]
    if not right:
        raise GraspFileError(f"{files[0]}: expected a recording of a right hand, found mano_sides: left in meta.yml")
    if len(right) < len(files):
        _log.warning("%d recordings of left hands are left out", len(files) - len(right))
    return join_grasps(_read_dexycb(file, metas[file], body) for file in right)


def _meta(file: Path) -> Mapping[str, Any]:
    path = next((p for p in (file.parent / "meta.yml", file.parent.parent / "meta.yml") if p.is_file()), None)
    if path is None:
        raise GraspFileError(f"{file}: expected meta.yml beside it or in the folder above, found none")
    content = yaml.safe_load(path.read_text())
    check_keys(content if isinstance(content, Mapping) else {}, ("ycb_ids", "ycb_grasp_ind", "mano_sides"), str(path))
    return content


def _read_dexycb(file: Path, meta: Mapping[str, Any], hand: ManoHand) -> GraspSet:
    content, where = load_npz(file, ("pose_y", "pose_m")), str(file)
    ids, index = meta["ycb_ids"], int(meta["ycb_grasp_ind"])
    check_keys(content, ("pose_y", "pose_m"), where)
    if content["pose_y"].ndim == 3 and content["pose_y"].shape[1:] == (3, 4):
        matrix = torch.from_numpy(numbers(content, "pose_y", (len(ids), 3, 4), where)[index])[None]
        turn, shift = matrix[..., :3], matrix[..., 3]
        there = matrix.flatten(1).any(1)
        hands = numbers(content, "pose_m", (1, 51), where)
        rows = torch.tensor([int("".join(filter(str.isdecimal, file.stem)) or 0)])
    else:
        values = torch.from_numpy(numbers(content, "pose_y", (None, len(ids), 7), where)[:, index])
        there = (values != torch.tensor([0.0, 0, 0, 1, 0, 0, 0])).any(1)
        turn, shift = quat_to_rotmat(values[:, [3, 0, 1, 2]]), values[:, 4:]
        hands = numbers(content, "pose_m", (len(values), 1, 51), where)[:, 0]
        rows = torch.arange(len(values))
    seen = there & torch.from_numpy(hands.any(1))
    if not seen.any():
        raise GraspFileError(f"{where}: expected a frame with hand and object, found none")
    pose = _of_components(torch.from_numpy(hands)[seen], hand, _wrist(file, meta, hand))
    turn = turn[seen].mT
    pose = pose.moved_by(turn, -rotate(turn, shift[seen]))
    count = len(pose.joints)
    up = axis_vector("six").repeat(count, 1)
    return GraspSet(YCB[ids[index] - 1], pose, torch.ones(count).double(), rows[seen], (file,), up=up)


def _wrist(file: Path, meta: Mapping[str, Any], hand: ManoHand) -> Tensor:
    name = f"calibration/mano_{(meta.get('mano_calib') or [''])[0]}/mano.yml"
    path = next((folder / name for folder in file.absolute().parents if (folder / name).is_file()), None)
    person = hand if path is None else hand.with_shape(yaml.safe_load(path.read_text())["betas"])
    return person.rest_wrist.double()


def _of_components(values: Tensor, hand: ManoHand, wrist: Tensor) -> HandPose:
    """Of (n, 51): turn, components about the mean hand, translation."""
    joints = hand.hands_mean.double() + values[:, 3:48] @ hand.components.double()
    return HandPose(values[:, 48:] + wrist, rotvec_to_rotmat(values[:, :3]), joints, hand.name)


def write_dexycb(path: Path, sets: Sequence[GraspSet], hand: Hand) -> None:
    """`<path>/<object>/pose.npz` and `meta.yml`, the object at the origin in a hand's frames; up is dropped.

    Raises:
        GraspFileError: the hand is not MANO, or an object is none of DexYCB's.
    """
    body = _mano(hand, "DexYCB's format")
    for part in sets:
        if part.object not in YCB:
            raise GraspFileError(f"{path}: expected objects of DexYCB, as {YCB[0]!r}, found {part.object!r}")
        folder = path / part.object
        folder.mkdir(parents=True, exist_ok=True)
        pose, frames = part.pose, int(part.rows.max()) + 1
        mean, components = body.hands_mean.to(pose.joints), body.components.to(pose.joints)
        parts = torch.linalg.solve(components.mT, (pose.joints - mean).mT).mT
        turn = rotmat_to_rotvec(pose.rotation)
        object_from = torch.tensor([0.0, 0, 0, 1, 0, 0, 1]).double()  # 1 m along z: the identity means "not there"
        hands, objects = torch.zeros(frames, 1, 51).double(), object_from.repeat(frames, 1, 1)
        shift = pose.translation - body.rest_wrist.to(pose.translation) + object_from[4:]
        hands[part.rows, 0] = torch.cat([turn, parts, shift], dim=1)
        np.savez(folder / "pose.npz", pose_y=objects.numpy(), pose_m=hands.numpy())
        meta = {"ycb_ids": [YCB.index(part.object) + 1], "ycb_grasp_ind": 0, "mano_sides": ["right"]}
        (folder / "meta.yml").write_text(yaml.safe_dump({**meta, "num_frames": frames}))


GRABNET = Format(
    "grabnet",
    "grasps of GrabNet's release (grabnet_<part>.npz)",
    "npz",
    tuple(_GRABNET),
    "**/*.npz",
    read_grabnet,
    write_grabnet,
    metres=True,
    suffix=".npz",
)
DEXYCB = Format(
    "dexycb",
    "a recording of DexYCB (pose.npz or labels_<frame>.npz, with meta.yml)",
    "npz",
    ("pose_y", "pose_m"),
    "**/pose.npz",
    read_dexycb,
    write_dexycb,
    metres=True,
)
