"""Solids: one closed surface without inner walls, and convex pieces, from meshes as people have them (manifold3d).

A mesh of convex pieces that only touch, as CoACD writes it, keeps the walls between them: trimesh calls it watertight,
but a depth inside ends at the nearest wall. Its solid is therefore the union of the pieces, each widened a little.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import trimesh
from manifold3d import Error, Manifold, Mesh64, OpType
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .meshes import MeshError, check_mesh
from .progress import working

DILATION = 1e-4
"""Half side of the cube by which a convex piece is widened, over the object's radius: the least that closes the cuts of
DexGraspNet's objects. It adds 0.1 to 0.35 % to their volume."""
HULL_RATIO = 1.06
"""A mesh whose convex hull is less than 6 % larger than itself collides as its hull."""
MAX_FACES = 2_000_000
_DIGITS = 8  # digits of coordinates relative to the object's size
_CONVEX = 1e-4  # relative difference between a convex part's volume and its hull's


def manifold_of(mesh: trimesh.Trimesh, name: str = "mesh") -> Manifold:
    """The solid that a closed mesh bounds, in float64.

    Raises:
        MeshError: manifold3d refuses the mesh, or it bounds no volume.
    """
    solid = Manifold(Mesh64(np.array(mesh.vertices, np.float64), np.array(mesh.faces, np.uint64)))
    if solid.status() != Error.NoError:  # without this check a bad mesh would be an empty solid of volume 0
        reason = str(solid.status()).removeprefix("Error.")
        raise MeshError(f"{name}: expected a closed manifold surface, found one that manifold3d calls {reason}")
    if not solid.volume() > 0:
        raise MeshError(f"{name}: expected faces that point outwards around a volume, found {solid.volume():.3g}")
    return solid


def mesh_of(solid: Manifold) -> trimesh.Trimesh:
    """Surface of a solid, float64."""
    surface = solid.to_mesh64()
    vertices = np.asarray(surface.vert_properties, np.float64)[:, :3]
    return trimesh.Trimesh(vertices, np.asarray(surface.tri_verts, np.int64), process=False)


def make_solid(mesh: trimesh.Trimesh, name: str = "mesh") -> tuple[Manifold, list[trimesh.Trimesh] | None, list[str]]:
    """One solid from a mesh, with a list of repairs.

    A mesh of several convex parts is treated as a convex decomposition: its solid is the union of the parts, widened by
    `DILATION`. Other closed parts are united as they are; inside-out parts are cavities, unless all are inside out.

    Args:
        mesh: any unit; not modified.
        name: of the file, for messages.

    Returns:
        The solid; the convex parts, or None if the mesh is not a convex decomposition; one sentence per repair.

    Raises:
        MeshError: no faces, too many, not finite, not closed, or no volume.
    """
    check_mesh(mesh, name)
    if len(mesh.faces) > MAX_FACES:
        raise MeshError(
            f"{name}: expected at most {MAX_FACES:,} faces, found {len(mesh.faces):,}; simplify the mesh first, with "
            "trimesh's mesh.simplify_quadric_decimation(face_count=100_000) for example"
        )
    parts, repairs = _closed_parts(mesh, name)
    with np.errstate(invalid="ignore"):  # trimesh computes the centre of mass with it
        volumes = np.array([part.volume for part in parts])
    if (volumes < 0).all():
        parts = [_inverted(part) for part in parts]
        repairs.append("turned inside out")
        volumes = -volumes
    if len(parts) > 1 and (volumes > 0).all() and all(map(is_convex, parts)):
        return _united(parts, name, repairs), parts, repairs
    solids = [manifold_of(p if v > 0 else _inverted(p), name) for p, v in zip(parts, volumes, strict=True)]
    solid = Manifold.batch_boolean([s for s, v in zip(solids, volumes, strict=True) if v > 0], OpType.Add)
    for cavity in (s for s, v in zip(solids, volumes, strict=True) if v < 0):
        solid = solid - cavity
    return _checked(solid, name), [mesh_of(solid)] if len(parts) == 1 and is_convex(parts[0]) else None, repairs


def unite_pieces(pieces: Sequence[NDArray[np.floating]], dilation: float = DILATION, name: str = "pieces") -> Manifold:
    """Union of the hulls of convex pieces, each widened by a small cube so that neighbours overlap.

    Args:
        pieces: corners of each piece, (n, 3).
        dilation: half side of the cube over the object's radius.
        name: for messages.

    Raises:
        MeshError: there is no piece, or the union has no volume.
    """
    if not len(pieces):
        raise MeshError(f"{name}: expected at least one convex piece, found none")
    corners = np.concatenate(list(pieces))
    radius = np.linalg.norm(corners - (corners.min(0) + corners.max(0)) / 2, axis=1).max()
    cube = dilation * radius * (np.indices((2, 2, 2)).reshape(3, 8).T * 2.0 - 1)
    hulls = [Manifold.hull_points((np.asarray(p, np.float64)[:, None] + cube).reshape(-1, 3)) for p in pieces]
    return _checked(Manifold.batch_boolean(hulls, OpType.Add), name)


