"""Signed distance to a triangle mesh, exact and from a grid: metres, positive outside, differentiable in the points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from .meshes import MeshError, check_mesh
from .sdf_backends import Backend, WarpBackend, build_backend

_CHUNK = 1 << 17  # nodes of a grid per query
_MAX_NODES = 1 << 28  # 1 GB of float32
_SMALL = 1 << 12  # a grid of at most this many nodes needs no coarse one first
_COARSER = 4


class SignedDistance:
    """Distance to the surface of a mesh, negative inside according to the winding number.

    The backend finds the nearest face and the sign; the distance to that face is taken in the dtype of the points. In
    float64 it is as exact as the choice of the face, which warp makes in float32: at slivers of a bad mesh the error
    can reach 1e-5 of its size (igl and trimesh choose in float64). The gradient has length 1 and points away from the
    inside; on the surface itself it is the normal of the nearest face. There is no useful second derivative.

    The mesh should be one closed surface. Where closed parts overlap (a mesh of concatenated links or convex pieces)
    the sign is right, but the distance inside is that to the nearest face, including inner walls: unite the parts
    first.

    Example:
        >>> sphere = trimesh.creation.icosphere(subdivisions=5)
        >>> SignedDistance(sphere)(torch.tensor([[0.0, 0.0, 0.3], [0.0, 0.0, 2.0]])).round(decimals=2)
        tensor([-0.7000,  1.0000])
    """

    def __init__(self, mesh: trimesh.Trimesh, backend: str = "warp", grid: DistanceGrid | None = None) -> None:
        """Prepares the search.

        Args:
            mesh: metres, in the frame in which points will be given; faces counter-clockwise from outside.
            backend: "warp" (default; follows the device of the points), "igl" or "trimesh" (both on the CPU), or
                "kaolin" (CUDA).
            grid: of the same mesh, which has to be closed. The result is the same; warp finds the sign ten times as
                fast, because a point has the sign of a nearby node unless the surface lies between them. The other
                backends ignore it.

        Raises:
            MeshError: the mesh has no faces, vertices that are not finite, or is closed but inside out.
            ValueError: the backend is unknown or not installed.
        """
        check_mesh(mesh)
        if mesh.is_watertight and mesh.volume < 0:
            raise MeshError("mesh: expected faces that point outwards, found a volume below 0; call mesh.invert()")
        self.mesh, self.backend = mesh, backend
        vertices = np.asarray(mesh.vertices, np.float64)
        self._centre = vertices[mesh.faces].min((0, 1)) / 2 + vertices[mesh.faces].max((0, 1)) / 2
        self._scale = float(np.abs(vertices[mesh.faces] - self._centre).max())
        if not self._scale > 0:
            raise MeshError("mesh: expected a surface, found all faces collapsed to one point")
        # Centred and scaled to 1, float32 is good to 1e-7 of the size, wherever the mesh lies and in whatever unit.
        scaled = (vertices - self._centre) / self._scale
        self._triangles = torch.from_numpy(scaled[mesh.faces])
        self._query, self._grid = build_backend(backend, scaled, mesh.faces), grid
        if grid is not None and isinstance(self._query, WarpBackend):
            origin = (grid.origin.cpu().numpy() - self._centre) / self._scale
            self._query.use_grid(grid.values.cpu().numpy() / self._scale, origin, grid.spacing / self._scale)

    def __call__(self, points: Tensor) -> Tensor:
        """Signed distance.

        Args:
            points: (..., 3), metres, frame of the mesh.

        Returns:
            (...), metres, positive outside; NaN for a point that is not finite.

        Raises:
            ValueError: the last dimension is not 3.
        """
        if points.ndim < 1 or points.shape[-1] != 3:
            raise ValueError(f"points: expected shape (..., 3), found {tuple(points.shape)}")
        flat = (points.reshape(-1, 3) - points.new_tensor(self._centre)) / self._scale
        if not len(flat):
            return flat.sum(-1).reshape(points.shape[:-1])
        finite = flat.detach().isfinite().all(-1, keepdim=True)
        face, inside = self._query(torch.where(finite, flat.detach(), 0.0))
        self._triangles = self._triangles.to(flat.device)
        distance = _signed_distance(flat, self._triangles[face].to(flat.dtype), inside)
        return (torch.where(finite.squeeze(-1), distance, torch.nan) * self._scale).reshape(points.shape[:-1])

    @property
    def frame(self) -> tuple[NDArray[np.float64], float]:
        """Centre (3,) and scale: the backend searches at (point - centre) / scale."""
        return self._centre, self._scale

    @property
    def search(self) -> Backend:
        """The backend, for a kernel that does its own search."""
        return self._query

    def __reduce__(self) -> tuple[type, tuple[trimesh.Trimesh, str, DistanceGrid | None]]:
        """Pickles the mesh; the search structure is rebuilt on unpickling, e.g. in a worker process."""
        return type(self), (self.mesh, self.backend, self._grid)


class DistanceGrid(nn.Module):
    """Signed distance at the nodes of a grid, interpolated: about ten times as fast as `SignedDistance`.

    With spacing h it is off by up to h^2 / (4 r) where the level set is smooth with radius of curvature r, and by up to
    about h / 2 where the distance has a kink: at edges of the surface and on the medial axis. Outside the grid it gives
    the value at the nearest point of the border plus the distance to it, which is never less than the true distance.

    Attributes:
        values: (X, Y, Z) buffer, metres.
        origin: (3,) buffer, position of node (0, 0, 0), metres, frame of the mesh.
        last: (3,) buffer, indices of the last node.
        spacing: metres.
    """

    values: Tensor
    origin: Tensor
    last: Tensor

    def __init__(
        self, mesh: trimesh.Trimesh, spacing: float = 0.004, margin: float = 0.1, backend: str = "warp"
    ) -> None:
        """Fills the grid: about 2 s per million nodes on one core.

        Args:
            mesh: metres; see `SignedDistance`.
            spacing: between nodes, metres.
            margin: least margin of the grid around the bounding box of the mesh, metres.
            backend: of the `SignedDistance` that is sampled.

        Raises:
            MeshError: the mesh cannot be used.
            ValueError: the backend is not available, or spacing and margin give a grid of unreasonable size.
        """
        super().__init__()
        distance = SignedDistance(mesh, backend)
        shape, origin = _grid_box(mesh, spacing, margin)
        if mesh.is_watertight and np.prod(shape) > _SMALL:  # a coarse grid gives most of the fine one's signs
            self._set(*_sampled(distance, *_grid_box(mesh, _COARSER * spacing, margin), _COARSER * spacing))
            distance = SignedDistance(mesh, backend, self)
        self._set(*_sampled(distance, shape, origin, spacing))

    def forward(self, points: Tensor) -> Tensor:
        """Interpolated signed distance; (..., 3) metres in the frame of the mesh -> (...) metres, differentiable."""
        if points.ndim < 1 or points.shape[-1] != 3:
            raise ValueError(f"points: expected shape (..., 3), found {tuple(points.shape)}")
        local = (points.reshape(-1, 3) - self.origin.to(points.dtype)).to(self.values.dtype)
        span = self.spacing * self.last
        clamped = torch.minimum(local.clamp(min=0), span)
        beyond = torch.linalg.vector_norm(local - clamped, dim=-1)
        unit = (2 * clamped / span - 1).flip(-1)  # grid_sample wants the last axis first
        inside = grid_sample(self.values[None, None], unit[None, None, None], padding_mode="border", align_corners=True)
        return (inside.flatten() + beyond).reshape(points.shape[:-1]).to(points.dtype)

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Arrays to save, e.g. with `np.savez`: values (X, Y, Z), origin (3,), spacing ()."""
        arrays = {"values": self.values, "origin": self.origin, "spacing": torch.tensor(self.spacing).double()}
        return {name: array.cpu().numpy() for name, array in arrays.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.float64]]) -> DistanceGrid:
        """The grid with this `state()`; an open npz file will do.

        Raises:
            ValueError: an array is missing or has the wrong shape.
        """
        missing = {"values", "origin", "spacing"} - set(state)
        if missing:
            raise ValueError(f"state: expected values, origin and spacing, found no {', '.join(sorted(missing))}")
        values, origin, spacing = (torch.as_tensor(np.asarray(state[k])) for k in ("values", "origin", "spacing"))
        if values.ndim != 3 or min(values.shape) < 2 or origin.shape != (3,):
            found = f"{tuple(values.shape)} and {tuple(origin.shape)}"
            raise ValueError(f"state: expected values (X, Y, Z) and origin (3,), each axis 2 or longer, found {found}")
        return cls.from_values(values, origin.to(values), float(spacing))

    def on(self, device: torch.device) -> DistanceGrid:
        """The grid on a device: itself if it is there, otherwise a copy; `to` would move a grid that is shared."""
        if self.values.device == device:
            return self
        return self.from_values(self.values.to(device), self.origin.to(device), self.spacing)

    @classmethod
    def from_values(cls, values: Tensor, origin: Tensor, spacing: float) -> DistanceGrid:
        """The grid of values (X, Y, Z), metres, at nodes `spacing` metres apart, the first one at `origin` (3,)."""
        grid = cls.__new__(cls)
        nn.Module.__init__(grid)
        grid._set(values, origin, spacing)
        return grid

    def _set(self, values: Tensor, origin: Tensor, spacing: float) -> None:
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("origin", origin, persistent=False)
        self.register_buffer("last", origin.new_tensor(values.shape) - 1, persistent=False)
        self.spacing = spacing


