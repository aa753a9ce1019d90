"""Train, validation and test objects: lists in text or JSON files, or a seeded hash of the object's name."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...files.errors import BadFile, DataError

PARTS = ("train", "val", "test")
_ALIASES = {"valid": "val", "validate": "val", "validation": "val", "train_val": "train"}

_log = logging.getLogger(__name__)

Parts = dict[str, set[str]]


def by_hash(names: Iterable[str], val: float, test: float, seed: int = 0) -> Parts:
    """Assigns objects to parts by a hash of (seed, name), so that an object's part does not depend on the others.

    `val` and `test` are shares, at least 0, together below 1, or DataError. If there are few objects, the lowest hashes
    ensure that test, then train, then val has at least one.
    """
    if min(val, test) < 0 or val + test >= 1:
        raise DataError(f"val_share, test_share: expected shares that leave some to train, found {val}, {test}")
    place = {name: _place(name, seed) for name in names}
    order = sorted(place, key=lambda name: place[name])
    n_test = _at_least_one(sum(p < test for p in place.values()), test, len(order) - 1)
    n_val = sum(p < val + test for p in place.values()) - sum(p < test for p in place.values())
    n_val = _at_least_one(n_val, val, len(order) - n_test - 1)
    cuts = order[:n_test], order[n_test : n_test + n_val], order[n_test + n_val :]
    return dict(zip(("test", "val", "train"), map(set, cuts), strict=True))


def by_lists(names: Sequence[str], lists: str | Path, val: float, seed: int = 0) -> Parts:
    """Assigns objects to parts by lists in files; objects on no list are skipped, and counted in the log.

    Args:
        names: of the objects.
        lists: a folder of `train.txt`, `test.txt` (one name per line) or of JSON files, or one JSON file, with lists
            under `train`, `test`, `val` or `_train_split`, ...
        val: share of the training objects used for validation, by hash with `seed`, if there is no validation list.

    Raises:
        BadFile: no lists, a malformed file, or an object in two parts.
    """
    known = _spellings(names)
    listed = {part: [_plain(name) for name in entries] for part, entries in _read(Path(lists)).items()}
    parts: Parts = {part: {known[name] for name in listed[part] if name in known} for part in PARTS}
    if not listed["test"] and listed["val"]:
        _log.info("%s has no list of test objects: the validation objects are used", lists)
        parts |= {"val": set(), "test": parts["val"]}
    for one, other in (("train", "test"), ("train", "val"), ("val", "test")):
        if both := parts[one] & parts[other]:
            raise BadFile(lists, "an object in one part only", f"{sorted(both)[:3]} in {one} and in {other}")
    absent = sum(name not in known for entries in listed.values() for name in entries)
    unlisted = len(set(names) - set().union(*parts.values()))
    if absent or unlisted:
        text = "%s lists %d objects that are missing; left out: %d that it does not list"
        _log.warning(text, lists, absent, unlisted)
    if val and not parts["val"] and len(parts["train"]) > 1:
        inner = by_hash(parts["train"], val, 0.0, seed)
        parts |= {"train": inner["train"], "val": inner["val"]}
    return parts


def _at_least_one(count: int, share: float, most: int) -> int:
    return max(0, min(max(count, int(share > 0)), most))


def _place(name: str, seed: int) -> float:
    """Position of an object in [0, 1) by its hash."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big") / 2**64


def _plain(name: str) -> str:
    return name.strip().removesuffix("/").removesuffix(".npy")


def _spellings(names: Sequence[str]) -> dict[str, str]:
    """Unambiguous spellings of each object -> its name; "sem/Car-66" is also "sem-Car-66" and "Car-66"."""
    short: dict[str, list[str]] = {}
    for name in names:
        for spelling in {name, name.replace("/", "-"), name.rpartition("/")[2]}:
            short.setdefault(spelling, []).append(name)
    return {spelling: found[0] for spelling, found in short.items() if len(found) == 1} | {n: n for n in names}


def _read(path: Path) -> dict[str, list[str]]:
    texts = [path / f"{part}.txt" for part in PARTS if (path / f"{part}.txt").is_file()]
    tables = [path] if path.is_file() else sorted(path.glob("*.json")) if path.is_dir() and not texts else []
    listed: dict[str, list[str]] = {part: [] for part in PARTS}
    for file in texts:
        listed[file.stem] += [line for line in _text(file).splitlines() if line.strip()]
    for file in tables:
        for part, entries in _table(file).items():
            listed[part] += entries
    if not texts and not tables:
        raise BadFile(path, "train.txt and test.txt, or JSON files with lists `train` and `test`", "none of them")
    return listed


def _table(file: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise BadFile(file, "JSON", str(error)) from error
    if not isinstance(content, dict):
        raise BadFile(file, "a dict of lists", type(content).__name__)
    found = {}
    for key, entries in content.items():
        part = key.strip("_").removesuffix("_split")
        part = _ALIASES.get(part, part)
        if part not in PARTS:
            continue  # "_all_split"
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise BadFile(file, "a list of names", f"{str(entries)[:60]}", key=key)
        found[part] = entries
    if "train" not in found and "test" not in found:
        raise BadFile(file, "lists under train and test", f"the keys {', '.join(content)[:80] or '(none)'}")
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(file, "a text file", str(error)) from error
