"""Visibility against the closed forms of ball and box, and the two ways to find it against one another."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from manifold3d import Manifold

from dexzoo.geometry.hidden_points import Occluder, hidden_point_removal
from dexzoo.geometry.meshes import MeshError
from dexzoo.geometry.sampling import sample_surface
from dexzoo.geometry.solids import mesh_of

EYES = [(0.0, 0.2, 1.4), (2.0, -1.0, 0.5)]


def sphere(n: int, radius: float = 0.05, centre: tuple = (1.0, 0.2, 0.9)) -> np.ndarray:
    """Points of a Fibonacci lattice."""
    k = np.arange(n) + 0.5
    z, angle = 1 - 2 * k / n, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - z * z)
    return radius * np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1) + centre


def cup() -> trimesh.Trimesh:
    """A cup, open above, 8 cm wide and 10 cm high, with a wall of 4 mm."""
    hollow = Manifold.cylinder(0.1, 0.036, 0.036, 64).translate((0, 0, 0.004))
    return mesh_of(Manifold.cylinder(0.1, 0.04, 0.04, 64) - hollow)


def around(distance: float, n: int) -> np.ndarray:
    """Eyes on the upper hemisphere."""
    directions = np.random.default_rng(1).normal(size=(n, 3))
    directions[:, 2] = np.abs(directions[:, 2])
    return distance * directions / np.linalg.norm(directions, axis=1, keepdims=True)


def hidden_free(points: np.ndarray, eye: np.ndarray, radius: float = 100.0) -> np.ndarray:
    """Hidden-point removal as a mask."""
    seen = np.zeros(len(points), bool)
    seen[hidden_point_removal(points, eye, radius)] = True
    return seen


def agreement(mesh: trimesh.Trimesh, n: int = 4096) -> float:
    """Share of points on which hidden-point removal and rays agree, over eight eyes."""
    points, _, _ = sample_surface(mesh.vertices, mesh.faces, n, 0)
    occluder = Occluder(mesh)
    return float(np.mean([occluder.sees(points, eye) == hidden_free(points, eye) for eye in around(0.6, 8)]))


def naive_sees(mesh: trimesh.Trimesh, points: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """No triangle cuts the way from the eye to the point before its last thousandth; Moeller and Trumbore, 1997."""
    a, b, c = np.asarray(mesh.triangles, np.float64).swapaxes(0, 1)
    seen = []
    for point in points:
        way = point - eye
        side = np.cross(way, c - a)
        volume = (side * (b - a)).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = (side * (eye - a)).sum(1) / volume
            other = np.cross(eye - a, b - a)
            v, t = (other @ way) / volume, (other * (c - a)).sum(1) / volume
            hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < 0.999)
        seen.append(not hit.any())
    return np.array(seen)


class TestHiddenPointRemoval:
    @pytest.mark.parametrize("eye", EYES)
    def test_of_a_ball_the_cap_towards_the_eye_is_left(self, eye: tuple) -> None:
        points = sphere(3000)
        seen = hidden_free(points, np.array(eye))
        normals = (points - [1.0, 0.2, 0.9]) / 0.05
        slant = (normals * (eye - points)).sum(axis=1) / np.linalg.norm(eye - points, axis=1)
        assert seen[slant > 0.2].mean() > 0.99
        assert seen[slant < -0.2].mean() < 0.01

    def test_seen_from_the_worlds_origin_it_is_another_cap(self) -> None:
        """RealDex's error: the side towards the origin is kept, wherever the camera stands."""
        points, eye = sphere(3000), np.array([2.0, 0.4, 1.8])
        right, wrong = (set(hidden_point_removal(points, e).tolist()) for e in (eye, np.zeros(3)))
        assert len(right & wrong) < 0.1 * len(right)

    def test_few_points_are_all_seen(self) -> None:
        assert hidden_point_removal(np.eye(3) + 1, (0, 0, 0)).tolist() == [0, 1, 2]
        line = np.linspace(1, 2, 10)[:, None] * [1.0, 0.0, 0.0] + [0, 0, 1]
        assert hidden_point_removal(line, (0, 0, 0)).tolist() == list(range(10))

    def test_a_point_at_the_eye_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"eye: expected a position away from the points, found it at point 1"):
            hidden_point_removal(np.arange(15.0).reshape(5, 3), (3, 4, 5))

    def test_on_convex_shapes_it_agrees_with_rays(self) -> None:
        assert agreement(trimesh.creation.icosphere(4, 0.05)) > 0.975
        assert agreement(trimesh.creation.box((0.06, 0.08, 0.1))) > 0.98

    def test_on_a_cup_it_agrees_with_rays_nearly_as_well(self) -> None:
        assert agreement(cup()) > 0.92


