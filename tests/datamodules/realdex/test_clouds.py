"""Steps on clouds against closed forms, naive twins and scipy."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from dexzoo.datamodules.realdex.clouds import crop, fit_rigid, icp, remove_outliers, thin_out


def sphere(n: int, radius: float = 0.05, centre: tuple = (1.0, 0.2, 0.9)) -> np.ndarray:
    """Points of a Fibonacci lattice."""
    k = np.arange(n) + 0.5
    z, angle = 1 - 2 * k / n, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - z * z)
    return radius * np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1) + centre


def test_a_crop_keeps_its_borders() -> None:
    points = np.array([[0, 0, 0], [1, 1, 1], [0.5, 0.5, 1.01], [-0.01, 0.5, 0.5]])
    assert crop(points, ((0, 0, 0), (1, 1, 1))).tolist() == [True, True, False, False]


def test_a_voxel_keeps_the_mean_of_its_points() -> None:
    points = np.random.default_rng(1).uniform(0, 0.01, (500, 3))
    cells = defaultdict(list)
    for point in points:
        cells[tuple(int(x) for x in np.floor((point - points.min(axis=0)) / 0.002))].append(point)
    expected = np.array([np.mean(cells[cell], axis=0) for cell in sorted(cells)])
    np.testing.assert_allclose(thin_out(points, 0.002), expected, atol=1e-15)
    assert thin_out(points[:0], 0.002).shape == (0, 3)


def test_the_motion_of_pairs_is_that_of_scipy() -> None:
    rng = np.random.default_rng(2)
    source = rng.normal(size=(30, 3))
    target = Rotation.random(random_state=3).apply(source) + [1, 2, 3] + 0.01 * rng.normal(size=(30, 3))
    rotation, translation = fit_rigid(source, target)
    expected, _ = Rotation.align_vectors(target - target.mean(axis=0), source - source.mean(axis=0))
    np.testing.assert_allclose(rotation, expected.as_matrix(), atol=1e-9)
    np.testing.assert_allclose(source.mean(axis=0) @ rotation.T + translation, target.mean(axis=0), atol=1e-12)


def test_mirrored_points_are_turned_and_not_mirrored() -> None:
    source = np.random.default_rng(4).normal(size=(30, 3))
    rotation, _ = fit_rigid(source, source * [-1, 1, 1])
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_a_small_motion_is_found_again() -> None:
    target = np.random.default_rng(5).uniform(0, 0.2, (4000, 3))
    turn, shift = Rotation.from_rotvec([0.001, -0.0015, 0.001]), np.array([3e-4, -2e-4, 2e-4])
    source = turn.inv().apply(target[:3000] - shift)
    rotation, translation = icp(source, target, 0.001, 10)
    np.testing.assert_allclose(rotation, turn.as_matrix(), atol=1e-9)
    np.testing.assert_allclose(translation, shift, atol=1e-9)


def test_clouds_without_pairs_stay_where_they_are() -> None:
    far = np.random.default_rng(6).normal(size=(50, 3))
    for source, target in ((far, far + 100), (far[:2], far), (far[:0], far)):
        rotation, translation = icp(source, target, 0.001, 10)
        np.testing.assert_array_equal(rotation, np.eye(3))
        np.testing.assert_array_equal(translation, np.zeros(3))


def test_outliers_are_those_of_a_table_of_all_distances() -> None:
    rng = np.random.default_rng(7)
    points = np.concatenate([rng.normal(size=(300, 3)), rng.normal(size=(5, 3)) * 20])
    mean = np.sort(cdist(points, points), axis=1)[:, 1:21].mean(axis=1)
    expected = mean <= mean.mean() + 2 * mean.std()
    assert not expected.all()
    np.testing.assert_array_equal(remove_outliers(points, 20, 2.0), expected)
    assert remove_outliers(points[:20]).all()
