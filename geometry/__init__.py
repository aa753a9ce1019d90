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