def convex_pieces(mesh: trimesh.Trimesh, threshold: float = 0.08, max_pieces: int = 16) -> list[NDArray[np.float64]]:
    """Corners of convex pieces that together cover the object, for collision in a physics engine.

    The hull alone where it is less than `HULL_RATIO` times the volume, else CoACD's approximate decomposition
    (Wei et al., SIGGRAPH 2022), for which the mesh need not be closed. It cuts along the axes: the pieces move with the
    mesh, but a rotated mesh gets different ones.

    Args:
        mesh: any unit.
        threshold: CoACD's threshold: how concave a piece may be.
        max_pieces: largest number of pieces.

    Returns:
        One (n, 3) array of hull vertices for each piece, unit and frame of the mesh.

    Raises:
        MeshError: the package `coacd` is needed but not installed.
    """
    hull = mesh.convex_hull
    if mesh.is_watertight and hull.volume / mesh.volume < HULL_RATIO:
        return [np.asarray(hull.vertices, np.float64)]
    try:
        import coacd
    except ImportError as error:
        raise MeshError(
            'convex pieces of a hollow object need the package coacd: pip install "dexzoo[coacd]"'
        ) from error
    coacd.set_log_level("error")
    # Its cuts depend on the last digits of the coordinates, which change with the position of the mesh.
    centre, size = mesh.bounds.mean(0), float(mesh.extents.max())
    whole = coacd.Mesh(((mesh.vertices - centre) / size).round(_DIGITS), mesh.faces)
    with working(f"decomposing a mesh of {len(mesh.faces)} faces into convex pieces"):
        parts = coacd.run_coacd(
            whole, threshold=threshold, max_convex_hull=max_pieces, decimate=True, max_ch_vertex=64, seed=0
        )
    return [np.asarray(trimesh.convex.convex_hull(corners).vertices) * size + centre for corners, _ in parts]


def split_parts(mesh: trimesh.Trimesh) -> list[trimesh.Trimesh]:
    """Parts of a mesh that share no vertex, in the order of their first vertices."""
    faces = np.asarray(mesh.faces, np.int64)
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    shape = (len(mesh.vertices),) * 2
    label = connected_components(coo_array((np.ones(len(edges)), edges.T), shape=shape), directed=False)[1][faces[:, 0]]
    order = np.argsort(label, kind="stable")
    groups = np.split(faces[order], np.flatnonzero(np.diff(label[order])) + 1)
    parts = []
    for group in groups:
        used, index = np.unique(group, return_inverse=True)
        parts.append(trimesh.Trimesh(mesh.vertices[used], index.reshape(group.shape), process=False))
    return parts


def is_convex(part: trimesh.Trimesh) -> bool:
    """Whether a closed part fills its convex hull."""
    try:
        return bool(abs(part.convex_hull.volume - part.volume) <= _CONVEX * abs(part.volume))
    except ValueError:  # scipy's QhullError: all points in one plane
        return False


def _closed_parts(mesh: trimesh.Trimesh, name: str) -> tuple[list[trimesh.Trimesh], list[str]]:
    """Closed parts with consistent winding, after as little repair as possible."""
    repairs: list[str] = []
    parts = split_parts(mesh)
    if not all(part.is_watertight for part in parts):
        merged = mesh.copy()
        merged.merge_vertices(merge_tex=True, merge_norm=True)
        if len(merged.vertices) < len(mesh.vertices):
            repairs.append(f"merged {len(mesh.vertices) - len(merged.vertices)} vertices at equal positions")
        parts = split_parts(merged)
    for part in parts:
        if not part.is_watertight and trimesh.repair.fill_holes(part):
            repairs.append("filled holes of three or four edges")
        if part.is_watertight and not part.is_winding_consistent:
            trimesh.repair.fix_winding(part)
            repairs.append("flipped faces that disagreed with their neighbours")
    if not all(part.is_watertight for part in parts):
        count = sum(_open_edges(part) for part in parts)
        raise MeshError(
            f"{name}: expected a closed surface, found {count} edges without two faces, out of {len(mesh.faces)} "
            "faces; close it, or let CoACD close it with decompose=True (--decompose)"
        )
    return parts, repairs


def _open_edges(part: trimesh.Trimesh) -> int:
    _, count = np.unique(part.edges_sorted, axis=0, return_counts=True)
    return int((count != 2).sum())


def _united(parts: list[trimesh.Trimesh], name: str, repairs: list[str]) -> Manifold:
    solid = unite_pieces([np.asarray(part.vertices) for part in parts], name=name)
    if (bodies := len(solid.decompose())) > 1:
        repairs.append(f"its {len(parts)} convex pieces form {bodies} separate bodies")
    return solid


def _inverted(part: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(part.vertices, part.faces[:, ::-1], process=False)


def _checked(solid: Manifold, name: str) -> Manifold:
    if solid.status() != Error.NoError or not solid.volume() > 0:
        raise MeshError(f"{name}: expected a solid with a volume, found {solid.status()}, {solid.volume():.3g}")
    return solid
