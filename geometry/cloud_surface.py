"""A cloud as a surface: its normals, and signed distances to it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .neighbours import gather_points, knn

_FLAT = 1e-12  # share of a neighbourhood's extent (squared twice) below which it is a line


def cloud_normals(points: Tensor, k: int = 12) -> Tensor:
    """Unit normals of clouds: the direction in which the nearest points vary least (Hoppe et al., SIGGRAPH 1992).

    They point away from the centroid of the cloud. That is outwards for a body that is seen completely and is
    star-shaped about its centroid; on the inner walls of a bowl, or on a cloud seen from one side only, it can be
    wrong.

    Args:
        points: (B, N, 3), any unit and frame; no gradient passes.
        k: points in a neighbourhood, including the point itself; at most N are taken.

    Returns:
        (B, N, 3), unit, in the dtype of the points. A point whose neighbourhood is a line or a single place has no
        normal; it gets the direction from the centroid, or z if it lies there.

    Raises:
        ValueError: `points` is no batch of clouds, or `k` is less than 3.
    """
    if k < 3:
        raise ValueError(f"k: expected 3 or more points for a plane, found {k}")
    points = points.detach()
    _, index = knn(points, points, min(k, points.shape[1]))
    exact = points.double()
    near = gather_points(exact, index)
    near = near - near.mean(dim=2, keepdim=True)
    normal, found = least_direction(near.mT @ near)
    outward = exact - exact.mean(dim=1, keepdim=True)
    up = torch.eye(3, device=outward.device, dtype=outward.dtype)[2]
    at_centre = (outward.square().sum(-1, keepdim=True) == 0) * up
    flipped = torch.where((normal * outward).sum(-1, keepdim=True) < 0, -normal, normal)
    return torch.where(found.unsqueeze(-1), flipped, normalize(outward + at_centre, dim=-1)).to(points)


def signed_point_distance(query: Tensor, points: Tensor, normals: Tensor, nearest: Tensor | None = None) -> Tensor:
    """Distance to the nearest point of a cloud, negative behind that point's tangent plane (GOAL, SAGA).

    A loss rather than a measurement: off by up to the point spacing, and the sign is a guess near edges and on
    thin parts. The gradient passes through the distance, not through the choice of the point or the sign.

    Args:
        query: (B, M, 3), metres.
        points: (B, N, 3), metres, same frame.
        normals: (B, N, 3), outward.
        nearest: (B, M), int64, index of the nearest point, if already known.

    Returns:
        (B, M), metres.
    """
    index = knn(query.detach(), points.detach(), 1)[1].squeeze(-1) if nearest is None else nearest
    offset = query - gather_points(points, index)
    behind = (gather_points(normals, index) * offset).sum(-1).detach() < 0
    distance = torch.linalg.vector_norm(offset, dim=-1)
    return torch.where(behind, -distance, distance)


def least_direction(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Unit eigenvector (..., 3) of the least eigenvalue of symmetric matrices (..., 3, 3), and whether it is unique.

    In closed form (Smith, Communications of the ACM 1961), ten times as fast as LAPACK one matrix at a time.
    """
    trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
    matrix = matrix / trace.clamp_min(1e-300)[..., None, None]
    eye = torch.eye(3, device=matrix.device, dtype=matrix.dtype)
    around = matrix - eye / 3  # the trace is 1
    spread = (around.square().sum((-1, -2)) / 6).sqrt().clamp_min(1e-30)
    unit = around / spread[..., None, None]
    half_det = (torch.linalg.cross(unit[..., 0, :], unit[..., 1, :]) * unit[..., 2, :]).sum(-1) / 2
    angle = half_det.clamp(-1, 1).acos() / 3
    least = 1 / 3 + 2 * spread * (angle + 2 * math.pi / 3).cos()
    rows = matrix - least[..., None, None] * eye
    crosses = torch.linalg.cross(rows, rows.roll(1, dims=-2))
    size, which = crosses.square().sum(-1).max(dim=-1)
    chosen = crosses.gather(-2, which[..., None, None].expand(*which.shape, 1, 3)).squeeze(-2)
    return normalize(chosen, dim=-1, eps=1e-300), (size > _FLAT) & (trace > 0)
