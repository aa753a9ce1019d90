"""Palm poses and all 24 joint angles of the robot from the text files of its TF tree, vectorised.

Each edge of the tree is one file `TF/<parent>-<child>.txt` with rows `stamp_ns tx ty tz qx qy qz qw`, the child in the
parent's frame. Each edge is interpolated at the requested stamps; the edges are then chained. (RealDex's own tool
recomputes the whole tree for each row of each file and takes the nearest.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...files.cache import Arrays, cached, content_key
from ...files.errors import BadFile
from ...hands.load import load_hand
from .archive import Folder
from .tables import check_quaternions, read_table

WORLD, FOREARM, PALM, PREFIX = "world", "rh_forearm", "rh_palm", "rh_"
MAX_GAP = 0.2
"""Seconds between two rows, or beyond the first and last, over which an edge that moves is still interpolated."""
MAX_RESIDUAL = 1e-2  # Radians by which a joint's rotation may be off its axis

_VERSION = 1  # incremented when the same files would give other numbers
_STILL = 1e-6  # metres, and about radians, that rows of a constant edge differ by


@dataclass(frozen=True)
class Hinge:
    """A joint of the robot: the rotation of `child` about `axis` after the fixed rotation `origin` in `parent`."""

    joint: str
    parent: str
    child: str
    origin: NDArray
    axis: NDArray

    @property
    def edge(self) -> str:
        """Name of its file, without the suffix."""
        return f"{self.parent}-{self.child}"


@dataclass(frozen=True)
class Edge:
    """The motion of a frame in its parent's."""

    path: Path  # its file
    stamp: NDArray[np.int64]  # (N,), int64, nanoseconds, strictly increasing
    translation: NDArray  # (N, 3), metres
    quaternion: NDArray  # (N, 4), x y z w, unit, parent_from_child

    def at(self, stamps: NDArray[np.int64]) -> tuple[NDArray, Rotation]:
        """Translation (T, 3), linear, and rotation (T), slerp; constant beyond the ends."""
        if len(self.stamp) == 1:
            first = np.zeros(len(stamps), int)
            return self.translation[first], Rotation.from_quat(self.quaternion[first])
        before, share = self._place(stamps)
        start, step = self.translation[before], self.translation[before + 1] - self.translation[before]
        first, second = (Rotation.from_quat(self.quaternion[row]) for row in (before, before + 1))
        turn = share[:, None] * (first.inv() * second).as_rotvec()
        return start + share[:, None] * step, first * Rotation.from_rotvec(turn)

    def covers(self, stamps: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(T,), whether there are rows within MAX_GAP; always true for an edge that never moves."""
        if self._constant():
            return np.ones(len(stamps), bool)
        gap = int(MAX_GAP * 1e9)
        before, share = self._place(stamps)
        bridged = (self.stamp[before + 1] - self.stamp[before] <= gap) | (share == 0) | (share == 1)
        return bridged & (stamps >= self.stamp[0] - gap) & (stamps <= self.stamp[-1] + gap)

    def _place(self, stamps: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray]:
        """The row before each stamp, at most the last but one, and the fraction of the interval to the next."""
        before = np.clip(np.searchsorted(self.stamp, stamps, side="right") - 1, 0, len(self.stamp) - 2)
        way = (stamps - self.stamp[before]) / (self.stamp[before + 1] - self.stamp[before])
        return before, np.clip(way, 0.0, 1.0)

    def _constant(self) -> bool:
        if len(self.stamp) == 1:
            return True
        moved = np.abs(self.translation - self.translation[0]).max()
        turned = np.abs(np.abs(self.quaternion @ self.quaternion[0]) - 1).max()
        return bool(moved < _STILL and turned < _STILL**2)


@dataclass(frozen=True)
class RobotMotion:
    """The robot at T stamps; metres, radians, world frame."""

    joints: NDArray  # (T, 24), URDF signs, in the order of `hinges()`: WRJ2, WRJ1, then FFJ4 to THJ1
    palm_translation: NDArray  # (T, 3), including the wrist
    palm_rotation: NDArray  # (T, 3, 3), world_from_palm
    forearm_translation: NDArray  # likewise of `rh_forearm`
    forearm_rotation: NDArray
    covered: NDArray[np.bool_]  # (T,), False where a frame's position is a guess; see `Edge.covers`


class MissingEdges(BadFile):
    """Files of the TF tree are missing; the message names them."""


@lru_cache(maxsize=1)
def hinges() -> tuple[Hinge, ...]:
    """The 24 joints of the robot's hand: the wrist, then the chain of `shadow_e3m5`."""
    up, right, eye = np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0]), np.eye(3)
    wrist = [Hinge("WRJ2", FOREARM, "rh_wrist", eye, up), Hinge("WRJ1", "rh_wrist", PALM, eye, right)]
    links = [link for link in load_hand("shadow_e3m5").spec.tree.links if link.joint is not None]
    fingers = [
        Hinge(link.joint.name, f"{PREFIX}{link.parent}", f"{PREFIX}{link.name}", link.rotation, link.joint.axis)
        for link in links
        if link.joint is not None
    ]
    return (*wrist, *fingers)


