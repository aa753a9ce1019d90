"""Conversions between rotations; any batch shape, differentiable, with finite gradients at angles 0 and pi.

The conventions (column vectors, wxyz, 6-D = two columns, static Euler angles) are those of `geometry/__init__.py`.
Nothing here projects a matrix onto SO(3): the caller must pass valid rotations.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

_SMALL = 1e-3  # below it a four-term series in the squared argument is exact to float64


def rotvec_to_rotmat(v: Tensor) -> Tensor:
    """Rodrigues' formula, R = cos(a) I + sin(a)/a [v]x + (1 - cos(a))/a^2 v v^T with a = |v|.

    Args:
        v: (..., 3), radians, axis times angle.

    Returns:
        (..., 3, 3) rotation matrices.

    Raises:
        ValueError: the last dimension is not 3.
    """
    _check_last(v, "v", 3)
    square = (v * v).sum(-1)
    near = square < _SMALL
    angle = torch.where(near, 1.0, square).sqrt()  # sqrt has no gradient at 0, so the small ones never reach it
    sine = torch.where(near, 1 - square / 6 * (1 - square / 20 * (1 - square / 42)), angle.sin() / angle)
    half = torch.where(near, 1 - square / 24 * (1 - square / 80 * (1 - square / 168)), (angle / 2).sin() / (angle / 2))
    versine = half * half / 2  # (1 - cos a) / a^2, without cancellation
    cosine = 1 - versine * square
    x, y, z = v.unbind(-1)
    sx, sy, sz = (sine.unsqueeze(-1) * v).unbind(-1)
    xy, xz, yz = versine * x * y, versine * x * z, versine * y * z
    entries = (
        *(cosine + versine * x * x, xy - sz, xz + sy),
        *(xy + sz, cosine + versine * y * y, yz - sx),
        *(xz - sy, yz + sx, cosine + versine * z * z),
    )
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def rotmat_to_rotvec(R: Tensor) -> Tensor:
    """Inverse of `rotvec_to_rotmat`, with angle in [0, pi]; accurate near pi because it is computed via the quaternion.

    Args:
        R: (..., 3, 3) rotation matrices.

    Returns:
        (..., 3), radians. At exactly pi, either of the two axes may be returned.

    Raises:
        ValueError: the last dimensions are not (3, 3).
    """
    quat = rotmat_to_quat(R)
    w, u = quat[..., 0], quat[..., 1:]
    square = (u * u).sum(-1)
    near = square < _SMALL
    sine = torch.where(near, 1.0, square).sqrt()
    w_near = torch.where(near, w, 1.0)
    ratio = square / (w_near * w_near)
    series = 2 / w_near * (1 - ratio * (1 / 3 - ratio * (1 / 5 - ratio * (1 / 7 - ratio / 9))))
    angle_over_sine = torch.where(near, series, 2 * torch.atan2(sine, w) / sine)
    return angle_over_sine.unsqueeze(-1) * u


def quat_to_rotmat(q: Tensor) -> Tensor:
    """Rotation matrix of a quaternion.

    Args:
        q: (..., 4), wxyz, any nonzero length.

    Returns:
        (..., 3, 3) rotation matrices; q and -q give the same.

    Raises:
        ValueError: the last dimension is not 4.
    """
    _check_last(q, "q", 4)
    w, x, y, z = q.unbind(-1)
    s = 2 / (q * q).sum(-1)
    entries = (
        *(1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)),
        *(s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)),
        *(s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)),
    )
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def rotmat_to_quat(R: Tensor) -> Tensor:
    """Unit quaternion of a rotation matrix.

    The matrix 4 q q^T is linear in R, and each of its rows is q up to length. The row with the largest diagonal entry
    is at least 2 long, so neither its direction nor its gradient degenerates anywhere (Shepperd's choice, 1978).

    Args:
        R: (..., 3, 3) rotation matrices.

    Returns:
        (..., 4), wxyz, unit length, w >= 0.

    Raises:
        ValueError: the last dimensions are not (3, 3).
    """
    _check_rotmat(R, "R")
    a, b, c, d, e, f, g, h, i = R.flatten(-2).unbind(-1)
    wx, wy, wz = h - f, c - g, d - b
    xy, xz, yz = b + d, c + g, f + h
    rows = (
        *(1 + a + e + i, wx, wy, wz),
        *(wx, 1 + a - e - i, xy, xz),
        *(wy, xy, 1 - a + e - i, yz),
        *(wz, xz, yz, 1 - a - e + i),
    )
    outer = torch.stack(rows, dim=-1).unflatten(-1, (4, 4))
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    row = outer.take_along_dim(best, dim=-2).squeeze(-2)
    unit = row / torch.linalg.vector_norm(row, dim=-1, keepdim=True)
    return torch.where(unit[..., :1] < 0, -unit, unit)


def rot6d_to_rotmat(d: Tensor) -> Tensor:
    """Gram-Schmidt on the first two columns (Zhou et al., "On the Continuity of Rotation Representations", CVPR 2019).

    Args:
        d: (..., 6), first column then second column; any lengths, but not zero and not parallel.

    Returns:
        (..., 3, 3) rotation matrices.

    Raises:
        ValueError: the last dimension is not 6.
    """
    _check_last(d, "d", 6)
    first = normalize(d[..., :3], dim=-1)
    second = d[..., 3:] - (first * d[..., 3:]).sum(-1, keepdim=True) * first
    second = normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def rotmat_to_rot6d(R: Tensor) -> Tensor:
    """First two columns, concatenated.

    Args:
        R: (..., 3, 3) rotation matrices.

    Returns:
        (..., 6), first column then second column.

    Raises:
        ValueError: the last dimensions are not (3, 3).
    """
    _check_rotmat(R, "R")
    return R[..., :2].mT.flatten(-2)


def euler_to_rotmat(angles: Tensor, axes: str = "xyz") -> Tensor:
    """Rotates about the fixed axes letter by letter: "xyz" is Rz(angles[2]) @ Ry(angles[1]) @ Rx(angles[0]).

    Args:
        angles: (..., 3), radians, one per letter of `axes`.
        axes: a permutation of "xyz".

    Returns:
        (..., 3, 3) rotation matrices.

    Raises:
        ValueError: the last dimension is not 3, or `axes` is not a permutation of "xyz".
    """
    _check_last(angles, "angles", 3)
    order = _check_axes(axes)
    eye = torch.eye(3, dtype=angles.dtype, device=angles.device)
    first, second, third = (rotvec_to_rotmat(angles[..., n, None] * eye[axis]) for n, axis in enumerate(order))
    return third @ second @ first


def rotmat_to_euler(R: Tensor, axes: str = "xyz") -> Tensor:
    """Inverse of `euler_to_rotmat`.

    Args:
        R: (..., 3, 3) rotation matrices.
        axes: a permutation of "xyz".

    Returns:
        (..., 3), radians; the second angle in [-pi/2, pi/2]. In gimbal lock (second angle +-pi/2) the third is 0.

    Raises:
        ValueError: the last dimensions are not (3, 3), or `axes` is not a permutation of "xyz".
    """
    _check_rotmat(R, "R")
    i, j, k = _check_axes(axes)
    parity = 1 if (j - i) % 3 == 1 else -1
    cosine = torch.linalg.vector_norm(R[..., [i, j], i], dim=-1)  # unlike hypot's, its gradient at 0 is 0
    locked = cosine < 16 * torch.finfo(R.dtype).eps  # atan2(0, 0) has no gradient, so locked entries never reach it
    a = torch.where(locked, -parity * R[..., j, k], parity * R[..., k, j])
    first = torch.atan2(a, torch.where(locked, R[..., j, j], R[..., k, k]))
    second = torch.atan2(-parity * R[..., k, i], torch.where(locked, 0.0, cosine))
    third = torch.atan2(torch.where(locked, 0.0, parity * R[..., j, i]), torch.where(locked, 1.0, R[..., i, i]))
    return torch.stack([first, second, third], dim=-1)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Shortest rotation from `a` to `b` at constant speed, a @ exp(t log(a^T b)).

    Args:
        a: (..., 3, 3) rotation at t = 0.
        b: (..., 3, 3) rotation at t = 1; half a turn away, either direction may be taken.
        t: (...), broadcasts against the batch shapes; outside [0, 1] it extrapolates.

    Returns:
        (..., 3, 3) rotation matrices.

    Raises:
        ValueError: the last dimensions of `a` or `b` are not (3, 3).
    """
    _check_rotmat(a, "a")
    _check_rotmat(b, "b")
    return a @ rotvec_to_rotmat(t.unsqueeze(-1) * rotmat_to_rotvec(a.mT @ b))


def geodesic_distance(a: Tensor, b: Tensor) -> Tensor:
    """Angle of the rotation a^T b, from its sine and its cosine: accurate at both ends, where arccos is not.

    Args:
        a: (..., 3, 3) rotation matrices.
        b: (..., 3, 3) rotation matrices, broadcast against `a`.

    Returns:
        (...), radians, in [0, pi]. The gradient is 0 where the angle is exactly 0 or pi, of length 1 elsewhere.

    Raises:
        ValueError: the last dimensions of `a` or `b` are not (3, 3).
    """
    _check_rotmat(a, "a")
    _check_rotmat(b, "b")
    a, b = torch.broadcast_tensors(a, b)
    twice_sine = torch.linalg.vector_norm(torch.linalg.cross(a, b, dim=-2).sum(-1), dim=-1)  # columns a_i x b_i
    return torch.atan2(twice_sine, (a * b).sum((-2, -1)) - 1)


def _check_last(x: Tensor, name: str, size: int) -> None:
    if x.ndim < 1 or x.shape[-1] != size:
        raise ValueError(f"{name}: expected shape (..., {size}), found {tuple(x.shape)}")


def _check_rotmat(x: Tensor, name: str) -> None:
    if x.shape[-2:] != (3, 3):
        raise ValueError(f"{name}: expected shape (..., 3, 3), found {tuple(x.shape)}")


def _check_axes(axes: str) -> tuple[int, int, int]:
    if sorted(axes) != ["x", "y", "z"]:
        raise ValueError(f"axes: expected a permutation of 'xyz' in lower case (fixed axes), found {axes!r}")
    i, j, k = ("xyz".index(letter) for letter in axes)
    return i, j, k
