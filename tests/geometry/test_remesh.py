"""Meshes that are not closed: the volume that closed forms say, near the mesh, whatever is missing."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from dexzoo.geometry.remesh import cell, deviation, remesh, surface_net
from dexzoo.geometry.solids import make_solid, manifold_of
from tests.geometry.test_solids import box, joined

R = 0.05


def sphere() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=4, radius=R)


def without(mesh: trimesh.Trimesh, faces: np.ndarray) -> trimesh.Trimesh:
    mesh.update_faces(~faces)
    return mesh


def cylinder(radius: float, height: float, floor: float) -> trimesh.Trimesh:
    """Without its lid."""
    moved = trimesh.transformations.translation_matrix((0, 0, floor + height / 2))
    mesh = trimesh.creation.cylinder(radius, height, sections=64, transform=moved)
    return without(mesh, mesh.face_normals[:, 2] > 0.9)


def ball_with_holes() -> trimesh.Trimesh:
    return without(mesh := sphere(), mesh.triangles_center[:, 2] > 0.9 * R)


def box_with_hole() -> trimesh.Trimesh:
    mesh = box((0.1, 0.08, 0.06)).subdivide().subdivide().subdivide()
    return without(mesh, (mesh.triangles_center[:, 2] > 0.029) & (abs(mesh.triangles_center[:, :2]) < 0.015).all(1))


def mug_open_at_the_rim() -> trimesh.Trimesh:
    inner = cylinder(0.036, 0.096, 0.004)
    inner.invert()
    return joined(cylinder(0.04, 0.1, 0), inner)


def bowl() -> trimesh.Trimesh:
    return without(mesh := sphere(), mesh.triangles_center[:, 2] > 0)


def doubled_sheet() -> trimesh.Trimesh:
    """Closed, but it bounds nothing."""
    sheet = trimesh.Trimesh([[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0, 0.1, 0]], [[0, 1, 2], [0, 2, 3]])
    back = sheet.copy()
    back.invert()
    return joined(sheet, back)


CAP = np.pi * (0.1 * R) ** 2 * (3 * R - 0.1 * R) / 3  # of height 0.1 R: the lid is flat
AREA = 64 / 2 * np.sin(2 * np.pi / 64)  # of a polygon of radius 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mesh", "volume", "accuracy", "off", "how"),
    [
        (ball_with_holes, sphere().volume - CAP, 0.005, 0.45 * R, "closed by its winding number"),
        (box_with_hole, 0.1 * 0.08 * 0.06, 0.002, 0.0151, "closed by its winding number"),
        (mug_open_at_the_rim, AREA * (0.04**2 * 0.1 - 0.036**2 * 0.096), 0.005, 0.0021, "closed by its winding number"),
        (bowl, 4 * np.pi * R**2 * (t := cell(bowl())), 0.04, 1.3 * t, "wrapped in a shell"),
        (doubled_sheet, 0.02 * (t := cell(doubled_sheet())) + 0.2 * np.pi * t**2, 0.03, 1.1 * t, "wrapped in a shell"),
    ],
)
def test_an_open_mesh_becomes_the_solid_it_suggests(mesh, volume, accuracy, off, how) -> None:
    given = mesh()
    solid, pieces, repairs = make_solid(given)
    assert how in repairs[-1]
    assert pieces is None
    assert solid.volume() == pytest.approx(volume, rel=accuracy)
    assert 0 < deviation(remesh(given)[0], given) <= off


@pytest.mark.slow
def test_faces_turned_inwards_make_no_difference() -> None:
    volumes = []
    for mesh in (box_with_hole(), box_with_hole()):
        if volumes:
            mesh.invert()
        volumes.append(make_solid(mesh)[0].volume())
    assert volumes[1] == pytest.approx(volumes[0], rel=1e-9)


def test_the_net_of_a_ball_is_closed_and_lies_on_it() -> None:
    axes = np.linspace(-1.3, 1.3, 40)
    distance = np.linalg.norm(np.stack(np.meshgrid(axes, axes, axes, indexing="ij")), axis=0) - 1
    corners, faces = surface_net(distance)
    corners = corners * (axes[1] - axes[0]) + axes[0]
    ball = manifold_of(trimesh.Trimesh(corners, faces, process=False))
    assert ball.volume() == pytest.approx(4 / 3 * np.pi, rel=0.01)
    assert abs(np.linalg.norm(corners, axis=1) - 1).max() < 0.01
