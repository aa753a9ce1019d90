"""Measures of each grasp that reveal a wrong convention, independent of the reader's assumptions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor

from ...geometry.meshes import MeshError, load_mesh
from ...geometry.sdf import SignedDistance
from ...grasps.asset import ObjectAsset
from ...hands.plausible import NEAR, UNITS, Doubts, beyond_limits, judge
from .examine import Examined

_POINTS = 1500  # Number of points on the surface of a hand
_NEAR = 0.03
"""metres from the object's bounding box up to which the distance is exact; beyond that, it is that to the box."""


@dataclass(frozen=True)
class Measures:
    """Measures of n grasps by hands with F fingers and J joints; NaN for a grasp without a usable mesh."""

    # (n,), metres, least signed distance of the hand's surface to the object's, negative inside; a lower bound if above
    # 3 cm
    distance: NDArray[np.float64]
    tips: NDArray[np.float64]  # (n, F), metres, likewise of each fingertip's link
    excess: NDArray[np.float64]  # (n, J), radians beyond the joint limits, 0 within
    size: NDArray[np.float64]  # (n,), metres, longest side of the object's bounding box
    doubts: Doubts  # implausible grasps, and why
    open_meshes: tuple[str, ...] = ()  # messages about meshes that were not closed; distances are to what closes them
    bad_meshes: tuple[str, ...] = ()  # messages about meshes that cannot be used


class Shapes:
    """Objects by file, each prepared once; can be shared by several calls of `measure`."""

    def __init__(self) -> None:
        self.open: dict[Path, str] = {}
        self.bad: dict[Path, str] = {}
        self._known: dict[Path, tuple[SignedDistance, trimesh.Trimesh] | None] = {}

    def __call__(self, file: Path) -> tuple[SignedDistance, trimesh.Trimesh] | None:
        """Distance to the object and its mesh, unit of the file; None if unusable, see `bad`."""
        if file not in self._known:
            self._known[file] = self._read(file)
        return self._known[file]

    def _read(self, file: Path) -> tuple[SignedDistance, trimesh.Trimesh] | None:
        try:
            mesh = load_mesh(file)
            asset = ObjectAsset.from_mesh(mesh, str(file))
            if asset.deviation:
                self.open[file] = f"{file}: {'; '.join(asset.repairs)}"
            return SignedDistance(asset.solid), asset.solid
        except MeshError as error:
            self.bad[file] = str(error)
            return None


def measure(examined: Examined, shapes: Shapes | None = None) -> Measures:
    """Measures grasps; `shapes` are objects from an earlier call."""
    shapes = shapes or Shapes()
    points, is_tip = _surfaces(examined)
    distance, size = _to_objects(examined, points, shapes)
    tips = np.where(is_tip, distance[:, None], np.inf).min(axis=2)
    tips[np.isnan(size)] = np.nan
    excess = beyond_limits(examined.bodies[0].hand, examined.pose.joints)
    doubts = _doubts(examined, distance.min(axis=1), excess, shapes)
    bad = (tuple(shapes.open.values()), tuple(shapes.bad.values()))
    return Measures(distance.min(axis=1), tips, excess, size, doubts, *bad)


def _doubts(examined: Examined, distance: NDArray, excess: NDArray, shapes: Shapes) -> Doubts:
    """Doubts about n grasps with least distances (n,), metres, and joint excess (n, J), radians."""
    nearer: dict[str, NDArray] = {}
    for unit, factor in UNITS.items() if (distance > NEAR).any() else ():
        hands = replace(examined, pose=replace(examined.pose, translation=factor * examined.pose.translation))
        both = replace(hands, translation=factor * examined.translation)
        gaps = [_to_objects(other, _surfaces(other)[0], shapes)[0].min(axis=1) for other in (hands, both)]
        nearer[unit] = np.minimum(*gaps)
    degrees = beyond_limits(examined.bodies[0].hand, examined.pose.joints.double().deg2rad())
    return judge(distance, nearer, excess.max(axis=1, initial=0.0), degrees.max(axis=1, initial=0.0))


def _to_objects(examined: Examined, points: Tensor, shapes: Shapes) -> tuple[NDArray, NDArray]:
    """Distances (n, P) of points (n, P, 3), world, to the objects, and their longest sides (n,), metres."""
    distance, size = np.full(points.shape[:2], np.nan), np.full(len(examined), np.nan)
    for file, rows in _groups(examined.meshes):
        shape = None if file is None else shapes(file)
        if shape is not None:
            scale = examined.scale[rows].double()
            offset = points[rows] - examined.translation[rows].double()[:, None]
            back = examined.rotation[rows].double().mT @ offset.mT
            distance[rows] = _distances(*shape, back.mT, scale)
            size[rows] = scale.numpy() * shape[1].extents.max()
    return distance, size


def _distances(distance: SignedDistance, mesh: trimesh.Trimesh, points: Tensor, scale: Tensor) -> NDArray:
    """(k, P), metres, of points (k, P, 3), metres, object frame, to the mesh times scale (k,)."""
    low, high = (torch.from_numpy(np.array(bound)) * scale[:, None, None] for bound in mesh.bounds)
    outside = torch.maximum(low - points, points - high).clamp_min(0).norm(dim=-1)
    near = outside < _NEAR
    factor = scale[:, None].expand_as(near)[near]
    outside[near] = factor * distance((points[near] / factor[:, None]).float()).double()
    return outside.numpy()


def _surfaces(examined: Examined) -> tuple[Tensor, NDArray[np.bool_]]:
    """Points on the hands (n, P, 3), metres, world, float64; and the points of each fingertip, (n, F, P)."""
    n, fingers = len(examined), len(examined.bodies[0].hand.spec.fingertips)
    points = torch.zeros(n, _POINTS, 3, dtype=torch.float64)
    is_tip = np.zeros((n, fingers, _POINTS), dtype=bool)
    for body, rows in _groups(examined.bodies):
        hand, surface = body.hand, body.hand.surface(_POINTS)
        points[rows] = hand.place(body.links(examined.pose[torch.tensor(rows)]), surface).double()
        tips = [hand.link_names.index(link) for link, _ in hand.spec.fingertips.values()]
        is_tip[rows] = surface.link.numpy()[None] == np.array(tips)[:, None]
    return points, is_tip


def _groups(objs: Sequence[Hashable]) -> list[tuple]:
    """Groups equal objects: each with its indices."""
    groups: dict[Hashable, list[int]] = {}
    for i, obj in enumerate(objs):
        groups.setdefault(obj, []).append(i)
    return list(groups.items())
