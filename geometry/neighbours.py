"""Nearest neighbours in batches of clouds, and the basis point set built on them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

_TREE = 128  # from this many points on, a KD-tree beats a table on one core
_CHUNK = 1 << 25  # distances held at once by the table: 128 MB in float32


def knn(query: Tensor, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest points of each query, nearest first.

    On the CPU large clouds are searched with a KD-tree and small ones with a table of all distances; on a GPU
    `torch_cluster` is used where it is installed, otherwise the table, in chunks. All find the same points except for
    ties. The distances are recomputed from the points found, so they are exact, and differentiable in both inputs.

    Args:
        query: (B, M, 3).
        points: (B, N, 3), same unit and frame.
        k: 1 <= k <= N.

    Returns:
        Distance (B, M, k) and index into `points` (B, M, k) int64. The gradient of a distance of 0 is 0.

    Raises:
        ValueError: wrong shapes, or `k` out of range.
    """
    _check(query, points, k)
    index = _search(points)(query.detach(), points.detach(), k)
    return torch.linalg.vector_norm(query.unsqueeze(2) - gather_points(points, index), dim=-1), index


def ball_query(query: Tensor, points: Tensor, radius: float, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest points within `radius` of each query, nearest first.

    PointNet++ takes the first k by index instead, which depends on the order of the cloud.

    Args:
        query: (B, M, 3).
        points: (B, N, 3), same unit and frame.
        radius: greater than 0, in the same unit; a point at exactly this distance is included.
        k: 1 <= k <= N.

    Returns:
        Index into `points` (B, M, k) int64, and whether it is within the radius (B, M, k). Unused places repeat the
        nearest point, so that they do not change a maximum.

    Raises:
        ValueError: wrong shapes, `k` out of range, or a radius that is not positive.
    """
    if not radius > 0:
        raise ValueError(f"radius: expected a positive number, found {radius}")
    distance, index = knn(query, points, k)
    found = distance.detach() <= radius
    return torch.where(found, index, index[..., :1]), found


def bps_basis(n: int, radius: float, seed: int = 0) -> Tensor:
    """Basis points, uniform in the ball (Prokudin et al., "Efficient Learning on Point Clouds with BPS", ICCV 2019).

    Args:
        n: how many.
        radius: of the ball around the origin, metres.
        seed: of numpy's default generator; a trained model needs the seed it was trained with.

    Returns:
        (n, 3), metres, in torch's default dtype.
    """
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return torch.as_tensor(radius * np.cbrt(rng.random((n, 1))) * direction, dtype=torch.get_default_dtype())


def bps_encode(points: Tensor, basis: Tensor) -> Tensor:
    """Vectors from each basis point to the nearest point of the cloud.

    Args:
        points: (B, N, 3), metres, in the frame of the basis.
        basis: (n, 3), metres.

    Returns:
        (B, n, 3), nearest point minus basis point, differentiable in the cloud; its length is the BPS distance.

    Raises:
        ValueError: wrong shapes.
    """
    if basis.ndim != 2 or basis.shape[-1] != 3:
        raise ValueError(f"basis: expected shape (n, 3), found {tuple(basis.shape)}")
    basis = basis.to(points).expand(len(points), -1, -1)
    _, index = knn(basis, points, 1)
    return gather_points(points, index).squeeze(2) - basis


def gather_points(values: Tensor, index: Tensor) -> Tensor:
    """Rows of each cloud: values (B, N, C) at index (B, ...) int64 -> (B, ..., C)."""
    rows = index.flatten(1) + values.shape[1] * torch.arange(len(values), device=values.device).unsqueeze(1)
    return values.flatten(0, 1).index_select(0, rows.flatten()).view(*index.shape, values.shape[-1])


def _search(points: Tensor) -> Callable[[Tensor, Tensor, int], Tensor]:
    if points.device.type == "cpu":
        return _knn_tree if points.shape[1] >= _TREE else _knn_table
    return _knn_cluster if find_spec("torch_cluster") else _knn_table


def _knn_tree(query: Tensor, points: Tensor, k: int) -> Tensor:
    pairs = zip(points.double().numpy(), query.double().numpy(), strict=True)
    index = [KDTree(cloud).query(rows, k)[1].reshape(-1, k) for cloud, rows in pairs]
    return torch.from_numpy(np.stack(index)) if index else query.new_empty(*query.shape[:2], k, dtype=torch.long)


def _knn_table(query: Tensor, points: Tensor, k: int) -> Tensor:
    rows = max(1, _CHUNK // max(1, len(points) * points.shape[1]))
    parts = []
    for part in query.split(rows, dim=1):
        table = torch.cdist(part, points, compute_mode="donot_use_mm_for_euclid_dist")  # the product form cancels
        parts.append(table.argmin(-1, keepdim=True) if k == 1 else table.topk(k, largest=False).indices)
    return torch.cat(parts, dim=1) if parts else query.new_empty(*query.shape[:2], k, dtype=torch.long)


def _knn_cluster(query: Tensor, points: Tensor, k: int) -> Tensor:
    # Compiled for one version of torch, so it cannot be a requirement.
    from torch_cluster import knn as cluster_knn  # pyright: ignore[reportMissingImports]

    (n_clouds, n), m = points.shape[:2], query.shape[1]
    cloud = torch.arange(n_clouds, device=points.device)
    edges = cluster_knn(
        points.flatten(0, 1), query.flatten(0, 1), k, cloud.repeat_interleave(n), cloud.repeat_interleave(m)
    )
    return edges[1].view(n_clouds, m, k) % n


def _check(query: Tensor, points: Tensor, k: int) -> None:
    for name, x in (("query", query), ("points", points)):
        if x.ndim != 3 or x.shape[-1] != 3:
            raise ValueError(
                f"{name}: expected shape (B, N, 3), found {tuple(x.shape)}; add a batch dimension with [None]"
            )
    if len(query) != len(points):
        raise ValueError(f"query: expected as many clouds as in points, {len(points)}, found {len(query)}")
    if not 1 <= k <= points.shape[1]:
        raise ValueError(f"k: expected 1 to {points.shape[1]}, the number of points, found {k}")
