"""Shared volume of hand and object by counting voxels: in both solids, or as in the literature."""

from collections.abc import Iterator

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor

from ...grasps.posed import PosedGrasps
from ...hands.points import primitive_distances
from .reach import Reach

_CHUNK = 1 << 15  # points per chunk


def solid_voxel_volume(grasps: PosedGrasps, pitch: float) -> NDArray[np.float64]:
    """Number of voxels with centres inside hand and object, times the volume of a voxel: (B,), m^3. The centres are at
    (k + 1/2) `pitch`, metres, along the axes of the object frame; the poses must be finite.
    """
    reach, volumes = Reach.of(grasps), np.zeros(len(grasps))
    balls = reach.solids.balls
    for b in range(len(grasps)):
        scale, links = float(grasps.scales[b]), grasps.links[b]
        for i in reach.primitives(b):
            of_i = reach.near[b] & (balls.primitive == i)
            centre, radius = reach.centre[b, of_i] * scale, reach.radius[b, of_i, None] * scale
            for points in _lattice((centre - radius).min(0), (centre + radius).max(0), pitch):
                inside = primitive_distances(links, grasps.hand.capsules, grasps.hand.boxes, points) < 0
                first = inside[:, i] & ~inside[:, :i].any(1)  # a point in several primitives counts once
                volumes[b] += int((grasps.object.distance(points[first] / scale) < 0).sum()) * pitch**3
    return volumes


def surface_voxel_volume(grasps: PosedGrasps, pitch: float) -> NDArray[np.float64]:
    """The literature's "intersection volume": surface voxels of the object with centres inside the hand, (B,), m^3.

    This is not a volume. trimesh's `voxelized` marks the cells that the *surface* meets and does not fill the inside
    (602 of the 1331 cells of a cube ten cells wide), and a cell counts fully if its centre is inside the hand, which is
    possible without any contact; on good grasps the result is about 50 times the shared volume. It serves to compare
    with published numbers (the definition of obman, Hasson et al., CVPR 2019, and of GraspTTA). The hand is one mesh of
    all links, with inside decided by rays, so cells where two links overlap do not count. The object is the original
    mesh, including inner walls. `pitch` is in metres, 0.005 in the literature; the poses must be finite.
    """
    volumes = np.zeros(len(grasps))
    for scale in np.unique(grasps.scales.numpy()):
        centres = surface_voxels(grasps.object.mesh, pitch / scale) * scale
        for b in np.flatnonzero(grasps.scales.numpy() == scale):
            hand = grasps.hand.mesh(grasps.pose[int(b)], visual=False)
            volumes[b] = int(hand.contains(centres).sum()) * pitch**3
    return volumes


def surface_voxels(mesh: trimesh.Trimesh, pitch: float) -> NDArray[np.float64]:
    """(N, 3) centres of the cells with side `pitch` that a surface meets, unit and frame of the mesh."""
    voxels = mesh.voxelized(pitch)
    assert voxels is not None  # a mesh has faces
    return np.asarray(voxels.points, np.float64)


def _lattice(lower: NDArray[np.float64], upper: NDArray[np.float64], pitch: float) -> Iterator[Tensor]:
    """Points (k + 1/2) pitch between two corners, (n, 3) float64, at most `_CHUNK` at a time."""
    first = np.ceil(lower / pitch - 0.5).astype(np.int64)
    count = np.maximum(np.floor(upper / pitch - 0.5).astype(np.int64) - first + 1, 0)
    for start in range(0, int(count.prod()), _CHUNK):
        index = np.unravel_index(np.arange(start, min(start + _CHUNK, int(count.prod()))), tuple(count))
        yield torch.from_numpy((np.stack(index, axis=-1) + first + 0.5) * pitch)
