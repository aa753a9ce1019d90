"""Oracles: where a pinhole puts a sphere or a plate, in closed form; trimesh's own ray caster; known normals."""

import numpy as np
import pytest
import trimesh

from dexzoo.geometry.meshes import MeshError
from dexzoo.geometry.normals import corner_normals
from dexzoo.geometry.render import Camera, frame_mesh, points_mesh, render_scene

RED, GREEN, BLUE = (0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.9)


def ball(centre: tuple[float, float, float] = (0, 0, 0), radius: float = 0.1, subdivisions: int = 3):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return mesh.apply_translation(centre)


def covered(picture: np.ndarray) -> np.ndarray:
    return (picture != 255).any(-1)


def test_a_sphere_covers_its_disc() -> None:
    camera = Camera(eye=(0, -1, 0), target=(0, 0, 0), fov_deg=40)
    picture = render_scene([(ball(subdivisions=5), RED)], camera, (100, 140))
    assert (picture.shape, picture.dtype) == ((100, 140, 3), np.uint8)
    radius = np.tan(np.arcsin(0.1)) / np.tan(np.radians(20)) * 50  # pixels, half the shorter side is tan(20 deg)
    rows, columns = np.nonzero(covered(picture))
    assert (rows.mean(), columns.mean()) == pytest.approx((49.5, 69.5), abs=0.1)
    assert covered(picture).sum() == pytest.approx(np.pi * radius**2, rel=0.12)  # whole pixels, border included


def test_right_up_and_colours_are_where_they_should_be() -> None:
    camera = Camera(eye=(0, -1, 0), target=(0, 0, 0))  # looks along +y: x to the right, z up
    parts = [(ball((0.2, 0, 0)), RED), (ball((0, 0, 0.2)), GREEN), (ball((-0.2, 0, -0.2), 0.05), BLUE)]
    picture = render_scene(parts, camera, (101, 101)).astype(int)
    scale = 50.5 / np.tan(np.radians(20))
    for (x, z), colour in (((0.2, 0), 0), ((0, 0.2), 1), ((-0.2, -0.2), 2)):
        pixel = picture[round(50 - z * scale), round(50 + x * scale)]
        assert pixel.argmax() == colour
        assert pixel.max() > 2 * np.sort(pixel)[1]
    assert (picture[0, 0] == 255).all()


def test_hits_agree_with_trimesh() -> None:
    mesh = trimesh.creation.torus(0.1, 0.03)
    camera = Camera.framing([(mesh, RED)], direction=(1, 2, 3))
    rows, columns = (axis.ravel() + 0.5 for axis in np.indices((24, 24)))
    hit = mesh.ray.intersects_any(np.tile(camera.eye, (576, 1)), camera.rays(rows, columns, (24, 24)))
    alone = covered(render_scene([(mesh, RED)], camera, (24, 24))).ravel()
    assert (alone >= hit).all()  # a pixel is covered by any of its four samples, its centre lies between them
    assert (alone != hit).mean() < 0.15


def test_the_nearer_part_is_seen() -> None:
    camera = Camera(eye=(0, -1, 0), target=(0, 0, 0))
    parts = [(ball((0, 0.3, 0)), GREEN), (ball((0, -0.3, 0)), RED)]
    assert render_scene(parts, camera, (21, 21))[10, 10].argmax() == 0


@pytest.mark.parametrize("size", [(64, 64), (40, 90), (90, 40)])
@pytest.mark.parametrize("direction", [(1, -1, 0.7), (0, 0, 1), (0, 0, -1), (0, 1, 0), (-3, 0.1, 0.2)])
def test_framing_fits_everything_and_fills_the_picture(direction: tuple, size: tuple[int, int]) -> None:
    parts = [
        (ball((0.3, 0, 0)), RED),
        (ball((-0.1, 0.5, 0.2), 0.02), GREEN),
        (trimesh.creation.box((1, 0.1, 0.1)), BLUE),
    ]
    seen = covered(render_scene(parts, Camera.framing(parts, direction), size))
    assert not seen[[0, -1]].any()
    assert not seen[:, [0, -1]].any()
    rows, columns = np.nonzero(seen)
    assert max(np.ptp(rows), np.ptp(columns)) > 0.85 * min(size)


def test_place_and_unit_do_not_matter() -> None:
    mesh = trimesh.creation.torus(0.1, 0.03)
    first = render_scene([(mesh, RED)], size=(48, 48)).astype(int)
    moved = trimesh.Trimesh(1000 * (mesh.vertices + np.array([30, -40, 50])), mesh.faces)
    second = render_scene([(moved, RED)], size=(48, 48)).astype(int)
    assert (np.abs(first - second).max(-1) > 8).mean() < 0.01


