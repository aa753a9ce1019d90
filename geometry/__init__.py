"""Rotations, meshes, signed distance, sampling and pictures: the conventions of dexzoo live here.

Units         metres, radians, seconds, kilograms. Units change only at the edge, and then the key says so (`mpjpe_cm`).
Frames        right-handed; column vectors, `x_world = R @ x + t`. A transform is named `world_from_hand`: it takes a
              point in hand coordinates and returns world coordinates, so `a_from_b @ b_from_c = a_from_c`.
Rotations     (..., 3, 3) matrices. Quaternions are wxyz. A 6-D rotation is the first two *columns*, concatenated.
              Euler angles are static (extrinsic): `euler_to_rotmat(a, "xyz") = Rz(a[2]) @ Ry(a[1]) @ Rx(a[0])`.
Signs         signed distance is positive outside, negative inside; normals point outwards.
Letters       B batch, T frames, N object points, H hand points, J joints, L links, K candidates, `...` any batch shape.
Precision     float32 in the models, float64 where a number is measured against an oracle.
"""

from typing import TYPE_CHECKING

from dexzoo.lazy import on_first_use

if TYPE_CHECKING:
    from .cloud_field import cloud_grid
    from .cloud_surface import cloud_normals, signed_point_distance
    from .ground import Ground
    from .hidden_points import Occluder, hidden_point_removal
    from .meshes import MeshError, load_mesh, mesh_hash
    from .neighbours import ball_query, bps_basis, bps_encode, gather_points, knn
    from .normals import corner_normals
    from .progress import shown, tracked, working
    from .render import Camera, frame_mesh, points_mesh, render_scene
    from .rotations import (
        euler_to_rotmat,
        geodesic_distance,
        quat_to_rotmat,
        rot6d_to_rotmat,
        rotmat_to_euler,
        rotmat_to_quat,
        rotmat_to_rot6d,
        rotmat_to_rotvec,
        rotvec_to_rotmat,
        slerp,
    )
    from .sampling import farthest_point_sampling, sample_surface
    from .sdf import DistanceGrid, SignedDistance, closest_point
    from .sdf_backends import installed_backends, winding_number
    from .solids import convex_pieces, make_solid, unite_pieces

_HOMES = {
    "cloud_field": "cloud_grid",
    "cloud_surface": "cloud_normals signed_point_distance",
    "ground": "Ground",
    "hidden_points": "Occluder hidden_point_removal",
    "meshes": "MeshError load_mesh mesh_hash",
    "neighbours": "ball_query bps_basis bps_encode gather_points knn",
    "normals": "corner_normals",
    "progress": "shown tracked working",
    "render": "Camera frame_mesh points_mesh render_scene",
    "rotations": "euler_to_rotmat geodesic_distance quat_to_rotmat rot6d_to_rotmat rotmat_to_euler rotmat_to_quat "
    "rotmat_to_rot6d rotmat_to_rotvec rotvec_to_rotmat slerp",
    "sampling": "farthest_point_sampling sample_surface",
    "sdf": "DistanceGrid SignedDistance closest_point",
    "sdf_backends": "installed_backends winding_number",
    "solids": "convex_pieces make_solid unite_pieces",
}

__all__ = [
    "Camera",
    "DistanceGrid",
    "Ground",
    "MeshError",
    "Occluder",
    "SignedDistance",
    "ball_query",
    "bps_basis",
    "bps_encode",
    "closest_point",
    "cloud_grid",
    "cloud_normals",
    "convex_pieces",
    "corner_normals",
    "euler_to_rotmat",
    "farthest_point_sampling",
    "frame_mesh",
    "gather_points",
    "geodesic_distance",
    "hidden_point_removal",
    "installed_backends",
    "knn",
    "load_mesh",
    "make_solid",
    "mesh_hash",
    "points_mesh",
    "quat_to_rotmat",
    "render_scene",
    "rot6d_to_rotmat",
    "rotmat_to_euler",
    "rotmat_to_quat",
    "rotmat_to_rot6d",
    "rotmat_to_rotvec",
    "rotvec_to_rotmat",
    "sample_surface",
    "shown",
    "signed_point_distance",
    "slerp",
    "tracked",
    "unite_pieces",
    "winding_number",
    "working",
]
__getattr__ = on_first_use(__name__, _HOMES)
