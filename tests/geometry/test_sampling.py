"""Oracles: a naive loop for farthest points; areas, planes and moments in closed form for surfaces."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.geometry import sampling
from dexzoo.geometry.meshes import MeshError


def farthest_naive(cloud: np.ndarray, k: int, start: int) -> list[int]:
    picked = [start]
    while len(picked) < k:
        distance = [min(np.linalg.norm(p - cloud[i]) for i in picked) for p in cloud]
        picked.append(int(np.argmax(distance)))
    return picked


@pytest.mark.parametrize(("k", "start"), [(1, 0), (7, 0), (20, 3), (30, 29)])
def test_farthest_points_agree_with_the_naive_loop(k: int, start: int) -> None:
    points = torch.randn(3, 30, 3, dtype=torch.float64)
    expected = [farthest_naive(cloud.numpy(), k, start) for cloud in points]
    assert sampling.farthest_point_sampling(points, k, start).tolist() == expected
    assert sampling._fps_torch(points, k, start).tolist() == expected  # what a GPU does


def test_a_smaller_k_is_a_prefix() -> None:
    points = torch.randn(2, 200, 3)
    many = sampling.farthest_point_sampling(points, 64)
    assert torch.equal(sampling.farthest_point_sampling(points, 10), many[:, :10])
    assert all(len(set(row)) == 64 for row in many.tolist())


@pytest.mark.skipif(not find_spec("torch_cluster"), reason="torch_cluster is not installed")
@pytest.mark.parametrize(("k", "start"), [(1, 0), (33, 5), (100, 99)])
def test_torch_cluster_picks_the_same(k: int, start: int) -> None:
    points = torch.randn(3, 100, 3)
    assert torch.equal(sampling._fps_cluster(points, k, start), sampling._fps_torch(points, k, start))


def test_surface_points_lie_on_their_face_with_its_outward_normal() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    points, normals, face = sampling.sample_surface(mesh.vertices, mesh.faces, 500, seed=1)
    np.testing.assert_allclose(normals, mesh.face_normals[face], atol=1e-12)
    barycentric = trimesh.triangles.points_to_barycentric(mesh.triangles[face], points)
    assert barycentric.min() > -1e-9
    np.testing.assert_allclose(((points - mesh.triangles[face, 0]) * normals).sum(1), 0, atol=1e-15)
    assert ((points * normals).sum(1) > 0).all()


def test_surface_points_are_spread_by_area() -> None:
    mesh = trimesh.creation.box((1, 2, 3))
    _, _, face = sampling.sample_surface(mesh.vertices, mesh.faces, 2200, seed=0)
    expected = 100 * mesh.area_faces  # the area is 22
    assert np.abs(np.bincount(face, minlength=12) - expected).max() <= 1  # one point in each equal share of the area


def test_surface_points_are_uniform_in_a_triangle() -> None:
    points, _, _ = sampling.sample_surface(np.eye(3), [[0, 1, 2]], 20000, seed=0)
    np.testing.assert_allclose(points.mean(0), 1 / 3, atol=0.006)  # moments of the uniform density on a simplex
    np.testing.assert_allclose(np.cov(points.T), np.eye(3) / 12 - 1 / 36, atol=0.003)


def test_every_slice_covers_the_surface() -> None:
    mesh = trimesh.creation.box((1, 1, 1))
    _, _, face = sampling.sample_surface(mesh.vertices, mesh.faces, 1200, seed=0)
    assert set(face[:100]) == set(range(12))


def test_surface_points_depend_on_the_seed_alone() -> None:
    mesh = trimesh.creation.box()
    first, again, other = (sampling.sample_surface(mesh.vertices, mesh.faces, 10, seed=s)[0] for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_degenerate_faces_get_no_points() -> None:
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]]
    _, normals, face = sampling.sample_surface(vertices, [[0, 1, 3], [0, 1, 2], [1, 3, 0]], 100)
    assert set(face) == {1}
    assert np.isfinite(normals).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: sampling.farthest_point_sampling(p[0], 2), r"points: expected shape \(B, N, 3\), found \(9, 3\)"),
        (lambda p: sampling.farthest_point_sampling(p, 10), "k: expected 1 to 9, the number of points, found 10"),
        (lambda p: sampling.farthest_point_sampling(p, 0), "k: expected 1 to 9, .* found 0"),
        (lambda p: sampling.farthest_point_sampling(p, 2, start=9), "start: expected 0 to 8, .* found 9"),
    ],
)
def test_bad_clouds_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(1, 9, 3))


@pytest.mark.parametrize("vertices", [np.zeros((3, 3)), np.full((3, 3), np.nan)])
def test_a_surface_without_area_is_named(vertices: np.ndarray) -> None:
    with pytest.raises(MeshError, match="expected a surface of positive, finite area"):
        sampling.sample_surface(vertices, [[0, 1, 2]], 5)
