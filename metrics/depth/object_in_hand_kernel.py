# type: ignore  (kernels are written in the subset of Python that warp compiles, with its types)
# ruff: noqa: UP018, RUF046 (for warp a literal is a constant, float(0.0) a variable)
"""The deepest point of an object's surface in a hand's primitives, one grasp per thread.

Lengths are in the search unit (`SignedDistance.frame`). Import this module only where it is used: importing warp
takes half a second. warp reads annotations as types, so they must not become strings here.
"""

from ...geometry.warp_kernels import Solid, wp

__all__ = ["deepest", "wp"]


@wp.func
def in_capsule(solid: Solid, start: wp.vec3, end: wp.vec3, radius: float, best: float, tolerance: float) -> float:
    """The larger of `best` and the depth of the surface in a capsule, within the tolerance.

    That depth is the radius minus the least distance of the axis from the surface. The axis is traversed in steps that
    the distance allows, since it is 1-Lipschitz.
    """
    length = wp.length(end - start)
    at = float(0.0)
    while at <= length:
        p = start + wp.normalize(end - start) * at
        near = wp.mesh_query_point_no_sign(solid.mesh, p, 1.0e18)
        gap = wp.length(p - wp.mesh_eval_position(solid.mesh, near.face, near.u, near.v))
        best = wp.max(best, radius - gap)
        at += wp.max(gap - radius + best, 0.0) + tolerance
    return best


@wp.func
def along_axis(axis: wp.vec3, a: wp.vec3, b: wp.vec3, c: wp.vec3, half: wp.vec3) -> float:
    """Shrinking of a box, on every side, until this axis separates it from the triangle."""
    size = wp.abs(axis[0]) + wp.abs(axis[1]) + wp.abs(axis[2])
    if size < 1.0e-12:
        return half[0]
    pa = wp.dot(axis, a)
    pb = wp.dot(axis, b)
    pc = wp.dot(axis, c)
    gap = wp.max(wp.min(pa, wp.min(pb, pc)), -wp.max(pa, wp.max(pb, pc)))
    return (wp.abs(axis[0]) * half[0] + wp.abs(axis[1]) * half[1] + wp.abs(axis[2]) * half[2] - gap) / size


@wp.func
def triangle_in_box(a: wp.vec3, b: wp.vec3, c: wp.vec3, half: wp.vec3) -> float:
    """Depth of the deepest point of a triangle in a box about the origin: how much the box shrinks until they separate.

    Two convex bodies are disjoint if a face normal or a cross product of their edges separates them
    (Gottschalk et al., "OBBTree", SIGGRAPH 1996), and each of these bounds the shrinking in closed form.
    """
    depth = wp.min(half[0], wp.min(half[1], half[2]))
    ab = wp.normalize(b - a)
    bc = wp.normalize(c - b)
    ca = wp.normalize(a - c)
    depth = wp.min(depth, along_axis(wp.normalize(wp.cross(ab, bc)), a, b, c, half))
    for k in range(3):
        axis = wp.vec3(0.0, 0.0, 0.0)
        axis[k] = 1.0
        depth = wp.min(depth, along_axis(axis, a, b, c, half))
        depth = wp.min(depth, along_axis(wp.normalize(wp.cross(axis, ab)), a, b, c, half))
        depth = wp.min(depth, along_axis(wp.normalize(wp.cross(axis, bc)), a, b, c, half))
        depth = wp.min(depth, along_axis(wp.normalize(wp.cross(axis, ca)), a, b, c, half))
    return depth


@wp.func
def in_box(solid: Solid, centre: wp.vec3, rotation: wp.mat33, half: wp.vec3, best: float) -> float:
    """The larger of `best` and the depth of the surface in a box."""
    # A point deeper than `best` lies in the box that is smaller by `best` on every side.
    core = half - wp.vec3(best, best, best)
    if wp.min(core[0], wp.min(core[1], core[2])) <= 0.0:
        return best
    reach = wp.vec3(
        wp.abs(rotation[0, 0]) * core[0] + wp.abs(rotation[0, 1]) * core[1] + wp.abs(rotation[0, 2]) * core[2],
        wp.abs(rotation[1, 0]) * core[0] + wp.abs(rotation[1, 1]) * core[1] + wp.abs(rotation[1, 2]) * core[2],
        wp.abs(rotation[2, 0]) * core[0] + wp.abs(rotation[2, 1]) * core[1] + wp.abs(rotation[2, 2]) * core[2],
    )
    back = wp.transpose(rotation)
    query = wp.mesh_query_aabb(solid.mesh, centre - reach, centre + reach)
    face = int(0)
    while wp.mesh_query_aabb_next(query, face):
        a = back * (wp.mesh_get_point(solid.mesh, 3 * face) - centre)
        b = back * (wp.mesh_get_point(solid.mesh, 3 * face + 1) - centre)
        c = back * (wp.mesh_get_point(solid.mesh, 3 * face + 2) - centre)
        best = wp.max(best, triangle_in_box(a, b, c, half))
    return best


@wp.kernel
def deepest(
    solid: Solid,
    start: wp.array2d(dtype=wp.vec3),  # (B, C)
    end: wp.array2d(dtype=wp.vec3),  # (B, C)
    radius: wp.array2d(dtype=wp.float32),  # (B, C)
    centre: wp.array2d(dtype=wp.vec3),  # (B, D)
    rotation: wp.array2d(dtype=wp.mat33),  # (B, D)
    half: wp.array2d(dtype=wp.vec3),  # (B, D)
    tolerance: wp.array(dtype=wp.float32),  # (B,)
    best: wp.array(dtype=wp.float32),  # (B,)
):
    """Depth of the deepest point of the surface in each hand, 0 for none."""
    b = wp.tid()
    top = float(0.0)
    for k in range(start.shape[1]):
        top = in_capsule(solid, start[b, k], end[b, k], radius[b, k], top, tolerance[b])
    for k in range(centre.shape[1]):
        top = in_box(solid, centre[b, k], rotation[b, k], half[b, k], top)
    best[b] = top
