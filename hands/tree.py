"""The kinematic tree of a hand as plain data: what the MJCF, URDF and YAML readers return, and the rest is built from.

All numbers are float64 numpy in metres, radians and kilograms. A transform (translation, rotation) maps a point from
the link's frame to its parent's at joint value 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .errors import HandSpecError, nearest

_ZERO = np.zeros(3)
_EYE = np.eye(3)


@dataclass(frozen=True)
class Servo:
    """An actuator of the file, torque = kp (target - q) - kv q', at most `force`; None where it says nothing."""

    kp: float | None = None
    kv: float | None = None
    force: float | None = None


@dataclass(frozen=True)
class Joint:
    """The joint between a link and its parent.

    Attributes:
        name: unique in the hand.
        axis: (3,), unit, link frame.
        lower, upper: range, radians (metres for a slide).
        slide: the joint translates along the axis instead of turning about it.
        anchor: (3,), metres, link frame, a point on the axis.
        mimic: (name of the driving joint, multiplier, offset), or None for an independent joint.
        ball: three coordinates, the rotation as axis-angle, each within the range; `axis` is unused.
        damping, armature, frictionloss: passive dynamics for the simulation, SI units.
        servo: its actuator in the file, SI units.
    """

    name: str
    axis: np.ndarray
    lower: float
    upper: float
    slide: bool = False
    anchor: np.ndarray = field(default_factory=lambda: _ZERO)
    mimic: tuple[str, float, float] | None = None
    damping: float = 0.1
    armature: float = 0.001
    frictionloss: float = 0.001
    ball: bool = False
    servo: Servo = field(default_factory=Servo)


@dataclass(frozen=True)
class Capsule:
    """All points within `radius` of a segment, link frame; a sphere if the ends coincide. `name` is the geom's."""

    start: np.ndarray
    end: np.ndarray
    radius: float
    name: str = ""


@dataclass(frozen=True)
class Box:
    """A box with half sizes `half`, link frame; `rotation` is link_from_box."""

    centre: np.ndarray
    rotation: np.ndarray
    half: np.ndarray
    name: str = ""


@dataclass(frozen=True)
class Visual:
    """A mesh file drawn on a link: `link_from_mesh` as (translation, rotation), applied after `scale`."""

    path: Path
    scale: np.ndarray
    translation: np.ndarray = field(default_factory=lambda: _ZERO)
    rotation: np.ndarray = field(default_factory=lambda: _EYE)


@dataclass(frozen=True)
class Inertia:
    """Mass and inertia of a link about its centre of mass, in principal axes; `rotation` is link_from_principal."""

    mass: float
    centre: np.ndarray
    rotation: np.ndarray
    diagonal: np.ndarray


