"""What every format of grasps has: how a file is recognised, read and written."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.unpickle import load_npy, load_pickle
from ..hands.errors import nearest
from ..hands.hand import Hand
from .grasp_set import GraspFileError, GraspSet
from .tensor_files import load_torch

CONTAINERS = {
    "dicts": "an .npy array of dicts",
    "dict": "an .npy with one dict",
    "npz": "an .npz",
    "records": "a .pt with dicts in 'metadata'",
    "tuples": "a .pt with tuples in 'metadata'",
    "samples": "a pickle of one dict",
}
"""Kinds of file, as messages call them."""


@dataclass(frozen=True)
class Format:
    """A format of grasp files.

    Attributes:
        name: as in `load_grasps(..., format=name)`.
        what: one file of it, for messages.
        container: one of `CONTAINERS`.
        keys: what a file of this format has, and no other format has all of.
        files: pattern of its files in a folder; with "**/" at any depth.
        read: the sets of some files, for a hand.
        write: writes sets of a hand to a file or folder.
        metres: it has no scale: the object's mesh is in metres.
        suffix: of the file that `write` makes; "" where it makes a folder.
    """

    name: str
    what: str
    container: str
    keys: tuple[str, ...]
    files: str
    read: Callable[[Sequence[Path], Hand], list[GraspSet]]
    write: Callable[[Path, Sequence[GraspSet], Hand], None]
    metres: bool = False
    suffix: str = ""

    def missing(self, content: Content) -> list[str]:
        """Keys that the content lacks."""
        return [key for key in self.keys if key not in content.keys]


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        container: one of `CONTAINERS`; "" for anything else.
        keys: of the dict, of the first dict, or of the archive.
        said: the same in words.
    """

    container: str
    keys: frozenset[str]
    said: str


def look_into(file: Path) -> Content:
    """The keys of a file, whatever its name; nothing in it is executed.

    Raises:
        GraspFileError: an empty file.
        PickleFileError: a pickle or .npy that is truncated, or would run code.
        BadFile: a damaged file of torch.save.
    """
    with file.open("rb") as opened:
        start = opened.read(6)
    if not start:
        raise GraspFileError(f"{file}: expected grasps, found an empty file; was a download cut short?")
    if start == b"\x93NUMPY":
        return _of_array(load_npy(file))
    if start.startswith(b"PK"):
        try:
            names = zipfile.ZipFile(file).namelist()
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
            return Content("", frozenset(), "a damaged .npz")
        if any(Path(name).name == "data.pkl" for name in names):
            return _of_records(load_torch(file))
        return _content("npz", (name.removesuffix(".npy") for name in names))
    if start.startswith(b"\x80"):
        value = load_pickle(file)
        return _content("samples", value) if isinstance(value, Mapping) else _strange(value)
    return Content("", frozenset(), "neither .npy, .npz, .pt nor pickle")


def _of_array(array: np.ndarray) -> Content:
    first = array.ravel()[0] if array.dtype == object and array.ndim < 2 and array.size else None
    if not isinstance(first, Mapping):
        what = "no grasp" if array.shape == (0,) else f"an array of {array.dtype} of shape {array.shape}"
        return Content("", frozenset(), what)
    return _content("dicts" if array.ndim else "dict", first)


def _of_records(value: Any) -> Content:
    entries = value.get("metadata") if isinstance(value, Mapping) else None
    if not isinstance(entries, list) or not entries:
        return _content("tuples", value) if isinstance(value, Mapping) else _strange(value)
    return _content("records", entries[0]) if isinstance(entries[0], Mapping) else _content("tuples", value)


def _content(container: str, keys: Iterable[Any]) -> Content:
    names = [str(key) for key in keys]
    return Content(container, frozenset(names), f"{CONTAINERS[container]} with {', '.join(names)[:200] or 'nothing'}")


def _strange(value: Any) -> Content:
    return Content("", frozenset(), f"a {type(value).__name__}")


# -------------------------------------------------------------------------------------------- what readers ask of files


def check_keys(entry: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    """Raises GraspFileError for the first key that is not there."""
    for key in keys:
        if key not in entry:
            raise GraspFileError(f"{where}: missing key {key!r}; {nearest(key, entry)}")


def kind_of(value: Any) -> str:
    """A value in words."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return "None" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"


def number(value: Any, where: str) -> float:
    """Raises GraspFileError unless the value is one number."""
    try:
        return float(np.asarray("" if value is None else value, np.float64).reshape(()))
    except (TypeError, ValueError, OverflowError) as error:
        raise GraspFileError(f"{where}: expected a number, found {kind_of(value)}") from error


def numbers(entry: Mapping[str, Any], key: str, shape: tuple[int | None, ...], where: str) -> np.ndarray:
    """The float64 array of a key; None in the shape is any length.

    Raises:
        GraspFileError: no such key, no numbers, or another shape.
    """
    check_keys(entry, (key,), where)
    try:
        array = np.asarray(entry[key], np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise GraspFileError(f"{where}, {key}: expected numbers, found {kind_of(entry[key])}") from error
    if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        sizes = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise GraspFileError(f"{where}, {key}: expected numbers of shape {sizes}, found shape {array.shape}")
    return array
