"""The hand as solids: its collision primitives for manifold3d, and which of them should never overlap.

Primitives are numbered with the capsules first, as in `primitive_distances`.
"""

from __future__ import annotations

import atexit
from dataclasses import dataclass, replace
from itertools import combinations
from weakref import WeakKeyDictionary

import numpy as np
from manifold3d import Error, Manifold
from numpy.typing import NDArray

from ..geometry.solids import manifold_of
from .drawing import primitive_mesh
from .errors import HandError
from .gaps import box_gap, capsule_box_gap, capsule_gap
from .hand import Hand
from .kinematics import Links
from .spec import HandSpec
from .tree import Box, Capsule, Tree

SEGMENTS = 32
"""Edges around a capsule. With the volume corrected, a shallow overlap is within 1 % of the round capsule's."""


@dataclass(frozen=True, eq=False)
class Balls:
    """Balls that tightly cover every primitive, to rule out contacts quickly.

    Attributes:
        primitive: (n,), primitive of each ball.
        link: (n,), link of each ball.
        centre: (n, 3), metres, link frame.
        radius: (n,), metres.
    """

    primitive: NDArray[np.int64]
    link: NDArray[np.int64]
    centre: NDArray[np.float64]
    radius: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HandSolids:
    """Solids of a hand in the frames of their links; from `hand_solids`, shared, do not modify.

    Attributes:
        link: (C,), link of each primitive.
        manifolds: C solids, metres, link frame. Capsules and spheres are tessellated with `SEGMENTS` edges around and
            then scaled about their centres so that the volume is the round one's.
        pairs: (P, 2), primitives that should never overlap: not on one link, not on neighbours, not excluded, not on
            links that overlap at rest.
        balls: a cover of the primitives.
        overlaps: the links that overlap at rest although neither neighbours nor excluded: both names, depth in metres.
    """

    link: NDArray[np.int64]
    manifolds: tuple[Manifold, ...]
    pairs: NDArray[np.int64]
    balls: Balls
    _shapes: tuple[Capsule | Box, ...]
    overlaps: tuple[tuple[str, str, float], ...] = ()

    def gaps(self, links: Links) -> NDArray[np.float64]:
        """Gaps between the primitives of each of `pairs`.

        Args:
            links: batch shape (B,).

        Returns:
            (B, P), metres: minus the depth where they overlap, otherwise the distance (between boxes, a lower bound of
            it). NaN where a pose is NaN.
        """
        R, t = (x.detach().double().cpu().numpy() for x in (links.rotation, links.translation))
        R, t = R[:, self.link], t[:, self.link]
        gaps = np.empty((len(R), len(self.pairs)))
        of_box = np.array([isinstance(shape, Box) for shape in self._shapes], dtype=bool)
        first, second = self.pairs.T
        for kinds, gap in (((0, 0), self._capsules), ((0, 1), self._capsule_box), ((1, 1), self._boxes)):
            k = np.flatnonzero((of_box[first] == kinds[0]) & (of_box[second] == kinds[1]))
            if len(k):
                gaps[:, k] = gap(R, t, first[k], second[k])
        return gaps

    def _capsules(self, R: NDArray, t: NDArray, i: NDArray, j: NDArray) -> NDArray[np.float64]:
        return capsule_gap(*self._round(R, t, i), *self._round(R, t, j))

    def _capsule_box(self, R: NDArray, t: NDArray, i: NDArray, j: NDArray) -> NDArray[np.float64]:
        a, b, radius = self._round(R, t, i)
        centre, turn, half = self._square(R, t, j)
        a, b = (np.einsum("bpji,bpj->bpi", turn, x - centre) for x in (a, b))
        return capsule_box_gap(a, b, radius, half)

    def _boxes(self, R: NDArray, t: NDArray, i: NDArray, j: NDArray) -> NDArray[np.float64]:
        centre, turn, half = self._square(R, t, i)
        other_centre, other_turn, other_half = self._square(R, t, j)
        offset = np.einsum("bpji,bpj->bpi", turn, other_centre - centre)
        return box_gap(offset, np.swapaxes(turn, -1, -2) @ other_turn, half, other_half)

    def _round(self, R: NDArray, t: NDArray, index: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """World positions (B, P, 3) of the ends of capsules, and their radii (P,)."""
        shapes = [self._shapes[k] for k in index]
        ends = [np.array([getattr(s, name) for s in shapes]) for name in ("start", "end")]
        a, b = (np.einsum("bpij,pj->bpi", R[:, index], x) + t[:, index] for x in ends)
        return a, b, np.array([s.radius for s in shapes if isinstance(s, Capsule)])

    def _square(self, R: NDArray, t: NDArray, index: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """World centres (B, P, 3) and axes (B, P, 3, 3) of boxes, and their half sizes (P, 3)."""
        boxes = [s for s in (self._shapes[k] for k in index) if isinstance(s, Box)]
        centre = np.einsum("bpij,pj->bpi", R[:, index], np.array([s.centre for s in boxes])) + t[:, index]
        return centre, R[:, index] @ np.array([s.rotation for s in boxes]), np.array([s.half for s in boxes])


def hand_solids(hand: Hand) -> HandSolids:
    """The hand's primitives as solids; made once per hand.

    Raises:
        HandError: the hand has no collision shapes, or one of them has no volume.
    """
    if hand.spec not in _made:
        _made[hand.spec] = _without_overlaps(_solids(hand.spec), hand)
    return _made[hand.spec]


_made: WeakKeyDictionary[HandSpec, HandSolids] = WeakKeyDictionary()
atexit.register(_made.clear)  # manifold3d complains on stderr of solids that outlive it


def _solids(spec: HandSpec) -> HandSolids:
    links = spec.tree.links
    placed = [(i, s) for i, link in enumerate(links) for s in link.capsules]
    placed += [(i, s) for i, link in enumerate(links) for s in link.boxes]
    if not placed:
        raise HandError(f"{spec.name}: expected collision shapes, found none")
    for i, shape in placed:
        size = shape.half.min() if isinstance(shape, Box) else shape.radius
        if not size > 0:
            raise HandError(f"{spec.name}: {links[i].name}: expected a shape with a volume, found {shape}")
    owner, shapes = np.array([i for i, _ in placed]), tuple(s for _, s in placed)
    pairs = [pair for pair in combinations(range(len(shapes)), 2) if _strangers(spec, *owner[list(pair)])]
    return HandSolids(
        owner, tuple(map(shape_solid, shapes)), np.array(pairs, np.int64).reshape(-1, 2), _cover(owner, shapes), shapes
    )


def _strangers(spec: HandSpec, a: int, b: int) -> bool:
    names = {spec.tree.names[a], spec.tree.names[b]}
    return not adjacent(spec.tree, a, b) and all(set(pair) != names for pair in spec.overlaps)


def adjacent(tree: Tree, a: int, b: int) -> bool:
    """Whether two links are the same or neighbours in the tree, skipping links without a shape; they may overlap."""

    def above(i: int) -> int:
        i = tree.parents[i]
        while i > 0 and not (tree.links[i].capsules or tree.links[i].boxes):
            i = tree.parents[i]
        return i

    return a == b or above(a) == b or above(b) == a


def _without_overlaps(solids: HandSolids, hand: Hand) -> HandSolids:
    """The same without the pairs of links that overlap at rest: so the hand is described, it is no fault of a pose."""
    pose = hand.rest_pose(1).map(lambda x: x.double().cpu())
    depth = -solids.gaps(hand.forward_kinematics(pose))[0]
    links = [(int(i), int(j)) for i, j in np.sort(solids.link[solids.pairs], axis=1)]
    worst: dict[tuple[int, int], float] = {}
    for pair, value in zip(links, depth, strict=True):
        if value > 0:
            worst[pair] = max(float(value), worst.get(pair, 0.0))
    kept = [pair not in worst for pair in links]
    found = tuple((hand.link_names[i], hand.link_names[j], value) for (i, j), value in worst.items())
    return replace(solids, pairs=solids.pairs[kept], overlaps=found)


def shape_solid(shape: Capsule | Box, segments: int = SEGMENTS) -> Manifold:
    """A primitive as a solid of exactly its volume, metres, link frame.

    Args:
        shape: a capsule, sphere or box.
        segments: edges around a capsule or sphere, a multiple of 4.
    """
    if isinstance(shape, Box):
        return manifold_of(primitive_mesh(shape), shape.name)
    ball = np.asarray(Manifold.sphere(shape.radius, segments).to_mesh64().vert_properties)[:, :3]
    axis = shape.end - shape.start
    length = float(np.linalg.norm(axis))
    shift = np.array([0, 0, length / 2])
    rims = [ball[ball[:, 2] >= -1e-9 * shape.radius] + shift, ball[ball[:, 2] <= 1e-9 * shape.radius] - shift]
    flat = Manifold.hull_points(np.concatenate(rims))
    if flat.status() != Error.NoError or not flat.volume() > 0:
        raise HandError(f"{shape.name}: expected a capsule with a volume, found {shape}")
    volume = np.pi * shape.radius**2 * (length + 4 / 3 * shape.radius)
    scale = (volume / flat.volume()) ** (1 / 3)
    frame = _frame(axis / length) if length else np.eye(3)
    solid = flat.transform(np.column_stack([scale * frame, (shape.start + shape.end) / 2]))
    solid.num_tri()  # applies the lazy transform once and for all
    return solid


def _frame(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rotation whose third column is z, unit."""
    x = np.cross(z, np.eye(3)[np.abs(z).argmin()])
    x = x / np.linalg.norm(x)
    return np.array([x, np.cross(z, x), z], np.float64).T


def _cover(owner: NDArray[np.int64], shapes: tuple[Capsule | Box, ...]) -> Balls:
    covers = [_balls(shape) for shape in shapes]
    primitive = np.repeat(np.arange(len(shapes)), [len(centre) for centre, _ in covers])
    centre, radius = (np.concatenate(x) for x in zip(*covers, strict=True))
    return Balls(primitive, owner[primitive], centre, radius)


def _balls(shape: Capsule | Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (n, 3) and radii (n,) of balls that cover a primitive: along the axis, or around the cubes of a box."""
    if isinstance(shape, Box):
        count = np.ceil(shape.half / shape.half.min() - 1e-9).astype(int)
        cell = shape.half / count  # half sizes
        place = np.indices(tuple(count)).reshape(3, -1).T
        centre = shape.centre + (cell * (2 * place + 1) - shape.half) @ shape.rotation.T
        return centre, np.full(len(centre), float(np.linalg.norm(cell)))
    axis = shape.end - shape.start
    count = int(np.ceil(3 * np.linalg.norm(axis) / shape.radius))
    along = np.concatenate([[0, 1], (np.arange(count) + 0.5) / max(count, 1)])
    middle = float(np.hypot(shape.radius, np.linalg.norm(axis) / max(count, 1) / 2))
    return shape.start + along[:, None] * axis, np.array([shape.radius] * 2 + [middle] * count)
