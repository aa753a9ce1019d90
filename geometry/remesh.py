"""A closed surface for a mesh that has none: its winding number tells inside from outside, or it becomes a shell.

Signed distances on a grid become a surface by naive surface nets (Gibson, MICCAI 1998), whose corners are then moved
onto the mesh. Winding numbers bridge gaps and drop what lies inside (Jacobson et al., SIGGRAPH 2013). Where that would
put a wide lid on a vessel, or loses a sheet, the mesh is wrapped instead: all that is within one cell of it is solid,
and so is every void in it that nothing can reach.
"""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from scipy import ndimage

from .sampling import sample_surface
from .sdf import DistanceGrid, SignedDistance, closest_point

_CELLS = 80, 256
"""Cells of the grid along the side of a cube as large as the mesh's box, and at most along the longest side."""
_FLAT = 0.125
"""Least side of that box over the longest."""
LID = 0.2
"""A gap is closed where the lid stays this near to the mesh, over the longest side; a wider one is an opening."""
_SAMPLES = 20_000
_DEEP = 0.01  # of a cell: nodes on a flat sheet are inside it by rounding alone


def remesh(mesh: trimesh.Trimesh) -> tuple[trimesh.Trimesh, str]:
    """Closed surface of a mesh with holes, loose sheets or walls that cross, and what it is in a few words.

    Args:
        mesh: any unit; faces with a common winding where they are to tell inside from outside.
    """
    size, spacing = float(mesh.extents.max()), cell(mesh)
    mesh = _outward(mesh)
    grid = DistanceGrid(mesh, spacing, 3 * spacing)
    values, origin = grid.values.double().numpy(), grid.origin.double().numpy()
    filled = _surface(values, origin, spacing, mesh)
    if filled is not None and _apart(filled, mesh) <= LID * size and _beyond(mesh, filled) <= spacing:
        return filled, "closed by its winding number"
    shell = np.abs(values) - spacing
    free = np.empty(shell.shape, np.int32)
    ndimage.label(shell >= 0, output=free)
    shell[(shell >= 0) & (free != free[0, 0, 0])] = -spacing
    wrapped = _surface(shell, origin, spacing)
    assert wrapped is not None  # a mesh has an area, and a node within a cell of each of its points
    return wrapped, "wrapped in a shell"


def cell(mesh: trimesh.Trimesh) -> float:
    """Side of a cell of the grid, unit of the mesh."""
    size = float(mesh.extents.max())
    return max(float(np.prod(np.maximum(mesh.extents, _FLAT * size))) ** (1 / 3) / _CELLS[0], size / _CELLS[1])


def deviation(solid: trimesh.Trimesh, mesh: trimesh.Trimesh) -> float:
    """How far a solid's surface strays from the mesh, or the mesh stands out of it: at vertices and 20,000 points."""
    mesh = _outward(mesh)
    return max(_apart(solid, mesh), _beyond(mesh, solid))


def _outward(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    with np.errstate(invalid="ignore"):  # trimesh computes the centre of mass with it
        inverted = mesh.volume < 0
    return trimesh.Trimesh(mesh.vertices, mesh.faces[:, ::-1], process=False) if inverted else mesh


def _apart(surface: trimesh.Trimesh, other: trimesh.Trimesh) -> float:
    return float(SignedDistance(other)(_points(surface)).abs().max())


def _beyond(mesh: trimesh.Trimesh, solid: trimesh.Trimesh) -> float:
    return float(SignedDistance(solid)(_points(mesh)).max())


def _points(mesh: trimesh.Trimesh) -> torch.Tensor:
    sampled, _, _ = sample_surface(mesh.vertices, mesh.faces, _SAMPLES)
    return torch.from_numpy(np.concatenate([mesh.vertices[np.unique(mesh.faces)], sampled]))


def _surface(
    values: NDArray[np.float64], origin: NDArray[np.float64], spacing: float, onto: trimesh.Trimesh | None = None
) -> trimesh.Trimesh | None:
    """Where the values at the nodes are 0, moved onto a mesh within half a cell; None where none is truly negative."""
    if not (values < -_DEEP * spacing).any():
        return None
    corners, faces = surface_net(values)
    corners = torch.from_numpy(origin + spacing * corners)
    if onto is not None:
        distance = SignedDistance(onto)
        centre, scale = distance.frame
        face, _ = distance.search((corners - torch.from_numpy(centre)) / scale)
        foot = closest_point(corners, torch.from_numpy(np.array(onto.triangles))[face])
        corners = torch.where((foot - corners).norm(dim=1, keepdim=True) < spacing / 2, foot, corners)
    return trimesh.Trimesh(corners.numpy(), faces, process=False)


def surface_net(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Closed surface between negative and other nodes of a grid.

    A corner is the mean of the zeros on the edges of its cell; each edge with a zero gives two triangles.

    Args:
        values: (X, Y, Z), positive at the border.

    Returns:
        Corners (V, 3), in cells from node (0, 0, 0), and faces (F, 3) that point to the values that are not negative.
    """
    inside, cells, zeros = values < 0, [], []
    for axis in range(3):
        along, u, v = np.roll(np.eye(3, dtype=np.int64), -axis, axis=0)
        low = np.argwhere(np.diff(inside, axis=axis))
        start, end = values[tuple(low.T)], values[tuple((low + along).T)]
        around = low[:, None] - [u + v, v, 0 * u, u]  # counter-clockwise about the axis
        cells.append(np.where((start < 0)[:, None, None], around, around[:, ::-1]))
        zeros.append(low + (start / (start - end))[:, None] * along)
    numbers = np.ravel_multi_index(tuple(np.moveaxis(np.concatenate(cells), -1, 0)), values.shape)  # (E, 4)
    _, quads = np.unique(numbers, return_inverse=True)
    quads = quads.reshape(-1, 4)
    each = np.repeat(np.concatenate(zeros), 4, axis=0)
    sums = np.stack([np.bincount(quads.ravel(), weights=each[:, k]) for k in range(3)], axis=1)
    return sums / np.bincount(quads.ravel())[:, None], np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
