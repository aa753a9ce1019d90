"""Plausibility checks: hands far from the object they grasp, joints far beyond their limits, impossible sizes.

Wrong units give numbers that look perfect: a hand 100 m away penetrates nothing. The bounds lie between the values of
real and generated grasps (DexGraspNet's exceed their limits by up to 0.58 rad) and those that a wrong unit gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .hand import Hand
from .mano import ManoHand
from .pose import HandPose
from .tree import Link

NEAR = 0.05
"""metres: a hand that is farther from its object everywhere does not grasp it."""
BENT = 0.6
"""radians (metres for a slide) beyond a joint's limit, more than any hand or optimiser gives."""
OBJECT = 0.001, 1.0
"""metres, range of the longest side of an object that a hand can grasp."""
LIKELY = 0.02, 0.5
"""metres, likewise of an object whose unit is guessed."""
HAND = 0.02, 1.0
"""metres, likewise for a hand at rest."""
LIMIT = 7.0
"""radians: no joint turns by more than a full turn."""
STIFF = 0.1
"""radians: some joint of every hand turns by more."""
UNITS = {"millimetres": 0.001, "centimetres": 0.01}
"""Metres per unit."""

_POINTS = 128  # on the hand: between one and two centimetres apart
_CHUNK = 1024  # grasps per batch
_FAR, _BENT = "hand far from the object", "joints beyond their limits"
_DEGREES = "degrees"

Distance = Callable[[Tensor, Tensor], Tensor]
"""Maps points (b, P, 3), metres, object frame, and the indices (b,) of their grasps to distances (b, P), metres."""


@dataclass(frozen=True, eq=False)
class Doubts:
    """Implausible values of N grasps.

    Attributes:
        distance: (N,), metres, least distance of hand and object, negative inside; NaN where unknown.
        excess: (N,), radians, largest excess of a joint over its limits; NaN likewise.
        reasons: N reasons without numbers, "" for a plausible grasp.
    """

    distance: NDArray[np.float64]
    excess: NDArray[np.float64]
    reasons: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of implausible grasps."""
        return sum(map(bool, self.reasons))

    @classmethod
    def join(cls, parts: Sequence[Doubts]) -> Doubts:
        """Joins the doubts about several sets of grasps."""
        distance = np.concatenate([np.zeros(0), *(part.distance for part in parts)])
        excess = np.concatenate([np.zeros(0), *(part.excess for part in parts)])
        return cls(distance, excess, tuple(reason for part in parts for reason in part.reasons))

    def messages(self) -> list[str]:
        """One line on distances and one on joints, with numbers and a possible explanation."""
        far, bent = (np.array([kind in reason for reason in self.reasons], dtype=bool) for kind in (_FAR, _BENT))
        lines = []
        if far.any():
            low, high = self.distance[far].min(), self.distance[far].max()
            where = f"the hand is {_span(low, high, 'm')} from the object, never within {100 * NEAR:g} cm"
            hints = [self._hint(unit, f"translations in {unit}") for unit in UNITS]
            lines.append(self._line(far, where, hints, f"within {100 * NEAR:g} cm"))
        if bent.any():
            span = _span(self.excess[bent].min(), self.excess[bent].max(), "rad")
            hints = [self._hint(_DEGREES, "joints in degrees")]
            lines.append(self._line(bent, f"joints {span} beyond their limits", hints, f"at most {BENT:g} rad beyond"))
        return lines

    def _hint(self, unit: str, what: str) -> tuple[int, str]:
        return sum(f"({unit}?)" in reason for reason in self.reasons), what

    def _line(self, which: NDArray[np.bool_], what: str, hints: Sequence[tuple[int, str]], then: str) -> str:
        explained, name = max(hints, key=lambda hint: hint[0])
        end = f"; did you mean {name}? If so, {explained} of them are {then}" if explained else ""
        return f"implausible: {int(which.sum())} of {len(which)} grasps: {what}{end}"


def doubt_grasps(hand: Hand, pose: HandPose, distance: Distance | None) -> Doubts:
    """Checks grasps for the position of the hand and its joint values.

    Args:
        hand: the hand, on the CPU.
        pose: HandPose (N,), object frame, metres and radians; poses that are not finite are not checked.
        distance: to the object; None skips this check.
    """
    pose = pose.map(lambda x: x.detach().double().cpu())
    parts = [pose.translation, pose.rotation.flatten(1), pose.joints]
    known = torch.cat(parts, dim=1).isfinite().all(1).numpy()
    moved = {unit: replace(pose, translation=pose.translation * factor) for unit, factor in UNITS.items()}
    gap = _gaps(hand, pose, distance, known)
    far = gap > NEAR
    nearer = {unit: _gaps(hand, other, distance, far) for unit, other in moved.items()} if far.any() else {}
    excess = beyond_limits(hand, pose.joints).max(axis=1, initial=0.0)
    degrees = beyond_limits(hand, pose.joints.deg2rad()).max(axis=1, initial=0.0)
    return judge(gap, nearer, np.where(known, excess, np.nan), degrees)


def judge(
    distance: NDArray[np.float64],
    nearer: Mapping[str, NDArray[np.float64]],
    excess: NDArray[np.float64],
    degrees: NDArray[np.float64],
) -> Doubts:
    """Doubts about N grasps from their numbers; NaN is not checked.

    Args:
        distance: (N,), metres, least distance of hand and object.
        nearer: (N,) by unit of `UNITS`, the same, if translations are in that unit.
        excess: (N,), radians, largest excess of a joint over its limits.
        degrees: (N,), the same, if the joints are in degrees.
    """
    reasons = []
    for i in range(len(distance)):
        found = []
        if distance[i] > NEAR:
            unit = min(nearer, key=lambda name: np.nan_to_num(abs(nearer[name][i]), nan=np.inf), default="")
            found.append(_FAR + (f" ({unit}?)" if unit and nearer[unit][i] <= NEAR else ""))
        if excess[i] > BENT:
            found.append(_BENT + (f" ({_DEGREES}?)" if degrees[i] <= BENT else ""))
        reasons.append("; ".join(found))
    return Doubts(np.asarray(distance, np.float64), np.asarray(excess, np.float64), tuple(reasons))


def beyond_limits(hand: Hand, joints: Tensor) -> NDArray[np.float64]:
    """(N, J), radians beyond the joint limits, 0 within. A ball joint of MANO has no range except pi."""
    joints = joints.double()
    if isinstance(hand, ManoHand):
        return (joints.abs() - torch.pi).clamp_min(0).numpy()
    return torch.maximum(hand.lower.double() - joints, joints - hand.upper.double()).clamp_min(0).numpy()


def doubt_size(side: float, scale: float = 1.0) -> str:
    """Says why an object cannot have this longest side, and which scale would fit; "" if it can.

    Args:
        side: metres, at `scale`.
        scale: metres per unit of its file, as assumed.
    """
    low, high = OBJECT
    if low <= side <= high:
        return ""
    factor = next((f for f in (0.001, 0.01, 0.0254, 1e3, 100.0) if LIKELY[0] <= side * f <= LIKELY[1]), None)
    hint = f"; did you mean a scale of {scale * factor:g} ({_length(side * factor)})?" if factor else ""
    return f"implausible: the longest side is {_length(side)}, expected 1 mm to 1 m{hint}"


def doubt_hand(hand: Hand) -> list[str]:
    """Reasons why a hand's description cannot be in metres and radians, one sentence each."""
    notes = []
    for link in hand.spec.tree.links:
        if (size := _link_size(link)) > HAND[1]:
            notes.append(
                f"implausible: link {link.name} is {_length(size)} long, expected {HAND[1]:g} m at most; did you mean "
                f'millimetres ({_length(size / 1000)})? Write scale="0.001 0.001 0.001" at its mesh'
            )
    for joint in hand.spec.tree.joints:
        ends = [end for end in (joint.lower, joint.upper) if np.isfinite(end)]
        if ends and not joint.slide and max(map(abs, ends)) > LIMIT:
            span = f"{joint.lower:g} to {joint.upper:g}"
            turned = f"{np.deg2rad(joint.lower):.2f} to {np.deg2rad(joint.upper):.2f}"
            notes.append(
                f"implausible: joint {joint.name} turns from {span} rad; did you mean degrees ({turned} rad)? Limits "
                'are in radians, except in an MJCF with angle="degree"'
            )
    ends = [abs(end) for j in hand.spec.tree.joints if not (j.slide or j.ball) for end in (j.lower, j.upper)]
    if ends and max(ends) < STIFF:
        notes.append(
            f"implausible: no joint turns beyond {max(ends):.2g} rad; did you mean radians "
            f'({np.rad2deg(max(ends)):.2f} rad)? An MJCF is in degrees unless it says <compiler angle="radian"/>'
        )
    return notes or _whole_size(hand)


