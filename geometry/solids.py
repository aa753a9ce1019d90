"""Solids: one closed surface without inner walls, and convex pieces, from meshes as people have them (manifold3d).

A mesh of convex pieces that only touch, as CoACD writes it, keeps the walls between them: trimesh calls it watertight,
but a depth inside ends at the nearest wall. Its solid is therefore the union of the pieces, each widened a little.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import trimesh
from manifold3d import Error, Manifold, Mesh64, OpType
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .meshes import MeshError, check_mesh
from .progress import working
from .remesh import cell, remesh

DILATION = 1e-4
"""Half side of the cube by which a convex piece is widened, over the object's radius: the least that closes the cuts of
DexGraspNet's objects. It adds 0.1 to 0.35 % to their volume."""
HULL_RATIO = 1.06
"""A mesh whose convex hull is less than 6 % larger than itself collides as its hull."""
MAX_FACES = 2_000_000
PATIENCE = 300.0
"""Seconds after which a decomposition into convex pieces is given up."""
_DIGITS = 8  # digits of coordinates relative to the object's size
_COARSER = 0.03  # of a cell, by which a remeshed surface is simplified
_COARSEST = 0.002  # of the longest side, by which a solid is simplified for CoACD, whose time grows with the faces
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
    `DILATION`. Other closed parts are united as they are; inside-out parts are cavities, unless all are inside out. A
    mesh that is not closed once equal vertices are merged and holes of three or four edges filled is remeshed, see
    `remesh`.

    Args:
        mesh: any unit; not modified.
        name: of the file, for messages.

    Returns:
        The solid; the convex parts, or None if the mesh is not a convex decomposition; one sentence per repair.

    Raises:
        MeshError: no faces, too many, not finite, or no area.
    """
    check_mesh(mesh, name)
    if len(mesh.faces) > MAX_FACES:
        raise MeshError(
            f"{name}: expected at most {MAX_FACES:,} faces, found {len(mesh.faces):,}; simplify the mesh first, with "
            "trimesh's mesh.simplify_quadric_decimation(face_count=100_000) for example"
        )
    if not (mesh.area > 0):
        raise MeshError(f"{name}: expected a surface, found faces without an area")
    parts, repairs = _repaired(mesh)
    try:
        return _closed(parts, name, repairs)
    except MeshError as error:  # of an open part, or of closed sheets without a volume
        with working(f"closing {name}"):
            closed, how = remesh(cast("trimesh.Trimesh", trimesh.util.concatenate(parts)))
        solid = manifold_of(closed, name).simplify(_COARSER * cell(mesh))
        return _checked(solid, name), None, [*repairs, f"{str(error).removeprefix(f'{name}: ')}: {how}"]


def _closed(
    parts: list[trimesh.Trimesh], name: str, repairs: list[str]
) -> tuple[Manifold, list[trimesh.Trimesh] | None, list[str]]:
    """`make_solid` of closed parts."""
    if count := sum(map(_open_edges, parts)):
        raise MeshError(f"{name}: {count} open edges")
    with np.errstate(invalid="ignore"):  # trimesh computes the centre of mass with it
        volumes = np.array([part.volume for part in parts])
    if (volumes < 0).all():
        parts = [_inverted(part) for part in parts]
        repairs = [*repairs, "turned inside out"]
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
    (Wei et al., SIGGRAPH 2022), for which the mesh need not be closed. A closed one is first simplified by at most
    0.2 % of its longest side: 0.3 mm of a bowl of 15 cm. It cuts along the axes: the pieces move with the mesh, but a
    rotated mesh gets different ones.

    Args:
        mesh: any unit.
        threshold: CoACD's threshold: how concave a piece may be.
        max_pieces: largest number of pieces.

    Returns:
        One (n, 3) array of hull vertices for each piece, unit and frame of the mesh.

    Raises:
        MeshError: the package `coacd` is needed but not installed, or failed on this mesh.
    """
    hull = mesh.convex_hull
    if mesh.is_watertight and hull.volume / mesh.volume < HULL_RATIO:
        return [np.asarray(hull.vertices, np.float64)]
    if not find_spec("coacd"):
        raise MeshError('convex pieces of a hollow object need the package coacd: pip install "dexzoo[coacd]"')
    # Its cuts depend on the last digits of the coordinates, which change with the position of the mesh.
    centre, size = mesh.bounds.mean(0), float(mesh.extents.max())
    whole = trimesh.Trimesh(((mesh.vertices - centre) / size).round(_DIGITS), mesh.faces, process=False)
    if closed := whole.is_volume:
        whole = mesh_of(manifold_of(whole).simplify(_COARSEST))
    with working(f"decomposing a mesh of {len(mesh.faces)} faces into convex pieces"):
        arrays = {"vertices": whole.vertices, "faces": whole.faces, "closed": closed}
        parts = _coacd(**arrays, threshold=threshold, max_convex_hull=max_pieces)
    return [np.asarray(trimesh.convex.convex_hull(corners).vertices) * size + centre for corners in parts]


def _coacd(**inputs: NDArray | float) -> list[NDArray[np.float64]]:
    """Corners of CoACD's pieces, from a process of its own: some meshes end it by a failed assertion."""
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(source, **inputs)  # type: ignore[arg-type]
        try:
            run = [sys.executable, Path(__file__).with_name("coacd_process.py"), source, target]
            subprocess.run(run, check=True, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise MeshError(f"CoACD found no convex pieces of the mesh within {PATIENCE:g} s") from error
        except subprocess.CalledProcessError as error:
            said = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
            raise MeshError(f"CoACD failed to cut the mesh into convex pieces: {said}") from error
        with np.load(target) as parts:
            return [parts[name] for name in parts]


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


def _repaired(mesh: trimesh.Trimesh) -> tuple[list[trimesh.Trimesh], list[str]]:
    """Parts with consistent winding, closed where little repair is enough."""
    repairs: list[str] = []
    parts = split_parts(mesh)
    if any(map(_open_edges, parts)):
        merged = mesh.copy()
        merged.remove_unreferenced_vertices()
        before = len(merged.vertices)
        merged.merge_vertices(merge_tex=True, merge_norm=True)
        if (count := before - len(merged.vertices)) > 0:
            repairs.append(f"merged {count} vertices at equal positions")
        parts = split_parts(merged)
    for part in parts:
        if _open_edges(part) and trimesh.repair.fill_holes(part):
            repairs.append("filled holes of three or four edges")
        if _open_edges(part) and not part.is_winding_consistent:
            trimesh.repair.fix_winding(part)
            repairs.append("flipped faces that disagreed with their neighbours")
    return parts, repairs


def _open_edges(part: trimesh.Trimesh) -> int:
    """Number of edges that faces do not use as often in one direction as in the other."""
    edges = np.asarray(part.edges, np.int64)
    _, which = np.unique(edges.min(1) * len(part.vertices) + edges.max(1), return_inverse=True)
    return int((np.bincount(which, np.sign(edges[:, 1] - edges[:, 0])) != 0).sum())


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
