"""Index of the grasps of a whole data set: flat arrays, read once into the cache.

It has two layers. Each object is a shard under the hash of its source bytes, so that an interrupted run continues where
it stopped and a copied download is not parsed again. All shards together form one memory-mapped file under a signature
of the source files: path, size, inode, mtime and ctime, which changes with any change of content even if a tool
restores the mtime. If it changed, the bytes are hashed again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...files.cache import Arrays, cache_dir, cached, content_key, write_whole
from ...files.errors import BadFile, DataError
from ...files.unpickle import as_bad_file
from ...geometry.progress import tracked
from ...grasps.grasp_set import GraspFileError, GraspSet
from ...hands.hand import Hand
from ..grasp_store import pack

_SHARDS, _INDEX = "grasp_shards-1", "grasp_index-1"  # incremented whenever the same files would give other values
_FAR, _BENT, _LARGE = 10.0, 2 * np.pi, 100.0
"""metres, radians and metres per unit beyond any real grasp; joint limits are not enforced, since data exceed them."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Files of one object: its name, the files of its grasps, and its mesh, or None."""

    name: str
    files: tuple[Path, ...]
    mesh: Path | None = None


@dataclass(frozen=True)
class Index:
    """Grasps of K objects, grouped by object; see `GraspStore`."""

    numbers: NDArray[np.float32]  # (n, W), float32, memory-mapped, see `grasp_store.pack`
    rows: NDArray[np.int64]  # (n,), int64
    object: NDArray[np.int64]  # (n,), int64, index of the source
    flags: tuple[tuple[str, ...], ...]  # K tuples
    skipped: tuple[str, ...]  # messages about everything that was skipped


@dataclass(frozen=True)
class Format:
    """Functions that read the files of an object."""

    name: str  # of the format, with its version
    read: Callable[[Source, Hand], GraspSet]  # reads the grasps of one object
    flags: Callable[[bytes], tuple[str, ...]] = lambda _: ()  # of an object, from the bytes of its first file


def open_index(sources: Sequence[Source], form: Format, hand: Hand, on_bad: str = "raise") -> Index:
    """Opens the grasps from the cache, reading those that are missing.

    Args:
        sources: files of the objects; names must be unique.
        form: functions to read them.
        hand: the hand of the grasps.
        on_bad: "raise" stops at a bad file or grasp with BadFile; "skip" skips, logs and counts it.

    Raises:
        UnsafePickleError: a file would execute code; raised in any case.
        DataError: no grasp at all.
    """
    files = [file for source in sources for file in source.files]
    names = [(source.name, len(source.files)) for source in sources]
    key = content_key(form.name, hand.name, hand.joint_names, on_bad, names, signature(files))
    numbers, entry = mapped(_INDEX, key, lambda: _make(sources, form, hand, on_bad))
    counts, skipped = entry["counts"], tuple(entry["skipped"].tolist())
    if skipped:
        _log.warning("left out: %d files or grasps of %d files; the first: %s", len(skipped), len(files), skipped[0])
    if not len(numbers):
        raise DataError(f"expected at least one grasp in {len(files)} files, found none; left out: {skipped[:1]}")
    flags = tuple(tuple(text.split()) for text in entry["flags"].tolist())
    return Index(numbers, entry["rows"], np.repeat(np.arange(len(counts)), counts), flags, skipped)


def signature(files: Sequence[Path]) -> str:
    """Signature that changes whenever one of the files does."""
    stats = [(str(file), s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for file in files for s in [file.stat()]]
    return content_key(stats)


def mapped(kind: str, key: str, make: Callable[[], tuple[NDArray, Arrays]]) -> tuple[NDArray, Arrays]:
    """Like `cached`, with a large array, the first that `make` returns, in a memory-mapped file of its own."""
    path = cache_dir() / kind / f"{key}.npy"

    def both() -> Arrays:
        large, others = make()
        write_whole(path, lambda file: np.save(file, large))
        return others

    others = cached(kind, key, both)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False), others
    except (OSError, ValueError, EOFError):  # missing or damaged
        both()
        return np.load(path, mmap_mode="r", allow_pickle=False), others


