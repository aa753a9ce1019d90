"""Point cloud operations: cropping, downsampling, alignment, outliers. Only numpy and scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree


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
    """Rotation (3, 3) and translation (3,) that move `source` (N, 3) onto `target` (M, 3), roughly aligned, any unit.

    Pairs farther apart than `distance` are ignored; it ends after `steps`, or if nothing changes, or with fewer than 3
    pairs. Point to point, after Besl and McKay (1992); the rigid fit is Kabsch's (1976).
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
    """(N,), whether a point's mean distance to its nearest `neighbours` is at most `deviations` standard deviations
    above the mean over all points (N, 3), any unit.
    """
    if len(points) <= neighbours:
        return np.ones(len(points), bool)
    distance, _ = KDTree(points).query(points, k=neighbours + 1)
    mean = distance[:, 1:].mean(axis=1)
    return mean <= mean.mean() + deviations * mean.std()
