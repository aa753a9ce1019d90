"""Finding the mesh of an object by its name."""

from __future__ import annotations

from pathlib import Path

from ..geometry.meshes import SUFFIXES
from ..hands.errors import nearest
from .grasp_set import GraspFileError

_UPPER = [suffix.upper() for suffix in SUFFIXES]


def find_mesh(root: Path, name: str) -> Path:
    """The mesh of one object in a folder.

    Looks for `<name>/coacd/decomposed.obj` (DexGraspNet, UniDexGrasp), `<name>.obj` or another of `SUFFIXES`, and the
    only mesh in `<name>/`; for a name with a source, such as `sem/Car-66`, also under `Car-66` and `sem-Car-66`.

    Raises:
        GraspFileError: no mesh, or several.
    """
    spellings = list(dict.fromkeys([name, name.replace("/", "-"), name.rpartition("/")[2]]))
    for spelling in spellings:
        exact = root / spelling / "coacd" / "decomposed.obj", *(root / f"{spelling}{s}" for s in (*SUFFIXES, *_UPPER))
        if file := next(filter(Path.is_file, exact), None):
            return file
        inside = sorted(p for p in (root / spelling).glob("*") if p.suffix.lower() in SUFFIXES)
        if len(inside) > 1:
            found = ", ".join(p.name for p in inside[:5])
            raise GraspFileError(f"{root / spelling}: expected one mesh, found {len(inside)}: {found}")
        if inside:
            return inside[0]
    kinds = "|".join(SUFFIXES)
    searched = f"<name>/coacd/decomposed.obj, <name>{kinds} and <name>/*{kinds}"
    there = sorted(p.stem if p.is_file() else p.name for p in root.iterdir())
    hint = f"; {nearest(name, there[:20])}" if there else "; it is empty"
    raise GraspFileError(
        f"{root}: expected a mesh of object {name!r}, found none; searched {searched} with name "
        f"{' or '.join(spellings)}{hint}"
    )
