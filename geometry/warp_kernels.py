# type: ignore  (kernels are written in the subset of Python that warp compiles, with its types)
"""The kernels of the warp backend. warp compiles them at the first launch and keeps them on disk.

Import this module only where it is used: importing warp takes half a second. warp reads annotations as types, so
they must not become strings here.
"""

import contextlib
import os
from collections.abc import Iterator

import warp as wp

__all__ = ["Solid", "is_inside", "nearest_face", "nearest_face_of_solid", "wp"]


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Closes the stderr descriptor: without a GPU, warp's C++ code prints a warning there at every start."""
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


wp.config.quiet = True  # warp < 1.12
wp.config.log_level = 30  # later versions: warnings and errors
with _muted():
    wp.init()
wp.set_module_options({"enable_backward": False})  # gradients are closed-form; this halves the compile time


@wp.kernel
def nearest_face(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    lower: wp.vec3,
    upper: wp.vec3,
    face: wp.array(dtype=wp.int32),
    inside: wp.array(dtype=wp.bool),
):
    """Nearest face of `mesh` to each point, and whether the winding number there is above 1/2."""
    i = wp.tid()
    p = points[i]
    # The sign is the expensive part, and known outside the bounding box.
    if wp.max(wp.max(lower - p, p - upper)) > 0.0:
        far = wp.mesh_query_point_no_sign(mesh, p, 1.0e18)
        face[i] = far.face
        inside[i] = False
    else:
        near = wp.mesh_query_point_sign_winding_number(mesh, p, 1.0e18, 2.0, 0.5)
        face[i] = near.face
        inside[i] = near.sign < 0.0


@wp.struct
class Solid:
    """A closed mesh, its bounding box, and its signed distance at the nodes of a grid."""

    mesh: wp.uint64
    lower: wp.vec3
    upper: wp.vec3
    nodes: wp.array3d(dtype=wp.float32)
    origin: wp.vec3
    spacing: wp.float32


@wp.func
def near_side(solid: Solid, p: wp.vec3, guess: bool) -> wp.vec4:
    """The one of the eight nodes around `p` that is farthest on the guessed side, and how far; 0 for none."""
    at = (p - solid.origin) / solid.spacing
    x = wp.clamp(int(wp.floor(at[0])), 0, solid.nodes.shape[0] - 2)
    y = wp.clamp(int(wp.floor(at[1])), 0, solid.nodes.shape[1] - 2)
    z = wp.clamp(int(wp.floor(at[2])), 0, solid.nodes.shape[2] - 2)
    goal = wp.vec4(0.0, 0.0, 0.0, 0.0)
    for k in range(8):
        cx = x + (k & 1)
        cy = y + ((k >> 1) & 1)
        cz = z + (k >> 2)
        value = solid.nodes[cx, cy, cz]
        if guess:
            value = -value
        if value > goal[3]:
            node = solid.origin + solid.spacing * wp.vec3(float(cx), float(cy), float(cz))
            goal = wp.vec4(node[0], node[1], node[2], value)
    return goal


@wp.func
def is_inside(solid: Solid, p: wp.vec3, gap: wp.vec3, normal: wp.vec3) -> bool:
    """Whether `p` is inside: the sign of a node from which it can be reached without crossing the surface.

    That is the node of the cell that is farthest on the guessed side, if the point is nearer to it than to the surface,
    or if a ray to it hits nothing. The winding number decides the rest. `gap` is the vector from the nearest point of
    the surface to `p`, `normal` that of its face.
    """
    if wp.max(wp.max(solid.lower - p, p - solid.upper)) > 0.0:
        return False
    guess = wp.dot(gap, normal) < 0.0
    goal = near_side(solid, p, guess)
    if goal[3] > 1.0e-6:  # a node on the surface has no side
        way = wp.vec3(goal[0], goal[1], goal[2]) - p
        length = wp.length(way)
        if length < 0.999 * wp.max(wp.length(gap), goal[3]):
            return guess
        ray = wp.mesh_query_ray(solid.mesh, p, way / length, length)
        if not ray.result:
            return guess
    sure = wp.mesh_query_point_sign_winding_number(solid.mesh, p, 1.0e18, 2.0, 0.5)
    return sure.sign < 0.0


@wp.kernel
def nearest_face_of_solid(
    solid: Solid,
    points: wp.array(dtype=wp.vec3),
    face: wp.array(dtype=wp.int32),
    inside: wp.array(dtype=wp.bool),
):
    """`nearest_face` of a solid: the same result, faster."""
    i = wp.tid()
    p = points[i]
    near = wp.mesh_query_point_no_sign(solid.mesh, p, 1.0e18)
    face[i] = near.face
    gap = p - wp.mesh_eval_position(solid.mesh, near.face, near.u, near.v)
    inside[i] = is_inside(solid, p, gap, wp.mesh_eval_face_normal(solid.mesh, near.face))
