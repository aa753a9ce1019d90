"""Inner radius of a convex hull of wrenches, without building the whole hull.

The hull of a few wrenches is grown where its nearest facet can still move outwards, as EPA does for distances of
bodies; the result is exact once no wrench lies beyond that facet (Zheng, "An Efficient Algorithm for a Grasp Quality
Measure", IEEE Transactions on Robotics 29, 2013). About 20 of 120 wrenches are used.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.spatial import ConvexHull, QhullError

Array = NDArray[np.float64]
_JOGGLE = 1e-11
"""Relative to the largest wrench. Friction cones have many coplanar wrenches, where qhull's incremental mode fails."""
_BEYOND, _SINGULAR, _ATTEMPTS = 1e-10, 1e-9, 4
_FACETS = 4  # nearest facets that grow in each round


def inner_radius(wrenches: Array) -> float:
    """Radius of the largest ball about 0 in the convex hull; 0 unless 0 is strictly inside, which also needs rank d.

    Whether 0 itself is one of the wrenches makes no difference. The result is off by at most 1e-10 of the length of
    the largest wrench. The wrenches (N, d) are finite, scaled so that their columns can be compared; else ValueError.
    """
    wrenches = np.asarray(wrenches, np.float64)
    if wrenches.ndim != 2 or not np.isfinite(wrenches).all():
        raise ValueError(f"wrenches: expected finite numbers of shape (N, d), found shape {wrenches.shape}")
    largest = np.linalg.norm(wrenches, axis=1).max(initial=0.0)
    if not largest > 0 or np.linalg.matrix_rank(wrenches / largest, tol=_SINGULAR) < wrenches.shape[1]:
        return 0.0
    for attempt in range(_ATTEMPTS):  # a degenerate start depends on the random weights
        try:
            return largest * _grow(wrenches / largest, np.random.default_rng(attempt))
        except QhullError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def whole_hull_radius(wrenches: Array) -> float:
    """Like `inner_radius`, but by definition: from all facets of the hull of the wrenches and 0, 10 to 30 times slower.

    0 if qhull finds the points flat.
    """
    try:
        hull = ConvexHull(np.vstack([wrenches, np.zeros(wrenches.shape[1])]))
    except QhullError:
        return 0.0
    return float(np.abs(hull.equations[:, -1]).min())


def _grow(wrenches: Array, rng: np.random.Generator) -> float:
    points = wrenches + _JOGGLE * rng.uniform(-1, 1, wrenches.shape)
    simplex = _simplex(points, rng)
    if simplex is None:
        return 0.0
    hull = ConvexHull(simplex, incremental=True)
    try:
        for _ in range(len(points)):  # each round adds at least one
            normal, offset = hull.equations[:, :-1], -hull.equations[:, -1]
            nearest = np.argpartition(offset, min(_FACETS, len(offset)) - 1)[:_FACETS]
            beyond = normal[nearest] @ points.T - offset[nearest, None]
            farthest = beyond.argmax(1)
            grows = beyond[range(len(nearest)), farthest] > _BEYOND
            if not grows[offset[nearest].argmin()]:
                return max(0.0, float(offset.min()))
            hull.add_points(points[np.unique(farthest[grows])])
        raise QhullError("the hull does not grow to include the wrenches beyond it")
    finally:
        hull.close()


def _simplex(points: Array, rng: np.random.Generator) -> Array | None:
    """Corners, within the hull, of a simplex around 0; None if there is none.

    0 is strictly inside the hull of points of full rank if and only if minus a positive combination of all of them is a
    positive combination of some of them. NNLS finds d of those; the combination itself is the last corner.
    """
    weights = rng.uniform(0.5, 1.5, len(points))
    mean = weights @ points / weights.sum()
    factors, residual = nnls(points.T, -mean, maxiter=100 * len(points))
    if residual > _SINGULAR * np.linalg.norm(mean):
        return None
    return np.vstack([points[factors > 0], mean])
