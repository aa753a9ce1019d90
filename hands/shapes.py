"""Substitutes for shapes without a closed-form distance: cylinders as capsules, meshes as their bounding boxes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import trimesh

from .errors import HandSpecError
from .tree import Box, Capsule


@lru_cache(maxsize=256)
def read_mesh(path: Path) -> trimesh.Trimesh:
    """The mesh in `path`, unscaled; do not modify it, it is shared.

    Raises:
        HandSpecError: the file is absent or holds no triangles.
    """
    if not path.is_file():
        raise HandSpecError(f"expected a mesh file, found nothing at {path}")
    try:
        mesh = trimesh.load(path, force="mesh", process=False)
    except Exception as error:  # trimesh passes on whatever its many parsers raise
        raise HandSpecError(f"{path}: expected a mesh that trimesh can read, found: {error}") from error
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
        raise HandSpecError(f"{path}: expected a mesh with triangles, found none")
    return mesh


def mesh_box(path: Path, scale: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half sizes of the mesh's axis-aligned bounding box, mesh frame, metres.

    Args:
        path: the mesh file.
        scale: (3,), factors that turn its units into metres.
        where: names the link in the error.
    """
    try:
        corners = read_mesh(path).bounds * scale
    except HandSpecError as error:
        raise HandSpecError(f"{where}: {error}") from error
    return corners.mean(0), np.abs(corners[1] - corners[0]) / 2


def cylinder(
    centre: np.ndarray, rotation: np.ndarray, radius: float, half_length: float, name: str
) -> tuple[Capsule | Box, str]:
    """The capsule of the same radius and overall length, or the bounding box of a cylinder too flat for one.

    Args:
        centre: (3,), metres, link frame.
        rotation: (3, 3), link_from_cylinder, the axis is z.
        radius, half_length: metres.
        name: of the geom.

    Returns:
        The shape, and a note that says what it replaces.
    """
    if half_length <= radius:
        box = Box(centre, rotation, np.array([radius, radius, half_length]), name)
        return box, f"the flat cylinder {name} collides as its bounding box"
    along = rotation[:, 2] * (half_length - radius)
    return Capsule(centre - along, centre + along, radius, name), f"the cylinder {name} collides as a capsule inside it"
