"""Locating GRAB's files: the tree, and the paths in sequences, relative to its root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...files.errors import BadFile
from ..errors import DatasetNotFound, Release, holds
from ..splits import natural_key
from .objects import SUBJECTS

RELEASE = Release(
    dataset="GRAB",
    url="https://grab.is.tue.mpg.de (register, download, unpack with the authors' unzip_grab.py)",
    licence="non-commercial research, no redistribution",
    tree="""
<root>/grab/s1 ... s10/<object>_<action>[_<k>].npz
<root>/tools/object_meshes/contact_meshes/<object>.ply
<root>/tools/subject_meshes/{male,female}/<subject>_rhand.ply
""",
    setting="root=/path/to/GRAB, the folder that holds `grab` and `tools`",
)


@dataclass(frozen=True)
class GrabTree:
    """The unpacked download: `root` has `grab` and `tools`; `sequences` are the npz files, in natural order."""

    root: Path
    sequences: tuple[Path, ...]

    def inside(self, name: str, source: Path, key: str) -> Path:
        """The file `name` that a sequence, `source`, gives relative to the root under `key`, e.g.
        "tools/object_meshes/contact_meshes/mug.ply"; raises BadFile without it, or if its path or link leaves the root.
        """
        path = self.root / name.replace("\\", "/")
        hint = f"paths in GRAB's files begin at `root`, here {self.root}"
        self.check_inside(path, source, key)
        if not path.is_file():
            found = f"{name!r}, which is not there"
            raise BadFile(source, "a path to a file of the data set", found, key=key, hint=hint)
        return path

    def check_inside(self, path: Path, source: Path, key: str = "") -> None:
        """Refuses a path that leaves the root: through `..`, as an absolute path, or through a link."""
        try:
            real = path.resolve()
            real.is_file()
        except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, not text
            raise BadFile(source, "a path to a file of the data set", str(error)[:200], key=key) from error
        if not real.is_relative_to(self.root.resolve()):
            hint = "if a folder was moved and linked, copy it back or set `root` to the folder that holds all files"
            raise BadFile(source, "a file inside `root`", f"one that leads to {real}", key=key, hint=hint)


def find_tree(root: str | Path | None) -> GrabTree:
    """Finds the sequences under `root`, which is the folder with `grab` or `grab` itself, or raises DatasetNotFound."""
    root = RELEASE.folder(root)
    for base in (root, root.parent):  # GRAB's own scripts take the folder grab, others the one above
        files = _sequences(base / "grab") if base == root or root.name == "grab" else []
        if files:
            return GrabTree(base, tuple(files))
    raise DatasetNotFound(RELEASE, root, f"searched for grab/s*/*.npz and found none; {holds(root)}")


def _sequences(folder: Path) -> list[Path]:
    files = [p for p in folder.glob("s*/*.npz") if p.parent.name in SUBJECTS and not p.name.startswith(".")]
    return sorted(files, key=lambda path: natural_key(f"{path.parent.name}/{path.stem}"))
