"""Verdicts on each statistic.

The bounds lie between the values of real data and those of wrong conventions. On DexGraspNet's own samples every grasp
touches and 4.5 of 5 fingertips are within 5 mm of the object; transposed, with other Euler angles or without scale, 0
to 1.3 are. Bounds for recorded hands are laxer: tracking has errors of millimetres, and people grasp with three
fingers, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ...hands.plausible import Doubts
from .examine import Examined
from .measure import Measures

TIP = 0.005  # metres from the object within which a fingertip touches it
BENT = 0.01  # radians: smallest excess over a joint's limit that counts
_FAR_BENT = 0.1  # radians beyond a limit that optimisers and hyperextended hands rarely reach
_SIZES = 0.015, 0.8  # metres: range of sizes of objects for a hand
_RATES = 5.0, 240.0  # frames per second
_IMPLAUSIBLE = 0.05  # share of grasps that a tracker may have lost


class Level(Enum):
    """Level of a verdict."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "BAD"


@dataclass(frozen=True)
class Expected:
    """Typical values of a data set's grasps."""

    window: tuple[float, float]  # metres, range of distances of hand and object that counts as touching
    touching: tuple[float, float]  # shares of grasps in the window: good from the first on, bad below the second
    tips: tuple[float, float]  # likewise, mean number of fingertips within 5 mm


OPTIMISED = Expected((-0.010, 0.002), (0.9, 0.6), (2.5, 1.5))  # Grasps that an optimiser placed on the surface
RECORDED = Expected((-0.015, 0.010), (0.7, 0.35), (1.5, 0.75))
"""Hands that were tracked, or read from a robot's joints, with tracked objects."""


@dataclass(frozen=True)
class Statistic:
    """A number that reveals a wrong convention."""

    kind: str  # "distance", "fingertips", "size", "limits", "plausible", "conventions" or "rate"
    name: str  # human-readable name
    value: str  # the finding, in words
    expected: str  # the expected value, in words
    level: Level  # the verdict


def judge(examined: Examined, measures: Measures, expected: Expected) -> list[Statistic]:
    """Verdicts on the grasps; on distances, widened by `examined.margin`, only if there are meshes."""
    statistics = []
    if np.isfinite(measures.distance).any():
        touch = (judge_distance, measures.distance), (judge_tips, measures.tips)
        statistics += [judged(values, expected, examined.margin) for judged, values in touch]
        statistics.append(judge_size(measures.size))
    limits = judge_limits(measures.excess, examined.bodies[0].hand.joint_names)
    return [*statistics, limits, judge_doubts(measures.doubts)]


def judge_distance(distance: NDArray, expected: Expected, margin: float = 0.0) -> Statistic:
    """Verdict on the least distance of hand and object, (n,), metres; NaN does not count."""
    known = distance[np.isfinite(distance)]
    low, high = expected.window[0] - margin, expected.window[1] + margin
    share = float(np.mean((known >= low) & (known <= high)))
    value = f"median {_mm(np.median(known))}, {_mm(known.min())} to {_mm(known.max())}; {share:.0%} in the window"
    wanted = f"{expected.touching[0]:.0%} or more in [{1e3 * low:g}, {1e3 * high:g}] mm"
    level = _at_least(share, expected.touching)
    return Statistic("distance", "least distance, hand to object", value, wanted, level)


def judge_tips(tips: NDArray, expected: Expected, margin: float = 0.0) -> Statistic:
    """Verdict on the distance of each fingertip to the object, (n, F), metres; rows of NaN do not count."""
    known = tips[np.isfinite(tips).all(axis=1)]
    mean = float(touching(known, expected, margin).mean())
    value = f"{mean:.2f} of {tips.shape[1]} on average"
    name = f"fingertips within {1e3 * (TIP + margin):g} mm of the object"
    return Statistic("fingertips", name, value, f"{expected.tips[0]:g} or more", _at_least(mean, expected.tips))


def touching(tips: NDArray, expected: Expected, margin: float = 0.0) -> NDArray[np.int64]:
    """(n,), number of fingertips (n, F), metres, that are at most 5 mm outside and not too deep inside."""
    return ((tips >= expected.window[0] - margin) & (tips <= TIP + margin)).sum(axis=1)


def judge_size(size: NDArray) -> Statistic:
    """Verdict on the longest side of each object, (n,), metres; NaN does not count."""
    known = size[np.isfinite(size)]
    median, (low, high) = float(np.median(known)), _SIZES
    level = Level.GOOD if low <= median <= high else Level.BAD
    value = f"median {100 * median:.3g} cm, {100 * known.min():.3g} to {100 * known.max():.3g} cm"
    return Statistic("size", "longest side of the object", value, f"median {100 * low:g} to {100 * high:g} cm", level)


def judge_limits(excess: NDArray, joint_names: Sequence[str]) -> Statistic:
    """Verdict on the excess over joint limits, (n, J), radians, 0 within."""
    worst = excess.max(axis=1)
    bent, far = float(np.mean(worst > BENT)), float(np.mean(worst > _FAR_BENT))
    value = f"{bent:.0%} of the grasps by more than {BENT:g} rad"
    if bent:
        value += f", {far:.0%} by more than {_FAR_BENT:g}"
        joint = int(np.unravel_index(excess.argmax(), excess.shape)[1])
        value += f"; the worst is {joint_names[joint]}, by {worst.max():.2f} rad"
    level = Level.BAD if far > 0.5 else Level.DOUBTFUL if bent > 0.7 else Level.GOOD
    wanted = f"at most half of the grasps by more than {_FAR_BENT:g} rad"
    return Statistic("limits", "joints beyond their limits", value, wanted, level)


def judge_doubts(doubts: Doubts) -> Statistic:
    """Verdict on implausible grasps: hands far from the object or impossibly bent."""
    share = doubts.count / max(1, len(doubts.reasons))
    level = Level.GOOD if not doubts.count else Level.DOUBTFUL if share <= _IMPLAUSIBLE else Level.BAD
    value = f"{doubts.count} of {len(doubts.reasons)} are implausible"
    return Statistic("plausible", "plausible grasps", value, "none is implausible", level)


def judge_rate(rates: NDArray) -> Statistic:
    """Verdict on the frame rate of each clip, (n,)."""
    low, high = float(rates.min()), float(rates.max())
    value = f"{low:.4g}" if high <= 1.01 * low else f"{low:.4g} to {high:.4g}"
    level = Level.GOOD if high <= 1.01 * low else Level.DOUBTFUL
    if not (_RATES[0] <= low and high <= _RATES[1]):
        level = Level.BAD
    return Statistic("rate", "frames per second", value, f"one rate, {_RATES[0]:g} to {_RATES[1]:g}", level)


def _at_least(value: float, bounds: tuple[float, float]) -> Level:
    good, bad = bounds
    return Level.GOOD if value >= good else Level.BAD if value < bad else Level.DOUBTFUL


def _mm(metres: float) -> str:
    return f"{1e3 * metres:.1f} mm"
