"""Point clouds of objects."""

from __future__ import annotations

from pathlib import Path

import torch
import trimesh
from torch import Tensor

from ..files.cache import Arrays, cached, content_key
from ..geometry.meshes import load_mesh
from ..geometry.sampling import farthest_point_sampling, sample_surface

_CANDIDATES = 8  # Surface points sampled for each point kept


def object_cloud(mesh: Path, n: int, seed: int = 0) -> Tensor:
    """Spreads n points evenly over the surface of a mesh file; cached, because scanned meshes are slow to read.

    Returns (n, 3), float32, metres, mesh frame; `seed` is that of the surface samples that farthest point sampling
    picks from. Raises MeshError if the file contains no usable mesh.
    """

    def make() -> Arrays:
        return spread_points(load_mesh(mesh), n, seed)

    load = cached("object_clouds", content_key(mesh.suffix, mesh, n, seed), make) if mesh.is_file() else make()
    return torch.from_numpy(load["points"])


def spread_points(shape: trimesh.Trimesh, n: int, seed: int = 0) -> Arrays:
    """`points` (n, 3), float32, unit of the mesh: surface samples thinned by farthest point sampling."""
    points, _, _ = sample_surface(shape.vertices, shape.faces, _CANDIDATES * n, seed)
    picked = farthest_point_sampling(torch.from_numpy(points)[None], n)[0].numpy()
    return {"points": points[picked].astype("float32")}
