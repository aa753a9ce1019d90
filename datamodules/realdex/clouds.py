"""Point cloud operations: moving with an object, cropping, downsampling, alignment, outliers. Only numpy and scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree


def carry(points: NDArray, rotation: NDArray, translation: NDArray) -> NDArray:
    """The cloud of frame 0 moved with its object: p_t = R_t R_0^T (p_0 - t_0) + t_t.

    RealDex leaves it at its position at the start of a segment while the object moves.

    Args:
        points: (N, 3), metres, world frame, at frame 0.
        rotation: (T, 3, 3), world_from_object.
        translation: (T, 3), metres.

    Returns:
        (T, N, 3), metres, world frame.
    """
    local = (points - translation[0]) @ rotation[0]
    return local @ rotation.swapaxes(1, 2) + translation[:, None]


def crop(points: NDArray, box: ArrayLike) -> NDArray[np.bool_]:
    """(N,), whether points (N, 3) lie in the box (2, 3) of lower and upper corner, including its border."""
    lower, upper = np.asarray(box, np.float64)
    return ((points >= lower) & (points <= upper)).all(axis=1)


def thin_out(points: NDArray, voxel: float) -> NDArray:
    """The mean of the points (N, 3) in each cube of edge `voxel`, sorted by cube."""
    if not len(points):
        return points
    cell = np.floor((points - points.min(axis=0)) / voxel).astype(np.int64)
    _, inverse = np.unique(cell, axis=0, return_inverse=True)
    total = np.stack([np.bincount(inverse.ravel(), column) for column in points.T], axis=1)
    return total / np.bincount(inverse.ravel())[:, None]


def icp(source: NDArray, target: NDArray, distance: float, steps: int) -> tuple[NDArray, NDArray]:
    """Rotation (3, 3) and translation (3,) that move `source` onto `target`, point to point.

    Args:
        source: (N, 3), any unit, roughly aligned.
        target: (M, 3).
        distance: pairs farther apart than this are ignored.
        steps: number of iterations; stops early if nothing changes or fewer than 3 points have a pair.

    Source: Besl and McKay (1992); the rigid fit is Kabsch's (1976).
    """
    rotation, translation = np.eye(3), np.zeros(3)
    if len(source) < 3 or len(target) < 3:
        return rotation, translation
    tree, before = KDTree(target), None
    for _ in range(steps):
        moved = source @ rotation.T + translation
        apart, pair = (np.asarray(found) for found in tree.query(moved, distance_upper_bound=distance))
        paired = np.isfinite(apart)
        if paired.sum() < 3 or (before is not None and np.array_equal(pair, before)):
            break
        rotation, translation = fit_rigid(source[paired], target[pair[paired]])
        before = pair
    return rotation, translation


def fit_rigid(source: NDArray, target: NDArray) -> tuple[NDArray, NDArray]:
    """Rotation and translation that move points (N, 3) onto their counterparts with least squares (Kabsch)."""
    centre, goal = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((source - centre).T @ (target - goal))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    rotation = vt.T @ flip @ u.T
    return rotation, goal - rotation @ centre


def remove_outliers(points: NDArray, neighbours: int = 20, deviations: float = 2.0) -> NDArray[np.bool_]:
    """(N,), whether the mean distance to the nearest neighbours is at most `deviations` above the mean over the cloud.

    Args:
        points: (N, 3), any unit.
        neighbours: number of neighbours, excluding the point itself.
        deviations: largest number of standard deviations above the mean of all points.
    """
    if len(points) <= neighbours:
        return np.ones(len(points), bool)
    distance, _ = KDTree(points).query(points, k=neighbours + 1)
    mean = distance[:, 1:].mean(axis=1)
    return mean <= mean.mean() + deviations * mean.std()
