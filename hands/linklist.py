"""A kinematic chain written in the YAML of the hand itself: the `links:` list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import HandSpecError, nearest
from .tree import Box, Capsule, Joint, Link, Tree
from .vectors import rotation_of, vector

_LINK = ("name", "parent", "translation", "rpy", "joint", "capsules", "boxes")
_JOINT = ("name", "axis", "range", "slide", "mimic", "damping", "armature", "frictionloss")
_CAPSULE = ("start", "end", "radius")
_BOX = ("centre", "rpy", "half")


def read_link_list(content: Any, file: Path) -> Tree:
    """The list as a tree; parents come before their children, the first link is the root.

    Args:
        content: a list of mappings as in `specs/shadow_e3m5.yaml`: `name`, `parent`, `translation` and `rpy`
            (fixed-axis xyz) of the link in its parent, `joint: {name, axis, range}`,
            `capsules: [{start, end, radius}]` (start is the link's origin unless given),
            `boxes: [{centre, half, rpy}]`.
        file: the YAML, for messages.

    Raises:
        HandSpecError: a missing or unknown key, a parent that does not precede its child, a malformed value.
    """
    if not isinstance(content, list) or not content:
        raise HandSpecError(f"{file}: links: expected a list of links, found {type(content).__name__}")
    links: list[Link] = []
    for i, entry in enumerate(content):
        where = f"{file}: links[{i}]"
        _check_keys(entry, _LINK, ("name",), where)
        link = _link(entry, f"{file}: link {entry['name']!r}")
        known = [k.name for k in links]
        if (link.parent is None) != (i == 0) or (link.parent is not None and link.parent not in known):
            expected = (
                "no parent, because it is the root" if i == 0 else f"a parent listed before it; {_near(link, known)}"
            )
            raise HandSpecError(f"{file}: link {link.name!r}: expected {expected}, found {link.parent!r}")
        links.append(link)
    return Tree(_depth_first(links), source=str(file))


def _near(link: Link, known: list[str]) -> str:
    return nearest(link.parent or "", known)


def _depth_first(links: list[Link]) -> tuple[Link, ...]:
    def below(link: Link) -> list[Link]:
        return [link] + [k for child in links if child.parent == link.name for k in below(child)]

    return tuple(below(links[0]))


def _link(entry: Mapping[str, Any], where: str) -> Link:
    joint = _joint(entry["joint"], f"{where}: joint") if "joint" in entry else None
    name = str(entry["name"])
    capsules, boxes = entry.get("capsules", []), entry.get("boxes", [])
    return Link(
        name=name,
        parent=entry.get("parent"),
        translation=vector(entry.get("translation", [0, 0, 0]), f"{where}: translation"),
        rotation=rotation_of(entry, where),
        joint=joint,
        capsules=tuple(_capsule(c, f"C_{name}{k or ''}", f"{where}: capsules[{k}]") for k, c in enumerate(capsules)),
        boxes=tuple(_box(b, f"B_{name}{k or ''}", f"{where}: boxes[{k}]") for k, b in enumerate(boxes)),
    )


def _joint(entry: Mapping[str, Any], where: str) -> Joint:
    _check_keys(entry, _JOINT, ("name", "axis", "range"), where)
    axis = vector(entry["axis"], f"{where}: axis")
    if not np.linalg.norm(axis) > 0:
        raise HandSpecError(f"{where}: axis: expected a direction, found {entry['axis']}")
    lower, upper = vector(entry["range"], f"{where}: range", 2)
    mimic = entry.get("mimic")
    if mimic is not None:
        _check_keys(mimic, ("joint", "multiplier", "offset"), ("joint",), f"{where}: mimic")
        mimic = (str(mimic["joint"]), (float(mimic.get("offset", 0)), float(mimic.get("multiplier", 1))))
    passive: dict[str, Any] = {k: float(entry[k]) for k in ("damping", "armature", "frictionloss") if k in entry}
    slide = bool(entry.get("slide", False))
    return Joint(str(entry["name"]), axis / np.linalg.norm(axis), lower, upper, slide, mimic=mimic, **passive)


def _capsule(entry: Mapping[str, Any], name: str, where: str) -> Capsule:
    _check_keys(entry, _CAPSULE, ("end", "radius"), where)
    start = vector(entry.get("start", [0, 0, 0]), f"{where}: start")
    return Capsule(start, vector(entry["end"], f"{where}: end"), float(entry["radius"]), name)


def _box(entry: Mapping[str, Any], name: str, where: str) -> Box:
    _check_keys(entry, _BOX, ("centre", "half"), where)
    centre, half = vector(entry["centre"], f"{where}: centre"), vector(entry["half"], f"{where}: half")
    return Box(centre, rotation_of(entry, where), half, name)


def _check_keys(entry: Any, known: Iterable[str], needed: Iterable[str], where: str) -> None:
    if not isinstance(entry, Mapping):
        raise HandSpecError(f"{where}: expected a mapping with {', '.join(needed)}, found {entry!r}")
    for key in needed:
        if key not in entry:
            raise HandSpecError(f"{where}: missing key {key!r}")
    for key in entry:
        if key not in known:
            raise HandSpecError(f"{where}: unknown key {key!r}; {nearest(key, known)}")
