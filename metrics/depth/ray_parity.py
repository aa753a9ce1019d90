"""Penetration as in the scripts of GraspTTA and ObMan: vertices inside by ray parity, with a flawed test."""

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor

from ...grasps.posed import PosedGrasps
from ...hands.drawing import primitive_mesh
from ...hands.hand import Hand

_RAY = np.array([0.4395, 0.6176, 0.6522])
_PARALLEL = 1e-7  # of twice the area that a triangle shows to the ray, whatever the unit: this is the flaw
_GUARD = 0.1 * _PARALLEL  # those scripts add this against division by zero, which moves hits of small triangles
_SECTIONS = 16  # of a capsule: 3894 vertices for the Shadow hand
_PAIRS = 1 << 22  # of a vertex and a triangle per chunk


def vertex_depth(grasps: PosedGrasps, per_metre: float) -> Tensor:
    """Largest distance to the object's surface among the hand's vertices that are inside according to ray parity.

    The test treats a triangle as parallel to the ray if its projection is smaller than 1e-7 / 2 square units, and
    shifts the hits of slightly larger ones. In metres that is 0.05 mm^2: hits of small triangles and slivers are lost,
    the parity flips, and vertices far outside count as inside. `per_metre` 1 computes in metres as GraspTTA does, 1000
    in millimetres as ObMan does. Gives (B,), metres, float64; 0 where no vertex is inside. The poses must be finite.
    """
    link, vertices = hand_vertices(grasps.hand)
    turned = grasps.links.rotation[:, link] @ vertices.unsqueeze(-1)
    placed = (turned.squeeze(-1) + grasps.links.translation[:, link]).numpy()
    mesh = grasps.object.mesh
    depths = []
    for hand, scale in zip(placed, grasps.scales.tolist(), strict=True):
        object_ = trimesh.Trimesh(mesh.vertices * (scale * per_metre), mesh.faces, process=False)
        inside = hand[ray_parity(hand * per_metre, object_.triangles)] * per_metre
        with np.errstate(divide="ignore", invalid="ignore"):  # trimesh, at triangles of zero area
            distance = trimesh.proximity.closest_point(object_, inside)[1] if len(inside) else np.zeros(1)
        depths.append(distance.max() / per_metre)
    return torch.tensor(depths, dtype=torch.float64)


def ray_parity(points: NDArray[np.float64], triangles: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a ray from each point (N, 3) hits an odd number of triangles (F, 3, 3), by the Moeller-Trumbore test.

    All points share the ray's direction, so the coordinates of a hit are affine in the point.
    """
    a, edge, other = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    across = np.cross(_RAY, other)
    shown = (edge * across).sum(1)
    seen = np.abs(shown) >= _PARALLEL
    a, edge, other, across, shown = (x[seen] for x in (a, edge, other, across, shown))
    # u = (p - a).across / shown, v = ray.((p - a) x edge) / shown, t = other.((p - a) x edge) / shown
    forms = [x / (shown[:, None] + _GUARD) for x in (across, np.cross(edge, _RAY), np.cross(edge, other))]
    offsets = [(form * a).sum(1) for form in forms]
    odd = []
    for start in range(0, len(points), rows := max(1, _PAIRS // max(1, len(a)))):
        part = points[start : start + rows]
        u, v, t = (part @ form.T - offset for form, offset in zip(forms, offsets, strict=True))
        odd.append(((u > 0) & (v > 0) & (u + v < 1) & (t > _PARALLEL)).sum(1) % 2 == 1)
    return np.concatenate(odd) if odd else np.zeros(0, bool)


def hand_vertices(hand: Hand) -> tuple[Tensor, Tensor]:
    """Link (n,) and position (n, 3), metres, link frame, of the vertices of all primitives."""
    parts = [
        (i, primitive_mesh(shape, _SECTIONS).vertices)
        for i, link in enumerate(hand.spec.tree.links)
        for shape in (*link.capsules, *link.boxes)
    ]
    link = torch.cat([torch.full((len(vertices),), i) for i, vertices in parts])
    return link, torch.from_numpy(np.concatenate([np.asarray(vertices) for _, vertices in parts]))
