"""The field of a cloud against closed forms (ball, box, torus), the exact distance to meshes, and partial views."""

from __future__ import annotations

import math

import pytest
import torch
import trimesh
from torch import Tensor

from dexzoo.datamodules.observation import Observe, Surface
from dexzoo.datamodules.sensors import FixedCameras
from dexzoo.geometry import cloud_field
from dexzoo.geometry.cloud_field import cloud_grid
from dexzoo.geometry.hidden_points import Occluder
from dexzoo.geometry.sampling import farthest_point_sampling, sample_surface
from dexzoo.geometry.sdf import SignedDistance
from dexzoo.synthesis.objects import object_mesh

NEAR = 0.006


def ball(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1) - 0.04


def box(x: Tensor) -> Tensor:
    excess = x.abs() - x.new_tensor([0.05, 0.03, 0.02])
    return torch.linalg.vector_norm(excess.clamp_min(0), dim=-1) + excess.amax(-1).clamp_max(0)


def torus(x: Tensor) -> Tensor:
    ring = torch.linalg.vector_norm(x[:, :2], dim=-1) - 0.04
    return torch.hypot(ring, x[:, 2]) - 0.012


SOLIDS = {
    "ball": (ball, trimesh.creation.icosphere(subdivisions=5, radius=0.04)),
    "box": (box, trimesh.creation.box(extents=[0.1, 0.06, 0.04])),
    "torus": (torus, trimesh.creation.torus(0.04, 0.012, 128, 64)),
}


def cloud_of(mesh: trimesh.Trimesh, n: int = 1024) -> Tensor:
    """(n, 3), float32, metres, spread evenly as data modules do it."""
    points = torch.from_numpy(sample_surface(mesh.vertices, mesh.faces, 8 * n, seed=0)[0])
    return points[farthest_point_sampling(points[None], n)[0]].float()


def queries(mesh: trimesh.Trimesh, n: int = 4000) -> tuple[Tensor, Tensor]:
    """(n, 3), float64: on the surface, and within 6 mm of it along the normal."""
    points, normals = (torch.from_numpy(x) for x in sample_surface(mesh.vertices, mesh.faces, n, seed=7)[:2])
    along = NEAR * (2 * torch.rand(n, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 1)
    return points, points + along * normals


@pytest.mark.parametrize(("name", "worst"), [("ball", 5e-5), ("box", 7.5e-5), ("torus", 6e-5)])
def test_a_field_of_a_cloud_is_the_closed_form(name, worst):
    """Points are 4 to 6 mm apart, and the mean error is below 0.1 mm: curvature brings no bias, edges are sharp."""
    exact, mesh = SOLIDS[name]
    grid = cloud_grid(cloud_of(mesh))
    surface, near = queries(mesh)
    assert grid(surface).abs().mean() < worst
    assert (grid(near) - exact(near)).abs().mean() < 1.3e-4
    clear = exact(near).abs() > 0.0015
    assert (grid(near).sign() == exact(near).sign())[clear].float().mean() > 0.997


def test_far_from_the_surface_the_sign_is_right_and_the_distance_close():
    exact, mesh = SOLIDS["torus"]
    x = 0.08 * (2 * torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0)) - 1)
    found, true = cloud_grid(cloud_of(mesh))(x), exact(x)
    assert (found.sign() == true.sign())[true.abs() > 0.001].all()
    inside_the_hole = (torch.linalg.vector_norm(x[:, :2], dim=-1) < 0.02) & (x[:, 2].abs() < 0.01)
    assert (found[inside_the_hole] > 0).all()
    assert (found - true)[true.abs() < 0.02].abs().mean() < 5e-4


