"""Objects of the user's: a mesh, or a cloud of points, in any unit."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from torch import Tensor

from ...datamodules.clouds import object_cloud
from ...files.names import nearest
from ...geometry.cloud_field import FEWEST
from ...geometry.sampling import farthest_point_sampling
from ...hands.plausible import doubt_size
from ..commandline.errors import RunError

_log = logging.getLogger(__name__)

_MESHES, _CLOUDS = (".obj", ".stl", ".off", ".glb", ".gltf", ".ply"), (".npy", ".xyz", ".ply")
_CANDIDATES = 32
"""Points of a large cloud drawn for each point kept, before the most spread ones are picked."""
_LOOSE = 1.5
"""Factor by which an object may be larger or smaller than those of the training before a warning."""
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


def read_object(path: str | Path, n: int, name: str | None = None) -> UserObject:
    """Reads a mesh, from whose surface n points are drawn, or a cloud, which keeps all where it has fewer; the name is
    by default the file's. RunError for no such file, an unknown kind, or a cloud that cannot be used; MeshError for a
    mesh that cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise RunError(f"object: expected the file of a mesh or cloud, found the folder {path}")
    if not path.is_file():
        beside = {p.stem: p for p in path.parent.glob("*")}
        match = nearest(path.stem, beside)
        hint = f"; did you mean {beside[match]}?" if match else ""
        raise RunError(f"object: expected a mesh or cloud, found no file {path}{hint}")
    kind, name = path.suffix.lower(), name or path.stem
    if kind not in (*_MESHES, *_CLOUDS):
        raise RunError(f"object: {path}: expected one of {' '.join(sorted({*_MESHES, *_CLOUDS}))}, found {kind!r}")
    if kind in _CLOUDS and not (kind == ".ply" and len(getattr(_parsed(path), "faces", ()))):
        return UserObject(name, _spread(_read_cloud(path), n), None)
    return UserObject(name, object_cloud(path, n), path.absolute())


def check_size(obj: UserObject, scales: Tensor, stated: float | None) -> None:
    """Refuses an object whose longest side is over 1 m or under 1 mm at the scales (N,) of its grasps, metres per unit
    of its file, unless the user has `stated` that unit; the RunError names a likely one.
    """
    if stated is not None or not len(scales):
        return
    side = float((obj.points.amax(0) - obj.points.amin(0)).max())
    for scale in (float(scales.min()), float(scales.max())):
        if problem := doubt_size(side * scale):
            known = "object_scale states the metres per unit of its file, object_scale=1 that they are metres"
            raise RunError(f"object {obj.name}: {problem}; {known}")


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
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, allow_pickle=False)
        else:
            array = np.loadtxt(path, ndmin=2) if path.suffix.lower() == ".xyz" else _parsed(path).vertices
    except (ValueError, EOFError, OSError) as error:
        found = str(error).splitlines()[0] if not isinstance(error, RunError) else str(error)
        raise RunError(f"object: {path}: expected numbers (N, 3), found: {found}") from error
    if array.ndim != 2 or array.shape[1] < 3 or array.dtype.kind not in "fiu":
        raise RunError(f"object: {path}: expected numbers (N, 3), found {array.dtype} of shape {array.shape}")
    points = torch.from_numpy(np.array(array[:, :3], np.float32))
    finite = int(points.isfinite().all(1).sum())
    if finite < len(points) or finite < FEWEST:
        found = f"found {finite} of {len(points)} finite"
        raise RunError(f"object: {path}: expected {FEWEST} or more finite points, {found}")
    return points


def _spread(points: Tensor, n: int) -> Tensor:
    """The n most spread points, in the order in which models expect them; all where there are fewer."""
    if len(points) > _CANDIDATES * n:
        points = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[: _CANDIDATES * n]]
    return points[farthest_point_sampling(points[None], min(n, len(points)))[0]]
