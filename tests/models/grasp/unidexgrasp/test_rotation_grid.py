"""The grid on SO(3) against the definition of HEALPix, Haar's moments and a bound on its holes."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from dexzoo.models.grasp.unidexgrasp.rotation_grid import healpix_centres, random_rotations, rotation_grid

LEVELS = (0, 1, 2)


def quaternions(rotations):
    return Rotation.from_matrix(rotations.double().numpy()).as_quat()


def nearest(query, grid, k=1):
    """Angles (rad) to the k nearest of the grid, each of which is two points on the sphere in 4-D."""
    chord, _ = KDTree(np.concatenate([grid, -grid])).query(query, k)
    return 4 * np.arcsin(chord / 2)


def pixel_radius(n_side):
    """Largest angle between a point of the sphere and the centre of its pixel (Gorski et al. 2005)."""
    corner = 1 - (1 - 1 / n_side) ** 2 / 3
    a = np.array([math.sqrt(5) / 3, math.pi / 4 / n_side, 2 / 3])
    b = np.array([math.sqrt(1 - corner**2), 0, corner])
    xyz = [np.array([r * math.cos(azimuth), r * math.sin(azimuth), z]) for r, azimuth, z in (a, b)]
    return math.acos(min(1, xyz[0] @ xyz[1]))


def test_base_pixels_are_those_of_healpix():
    quarter = np.arange(4) * np.pi / 2
    expected = [(z, a + shift) for z, shift in ((2 / 3, np.pi / 4), (0, 0), (-2 / 3, np.pi / 4)) for a in quarter]
    np.testing.assert_allclose(healpix_centres(1), expected, atol=1e-12)


@pytest.mark.parametrize("n_side", [1, 2, 3, 8])
def test_pixels_are_a_square_lattice_on_the_plane_of_the_projection(n_side):
    # The projection (Calabretta and Roukema 2007) keeps areas, so a lattice on the plane is one of equal areas.
    z, azimuth = healpix_centres(n_side).numpy().T
    width = np.sqrt(3 * (1 - np.abs(z)))
    facet = (np.floor(azimuth / (np.pi / 2)) + 0.5) * np.pi / 2
    in_cap = np.abs(z) > 2 / 3
    x = np.where(in_cap, facet + (azimuth - facet) * width, azimuth) / (np.pi / 4 / n_side)
    y = np.where(in_cap, np.sign(z) * np.pi / 4 * (2 - width), 3 * np.pi / 8 * z) / (np.pi / 4 / n_side)
    cells = np.stack([x, y], axis=-1)
    np.testing.assert_allclose(cells, np.round(cells), atol=1e-9)
    rounded = np.round(cells).astype(int)
    assert len(np.unique(rounded, axis=0)) == len(z) == 12 * n_side**2
    assert set(rounded.sum(axis=1) % 2) == {(n_side + 1) % 2}


@pytest.mark.parametrize(("level", "count"), [(0, 72), (1, 576), (2, 4608)])
def test_grid_is_so_many_different_rotations(level, count):
    grid = rotation_grid(level)
    assert grid.shape == (count, 3, 3)
    torch.testing.assert_close(grid @ grid.mT, torch.eye(3, dtype=grid.dtype).expand_as(grid))
    torch.testing.assert_close(torch.linalg.det(grid), torch.ones(count, dtype=grid.dtype))
    quat = quaternions(grid)
    apart = np.degrees(nearest(quat, quat, k=2)[:, 1])
    step = 60 / 2**level
    assert apart.min() > 0.8 * step
    assert apart.max() < 1.001 * step


def test_grid_is_a_spin_then_the_least_rotation_to_the_pixel():
    grid = rotation_grid(1).view(48, 12, 3, 3).numpy()
    z, azimuth = healpix_centres(2).numpy().T
    tilt = np.stack([-np.sin(azimuth), np.cos(azimuth), 0 * z], axis=-1) * np.arccos(z)[:, None]
    spin = Rotation.from_rotvec(np.outer((np.arange(12) + 0.5) * np.pi / 6, [0, 0, 1]))
    for pixel in range(48):
        expected = (Rotation.from_rotvec(tilt[pixel]) * spin).as_matrix()
        np.testing.assert_allclose(grid[pixel], expected, atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_moments_are_those_of_the_uniform_distribution(level):
    grid = rotation_grid(level).numpy()
    trace = np.trace(grid, axis1=1, axis2=2)
    error = 0.06 / 4**level  # the moments converge with the square of the step
    np.testing.assert_allclose(grid.mean(axis=0), np.zeros((3, 3)), atol=1e-12)
    second = np.einsum("nij,nkl->ijkl", grid, grid) / len(grid)
    np.testing.assert_allclose(second, np.einsum("ik,jl->ijkl", np.eye(3), np.eye(3)) / 3, atol=error)
    # E[trace^k] counts the invariants of k vectors: none, a dot product, a triple product, three pairs of products.
    np.testing.assert_allclose((trace**2).mean(), 1, atol=error)
    np.testing.assert_allclose((trace**3).mean(), 1, atol=2 * error)
    np.testing.assert_allclose((trace**4).mean(), 3, atol=10 * error)


@pytest.mark.parametrize("level", LEVELS)
def test_no_rotation_is_farther_from_the_grid_than_its_pixel_and_its_spin(level, generator):
    # To the centre of its pixel by the least rotation, then about the axis there: rotations about perpendicular axes.
    half_spin = math.pi / (6 * 2**level)
    bound = 2 * math.acos(math.cos(pixel_radius(2**level) / 2) * math.cos(half_spin / 2))
    found = nearest(quaternions(random_rotations(20_000, generator)), quaternions(rotation_grid(level)))
    assert 0.8 * bound < found.max() < bound


def test_random_rotations_are_uniform_and_come_from_the_generator():
    draw = random_rotations(40_000, torch.Generator().manual_seed(5))
    torch.testing.assert_close(draw, random_rotations(40_000, torch.Generator().manual_seed(5)), atol=0, rtol=0)
    torch.testing.assert_close(draw @ draw.mT, torch.eye(3).expand_as(draw), atol=1e-5, rtol=0)
    assert draw.mean(dim=0).abs().max() < 5 / math.sqrt(3 * 40_000)
    angle = np.sort(Rotation.from_matrix(draw.numpy()).magnitude())
    uniform = (angle - np.sin(angle)) / np.pi  # the angle's distribution under Haar
    assert np.abs(uniform - (np.arange(40_000) + 0.5) / 40_000).max() < 1.95 / math.sqrt(40_000)  # p = 0.001


def test_negative_level_is_refused():
    with pytest.raises(ValueError, match=r"level: expected 0 or more, found -1; the grid has 72 \* 8\^level rotations"):
        rotation_grid(-1)
