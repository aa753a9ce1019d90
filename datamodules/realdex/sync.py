"""Time synchronisation: the robot state that belongs to each camera frame, whose clocks differ.

The first frame is aligned by shape: among the states near the same stamp, the one whose arm and hand fit the camera's
cloud best. All other frames use the offset found.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ...files.errors import DataError

Points = Callable[[int], NDArray | None]  # Index -> (N, 3) points, metres, world frame; None if unknown

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyncRule:
    """Parameters for aligning the first frame. The values are RealDex's, except `hits`: RealDex takes the best of the
    first 3.

    Attributes:
        lead: nanoseconds before the frame's stamp at which the search starts (its comment says 0.5 s; it is 0.05 s).
        states: number of robot states tried for a frame, from there on.
        within: metres between a point of the robot and the cloud that count as a fit.
        share: least share of the robot's points that fit.
        weight: weight of the mean distance, per metre, subtracted from the share.
        hits: number of fitting states after which the search ends.
        retry_states, retry_share: likewise for a frame whose nearest state is incomplete.
    """

    lead: int = 50_000_000
    states: int = 20
    within: float = 0.01
    share: float = 0.02
    weight: float = 50.0
    hits: int = 20
    retry_states: int = 10
    retry_share: float = 0.03


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
    """The first frame that can be aligned, and its state.

    Args:
        frame_stamps: (T,), nanoseconds of the cameras' clock.
        robot_stamps: (S,), nanoseconds of the robot's clock, increasing.
        robot: points of arm and hand in each of the S states; None if some joints are unknown.
        cloud: points that a camera sees in each of the T frames.
        rule: its numbers; the defaults where None.

    Raises:
        DataError: no frame fits any state.
    """
    rule = rule or SyncRule()
    for frame, stamp in enumerate(frame_stamps):
        start = int(nearest(robot_stamps, stamp[None] - rule.lead)[0])
        fit = local_search(frame, range(start, start + rule.states), robot, cloud, rule, rule.share, len(robot_stamps))
        if fit is not None:
            return fit
    raise DataError(
        f"time synchronisation: expected a frame in which {rule.share:.0%} of the robot's points lie within "
        f"{rule.within * 1000:g} mm of the cloud, found none in {len(frame_stamps)}; are the cameras calibrated?"
    )


def synchronise(
    frame_stamps: NDArray[np.int64],
    robot_stamps: NDArray[np.int64],
    robot: Points,
    cloud: Points,
    rule: SyncRule | None = None,
) -> NDArray[np.int64]:
    """Robot state for each frame: nearest to robot(s0) + (t - t_s0), where s0 is the first aligned frame.

    A frame whose nearest state is incomplete is searched like the first one; if nothing fits, it gets -1 and a log line
    (RealDex writes "None.ply").

    Args:
        frame_stamps, robot_stamps, robot, cloud, rule: as for `first_fit`.

    Returns:
        (T,), index of a state, or -1.

    Raises:
        DataError: no frame fits any state.
    """
    rule = rule or SyncRule()
    first = first_fit(frame_stamps, robot_stamps, robot, cloud, rule)
    states = nearest(robot_stamps, frame_stamps + (robot_stamps[first.state] - frame_stamps[first.frame]))
    for frame, state in enumerate(states.tolist()):
        if robot(state) is not None:
            continue
        tried = range(state, state + rule.retry_states)
        fit = local_search(frame, tried, robot, cloud, rule, rule.retry_share, len(robot_stamps))
        states[frame] = -1 if fit is None else fit.state
        if fit is None:
            _log.warning("time synchronisation: frame %d has no complete state of the robot near it", frame)
    return states


def local_search(
    frame: int, states: range, robot: Points, cloud: Points, rule: SyncRule, share: float, n_states: int
) -> Fit | None:
    """The best of the states tried: from the first that fits, until one does not or `rule.hits` do."""
    seen = cloud(frame)
    if seen is None or not len(seen):
        return None
    tree, hits = KDTree(seen), []
    for state in states:
        points = robot(state) if state < n_states else None
        fitting, distance = (0.0, np.inf) if points is None else fit_score(points, tree, rule)
        if fitting > share:
            hits.append(Fit(frame, state, fitting - rule.weight * distance))
        elif hits:
            break
        if len(hits) == rule.hits:
            break
    return max(hits, key=lambda fit: fit.score, default=None)
