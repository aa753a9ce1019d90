"""Signed distance to the surface that a cloud was taken from, for objects without a mesh."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from torch import Tensor

from ...geometry.sdf import DistanceGrid
from .fields import ObjectFields

_NODES = 56
_MARGIN = 0.02  # metres around the cloud
_NEIGHBOURS = 8

Array = NDArray[np.float64]


def cloud_fields(points: Tensor) -> ObjectFields:
    """Distance fields of clouds of whole objects; equal clouds share one.

    Implicit moving least squares (Kolluri, "Provably Good Moving Least Squares", SODA 2005): near the surface the
    distance to the planes of the nearest points, weighted; farther off the distance to the nearest point. Normals are
    fitted to neighbours and turned outwards, to where a ball that does not fit between the points gets from outside.
    A cloud of one side of an object gives a body as thin as the cloud; edges are rounded by about the spacing.

    Args:
        points: (B, N, 3), metres, N of at least 32.

    Raises:
        ValueError: too few points.
    """
    if points.shape[1] < 32:
        raise ValueError(f"points: expected at least 32 in each cloud to fit a surface, found {points.shape[1]}")
    unique, owner = torch.unique(points.detach(), dim=0, return_inverse=True)
    grids = [_fit(cloud.double().cpu().numpy()).to(points.device) for cloud in unique]
    return ObjectFields(grids, owner, torch.ones(len(points), device=points.device))


def _fit(cloud: Array) -> DistanceGrid:
    lower, upper = cloud.min(0) - _MARGIN, cloud.max(0) + _MARGIN
    spacing = float((upper - lower).max()) / (_NODES - 1)
    counts = np.ceil((upper - lower) / spacing).astype(int) + 1
    axes = [low + spacing * np.arange(n) for low, n in zip(lower, counts, strict=True)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    tree = KDTree(cloud)
    near, index = tree.query(nodes, _NEIGHBOURS)
    apart = float(np.median(tree.query(cloud, 4)[0][:, 3]))
    # The largest hole between 1,000 points drawn at random is 1.7 times as wide; even clouds have narrower ones.
    free = _reached(near[..., 0] > max(2.2 * apart, spacing))
    normal = _outward(cloud, tree, nodes[free])
    reach = 1.5 * apart
    height = (normal[index] * (nodes[..., None, :] - cloud[index])).sum(-1)
    weight = np.exp(-((near - near[..., :1]) ** 2) / reach**2 - 0.5 * (near - near[..., :1]) / reach)
    plane = (weight * height).sum(-1) / weight.sum(-1)
    side = np.where(free, 1.0, np.where(plane < 0, -1.0, 1.0))
    close = np.clip((2 * reach - near[..., 0]) / reach, 0, 1)
    values = close * plane + (1 - close) * side * near[..., 0]
    return DistanceGrid.from_state({"values": values.astype(np.float32), "origin": lower, "spacing": np.array(spacing)})


def _reached(empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part of the empty nodes that is connected to the border of the grid."""
    part, _ = cast(tuple[NDArray[np.int64], int], ndimage.label(empty))
    return empty & (part == part[0, 0, 0])


def _outward(cloud: Array, tree: KDTree, free: Array) -> Array:
    """(N, 3) unit normals of planes through neighbours, towards the nearest node that is free."""
    neighbours = cloud[tree.query(cloud, _NEIGHBOURS)[1]]
    normal = np.linalg.svd(neighbours - neighbours.mean(1, keepdims=True), full_matrices=False)[2][:, 2]
    _, nearest = KDTree(free).query(cloud, 6)
    way = free[nearest].mean(1) - cloud
    return normal * np.where((normal * way).sum(-1, keepdims=True) < 0, -1.0, 1.0)
