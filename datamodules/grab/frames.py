"""Rules that select frames of a sequence: those of GRAB, GOAL and SAGA, and ours, as functions of a few signals.

All see the sequence at 120 fps from its frame 0. Rules for motions (`MOTION_RULES`) end in clips of 30 fps, rules for
single frames (`GRASP_RULES`) keep every frame that qualifies. Docstrings say where sources are ambiguous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ...geometry.rotations import rotvec_to_rotmat
from .objects import LEFT_FINGERS, RIGHT_FINGERS_NO_THUMB, RIGHT_HAND, bits
from .sequence import FPS

STRIDE = 4  # Step between frames of a clip: 120 to 30 fps
LIFT = 0.004  # metres above its initial height at which an object counts as lifted (GOAL)
ONSET = 0.02  # metres by which the wrist must move for a reach to begin (ours)
ELBOW_SPEED = 0.6  # 1/s, entrywise norm of the change of a rotation matrix (GOAL)
FPS_OUT = FPS / STRIDE  # Frames per second of a clip
SAGA_FRAMES = 62


@dataclass(frozen=True)
class Signals:
    """Inputs of the rules, for T frames at 120 fps."""

    wrist: NDArray  # (T, 3), metres, world; any point fixed to the wrist
    object: NDArray  # (T, 3), metres, world, z up
    touch: NDArray[np.uint64]  # (T,), uint64, set of the labels on the object, see `sequence.touching`
    elbow_speed: NDArray  # (T,), 1/s, see `rotation_speed`


@dataclass(frozen=True)
class Selection:
    """The frames that a rule selects, or the reason why it selects none."""

    frames: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # (n,), repeated to pad a clip
    reason: str = ""  # why none were selected; "" otherwise


def rotation_speed(rotvec: NDArray) -> NDArray:
    """(T,), 1/s: entrywise (Frobenius) norm of R_i - R_(i-1), times 120, of rotation vectors (T, 3), radians; 0 at
    frame 0.

    GOAL's text does not say whether a step belongs to its first or second frame; here it is the second.
    """
    matrix = rotvec_to_rotmat(torch.from_numpy(np.asarray(rotvec, dtype=np.float64))).numpy()
    steps = np.linalg.norm(np.diff(matrix, axis=0), axis=(1, 2)) * FPS
    return np.concatenate([[0.0], steps])


def lift_off(signals: Signals) -> int | None:
    """First frame with the object more than 4 mm above its height at frame 0 (GOAL), or None."""
    return _first(signals.object[:, 2] > signals.object[0, 2] + LIFT)


def onset(signals: Signals) -> int | None:
    """First frame with the wrist more than 2 cm from its position at frame 0, or None."""
    return _first(np.linalg.norm(signals.wrist - signals.wrist[0], axis=1) > ONSET)


def first_contact(signals: Signals) -> int | None:
    """First frame in which the right hand, palm or fingers, touches the object, or None."""
    return _first(_touches(signals.touch, RIGHT_HAND))


def elbow_onset(signals: Signals) -> int | None:
    """Index of the third frame whose elbow turns faster than 0.6 (GOAL), or None."""
    fast = np.flatnonzero(signals.elbow_speed > ELBOW_SPEED)
    return int(fast[2]) if len(fast) > 2 else None


def reach(signals: Signals, goal: str = "lift_off") -> Selection:
    """A reach from the onset of the hand: start < i < end with i mod 4 = 0.

    Steps 1, 2 and 4 of GOAL's rule, with the onset of the hand instead of the elbow's. It ends at `goal`: "lift_off",
    when the grasp is closed, or "contact", when the right hand first touches.
    """
    lifted, reason = _lifted_by_right_hand(signals)
    if reason:
        return Selection(reason=reason)
    start, end = onset(signals), lifted if goal == "lift_off" else first_contact(signals)
    return _between(start, end, "the hand never moves 2 cm")


def goal_reach(signals: Signals) -> Selection:
    """GOAL's MNet: from the third fast frame of the (left!) elbow to lift-off, start < i < lift-off, i mod 4 = 0."""
    lifted, reason = _lifted_by_right_hand(signals)
    if reason:
        return Selection(reason=reason)
    return _between(elbow_onset(signals), lifted, "the elbow is never fast")


def saga(signals: Signals) -> Selection:
    """SAGA's second stage: 62 frames at 30 fps that end at the grasp, padded in front with frame 0.

    SAGA uses sequences that were cut at the grasp by an unreleased script. Here the last frame is the one before
    lift-off, and GOAL's contact filter applies.
    """
    lifted, reason = _lifted_by_right_hand(signals)
    if reason or lifted is None:
        return Selection(reason=reason)
    back = STRIDE * np.arange(SAGA_FRAMES - 1, -1, -1)
    return Selection(np.maximum(lifted - 1 - back, 0))


def grab(signals: Signals) -> Selection:
    """GRAB's preprocessing: every frame in which anything touches the object."""
    return _chosen(_touches(signals.touch, range(1, 64)), "nothing touches the object")


def goal_grasp(signals: Signals) -> Selection:
    """GOAL's GNet: 5 mm < |z - z0| < 15 cm, under 10 cm from its position in x and y, held by right fingers only."""
    moved = signals.object - signals.object[0]
    height, level = np.abs(moved[:, 2]), np.linalg.norm(moved[:, :2], axis=1)
    held = _touches(signals.touch, RIGHT_FINGERS_NO_THUMB) & ~_touches(signals.touch, LEFT_FINGERS)
    return _chosen((height > 0.005) & (height < 0.15) & (level < 0.10) & held, "never held near its initial position")


MOTION_RULES: dict[str, Callable[..., Selection]] = {"reach": reach, "goal_reach": goal_reach, "saga": saga}
GRASP_RULES: dict[str, Callable[[Signals], Selection]] = {"grab": grab, "goal_grasp": goal_grasp}


def _first(condition: NDArray[np.bool_]) -> int | None:
    return int(condition.argmax()) if condition.any() else None


def _touches(touch: NDArray[np.uint64], labels: tuple[int, ...] | range) -> NDArray[np.bool_]:
    return (touch & np.uint64(bits(labels))) != 0


def _lifted_by_right_hand(signals: Signals) -> tuple[int | None, str]:
    """Lift-off, or why the sequence is not a reach of the right hand: at lift-off only right fingers must touch."""
    lifted = lift_off(signals)
    if lifted is None:
        return None, "the object is never lifted"
    now = signals.touch[lifted : lifted + 1]
    if not _touches(now, RIGHT_FINGERS_NO_THUMB)[0]:
        return lifted, "no right finger touches the object at lift-off"
    if _touches(now, LEFT_FINGERS)[0]:
        return lifted, "left fingers touch the object at lift-off"
    return lifted, ""


def _between(start: int | None, end: int | None, no_start: str) -> Selection:
    if start is None or end is None:
        return Selection(reason=no_start)
    frames = np.arange(STRIDE * (start // STRIDE + 1), end, STRIDE)
    return Selection(frames) if len(frames) > 1 else Selection(reason="fewer than 2 frames at 30 fps")


def _chosen(condition: NDArray[np.bool_], reason: str) -> Selection:
    frames = np.flatnonzero(condition)
    return Selection(frames) if len(frames) else Selection(reason=reason)