class TestOccluder:
    @pytest.mark.parametrize("distance", [0.06, 0.1, 0.6, 50.0])
    def test_of_a_ball_it_sees_the_area_of_the_cap(self, distance: float) -> None:
        """The cap in view from distance d has the height r - r^2 / d, so the share (1 - r / d) / 2 of the area."""
        ball = trimesh.creation.icosphere(5, 0.05)
        points, _, _ = sample_surface(ball.vertices, ball.faces, 40_000, 0)
        seen = [Occluder(ball).sees(points, eye).mean() for eye in around(distance, 4)]
        np.testing.assert_allclose(seen, (1 - 0.05 / distance) / 2, atol=0.005)

    def test_of_a_box_it_sees_the_sides_that_face_the_eye(self) -> None:
        box = trimesh.creation.box((0.06, 0.08, 0.1))
        points, normals, _ = sample_surface(box.vertices, box.faces, 5000, 0)
        off_edge = (np.abs(np.abs(points) - [0.03, 0.04, 0.05]) > 2e-4).sum(1) == 2  # an edge is seen from both sides
        for eye in around(0.3, 20):
            facing = ((eye - points) * normals).sum(1)
            clear = off_edge & (np.abs(facing) > 1e-3)
            np.testing.assert_array_equal(Occluder(box).sees(points, eye)[clear], facing[clear] > 0)

    @pytest.mark.slow
    def test_in_a_cup_it_agrees_with_a_loop_over_triangles(self) -> None:
        points, _, _ = sample_surface(cup().vertices, cup().faces, 2000, 0)
        for eye in around(0.4, 4):
            seen = Occluder(cup()).sees(points, eye, tolerance=4e-4)
            assert 0.2 < seen.mean() < 0.6
            assert (seen == naive_sees(cup(), points, eye)).mean() > 0.995  # the rest lie at the rim of a shadow

    def test_what_stands_behind_is_hidden_and_beside_it_is_not(self) -> None:
        ball = trimesh.creation.icosphere(3, 0.05)
        places = np.array([[-0.5, 0, 0], [-0.5, 0.2, 0], [0.4, 0, 0], [-30.0, 0, 0], [-30.0, 4, 0]])
        for far in (1.0, 100.0):
            assert Occluder(ball).sees(places, (far, 0, 0)).tolist() == [False, True, True, False, True]

    def test_the_tolerance_is_a_length_of_the_mesh(self) -> None:
        ball, behind = trimesh.creation.icosphere(4, 0.05), np.array([[0.049, 0.0, 0.0]])
        assert Occluder(ball).sees(behind, (1, 0, 0), tolerance=0.0012).tolist() == [True]
        assert Occluder(ball).sees(behind, (1, 0, 0), tolerance=0.0008).tolist() == [False]

    def test_units_and_places_do_not_matter(self) -> None:
        mesh = cup()
        points, _, _ = sample_surface(mesh.vertices, mesh.faces, 1000, 0)
        moved = mesh.copy()
        moved.apply_scale(1000)
        moved.apply_translation((5e3, -2e3, 1e3))
        eye, shift = np.array([0.2, 0.3, 0.4]), np.array([5e3, -2e3, 1e3])
        here, there = Occluder(mesh).sees(points, eye), Occluder(moved).sees(1000 * points + shift, 1000 * eye + shift)
        assert (here == there).mean() > 0.998

    def test_bad_input_is_refused(self) -> None:
        with pytest.raises(MeshError, match="mesh: expected a triangle mesh, found no faces"):
            Occluder(trimesh.Trimesh())
        with pytest.raises(ValueError, match="eye: expected a position away from the points, found it at point 0"):
            Occluder(cup()).sees([[1.0, 2.0, 3.0]], (1, 2, 3))
