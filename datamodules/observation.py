"""Observations of objects as input of models: whole clouds, or partial views of depth cameras, and the table.

`Observe` is one transform for every data set: it takes a sample or a batch of any kind and returns it with other
`object_points`, in the same frame. The given generator is the only source of random numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..files.errors import DataError, check_names
from ..geometry.hidden_points import Occluder, hidden_point_removal
from ..geometry.meshes import load_mesh
from ..geometry.sampling import farthest_point_sampling, sample_surface
from .sensors import Array, Cameras, DepthNoise, FixedCameras, Table

_log = logging.getLogger(__name__)

Item = TypeVar("Item")  # A sample or a batch: a dataclass with `object_points`
VISIBILITY = ("auto", "mesh", "points")
THINNING = ("farthest", "random")


@dataclass(frozen=True)
class Observation:
    """One observed cloud."""

    points: Tensor  # (n, 3), metres, frame of the given points: first the object's, then the table's
    n_table: int  # number of table points
    cameras: Tensor  # (k, 3), metres, same frame; k = 0 for a full cloud
    seen: int  # number of distinct visible points of the object; below the object's share, points are repeated
    repeated: bool  # whether points of object or table are repeated


@dataclass(frozen=True)
class Surface:
    """A mesh for ray casting, and points (N, 3), float64, uniform by area, on it, both in the unit of the mesh."""

    occluder: Occluder
    points: Array

    @staticmethod
    @lru_cache(maxsize=128)
    def of(mesh: Path, n: int) -> Surface:
        """Reads a mesh file; the last 128 are kept in memory. Raises MeshError if it contains no usable mesh."""
        shape = load_mesh(mesh)
        return Surface(Occluder(shape), sample_surface(shape.vertices, shape.faces, n)[0])


@dataclass(frozen=True)
class Observe:
    """Replaces `object_points` of a sample or batch with an observation of `n_points` points.

    Without cameras the whole cloud is only subsampled. With cameras a point is kept if one of them sees it: ray casting
    decides if the item has a mesh (with `candidates` new points sampled from the mesh), otherwise hidden-point removal
    on the cloud, which agrees with ray casting on 90 % to 98 % of the points. Each point is measured by one camera,
    chosen at random among those that see it.

    Too many points are subsampled by farthest point sampling from a random start. Too few are all kept, and repeated
    equally often in random order; then a sample is flagged "points_repeated", and a batch, which has no flags, is
    logged once. A partial view of a cloud of n points always repeats points, so use twice as dense clouds without a
    mesh.

    Rays are cast for samples and batches in the object frame; for batches in the world frame (motions) only the cloud
    is used. If an item has a `plane` (4,) or (B, 4), normal and offset, that is the table and its normal is up;
    otherwise the table touches the lowest point along `up`.

    Attributes:
        n_points: points of an observation, including the table's.
        cameras: camera positions; None shows the full cloud.
        visibility: "auto" casts rays if there is a mesh, "mesh" requires one, "points" always uses the cloud.
        candidates: number of points sampled from a mesh's surface, of which the visible ones are kept.
        noise: depth noise of the cameras.
        table: adds table points, at the end of the cloud; those that the object hides from all cameras are dropped like
            any others.
        up: (3,), frame of the points.
        hidden_radius: radius of the sphere of hidden-point removal, in multiples of the largest distance from the
            camera.
        thinning: "farthest" spreads the points evenly and takes about 20 ms per cloud; "random" takes almost no time.
    """

    n_points: int = 1024
    cameras: Cameras | FixedCameras | None = None
    visibility: str = "auto"
    candidates: int = 4096
    noise: DepthNoise | None = None
    table: Table | None = None
    up: Sequence[float] = (0.0, 0.0, 1.0)
    hidden_radius: float = 100.0
    thinning: str = "farthest"

    def __post_init__(self) -> None:
        check_names(visibility=(self.visibility, VISIBILITY), thinning=(self.thinning, THINNING))
        if not self.hidden_radius > 1:
            raise DataError(f"hidden_radius: expected more than 1, found {self.hidden_radius}")
        if self.noise is not None and self.cameras is None:
            raise DataError("noise: expected cameras with it, since depth noise lies along their rays; found none")
        if not 0 < self.n_points - self.n_table or (self.table is not None and not self.n_table):
            raise DataError(f"n_points: expected at least one point of object and table, found {self.n_points}")
        if self.candidates < 4:
            raise DataError(f"candidates: expected at least 4 points, found {self.candidates}")
        if len(self.up) != 3 or not np.linalg.norm(self.up) > 0:
            raise DataError(f"up: expected a nonzero vector of 3, found {list(self.up)}")

    @property
    def n_table(self) -> int:
        """Number of table points, which come last."""
        return 0 if self.table is None else round(self.table.share * self.n_points)

    def __call__(self, item: Item, generator: torch.Generator) -> Item:
        """Returns the sample or batch with other `object_points`.

        Raises DataError if the cloud is empty or not finite, a camera is inside the object or below the table, nothing
        is visible, or `visibility` is "mesh" but there is none; MeshError if the item's mesh cannot be read.
        """
        whole: Any = item
        if whole.object_points.ndim == 2:
            shown = self._one(whole, generator)
            flags = _with_flag(getattr(whole, "flags", None), shown.repeated)
            return replace(whole, object_points=shown.points, **flags)
        shown = [self._one(_Row.of(whole, i), generator) for i in range(len(whole.object_points))]
        if any(one.repeated for one in shown):
            _log_repeats(self.n_points)
        return replace(whole, object_points=torch.stack([one.points for one in shown]))

    def cloud(
        self,
        points: Tensor,
        generator: torch.Generator,
        surface: Surface | None = None,
        scale: float = 1.0,
        plane: Any = None,
    ) -> Observation:
        """Observes one cloud, `points` (N, 3), metres; raises DataError as for a call.

        `surface` is the object's mesh, None for the cloud alone, `scale` metres per unit of it; `plane` (4,) is the
        unit normal and offset of the table, None estimates it from the cloud. The generator is the source of all random
        numbers.
        """
        given = _checked(points)
        local = given if surface is None or self.cameras is None else scale * surface.points
        plane = self._plane(given, plane)
        n_object = self.n_points - self.n_table
        table = self.table.draw(given, plane, 4 * self.n_table, generator) if self.table else given[:0]
        both, on_table = np.concatenate([local, table]), np.arange(len(local) + len(table)) >= len(local)
        eyes = np.zeros((0, 3))
        if self.cameras is not None:
            eyes = self._eyes(given, plane, generator)
            sees = self._sees(both, eyes, surface, scale)
            both, on_table = self._measure(both, on_table, eyes, sees, given, generator)
        parts = [self._resample(torch.from_numpy(both[~on_table]), n_object, "object", generator)]
        if self.n_table:
            parts.append(self._resample(torch.from_numpy(both[on_table]), self.n_table, "table", generator))
        seen = int((~on_table).sum())
        few = seen < n_object or int(on_table.sum()) < self.n_table
        return Observation(torch.cat(parts).to(points), self.n_table, torch.from_numpy(eyes).to(points), seen, few)

    def _one(self, item: Any, generator: torch.Generator) -> Observation:
        mesh, surface = getattr(item, "mesh", None), None
        if self.cameras is not None and self.visibility != "points":
            if mesh is None and self.visibility == "mesh":
                name = getattr(item, "name", "batch")
                raise DataError(f'{name}: visibility "mesh" needs a mesh in the frame of the points, found none')
            surface = None if mesh is None else Surface.of(Path(mesh), self.candidates)
        scale, plane = float(getattr(item, "scale", 1.0)), getattr(item, "plane", None)
        return self.cloud(item.object_points, generator, surface, scale, plane)

    def _plane(self, points: Array, plane: Any) -> Array:
        if plane is not None:
            given = np.asarray(torch.as_tensor(plane).cpu(), np.float64)
            length = np.linalg.norm(given[:3]) if given.shape == (4,) else 0.0
            if not 0 < length < np.inf:
                raise DataError(f"plane: expected a normal and an offset (4,), found {given.tolist()}")
            return given / length
        up = np.asarray(self.up, np.float64)
        up = up / np.linalg.norm(up)
        return np.append(up, -(points @ up).min())

    def _eyes(self, points: Array, plane: Array, generator: torch.Generator) -> Array:
        assert self.cameras is not None
        lower, upper = points.min(axis=0), points.max(axis=0)
        eyes = self.cameras.draw((lower + upper) / 2, plane[:3], generator)
        for eye in eyes:
            at = eye.round(3).tolist()
            if ((eye >= lower) & (eye <= upper)).all():
                raise DataError(f"cameras: expected them outside the object's box, found one at {at}")
            if self.table is not None and not eye @ plane[:3] + plane[3] > 0:
                raise DataError(f"cameras: expected them above the table, found one at {at}")
        return eyes

    def _sees(self, points: Array, eyes: Array, surface: Surface | None, scale: float) -> NDArray[np.bool_]:
        """(k, N), whether each camera sees each point."""
        if surface is not None:
            return np.stack([surface.occluder.sees(points / scale, eye / scale) for eye in eyes])
        sees = np.zeros((len(eyes), len(points)), bool)
        for row, eye in zip(sees, eyes, strict=True):
            row[hidden_point_removal(points, eye, self.hidden_radius)] = True
        return sees

    def _measure(
        self,
        points: Array,
        on_table: NDArray[np.bool_],
        eyes: Array,
        sees: NDArray[np.bool_],
        given: Array,
        generator: torch.Generator,
    ) -> tuple[Array, NDArray[np.bool_]]:
        """The visible points, (M, 3), each with the noise of one camera, and whether they are the table's."""
        draw = torch.rand(sees.shape, generator=generator).numpy()
        camera = np.where(sees, draw, -1.0).argmax(axis=0)
        kept = sees.any(axis=0)
        if self.noise is None:
            return points[kept], on_table[kept]
        kept &= self.noise.kept(len(points), generator).numpy()
        target = torch.from_numpy((given.min(axis=0) + given.max(axis=0)) / 2)
        at, eye = torch.from_numpy(points[kept]), torch.from_numpy(eyes[camera[kept]])
        return self.noise.measure(at, eye, target, generator).numpy(), on_table[kept]

    def _resample(self, points: Tensor, n: int, what: str, generator: torch.Generator) -> Tensor:
        """n of the points (M, 3): subsampled, or all of them and some repeated."""
        m = len(points)
        if not m:
            raise DataError(f"cameras: expected some point of the {what} to be visible, found none")
        if m > n and self.thinning == "random":
            return points[torch.randperm(m, generator=generator)[:n]]
        if m > n:
            start = int(torch.randint(m, (1,), generator=generator))
            return points[farthest_point_sampling(points[None], n, start)[0]]
        again = torch.randperm(m, generator=generator).repeat(-(-n // m))[: n - m]
        return torch.cat([points, points[again]])


@dataclass(frozen=True)
class _Row:
    """The fields of one row of a batch that `Observe` needs."""

    object_points: Tensor
    mesh: Path | None
    scale: float
    plane: Tensor | None

    @staticmethod
    def of(batch: Any, i: int) -> _Row:
        scale, meshes, plane = (getattr(batch, name, None) for name in ("scale", "meshes", "plane"))
        in_object_frame = scale is not None  # motions are in the world frame, unlike their meshes
        mesh = meshes[i] if in_object_frame and meshes is not None else None
        factor = 1.0 if scale is None else float(scale[i])
        return _Row(batch.object_points[i], mesh, factor, None if plane is None else plane[i])


def _checked(points: Tensor) -> Array:
    if points.ndim != 2 or points.shape[-1] != 3 or not len(points):
        raise DataError(f"object_points: expected shape (N, 3) with N >= 1, found {tuple(points.shape)}")
    if not points.isfinite().all():
        raise DataError("object_points: expected finite coordinates, found NaN or infinity")
    return points.detach().cpu().double().numpy()


def _with_flag(flags: tuple[str, ...] | None, repeated: bool) -> dict[str, tuple[str, ...]]:
    if flags is None or not repeated or "points_repeated" in flags:
        return {}
    return {"flags": (*flags, "points_repeated")}


@lru_cache
def _log_repeats(n: int) -> None:
    _log.warning("observations: of some objects, fewer than %d points are visible; they are repeated", n)
