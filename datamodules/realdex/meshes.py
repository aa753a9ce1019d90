"""Locating the mesh of each object: in a folder, or in a zip, from which it is copied to the cache."""

from __future__ import annotations

from pathlib import Path

from ...files.cache import cache_dir, content_key, write_whole
from ...files.errors import BadFile
from ..splits import object_name
from .archive import DiskFolder, Folder, open_folder

_LARGEST = 512 << 20  # Largest size of a mesh in bytes


def find_meshes(root: Path, models: Path | None) -> dict[str, tuple[Folder, str]]:
    """Folder and file of each object's mesh; `models` is as for `RealDexMotion`, at any depth in a zip."""
    place = models or next((p for p in (root / "models", root / "models.zip") if p.exists()), root / "models")
    if not place.exists():
        return {}
    folder = open_folder(place)
    return {object_name(Path(file).stem): (where, file) for where, file in _objs(folder, deep=place.is_file())}


def mesh_file(root: Path, models: Path | None, name: str) -> Path:
    """The mesh of an object as a file on disk; raises BadFile if there is none."""
    meshes = find_meshes(root, models)
    if name not in meshes:
        folder = models or root / "models"
        found = f"{', '.join(sorted(meshes)) or 'no .obj'} there" if folder.exists() else "no such folder"
        hint = "set models=<folder of the meshes>, or object_points='none' to do without"
        raise BadFile(folder / f"{name}.obj", f"the mesh of {name}", found, hint=hint)
    folder, file = meshes[name]
    if isinstance(folder, DiskFolder):
        return folder.path / file
    content = folder.read(file, _LARGEST)
    path = cache_dir() / "realdex_meshes" / content_key(content) / f"{name}.obj"
    if not path.exists():
        write_whole(path, lambda copy: copy.write(content))
    return path


def _objs(folder: Folder, deep: bool) -> list[tuple[Folder, str]]:
    found = []
    for entry in folder.list():
        if entry.endswith("/") and deep:
            found += _objs(folder.child(entry), deep)
        elif entry.lower().endswith(".obj"):
            found.append((folder, entry))
    return found