def noted(bad: Mapping[int, str]) -> Arrays:
    """Messages by index, as arrays for the cache."""
    return {"bad": np.array(list(bad), dtype=np.int64), "messages": np.array(list(bad.values()), dtype=np.str_)}


def logged(entry: Arrays) -> dict[int, str]:
    """Logs the messages of `noted` and returns them."""
    for message in entry["messages"].tolist():
        _log.warning("left out: %s", message)
    return dict(zip(entry["bad"].tolist(), entry["messages"].tolist(), strict=True))


def _make(sources: Sequence[Source], form: Format, hand: Hand, on_bad: str) -> tuple[NDArray, Arrays]:
    blocks, skipped = [], []
    for source in tracked(sources, "reading grasps"):
        try:
            blocks.append(_checked(source, _shard(source, form, hand), hand, on_bad, skipped))
        except BadFile as error:
            if on_bad == "raise":
                raise
            _log.warning("left out: %s", error)
            skipped.append(str(error))
            blocks.append({"rows": np.zeros(0, np.int64), "flags": np.array("")})
    kept = [block["numbers"] for block in blocks if len(block["rows"])]
    whole = np.concatenate(kept) if kept else np.zeros((0, 0), np.float32)
    return whole, {
        "counts": np.array([len(block["rows"]) for block in blocks]),
        "rows": np.concatenate([block["rows"] for block in blocks]),
        "flags": np.array([str(block["flags"]) for block in blocks], dtype=np.str_),
        "skipped": np.array(skipped, dtype=np.str_),
    }


def _shard(source: Source, form: Format, hand: Hand) -> Arrays:
    try:
        data = [file.read_bytes() for file in source.files]
    except OSError as error:
        raise BadFile(source.files[0], "a file that can be read", str(error.strerror)) from error
    names = [file.name for file in source.files]
    key = content_key(form.name, hand.name, hand.joint_names, source.name, names, *data)

    def make() -> Arrays:
        with as_bad_file(source.files[0], "grasps", GraspFileError, OSError):
            grasps = form.read(source, hand)
        return {"numbers": pack(grasps), "rows": grasps.rows.numpy(), "flags": np.array(" ".join(form.flags(data[0])))}

    return cached(_SHARDS, key, make)


def _checked(source: Source, shard: Arrays, hand: Hand, on_bad: str, skipped: list[str]) -> Arrays:
    """The shard without grasps that are not finite or have impossible values; each of those is raised, or noted."""
    numbers, rows = shard["numbers"], shard["rows"]
    limits = np.full(numbers.shape[1], np.inf)
    limits[:3], limits[12], limits[13 : 13 + hand.num_joints] = _FAR, _LARGE, _BENT
    good = np.all(np.isfinite(numbers) & (np.abs(numbers) <= limits), axis=1)
    for i in np.flatnonzero(~good):
        expected = f"finite numbers: a hand within {_FAR:g} m, joints within 2 pi, a scale up to {_LARGE:g}"
        file = source.files[i] if len(source.files) == len(rows) else source.files[0]
        found = np.array2string(numbers[i], precision=3, max_line_width=999)
        error = BadFile(file, expected, found, key=f"row {rows[i]}", hint=_other_unit(numbers[i], limits))
        if on_bad == "raise":
            raise error
        _log.warning("left out: %s", error)
        skipped.append(str(error))
    return {"numbers": numbers[good], "rows": rows[good], "flags": shard["flags"]}


def _other_unit(numbers: NDArray[np.float32], limits: NDArray[np.float64]) -> str:
    """The units in which a grasp would be within the limits, as a question; "" if none."""
    other = numbers.copy()
    far, bent = (bool((np.abs(numbers[part]) > limits[part]).any()) for part in (slice(3), slice(13, None)))
    other[:3] *= 0.001 if far else 1.0
    other[13:] = np.deg2rad(other[13:]) if bent else other[13:]
    units = [*["translations in millimetres"] * far, *["joints in degrees"] * bent]
    fits = np.all(np.isfinite(other) & (np.abs(other) <= limits))
    return f"did you mean {' and '.join(units)}?" if units and fits else ""
