"""Objects prepared for metrics, simulations and samplers, once per mesh, and cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
import trimesh
from manifold3d import Manifold
from numpy.typing import NDArray

from ..files.cache import Arrays, cached, content_key
from ..geometry.blocks import Blocks
from ..geometry.meshes import MeshError, load_mesh, mesh_hash
from ..geometry.progress import working
from ..geometry.remesh import deviation
from ..geometry.sdf import DistanceGrid, SignedDistance
from ..geometry.solids import convex_pieces, make_solid, manifold_of, mesh_of

_KIND = "objects-5"  # the number is incremented whenever the same mesh would give another asset
_NODES = 60
_EXACT = 5e-4  # deviation over the size that counts as none
_ASSETS = 16  # kept for whoever asks again, of a few MB each; from the cache on disk one takes 50 ms


@dataclass(frozen=True, eq=False)
class ObjectAsset:
    """An object in its mesh's frame and unit; scaling only multiplies lengths, so one asset serves every scale.

    Make one with `ObjectAsset.from_file` or `from_mesh`. Grid, pieces and search structures are made on first use;
    search structures are not pickled.

    Attributes:
        name: for messages and tables.
        mesh: the original mesh.
        solid: one closed surface without inner walls; distances and volumes refer to it.
        repairs: what was done to the mesh to obtain it, one sentence each.
        deviation: largest distance of the solid's surface from the mesh that repairs made, unit of the mesh.
        key: hash of its input.
    """

    name: str
    mesh: trimesh.Trimesh
    solid: trimesh.Trimesh
    repairs: tuple[str, ...]
    deviation: float
    key: str
    _given: tuple[NDArray[np.float64], ...] | None = None

    @classmethod
    def from_file(cls, path: str | Path, name: str | None = None) -> ObjectAsset:
        """Reads a mesh file; see `from_mesh`.

        Raises:
            MeshError: the file cannot be read, or `from_mesh` refuses the mesh.
        """
        return cls.from_mesh(load_mesh(path), name or str(path))

    @classmethod
    def from_mesh(
        cls,
        mesh: trimesh.Trimesh,
        name: str = "object",
        pieces: Sequence[NDArray[np.floating]] | None = None,
    ) -> ObjectAsset:
        """Prepares a mesh.

        Args:
            mesh: any unit, see `make_solid`. Convex parts are treated as a convex decomposition.
            name: for messages and tables.
            pieces: corners of convex pieces for simulation, each (n, 3), unit and frame of the mesh.

        Raises:
            MeshError: the mesh cannot be used, see `make_solid`.
        """
        key = content_key("asset", mesh_hash(mesh), *[np.asarray(p, np.float64).tobytes() for p in pieces or ()])
        given = None if pieces is None else [np.asarray(p, np.float64) for p in pieces]
        with working(f"making a solid of {name}"):
            entry = cached(_KIND, f"{key}-solid", lambda: _make(mesh, name, given))
        solid = trimesh.Trimesh(entry["vertices"], entry["faces"], process=False)
        repairs, off = tuple(entry["repairs"].tolist()), float(entry["deviation"])
        return cls(name, mesh, solid, repairs, off, key, _split(entry))

    @cached_property
    def manifold(self) -> Manifold:
        """The solid, for booleans."""
        return manifold_of(self.solid, self.name)

    @cached_property
    def blocks(self) -> Blocks:
        """The solid as disjoint blocks of few faces, for booleans with small bodies; unit of the mesh."""
        return Blocks.of(self.manifold)

    @cached_property
    def distance(self) -> SignedDistance:
        """Exact signed distance to the solid, unit of the mesh."""
        return SignedDistance(self.solid, grid=self.grid)

    @cached_property
    def grid(self) -> DistanceGrid:
        """Signed distance to the solid at about 64 nodes along its longest side, for culling."""
        spacing = float(self.solid.extents.max()) / _NODES
        with working(f"distance grid of {self.name}"):
            entry = self._cached("grid", lambda: DistanceGrid(self.solid, spacing, 2 * spacing).state())
        with torch.inference_mode(False):  # later uses may need gradients, even if a test asks first
            return DistanceGrid.from_state(entry)

    @property
    def pieces(self) -> tuple[NDArray[np.float64], ...]:
        """Corners of convex pieces, each (n, 3), unit and frame of the mesh: those given, the hull, or CoACD's.

        Raises:
            MeshError: CoACD is needed but not installed, or fails; it is tried once.
        """
        if isinstance(self._pieces, MeshError):
            raise self._pieces
        return self._pieces

    @cached_property
    def _pieces(self) -> tuple[NDArray[np.float64], ...] | MeshError:
        if self._given is not None:
            return self._given
        try:
            return _split(self._cached("pieces", lambda: _joined(convex_pieces(self.solid)))) or ()
        except MeshError as error:
            return error

    def said(self, scale: float, columns: Sequence[str] = ()) -> tuple[str, ...]:
        """What was done to the mesh, and how far off that is.

        Args:
            scale: metres per unit of the mesh.
            columns: names of numbers that need an inside of the object.
        """
        if not self.deviation:
            return self.repairs
        off = f"at most {1000 * scale * self.deviation:.2g} mm off"
        return (*self.repairs, f"{off}, to which {' and '.join(columns)} refer" if columns else off)

    @cached_property
    def volume(self) -> float:
        """Volume of the solid, cubed unit of the mesh."""
        return float(self.manifold.volume())

    @cached_property
    def centre_of_mass(self) -> NDArray[np.float64]:
        """(3,) centre of mass of the solid with uniform density, frame of the mesh."""
        return np.asarray(self.solid.center_mass, np.float64)

    @cached_property
    def radius(self) -> float:
        """Largest distance of the solid's vertices from the middle of its bounding box, unit of the mesh."""
        return float(np.linalg.norm(self.solid.vertices - self.solid.bounds.mean(0), axis=1).max())

    def __getstate__(self) -> dict[str, object]:
        fields = ("name", "mesh", "solid", "repairs", "deviation", "key", "_given")
        return {name: self.__dict__[name] for name in fields}

    def _cached(self, what: str, make: Callable[[], Arrays]) -> Arrays:
        return cached(_KIND, f"{self.key}-{what}", make)


