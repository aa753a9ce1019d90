"""Backends that find the nearest face and the sign: warp (CPU and CUDA), igl or trimesh (CPU), kaolin (CUDA).

A backend is built from vertices (V, 3) float64, centred and scaled to about 1, and faces (F, 3). Called with points
(N, 3) in the same coordinates, finite and without gradient, it returns the nearest face (N,) int64 and whether the
point is inside (N,) bool: generalised winding number above 1/2 (Jacobson et al., "Robust Inside-Outside Segmentation
using Generalized Winding Numbers", SIGGRAPH 2013), right for surfaces that overlap, touch or have small holes too.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor

Backend = Callable[[Tensor], tuple[Tensor, Tensor]]
_CHUNK = 1 << 22  # pairs of a point and a triangle held at once by `winding_number`


class WarpBackend:
    """Bounding volume hierarchy with fast winding numbers in float32; on the device of the points."""

    def __init__(self, vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> None:
        self._vertices, self._faces = vertices.astype(np.float32), faces.astype(np.int32).ravel()
        self._lower, self._upper = self._vertices.min(0), self._vertices.max(0)
        self._grid: tuple[NDArray[np.float32], NDArray[np.float64], float] | None = None
        self._meshes: dict[str, Any] = {}  # wp.Mesh by device
        self._solids: dict[str, Any] = {}

    def use_grid(self, values: NDArray[np.floating], origin: NDArray[np.float64], spacing: float) -> None:
        """From now on takes signs, if possible, from the signed distance `values` (X, Y, Z) at the nodes of a grid."""
        self._grid = np.ascontiguousarray(values, np.float32), origin, spacing

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        from .warp_kernels import nearest_face, nearest_face_of_solid, wp

        points = points.float().contiguous()
        device = str(wp.device_from_torch(points.device))
        face = torch.empty(len(points), dtype=torch.int32, device=points.device)
        inside = torch.empty(len(points), dtype=torch.bool, device=points.device)
        stream = wp.stream_from_torch(torch.cuda.current_stream(points.device)) if points.is_cuda else None
        with wp.ScopedStream(stream):
            arrays = [wp.from_torch(points, dtype=wp.vec3), wp.from_torch(face), wp.from_torch(inside)]
            if self._grid is None:
                box = [wp.vec3(*self._lower), wp.vec3(*self._upper)]
                inputs = [self._mesh(device).id, arrays[0], *box, *arrays[1:]]
                wp.launch(nearest_face, len(points), inputs=inputs, device=device)
            else:
                wp.launch(nearest_face_of_solid, len(points), inputs=[self.solid(device), *arrays], device=device)
        return face.long(), inside

    def solid(self, device: str) -> Any:
        """The `warp_kernels.Solid` on a device; after `use_grid`."""
        from .warp_kernels import Solid, wp

        if self._grid is None:
            raise ValueError("a solid needs the grid of its signed distance: call use_grid first")
        if device not in self._solids:
            values, origin, spacing = self._grid
            solid = Solid()
            solid.mesh = self._mesh(device).id
            solid.lower, solid.upper, solid.origin = (wp.vec3(*x) for x in (self._lower, self._upper, origin))
            solid.nodes, solid.spacing = wp.array(values, dtype=wp.float32, ndim=3, device=device), spacing
            self._solids[device] = solid
        return self._solids[device]

    def _mesh(self, device: str) -> Any:
        from .warp_kernels import wp

        if device not in self._meshes:
            vertices = wp.array(self._vertices, dtype=wp.vec3, device=device)
            faces = wp.array(self._faces, dtype=wp.int32, device=device)
            self._meshes[device] = wp.Mesh(vertices, faces, support_winding_number=True)
        return self._meshes[device]


class IglBackend:
    """libigl: bounding box tree in float64, fast winding number (Barill et al., SIGGRAPH 2018)."""

    def __init__(self, vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> None:
        import igl

        self._igl, self._mesh, self._tree = igl, (vertices, faces), igl.AABB()
        self._tree.init(*self._mesh)

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        array = points.double().cpu().numpy()
        _, face, _ = self._tree.squared_distance(*self._mesh, array)
        inside = self._igl.fast_winding_number(*self._mesh, array) > 0.5
        return torch.as_tensor(face, device=points.device), torch.as_tensor(inside, device=points.device)


class TrimeshBackend:
    """trimesh with rtree and exact winding numbers: about a hundred times slower, for a second opinion."""

    def __init__(self, vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> None:
        self._mesh = trimesh.Trimesh(vertices, faces, process=False)

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        array = points.double().cpu()
        _, _, face = trimesh.proximity.closest_point(self._mesh, array.numpy())
        inside = winding_number(array, torch.tensor(self._mesh.triangles)) > 0.5
        return torch.as_tensor(face, device=points.device), inside.to(points.device)


class KaolinBackend:
    """NVIDIA kaolin on CUDA: every point against every face in one kernel, in float32; fast for meshes of few faces.

    Not on the package index (the name there is a placeholder): install it from NVIDIA's wheels, see kaolin's
    documentation. Signs come from our own exact winding numbers, because kaolin's `check_sign` casts rays and errs
    where surfaces overlap. Of kaolin's result only the face is used, not the squared distance.
    """

    def __init__(self, vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> None:
        from kaolin.metrics.trianglemesh import point_to_mesh_distance  # type: ignore[reportMissingImports]

        if not torch.cuda.is_available():
            raise ValueError("backend: 'kaolin' needs a CUDA device, found none; 'warp' also runs on the CPU")
        self._nearest, self._faces = point_to_mesh_distance, torch.from_numpy(faces)
        self._vertices = torch.from_numpy(vertices).float()
        self._triangles = torch.from_numpy(vertices[faces])

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        device = points.device if points.is_cuda else torch.device("cuda")
        self._vertices, self._faces, self._triangles = (
            x.to(device) for x in (self._vertices, self._faces, self._triangles)
        )
        local = points.to(device)
        _, face, _ = self._nearest(local.float()[None].contiguous(), self._vertices[None], self._faces)
        inside = winding_number(local, self._triangles.to(local)) > 0.5
        return face[0].long().to(points.device), inside.to(points.device)


_BACKENDS = {
    "warp": ("warp", WarpBackend),
    "igl": ("igl", IglBackend),
    "trimesh": ("rtree", TrimeshBackend),
    "kaolin": ("kaolin", KaolinBackend),
}


def installed_backends() -> list[str]:
    """Names that `build_backend` accepts on this machine."""
    return [name for name, (module, _) in _BACKENDS.items() if find_spec(module)]


def build_backend(name: str, vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> Backend:
    """Builds the backend called `name`; see the module docstring for what it takes and returns.

    Raises:
        ValueError: the backend is unknown or not installed; the message lists those that are.
    """
    here = " | ".join(installed_backends())
    if name not in _BACKENDS:
        raise ValueError(f"backend: expected one of {' | '.join(_BACKENDS)} (installed: {here}), found {name!r}")
    module, backend = _BACKENDS[name]
    if not find_spec(module):
        raise ValueError(f"backend: {name!r} needs the module {module!r}, which is not installed; installed: {here}")
    return backend(vertices, np.ascontiguousarray(faces, np.int64))


def winding_number(points: Tensor, triangles: Tensor) -> Tensor:
    """Exact generalised winding number: solid angle of all triangles over 4 pi (van Oosterom and Strackee, 1983).

    Args:
        points: (N, 3).
        triangles: (F, 3, 3), corners counter-clockwise from outside, same unit and frame.

    Returns:
        (N,): 1 inside and 0 outside a closed surface, 2 where two closed surfaces overlap.
    """
    parts = []
    for part in points.split(max(1, _CHUNK // len(triangles))):
        corners = triangles - part[:, None, None]
        length = torch.linalg.vector_norm(corners, dim=-1)
        a, b, c = corners.unbind(-2)
        (la, lb, lc), dot = length.unbind(-1), lambda u, v: (u * v).sum(-1)
        volume = dot(a, torch.linalg.cross(b, c))
        denominator = la * lb * lc + dot(a, b) * lc + dot(b, c) * la + dot(c, a) * lb
        parts.append(torch.atan2(volume, denominator).sum(-1) / (2 * torch.pi))
    return torch.cat(parts) if parts else points.new_empty(0)