@dataclass(frozen=True)
class Link:
    """A rigid body. `parent` is None for the root; `joint` is None for the root and for links fixed to their parent."""

    name: str
    parent: str | None
    translation: np.ndarray = field(default_factory=lambda: _ZERO)
    rotation: np.ndarray = field(default_factory=lambda: _EYE)
    joint: Joint | None = None
    capsules: tuple[Capsule, ...] = ()
    boxes: tuple[Box, ...] = ()
    visuals: tuple[Visual, ...] = ()
    inertia: Inertia | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """Links in depth-first order, starting with the root.

    Attributes:
        links: each link comes after its parent.
        pairs: names of two primitives whose contact the simulation computes (hand against hand).
        source: the file it came from, for messages.
    """

    links: tuple[Link, ...]
    pairs: tuple[tuple[str, str], ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        names = [link.name for link in self.links]
        joints = [link.joint.name for link in self.links if link.joint]
        for kind, values in (("link", names), ("joint", joints)):
            if len(set(values)) < len(values):
                double = next(v for v in values if values.count(v) > 1)
                raise HandSpecError(f"{self.source}: expected every {kind} name once, found {double!r} twice")
        for joint in (link.joint for link in self.links if link.joint):
            driver = joint.mimic[0] if joint.mimic else joint.name
            if driver not in joints:
                raise HandSpecError(f"{self.source}: joint {joint.name!r} mimics {driver!r}; {nearest(driver, joints)}")

    def __getitem__(self, name: str) -> Link:
        """The link of that name."""
        for link in self.links:
            if link.name == name:
                return link
        raise HandSpecError(f"{self.source}: no link {name!r}; {nearest(name, self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the links."""
        return tuple(link.name for link in self.links)

    @property
    def parents(self) -> tuple[int, ...]:
        """Position of each link's parent, -1 for the root."""
        position = {name: i for i, name in enumerate(self.names)}
        return tuple(-1 if link.parent is None else position[link.parent] for link in self.links)

    @property
    def joints(self) -> tuple[Joint, ...]:
        """The independent joints, in link order."""
        return tuple(link.joint for link in self.links if link.joint and not link.joint.mimic)

    @property
    def coordinates(self) -> tuple[tuple[str, float, float], ...]:
        """(name, lower, upper) of each joint value: one per hinge or slide, three per ball."""
        return tuple(
            (name, joint.lower, joint.upper)
            for joint in self.joints
            for name in ([f"{joint.name}_{c}" for c in "xyz"] if joint.ball else [joint.name])
        )

    def rooted_at(self, root: str) -> Tree:
        """The subtree from `root` down, which becomes the origin; its joint and offset are dropped."""
        kept: dict[str, Link] = {root: replace(self[root], parent=None, joint=None, translation=_ZERO, rotation=_EYE)}
        for link in self.links:
            if link.parent in kept and link.name != root:
                kept[link.name] = link
        geoms = {g.name for link in kept.values() for g in (*link.capsules, *link.boxes)}
        pairs = tuple(pair for pair in self.pairs if geoms.issuperset(pair))
        return replace(self, links=tuple(kept.values()), pairs=pairs)

    def without_prefix(self, prefix: str) -> Tree:
        """The same tree with `prefix` removed from every name."""

        def geom(g: Capsule | Box) -> Capsule | Box:
            return replace(g, name=g.name.removeprefix(prefix))

        links = tuple(
            replace(
                link,
                name=link.name.removeprefix(prefix),
                parent=link.parent and link.parent.removeprefix(prefix),
                joint=link.joint and _rename(link.joint, prefix),
                capsules=tuple(map(geom, link.capsules)),
                boxes=tuple(map(geom, link.boxes)),
            )
            for link in self.links
        )
        pairs = tuple((a.removeprefix(prefix), b.removeprefix(prefix)) for a, b in self.pairs)
        return replace(self, links=links, pairs=pairs)

    def with_limits(self, limits: Mapping[str, tuple[float, float]]) -> Tree:
        """The same tree with other joint ranges."""
        known = [link.joint.name for link in self.links if link.joint]
        for name in limits:
            if name not in known:
                raise HandSpecError(f"{self.source}: limits of an unknown joint {name!r}; {nearest(name, known)}")

        def limited(link: Link) -> Link:
            if link.joint is None or link.joint.name not in limits:
                return link
            lower, upper = limits[link.joint.name]
            return replace(link, joint=replace(link.joint, lower=float(lower), upper=float(upper)))

        return replace(self, links=tuple(map(limited, self.links)))

    def without_geometry(self, names: tuple[str, ...]) -> Tree:
        """The same tree without the primitives of some links."""
        for name in names:
            self[name]
        links = tuple(replace(k, capsules=(), boxes=()) if k.name in names else k for k in self.links)
        return replace(self, links=links)


def _rename(joint: Joint, prefix: str) -> Joint:
    mimic = joint.mimic and (joint.mimic[0].removeprefix(prefix), *joint.mimic[1:])
    return replace(joint, name=joint.name.removeprefix(prefix), mimic=mimic)
