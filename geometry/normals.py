"""Normals for shading: smooth where a surface is meant to be smooth, sharp at its edges."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def corner_normals(mesh: trimesh.Trimesh, crease_deg: float = 40.0) -> NDArray[np.float64]:
    """A normal for each corner of each face.

    Corners that meet at a vertex share one normal, the mean weighted by angle, if they are connected across edges whose
    faces meet at less than the crease angle. Vertices at the same place count as one.

    Args:
        mesh: faces counter-clockwise from outside.
        crease_deg: degrees between the normals of two faces.

    Returns:
        (F, 3, 3): face, corner, xyz; unit length, or zero where all adjacent faces are degenerate.
    """
    unique, vertex = trimesh.grouping.unique_rows(np.asarray(mesh.vertices))
    faces = vertex.reshape(-1)[mesh.faces]
    corners = np.asarray(mesh.vertices)[unique][faces]
    edges = _unit(np.roll(corners, -1, axis=1) - corners)
    flat = _unit(np.cross(edges[:, 0], edges[:, 1]))
    angle = np.arccos(-(edges * np.roll(edges, 1, axis=1)).sum(-1).clip(-1, 1))
    group = _smooth_corners(faces, flat, np.cos(np.radians(crease_deg)))
    weighted = (angle[..., None] * flat[:, None]).reshape(-1, 3)
    total = np.zeros((group.max() + 1, 3))
    np.add.at(total, group, weighted)
    return _unit(total)[group].reshape(-1, 3, 3)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(min=1e-300)


def _smooth_corners(faces: NDArray[np.int64], flat: NDArray[np.float64], cosine: float) -> NDArray[np.int64]:
    """Group (3 F,) of each corner; corner i belongs to face i // 3."""
    corner = np.arange(3 * len(faces)).reshape(-1, 3)
    start, end = corner.ravel(), corner[:, [1, 2, 0]].ravel()
    vertex = faces.ravel()
    swap = vertex[start] > vertex[end]
    low, high = np.where(swap, end, start), np.where(swap, start, end)  # corners of each edge, by vertex
    order = np.lexsort((vertex[high], vertex[low]))
    low, high = low[order], high[order]
    same = (vertex[low[1:]] == vertex[low[:-1]]) & (vertex[high[1:]] == vertex[high[:-1]])
    smooth = same & ((flat[low[1:] // 3] * flat[low[:-1] // 3]).sum(-1) > cosine)
    one = np.concatenate([low[1:][smooth], high[1:][smooth]])
    other = np.concatenate([low[:-1][smooth], high[:-1][smooth]])
    links = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(vertex), len(vertex)))
    return connected_components(links, directed=False)[1]