def _whole_size(hand: Hand) -> list[str]:
    points = hand.forward_kinematics(hand.rest_pose()).translation
    size = float((points.amax(0) - points.amin(0)).max()) + max(map(_link_size, hand.spec.tree.links), default=0.0)
    if not size or HAND[0] <= size <= 2 * HAND[1]:
        return []
    other = "millimetres" if size > 1 else "metres"
    return [f"implausible: the hand is {_length(size)} long at rest; did you mean {other}? Lengths are in metres"]


def _link_size(link: Link) -> float:
    """Longest side of the bounding box of a link's shapes, metres; 0 without shapes."""
    corners = [np.zeros((0, 3))]
    for capsule in link.capsules:
        corners += [end + np.array([[-1.0], [1.0]]) * capsule.radius for end in (capsule.start, capsule.end)]
    for box in link.boxes:
        corners.append(box.centre + np.array([[-1.0], [1.0]]) * (np.abs(box.rotation) @ box.half))
    every = np.concatenate(corners)
    return float((every.max(0) - every.min(0)).max()) if len(every) else 0.0


def _gaps(hand: Hand, pose: HandPose, distance: Distance | None, which: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,), metres, least distance of points on the hand to the object; NaN where not requested."""
    found = np.full(len(which), np.nan)
    if distance is None:
        return found
    surface = hand.surface(_POINTS)
    for rows in torch.from_numpy(np.flatnonzero(which)).split(_CHUNK):
        if len(rows):
            points = hand.place(hand.forward_kinematics(pose[rows]), surface)
            found[rows.numpy()] = distance(points, rows).amin(1).numpy()
    return found


def _span(low: float, high: float, unit: str) -> str:
    first, last = f"{low:.3g}", f"{high:.3g}"
    return f"{first} {unit}" if first == last else f"{first} to {last} {unit}"


def _length(metres: float) -> str:
    unit, factor = ("m", 1.0) if metres >= 1 else ("cm", 1e2) if metres >= 0.01 else ("mm", 1e3)
    return f"{metres * factor:.3g} {unit}"
