"""Signed distance to the closed surface that a cloud was taken from, as a grid."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from .cloud_surface import least_direction
from .neighbours import gather_points, knn
from .sampling import farthest_point_sampling
from .sdf import DistanceGrid

FEWEST = 32
"""Different points that a surface can be fitted to."""
_MOST = 2048  # points; denser clouds are thinned, because the cost of the orientation is cubic
_NODES = 400_000  # of the grid; an outlier far away would ask for more
# The rest are lengths in multiples of the point spacing, and pure numbers.
_CELL, _COARSER, _MARGIN = 0.4, 3, 2.0
_CLOSE, _FAR = 1.0, 1.5  # nearer than this only the sheets count, farther off only the nearest point
_LATERAL = 0.38  # root mean square distance along a surface from any place to the nearest point
_CORE = 0.5  # radius within which an element's field stops growing
_RIDGE = 0.15  # share of the diagonal that is added
_NEAREST, _ROUNDS, _SHARP_ROUNDS = 12, 3, 2
_OFF = 0.35  # Gaussian of the distance from the plane, in the sharp rounds
_WIDTH, _TURN = 1.0, 0.8  # Gaussians: of the distance, and of the difference between unit normals
_BENDS = 1.0  # largest curvature of a sheet, per spacing
_APART = -0.3  # cosine between normals of different sheets


class _Surfels(NamedTuple):
    """A cloud whose spacing is 1: points (N, 3), outward unit normals (N, 3), and area times normal (N, 3)."""

    points: Tensor
    normals: Tensor
    elements: Tensor
    threshold: Tensor  # (), winding number at the surface, a little less than 1/2


@torch.no_grad()
def cloud_grid(points: Tensor) -> DistanceGrid:
    """Fits a closed surface to a cloud and measures the distance to it.

    Normals are turned outwards jointly, by the winding number that they produce, which has to be 1/2 at
    every point (Lin et al., "Surface Reconstruction from Point Clouds without Normals by Parametrizing the Gauss
    Formula", ACM TOG 2022). Spheres are fitted to neighbours of like normals (Guennebaud and Gross, "Algebraic Point
    Set Surfaces", SIGGRAPH 2007); where the neighbours lie on both sides of a wall or a gap there are two spheres, and
    the body is their intersection or union. So walls may be thinner than the spacing, but not much: half of it is too
    thin.

    The part of a surface that the cloud does not show is closed by the winding number, flatly for one side of a solid.
    It is a guess, as is the inside of a bowl or mug seen from one side.

    Args:
        points: (N, 3), metres, of one object; at least 32 distinct ones. Noise is fitted as if it were shape.

    Returns:
        A grid on the device of the points, metres, their frame.

    Raises:
        ValueError: wrong shape, points that are not finite, or too few distinct ones.
    """
    if points.ndim != 2 or points.shape[-1] != 3 or not points.isfinite().all():
        raise ValueError(
            f"points: expected finite values, shape (N, 3), found shape {tuple(points.shape)} or NaN or inf"
        )
    distinct = torch.unique(points, dim=0).double()
    if len(distinct) < FEWEST:
        raise ValueError(f"points: expected at least {FEWEST} distinct ones to fit a surface, found {len(distinct)}")
    if len(distinct) > _MOST:
        distinct = distinct[farthest_point_sampling(distinct[None], _MOST)[0]]
    centre = (distinct.amin(0) + distinct.amax(0)) / 2
    spacing = knn(distinct[None], distinct[None], 4)[0][..., 3].median()
    surfels = _surfels(((distinct - centre) / spacing).float())
    lower, cell, shape = _box(surfels.points)
    values = _sampled_far(surfels, lower, cell, shape)
    _overwrite_near(values, surfels, lower, cell)
    return DistanceGrid.from_values(
        (spacing * values).float(), (centre + spacing * lower).float(), float(spacing * cell)
    )


# ---------------------------------------------------------------------------------------------------------- orientation


def _surfels(points: Tensor) -> _Surfels:
    elements, threshold = _elements(points)
    return _Surfels(points, _fitted_normals(points, normalize(elements, dim=-1)), elements, threshold)


def _elements(points: Tensor) -> tuple[Tensor, Tensor]:
    """The least area-weighted normals (N, 3) that make the winding number 1/2 at every point, and its result."""
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").clamp_min_(_CORE)
    field = (points - points.unsqueeze(1)).mul_(distance.pow_(-3).div_(4 * math.pi).unsqueeze(-1)).flatten(1)
    products = field @ field.mT
    products.diagonal().mul_(1 + _RIDGE)
    weights = torch.cholesky_solve(points.new_full((len(points), 1), 0.5), torch.linalg.cholesky(products))
    elements = field.mT @ weights
    return elements.view(-1, 3), (field @ elements).median()


def _winding_number(query: Tensor, surfels: _Surfels) -> Tensor:
    """(M,) at (M, 3)."""
    elements, points = surfels.elements, surfels.points
    field = torch.cdist(query, points).clamp_min(_CORE) ** -3 / (4 * math.pi)
    sums = field @ torch.cat([elements, (elements * points).sum(-1, keepdim=True)], dim=1)
    return sums[:, 3] - (sums[:, :3] * query).sum(-1)


def _fitted_normals(points: Tensor, normals: Tensor) -> Tensor:
    """(N, 3) of planes through neighbours: at first those on the same side of a wall, then on the same face."""
    distance, index = knn(points[None], points[None], min(_NEAREST + 1, len(points)))
    near = gather_points(points[None], index)[0]
    logit = -((distance[0] / (1.2 * _WIDTH)) ** 2)
    for i in range(_ROUNDS + _SHARP_ROUNDS):
        like = gather_points(normals[None], index)[0]
        weight = logit - (like - normals.unsqueeze(1)).square().sum(-1) / _TURN**2
        if i >= _ROUNDS:  # from the start it would tear thin walls
            weight = weight - (((near - points.unsqueeze(1)) * normals.unsqueeze(1)).sum(-1) / _OFF) ** 2
        normals = _plane_normals(near, like, torch.softmax(weight, dim=1).unsqueeze(-1))
    return normals


def _plane_normals(near: Tensor, like: Tensor, weight: Tensor) -> Tensor:
    """(N, 3) of the planes through points (N, k, 3) with normals and weights; the mean normal where they differ."""
    offset = near - (weight * near).sum(1, keepdim=True)
    plane = least_direction(((weight * offset).mT @ offset).double())[0].to(near)
    mean = normalize((weight * like).sum(1), dim=-1)
    cosine = (plane * mean).sum(-1, keepdim=True)
    return torch.where(cosine.abs() > 0.5, plane * cosine.sign(), mean)


# ------------------------------------------------------------------------------------------------------------- distance


def _box(points: Tensor) -> tuple[Tensor, float, tuple[int, int, int]]:
    """First node (3,), spacing and number of nodes along each axis; the numbers are 1 + multiples of `_COARSER`."""
    half = points.amax(0) + _MARGIN
    cell = max(_CELL, float((2 * half).prod() / _NODES) ** (1 / 3))
    blocks = (2 * half / (_COARSER * cell)).ceil()
    x, y, z = (_COARSER * int(n) + 1 for n in blocks.tolist())
    return -blocks * _COARSER * cell / 2, cell, (x, y, z)


def _sampled_far(surfels: _Surfels, lower: Tensor, cell: float, shape: tuple[int, int, int]) -> Tensor:
    """Distance to the nearest point at every third node, signed by the winding number; interpolated (X, Y, Z)."""
    axes = [torch.arange(0, n, _COARSER, device=lower.device) for n in shape]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    nodes = lower + cell * index.view(-1, 3)
    distance = knn(nodes[None], surfels.points[None], 1)[0].flatten()
    winding = torch.cat([_winding_number(part, surfels) for part in nodes.split(8192)])
    border = ((index == 0) | (index == index.new_tensor(shape) - 1)).any(-1).flatten()
    inside = (winding > surfels.threshold) & ~border
    height = (distance.square() - _LATERAL**2).clamp_min(0).sqrt()
    coarse = torch.where(inside, -height, height).view(index.shape[:-1])
    return interpolate(coarse[None, None], size=shape, mode="trilinear", align_corners=True)[0, 0]


def _overwrite_near(values: Tensor, surfels: _Surfels, lower: Tensor, cell: float) -> None:
    """Overwrites the nodes that are near a point with the distance to the fitted sheets, in place."""
    near = torch.zeros_like(values, dtype=torch.bool)
    reach = math.ceil(_FAR / cell) + 1
    steps = torch.arange(-reach, reach + 1, device=lower.device)
    ball = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), dim=-1).view(-1, 3)
    ball = ball[ball.square().sum(-1) <= (_FAR / cell + 1) ** 2]
    index = (((surfels.points - lower) / cell).round().long().unsqueeze(1) + ball).view(-1, 3)
    index = index[((index >= 0) & (index < index.new_tensor(values.shape))).all(-1)]
    near[index.unbind(-1)] = True
    nodes = near.nonzero()
    distance, nearest = _sheet_distance(lower + cell * nodes, surfels)
    share = ((nearest - _CLOSE) / (_FAR - _CLOSE)).clamp(0, 1)
    values[near] = (1 - share) * distance + share * values[near]


def _sheet_distance(query: Tensor, surfels: _Surfels) -> tuple[Tensor, Tensor]:
    """Signed distance (M,) to the sheet or the two sheets near (M, 3), and the distance to the nearest point (M,)."""
    nearest, index = knn(query[None], surfels.points[None], min(_NEAREST, len(surfels.points)))
    offset = gather_points(surfels.points[None], index)[0] - query.unsqueeze(1)
    normals, nearest = gather_points(surfels.normals[None], index)[0], nearest[0]
    logit = -(nearest.square() - nearest[:, :1].square()) / _WIDTH**2
    distance, foot, normal = _sheet(offset, normals, logit, normals[:, 0])
    apart = (normals * normal.unsqueeze(1)).sum(-1) < _APART
    two = apart.any(1).nonzero().squeeze(1)
    other = torch.where(apart[two], logit[two], -torch.inf).argmax(1)
    start = normals[two, other]
    second, second_foot, second_normal = _sheet(offset[two], normals[two], logit[two], start)
    wall = ((second_foot - foot[two]) * (second_normal - normal[two])).sum(-1) > 0  # they face away from each other
    both = distance[two], second
    return distance.index_copy(0, two, torch.where(wall, torch.maximum(*both), torch.minimum(*both))), nearest[:, 0]


def _sheet(offset: Tensor, normals: Tensor, logit: Tensor, normal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distance of the origin to the sphere through points with normals; those like `normal` (M, 3) weigh more.

    Args:
        offset, normals: (M, k, 3).
        logit: (M, k), of the weights.
        normal: (M, 3).

    Returns:
        Signed distance (M,), mean point (M, 3) and mean normal (M, 3) of the sheet.
    """
    _, _, _, there = _sphere(offset, normals, _likeness(normals, logit, normal))
    distance, foot, mean, _ = _sphere(offset, normals, _likeness(normals, logit, there))
    return distance, foot, normalize(mean, dim=-1)


def _likeness(normals: Tensor, logit: Tensor, normal: Tensor) -> Tensor:
    turn = (normals - normal.unsqueeze(1)).square().sum(-1)
    return torch.softmax(logit - turn / _TURN**2, dim=1).unsqueeze(-1)


def _sphere(offset: Tensor, normals: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Distance (M,) of the origin, mean point and mean normal (M, 3), and the normal (M, 3) at the origin.

    The sphere, or plane, is the zero set of constant + linear . x + bend |x|^2, whose gradient fits the normals best.
    """
    foot, mean = (weight * offset).sum(1), (weight * normals).sum(1)
    square = (weight * offset.square()).sum((1, 2))
    spread = (square - foot.square().sum(-1)).clamp_min(1e-6)
    bend = ((weight * offset * normals).sum((1, 2)) - (foot * mean).sum(-1)) / (2 * spread)
    bend = bend.clamp(-_BENDS, _BENDS)
    linear = mean - 2 * bend.unsqueeze(-1) * foot
    constant = -(linear * foot).sum(-1) - bend * square
    slope = torch.linalg.vector_norm(linear, dim=-1)
    root = (slope.square() - 4 * bend * constant).clamp_min(0).sqrt()
    distance = 2 * constant / (slope + root).clamp_min(1e-6)
    return distance, foot, mean, linear / slope.clamp_min(1e-6).unsqueeze(-1)