@pytest.mark.parametrize(("name", "worst", "wrong"), [("mug", 2.5e-4, 0.012), ("bowl", 2.5e-4, 0.014)])
def test_walls_thinner_than_the_spacing_have_two_sides(name, worst, wrong):
    """Walls of 4 and 5 mm, points 6.5 mm apart; the exact distance to the mesh is the oracle."""
    mesh = object_mesh(name)
    grid, exact = cloud_grid(cloud_of(mesh)), SignedDistance(mesh, backend="igl")
    surface, near = queries(mesh)
    assert grid(surface).abs().mean() < worst
    true = exact(near)
    assert (grid(near).sign() != true.sign())[true.abs() > 0.001].float().mean() < wrong


def test_neither_place_nor_unit_nor_order_nor_repeats_matter():
    cloud = cloud_of(SOLIDS["torus"][1], 512)
    x = queries(SOLIDS["torus"][1], 500)[1].float()
    first = cloud_grid(cloud)(x)
    turn = torch.randperm(512, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cloud_grid(torch.cat([cloud[turn], cloud[:100]]))(x), first, atol=1e-7, rtol=0)
    away = torch.tensor([0.5, -0.25, 0.125])
    torch.testing.assert_close(cloud_grid(cloud + away)(x + away), first, atol=5e-6, rtol=0)
    torch.testing.assert_close(cloud_grid(8 * cloud)(8 * x), 8 * first, atol=1e-5, rtol=0)


def test_a_cloud_of_one_side_is_right_where_it_was_seen_and_closed_behind():
    """One camera sees half of a box: the seen faces stand, and nothing in front of them is called inside."""
    exact, mesh = SOLIDS["box"]
    eye = torch.tensor([0.4, 0.3, 0.35], dtype=torch.float64)
    observe = Observe(cameras=FixedCameras([eye.tolist()]))
    given = Surface(Occluder(mesh), cloud_of(mesh, 4096).double().numpy())
    cloud = observe.cloud(cloud_of(mesh), torch.Generator().manual_seed(0), given).points
    grid = cloud_grid(cloud)
    assert grid.values.isfinite().all()
    surface, near = queries(mesh)
    seen = (surface - surface.new_tensor([0.05, 0.03, 0.02])).amax(1).abs() < 1e-6
    assert 0.4 < seen.double().mean() < 0.7
    assert grid(surface[seen]).abs().mean() < 5e-4
    outside = exact(near) > 0.0015
    assert (grid(near)[outside] > 0).double().mean() > 0.97
    middle = torch.tensor([[0.02, 0.012, 0.008]], dtype=torch.float64)
    assert grid(middle).item() < -0.003


@pytest.mark.parametrize("shape", ["plane", "line", "outlier", "few", "dense"])
def test_no_cloud_gives_nan(shape, monkeypatch):
    monkeypatch.setattr(cloud_field, "_MOST", 600)
    generator = torch.Generator().manual_seed(0)
    cloud = 0.05 * torch.randn(400, 3, generator=generator)
    if shape == "plane":
        cloud[:, 2] = 0
    elif shape == "line":
        cloud[:, 1:] = 0
    elif shape == "outlier":
        cloud[0] = 5.0
    elif shape == "few":
        cloud = cloud[:32]
    else:
        cloud = 0.04 * torch.nn.functional.normalize(torch.randn(900, 3, generator=generator), dim=-1)
    grid = cloud_grid(cloud)
    assert grid.values.isfinite().all()
    assert grid.values.numel() < 1_000_000
    border = torch.stack([grid.values[0].min(), grid.values[:, -1].min(), grid.values[..., -1].min()])
    assert (border >= 0).all(), "infinity is outside"


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(2, 40, 3), r"finite values, shape \(N, 3\), found shape \(2, 40, 3\)"),
        (torch.full((40, 3), math.nan), "expected finite values"),
        (torch.zeros(400, 3), "expected at least 32 distinct ones to fit a surface, found 1"),
    ],
)
def test_points_that_make_no_surface_are_named(points, message):
    with pytest.raises(ValueError, match=message):
        cloud_grid(points)
