"""Objects of the user's: meshes, or clouds of points, in any unit."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor

from ...datamodules.clouds import object_cloud
from ...files.names import nearest
from ...geometry.cloud_field import FEWEST
from ...geometry.meshes import SUFFIXES, MeshError
from ...geometry.sampling import farthest_point_sampling
from ...grasps.grasp_set import GraspFileError
from ...grasps.meshes import find_mesh
from ...hands.plausible import LIKELY, OBJECT, doubt_size
from ...metrics.tables import console
from ..commandline.errors import RunError
from .pcd import read_pcd

_log = logging.getLogger(__name__)

_CLOUDS = (".npy", ".npz", ".xyz", ".pcd", ".ply")
_KINDS = tuple(dict.fromkeys((*SUFFIXES, *_CLOUDS)))
_CANDIDATES = 32
"""Points of a large cloud drawn for each point kept, before the most spread ones are picked."""
_LOOSE = 1.5
"""Factor by which an object may be larger or smaller than those of the training before a warning."""
_MILLIMETRE = 0.001
_UNITS = (0.001, 0.01, 0.0254, 1000.0, 100.0)
"""Metres per millimetre, centimetre and inch; and the other way round."""


@dataclass(frozen=True)
class UserObject:
    """A user's object, in the unit and frame of its file."""

    name: str
    """Of the file, without its suffix, or of the object in a file of grasps."""
    points: Tensor
    """(N, 3), float32, the most spread ones first."""
    mesh: Path | None
    """File of the mesh; None for a cloud."""

    @property
    def radius(self) -> float:
        """Largest distance of a point from the centroid, unit of the file."""
        return float((self.points - self.points.mean(0)).norm(dim=1).max())


def object_files(given: str | Sequence[str]) -> dict[str, Path]:
    """Files of the user's objects, by a name for each that no other has.

    Args:
        given: a file, a folder of files or of folders as `find_mesh` takes them, or several of these.

    Raises:
        RunError: a folder that holds no object.
    """
    files: list[Path] = []
    for path in [Path(given)] if isinstance(given, str) else map(Path, given):
        inside = list(_inside(path)) if path.is_dir() else [path]
        if not inside:
            raise RunError(f"object: {path}: expected files of {' '.join(_KINDS)} in the folder, found none")
        files += inside
    names = [path.parents[1].name if path.parent.name == "coacd" else path.stem for path in files]
    return {n if names.count(n) == 1 else str(path): path for n, path in zip(names, files, strict=True)}