def _make(mesh: trimesh.Trimesh, name: str, given: list[NDArray[np.float64]] | None) -> Arrays:
    solid, parts, repairs = make_solid(mesh, name)
    if given is None and parts is not None:
        given = [np.asarray(part.vertices, np.float64) for part in parts]
    surface = mesh_of(solid)
    off = deviation(surface, mesh) if repairs else 0.0
    off = off if off > _EXACT * mesh.extents.max() else 0.0
    arrays = {"vertices": surface.vertices, "faces": surface.faces, "repairs": np.array(repairs, dtype=np.str_)}
    return arrays | {"deviation": np.array(off)} | ({} if given is None else _joined(given))


def _joined(pieces: Sequence[NDArray[np.float64]]) -> Arrays:
    return {"pieces": np.concatenate(list(pieces)), "piece_sizes": np.array([len(p) for p in pieces])}


def _split(entry: Arrays) -> tuple[NDArray[np.float64], ...] | None:
    if "pieces" not in entry:
        return None
    return tuple(np.split(entry["pieces"], np.cumsum(entry["piece_sizes"])[:-1]))


def load_asset(mesh: str | Path, name: str) -> ObjectAsset:
    """The object of a mesh file, read once per process as long as few others are asked for: the one cache of objects.

    That a file is refused is kept too, so that a test of many clips tries a bad mesh once.

    Args:
        mesh: the file; it is read again if it changes.
        name: of the object, for messages and tables.

    Raises:
        MeshError: the file cannot be read, or `ObjectAsset.from_mesh` refuses the mesh.
    """
    path = Path(mesh).absolute()
    modified = path.stat().st_mtime_ns if path.is_file() else 0  # a missing file is the reader's to report
    found = _read_asset(path, name, modified)
    if isinstance(found, str):
        raise MeshError(found)
    return found


@lru_cache(maxsize=_ASSETS)
def _read_asset(path: Path, name: str, modified: int) -> ObjectAsset | str:
    """The object, or why its mesh is refused."""
    try:
        return ObjectAsset.from_file(path, name)
    except MeshError as error:
        return str(error)