def test_light_comes_from_above_and_casts_shadows() -> None:
    grey, camera = (0.7, 0.7, 0.7), Camera(eye=(0, -2, 1.2), target=(0, 0, 0))
    plate = (trimesh.creation.box((1, 1, 0.02)), grey)
    bare = render_scene([plate], camera, (60, 60)).astype(int)
    under = render_scene([plate, (ball((0, 0, 0.2), 0.15), RED)], camera, (60, 60)).astype(int)
    change = (under - bare)[(np.ptp(under, axis=-1) == 0) & covered(bare)]
    assert change.min() < -20
    assert change.max() <= 1
    ours = render_scene([(ball(subdivisions=5), grey)], Camera((0, -1, 0), (0, 0, 0)), (60, 60)).astype(int)
    assert ours[24, 30, 0] > ours[35, 30, 0] + 30


def test_a_scene_around_the_camera_and_an_empty_view() -> None:
    inside = render_scene([(ball(radius=1), RED)], Camera((0, 0, 0), (1, 0, 0)), (8, 8))
    assert covered(inside).all()
    away = render_scene([(ball(), RED)], Camera((0, -1, 0), (0, -2, 0)), (8, 8))
    assert not covered(away).any()
    beside = render_scene([(ball((5, 0, 0)), RED)], Camera((0, -1, 0), (0, 0, 0)), (8, 8))
    assert not covered(beside).any()


def test_normals_of_a_sphere_are_radial_and_of_a_box_flat() -> None:
    sphere = ball(subdivisions=4)
    radial = sphere.triangles / np.linalg.norm(sphere.triangles, axis=-1, keepdims=True)
    np.testing.assert_allclose(corner_normals(sphere), radial, atol=0.01)
    box = trimesh.creation.box()
    np.testing.assert_allclose(corner_normals(box), np.repeat(box.face_normals[:, None], 3, axis=1), atol=1e-12)


def test_normals_of_a_cylinder_are_round_at_its_side_and_sharp_at_its_rim() -> None:
    mesh = trimesh.creation.cylinder(radius=1, height=2, sections=32)
    normals = corner_normals(mesh)
    side = np.abs(mesh.face_normals[:, 2]) < 0.5
    radial = mesh.triangles[side] * [1, 1, 0]
    np.testing.assert_allclose(normals[side], radial, atol=0.06)
    np.testing.assert_allclose(np.abs(normals[~side, :, 2]), 1)


def test_normals_do_not_depend_on_shared_vertices_and_bear_degenerate_faces() -> None:
    sphere = ball()
    soup = trimesh.Trimesh(
        sphere.triangles.reshape(-1, 3), np.arange(3 * len(sphere.faces)).reshape(-1, 3), process=False
    )
    np.testing.assert_allclose(corner_normals(soup), corner_normals(sphere), atol=1e-12)
    flat = trimesh.Trimesh(np.eye(3), [[0, 1, 1]], process=False)
    assert (corner_normals(flat) == 0).all()


def test_frame_axes_point_along_the_columns() -> None:
    R = trimesh.transformations.euler_matrix(0.3, 0.4, 0.5)[:3, :3]
    rods = frame_mesh(R, [1, 2, 3], length=0.1)
    for i, (rod, colour) in enumerate(rods):
        np.testing.assert_allclose(rod.vertices.mean(0), np.array([1, 2, 3]) + 0.05 * R[:, i], atol=1e-12)
        assert np.argmax(colour) == i


def test_points_are_spheres_of_the_radius() -> None:
    points = np.random.default_rng(0).normal(size=(7, 3))
    mesh = points_mesh(points, 0.01)
    corners = np.asarray(mesh.vertices).reshape(7, -1, 3)
    np.testing.assert_allclose(np.linalg.norm(corners - points[:, None], axis=-1), 0.01)
    assert mesh.is_watertight
    assert mesh.volume > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: render_scene([]), r"meshes: expected at least one \(mesh, colour\), found none"),
        (lambda: Camera.framing([]), "meshes: expected at least one"),
        (lambda: render_scene([(ball(), (255, 0, 0))]), r"meshes\[0\]: expected a colour .* found \(255, 0, 0\)"),
        (lambda: render_scene([(ball(), RED)], size=(0, 5)), r"size: expected \(height, width\) .* found \(0, 5\)"),
        (lambda: Camera((0, 0, 1), (0, 0, 1)), "eye: expected a position away from the target"),
        (
            lambda: Camera((0, 0, 1), (0, 0, 0), fov_deg=180),
            "fov_deg: expected an angle between 0 and 180",
        ),
        (lambda: Camera.framing([(ball(), RED)], (0, 0, 0)), "direction: expected a nonzero vector"),
        (lambda: points_mesh(np.zeros((0, 3))), r"points: expected shape \(N, 3\) with N >= 1, found \(0, 3\)"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_bad_mesh_is_named_by_its_place() -> None:
    with pytest.raises(MeshError, match=r"meshes\[1\]: expected a triangle mesh, found no faces"):
        render_scene([(ball(), RED), (trimesh.Trimesh(), RED)])
