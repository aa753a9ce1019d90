"""UniDexGrasp's grasps of objects on a table (Xu et al., CVPR 2023): DFCData, and the assets of its policy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...hands.grasp_dicts import read_unidexgrasp
from ...hands.grasp_set import GraspSet
from ...hands.hand import Hand
from ...hands.unpickle import PickleFileError, UnsafePickleError, load_npy
from ..errors import BadFile, UnknownName
from .index import Format, Source
from .module import GraspFolder
from .tree import GraspTree, find_unidexgrasp, inside


@dataclass(frozen=True, eq=False)
class TableTop:
    """How an object lies on the table: K poses that it came to rest in.

    Attributes:
        poses: (K, 4, 4), float64, table_from_object in units of the mesh, table at z = 0.
        clouds: (K, M, 3), float32, object frame, unit of the mesh: 3000 points of the object, then points of the table;
            None where the release holds none.
    """

    poses: NDArray[np.float64]
    clouds: NDArray[np.float32] | None

    def nearest(self, plane: NDArray) -> NDArray[np.int64]:
        """(n,), the pose of each grasp: the one whose up direction, its third row, is closest to the table's normal.

        Args:
            plane: (n, 4), unit normal and offset, object frame.
        """
        gap = np.linalg.norm(plane[:, None, :3] - self.poses[None, :, 2, :3], axis=-1)
        return gap.argmin(axis=1)

    def pose(self, k: int, scale: float) -> NDArray[np.float64]:
        """(4, 4), table_from_object, metres, for the mesh times `scale`; above the table's origin."""
        pose = self.poses[k].copy()
        pose[:2, 3] = 0
        pose[2, 3] *= scale
        return pose

    def scene(self, k: int, scale: float) -> NDArray[np.float32]:
        """(M, 3), metres, object frame: points of the object and of the table, as cameras saw them.

        Raises:
            ValueError: the release holds no clouds of this object.
        """
        if self.clouds is None:
            raise ValueError("clouds: expected pcs_table.npy beside poses.npy, found none")
        return self.clouds[k] * np.float32(scale)


class UniDexGrasp(GraspFolder):
    """Grasps of objects that lie on a table, the plane of which comes with each batch; otherwise as `DexGraspNet`.

    The files hold the reciprocal of the scale; samples hold the factor that was applied to the mesh.

    Args:
        root: folder that holds `poses`, `meshes` and `splits` (DFCData), or `datasetv4.1` and `meshdatav3_scaled`.
        hand: "shadow", or the YAML of a hand with its joints.
        **options: see `GraspFolder`.
    """

    title = "UniDexGrasp"

    def __init__(self, root: str | Path | None = None, hand: str = "shadow", **options: Any) -> None:
        super().__init__(root, hand, **options)
        self.form = Format("unidexgrasp-1", _read)

    def find(self) -> GraspTree:
        """The files."""
        return find_unidexgrasp(self.root, self.object_points != "none")

    def table_top(self, name: str) -> TableTop:
        """Resting poses and scene clouds of an object, read now.

        Raises:
            UnknownName: no such object.
            BadFile: no mesh, no `poses.npy` beside it, or a bad file.
        """
        meshes = {source.name: source.mesh for source in self.tree.sources}
        if name not in meshes:
            raise UnknownName("object", name, meshes)
        mesh = meshes[name]
        if mesh is None:
            raise BadFile(self.tree.root, f"a mesh of object {name!r}, beside which poses.npy lies", "none")
        folder = mesh.parent.parent if mesh.parent.name == "coacd" else mesh.parent
        poses = _read_array(self.tree.root, folder / "poses.npy", (None, 4, 4)).astype(np.float64)
        path = folder / "pcs_table.npy"
        if not path.is_file():
            return TableTop(poses, None)
        return TableTop(poses, _read_array(self.tree.root, path, (len(poses), None, 3)).astype(np.float32))


def _read(source: Source, hand: Hand) -> GraspSet:
    return read_unidexgrasp(source.files, hand)


def _read_array(root: Path, path: Path, shape: tuple[int | None, ...]) -> NDArray:
    try:
        array = load_npy(inside(root, path))
    except UnsafePickleError:
        raise
    except PickleFileError as error:
        raise BadFile(path, "an array", str(error).removeprefix(f"{path}").lstrip(":, ")) from error
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind != "f" or not len(array) or not np.isfinite(array).all():
        sizes = ", ".join("any" if n is None else str(n) for n in shape)
        raise BadFile(path, f"finite numbers of shape ({sizes})", f"{array.dtype} of shape {array.shape}")
    return array
