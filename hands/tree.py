"""The kinematic tree of a hand as plain data: what the readers return, and the rest is built from.

All numbers are float64 numpy in metres, radians and kilograms. A transform (translation, rotation) maps a point from
the link's frame to its parent's at joint value 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import trimesh
from numpy.polynomial import Polynomial
from scipy.spatial.transform import Rotation

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
        mimic: None for an independent joint; otherwise the name of the joint that it follows ("" for none) and the
            coefficients of its value as a polynomial in that joint's, the constant first, at most 5.
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
    mimic: tuple[str, tuple[float, ...]] | None = None
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
    """A mesh on a link: a vertex v is at `linear` v + `translation`, metres, link frame.

    Attributes:
        path: its file.
        linear: (3, 3), rotation and scale.
        translation: (3,).
        inline: the mesh itself where the model file contains it; `path` only names it then.
    """

    path: Path
    linear: np.ndarray
    translation: np.ndarray
    inline: trimesh.Trimesh | None = None

    @property
    def found(self) -> bool:
        """Whether there is a mesh to draw."""
        return self.inline is not None or self.path.is_file()

    def mesh(self) -> trimesh.Trimesh:
        """The mesh, metres, link frame.

        Raises:
            HandSpecError: the file is absent or holds no triangles.
        """
        mesh = self.inline or read_mesh(self.path)
        faces = mesh.faces if np.linalg.det(self.linear) > 0 else mesh.faces[:, ::-1]  # a mirror turns it inside out
        return trimesh.Trimesh(mesh.vertices @ self.linear.T + self.translation, faces, process=False)


@lru_cache(maxsize=256)
def read_mesh(path: Path) -> trimesh.Trimesh:
    """The mesh in `path`, unscaled; do not modify it, it is shared.

    Raises:
        HandSpecError: the file is absent or holds no triangles.
    """
    if not path.is_file():
        raise HandSpecError(f"expected a mesh file, found nothing at {path}")
    try:
        mesh = trimesh.load(path, force="mesh", process=False)
    except Exception as error:  # trimesh passes on whatever its many parsers raise
        hint = "; .dae files need `pip install pycollada`" if path.suffix.lower() == ".dae" else ""
        raise HandSpecError(f"{path}: expected a mesh that trimesh can read, found: {error}{hint}") from error
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
        raise HandSpecError(f"{path}: expected a mesh with triangles, found none")
    return mesh


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

    def moved(self, value: float) -> Link:
        """The link whose joint is at `value` where the joint of this one is at 0."""
        assert self.joint is not None
        if self.joint.slide:
            return replace(self, translation=self.translation + value * self.rotation @ self.joint.axis)
        turn, anchor = Rotation.from_rotvec(value * self.joint.axis).as_matrix(), self.joint.anchor
        shift = self.rotation @ (anchor - turn @ anchor)
        return replace(self, translation=self.translation + shift, rotation=self.rotation @ turn)


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
            if joint.mimic and joint.mimic[0] and joint.mimic[0] not in joints:
                driver = joint.mimic[0]
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

    def drive(self, joint: Joint) -> tuple[str, Polynomial]:
        """The independent joint that moves `joint` ("" for none), and the value of `joint` as a polynomial in that.

        Raises:
            HandSpecError: joints that follow one another in a circle.
        """
        mimics = {link.joint.name: link.joint.mimic for link in self.links if link.joint}
        name, value, chain = joint.name, Polynomial([0.0, 1.0]), [joint.name]
        while mimic := mimics.get(name):
            name, value = mimic[0], value(Polynomial(mimic[1]))
            if name in chain:
                circle = " -> ".join((*chain, name))
                raise HandSpecError(
                    f"{self.source}: expected no joints that follow one another in a circle, found {circle}"
                )
            chain.append(name)
        return name, value

    def rooted_at(self, root: str) -> Tree:
        """The subtree from `root` down, which becomes the origin; its joint and offset are dropped.

        A joint that follows none, or one above the root, becomes fixed: where that one is at 0.
        """
        kept: dict[str, Link] = {root: replace(self[root], parent=None, joint=None, translation=_ZERO, rotation=_EYE)}
        for link in self.links:
            if link.parent in kept and link.name != root:
                kept[link.name] = link
        geoms = {g.name for link in kept.values() for g in (*link.capsules, *link.boxes)}
        pairs = tuple(pair for pair in self.pairs if geoms.issuperset(pair))
        joints = {link.joint.name for link in kept.values() if link.joint}
        return replace(self, links=tuple(self._held(link, joints) for link in kept.values()), pairs=pairs)

    def renamed(self, new: Callable[[str], str]) -> Tree:
        """The same tree with every name replaced by `new` of it."""

        def geom(g: Capsule | Box) -> Capsule | Box:
            return replace(g, name=new(g.name))

        links = tuple(
            replace(
                link,
                name=new(link.name),
                parent=link.parent and new(link.parent),
                joint=link.joint and _rename(link.joint, new),
                capsules=tuple(map(geom, link.capsules)),
                boxes=tuple(map(geom, link.boxes)),
            )
            for link in self.links
        )
        return replace(self, links=links, pairs=tuple((new(a), new(b)) for a, b in self.pairs))

    def _held(self, link: Link, joints: set[str]) -> Link:
        """The link with a fixed joint if no one of `joints` drives it."""
        driver, value = ("", None) if link.joint is None else self.drive(link.joint)
        if value is None or driver in joints:
            return link
        where = f"{link.joint.name} is fixed at {value(0.0):.4g}"  # type: ignore[union-attr]
        note = f"{where}: it follows {driver}, which is above the root" if driver else where
        return replace(link.moved(value(0.0)), joint=None, notes=(*link.notes, note))

    def within_followers(self) -> Tree:
        """The same tree with joints limited to where those that follow them are within their own ranges."""
        links = {link.joint.name: link for link in self.links if link.joint}
        for follower in (link.joint for link in self.links if link.joint and link.joint.mimic):
            driver, value = self.drive(follower)
            joint = links[driver].joint
            assert joint is not None
            lower, upper = _within(value, joint, follower)
            if max(lower - joint.lower, joint.upper - upper) <= 1e-9:
                continue
            note = f"{driver} is limited to {lower:.4g} to {upper:.4g}, where {follower.name} reaches its own limit"
            if not lower < upper:
                note, lower, upper = f"{follower.name} follows {driver} beyond its own limits", joint.lower, joint.upper
            narrow = replace(joint, lower=lower, upper=upper)
            links[driver] = replace(links[driver], joint=narrow, notes=(*links[driver].notes, note))
        return replace(self, links=tuple(links[k.joint.name] if k.joint else k for k in self.links))

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


def _rename(joint: Joint, new: Callable[[str], str]) -> Joint:
    mimic = joint.mimic and (new(joint.mimic[0]), *joint.mimic[1:])
    return replace(joint, name=new(joint.name), mimic=mimic)


def _within(value: Polynomial, joint: Joint, follower: Joint) -> tuple[float, float]:
    """The longest part of the joint's range where the follower, at `value` of it, is within its own."""
    ends = [root.real for limit in (follower.lower, follower.upper) if np.isfinite(limit)
            for root in (value - limit).roots() if abs(root.imag) < 1e-9]  # fmt: skip
    inner = sorted(end for end in ends if joint.lower < end < joint.upper)
    parts: list[tuple[float, float]] = []
    for lower, upper in pairwise([joint.lower, *inner, joint.upper]):
        middle = np.clip((lower + upper) / 2, -1e9, 1e9)  # of an endless range as well
        if not follower.lower - 1e-9 <= value(middle) <= follower.upper + 1e-9:
            continue
        first = parts.pop()[0] if parts and parts[-1][1] == lower else lower
        parts.append((first, upper))
    return max(parts, key=lambda part: part[1] - part[0], default=(joint.upper, joint.lower))
