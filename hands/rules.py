"""Rules that place points on a hand: on its surface, as contact candidates, as penetration keypoints.

The published sets of such points were hand-picked for one hand; rules work for any hand
(PKU-EPIC/DexGraspNet, issue 20).
"""

from __future__ import annotations

import numpy as np
import torch

from ..geometry.sampling import farthest_point_sampling
from .kinematics import Links
from .points import Boxes, Capsules, LinkPoints, place, primitive_distances
from .tree import Box, Capsule, Tree

CONTACTS_PER_LINK = 10
CONTACT_ANGLE = np.pi / 6  # a candidate's normal is within 30 degrees of the palmar direction
KEYPOINT_SPACING = 0.020  # metres; DexGraspNet keeps neighbours on a finger farther apart than this
_OVERSAMPLING = 16

_Sample = tuple[np.ndarray, np.ndarray]  # positions, normals


def primitives(tree: Tree) -> tuple[Capsules, Boxes]:
    """The tree's primitives as tensors (float64), in link order."""
    capsules = [(i, c) for i, link in enumerate(tree.links) for c in link.capsules]
    boxes = [(i, b) for i, link in enumerate(tree.links) for b in link.boxes]
    return (
        Capsules(
            torch.tensor([i for i, _ in capsules], dtype=torch.int64),
            _stack([c.start for _, c in capsules], (3,)),
            _stack([c.end for _, c in capsules], (3,)),
            _stack([c.radius for _, c in capsules], ()),
        ),
        Boxes(
            torch.tensor([i for i, _ in boxes], dtype=torch.int64),
            _stack([b.centre for _, b in boxes], (3,)),
            _stack([b.rotation for _, b in boxes], (3, 3)),
            _stack([b.half for _, b in boxes], (3,)),
        ),
    )


def surface(tree: Tree, rest: Links, n: int, seed: int) -> LinkPoints:
    """n points on the primitives, spread evenly over each link, with numbers per link in proportion to area.

    Only the outer surface counts: points inside another primitive in the rest posture are dropped.

    Args:
        tree: the hand.
        rest: its links in the rest posture, float64, batch shape ().
        n: how many points.
        seed: of the candidates; the same seed gives the same points.
    """
    rng = np.random.default_rng(seed)
    capsules, boxes = primitives(tree)
    owners = torch.cat([capsules.link, boxes.link])
    shapes = [c for link in tree.links for c in link.capsules] + [b for link in tree.links for b in link.boxes]
    count = max(256, _OVERSAMPLING * n)
    total = sum(_area(shape) for shape in shapes)
    samples, area = [], np.zeros(len(tree.links))
    for k, shape in enumerate(shapes):
        drawn = max(64, int(np.ceil(count * _area(shape) / total)))
        position, normal = (torch.from_numpy(x) for x in _sample(shape, drawn, rng))
        world = place(rest, owners[k].expand(drawn), position)
        distance = primitive_distances(rest, capsules, boxes, world)
        distance[:, k] = torch.inf
        outer = distance.amin(-1) > 1e-6  # where two shapes touch, neither surface is outside
        samples.append((owners[k].expand(int(outer.sum())), position[outer], normal[outer]))
        area[owners[k]] += _area(shape) * outer.double().mean().item()
    link, position, normal = (torch.cat(x) for x in zip(*samples, strict=True))
    chosen = []
    for i, share in enumerate(_share(n, area)):
        members = torch.nonzero(link == i).squeeze(-1)
        if share:
            chosen.append(members[farthest_point_sampling(position[members][None], share)[0]])
    order = torch.cat(chosen)
    return LinkPoints(link[order], position[order], normal[order])


def contact_candidates(tree: Tree, links: list[str], palmar: dict[str, np.ndarray]) -> LinkPoints:
    """Ten points on each contact link, spread over the part of its primitives that faces the palmar direction.

    On a capsule only the cylinder counts, not its caps; on a box the faces within 30 degrees of the palmar direction,
    or otherwise the face closest to it.

    Args:
        tree: the hand.
        links: names of the links that touch objects.
        palmar: (3,) unit direction for each of them, link frame.
    """
    rng = np.random.default_rng(0)
    found = []
    for name in links:
        link = tree[name]
        drawn = [_side(c, rng) for c in link.capsules] + [_sample(b, 512, rng) for b in link.boxes]
        position, normal = (np.concatenate(x) for x in zip(*drawn, strict=True))
        angle = np.arccos(np.clip(normal @ palmar[name], -1, 1))
        facing = angle <= max(CONTACT_ANGLE, angle.min() + 1e-6)
        position, normal = position[facing], normal[facing]
        centre = int(np.linalg.norm(position - position.mean(0), axis=1).argmin())
        order = farthest_point_sampling(torch.from_numpy(position)[None], CONTACTS_PER_LINK, centre)[0].numpy()
        found.append((np.full(CONTACTS_PER_LINK, tree.names.index(name)), position[order], normal[order]))
    return _points(found)