def read_robot(folder: Folder, stamps: NDArray[np.int64]) -> RobotMotion:
    """Reads the robot's motion at `stamps` (T,), int64, nanoseconds of its clock; cached.

    Raises MissingEdges if files of the hand, or of the chain from it to the world, are missing; BadFile if one is
    malformed, or a joint rotates off its axis.
    """
    arm = find_chain(folder)
    names = sorted({*arm, *(hinge.edge for hinge in hinges())})
    digests = [(name, folder.digest(f"TF/{name}.txt")) for name in names]

    def make() -> Arrays:
        edges = {name: read_edge(folder, name) for name in names}
        return vars(robot_motion(edges, arm, stamps))

    return RobotMotion(**cached("realdex_tf", content_key(_VERSION, digests, stamps.tobytes()), make))


def robot_motion(edges: Mapping[str, Edge], arm: Iterable[str], stamps: NDArray[np.int64]) -> RobotMotion:
    """The robot at `stamps` (T,), int64, nanoseconds.

    `edges` are all of the hand and the arm, by name; `arm` names those from the world to the palm, in this order.
    Raises BadFile if a joint rotates off its axis.
    """
    poses = {name: edge.at(stamps) for name, edge in edges.items()}
    covered = np.all([edge.covers(stamps) for edge in edges.values()], axis=0)
    placed = {WORLD: (np.zeros((len(stamps), 3)), Rotation.identity(len(stamps)))}
    frame = WORLD
    for name in arm:
        (origin, turned), (shift, turn) = placed[frame], poses[name]
        frame = name.partition("-")[2]
        placed[frame] = origin + turned.apply(shift), turned * turn
    angles = [joint_angle(hinge, poses[hinge.edge][1], edges[hinge.edge], covered) for hinge in hinges()]
    (palm, palm_turn), (forearm, forearm_turn) = placed[PALM], placed[FOREARM]
    return RobotMotion(
        joints=np.stack(angles, axis=1),
        palm_translation=palm,
        palm_rotation=palm_turn.as_matrix(),
        forearm_translation=forearm,
        forearm_rotation=forearm_turn.as_matrix(),
        covered=covered,
    )


def joint_angle(hinge: Hinge, turn: Rotation, edge: Edge, covered: NDArray[np.bool_]) -> NDArray:
    """(T,) radians: the rotation vector of origin^-1 `turn`, along the axis; raises BadFile if it is off the axis by
    more than MAX_RESIDUAL in a covered frame.
    """
    vector = (Rotation.from_matrix(hinge.origin).inv() * turn).as_rotvec()
    angle = vector @ hinge.axis
    off = np.where(covered, np.linalg.norm(vector - angle[:, None] * hinge.axis, axis=1), 0.0)
    worst = int(off.argmax())
    if off[worst] > MAX_RESIDUAL:
        axis = " ".join(f"{x:g}" for x in hinge.axis)
        hint = "rows are stamp tx ty tz qx qy qz qw; is it the right hand of RealDex?"
        found = f"one that is {off[worst]:.3g} rad off it at frame {worst}"
        raise BadFile(edge.path, f"a turn about the axis ({axis}) of {hinge.joint}", found, hint=hint)
    return angle


def find_chain(folder: Folder) -> list[str]:
    """Names of the edges from the world to the palm, in this order, from the files present.

    Raises MissingEdges if one of the hand is missing, or the chain up from the forearm ends before the world.
    """
    names = {name.removesuffix(".txt") for name in folder.list("TF") if name.endswith(".txt")}
    missing = [f"{hinge.edge}.txt" for hinge in hinges() if hinge.edge not in names]
    above: dict[str, list[str]] = {}
    for name in sorted(names):
        parent, _, child = name.partition("-")
        above.setdefault(child, []).append(parent)
    way, tops = _climb(above)
    if way is None:
        missing += [f"<parent>-{top}.txt" for top in tops]
    if missing:
        found = f"no {', '.join(missing)} among {len(names)} files"
        raise MissingEdges(folder.path / "TF", f"the edges from {WORLD} to {PALM} and of the hand", found)
    return [*(way or []), *(hinge.edge for hinge in hinges()[:2])]


def read_edge(folder: Folder, name: str) -> Edge:
    """Reads one file of the tree; the last one of rows with the same stamp counts.

    Raises BadFile if it has no rows of eight numbers, or a quaternion that is not of length 1.
    """
    stamps, rows = read_table(folder, f"TF/{name}.txt", 7, stamped=True)
    path = folder.path / "TF" / f"{name}.txt"
    check_quaternions(path, rows[:, 3:])
    stamp, last = np.unique(stamps[::-1], return_index=True)
    rows = rows[::-1][last]
    return Edge(path, stamp, rows[:, :3], rows[:, 3:] / np.linalg.norm(rows[:, 3:], axis=1, keepdims=True))


def _climb(above: Mapping[str, list[str]]) -> tuple[list[str] | None, list[str]]:
    """The shortest path from the world to the forearm, or None and the frames where all paths up end."""
    paths, seen, tops = [[FOREARM]], {FOREARM}, []
    while paths:
        path = paths.pop(0)
        if path[0] == WORLD:
            return [f"{parent}-{child}" for parent, child in pairwise(path)], []
        parents = [parent for parent in above.get(path[0], []) if parent not in seen]
        if not above.get(path[0]):
            tops.append(path[0])
        seen.update(parents)
        paths += [[parent, *path] for parent in parents]
    return None, tops
