"""GrabNet's release: single right-hand grasps from GRAB, as rotation matrices, with the object at the origin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor

from ...files.cache import cache_dir, write_whole
from ...files.errors import BadFile, DataError, check_names
from ...files.unpickle import as_bad_file, load_npy, load_npz
from ...geometry.meshes import MeshError, check_mesh, mesh_hash
from ...geometry.rotations import rotmat_to_rotvec
from ...hands.pose import HandPose
from ...hands.products import rotate
from ..clouds import object_cloud
from ..errors import DatasetNotFound, Release, check_rotations
from .files import RELEASE
from .grasps import GraspList
from .objects import PARTS, object_of
from .skeleton import Person, is_generic, mano_hand, person_from_vertices

_RELEASE = Release(
    dataset="GrabNet's release of GRAB",
    url="https://grab.is.tue.mpg.de (register, download the GrabNet data)",
    licence=RELEASE.licence,
    tree="""
<root>/obj_info.npy, sbj_info.npy
<root>/{train,val,test}/grabnet_{train,val,test}.npz, frame_names.npz
""",
    setting="root=/path/to/grabnet/data",
)
_SHAPES = {
    "global_orient_rhand_rotmat": (1, 3, 3),
    "fpose_rhand_rotmat": (15, 3, 3),
    "trans_rhand": (3,),
    "trans_obj": (3,),
    "root_orient_obj_rotmat": (1, 3, 3),
}
_NAME = re.compile(r"(?:.*/)?(?P<recording>s\d+/[^/]+)/(?P<frame>[^/]+?)(?:\.npz)?")


def read_grabnet(
    root: str | Path, part: str = "train", hand: str = "mano", *, perturbed: bool = False, n_object_points: int = 1024
) -> GraspList:
    """Reads one part of the release; its parts are those of the split `grab`.

    Args:
        root: folder of `obj_info.npy`, or the one above it, `data`.
        part: "train", "val" or "test".
        hand: name or YAML of a hand with MANO's joints; see `GrabMotion`.
        perturbed: reads the perturbed hands that GrabNet's refinement starts from (keys ending in `_f`).
        n_object_points: points in each object's cloud.

    Raises:
        DatasetNotFound: no such folder, or files of the release are missing.
        BadFile: a damaged file, a missing key, a wrong shape, an invalid rotation, a number that is not finite.
    """
    check_names(part=(part, PARTS))
    root, files = _find(Path(root).expanduser(), part)
    body = mano_hand(hand)
    arrays = _read_arrays(files[2], perturbed)
    recordings, frames = _read_names(files[3], len(arrays["trans_rhand"]))
    names, recording = np.unique(recordings, return_inverse=True)
    people, objects = _read_info(files[1]), _read_info(files[0])
    subjects = {name.split("/")[0] for name in names}
    persons = {subject: _person(files[1], people, subject, body) for subject in subjects}
    stems = {name.split("/")[1].split("_")[0] for name in names}
    clouds = {stem: _cloud(files[0], objects, stem, n_object_points) for stem in stems}
    wrists = np.stack([persons[name.split("/")[0]].rest[0] for name in names])[recording]
    pose = _pose(arrays, torch.from_numpy(wrists), body.name)
    flags = {"generic_skeleton": is_generic(body), "mano_stand_in": body.stand_in and not is_generic(body)}
    flags["perturbed_hand"] = perturbed
    shown = tuple(name for name, here in flags.items() if here)
    up = torch.from_numpy(arrays["root_orient_obj_rotmat"][:, 0, :, 2]).float()  # object_from_world of z
    return GraspList(pose, tuple(names.tolist()), recording, frames, clouds, shown, up)


def _find(root: Path, part: str) -> tuple[Path, list[Path]]:
    names = ("obj_info.npy", "sbj_info.npy", f"{part}/grabnet_{part}.npz", f"{part}/frame_names.npz")
    base = root / "data" if not (root / names[0]).is_file() and (root / "data" / names[0]).is_file() else root
    files = [base / name for name in names]
    missing = [name for name, file in zip(names, files, strict=True) if not file.is_file()]
    if missing:
        raise DatasetNotFound(_RELEASE, root, f"no {', '.join(missing)}" if root.is_dir() else "no such folder")
    return base, files


def _pose(arrays: Mapping[str, NDArray], wrists: Tensor, hand: str) -> HandPose:
    """The hands in the object frame; the release's object rotation acts on row vectors."""
    tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
    joints = rotmat_to_rotvec(tensors["fpose_rhand_rotmat"]).flatten(1)
    pose = HandPose(wrists + tensors["trans_rhand"], tensors["global_orient_rhand_rotmat"][:, 0], joints, hand)
    object_from_world = tensors["root_orient_obj_rotmat"][:, 0]  # the transpose of the column form
    return pose.moved_by(object_from_world, -rotate(object_from_world, tensors["trans_obj"])).to(torch.float32)


