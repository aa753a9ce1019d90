"""Normals of clouds against meshes and LAPACK; signed distances against loops and closed forms."""

import numpy as np
import pytest
import torch
import trimesh

from dexzoo.geometry.cloud_surface import cloud_normals, gather_points, least_direction, signed_point_distance
from dexzoo.geometry.sampling import sample_surface


def sampled(mesh: trimesh.Trimesh, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    points, normals, _ = sample_surface(mesh.vertices, mesh.faces, n)
    return torch.from_numpy(points)[None], torch.from_numpy(normals)[None]


def test_normals_of_a_sphere_off_the_origin_are_radial() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=0.05)
    points, _ = sampled(mesh, 1024)
    shifted = (points + torch.tensor([3.0, -2.0, 1.0])).float()
    cosine = (cloud_normals(shifted) * torch.nn.functional.normalize(points, dim=-1)).sum(-1)
    assert cosine.min() > 0.97
    assert cosine.mean() > 0.998


def test_normals_of_a_box_are_those_of_its_faces() -> None:
    mesh = trimesh.creation.box(extents=[0.1, 0.06, 0.04])
    points, normals = sampled(mesh, 2048)
    inner = (points.abs() < torch.tensor(mesh.extents) / 2 - 0.012).sum(-1) == 2  # far from an edge
    cosine = (cloud_normals(points) * normals).sum(-1)
    assert inner.float().mean() > 0.2
    assert cosine[inner].min() > 1 - 1e-9


def test_theleast_direction_is_that_of_lapack() -> None:
    root = torch.randn(200, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    root[100:, :, 2] *= 1e-5  # thin neighbourhoods, as on a surface
    matrix = root.mT @ root
    direction, found = least_direction(matrix)
    assert found.all()
    expected = torch.linalg.eigh(matrix)[1][..., 0]
    assert ((direction * expected).sum(-1).abs() > 1 - 1e-9).all()


def test_a_line_and_a_single_place_get_the_direction_from_the_centroid() -> None:
    line = torch.linspace(-1, 2, 20)[:, None] * torch.tensor([1.0, 2.0, 2.0]) / 3
    normals = cloud_normals(line[None])[0]
    sign = torch.where(torch.arange(20) < 10, -1.0, 1.0)[:, None]
    torch.testing.assert_close(normals, sign * torch.tensor([1.0, 2.0, 2.0]).expand(20, 3) / 3)
    assert cloud_normals(torch.ones(1, 5, 3))[0].tolist() == [[0, 0, 1]] * 5


def test_a_plane_needs_three_points() -> None:
    with pytest.raises(ValueError, match="k: expected 3 or more points for a plane, found 2"):
        cloud_normals(torch.zeros(1, 9, 3), k=2)


def test_signed_distance_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    query, points, normals = (torch.randn(2, n, 3, generator=generator) for n in (15, 20, 20))
    found = signed_point_distance(query, points, normals)
    for b in range(2):
        for m in range(15):
            gaps = [np.linalg.norm(query[b, m] - p) for p in points[b]]
            n = int(np.argmin(gaps))
            side = float(normals[b, n] @ (query[b, m] - points[b, n]))
            assert found[b, m].item() == pytest.approx(gaps[n] * (1 if side >= 0 else -1), rel=1e-5)
    known = torch.zeros(2, 15, dtype=torch.long)
    torch.testing.assert_close(
        signed_point_distance(query, points, normals, known).abs(), (query - points[:, :1]).norm(dim=-1)
    )


def test_signed_distance_to_a_sphere_is_that_of_the_sphere() -> None:
    points, normals = sampled(trimesh.creation.icosphere(subdivisions=5, radius=0.05), 8192)
    direction = torch.nn.functional.normalize(torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(2)), dim=-1)
    radius = torch.linspace(0.02, 0.09, 50, dtype=torch.float64)[None, :, None]
    query = (radius * direction.double()).requires_grad_()
    distance = signed_point_distance(query, points, normals)
    torch.testing.assert_close(distance, radius[..., 0] - 0.05, atol=1e-3, rtol=0)
    far = (radius[..., 0] - 0.05).abs() > 0.01
    (gradient,) = torch.autograd.grad(distance.sum(), query)
    assert ((gradient * direction).sum(-1)[far] > 0.98).all()


def test_rows_are_those_of_their_own_cloud() -> None:
    values = torch.arange(2 * 5 * 2).view(2, 5, 2)
    index = torch.tensor([[[0, 4], [1, 1]], [[3, 2], [0, 4]]])
    expected = [[[values[b, i].tolist() for i in row] for row in index[b]] for b in range(2)]
    assert gather_points(values, index).tolist() == expected