def _inside(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            with suppress(GraspFileError):  # a folder of something else
                yield find_mesh(folder, path.name)
        elif path.suffix.lower() in _KINDS:
            yield path


def read_object(path: str | Path, n: int, name: str | None = None) -> UserObject:
    """Reads a mesh, from whose surface n points are drawn, or a cloud, which keeps all where it has fewer; the name is
    by default the file's. RunError for no such file, an unknown kind, or a mesh or cloud that cannot be used.
    """
    path = Path(path)
    if not path.is_file():
        beside = {p.stem: p for p in path.parent.glob("*")}
        match = nearest(path.stem, beside)
        hint = f"; did you mean {beside[match]}?" if match else ""
        raise RunError(f"object: expected a mesh or cloud, found no file {path}{hint}")
    kind, name = path.suffix.lower(), name or path.stem
    if kind not in _KINDS:
        raise RunError(f"object: {path}: expected one of {' '.join(sorted(_KINDS))}, found {kind!r}")
    if kind in _CLOUDS and not (kind == ".ply" and len(getattr(_parsed(path), "faces", ()))):
        return UserObject(name, _spread(_read_cloud(path), n), None)
    try:
        return UserObject(name, object_cloud(path, n), path.absolute())
    except MeshError as error:
        raise RunError(f"object: {error}") from error


def metres_per_unit(obj: UserObject, stated: str | float, scales: Tensor) -> float:
    """The unit of an object's file; says so where it is a guess.

    Args:
        obj: the object.
        stated: "auto" for metres, or millimetres where only those give an object of 2 to 50 cm; "mm"; or a number.
        scales: (N,), of the grasps, which come on top.

    Raises:
        RunError: what is stated is none of these, or with "auto" no hand could hold the object.
    """
    if isinstance(stated, str) and stated != "auto":
        if stated != "mm":
            raise RunError(f"object_scale: expected auto, mm or metres per unit of the file, found {stated!r}")
        return _MILLIMETRE
    if stated != "auto":
        if not 0 < stated < float("inf"):
            raise RunError(f"object_scale: expected metres per unit of the file, more than 0, found {stated:g}")
        return float(stated)
    side = float((obj.points.amax(0) - obj.points.amin(0)).max())
    low, high = side * float(scales.min()), side * float(scales.max())
    if OBJECT[0] <= low and high <= OBJECT[1]:
        return 1.0
    if LIKELY[0] <= low * _MILLIMETRE and high * _MILLIMETRE <= LIKELY[1]:
        console().print(
            f"[yellow]note[/]         {obj.name} is {high:.4g} units long, which are taken for millimetres: "
            f"{100 * high * _MILLIMETRE:.3g} cm; object_scale=NUMBER states the metres per unit",
            soft_wrap=True,
        )
        return _MILLIMETRE
    problem = doubt_size(low) or doubt_size(high)
    raise RunError(f"object {obj.name}: {problem}; object_scale=mm or object_scale=NUMBER states the unit of its file")


def warn_of_size(obj: UserObject, scale: float, known: Sequence[float]) -> None:
    """Warns of an object that is far larger or smaller than those the model was trained on, and names a likely factor;
    `scale` is in metres per unit of its file, `known` the smallest and largest radius in the training, metres.
    """
    radius, (low, high) = obj.radius * scale, known
    if low / _LOOSE <= radius <= high * _LOOSE:
        return
    factor = next((f for f in _UNITS if low / _LOOSE <= radius * f <= high * _LOOSE), None)
    hint = f"; object_scale={scale * factor:g} would fit: is the file in other units?" if factor else ""
    _log.warning(
        "object: %s has a radius of %.3g m, the model was trained on %.3g to %.3g m%s",
        *(obj.name, radius, low, high, hint),
    )


def _parsed(path: Path) -> Any:
    try:
        return trimesh.load(path, process=False)
    except Exception as error:  # the parsers raise whatever they stumble over
        raise RunError(f"object: {path}: expected a mesh or cloud, but its parser failed: {error}") from error


def _read_cloud(path: Path) -> Tensor:
    """(N, 3), float32; columns after the third are left out: they are normals or colours."""
    kind = path.suffix.lower()
    try:
        if kind == ".xyz":
            array = np.loadtxt(path, ndmin=2)
        elif kind == ".ply":
            array = _parsed(path).vertices
        else:
            array = {".npy": _read_npy, ".npz": _read_npz, ".pcd": read_pcd}[kind](path)
    except RunError:
        raise
    except (ValueError, EOFError, OSError, BadZipFile) as error:
        raise RunError(f"object: {path}: expected numbers (N, 3), found: {str(error).splitlines()[0]}") from error
    if array.ndim != 2 or array.shape[1] < 3 or array.dtype.kind not in "fiu":
        raise RunError(f"object: {path}: expected numbers (N, 3), found {array.dtype} of shape {array.shape}")
    points = torch.from_numpy(np.array(array[:, :3], np.float32))
    finite = int(points.isfinite().all(1).sum())
    if finite < len(points) or finite < FEWEST:
        found = f"found {finite} of {len(points)} finite"
        raise RunError(f"object: {path}: expected {FEWEST} or more finite points, {found}")
    return points


def _read_npy(path: Path) -> NDArray:
    return np.load(path, allow_pickle=False)


def _read_npz(path: Path) -> NDArray:
    """The array "points", or the only one of numbers (N, 3 or more)."""
    with np.load(path, allow_pickle=False) as content:
        arrays = {name: content[name] for name in content}
    clouds = [name for name, x in arrays.items() if x.ndim == 2 and x.shape[1] >= 3 and x.dtype.kind in "fiu"]
    if "points" not in arrays and len(clouds) != 1:
        raise RunError(f"object: {path}: expected an array 'points' (N, 3), found {', '.join(arrays) or 'none'}")
    return arrays["points" if "points" in arrays else clouds[0]]


def _spread(points: Tensor, n: int) -> Tensor:
    """The n most spread points, in the order in which models expect them; all where there are fewer."""
    if len(points) > _CANDIDATES * n:
        points = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[: _CANDIDATES * n]]
    return points[farthest_point_sampling(points[None], min(n, len(points)))[0]]
