"""What is made of the path of a body, and where the object's mass is. Oracles: paths and boxes in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.grasps import ObjectAsset, PosedGrasps
from dexzoo.hands import load_hand
from dexzoo.simulation.arena import centres_of_mass
from dexzoo.simulation.fall import movement


def path_of(angle: float, steps: int = 11, step: float = 0.01, rate: float = 0.0) -> np.ndarray:
    """(1, T, 14) states of a body that turns about z around its centre of mass, 3 cm from its frame along x, and whose
    centre of mass goes along y at `rate` m/s. Time, position, quaternion, velocity, spin."""
    time = step * np.arange(1, steps + 1)
    turn, spin = angle * time / time[-1], angle / time[-1]
    centre = np.array([0.03, 0.0, 0.0])
    lever = 0.03 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    across = 0.03 * spin * np.stack([-np.sin(turn), np.cos(turn), 0 * turn], axis=1)
    along = np.stack([0 * time, rate * time, 0 * time], axis=1)
    half = np.stack([np.cos(turn / 2), 0 * turn, 0 * turn, np.sin(turn / 2)], axis=1)
    velocity = np.array([0, rate, 0]) - across
    own_spin = np.tile([0, 0, spin], (steps, 1))
    return np.hstack([time[:, None], along + centre - lever, half, velocity, own_spin])[None]


def test_a_body_that_only_turns_is_not_displaced() -> None:
    displacement, angle, speed, failed = movement(path_of(1.2), np.array([[0.03, 0, 0]]), 0.11)[0]
    assert (displacement, angle, speed) == (pytest.approx(0, abs=1e-12), pytest.approx(1.2), pytest.approx(0, abs=1e-9))
    assert failed == 0


def test_displacement_and_speed_are_those_of_the_centre_of_mass() -> None:
    displacement, _, speed, _ = movement(path_of(-2.0, rate=0.5), np.array([[0.03, 0, 0]]), 0.11)[0]
    assert (displacement, speed) == (pytest.approx(0.055), pytest.approx(0.5))


def test_a_world_that_stopped_early_has_failed() -> None:
    assert movement(path_of(0.1), np.array([[0.03, 0, 0]]), 0.2)[0].tolist() == pytest.approx(
        [np.nan] * 3 + [1], nan_ok=True
    )


def test_the_centre_of_mass_is_scaled_with_the_object() -> None:
    hand, box = load_hand("shadow"), trimesh.creation.box([2.0, 4.0, 6.0])
    box.apply_translation([1.0, -2.0, 3.0])
    grasps = PosedGrasps(hand, hand.rest_pose(2), ObjectAsset.from_mesh(box), torch.tensor([0.1, 0.02]))
    np.testing.assert_allclose(centres_of_mass(grasps), [[0.1, -0.2, 0.3], [0.02, -0.04, 0.06]], atol=1e-9)
