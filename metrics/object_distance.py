"""Signed distance to the posed objects of a batch, with one search structure per mesh file."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..geometry.meshes import load_mesh
from ..geometry.neighbours import knn
from ..geometry.sdf import SignedDistance


class ObjectDistance:
    """Distances from world points to objects; the search structures of the meshes are built once and kept.

    Against a mesh the distance is exact: to the surface, negative inside. An object without a mesh has only a cloud,
    and the distance is then to its nearest point: never negative, never too small outside the object, and too large by
    up to the distance from the surface to the cloud, a few millimetres for 1024 points on a hand-sized object.

    The backend is one of `SignedDistance`.
    """

    def __init__(self, backend: str = "warp") -> None:
        self.backend = backend
        self._meshes: dict[Path, SignedDistance] = {}

    def at(
        self, rotation: Tensor, translation: Tensor, meshes: Sequence[Path | None], clouds: Tensor | None = None
    ) -> Callable[[Tensor], Tensor]:
        """Distance to the objects of B clips at one instant.

        Args:
            rotation: (B, 3, 3), world_from_object.
            translation: (B, 3), metres.
            meshes: B files, in metres and the object's frame; None for clips without a mesh.
            clouds: (B, N, 3), metres, world frame, the objects at the same instant; for clips without a mesh.

        Returns:
            A function of points (B, H, 3), metres, world frame, to distances (B, H), metres. A point that is not finite
            gives NaN at no cost.

        Raises:
            ValueError: the sizes differ, or a clip has neither a mesh nor a cloud.
            MeshError: a file cannot be read.
        """
        _check(rotation, translation, meshes, clouds)
        members = {mesh: [i for i, other in enumerate(meshes) if other == mesh] for mesh in meshes if mesh is not None}
        without_mesh = [i for i, mesh in enumerate(meshes) if mesh is None]
        searches = {mesh: self._load(mesh) for mesh in members}

        def distance(points: Tensor) -> Tensor:
            if points.ndim != 3 or points.shape[0] != len(meshes) or points.shape[-1] != 3:
                raise ValueError(f"points: expected ({len(meshes)}, H, 3), found {tuple(points.shape)}")
            local = (points - translation.unsqueeze(1)) @ rotation  # rows times R: R^T (p - t)
            finite = points.isfinite().all(-1)
            found = torch.full_like(points[..., 0], torch.nan)
            for mesh, clips in members.items():  # one query serves all clips of an object
                asked = torch.zeros_like(finite)
                asked[clips] = finite[clips]
                found[asked] = searches[mesh](local[asked])
            if clouds is not None:
                for i in without_mesh:
                    found[i, finite[i]] = knn(points[i : i + 1, finite[i]], clouds[i : i + 1], 1)[0].flatten()
            return found

        return distance

    def _load(self, path: Path) -> SignedDistance:
        if path not in self._meshes:
            self._meshes[path] = SignedDistance(load_mesh(path), self.backend)
        return self._meshes[path]


def _check(rotation: Tensor, translation: Tensor, meshes: Sequence[Path | None], clouds: Tensor | None) -> None:
    batch = len(meshes)
    if rotation.shape != (batch, 3, 3) or translation.shape != (batch, 3):
        expected = f"expected {(batch, 3, 3)} and {(batch, 3)} for {batch} meshes"
        found = f"found {tuple(rotation.shape)} and {tuple(translation.shape)}"
        raise ValueError(f"rotation and translation: {expected}, {found}")
    if clouds is not None and (clouds.ndim != 3 or clouds.shape[0] != batch or clouds.shape[-1] != 3):
        raise ValueError(f"clouds: expected ({batch}, N, 3) for {batch} meshes, found {tuple(clouds.shape)}")
    without = [i for i, mesh in enumerate(meshes) if mesh is None]
    if without and clouds is None:
        raise ValueError(f"meshes: expected a file for each clip, found None at {without}; pass `clouds` for those")
