"""The mesh of an object, by the object's name."""

from __future__ import annotations

from pathlib import Path

from ...hands.errors import nearest
from .plan import EvaluationError

_SUFFIXES = (".obj", ".stl", ".ply", ".off")


def find_meshes(root: str | Path, names: list[str]) -> dict[str, Path]:
    """Mesh files of objects.

    Args:
        root: a mesh file, for one object; or a folder, searched by `find_mesh`.
        names: of the objects.

    Raises:
        EvaluationError: nothing there, one file for several objects, or no mesh for an object.
    """
    root = Path(root).absolute()
    if not root.exists():
        raise EvaluationError(f"--mesh {root}: expected a mesh file or a folder of meshes, found nothing there")
    if root.is_dir():
        return {name: find_mesh(root, name) for name in names}
    if len(names) > 1:
        raise EvaluationError(
            f"--mesh {root}: expected a folder, because the grasps are of {len(names)} objects ({names[0]}, "
            f"{names[1]}, ...), found one file"
        )
    return dict.fromkeys(names, root)


def find_mesh(root: Path, name: str) -> Path:
    """The mesh of one object in a folder.

    Searched are `<name>/coacd/decomposed.obj` (DexGraspNet, UniDexGrasp), `<name>.obj|.stl|.ply|.off` and the only mesh
    in `<name>/`; for a name with a source, `sem/Car-66`, also under `Car-66` and `sem-Car-66`.

    Raises:
        EvaluationError: none is there, or several are.
    """
    spellings = list(dict.fromkeys([name, name.replace("/", "-"), name.rpartition("/")[2]]))
    for spelling in spellings:
        for file in (root / spelling / "coacd" / "decomposed.obj", *(root / f"{spelling}{s}" for s in _SUFFIXES)):
            if file.is_file():
                return file
        inside = sorted(p for p in (root / spelling).glob("*") if p.suffix.lower() in _SUFFIXES)
        if len(inside) > 1:
            found = ", ".join(p.name for p in inside[:5])
            raise EvaluationError(f"--mesh {root / spelling}: expected one mesh, found {len(inside)}: {found}")
        if inside:
            return inside[0]
    searched = f"<name>/coacd/decomposed.obj, <name>{'|'.join(_SUFFIXES)} and <name>/*{'|'.join(_SUFFIXES)}"
    there = sorted(p.stem if p.is_file() else p.name for p in root.iterdir())
    hint = f"; {nearest(name, there[:20])}" if there else "; it is empty"
    raise EvaluationError(
        f"--mesh {root}: expected a mesh of object {name!r}, found none; searched {searched} with name "
        f"{' or '.join(spellings)}{hint}"
    )
