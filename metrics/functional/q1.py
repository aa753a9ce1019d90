"""Q1, the epsilon quality of Ferrari and Canny ("Planning Optimal Grasps", ICRA 1992): the largest wrench that
contacts of unit normal force resist in the worst direction.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...grasps.posed import PosedGrasps
from .contact import grasp_contacts
from .wrench_hull import inner_radius, whole_hull_radius

Array = NDArray[np.float64]
_ALONG_Z = 1e-4


def q1(
    grasps: PosedGrasps,
    m: int = 8,
    mu: float = 1.0,
    torque_scale: float = 10.0,
    threshold: float = 0.01,
    torque_about: Literal["centre_of_mass", "legacy_origin"] = "centre_of_mass",
    whole_hull: bool = False,
) -> Tensor:
    """Q1 with the parameters of UniDexGrasp (Xu et al., CVPR 2023), torques about the object's centre of mass.

    Every link within the threshold of the object, or inside, is one contact, at its nearest or deepest point. The hull
    is that of the wrenches of the contacts' friction cones (`cone_wrenches`) and the zero wrench. Q1 is the distance
    from 0 to its nearest facet, at most 1; it is 0 if the hull is flat or has 0 on its boundary, that is, without force
    closure, and without contacts.

    The cones have m sides, the first of which is aligned with the z axis of the hand's root frame, so that Q1 is
    invariant to moving hand and object together. UniDexGrasp takes torques about the origin of the object frame, and
    aligns cones with its z axis, as does "legacy_origin". The value then depends on the origin of the mesh: an offset
    of 5 cm costs a quarter, a metre nearly all. Compare it only between objects whose frames were chosen alike.

    Args:
        grasps: B grasps.
        m: sides of the friction cones.
        mu: friction coefficient.
        torque_scale: factor on torques in newton metres relative to forces in newtons, 1 / metres.
        threshold: metres between a link and the object.
        torque_about: the centre of mass of the object's solid, or the origin of the object frame.
        whole_hull: build the whole hull, for comparison: the same value, but slower.

    Returns:
        (B,), higher is better; NaN for a pose that is not finite. A parameter out of range raises ValueError.
    """
    if torque_about not in ("centre_of_mass", "legacy_origin"):
        raise ValueError(f"torque_about: expected 'centre_of_mass' or 'legacy_origin', found {torque_about!r}")
    _check_cone(m, mu, torque_scale)
    contacts = grasp_contacts(grasps, threshold)
    lever, normal = contacts.point, contacts.normal
    if torque_about == "centre_of_mass":
        lever = lever - grasps.scales[:, None, None] * torch.from_numpy(grasps.object.centre_of_mass)
        lever, normal = lever @ grasps.pose.rotation, normal @ grasps.pose.rotation  # rows times R: R^T x
    arrays = zip(lever.numpy(), normal.numpy(), contacts.mask.numpy(), strict=True)
    radius = whole_hull_radius if whole_hull else inner_radius
    values = [min(1.0, radius(cone_wrenches(p[k], n[k], m, mu, torque_scale))) for p, n, k in arrays]
    return torch.where(grasps.valid, torch.tensor(values, dtype=torch.float64), torch.nan)


def contact_q1(points: Array, normals: Array, m: int = 8, mu: float = 1.0, torque_scale: float = 10.0) -> float:
    """Q1 of given contacts.

    Args:
        points: (K, 3), metres, relative to the reference point of the torques.
        normals: (K, 3), unit; all outward or all inward, which makes no difference for even m.
        m, mu, torque_scale: as for `q1`.

    Example:
        >>> axes = np.vstack([np.eye(3), -np.eye(3)])
        >>> round(float(contact_q1(0.1 * axes, axes)), 4)
        0.8165
    """
    return min(1.0, inner_radius(cone_wrenches(points, normals, m, mu, torque_scale)))


def cone_wrenches(points: Array, normals: Array, m: int = 8, mu: float = 1.0, torque_scale: float = 10.0) -> Array:
    """The edges of the friction cones as wrenches (f, torque_scale * p x f), with f = n + mu (cos t u + sin t v).

    The angles t are m equal steps from 0, u is (-n_y, n_x, 0) normalised, or x if n is along z to 1e-4, and v is u x n.
    Arguments are those of `contact_q1`; gives (K * m, 6). Other shapes, or a parameter out of range, raise ValueError.
    """
    points, normals = np.asarray(points, np.float64), np.asarray(normals, np.float64)
    if points.shape != normals.shape or points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points and normals: expected two of shape (K, 3), found {points.shape} and {normals.shape}")
    _check_cone(m, mu, torque_scale)
    u = np.stack([-normals[:, 1], normals[:, 0], np.zeros(len(normals))], 1)
    length = np.linalg.norm(u, axis=1, keepdims=True)
    level = np.array([1.0, 0.0, 0.0]) - normals[:, :1] * normals
    # wider than rounding, otherwise the search's last digits would rotate the cones of contacts on flat tops
    u = np.where(length > _ALONG_Z, u / np.maximum(length, _ALONG_Z), level)
    v = np.cross(u, normals)
    angle = 2 * np.pi * np.arange(m)[:, None] / m
    force = normals[:, None] + mu * (np.cos(angle) * u[:, None] + np.sin(angle) * v[:, None])
    return np.concatenate([force, torque_scale * np.cross(points[:, None], force)], -1).reshape(-1, 6)


def valid_q1(
    q1: Tensor,
    penetration: Tensor,
    table_penetration: Tensor | None = None,
    max_penetration: float = 0.005,
    max_table_penetration: float = 0.01,
) -> Tensor:
    """Q1 of grasps with little penetration, 0 for the others: UniDexGrasp's valid Q1.

    Args:
        q1: (B,).
        penetration: (B,), metres, of hand and object.
        table_penetration: (B,), metres, of hand and table; None without a table.
        max_penetration: metres; the penetration must be less.
        max_table_penetration: metres, likewise.

    Returns:
        (B,); NaN where an argument is NaN.
    """
    depths = [(penetration, max_penetration, "penetration")]
    if table_penetration is not None:
        depths.append((table_penetration, max_table_penetration, "table_penetration"))
    for depth, limit, name in depths:
        if depth.shape != q1.shape:
            raise ValueError(f"{name}: expected one value per Q1, {tuple(q1.shape)}, found {tuple(depth.shape)}")
        q1 = torch.where(depth.isnan() | q1.isnan(), torch.nan, torch.where(depth < limit, q1, 0.0))
    return q1


def _check_cone(m: int, mu: float, torque_scale: float) -> None:
    for good, message in (
        (m >= 3, f"m: expected at least 3 sides of a friction cone, found {m}"),
        (0 <= mu < float("inf"), f"mu: expected a friction coefficient of at least 0, found {mu}"),
        (0 < torque_scale < float("inf"), f"torque_scale: expected a positive number, found {torque_scale}"),
    ):
        if not good:
            raise ValueError(message)
