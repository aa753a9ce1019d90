"""Locating files: the trees of DexGraspNet and UniDexGrasp, whose folders have several names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...files.errors import BadFile
from ...grasps.grasp_set import GraspFileError
from ...grasps.meshes import find_mesh
from ..errors import DatasetNotFound, Release, holds
from .index import Source

_CC = "CC BY-NC 4.0, no commercial use"
DEXGRASPNET = Release(
    dataset="DexGraspNet",
    url="https://pku-epic.github.io/DexGraspNet (grasps and meshes are two packages; unpack both)",
    licence=_CC,
    tree="""
<root>/dataset/<object_code>.npy
<root>/meshdata/<object_code>/coacd/decomposed.obj
<root>/train.txt, <root>/test.txt        optional: one object_code a line
""",
    setting="root=/path/to/DexGraspNet, the folder that holds `dataset` and `meshdata`",
)
UNIDEXGRASP = Release(
    dataset="UniDexGrasp",
    url="https://github.com/PKU-EPIC/UniDexGrasp (DFCData: grasps, meshes and splits)",
    licence=_CC,
    tree="""
<root>/poses/<category>/<instance>/<00000>.npz                            or datasetv4.1/<source>/<Category-id>/
<root>/meshes/<category>/<instance>/{coacd/decomposed.obj, poses.npy, pcs_table.npy}   or meshdatav3_scaled/
<root>/splits/<category>.json                                             {"train": [...], "test": [...]}
""",
    setting="root=/path/to/UniDexGrasp, the folder that holds `poses`, `meshes` and `splits`",
)
_NO_MESH = "object_points='none' reads the grasps without"


@dataclass(frozen=True)
class GraspTree:
    """An unpacked download."""

    root: Path  # no link may lead out of it
    sources: tuple[Source, ...]  # one per object, sorted by name
    lists: Path | None = None  # folder or file of the split, or None
    missing: Mapping[int, BadFile] = field(default_factory=dict)  # errors of objects without their mesh, by index


def find_dexgraspnet(root: str | Path | None, with_meshes: bool = True) -> GraspTree:
    """Finds `dataset` and `meshdata` under `root`, or under its folder `data`; `root` may also be `dataset` itself.

    Raises DatasetNotFound without grasps, or `with_meshes` without their folder; BadFile for a link out of the root.
    """
    base = DEXGRASPNET.folder(root)
    for folder in (base, base / "data", base.parent):
        files = sorted((folder / "dataset").glob("*.npy")) if folder != base.parent or base.name == "dataset" else []
        if files:
            break
    else:
        raise DatasetNotFound(DEXGRASPNET, base, f"searched for dataset/*.npy and found none; {holds(base)}")
    meshes = folder / "meshdata"
    if with_meshes and not meshes.is_dir():
        found = f"{len(files)} files of grasps but no folder meshdata; {_NO_MESH}"
        raise DatasetNotFound(DEXGRASPNET, base, found)
    sources = [(file.stem, (file,)) for file in files]
    lists = folder if (folder / "train.txt").is_file() and (folder / "test.txt").is_file() else None
    return make_tree(folder, sources, lists, meshes if with_meshes else None)


def find_unidexgrasp(root: str | Path | None, with_meshes: bool = True) -> GraspTree:
    """Finds the grasps of UniDexGrasp, in the layout of DFCData or of its policy's assets; raises like
    `find_dexgraspnet`.
    """
    base = UNIDEXGRASP.folder(root)
    for folder in (base, base / "DFCData", base.parent):
        poses = next((p for p in _named(folder, "poses", "dataset") if next(p.glob("*/*/*.npz"), None)), None)
        if poses and (folder != base.parent or base == poses):
            break
    else:
        raise DatasetNotFound(UNIDEXGRASP, base, f"searched for poses/*/*/*.npz and found none; {holds(base)}")
    meshes = next(iter(_named(folder, "meshes", "mesh")), None)
    if with_meshes and meshes is None:
        raise DatasetNotFound(UNIDEXGRASP, base, f"grasps in {poses.name} but no folder meshes; {_NO_MESH}")
    sources = [(f"{o.parent.name}/{o.name}", _npz(o)) for o in sorted(poses.glob("*/*")) if o.is_dir()]
    lists = folder / "splits"
    found = [(name, files) for name, files in sources if files]
    return make_tree(folder, found, lists if lists.is_dir() else None, meshes if with_meshes else None)


def inside(root: Path, path: Path) -> Path:
    """Refuses a path that leads out of the root through a link."""
    real = path.resolve()
    if not real.is_relative_to(root.resolve()):
        hint = "if a folder was moved and linked, copy it back or set `root` to the folder that holds all files"
        raise BadFile(path, "a file inside `root`", f"one that leads to {real}", hint=hint)
    return path


def make_tree(
    root: Path,
    objects: Iterable[tuple[str, tuple[Path, ...]]],
    lists: Path | None,
    meshes: Path | None,
    find: Callable[[Path, str], Path] = find_mesh,
) -> GraspTree:
    """Finds the mesh that belongs to the grasps of each object.

    Args:
        root: no link may lead out of it, or BadFile is raised.
        objects: names and files of grasps.
        lists: of the split, or None.
        meshes: folder that is searched; None for no meshes.
        find: finds the mesh of an object in that folder, or raises GraspFileError.
    """
    sources, missing = [], {}
    for name, files in objects:
        mesh = None
        for path in (files[0].parent, *filter(Path.is_symlink, files)):
            inside(root, path)
        try:
            mesh = inside(root, find(meshes, name)) if meshes else None
        except GraspFileError as error:
            missing[len(sources)] = BadFile(files[0], "an object with a mesh", str(error), hint=_NO_MESH)
        sources.append(Source(name, files, mesh))
    return GraspTree(root, tuple(sources), lists, missing)


def _npz(folder: Path) -> tuple[Path, ...]:
    with os.scandir(folder) as entries:
        return tuple(folder / name for name in sorted(e.name for e in entries if e.name.endswith(".npz")))


def _named(folder: Path, first: str, prefix: str) -> list[Path]:
    """The folder `first`, then those whose names begin with `prefix`."""
    if not folder.is_dir():
        return []
    others = sorted(p for p in folder.iterdir() if p.is_dir() and p.name.startswith(prefix) and p.name != first)
    return [p for p in (folder / first, *others) if p.is_dir()]