def closest_point(points: Tensor, triangles: Tensor) -> Tensor:
    """Nearest point of triangle i to point i.

    Args:
        points: (N, 3).
        triangles: (N, 3, 3), corners; may be degenerate.

    Returns:
        (N, 3), same unit and frame.
    """
    edges = triangles.roll(-1, dims=-2) - triangles
    gap = points.unsqueeze(-2) - triangles
    tiny = torch.finfo(points.dtype).tiny
    along = ((gap * edges).sum(-1) / (edges * edges).sum(-1).clamp(min=tiny)).clamp(0, 1)
    on_edges = triangles + along.unsqueeze(-1) * edges
    nearest = (points.unsqueeze(-2) - on_edges).square().sum(-1).argmin(-1)
    on_edge = on_edges.take_along_dim(nearest[:, None, None], dim=-2).squeeze(-2)
    normal = torch.linalg.cross(edges[:, 0], edges[:, 1])
    area = (normal * normal).sum(-1, keepdim=True)
    side = (torch.linalg.cross(edges, gap, dim=-1) * normal.unsqueeze(-2)).sum(-1)
    over = (side >= 0).all(-1, keepdim=True) & (area > 0)
    height = (gap[:, 0] * normal).sum(-1, keepdim=True) / area.clamp(min=tiny)
    return torch.where(over, points - height * normal, on_edge)


