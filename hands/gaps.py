"""Gaps between capsules and boxes in closed form, for many pairs at once: which parts of a hand overlap, and how
deeply.

A gap is the distance between two solids; where they overlap, it is minus the least translation that separates them,
like the depth of a contact in a physics engine. Arrays are float64 numpy with leading dimensions that broadcast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_TINY = 1e-300


def capsule_gap(a: Array, b: Array, radius: Array, other_a: Array, other_b: Array, other_radius: Array) -> Array:
    """Gap between capsules; spheres have equal ends.

    Args:
        a, b, other_a, other_b: (..., 3), ends of the axes.
        radius, other_radius: (...).

    Returns:
        (...), negative where they overlap.
    """
    return segment_distance(a, b, other_a, other_b) - radius - other_radius


def segment_distance(a: Array, b: Array, other_a: Array, other_b: Array) -> Array:
    """(...) distance of segments with ends (..., 3): between two inner points, or from an end to the other segment."""
    squared = _between_lines(a, b, other_a, other_b)
    for point, first, last in ((a, other_a, other_b), (b, other_a, other_b), (other_a, a, b), (other_b, a, b)):
        axis, offset = last - first, point - first
        along = np.clip(_dot(offset, axis) / np.maximum(_dot(axis, axis), _TINY), 0, 1)
        squared = np.minimum(squared, _square(offset - along[..., None] * axis))
    return np.sqrt(squared)


def _between_lines(a: Array, b: Array, other_a: Array, other_b: Array) -> Array:
    """Squared distance between the two lines if both nearest points are on the segments, otherwise infinite."""
    u, v, w = b - a, other_b - other_a, a - other_a
    uu, uv, vv, uw, vw = _dot(u, u), _dot(u, v), _dot(v, v), _dot(u, w), _dot(v, w)
    denominator = np.maximum(uu * vv - uv * uv, _TINY)
    s, t = (uv * vw - vv * uw) / denominator, (uu * vw - uv * uw) / denominator
    on_both = (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
    s, t = np.where(on_both, s, 0), np.where(on_both, t, 0)
    return np.where(on_both, _square(w + s[..., None] * u - t[..., None] * v), np.inf)


def capsule_box_gap(a: Array, b: Array, radius: Array, half: Array) -> Array:
    """Gap between a capsule and a box that is centred at the origin and parallel to the axes.

    Args:
        a, b: (..., 3), ends of the capsule's axis, frame of the box.
        radius: (...).
        half: (..., 3), half sizes of the box.

    Returns:
        (...), negative where they overlap.
    """
    apart = _segment_box_distance(a, b, half)
    return np.where(apart > 0, apart, -_segment_box_depth(a, b, half)) - radius


def _segment_box_distance(a: Array, b: Array, half: Array) -> Array:
    """0 if they meet. The squared distance along the segment is convex, and quadratic between crossings of faces."""
    u = b - a
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = np.concatenate([(half - a) / u, (-half - a) / u], axis=-1)
    ends = np.zeros((*crossings.shape[:-1], 1))
    knots = np.concatenate([ends, np.sort(np.clip(np.nan_to_num(crossings), 0, 1), axis=-1), ends + 1], axis=-1)
    low, high = knots[..., :-1], knots[..., 1:]
    middle = (low + high) / 2

    def outside(t: Array) -> Array:
        at = a[..., None, :] + t[..., None] * u[..., None, :]
        return at - np.clip(at, -half[..., None, :], half[..., None, :])

    moving = np.where(outside(middle) != 0, u[..., None, :], 0)  # the coordinates that lie beyond a face
    slope, curvature = _dot(outside(middle), moving), _dot(moving, moving)
    least = np.clip(middle - slope / np.maximum(curvature, _TINY), low, high)
    return np.sqrt(_square(outside(least)).min(-1))


def _segment_box_depth(a: Array, b: Array, half: Array) -> Array:
    """Least translation that moves a segment out of the box: along a face normal, or across an edge and the segment."""
    middle, u = (a + b) / 2, b - a
    depth = (half + np.abs(u) / 2 - np.abs(middle)).min(-1)
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        length = np.hypot(u[..., i], u[..., j])  # the axis is u x e_k, which has no component k
        reach = half[..., i] * np.abs(u[..., j]) + half[..., j] * np.abs(u[..., i])
        over = reach - np.abs(middle[..., i] * u[..., j] - middle[..., j] * u[..., i])
        across = over / np.maximum(length, _TINY)
        depth = np.where(length > 1e-9 * np.abs(u).max(-1), np.minimum(depth, across), depth)
    return depth


def box_gap(centre: Array, turn: Array, half: Array, other_half: Array) -> Array:
    """Gap between two boxes by separating axes, in the frame of the first, which is centred and parallel to the axes.

    Args:
        centre: (..., 3), of the second box.
        turn: (..., 3, 3), its axes are the columns.
        half, other_half: (..., 3).

    Returns:
        (...), the exact depth (negative) where they overlap, a lower bound of the distance where they are apart.
    """
    own = np.broadcast_to(np.eye(3), turn.shape)
    across = np.cross(own[..., :, None, :], np.swapaxes(turn, -1, -2)[..., None, :, :]).reshape(*turn.shape[:-2], 9, 3)
    axes = np.concatenate([own, np.swapaxes(turn, -1, -2), across], axis=-2)
    length = np.linalg.norm(axes, axis=-1)
    reach = _dot(np.abs(axes), half[..., None, :]) + _dot(np.abs(axes @ turn), other_half[..., None, :])
    apart = (np.abs(_dot(axes, centre[..., None, :])) - reach) / np.maximum(length, _TINY)
    return np.where(length > 1e-9, apart, -np.inf).max(-1)


def _dot(a: Array, b: Array) -> Array:
    return (a * b).sum(-1)


def _square(a: Array) -> Array:
    return (a * a).sum(-1)
