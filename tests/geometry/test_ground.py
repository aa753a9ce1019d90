"""Oracles: where a box's shadow falls under parallel light, in closed form; the picture without a floor."""

import numpy as np
import pytest
import trimesh

from dexzoo.geometry.ground import Ground
from dexzoo.geometry.render import Camera, render_scene

SIZE = (120, 160)
BOX = (trimesh.creation.box((0.2, 0.1, 0.1)).apply_translation((0, 0, 0.45)), (0.9, 0.1, 0.1))
FLOOR = Ground(height=0.0, centre=(0, 0), radius=2.0, sun=(-1.0, 0.5, 2.0))
ABOVE = Camera(eye=(0, 0, 3), target=(0, 0, 0), up=(0, 1, 0))


def floor_points(camera: Camera) -> np.ndarray:
    """(H, W, 2): x and y at which the centre of each pixel sees the plane z = 0."""
    rows, columns = (axis.ravel() + 0.5 for axis in np.indices(SIZE))
    rays = camera.rays(rows, columns, SIZE).astype(float)
    return (np.asarray(camera.eye) - camera.eye[2] / rays[:, 2:] * rays)[:, :2].reshape(*SIZE, 2)


def test_the_shadow_of_a_box_lies_where_projection_says() -> None:
    """A corner (x, y, z) throws its shadow to (x + z / 2, y - z / 4) under the sun (-1, 1/2, 2)."""
    picture = render_scene([BOX], ABOVE, SIZE, FLOOR).astype(int)
    grey = np.ptp(picture, axis=-1) == 0
    at = floor_points(ABOVE)
    corners = np.array([[x + z / 2, y - z / 4] for x in (-0.1, 0.1) for y in (-0.05, 0.05) for z in (0.4, 0.5)])
    hull = trimesh.points.PointCloud(np.c_[np.r_[corners, corners], np.repeat([-1, 1], 8)]).convex_hull
    depth = trimesh.proximity.signed_distance(hull, np.c_[at.reshape(-1, 2), np.zeros(len(at) * at.shape[1])])
    inside = depth.reshape(SIZE)  # of the hull's outline, as its lids are far
    pixel = np.linalg.norm(at[0, 1] - at[0, 0])
    dark, bright = picture[grey & (inside > pixel)][:, 0], picture[grey & (inside < -pixel)][:, 0]
    assert len(dark) > 50
    assert dark.max() < bright.min() - 20
    np.testing.assert_allclose(FLOOR.shadow(np.array([[0.1, 0.05, 0.4]])), [[0.3, -0.05, 0.0]], atol=1e-12)


def test_the_floor_hides_what_is_below_it_and_nothing_above() -> None:
    camera = Camera(eye=(0.5, -2, 1), target=(0, 0, 0.4))
    without, with_floor = (render_scene([BOX], camera, SIZE, ground) for ground in (None, FLOOR))
    red = (without[..., 0] > 100) & (without[..., 1] < 60)  # the box without its edge
    assert red.sum() > 100
    np.testing.assert_array_equal(with_floor[red], without[red])
    buried = (BOX[0].copy().apply_translation((0, 0, -0.6)), BOX[1])
    assert np.ptp(render_scene([buried], camera, SIZE, FLOOR).astype(int), axis=-1).max() == 0


def test_a_floor_is_white_far_away_and_not_seen_from_below() -> None:
    far = render_scene([BOX], Camera(eye=(5, 5, 2), target=(5.5, 5.5, 0)), SIZE, FLOOR)
    assert (far == 255).all()
    for below in (Camera(eye=(0, -2, -1), target=(0, 0, 0.4)), Camera(eye=(0, -0.5, -0.2), target=(0, 0.5, -0.3))):
        np.testing.assert_array_equal(render_scene([BOX], below, SIZE, FLOOR), render_scene([BOX], below, SIZE))


def test_the_floor_under_meshes_touches_the_lowest() -> None:
    ball = trimesh.creation.icosphere(radius=0.1).apply_translation((1, 2, 0.3))
    ground = Ground.under([BOX[0], ball])
    assert ground.height == pytest.approx(0.2)
    assert ground.centre == pytest.approx((0.5, 1.025))


def test_bad_floors_are_named() -> None:
    with pytest.raises(ValueError, match=r"sun: expected a direction upwards \(z > 0\), found \(1, 0, 0\)"):
        Ground(0, (0, 0), 1, (1, 0, 0))
    with pytest.raises(ValueError, match="radius: expected a positive number of metres, found 0"):
        Ground(0, (0, 0), 0)
    with pytest.raises(ValueError, match="meshes: expected at least one, found none"):
        Ground.under([])