def _signed_distance(points: Tensor, triangles: Tensor, inside: Tensor) -> Tensor:
    """Distance of each point to its triangle; the nearest point is detached, which makes the gradient exact."""
    with torch.no_grad():
        foot = closest_point(points, triangles)
        a, b, c = triangles.unbind(-2)
        normal = nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1, eps=1e-30)
        on = (points - foot).square().sum(-1) <= (64 * torch.finfo(points.dtype).eps) ** 2
    gap = points - foot
    along_normal = (gap * normal).sum(-1)
    length = torch.linalg.vector_norm(torch.where(on.unsqueeze(-1), normal, gap), dim=-1)
    return torch.where(on, along_normal, torch.where(inside, -length, length))


def _grid_box(mesh: trimesh.Trimesh, spacing: float, margin: float) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Number of nodes along each axis, and the first node."""
    lower, upper = mesh.bounds
    shape = _grid_shape(upper - lower, spacing, margin)
    first = (lower + upper) / 2 - spacing * (np.array(shape) - 1) / 2
    return shape, first.astype(np.float32).astype(np.float64)  # a position that the buffer holds exactly


def _sampled(
    distance: SignedDistance, shape: tuple[int, int, int], origin: NDArray[np.float64], spacing: float
) -> tuple[Tensor, Tensor, float]:
    """Values at the nodes, origin and spacing."""
    nodes = np.arange(np.prod(shape))
    parts = []
    for start in range(0, len(nodes), _CHUNK):
        index = np.stack(np.unravel_index(nodes[start : start + _CHUNK], shape), axis=-1)
        parts.append(distance(torch.from_numpy(origin + spacing * index)).float())  # far from 0, float32 is too coarse
    return torch.cat(parts).reshape(shape), torch.from_numpy(origin).float(), spacing


def _grid_shape(extent: NDArray[np.float64], spacing: float, margin: float) -> tuple[int, int, int]:
    if not spacing > 0 or not margin >= 0:
        raise ValueError(f"spacing, margin: expected spacing > 0 and margin >= 0, found {spacing} and {margin}")
    x, y, z = (int(n) for n in np.maximum(np.ceil((extent + 2 * margin) / spacing), 1) + 1)
    if x * y * z > _MAX_NODES:
        size = "x".join(f"{e:.3g}" for e in extent)
        raise ValueError(
            f"spacing: {spacing} m makes {x}x{y}x{z} nodes of a mesh of {size} m; is the mesh in metres? "
            f"At most {_MAX_NODES} nodes: use a larger spacing"
        )
    return x, y, z
