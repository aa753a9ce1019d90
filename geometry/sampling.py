"""Sampling points of clouds and surfaces; the same seed gives the same points on every machine."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .meshes import MeshError


def farthest_point_sampling(points: Tensor, k: int, start: int = 0) -> Tensor:
    """Picks points one by one, each the farthest from all those picked before (Eldar et al., 1997).

    `torch_cluster` is used where it is installed; otherwise a loop of k steps, cloud by cloud in NumPy on the CPU,
    which takes at most half the time of batched steps. All pick the same points except for ties.

    Args:
        points: (B, N, 3), any unit and frame.
        k: how many, 1 <= k <= N.
        start: index of the first one, the same for each cloud.

    Returns:
        (B, k) int64 indices in the order picked; a prefix of them is the result for a smaller k.

    Raises:
        ValueError: `points` is not a batch of clouds, or `k` or `start` is out of range.
    """
    n = _check_clouds(points, "points")
    if not 1 <= k <= n:
        raise ValueError(f"k: expected 1 to {n}, the number of points, found {k}")
    if not 0 <= start < n:
        raise ValueError(f"start: expected 0 to {n - 1}, an index of a point, found {start}")
    loop = _fps_numpy if points.device.type == "cpu" else _fps_torch
    pick = _fps_cluster if find_spec("torch_cluster") else loop
    return pick(points.detach(), k, start)


def sample_surface(
    mesh_vertices: ArrayLike, faces: ArrayLike, n: int, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Draws points from a surface with uniform density by area.

    The total area is cut into n equal shares with one point in each, which spreads them more evenly than independent
    draws; then the order is shuffled, so that every slice covers the surface too.

    Args:
        mesh_vertices: (V, 3), metres, mesh frame.
        faces: (F, 3), indices of vertices, counter-clockwise from outside.
        n: how many.
        seed: of numpy's default generator.

    Returns:
        Points (n, 3), metres, mesh frame; outward unit normals (n, 3); face of each point (n,).

    Raises:
        MeshError: the surface has no area, or is not finite.
    """
    triangles = np.asarray(mesh_vertices, np.float64)[np.asarray(faces, np.int64)]
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    cross = np.cross(b - a, c - a)
    length = np.linalg.norm(cross, axis=1)
    cumulative = np.cumsum(length)
    if not len(length) or not 0 < cumulative[-1] < np.inf:
        raise MeshError(f"faces: expected a surface of positive, finite area, found {len(length)} faces without one")
    rng = np.random.default_rng(seed)
    share = rng.permutation(n) + rng.random(n)
    face = np.searchsorted(cumulative, share / n * cumulative[-1], side="right").clip(max=len(length) - 1)
    u, v = rng.random((2, n, 1))
    root = np.sqrt(u)  # uniform in the triangle: Turk, "Generating Random Points in Triangles", 1990
    points = (1 - root) * a[face] + root * (1 - v) * b[face] + root * v * c[face]
    return points, cross[face] / length[face, None], face


def _check_clouds(points: Tensor, name: str) -> int:
    if points.ndim != 3 or points.shape[-1] != 3:
        raise ValueError(
            f"{name}: expected shape (B, N, 3), found {tuple(points.shape)}; add a batch dimension with [None]"
        )
    return points.shape[1]


def _fps_numpy(points: Tensor, k: int, start: int) -> Tensor:
    picked = np.empty((len(points), k), np.int64)
    for row, cloud in zip(picked, points.numpy(), strict=True):
        axes = [np.ascontiguousarray(axis) for axis in cloud.T]
        nearest = np.full(len(cloud), np.inf, cloud.dtype)  # squared distance to the points picked so far
        gap, square = np.empty_like(nearest), np.empty_like(nearest)
        last = start
        for i in range(k):
            row[i] = last
            np.square(np.subtract(axes[0], axes[0][last], out=gap), out=square)
            for axis in axes[1:]:
                square += np.square(np.subtract(axis, axis[last], out=gap), out=gap)
            np.minimum(nearest, square, out=nearest)
            last = int(nearest.argmax())
    return torch.from_numpy(picked)


def _fps_torch(points: Tensor, k: int, start: int) -> Tensor:
    batch = torch.arange(len(points), device=points.device)
    picked = torch.empty(len(points), k, dtype=torch.long, device=points.device)
    last = torch.full_like(batch, start)
    nearest = points.new_full(points.shape[:2], torch.inf)  # squared distance to the points picked so far
    for i in range(k):
        picked[:, i] = last
        gap = points - points[batch, last].unsqueeze(1)
        nearest = torch.minimum(nearest, (gap * gap).sum(-1))
        last = nearest.argmax(-1)
    return picked


def _fps_cluster(points: Tensor, k: int, start: int) -> Tensor:
    # Compiled for one version of torch, so it cannot be a requirement.
    from torch_cluster import fps  # pyright: ignore[reportMissingImports]

    n_clouds, n = points.shape[:2]
    rolled = points.roll(-start, dims=1).flatten(0, 1)  # without a random start it begins with the first point
    batch = torch.arange(n_clouds, device=points.device).repeat_interleave(n)
    flat = fps(rolled, batch, ratio=(k - 0.5) / n, random_start=False)  # it takes ceil(ratio * n)
    return (flat.view(n_clouds, k) % n + start) % n
