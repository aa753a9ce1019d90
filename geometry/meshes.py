"""Reading triangle meshes, with errors that say what is wrong with the file."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import trimesh

SUFFIXES = (".obj", ".stl", ".ply", ".off", ".glb", ".gltf", ".dae", ".3mf")
"""Of the files that `load_mesh` reads, in either case."""


class MeshError(ValueError):
    """A mesh, or the file that should hold it, cannot be used; the message names the file."""


def load_mesh(path: str | Path) -> trimesh.Trimesh:
    """Reads one mesh: units, frame, vertex order and scale stay as in the file, materials are left out.

    A file with several parts becomes one mesh. STL has no shared vertices, so equal ones are merged.

    Args:
        path: OBJ, STL, PLY, OFF, GLB, or any other format that trimesh reads.

    Returns:
        The mesh, with at least one face and finite vertices.

    Raises:
        MeshError: the path does not exist, is a folder, empty, of unknown format or not a mesh; or the mesh has no
            faces, a vertex that is not finite, or a face with an index out of range.
    """
    path = Path(path)
    _check_path(path)
    order = {"maintain_order": True, "skip_materials": True} if path.suffix.lower() == ".obj" else {}
    try:
        with warnings.catch_warnings():  # trimesh averages texture coordinates over vertices that have none
            warnings.simplefilter("ignore", RuntimeWarning)
            mesh = trimesh.load_mesh(path, process=False, **order)
    except Exception as error:  # the parsers raise anything: IndexError, struct.error, ...
        raise MeshError(f"{path}: expected a mesh, but its parser failed: {error}") from error
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        raise MeshError(f"{path}: expected a triangle mesh, found no faces; a point cloud must be meshed first")
    check_mesh(mesh, str(path))
    if path.suffix.lower() == ".stl":
        mesh.merge_vertices()
    return mesh


def check_mesh(mesh: trimesh.Trimesh, name: str = "mesh") -> None:
    """Raises MeshError, naming `name`, unless the mesh has faces, finite vertices (V, 3) and indices within range."""
    if mesh.vertices.ndim != 2 or mesh.vertices.shape[1] != 3:
        raise MeshError(f"{name}: expected vertices of shape (V, 3), found {mesh.vertices.shape}")
    if not len(mesh.faces):
        raise MeshError(f"{name}: expected a triangle mesh, found no faces")
    bad = np.flatnonzero(~np.isfinite(mesh.vertices).all(axis=1))
    if len(bad):
        raise MeshError(f"{name}: expected finite vertices, found {mesh.vertices[bad[0]]} at vertex {bad[0]}")
    low, high = int(mesh.faces.min()), int(mesh.faces.max())
    if low < 0 or high >= len(mesh.vertices):
        raise MeshError(f"{name}: expected faces of vertices 0 to {len(mesh.vertices) - 1}, found {low} to {high}")


def mesh_hash(mesh: trimesh.Trimesh) -> str:
    """Content key of a mesh: 32 hexadecimal digits from its vertices (float64) and faces, in their order."""
    digest = hashlib.sha256(f"{len(mesh.vertices)} {len(mesh.faces)}".encode())
    digest.update(np.ascontiguousarray(mesh.vertices, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(mesh.faces, dtype="<i8").tobytes())
    return digest.hexdigest()[:32]


def _check_path(path: Path) -> None:
    if path.is_dir():
        meshes = sorted(file.name for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        hint = f"; it holds {', '.join(meshes[:5])}" if meshes else ""
        raise MeshError(f"{path}: expected a mesh file, found a folder{hint}")
    if not path.exists():
        raise MeshError(f"{path}: expected a mesh file, found nothing there")
    if not path.stat().st_size:
        raise MeshError(f"{path}: expected a mesh file, found an empty one; was a download cut short?")
    if path.suffix.lower() not in SUFFIXES:
        raise MeshError(f"{path}: expected one of {' '.join(SUFFIXES)}, found {path.suffix or 'no suffix'!r}")
