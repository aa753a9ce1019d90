"""Time synchronisation: the robot state that belongs to each camera frame, whose clocks differ.

The first frame is aligned by shape: among the states near the same stamp, the one whose arm and hand fit the camera's
cloud best. All other frames use its offset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ...files.errors import DataError

Points = Callable[[int], NDArray | None]  # Index -> (N, 3) points, metres, world frame; None if unknown


@dataclass(frozen=True)
class SyncRule:
    """Parameters for aligning the first frame. The values are RealDex's, except `hits`: it takes the best of 3."""

    lead: int = 50_000_000  # ns before the frame's stamp at which the search starts (RealDex's comment says 0.5 s)
    states: int = 20  # number of robot states tried for a frame, from there on
    within: float = 0.01  # metres between a point of the robot and the cloud that count as a fit
    share: float = 0.02  # least share of the robot's points that fit
    weight: float = 50.0  # weight of the mean distance, per metre, subtracted from the share
    hits: int = 20  # number of fitting states after which the search ends


@dataclass(frozen=True)
class Fit:
    """A frame, the state that fits it best, and its score: the share of fitting points minus their mean distance."""

    frame: int
    state: int
    score: float


def nearest(stamps: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index into the sorted `stamps` of the one nearest to each of `wanted`; the earlier one of a tie."""
    after = np.clip(np.searchsorted(stamps, wanted), 1, max(len(stamps) - 1, 1))
    if len(stamps) == 1:
        return np.zeros(len(wanted), np.int64)
    earlier = wanted - stamps[after - 1] <= stamps[after] - wanted
    return after - earlier


def fit_score(robot: NDArray, cloud: KDTree, rule: SyncRule) -> tuple[float, float]:
    """Share of the robot's points (N, 3) within `rule.within` of the cloud, and their mean distance, metres."""
    distance, _ = cloud.query(robot, distance_upper_bound=rule.within)
    fitting = distance[np.isfinite(distance)]
    return len(fitting) / len(robot), float(fitting.mean()) if len(fitting) else np.inf


def first_fit(
    frame_stamps: NDArray[np.int64],
    robot_stamps: NDArray[np.int64],
    robot: Points,
    cloud: Points,
    rule: SyncRule | None = None,
) -> Fit:
    """The first frame that can be aligned, and its state; raises DataError if no frame fits any state.

    Args:
        frame_stamps: (T,), nanoseconds of the cameras' clock.
        robot_stamps: (S,), nanoseconds of the robot's clock, increasing.
        robot: points of arm and hand in each of the S states; None if some joints are unknown.
        cloud: points that a camera sees in each of the T frames.
        rule: None for the defaults.
    """
    rule = rule or SyncRule()
    for frame, stamp in enumerate(frame_stamps):
        start = int(nearest(robot_stamps, stamp[None] - rule.lead)[0])
        fit = _best_state(frame, range(start, min(start + rule.states, len(robot_stamps))), robot, cloud, rule)
        if fit is not None:
            return fit
    raise DataError(
        f"time synchronisation: expected a frame in which {rule.share:.0%} of the robot's points lie within "
        f"{rule.within * 1000:g} mm of the cloud, found none in {len(frame_stamps)}; are the cameras calibrated?"
    )


def _best_state(frame: int, states: range, robot: Points, cloud: Points, rule: SyncRule) -> Fit | None:
    """The best of the states tried: from the first that fits, until one does not or `rule.hits` do."""
    seen = cloud(frame)
    if seen is None or not len(seen):
        return None
    tree, hits = KDTree(seen), []
    for state in states:
        points = robot(state)
        fitting, distance = (0.0, np.inf) if points is None else fit_score(points, tree, rule)
        if fitting > rule.share:
            hits.append(Fit(frame, state, fitting - rule.weight * distance))
        elif hits:
            break
        if len(hits) == rule.hits:
            break
    return max(hits, key=lambda fit: fit.score, default=None)
