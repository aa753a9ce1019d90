"""Reads grasp files of DexGraspNet and UniDexGrasp, and reads and writes our own `.npz` format (`grasps.npz`).

    from dexzoo.hands import load_hand
    from dexzoo.grasps.files import load_grasps, save_grasps

    grasps = load_grasps("data/dataset", load_hand("shadow"))   # one GraspSet per object
    save_grasps("mine.npz", grasps, load_hand("shadow"))

| format      | one file                                | a folder                                             |
|---|---|---|
| dexgraspnet | `<object_code>.npy`, all grasps of an object | of such files                                   |
| unidexgrasp | `<number>.npz`, one grasp               | any above them: `<source>/<Category-id>/<number>.npz` |
| dexzoo      | `.npz`, grasps of any number of objects | of such files                                        |

Unknown numbers are NaN; such grasps are read, but have no value in any metric.
"""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from ..hands.errors import nearest
from ..hands.hand import Hand
from .dexgraspnet import read_dexgraspnet, read_unidexgrasp, write_dexgraspnet
from .grasp_set import GraspFileError, GraspSet
from .npz import check_different, read_dexzoo, save_grasps

__all__ = ["FORMATS", "GraspFileError", "GraspSet", "guess_format", "load_grasps", "save_grasps", "write_dexgraspnet"]

FORMATS = ("dexgraspnet", "unidexgrasp", "dexzoo")

_SUFFIX = {"dexgraspnet": ".npy", "unidexgrasp": ".npz", "dexzoo": ".npz"}
_ONE_FILE = {
    "dexgraspnet": "an array of dicts (<object_code>.npy)",
    "unidexgrasp": "one grasp of UniDexGrasp (<number>.npz with qpos, scale and plane)",
    "dexzoo": "grasps in dexzoo's format (.npz with hand, joint_names, objects, ...)",
}


def load_grasps(path: str | Path, hand: Hand, format: str | None = None) -> list[GraspSet]:
    """Reads all grasps of a file or folder.

    Args:
        path: see the table above.
        hand: the hand of the grasps; its joints are looked up by name.
        format: one of `FORMATS`; guessed by default.

    Returns:
        One set per object, in the order of their names (`dexzoo`: of the file).

    Raises:
        GraspFileError: no such file, another format, a missing key, an unknown joint, a wrong shape.
        PickleFileError: a file is truncated, or would run code.
    """
    path = Path(path)
    format = _checked_format(path, format)
    files = _files(path, format)
    if format == "dexgraspnet":
        return [read_dexgraspnet(file, hand) for file in files]
    if format == "unidexgrasp":
        return [read_unidexgrasp(group, hand) for group in _by_folder(files)]
    found = [grasps for file in files for grasps in read_dexzoo(file, hand)]
    check_different(found)
    return found


def _checked_format(path: Path, format: str | None) -> str:
    looks = guess_format(path)
    if format is None and looks is None:
        where = _first_file(path) or path
        raise GraspFileError(f"{where}: expected one of the formats {', '.join(FORMATS)}, found none of them")
    if format is not None and format not in FORMATS:
        raise GraspFileError(f"format: no {format!r}; {nearest(format, FORMATS)}")
    if format and looks and looks != format:
        raise GraspFileError(
            f"{_first_file(path)}: expected {_ONE_FILE[format]}, found what looks like format {looks!r}; "
            f"read it with format={looks!r} (--format {looks})"
        )
    return format or looks or ""


def guess_format(path: str | Path) -> str | None:
    """The format of a file, or of the first .npy or .npz in a folder; None if unknown.

    Raises:
        GraspFileError: no such file, or an empty one.
    """
    file = _first_file(Path(path))
    if file is None:
        return None
    with file.open("rb") as opened:
        start = opened.read(6)
    if not start:
        raise GraspFileError(f"{file}: expected grasps, found an empty file; was a download cut short?")
    if start == b"\x93NUMPY":
        return "dexgraspnet"
    try:
        names = {Path(name).stem for name in zipfile.ZipFile(file).namelist()}
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return None
    return "unidexgrasp" if "qpos" in names else "dexzoo" if {"objects", "rotation"} <= names else None


# --------------------------------------------------------------------------------------------------- files of a folder


def _first_file(path: Path) -> Path | None:
    if not path.exists():
        beside = [p.name for p in islice(path.parent.iterdir(), 1000)] if path.parent.is_dir() else []
        hint = f"; {nearest(path.name, sorted(beside)[:10])}" if beside else f"; {path.parent} does not exist either"
        raise GraspFileError(f"{path}: expected a file or folder of grasps, found nothing there{hint}")
    if path.is_file():
        return path
    found = (p for p in sorted(path.rglob("*")) if p.suffix in _SUFFIX.values() and p.is_file())
    return next(found, None)


def _files(path: Path, format: str) -> list[Path]:
    if path.is_file():
        return [path]
    suffix = _SUFFIX[format]
    files = sorted(path.rglob(f"*{suffix}") if format == "unidexgrasp" else path.glob(f"*{suffix}"))
    if not files:
        deeper = next(path.rglob(f"*{suffix}"), None)
        hint = f"; did you mean {deeper.parent}?" if deeper else ""
        inside = ", ".join(sorted(p.name for p in islice(path.iterdir(), 5))) or "nothing in it"
        raise GraspFileError(
            f"{path}: expected {_ONE_FILE[format]} or a folder of them, found a folder: {inside}{hint}"
        )
    return files


def _by_folder(files: Iterable[Path]) -> list[list[Path]]:
    groups: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        groups[file.parent].append(file)
    return list(groups.values())