def penetration_keypoints(tree: Tree, palm_links: tuple[str, ...]) -> LinkPoints:
    """Points on the axes of the finger links that must keep a distance from one another.

    The end of each capsule is one; an axis of two or more spacings is also cut into equal parts, with a point at every
    cut. A box counts as the capsule along its longest side. Start points are omitted: they are the parent's end, or
    inside the palm. Points nearer than the spacing to a more distal point on the same finger are omitted too. For
    `shadow` this gives 19 points within 1.5 mm of DexGraspNet's hand-picked ones.
    """
    places = _straight(tree)
    found: list[tuple[int, np.ndarray]] = []
    for i in reversed(range(len(tree.links))):  # from the tips inwards
        link, (R, t) = tree.links[i], places[i]
        if link.name in palm_links:
            continue
        for start, end in [(c.start, c.end) for c in link.capsules] + [_box_axis(b) for b in link.boxes]:
            parts = max(1, int(np.linalg.norm(end - start) / KEYPOINT_SPACING + 1e-9))
            for k in range(parts, 0, -1):
                position = start + k / parts * (end - start)
                beyond = [places[j][0] @ p + places[j][1] for j, p in found if _is_beyond(tree, j, i)]
                if all(np.linalg.norm(R @ position + t - p) >= KEYPOINT_SPACING for p in beyond):
                    found.append((i, position))
    found.sort(key=lambda point: point[0])
    return _points([(np.array([i]), position[None], np.zeros((1, 3))) for i, position in found])


def _straight(tree: Tree) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rotation and translation of each link in the root frame with all joints at 0."""
    places = [(np.eye(3), np.zeros(3))]
    for link, parent in zip(tree.links[1:], tree.parents[1:], strict=True):
        R, t = places[parent]
        places.append((R @ link.rotation, R @ link.translation + t))
    return places


def _is_beyond(tree: Tree, i: int, j: int) -> bool:
    """Whether link i is link j or below it on the same finger."""
    while i > j:
        i = tree.parents[i]
    return i == j


def _points(found: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> LinkPoints:
    if not found:
        return LinkPoints(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3).double(), torch.zeros(0, 3).double())
    return LinkPoints(*(torch.from_numpy(np.concatenate(x)) for x in zip(*found, strict=True)))


def _stack(values: list, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.tensor(np.array(values, dtype=np.float64).reshape(-1, *shape))


def _share(n: int, weights: np.ndarray) -> np.ndarray:
    """Splits n into integers in proportion to the weights, by the largest remainders."""
    exact = n * weights / weights.sum()
    share = np.floor(exact).astype(int)
    share[np.argsort(share - exact, kind="stable")[: n - share.sum()]] += 1
    return share


def _area(shape: Capsule | Box) -> float:
    if isinstance(shape, Capsule):
        return float(2 * np.pi * shape.radius * (np.linalg.norm(shape.end - shape.start) + 2 * shape.radius))
    x, y, z = shape.half
    return float(8 * (x * y + y * z + z * x))


def _sample(shape: Capsule | Box, n: int, rng: np.random.Generator) -> _Sample:
    """n uniform points on the whole surface with their normals, link frame."""
    if isinstance(shape, Box):
        return _sample_box(shape, n, rng)
    length = np.linalg.norm(shape.end - shape.start)
    frame = _frame(shape.end - shape.start)
    # By Archimedes, a capsule's area is uniform in height: its caps have the area of the cylinder around them.
    height = rng.uniform(-shape.radius, length + shape.radius, n)
    beyond = height - np.clip(height, 0, length)
    ring = np.sqrt(np.clip(1 - (beyond / shape.radius) ** 2, 0, None))
    turn = rng.uniform(0, 2 * np.pi, n)
    normal = np.stack([ring * np.cos(turn), ring * np.sin(turn), beyond / shape.radius], axis=1) @ frame.T
    along = np.clip(height, 0, length)[:, None] * frame[:, 2]
    return shape.start + along + shape.radius * normal, normal


def _side(capsule: Capsule, rng: np.random.Generator, n: int = 2048) -> _Sample:
    """Points on the cylinder of a capsule; on the whole sphere if it has no length."""
    length = np.linalg.norm(capsule.end - capsule.start)
    if length == 0:
        return _sample(capsule, n, rng)
    frame, turn = _frame(capsule.end - capsule.start), rng.uniform(0, 2 * np.pi, n)
    normal = np.stack([np.cos(turn), np.sin(turn), np.zeros(n)], axis=1) @ frame.T
    return capsule.start + rng.uniform(0, length, (n, 1)) * frame[:, 2] + capsule.radius * normal, normal


def _sample_box(box: Box, n: int, rng: np.random.Generator) -> _Sample:
    x, y, z = box.half
    axis = rng.choice(3, size=n, p=np.array([y * z, z * x, x * y]) / (x * y + y * z + z * x))
    unit = rng.uniform(-1, 1, (n, 3))
    sign = np.where(unit[np.arange(n), axis] < 0, -1.0, 1.0)
    normal = np.eye(3)[axis] * sign[:, None]
    unit[np.arange(n), axis] = sign
    return box.centre + (unit * box.half) @ box.rotation.T, normal @ box.rotation.T


def _box_axis(box: Box) -> _Sample:
    longest = int(box.half.argmax())
    reach = box.rotation[:, longest] * (box.half[longest] - np.sort(box.half)[1])
    return box.centre - reach, box.centre + reach


def _frame(axis: np.ndarray) -> np.ndarray:
    """A rotation whose third column points along `axis` (identity for a zero axis)."""
    length = np.linalg.norm(axis)
    if length == 0:
        return np.eye(3)
    z = axis / length
    x = np.cross(np.eye(3)[np.abs(z).argmin()], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)
