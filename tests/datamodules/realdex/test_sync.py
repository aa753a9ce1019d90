"""Synthetic arms and clouds whose clocks differ by a known time."""

from __future__ import annotations

import numpy as np
import pytest

from dexzoo.datamodules.realdex.sync import SyncRule, first_fit, nearest
from dexzoo.files.errors import DataError

BEGIN = 1_699_182_594_000_000_000
STEP = 10_000_000  # of the robot, 100 Hz


def arm(seconds: float) -> np.ndarray:
    """4 000 points of a bar that moves at 0.6 m/s and turns."""
    rng = np.random.default_rng(0)
    points = rng.uniform([-0.2, -0.02, -0.02], [0.2, 0.02, 0.02], (4000, 3))
    c, s = np.cos(0.8 * seconds), np.sin(0.8 * seconds)
    return points @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + [0.6 * seconds, 0.3, 0.9]


def scene(seconds: float) -> np.ndarray:
    """What a camera sees: other points of the same bar, and a table."""
    rng = np.random.default_rng(7)
    seen = arm(seconds)[rng.permutation(4000)[:2500]] + rng.normal(scale=0.0005, size=(2500, 3))
    table = rng.uniform([-1, -1, 0.72], [2, 1, 0.73], (3000, 3))
    return np.concatenate([seen, table])


@pytest.mark.parametrize("ahead", [-40_000_000, 0, 60_000_000, 110_000_000])
def test_a_known_offset_of_the_clocks_is_found(ahead: int) -> None:
    """`ahead`: what the robot's clock shows more than the cameras'."""
    robot_stamps = BEGIN + STEP * np.arange(300)
    frame_stamps = BEGIN + 500_000_000 + 66_666_667 * np.arange(20)
    fit = first_fit(
        frame_stamps,
        robot_stamps,
        lambda state: arm((robot_stamps[state] - ahead - BEGIN) / 1e9),
        lambda frame: scene((frame_stamps[frame] - BEGIN) / 1e9),
    )
    assert fit.frame == 0
    assert abs(robot_stamps[fit.state] - (frame_stamps[0] + ahead)) <= STEP


def test_the_first_frames_may_show_no_robot() -> None:
    robot_stamps = BEGIN + STEP * np.arange(100)
    frame_stamps = BEGIN + 300_000_000 + 66_666_667 * np.arange(6)

    def cloud(frame: int) -> np.ndarray:
        return scene((frame_stamps[frame] - BEGIN) / 1e9)[0 if frame >= 3 else 2500 :]

    fit = first_fit(frame_stamps, robot_stamps, lambda state: arm(state * STEP / 1e9), cloud)
    assert fit.frame == 3
    assert abs(robot_stamps[fit.state] - frame_stamps[3]) <= STEP


def test_realdex_takes_the_best_of_the_first_three_that_fit() -> None:
    """Three states of a slow arm fit almost at once; the best of them is far too early."""
    robot_stamps = BEGIN + STEP // 2 * np.arange(100)
    frame = np.array([BEGIN + 300_000_000])

    def robot(state: int) -> np.ndarray:
        return arm(state * STEP / 2e9)

    fits = [first_fit(frame, robot_stamps, robot, lambda _: scene(0.3), SyncRule(hits=hits)) for hits in (3, 20)]
    errors = [abs(robot_stamps[fit.state] - frame[0]) for fit in fits]
    assert errors[1] <= STEP // 2 < errors[0]


def test_nothing_that_fits_says_what_was_expected() -> None:
    stamps = BEGIN + STEP * np.arange(50)
    with pytest.raises(DataError, match=r"expected a frame in which 2% of the robot's points lie within 10 mm"):
        first_fit(stamps[:5], stamps, lambda _: arm(0.0) + 5, lambda _: scene(0.0))


def test_the_nearest_stamp_is_that_of_a_search_through_all() -> None:
    rng = np.random.default_rng(1)
    stamps = BEGIN + np.cumsum(rng.integers(1, 10**8, 200))
    wanted = rng.integers(stamps[0] - 10**8, stamps[-1] + 10**8, 500)
    expected = np.abs(stamps[None] - wanted[:, None]).argmin(axis=1)
    assert nearest(stamps, wanted).tolist() == expected.tolist()
    assert nearest(stamps[:1], wanted[:3]).tolist() == [0, 0, 0]
