"""Reads and writes grasp files of every method: `load_grasps`, `save_grasps`.

    from dexzoo.hands import load_hand
    from dexzoo.grasps.files import load_grasps, save_grasps

    grasps = load_grasps("data/dataset", load_hand("shadow"))   # one GraspSet per object
    save_grasps("mine.npz", grasps, load_hand("shadow"))

| format | reads, also any folder of such files | hands | keeps beside pose and object |
|---|---|---|---|
| dexgraspnet | `<object_code>.npy`, all grasps of an object | any | scale |
| unidexgrasp | `<source>/<Category-id>/<number>.npz`, one grasp | any | scale, table |
| multidex | `<robot>.pt` | any | |
| dga, dga_samples | `<name>.pt`; a pickle of samples | any | scale (not in samples) |
| dexgraspbench, dexonomy, bodex | `.npy` of one dict | any | scale, pregrasp, squeeze |
| grabnet | `grabnet_<part>.npz`, with and without `frame_names.npz` and `sbj_info.npy` | mano | up |
| dexycb | `pose.npz` or `labels_<frame>.npz` of a recording | mano | |
| dexzoo | `.npz`, grasps of any number of objects | any | everything |

Keys: `npz.py`, `dexgraspnet.py`, `packages.py`, `bench.py`, `human.py`. The format is told by the content. Joints
without names are in the order of the hand's description; files of the real Shadow hand are read for `shadow` and
`shadow_e3m5` alike. Unknown numbers are NaN; such grasps are read, but have no value in any metric.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from ..hands.errors import nearest
from ..hands.hand import Hand
from .bench import BODEX, DEXGRASPBENCH, DEXONOMY
from .dexgraspnet import DEXGRASPNET, UNIDEXGRASP
from .format import CONTAINERS, Content, Format, look_into
from .grasp_set import GraspFileError, GraspSet
from .human import DEXYCB, GRABNET
from .npz import DEXZOO
from .packages import DGA, DGA_SAMPLES, MULTIDEX

__all__ = ["FORMATS", "SCALED", "GraspFileError", "GraspSet", "guess_format", "load_grasps", "save_grasps"]

_ALL = (DEXGRASPNET, UNIDEXGRASP, MULTIDEX, DGA, DGA_SAMPLES, DEXGRASPBENCH, DEXONOMY, BODEX, GRABNET, DEXYCB, DEXZOO)
_BY_NAME = {each.name: each for each in _ALL}
FORMATS = tuple(_BY_NAME)
SCALED = {each.name: f"{each.name}{each.suffix}" for each in _ALL if not each.metres}
"""Formats that keep scales, and what a file or folder of them may be called."""

_SUFFIXES = (".npy", ".npz", ".pt", ".pkl")
_LOOKED_INTO = 20
"""Files of a folder, at most, in search of the first that is of a format."""


def load_grasps(path: str | Path, hand: Hand, format: str | None = None) -> list[GraspSet]:
    """Reads all grasps of a file or folder.

    Args:
        path: see the table above.
        hand: the hand of the grasps; its joints are looked up by name where the format has names.
        format: one of `FORMATS`; guessed by default.

    Returns:
        One set per object, in the order of their names (`dexzoo`: of the file).

    Raises:
        GraspFileError: no such file, another format, a missing key, an unknown joint, a wrong shape.
        PickleFileError, BadFile: a file is truncated or damaged, or would run code.
    """
    path = Path(path)
    chosen = _checked_format(path, format)
    found = chosen.read(_files(path, chosen), hand)
    check_different(found)
    return found


def save_grasps(path: str | Path, grasps: Sequence[GraspSet], hand: Hand, format: str = "dexzoo") -> None:
    """Writes grasps of one hand; what the format has no place for is dropped, see the table above.

    Args:
        path: a file (`dexzoo`, `multidex`, `dga`, `dga_samples`, `grabnet`), or a folder for several.
        grasps: one set per object.
        hand: of the grasps.
        format: one of `FORMATS`.

    Raises:
        GraspFileError: no grasps, two sets of one object, poses of another hand, or what the format cannot say.
    """
    path, chosen = Path(path), _named(format)
    if not grasps:
        raise GraspFileError(f"{path}: expected at least one set of grasps to write, found none")
    check_different(grasps)
    for part in grasps:
        if part.pose.hand != hand.name:
            raise GraspFileError(f"{path}: expected grasps of hand {hand.name!r}, found ones of {part.pose.hand!r}")
        if chosen.metres and (part.scale != 1).any():
            found = f"{part.object!r} with scale {float(part.scale[part.scale != 1][0]):g}"
            raise GraspFileError(f"{path}: expected objects in metres for format {format!r}, found {found}")
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen.write(path, grasps, hand)


def check_different(grasps: Sequence[GraspSet]) -> None:
    """Raises GraspFileError if two sets are of the same object."""
    seen: dict[str, GraspSet] = {}
    for part in grasps:
        if part.object in seen:
            files = " and ".join(str(file) for other in (seen[part.object], part) for file in other.files[:1])
            raise GraspFileError(f"object {part.object!r}: expected one set of grasps, found two: {files}".rstrip(": "))
        seen[part.object] = part


def guess_format(path: str | Path) -> str | None:
    """The format of a file, or of the first file in a folder that has one; None if there is none.

    Raises:
        GraspFileError: no such file, or an empty one.
    """
    return next((chosen.name for _, content in _contents(Path(path)) if (chosen := _fitting(content))), None)


def _named(format: str) -> Format:
    if format not in _BY_NAME:
        raise GraspFileError(f"format: no {format!r}; {nearest(format, FORMATS)}")
    return _BY_NAME[format]


def _checked_format(path: Path, format: str | None) -> Format:
    looked_into = list(_contents(path))
    file, looks = next(((file, fits) for file, content in looked_into if (fits := _fitting(content))), (path, None))
    if format is None:
        if looks is None:
            raise GraspFileError(_unknown(path, looked_into))
        return looks
    chosen = _named(format)
    if looks and looks != chosen:
        raise GraspFileError(
            f"{file}: expected {chosen.what}, found what looks like format {looks.name!r}; "
            f"read it with format={looks.name!r} (--format {looks.name})"
        )
    return chosen


def _fitting(content: Content) -> Format | None:
    return next((each for each in _ALL if each.container == content.container and not each.missing(content)), None)


def _unknown(path: Path, looked_into: Sequence[tuple[Path, Content]]) -> str:
    """Says of the first file what it holds, which format comes nearest, and what is missing for it."""
    expected = f"expected one of the formats {', '.join(FORMATS)}"
    if not looked_into:
        return f"{path}: {expected}, found none of them"
    file, content = looked_into[0]
    scores = {each: 1 - len(each.missing(content)) / len(each.keys) for each in _ALL}
    best = max(_ALL, key=lambda each: scores[each] + (scores[each] > 0 and each.container == content.container) / 2)
    if not scores[best]:
        return f"{file}: {expected}, found {content.said}"
    lacks = [f"key {key!r} is missing" for key in best.missing(content)[:3]]
    lacks += [f"it is {CONTAINERS[best.container]}"] * (best.container != content.container)
    return f"{file}: {expected}, found {content.said}; nearest is {best.name}, but {', '.join(lacks)}"


# --------------------------------------------------------------------------------------------------- files of a folder


def _contents(path: Path) -> Iterator[tuple[Path, Content]]:
    """The file, or the first files of the folder, with what they hold; up to the first of a format.

    Raises:
        GraspFileError: no such file, or an empty one.
    """
    if not path.exists():
        beside = [p.name for p in islice(path.parent.iterdir(), 1000)] if path.parent.is_dir() else []
        hint = f"; {nearest(path.name, sorted(beside)[:10])}" if beside else f"; {path.parent} does not exist either"
        raise GraspFileError(f"{path}: expected a file or folder of grasps, found nothing there{hint}")
    inside = [path] if path.is_file() else (p for p in sorted(path.rglob("*")) if p.suffix in _SUFFIXES and p.is_file())
    for file in islice(inside, _LOOKED_INTO):
        content = look_into(file)
        yield file, content
        if _fitting(content):
            return


def _files(path: Path, chosen: Format) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(path.glob(chosen.files))
    if chosen.container == "npz":  # cheap to tell from what else lies there
        files = [file for file in files if not look_into(file).keys.isdisjoint(chosen.keys)]
    if not files:
        deeper = next(path.rglob(Path(chosen.files).name), None)
        hint = f"; did you mean {deeper.parent}?" if deeper else ""
        inside = ", ".join(sorted(p.name for p in islice(path.iterdir(), 5))) or "nothing in it"
        raise GraspFileError(f"{path}: expected {chosen.what} or a folder of them, found a folder: {inside}{hint}")
    return files
