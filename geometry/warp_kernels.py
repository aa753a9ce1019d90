# pyright: reportInvalidTypeForm=false, reportAttributeAccessIssue=false
"""The one kernel of the warp backend. warp compiles it at the first launch and keeps it on disk.

Import this module only where it is used: importing warp takes half a second. warp reads the annotations as types, so
they must not become strings here.
"""

import contextlib
import os
from collections.abc import Iterator

import warp as wp

__all__ = ["nearest_face", "wp"]


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Closes the stderr descriptor: without a GPU, warp's C++ side warns there at every start."""
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
    # The sign is the dear part, and known outside of the bounding box.
    if wp.max(wp.max(lower - p, p - upper)) > 0.0:
        far = wp.mesh_query_point_no_sign(mesh, p, 1.0e18)
        face[i] = far.face
        inside[i] = False
    else:
        near = wp.mesh_query_point_sign_winding_number(mesh, p, 1.0e18, 2.0, 0.5)
        face[i] = near.face
        inside[i] = near.sign < 0.0
