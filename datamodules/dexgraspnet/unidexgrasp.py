"""UniDexGrasp's grasps of objects on a table (Xu et al., CVPR 2023): DFCData, and the assets of its policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...files.errors import BadFile, UnknownName
from ...files.unpickle import as_bad_file, load_npy
from ...grasps.dexgraspnet import read_unidexgrasp
from .index import Format, Index, Source, signature
from .module import GraspFolder
from .scenes import SceneClouds, TableTop, scene_clouds
from .tree import GraspTree, find_unidexgrasp, inside


class UniDexGrasp(GraspFolder):
    """Grasps of objects on a table, whose plane comes with each batch; otherwise like `DexGraspNet`.

    The files store the reciprocal of the scale; samples have the factor that was applied to the mesh.

    Args:
        root: folder with `poses`, `meshes` and `splits` (DFCData), or `datasetv4.1` and `meshdatav3_scaled`.
        hand: "shadow", or the YAML of a hand with its joints.
        **options: see `GraspFolder`. With `object_points="scene"` the cloud of a grasp is that of its resting pose in
            `pcs_table.npy`: points of the object and of the table, see `scenes.scene_clouds`.
    """

    title = "UniDexGrasp"
    dataset = "unidexgrasp"
    up = None
    sources_of_points = ("solid", "scene", "none")
    form = Format("unidexgrasp-1", lambda source, hand: read_unidexgrasp(source.files, hand))
    _scenes: SceneClouds | None = None

    def find(self) -> GraspTree:
        """The files."""
        return find_unidexgrasp(self.root, self.object_points != "none")

    def table_top(self, name: str) -> TableTop:
        """Reads resting poses and scene clouds of an object.

        Raises UnknownName for an unknown one, BadFile without mesh or `poses.npy` next to it, or for a bad file.
        """
        meshes = {source.name: source.mesh for source in self.tree.sources}
        if name not in meshes:
            raise UnknownName("object", name, meshes)
        mesh = meshes[name]
        if mesh is None:
            raise BadFile(self.tree.root, f"a mesh of object {name!r} with poses.npy next to it", "none")
        of_poses, path = _scene_files(mesh)
        poses = _read_array(self.tree.root, of_poses, (None, 4, 4)).astype(np.float64)
        if not path.is_file():
            return TableTop(poses, None)
        return TableTop(poses, _read_array(self.tree.root, path, (len(poses), None, 3)).astype(np.float32))

    def _clouds(self, sources: tuple[Source, ...]) -> tuple[NDArray[np.float32], dict[int, str]]:
        if self.object_points != "scene":
            return super()._clouds(sources)
        files = [file for source in sources if source.mesh for file in _scene_files(source.mesh) if file.is_file()]
        names = [source.name for source in sources]
        self._scenes = scene_clouds(names, self._scenes_of, signature(files), self.n_object_points, self.on_bad)
        return self._scenes.clouds, self._scenes.bad

    def _scenes_of(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        table = self.table_top(name)
        if table.clouds is None:
            hint = "object_points='solid' draws clouds from the meshes"
            raise BadFile(self.tree.root, f"pcs_table.npy next to poses.npy of object {name!r}", "none", hint=hint)
        return table.poses, table.clouds

    def _cloud_of(self, index: Index) -> NDArray[np.int64] | None:
        return None if self._scenes is None else self._scenes.of_grasps(index.object, index.numbers[:, -4:])


def _scene_files(mesh: Path) -> tuple[Path, Path]:
    """Files of resting poses and scene clouds, next to the mesh of an object."""
    folder = mesh.parent.parent if mesh.parent.name == "coacd" else mesh.parent
    return folder / "poses.npy", folder / "pcs_table.npy"


def _read_array(root: Path, path: Path, shape: tuple[int | None, ...]) -> NDArray:
    with as_bad_file(path, "an array"):
        array = load_npy(inside(root, path))
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind != "f" or not len(array) or not np.isfinite(array).all():
        sizes = ", ".join("any" if n is None else str(n) for n in shape)
        raise BadFile(path, f"finite numbers of shape ({sizes})", f"{array.dtype} of shape {array.shape}")
    return array