def _load(read: Any, file: Path) -> Any:
    with as_bad_file(file, "a complete file of GrabNet's release"):
        return read(file)


def _read_arrays(file: Path, perturbed: bool) -> dict[str, NDArray]:
    content, arrays = _load(load_npz, file), {}
    for key, shape in _SHAPES.items():
        stored = f"{key}_f" if perturbed and "rhand" in key else key
        if stored not in content:
            raise BadFile(file, f"the keys {', '.join(_SHAPES)}", f"no {stored!r} among {', '.join(content)}")
        value = content[stored]
        if value.shape[1:] != shape or value.dtype.kind != "f" or not len(value):
            expected = f"(N, {', '.join(map(str, shape))}) numbers"
            raise BadFile(file, expected, f"{value.shape} of {value.dtype}", key=stored)
        arrays[key] = value.astype(np.float64)
        _check_numbers(file, stored, arrays[key])
    counts = {len(value) for value in arrays.values()}
    if len(counts) > 1:
        raise BadFile(file, "as many rows in every array", f"{sorted(counts)}")
    return arrays


def _check_numbers(file: Path, key: str, value: NDArray) -> None:
    bad = np.argwhere(~np.isfinite(value))
    if len(bad):
        raise BadFile(file, "finite numbers", f"{value[tuple(bad[0])]} at row {bad[0][0]}", key=key)
    if value.shape[-2:] == (3, 3):
        check_rotations(file, key, value, "row")


def _read_names(file: Path, count: int) -> tuple[NDArray, NDArray]:
    content = _load(load_npz, file)
    if "frame_names" not in content:
        raise BadFile(file, "the key frame_names", f"{', '.join(content) or 'none'}")
    names = content["frame_names"].ravel()
    if len(names) != count:
        raise BadFile(file, f"{count} names, as many as grasps", f"{len(names)}", key="frame_names")
    found = [_NAME.fullmatch(str(name)) for name in names]
    for row, match in enumerate(found):
        if match is None:
            expected = "<part>/data/<subject>/<sequence>/<frame>.npz"
            raise BadFile(file, expected, repr(names[row]), key=f"frame_names, row {row}")
        try:
            object_of(match["recording"].split("/")[1])
        except DataError as error:
            raise BadFile(file, "a sequence of GRAB", str(error), key=f"frame_names, row {row}") from error
    return (np.array([m[group] for m in found if m]) for group in ("recording", "frame"))  # type: ignore[return-value]


def _read_info(file: Path) -> dict[str, Any]:
    content = _load(load_npy, file)
    info = content.item() if content.shape == () else None
    if not isinstance(info, dict):
        raise BadFile(file, "a dict in a 0-d array", f"an array of shape {content.shape}")
    return info


def _entry(file: Path, info: Mapping[str, Any], name: str, key: str, shape: tuple[int | None, int]) -> NDArray:
    where = f"{name}[{key!r}]"
    if not isinstance(info.get(name), dict) or key not in info[name]:
        raise BadFile(file, f"{name!r} with {key!r}", f"{', '.join(map(str, info))}", key=where)
    value = np.asarray(info[name][key])
    fits = value.ndim == 2 and value.shape[1] == shape[1] and shape[0] in (None, len(value))
    if not fits or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        expected = f"({shape[0] or 'V'}, {shape[1]}) finite numbers"
        raise BadFile(file, expected, f"{value.shape} of {value.dtype}", key=where)
    return value


def _person(file: Path, people: Mapping[str, Any], subject: str, body: Any) -> Person:
    return person_from_vertices(body, _entry(file, people, subject, "rh_vtemp", (778, 3)).astype(np.float64), file)


def _cloud(file: Path, objects: Mapping[str, Any], stem: str, count: int) -> tuple[Tensor, Path]:
    """Points and a mesh file, which is written to the cache, since the release stores meshes inside `obj_info.npy`."""
    vertices = _entry(file, objects, stem, "verts", (None, 3))
    faces = _entry(file, objects, stem, "faces", (None, 3))
    mesh = trimesh.Trimesh(vertices.astype(np.float64), faces.astype(np.int64), process=False)
    try:
        check_mesh(mesh, f"{file}, {stem}")
    except MeshError as error:
        raise BadFile(file, "a mesh", str(error), key=stem) from error
    path = cache_dir() / "grabnet_meshes" / mesh_hash(mesh) / f"{stem}.ply"
    if not path.exists():
        write_whole(path, lambda out: mesh.export(out, file_type="ply"))
    return object_cloud(path, count), path
